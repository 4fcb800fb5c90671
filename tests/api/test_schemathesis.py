"""The whole description, asked by Schemathesis: no input is answered otherwise than described, and none with 500.

Its pytest plugin is left out (it would be imported in every session): Hypothesis draws from its strategies here,
once within the description and once beside it, and its checks look at each answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
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
from ledger.models.users import UserRole
from ledger.park import KINDS
from ledger.settings import Settings
from tests.support.forms import long, rest, times
from tests.support.identity import House, new_house

ONE_DATABASE = "it asks about the description; the lists' own tests run their queries on both"

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
NUMBERS = count()
WITH_A_PASSWORD = ("POST /v1/sessions", "PUT /v1/me/password")
NEED_A_NODE = ("GET /v1/credits/{credit_id}/bundle", "GET /readyz")
EVERY = os.environ.get("SCHEMATHESIS_EVERY") == "1"
ASKED_KINDS = {"devices", "alerts", "prices", "decisions"}
"""Of the kinds of records, unless every one is asked for: the routes of all are made by the same functions."""
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", times(1, 8)))
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
    alike = tuple(f"GET /v1/{name}" for name in (() if EVERY else set(KINDS) - ASKED_KINDS))
    found = {item.ok().label: item.ok() for item in schema.get_all_operations()}
    return {label: item for label, item in found.items() if not label.startswith(alike)}


def ask(cases: Any, check: Callable[[Any], None], examples: int = EXAMPLES) -> None:
    @seeded(1)
    @settings(
        max_examples=examples,
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


@pytest.mark.parametrize("mode", rest([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
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


# ------------------------------------------------------------------------ by somebody who may do everything


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Books that may be written to, with admins who come and go."""
    folder = tmp_path_factory.mktemp("house")
    with new_house(folder) as opened:
        opened.add("keeper", UserRole.ADMIN)  # whom no request knows: the last admin cannot go
        yield opened


@long
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_route_answers_an_admin_as_described(house: House, mode: Any) -> None:
    """Each route has an admin of its own, who may end their session or lose their rights by what they ask."""
    statuses: dict[int, int] = {}
    for number, (label, operation) in enumerate(operations(house.app).items()):
        name = f"admin-{mode.value}-{number}"
        own = house.add(name, UserRole.ADMIN)
        closed = "401" in operation.definition.raw["responses"]

        headers = {name: house.sign_in(name)}

        def check(
            case: Any,
            label: str = label,
            name: str = name,
            own: int = own,
            closed: bool = closed,
            headers: dict[str, dict[str, str]] = headers,
        ) -> None:
            if house.client.get("/v1/me", headers=headers[name]).status_code != 200:
                # The example before ended the session, or changed the password: another admin goes on.
                another = f"{name}-{next(NUMBERS)}"
                house.add(another, UserRole.ADMIN)
                headers[name] = house.sign_in(another)
            if "user_id" in (case.path_parameters or {}) and mode is GenerationMode.POSITIVE:
                case.path_parameters["user_id"] = own  # somebody who is there
            answer = case.call_and_validate(
                session=house.client, checks=CHECKS, headers=headers[name]
            )
            assert answer.status_code < 500 or (answer.status_code == 503 and label in NEED_A_NODE)
            if closed and mode is GenerationMode.POSITIVE:
                # Who may do everything is never told that they may not; but a password may be the wrong one.
                wrong = label in WITH_A_PASSWORD and answer.status_code == 401
                assert wrong or answer.status_code not in (401, 403), answer.text
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

        examples = max(EXAMPLES // 2, 1) if closed else 1  # the others are asked above
        ask(operation.as_strategy(generation_mode=mode), check, examples)
    if mode is GenerationMode.POSITIVE:
        assert {200, 201, 204, 404} <= set(statuses), statuses
    else:
        assert statuses.get(422, 0) > 0, statuses
