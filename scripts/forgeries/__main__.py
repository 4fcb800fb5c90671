"""``./dev forgeries [--count N] [--seed S]``: forges bundles, and has both verifiers refuse them.

Bundles of real credits on a node of its own are changed in every designed way, and then at random until N
mutants have been refused by the verifier. Every one is refused with its one error, or says no more than
the bundle did; what the page's verifier says, in Node, is the same, for a share of the mutants. Exit 1
at the first that is otherwise: its text is kept under build/.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from ledger.bundles import BuiltBundle
from scripts import suite
from tests.support.bundle_mutants import judge, mutants, says_no_more
from tests.support.forgeries import FORGERIES, TEXTS, forged
from tests.support.proven import RETIRED, bundles, proven_park
from tests.support.verify_page import case, judged

BUILD = Path(__file__).resolve().parents[2] / "build" / "forgeries"
LOT = 500
"""So many mutants are shown to the page at once."""


class Forged(Exception):
    """A verifier took a forgery, or fell over it."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(why)
        self.text = text


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="./dev forgeries", description=__doc__)
    parser.add_argument(
        "--count", type=suite.at_least(1), default=5000, help="mutants to be refused (5000)"
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
    except Forged as found:
        BUILD.mkdir(parents=True, exist_ok=True)
        (BUILD / "forged.json").write_text(found.text, encoding="utf-8", errors="backslashreplace")
        print(f"FORGED: {found}; its text is build/forgeries/forged.json", file=sys.stderr)
        return 1
    print(f"designed forgeries refused by both: {len(FORGERIES) + len(TEXTS)}")
    print(f"mutants refused, by the check that failed: {sum(refused.values())}")
    print("\n".join(f"  {count:8} {name}" for name, count in refused.most_common()))
    print(f"mutants that say no more than their bundle: {sum(taken.values())}")
    print("\n".join(f"  {count:8} {name}" for name, count in taken.most_common()))
    print(f"{time.process_time() - begun:.0f} s of CPU, the page's aside")
    return 0


def _designed(built: BuiltBundle) -> None:
    texts = {name: forged(built.text, forge) for name, (forge, _) in FORGERIES.items()}
    texts |= {name: change(built.text) for name, change in TEXTS.items()}
    cases = [(text, built) for text in texts.values()]
    for (name, text), verdict in zip(texts.items(), _judged(cases), strict=True):
        if verdict["valid"]:
            raise Forged(text, f"accepted: {name}")


def _at_random(
    built: dict[str, BuiltBundle], count: int, chance: random.Random, share: float
) -> tuple[Counter[str], Counter[str]]:
    refused: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    sources = [(each, mutants(each.text, chance)) for each in built.values()]
    for_page: list[tuple[str, BuiltBundle]] = []
    for each, source in _in_turn(sources):
        text = next(source)
        [verdict] = _judged([(text, each)], page=False)
        if verdict["valid"]:
            try:
                taken[says_no_more(text, each)] += 1
            except Exception as error:
                raise Forged(text, f"a mutant was accepted ({error!r})") from error
        else:
            refused[verdict["check"]] += 1
        if chance.random() < share:
            for_page.append((text, each))
        done = sum(refused.values()) >= count
        if for_page and (done or len(for_page) == LOT):
            _judged(for_page)
            for_page.clear()
        if done:
            break
    return refused, taken


def _in_turn(
    sources: list[tuple[BuiltBundle, Iterator[str]]],
) -> Iterator[tuple[BuiltBundle, Iterator[str]]]:
    while True:
        yield from sources


def _judged(cases: list[tuple[str, BuiltBundle]], page: bool = True) -> list[dict[str, object]]:
    verdicts = []
    for text, built in cases:
        try:
            verdicts.append(judge(text, built.trusted))
        except Exception as error:
            raise Forged(text, f"the verifier fell over it: {error!r}") from error
    if page:
        said = judged(case(text, built.trusted) for text, built in cases)
        for (text, _), ours, theirs in zip(cases, verdicts, said, strict=True):
            if ours != theirs:
                raise Forged(
                    text, f"the page says {str(theirs)[:300]}, and Python {str(ours)[:300]}"
                )
    return verdicts


if __name__ == "__main__":
    sys.exit(suite.command("forgeries", main))
