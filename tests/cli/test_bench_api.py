"""``truetonne bench api`` on small books: the shape that others read, from servers that really answered."""

from __future__ import annotations

from decimal import Decimal

import pytest

from cli.bench import api
from cli.bench.api import growth
from cli.bench.api.load import press
from cli.bench.api.serving import served


def test_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in (("ANSWERS", 30), ("PAGES", 10), ("ROUNDS", 1)):
        monkeypatch.setattr(api, name, few)
    with api.books(1_000, lambda _: None) as (settings, names), served(settings) as server:
        paths = api.paths_of(names)
        measured = [
            api._beside_empty(server, name, paths[name], lambda _: None) for name in api.SHARES
        ]
        for route, some in growth._routes(names).items():
            assert press(server.port, some[:2], 1).requests > 0, route
        with pytest.raises(ValueError, match="404"):
            press(server.port, ["/v1/nothing"], 1)
    results = {result.name: result for result in api.results(measured)}
    assert set(results) == {"credit_by_id", "credit_by_id_p99", "credits_page", "credits_page_p99"}
    for result in results.values():
        assert Decimal(result.value) > 0 and Decimal(result.against_value) > 0
        share = Decimal(result.value) / Decimal(result.against_value)
        assert abs(Decimal(result.ratio) - share) <= Decimal("0.0005")
    assert measured[1].answer_bytes > 10_000
