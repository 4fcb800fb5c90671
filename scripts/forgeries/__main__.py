"""``./dev forgeries [--count N] [--chains N] [--seed S]``: forges bundles, and has both verifiers refuse them.

Bundles of real credits on a node of its own are changed in every designed way, and then at random until N
mutants have been refused by the verifier. Every one is refused with its one error, or says no more than
the bundle did; what the page's verifier says, in Node, is the same, for a share of the mutants. Of chains that are
odd behind their hashes both say the same. Exit 1 at the first that is otherwise: its text is kept under build/.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ledger.bundles import BuiltBundle
from ledger.proofs.verifier import Trusted
from scripts import suite
from tests.support.bundle_mutants import judge, mutants, says_no_more
from tests.support.forgeries import FORGERIES, TEXTS, forged
from tests.support.proven import RETIRED, bundles, proven_park
from tests.support.verify_page import case, judged
from tests.support.wild_worlds import wild

BUILD = Path(__file__).resolve().parents[2] / "build" / "forgeries"
LOT = 500
"""So many mutants are shown to the page at once."""


class Forged(Exception):
    """A verifier took a forgery, or fell over it."""

    def __init__(self, text: str, trusted: Trusted, why: str) -> None:
        super().__init__(why)
        self.text = text
        self.trusted = trusted


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="./dev forgeries", description=__doc__)
    parser.add_argument(
        "--count", type=suite.at_least(1), default=5000, help="mutants to be refused (5000)"
    )
    parser.add_argument(
        "--chains",
        type=suite.at_least(0),
        default=1000,
        help="odd chains for both verifiers (1000)",
    )
    parser.add_argument("--seed", type=suite.seed, help="of the first one; it is printed")
    parser.add_argument(
        "--page-share",
        type=suite.share,
        default=0.05,
        help="share that the page judges too (0.05)",
    )
    asked = parser.parse_args()
    seed = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    chance = random.Random(seed)
    with TemporaryDirectory(prefix="forgeries-") as folder, proven_park(Path(folder)) as park:
        built = bundles(park)
    print(f"seed {seed}; bundles: {', '.join(built)}", flush=True)
    begun = time.process_time()
    try:
        _designed(built[RETIRED])
        refused, taken = _at_random(built, asked.count, chance, asked.page_share)
        said = _odd_chains(asked.chains, random.Random(seed))
    except Forged as found:
        file = BUILD / f"forged-{seed}.json"
        BUILD.mkdir(parents=True, exist_ok=True)
        file.write_text(found.text, encoding="utf-8", errors="backslashreplace")
        print(f"FORGED: {found}", file=sys.stderr)
        print(f"   this one: {_verify(file, found.trusted)}", file=sys.stderr)
        again = f"--seed {seed} --count {asked.count} --chains {asked.chains} --page-share {asked.page_share}"
        print(f"   all again: ./dev forgeries {again}", file=sys.stderr)
        return 1
    print(f"designed forgeries refused by both: {len(FORGERIES) + len(TEXTS)}")
    print(f"mutants refused, by the check that failed: {sum(refused.values())}")
    print("\n".join(f"  {count:8} {name}" for name, count in refused.most_common()))
    print(f"mutants that say no more than their bundle: {sum(taken.values())}")
    print("\n".join(f"  {count:8} {name}" for name, count in taken.most_common()))
    print(f"odd chains of which both say the same, by the check that failed: {sum(said.values())}")
    print("\n".join(f"  {count:8} {name}" for name, count in said.most_common()))
    print(f"{time.process_time() - begun:.0f} s of CPU, the page's aside")
    return 0


def _verify(file: Path, trusted: Trusted) -> str:
    """Return the command that has Python's verifier judge a text again; the page takes the same values."""
    values = {name: getattr(trusted, name) for name in ("block_hash", "address", "code_hash")}
    words = [f"--{name.replace('_', '-')} 0x{value.hex()}" for name, value in values.items()]
    where = file.relative_to(BUILD.parents[1])
    return " ".join(["./dev verify", str(where), *words, f"--chain-id {trusted.chain_id}"])


def _designed(built: BuiltBundle) -> None:
    texts = {name: forged(built.text, forge) for name, (forge, _) in FORGERIES.items()}
    texts |= {name: change(built.text) for name, change in TEXTS.items()}
    for name, text, verdict in zip(
        texts,
        texts.values(),
        _judged([(text, built.trusted) for text in texts.values()]),
        strict=True,
    ):
        if verdict["valid"]:
            raise Forged(text, built.trusted, f"both accept the designed forgery {name!r}")


def _at_random(
    built: dict[str, BuiltBundle], count: int, chance: random.Random, share: float
) -> tuple[Counter[str], Counter[str]]:
    refused: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    sources = [(each, mutants(each.text, chance)) for each in built.values()]
    for_page: list[tuple[str, Trusted]] = []
    for each, source in _in_turn(sources):
        text = next(source)
        [verdict] = _judged([(text, each.trusted)], page=False)
        if verdict["valid"]:
            try:
                taken[says_no_more(text, each)] += 1
            except Exception as error:
                raise Forged(text, each.trusted, f"a mutant was accepted ({error!r})") from error
        else:
            refused[verdict["check"]] += 1
        if chance.random() < share:
            for_page.append((text, each.trusted))
        done = sum(refused.values()) >= count
        if for_page and (done or len(for_page) == LOT):
            _judged(for_page)
            for_page.clear()
        if done:
            break
    return refused, taken


def _odd_chains(count: int, chance: random.Random) -> Counter[str]:
    """Show both verifiers chains that are odd behind their hashes; return what became of them."""
    said: Counter[str] = Counter()
    for start in range(0, count, LOT):
        lot = [wild(chance) for _ in range(min(LOT, count - start))]
        said.update(str(verdict.get("check", "accepted")) for verdict in _judged(lot))
    return said


def _in_turn(
    sources: list[tuple[BuiltBundle, Iterator[str]]],
) -> Iterator[tuple[BuiltBundle, Iterator[str]]]:
    while True:
        yield from sources


def _judged(cases: list[tuple[str, Trusted]], page: bool = True) -> list[dict[str, object]]:
    verdicts = []
    for text, trusted in cases:
        try:
            verdicts.append(judge(text, trusted))
        except Exception as error:
            raise Forged(text, trusted, f"the verifier fell over it: {error!r}") from error
    if page:
        said = judged(case(text, trusted) for text, trusted in cases)
        for (text, trusted), ours, theirs in zip(cases, verdicts, said, strict=True):
            if ours != theirs:
                raise Forged(text, trusted, differs(ours, theirs))
    return verdicts


def differs(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Return in what two verdicts differ: the outcome, or else the first words that are not the same."""
    outcomes = [
        "accepts it" if said.get("valid") else f"refuses it at {said.get('check')!r}"
        for said in (ours, theirs)
    ]
    if outcomes[0] != outcomes[1]:
        return f"Python {outcomes[0]}, and the page {outcomes[1]}"
    for name in ("held", "not_proven"):
        for one, other in zip_longest(ours.get(name, []), theirs.get(name, [])):
            if one != other:
                return f"of {name}, Python says {one}, and the page {other}"
    return f"Python says {ours}, and the page {theirs}"


if __name__ == "__main__":
    sys.exit(suite.command("forgeries", main))
