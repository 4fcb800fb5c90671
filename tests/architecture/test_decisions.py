"""Every decision is in the list and under one subject, and the list says what another one has replaced."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

DECISIONS = Path(__file__).resolve().parents[2] / "docs" / "decisions"
PAGES = sorted(DECISIONS.glob("[0-9]*.md"))
SUBJECTS, LIST = (DECISIONS / "README.md").read_text(encoding="utf-8").split("## All of them")
ROW = re.compile(
    r"^\| \[(\d{4})\]\(([^)]*)\) \| (.*?)(?: \(((?:in part )?replaced by [\d, ]+)\))? \|$",
    re.MULTILINE,
)
SUPERSEDED = re.compile(r"^\*\*Superseded( in part)?\b.*(?:\n.+)*", re.MULTILINE)
"""The first lines of a page that another one has replaced."""
NAMED = re.compile(r"\]\((\d{4})-")


def test_every_decision_is_in_the_list_in_order() -> None:
    rows = ROW.findall(LIST)
    assert [file for _, file, _, _ in rows] == [page.name for page in PAGES]
    for (number, _, title, _), page in zip(rows, PAGES, strict=True):
        begins, _, named = page.read_text(encoding="utf-8").partition("\n")[0].partition(number)
        assert (begins, title.startswith(named.strip())) == ("# ", True), page.name


def test_the_list_says_what_has_been_replaced_as_the_pages_do() -> None:
    for number, file, _, replaced in ROW.findall(LIST):
        found = SUPERSEDED.search((DECISIONS / file).read_text(encoding="utf-8"))
        by = set() if found is None else set(NAMED.findall(found[0]))
        assert by == set(re.findall(r"\d{4}", replaced)), number
        in_part = found is not None and found[1] is not None
        assert in_part == replaced.startswith("in part"), number


def test_every_decision_is_under_one_subject() -> None:
    """A new one goes into the row of its subject, at the top of docs/decisions/README.md."""
    named = Counter(NAMED.findall(SUBJECTS))
    assert named == Counter(page.name[:4] for page in PAGES)
