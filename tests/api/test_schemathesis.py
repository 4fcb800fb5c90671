"""The whole description, asked by Schemathesis: no input is answered otherwise than described, and none with 500.

Its pytest plugin is left out (it would be imported in every session): Hypothesis draws from its strategies here,
once within the description and once beside it, and its checks look at each answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from ledger.park import KINDS
from ledger.settings import Settings

ONE_DATABASE = "it asks about the description; the lists' own tests run their queries on both"

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
NEED_A_NODE = ("GET /v1/credits/{credit_id}/bundle", "GET /readyz")
ASKED_KINDS = {"devices", "alerts", "prices", "decisions"}
"""Of the kinds of records: the routes of all are made by the same functions."""
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "8"))
"""Of each route and each way; the seed is fixed, so that a failure comes again."""


@pytest.fixture(scope="module")
def app(settings: Settings) -> Any:
    return create_app(settings)


@pytest.fixture(scope="module")
def asked(app: Any) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def operations(app: Any) -> dict[str, Any]:
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    alike = tuple(f"GET /v1/{name}" for name in set(KINDS) - ASKED_KINDS)
    found = {item.ok().label: item.ok() for item in schema.get_all_operations()}
    return {label: item for label, item in found.items() if not label.startswith(alike)}


def ask(cases: Any, check: Callable[[Any], None]) -> None:
    @seeded(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def each(case: Any) -> None:
        check(case)

    with suppress(Unsatisfiable):  # a route without parameters cannot be asked wrongly
        each()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_route_answers_as_described(app: Any, asked: TestClient, mode: Any) -> None:
    statuses: dict[int, int] = {}
    for label, operation in operations(app).items():

        def check(case: Any, label: str = label) -> None:
            answer = case.call_and_validate(session=asked, checks=CHECKS)
            # These books have no node: who needs one says so, and nobody else has an excuse.
            assert answer.status_code < 500 or (answer.status_code == 503 and label in NEED_A_NODE)
            assert answer.headers["x-request-id"]
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

        ask(operation.as_strategy(generation_mode=mode), check)
    if mode is GenerationMode.POSITIVE:
        assert statuses.get(200, 0) > 0, statuses
    else:
        assert statuses.get(422, 0) > 0, statuses
