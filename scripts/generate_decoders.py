"""Write the decoders of the contracts' events and calls, from the ABI that ``export_abi`` wrote.

``python -m scripts.generate_decoders`` writes ``ledger/chain/decoders/*_events.py`` and ``*_calls.py``;
``--check`` writes nothing and fails when a file differs from what the ABI asks for. Each function reads
the words of one layout by their places, so that the mirror need not interpret types for every log.
"""

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

ROOT = Path(__file__).resolve().parents[1]
ABI = ROOT / "ledger" / "chain" / "abi"
FOLDER = ROOT / "ledger" / "chain" / "decoders"
CONTRACTS = ("CarbonCredit", "VppSettlement")
DATACLASSES = {"CarbonCredit": "credit_events", "VppSettlement": "settlement_events"}
STRUCTS = {"Claim": "Claim", "Retirement": "RetirementDetails", "Reading": "Reading"}
"""Structs that have a struct of ours in ``credit_events``, by their name in the contract."""
JSON_SAFE_BITS = 53
WORD = 32
Item = dict[str, Any]


def snake(name: str) -> str:
    """Return a name of the ABI as Python spells it."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def signature(item: Item) -> str:
    """Return the type of an item as signatures spell it."""
    kind = str(item["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(signature, item['components']))}){kind.removeprefix('tuple')}"


def shown(item: Item) -> str:
    """Return an item with its name, for people."""
    kind = struct_of(item) if item["type"] == "tuple" else item["type"]
    return " ".join((kind, *["indexed"] * bool(item.get("indexed")), *filter(None, [item["name"]])))


def struct_of(item: Item) -> str:
    """Return the name of a struct in the contract."""
    return str(item["internalType"]).rpartition(".")[2].removeprefix("struct ")


def is_dynamic(item: Item) -> bool:
    """Return whether a value has no fixed length."""
    if item["type"] == "tuple":
        return any(map(is_dynamic, item["components"]))
    return item["type"] in ("string", "bytes") or item["type"].endswith("]")


def words_of(item: Item) -> int:
    """Return how many words a value takes in the head."""
    if item["type"] == "tuple" and not is_dynamic(item):
        return sum(map(words_of, item["components"]))
    return 1


@dataclass
class Mode:
    """What differs between events and calls: names, and how numbers and texts are given."""

    is_event: bool

    def key(self, item: Item, position: int) -> str:
        """Return the name of a value in the answer."""
        name = item["name"] or f"argument{position}"
        return snake(name) if self.is_event else name

    def static(self, item: Item, at: str) -> str:
        """Return the expression that reads a value of one word, or a struct of fixed length."""
        kind = item["type"]
        if kind == "tuple":
            return f"_{snake(struct_of(item))}(body, {at})"
        if kind in {"address", "bytes32"}:
            return f"{kind}(body, {at})"
        if kind == "bool":
            return f"boolean(body, {at})"
        if kind.startswith("bytes"):
            if self.is_event and kind == "bytes2":
                return f"country(body, {at})"
            return f"short_bytes(body, {at}, {kind.removeprefix('bytes')})"
        found = re.fullmatch(r"(u?)int(\d+)", kind)
        if found is None:
            raise NotImplementedError(f"no reader for {kind}; add one to words.py and here")
        bits = int(found[2])
        if kind in ("uint256", "int256"):
            read = f"{kind}(body, {at})"
        else:
            read = f"{'u' if found[1] else 's'}int(body, {at}, {bits})"
        return read if self.is_event or bits <= JSON_SAFE_BITS else f"number({read})"

    def dynamic(self, item: Item, places: str) -> str:
        """Return the expression that reads a value of any length, and where it ends."""
        kind = item["type"]
        if kind == "tuple":
            return f"_{snake(struct_of(item))}(body, tail(body, {places}))"
        if kind == "string":
            return f"{'text' if self.is_event else 'strict_text'}(body, {places})"
        if kind == "bytes":
            return f"hex_bytes(body, {places})"
        if kind == "bytes[]":
            return f"hex_bytes_array(body, {places})"
        if kind in ("address[]", "bytes32[]", "uint64[]", "uint256[]", "int256[]"):
            return f"array(body, {places}, {kind.removesuffix('[]')})"
        raise NotImplementedError(f"no reader for {kind}; add one to words.py and here")

    def final(self, item: Item, name: str) -> str:
        """Return a value that was read, as the answer holds it."""
        if self.is_event and item["type"].endswith("]"):
            return f"tuple({name})"
        wide = re.fullmatch(r"u?int(\d+)\[\]", item["type"])
        if not self.is_event and wide and int(wide[1]) > JSON_SAFE_BITS:
            return f"[number(each) for each in {name}]"
        return name


def variable(item: Item, position: int) -> str:
    """Return the name of the variable for a value."""
    name = snake(item["name"] or f"argument{position}")
    return f"{name}_" if name in {"from", "end", "body", "at", "values", *readers()} else name


@cache
def readers() -> tuple[str, ...]:
    """Return the names of the functions of ``words``."""
    words = (FOLDER / "words.py").read_text(encoding="utf-8")
    return tuple(re.findall(r"^def ([a-z]\w*)", words, flags=re.MULTILINE))


def described(item_name: str, inputs: Sequence[Item], what: str) -> list[str]:
    """Return a docstring, and the signature below it as a comment."""
    text = f"{item_name}({', '.join(map(shown, inputs))})"
    comment = textwrap.wrap(text, 90, initial_indent="    # ", subsequent_indent="    #   ")
    return [f'    """{what}."""', *comment]


@dataclass
class Frame:
    """Values that follow each other, and where: the head of each, the frame, the first tail."""

    heads: list[str]
    frame: str
    first_tail: str


def place(base: str, offset: int) -> str:
    """Return a place: a number, or a variable and a number."""
    if base.isdigit():
        return str(int(base) + offset)
    return f"{base} + {offset}" if offset else base


def frame_at(base: str, items: Sequence[Item]) -> Frame:
    """Return the frame of values whose heads begin at a place."""
    heads, offset = [], 0
    for item in items:
        heads.append(place(base, offset))
        offset += WORD * words_of(item)
    return Frame(heads, base, place(base, offset))


def reads(mode: Mode, items: Sequence[Item], frame: Frame) -> tuple[list[str], list[str], str]:
    """Return how values are read.

    Returns
    -------
    lines
        Those that read what has no fixed length, each from where the one before it ends.
    values
        The expression of each value.
    end
        Where all of them end.
    """
    lines, values, end = [], [], frame.first_tail
    for position, (item, head) in enumerate(zip(items, frame.heads, strict=True)):
        if is_dynamic(item):
            name = variable(item, position)
            read = mode.dynamic(item, f"{head}, {frame.frame}, {end}")
            lines.append(f"    {name}, end = {read}")
            values.append(mode.final(item, name))
            end = "end"
        else:
            values.append(mode.static(item, head))
    return lines, values, end


def answer(mode: Mode, items: Sequence[Item], values: Sequence[str]) -> str:
    """Return the dict of the values."""
    pairs = [
        f'"{mode.key(item, position)}": {value},'
        for position, (item, value) in enumerate(zip(items, values, strict=True))
    ]
    return "{" + " ".join(pairs) + "}"


def struct_reader(mode: Mode, item: Item) -> list[str]:
    """Return the function that reads a struct: of an event as one of ours, of a call as a dict."""
    parts, dynamic = item["components"], is_dynamic(item)
    frame = frame_at("at", parts)
    kind = STRUCTS[struct_of(item)] if mode.is_event else "dict[str, Any]"
    lines = [
        f"def _{snake(struct_of(item))}(body: bytes, at: int) -> "
        f"{f'tuple[{kind}, int]' if dynamic else kind}:",
        *described(struct_of(item), parts, "Return a struct" + " and where it ends" * dynamic),
    ]
    if dynamic:
        lines.append(f"    at_least(body, {frame.first_tail})")
    body, values, end = reads(mode, parts, frame)
    made = f"{kind}({', '.join(values)})" if mode.is_event else answer(mode, parts, values)
    return [*lines, *body, f"    return {made}, {end}" if dynamic else f"    return {made}"]


def structs(entries: Sequence[Item]) -> list[Item]:
    """Return the structs that stand in entries, those inside of others first, each once."""
    found: dict[str, Item] = {}

    def visit(item: Item) -> None:
        if item["type"] == "tuple":
            for part in item["components"]:
                visit(part)
            found.setdefault(struct_of(item), item)

    for entry in entries:
        for item in entry["inputs"]:
            visit(item)
    return list(found.values())


# ------------------------------------------------------------------------- events


def event_reader(contract: str, entry: Item, known: set[str]) -> list[str]:
    """Return the function that decodes an event."""
    inputs = entry["inputs"]
    indexed = [item for item in inputs if item["indexed"]]
    plain = [item for item in inputs if not item["indexed"]]
    data = WORD * (1 + len(indexed))
    topics, frame = frame_at(str(WORD), indexed), frame_at(str(data), plain)
    mode = Mode(is_event=True)
    lines = [
        f"def {snake(entry['name'])}(body: bytes) -> Decoded:",
        *described(entry["name"], inputs, "Decode an event"),
    ]
    dynamic = any(map(is_dynamic, plain))
    lines.append(f"    {'at_least' if dynamic else 'fixed'}(body, {frame.first_tail})")
    from_topics = iter(reads(mode, indexed, topics)[1])
    body, from_data, end = reads(mode, plain, frame)
    lines += body
    if dynamic:
        lines.append(f"    ends(body, {end})")
    rest = iter(from_data)
    values = [next(from_topics if item["indexed"] else rest) for item in inputs]
    if entry["name"] in known:  # the fields of the struct are in the order of the ABI
        made = f"{entry['name']}({', '.join(values)})"
    else:
        made = f"PlainEvent({answer(mode, inputs, values)})"
    return [*lines, f"    return {made}, {preimage(inputs, frame, data)}"]


def preimage(inputs: Sequence[Item], frame: Frame, data: int) -> str:
    """Return what the record of the credit log is the hash of: everything before ``seq``, encoded anew.

    Topic and indexed values come first. Fewer words stand between them and the tails than in the log,
    since ``seq`` and ``head`` are left out, and the offsets count from the topic.
    """
    if [item["name"] for item in inputs[-2:]] != ["seq", "head"]:
        return "None"
    order = [bool(item["indexed"]) for item in inputs]
    assert order == sorted(order, reverse=True), "indexed values come first"
    plain = [item for item in inputs if not item["indexed"]]
    pieces, since = [], "0"
    for item, head in zip(plain, frame.heads, strict=True):
        if is_dynamic(item):
            pieces += [f"body[{since}:{head}]", f"moved(body, {head}, {data - 2 * WORD})"]
            since = str(int(head) + WORD)
    heads_end = int(frame.first_tail) - 2 * WORD
    if not pieces:
        return f"body[:{heads_end}]"
    if int(since) < heads_end:
        pieces.append(f"body[{since}:{heads_end}]")
    pieces.append(f"body[{frame.first_tail}:]")
    return " + ".join(pieces).replace("body[0:", "body[:")


def events_module(contract: str, abi: Sequence[Item]) -> str:
    """Return the text of a contract's module of events."""
    entries = [item for item in abi if item["type"] == "event"]
    source = (ROOT / "ledger" / "chain" / f"{DATACLASSES[contract]}.py").read_text(encoding="utf-8")
    known = set(re.findall(r"^class (\w+)", source, flags=re.MULTILINE))
    blocks = [struct_reader(Mode(is_event=True), item) for item in structs(entries)]
    blocks += [event_reader(contract, entry, known) for entry in entries]
    rows = []
    for entry in entries:
        topic = "0x" + keccak(text=f"{entry['name']}({types(entry)})").hex()
        count = 1 + sum(item["indexed"] for item in entry["inputs"])
        rows.append(f'    "{topic}": ("{entry["name"]}", {count}, {snake(entry["name"])}),')
    table = ["EVENTS: dict[str, tuple[str, int, Callable[[bytes], Decoded]]] = {", *rows, "}"]
    names = sorted(
        {name for name in known if any(re.search(rf"\b{name}\(", "\n".join(b)) for b in blocks)}
    )
    head = [
        f'"""The events of ``{contract}``: generated by ``scripts/generate_decoders.py``, not written."""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Callable",
        "",
        f"from ledger.chain.{DATACLASSES[contract]} import {', '.join(names)}",
        words_imported(blocks, ["Decoded"]),
        "from ledger.chain.plain_event import PlainEvent",
    ]
    end = '"""Name, number of topics and decoder of each event, by its first topic."""'
    return assembled(head, [*blocks, [*table, end]])


# -------------------------------------------------------------------------- calls


def call_reader(entry: Item) -> list[str]:
    """Return the function that decodes the arguments of a call."""
    inputs = entry["inputs"]
    mode, frame = Mode(is_event=False), frame_at("0", inputs)
    dynamic = any(map(is_dynamic, inputs))
    body, values, end = reads(mode, inputs, frame)
    lines = [
        f"def {snake(entry['name'])}(body: bytes) -> dict[str, Any]:",
        *described(entry["name"], inputs, "Decode the arguments of a call"),
        f"    {'at_least' if dynamic else 'fixed'}(body, {frame.first_tail})",
        *body,
    ]
    if dynamic:
        lines.append(f"    ends(body, {end})")
    return [*lines, f"    return {answer(mode, inputs, values)}"]


def calls_module(contract: str, abi: Sequence[Item]) -> str:
    """Return the text of a contract's module of calls."""
    entries = [
        item
        for item in abi
        if item["type"] == "function" and item["stateMutability"] not in ("view", "pure")
    ]
    blocks = [struct_reader(Mode(is_event=False), item) for item in structs(entries)]
    blocks += [call_reader(entry) for entry in entries]
    rows = []
    for entry in entries:
        selector = "0x" + keccak(text=f"{entry['name']}({types(entry)})")[:4].hex()
        rows.append(f'    "{selector}": ("{entry["name"]}", {snake(entry["name"])}),')
    table = ["CALLS: dict[str, tuple[str, Callable[[bytes], dict[str, Any]]]] = {", *rows, "}"]
    head = [
        f'"""The calls of ``{contract}``: generated by ``scripts/generate_decoders.py``, not written."""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Callable",
        "from typing import Any",
        "",
        words_imported(blocks, []),
    ]
    end = '"""Name and decoder of each function that is no view, by its selector."""'
    return assembled(head, [*blocks, [*table, end]])


# --------------------------------------------------------------------------- text


def types(entry: Item) -> str:
    """Return the types of an entry's inputs, as its signature lists them."""
    return ",".join(map(signature, entry["inputs"]))


def words_imported(blocks: Sequence[Sequence[str]], always: Sequence[str]) -> str:
    """Return the import of the readers that a module uses."""
    code = "\n".join(
        line for block in blocks for line in block if not line.lstrip().startswith(("#", '"""'))
    )
    used = [name for name in readers() if re.search(rf"(?<!\w){name}(\(|\))", code)]
    return f"from ledger.chain.decoders.words import {', '.join(sorted([*always, *used]))}"


def assembled(head: Sequence[str], blocks: Sequence[Sequence[str]]) -> str:
    """Return a module, formatted as the house formats."""
    text = "\n\n\n".join("\n".join(block) for block in [head, *blocks]) + "\n"
    for arguments in (["check", "--select", "I", "--fix-only", "--quiet"], ["format"]):
        command = ["ruff", *arguments, "--stdin-filename", str(FOLDER / "generated.py"), "-"]
        text = subprocess.run(
            command, input=text, capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout
    return text


def generate(check: bool = False) -> list[str]:
    """Write the modules, or only compare them; return the names of those that differ."""
    different = []
    for contract in CONTRACTS:
        abi = json.loads((ABI / f"{contract}.json").read_text(encoding="utf-8"))["abi"]
        made = {"events": events_module(contract, abi), "calls": calls_module(contract, abi)}
        for what, text in made.items():
            path = FOLDER / f"{snake(contract)}_{what}.py"
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                different.append(path.name)
                if not check:
                    path.write_text(text, encoding="utf-8")
    return different


def main() -> None:
    check = "--check" in sys.argv[1:]
    different = generate(check)
    for name in different:
        print(f"{name}: {'differs from the ABI' if check else 'written'}")
    if check and different:
        sys.exit(1)


if __name__ == "__main__":
    main()
