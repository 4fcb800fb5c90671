"""The queries of docs/reports.md, asked of books."""

import re
from pathlib import Path
from typing import Any

from sqlalchemy import URL, create_engine

REPORTS = Path(__file__).resolve().parents[2] / "docs" / "reports.md"


def reports(url: URL, offset: str) -> dict[str, list[Any]]:
    """Return what every query of the page answers, by its title, for people of one zone."""
    first, *others = re.split(r"^#{2,3} ", REPORTS.read_text(encoding="utf-8"), flags=re.M)
    pieces = [piece.partition("\n")[::2] for piece in others]
    found = {title: re.findall(r"```sql\n(.*?)```", body, re.S) for title, body in pieces}
    (opening,) = found.pop("Before the first query")
    assert "```sql" not in first
    engine = create_engine(url.set(query={}))
    answers: dict[str, list[Any]] = {}
    with engine.connect() as link:
        link.exec_driver_sql(opening.partition(";")[0].replace("+08:00", offset))
        for title, queries in found.items():
            for query in queries:
                assert title not in answers, title
                answers[title] = [
                    tuple(row) for row in link.exec_driver_sql(query.replace("%", "%%"))
                ]
    engine.dispose()
    return answers
