"""``truetonne bench api`` on small books: the shape that others read, from servers that really answered."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import cast

import pytest

from cli.bench import api
from cli.bench.api import growth
from cli.bench.api.load import press
from cli.bench.api.serving import served
from ledger.errors import DependencyDown
from ledger.settings import Settings
from tests.support.forms import long


@long
def test_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in (("ANSWERS", 30), ("PAGES", 10), ("ROUNDS", 1)):
        monkeypatch.setattr(api, name, few)
    with (
        api.books(1_000, lambda _: None) as (settings, names),
        served(settings) as server,
        served(replace(settings, cache_mib=0)) as plain,
    ):
        paths = api.paths_of(names)
        measured = [
            each
            for name in api.ROUTES
            for each in api._beside_empty(server, plain, name, paths[name], lambda _: None)
        ]
        for route, some in growth._routes(names).items():
            assert press(server.port, some[:2], 1).requests > 0, route
        with pytest.raises(ValueError, match="404"):
            press(server.port, ["/v1/nothing"], 1)
    results = {result.name: result for result in api.results(measured)}
    assert set(results) == {
        f"{route}{kind}{figure}"
        for route in ("credit_by_id", "credits_page")
        for kind in ("", "_made")
        for figure in ("", "_p99")
    }
    for result in results.values():
        assert Decimal(result.value) > 0 and Decimal(result.against_value) > 0
        share = Decimal(result.value) / Decimal(result.against_value)
        assert abs(Decimal(result.ratio) - share) <= Decimal("0.0005")
    assert measured[2].answer_bytes > 10_000


@long
def test_a_server_that_ends_at_once_is_one_that_did_not_start() -> None:
    with pytest.raises(DependencyDown, match="did not start"), served(cast(Settings, "none")):
        pass
