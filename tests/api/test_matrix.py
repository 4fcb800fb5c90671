"""Who may call what: every route, by everybody, and the verdict of each call written out here.

A line is a route. A dot is *allowed* (whatever it then answers), 1 is 401, 3 is 403. A route of the
application that has no line fails, and so does a line without a route.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.routing import iter_route_contexts

from api.access import declared
from ledger.identity import rights
from ledger.models.users import UserRole
from tests.support.forms import few, is_long
from tests.support.identity import House, new_house

# Somebody without a token; users of the three roles; a user who was disabled, with the token from before; an
# admin whose session is over; an admin's key that was revoked; keys of an admin, each with one scope.
CALLERS = [
    *("anonymous", "viewer", "operator", "admin", "disabled", "expired", "revoked-key"),
    *("users:read", "users:write", "keys:read", "audit:read", "webhooks:read", "webhooks:write"),
    *("park:read", "trading:read", "models:read", "alerts:write", "config:read"),
]

PRIVATE = """
GET    /v1/users                                1 3 3 . 1 1 1   . 3 3 3 3 3   3 3 3 3 3
POST   /v1/users                                1 3 3 . 1 1 1   3 . 3 3 3 3   3 3 3 3 3
GET    /v1/users/{user_id}                      1 3 3 . 1 1 1   . 3 3 3 3 3   3 3 3 3 3
PATCH  /v1/users/{user_id}                      1 3 3 . 1 1 1   3 . 3 3 3 3   3 3 3 3 3
PUT    /v1/users/{user_id}/password             1 3 3 . 1 1 1   3 . 3 3 3 3   3 3 3 3 3
PUT    /v1/users/{user_id}/permissions/{right}  1 3 3 . 1 1 1   3 . 3 3 3 3   3 3 3 3 3
DELETE /v1/users/{user_id}/permissions/{right}  1 3 3 . 1 1 1   3 . 3 3 3 3   3 3 3 3 3
GET    /v1/me                                   1 . . . 1 1 1   . . . . . .   . . . . .
PUT    /v1/me/password                          1 . . . 1 1 1   3 3 3 3 3 3   3 3 3 3 3
GET    /v1/sessions                             1 . . . 1 1 1   3 3 3 3 3 3   3 3 3 3 3
DELETE /v1/sessions/{session_id}                1 . . . 1 1 1   3 3 3 3 3 3   3 3 3 3 3
POST   /v1/api-keys                             1 3 . . 1 1 1   3 3 3 3 3 3   3 3 3 3 3
GET    /v1/api-keys                             1 . . . 1 1 1   3 3 . 3 3 3   3 3 3 3 3
DELETE /v1/api-keys/{key_id}                    1 . . . 1 1 1   3 3 3 3 3 3   3 3 3 3 3
GET    /v1/audit-log                            1 3 3 . 1 1 1   3 3 3 . 3 3   3 3 3 3 3
GET    /v1/webhooks                             1 3 . . 1 1 1   3 3 3 3 . 3   3 3 3 3 3
POST   /v1/webhooks                             1 3 . . 1 1 1   3 3 3 3 3 .   3 3 3 3 3
GET    /v1/webhooks/{endpoint_id}               1 3 . . 1 1 1   3 3 3 3 . 3   3 3 3 3 3
PATCH  /v1/webhooks/{endpoint_id}               1 3 . . 1 1 1   3 3 3 3 3 .   3 3 3 3 3
DELETE /v1/webhooks/{endpoint_id}               1 3 . . 1 1 1   3 3 3 3 3 .   3 3 3 3 3
POST   /v1/webhooks/{endpoint_id}/secret        1 3 . . 1 1 1   3 3 3 3 3 .   3 3 3 3 3
GET    /v1/webhooks/{endpoint_id}/deliveries    1 3 . . 1 1 1   3 3 3 3 . 3   3 3 3 3 3
POST   /v1/webhooks/{endpoint_id}/replays       1 3 . . 1 1 1   3 3 3 3 3 .   3 3 3 3 3
GET    /v1/device-types                         1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/device-types/{code}                  1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/devices                              1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/devices/{code}                       1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/alerts                               1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/alerts/{number}                      1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/resources                            1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/resources/{code}                     1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/resource-states                      1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/resource-states/{number}             1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/vpps                                 1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/vpps/{code}                          1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/shares                               1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/shares/{number}                      1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/operations                           1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/operations/{number}                  1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/strategies                           1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/strategies/{number}                  1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/trading-config                       1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/trading-config/{number}              1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/prices                               1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/prices/{number}                      1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/bids                                 1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/bids/{number}                        1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/forecasts                            1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/forecasts/{number}                   1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/dispatch-commands                    1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/dispatch-commands/{number}           1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/dispatches                           1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/dispatches/{number}                  1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/arbitrage                            1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/arbitrage/{code}                     1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/hedges                               1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/hedges/{number}                      1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/price-optimisations                  1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/price-optimisations/{number}         1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/optimisations                        1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/optimisations/{number}               1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/models                               1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/models/{code}                        1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/training-runs                        1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/training-runs/{number}               1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/decisions                            1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/decisions/{number}                   1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/adjustments                          1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/adjustments/{number}                 1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/experience                           1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/experience/{number}                  1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/predictions                          1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/predictions/{number}                 1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/park/device-types/export             1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/park/devices/export                  1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/park/alerts/export                   1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/park/resources/export                1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/park/resource-states/export          1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/park/vpps/export                     1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/park/shares/export                   1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/park/operations/export               1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/park/strategies/export               1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/park/trading-config/export           1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/park/prices/export                   1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/park/bids/export                     1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/park/forecasts/export                1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/park/dispatch-commands/export        1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/park/dispatches/export               1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/park/arbitrage/export                1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/park/hedges/export                   1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/park/price-optimisations/export      1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/park/optimisations/export            1 3 . . 1 1 1   3 3 3 3 3 3   3 . 3 3 3
GET    /v1/park/models/export                   1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/park/training-runs/export            1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/park/decisions/export                1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/park/adjustments/export              1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/park/experience/export               1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/park/predictions/export              1 3 . . 1 1 1   3 3 3 3 3 3   3 3 . 3 3
GET    /v1/devices/{code}/latest                1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/devices/{code}/data                  1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/newest-values                        1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /v1/park/metrics                         1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
POST   /v1/alerts/{number}/acknowledgement      1 3 . . 1 1 1   3 3 3 3 3 3   3 3 3 . 3
POST   /v1/alerts/{number}/resolution           1 3 . . 1 1 1   3 3 3 3 3 3   3 3 3 . 3
GET    /v1/config                               1 3 3 . 1 1 1   3 3 3 3 3 3   3 3 3 3 .
GET    /v1/config/{key}                         1 3 3 . 1 1 1   3 3 3 3 3 3   3 3 3 3 .
GET    /account                                 1 . . . 1 1 1   3 3 3 3 3 3   3 3 3 3 3
POST   /account/sessions/{session_id}/end       1 . . . 1 1 1   3 3 3 3 3 3   3 3 3 3 3
GET    /account/password                        1 . . . 1 1 1   3 3 3 3 3 3   3 3 3 3 3
POST   /account/password                        1 . . . 1 1 1   3 3 3 3 3 3   3 3 3 3 3
GET    /account/keys                            1 . . . 1 1 1   3 3 . 3 3 3   3 3 3 3 3
POST   /account/keys                            1 3 . . 1 1 1   3 3 3 3 3 3   3 3 3 3 3
POST   /account/keys/{key_id}/revoke            1 . . . 1 1 1   3 3 3 3 3 3   3 3 3 3 3
GET    /account/audit                           1 3 3 . 1 1 1   3 3 3 . 3 3   3 3 3 3 3
GET    /account/alerts                          1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
GET    /account/alerts/{number}                 1 . . . 1 1 1   3 3 3 3 3 3   . 3 3 3 3
POST   /account/alerts/{number}/acknowledgement 1 3 . . 1 1 1   3 3 3 3 3 3   3 3 3 . 3
POST   /account/alerts/{number}/resolution      1 3 . . 1 1 1   3 3 3 3 3 3   3 3 3 . 3
GET    /account/webhooks                        1 3 . . 1 1 1   3 3 3 3 . 3   3 3 3 3 3
GET    /account/webhooks/{endpoint_id}          1 3 . . 1 1 1   3 3 3 3 . 3   3 3 3 3 3
GET    /account/users                           1 3 3 . 1 1 1   . 3 3 3 3 3   3 3 3 3 3
POST   /account/users/{user_id}/state           1 3 3 . 1 1 1   3 . 3 3 3 3   3 3 3 3 3
POST   /sign-out                                1 . . . 1 1 1   3 3 3 3 3 3   3 3 3 3 3
"""

# What anybody may call, with whatever credentials.
PUBLIC = """
POST   /v1/sessions
GET    /sign-in
POST   /sign-in
GET    /v1/credits
GET    /v1/credits/{credit_id}
GET    /v1/credits/{credit_id}/history
GET    /v1/credits/{credit_id}/bundle
GET    /v1/retirements/{retirement_id}
GET    /v1/readings/{reading_id}/proof
GET    /v1/readings/quality
GET    /v1/readings/files
GET    /v1/transactions
GET    /v1/contracts
GET    /v1/trades
GET    /v1/status
GET    /livez
GET    /readyz
GET    /verify
GET    /openapi.json
GET    /metrics
GET    /v1/credits/export
GET    /v1/credits/{credit_id}/readings
GET    /v1/emissions
GET    /v1/emissions/export
GET    /v1/energy
GET    /v1/energy/export
GET    /v1/holders/{address}
GET    /v1/projects
GET    /v1/projects/{code}
GET    /v1/reconciliation
GET    /v1/retirements
GET    /v1/retirements/export
GET    /v1/search
GET    /v1/markets
GET    /v1/plants
GET    /v1/plants/{code}
GET    /v1/settlements
GET    /v1/settlements/{settlement_id}
GET    /v1/sites
GET    /v1/sites/{code}
GET    /v1/trades/export
GET    /v1/transactions/export
GET    /
GET    /credits
GET    /credits/{credit_id}
GET    /credits/{credit_id}/days/{day}
GET    /credits/{credit_id}/bundle.json
GET    /credits/{credit_id}/manifest.json
GET    /credits/{credit_id}/readings.json
GET    /holders/{address}
GET    /operations
GET    /plants
GET    /plants/{code}
GET    /projects
GET    /projects/{code}
GET    /retirements
GET    /retirements/{retirement_id}
GET    /retirements/{retirement_id}/certificate.pdf
GET    /search
GET    /settlements
GET    /settlements/{name}
GET    /sites/{code}
GET    /static/{version}/{name:path}
GET    /transactions/{tx_hash}
GET    /v1/retirements/{retirement_id}/certificate
"""

ENDS_SESSIONS = "POST /sign-out"
"""Is called with sessions of its own: it ends them."""
WITH_SESSIONS = ("viewer", "operator", "admin")

VALUES = {"user_id": "999999", "right": "audit:read", "session_id": "0" * 64, "key_id": "999999"}
MEANING = {".": "allowed", "1": 401, "3": 403}


def matrix() -> dict[str, list[str]]:
    """Return the verdicts of each route."""
    lines = [line.split() for line in PRIVATE.strip().splitlines()]
    found = {f"{method} {path}": verdicts for method, path, *verdicts in lines}
    for line in PUBLIC.strip().splitlines():
        method, path = line.split()
        found[f"{method} {path}"] = ["."] * len(CALLERS)
    return found


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with everybody who calls."""
    folder = tmp_path_factory.mktemp("matrix")
    with new_house(folder) as house:
        yield house


@pytest.fixture(scope="module")
def callers(house: House) -> Iterator[dict[str, dict[str, str]]]:
    """The headers of each caller; at the end they must still do, or what a line said hung on the lines before it."""
    headers: dict[str, dict[str, str]] = {"anonymous": {}}
    for name, role in (
        ("viewer", UserRole.VIEWER),
        ("operator", UserRole.OPERATOR),
        ("admin", UserRole.ADMIN),
        ("expired", UserRole.ADMIN),
        ("disabled", UserRole.ADMIN),
    ):
        house.add(name, role)
        headers[name] = house.sign_in(name)
    for scope in CALLERS[7:]:
        _, headers[scope] = house.key(headers["admin"], scope)
    number, headers["revoked-key"] = house.key(headers["admin"], "users:read")
    revoked = house.client.delete(f"/v1/api-keys/{number}", headers=headers["admin"])
    assert revoked.status_code == 204
    (row,) = house.sql("SELECT id FROM users WHERE username = 'disabled'")
    house.client.patch(f"/v1/users/{row[0]}", json={"is_active": False}, headers=headers["admin"])
    house.sql(
        "UPDATE user_sessions SET expires_at = '2026-01-01 00:00:00.000000' WHERE user_id = "
        "(SELECT id FROM users WHERE username = 'expired')"
    )
    yield headers
    for name in (*WITH_SESSIONS, *CALLERS[7:]):
        assert house.client.get("/v1/me", headers=headers[name]).status_code == 200, name


def path_of(template: str) -> str:
    """Return a path that a route answers."""
    return re.sub(r"\{([^}]+)\}", lambda found: VALUES.get(found[1], "1"), template)


def routes(house: House) -> dict[str, set[str]]:
    """Return what each route of the application declares."""
    return {
        f"{method} {route.path}": declared(route)
        for route in iter_route_contexts(house.app.routes)
        for method in (route.methods or set()) - {"HEAD"}
    }


def test_every_route_has_a_line_and_every_line_a_route(house: House) -> None:
    assert set(routes(house)) - set(matrix()) == set(), "routes without a verdict"
    assert set(matrix()) - set(routes(house)) == set(), "verdicts without a route"


def test_every_route_declares_one_need(house: House) -> None:
    assert {name: found for name, found in routes(house).items() if len(found) != 1} == {}
    public = {name for name, found in routes(house).items() if found == {"public"}}
    assert public == set(map(" ".join, map(str.split, PUBLIC.strip().splitlines())))


def test_every_scope_has_a_column() -> None:
    assert tuple(CALLERS[7:]) == rights.SCOPES
    assert all(len(verdicts) == len(CALLERS) for verdicts in matrix().values())


@few(94)
@pytest.mark.parametrize("name", matrix())
def test_the_verdict_of_every_call(
    house: House, callers: dict[str, dict[str, str]], name: str
) -> None:
    method, template = name.split()
    path = path_of(template)
    body = {} if method in ("POST", "PUT", "PATCH") else None
    headers = dict(callers)
    if name == ENDS_SESSIONS:
        headers |= {caller: house.sign_in(caller) for caller in WITH_SESSIONS}
    wrong = []
    verdicts = dict(zip(CALLERS, matrix()[name], strict=True))
    if set(verdicts.values()) == {"."} and not is_long():  # of what is everybody's, a few ask
        verdicts = {caller: "." for caller in ("anonymous", "viewer", "expired", "users:read")}
    for caller, verdict in verdicts.items():
        answer = house.client.request(method, path, json=body, headers=headers[caller])
        status = answer.status_code
        found = status if status in (401, 403) else "allowed"
        if found != MEANING[verdict] or status == 500:
            wrong.append((caller, status, answer.text))
        if status in (401, 403):
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="truetonne"')
    assert wrong == []


def test_no_route_takes_a_parameter_that_it_does_not_know(
    house: House, callers: dict[str, dict[str, str]]
) -> None:
    """A slip in the name of a filter would be answered with all rows, as if it were obeyed."""
    of_programs = ("/v1/", "/livez", "/readyz", "/metrics", "/openapi.json", "/verify")
    unknown = {"place": "query", "name": "surplus", "message": "unknown parameter"}
    taken = []
    for method, template in map(str.split, matrix()):
        if not template.startswith(of_programs):
            continue
        answer = house.client.request(
            method, f"{path_of(template)}?surplus=1", headers=callers["admin"]
        )
        if answer.status_code != 422 or unknown not in answer.json()["errors"]:
            taken.append((method, template, answer.status_code))
    assert taken == []
