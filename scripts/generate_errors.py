"""Write the table of the contracts' errors: the ABIs' own names, selectors and arguments, with their sentences.

``python -m scripts.generate_errors`` reads the ABIs that ``export_abi`` wrote and ``contracts/errors.toml``, and
writes ``ledger/chain/failures/contract_errors.json`` and ``docs/contract-errors.md``; ``--check`` writes nothing and
fails when a file differs. It fails, too, when an error has no sentence, a sentence no error, or a place no argument.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from scripts.generated import kept, run

ROOT = Path(__file__).resolve().parents[1]
ABI = ROOT / "ledger" / "chain" / "contracts" / "abi"
SENTENCES = ROOT / "contracts" / "errors.toml"
TABLE = ROOT / "ledger" / "chain" / "failures" / "contract_errors.json"
PAGE = ROOT / "docs" / "contract-errors.md"
PARTS = ("english", "to_do", "chinese", "to_do_chinese")
FORMS = ("kg", "money", "percent", "time", "role", "credit_status", "settlement_status")
_PLACE = re.compile(r"\{(\w+)(?:\|(\w+))?\}")


def errors_of_abis() -> dict[str, dict[str, Any]]:
    """Return the errors of all contracts by name: signature, selector, arguments, contracts.

    Raises
    ------
    ValueError
        If two errors share a name.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(ABI.glob("*.json")):
        artifact = json.loads(path.read_text(encoding="utf-8"))
        for item in artifact["abi"]:
            if item["type"] != "error":
                continue
            types = ",".join(part["type"] for part in item["inputs"])
            signature = f"{item['name']}({types})"
            error = found.setdefault(
                item["name"],
                {
                    "signature": signature,
                    "selector": "0x" + keccak(text=signature)[:4].hex(),
                    "arguments": [part["name"] for part in item["inputs"]],
                    "contracts": [],
                },
            )
            if error["signature"] != signature:
                raise ValueError(f"two errors are named {item['name']}")
            error["contracts"].append(artifact["contractName"])
    return dict(sorted(found.items()))


def table() -> dict[str, dict[str, Any]]:
    """Return the table.

    Raises
    ------
    ValueError
        If errors and sentences do not match.
    """
    errors = errors_of_abis()
    sentences = tomllib.loads(SENTENCES.read_text(encoding="utf-8"))
    wrong = [f"{name} has no sentence" for name in errors.keys() - sentences.keys()]
    wrong += [f"{name} is no error of a contract" for name in sentences.keys() - errors.keys()]
    for name in errors.keys() & sentences.keys():
        wrong += [f"{name}{what}" for what in _faults(sentences[name], errors[name]["arguments"])]
    if wrong:
        raise ValueError("; ".join(sorted(wrong)))
    return {name: {**error, **sentences[name]} for name, error in errors.items()}


def _faults(said: dict[str, str], arguments: list[str]) -> Iterator[str]:
    """Yield what is wrong with the sentences of an error that has these arguments."""
    if set(said) != set(PARTS) or not all(said.values()):
        yield f" must have {', '.join(PARTS)}"
        return
    places = {part: _PLACE.findall(said[part]) for part in PARTS}
    for place, form in chain.from_iterable(places.values()):
        if place not in arguments or (form and form not in FORMS):
            yield f": there is no {{{place}{'|' if form else ''}{form}}}"
    english, chinese = ({place for place, _ in places[part]} for part in ("english", "chinese"))
    if english != chinese:
        yield ": English and Chinese name different values"


def page(rows: dict[str, dict[str, Any]]) -> str:
    """Return the page for people."""
    lines = [
        "# Errors of the contracts",
        "",
        "What each error says, and what to do: in the API as `explanation` of a transaction and "
        "`contract_error` of a problem, and in what a command says that a contract refuses. Generated from the ABIs "
        "and `contracts/errors.toml` by `python -m scripts.generate_errors`.",
        "",
        "| error | selector | what it says | what to do |",
        "|---|---|---|---|",
    ]
    for name, row in rows.items():
        arguments = ", ".join(row["arguments"])
        english, to_do = (_PLACE.sub(r"*\1*", row[part]) for part in PARTS[:2])
        chinese, to_do_chinese = (_PLACE.sub(r"*\1*", row[part]) for part in PARTS[2:])
        lines.append(
            f"| `{name}({arguments})` | `{row['selector']}` | {english}<br>{chinese} | {to_do}<br>{to_do_chinese} |"
        )
    return "\n".join(lines) + "\n"


def generate(check: bool = False) -> list[str]:
    """Write table and page, or only compare them; return the names of the files that differ."""
    rows = table()
    texts = {TABLE: json.dumps(rows, ensure_ascii=False, indent=1) + "\n", PAGE: page(rows)}
    return kept(texts, check)


if __name__ == "__main__":
    run(generate)
