"""``/v1/webhooks``: who is told of events, added and changed by whoever may; secrets are shown once."""

from collections.abc import Iterator
from typing import Any

import pytest

from ledger.clock import utc_now
from ledger.identity import users
from ledger.models import WebhookDelivery, WebhookMessage
from ledger.models.users import UserRole
from ledger.models.webhooks import DeliveryState
from ledger.webhooks import endpoints
from tests.support.identity import House, new_house

HOOK = {"url": "https://example.org/hook", "event_types": ["credit.*"]}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("webhooks")
    with new_house(folder) as house:
        house.add("olga", UserRole.OPERATOR)
        yield house


@pytest.fixture(scope="module")
def olga(house: House) -> dict[str, str]:
    return house.sign_in("olga")


def test_from_adding_to_removing(house: House, olga: dict[str, str]) -> None:
    client = house.client
    once = {**olga, "Idempotency-Key": "0123456789abcdef"}
    made = client.post("/v1/webhooks", json={**HOOK, "description": "of the town"}, headers=once)
    assert made.status_code == 201, made.text
    secret, number = made.json()["secret"], made.json()["id"]
    assert secret.startswith("whsec_")
    assert made.json()["description"] == "of the town"
    again = client.post("/v1/webhooks", json={**HOOK, "description": "of the town"}, headers=once)
    assert again.json() == made.json()
    place = made.headers["Location"]
    assert place == f"/v1/webhooks/{number}"

    shown = client.get(place, headers=olga).json()
    assert {**shown, "secret": secret} == made.json()
    assert (shown["state"], shown["told_block"], shown["reason"]) == ("active", 0, None)
    changed = client.patch(
        place, json={"state": "paused", "event_types": ["*"], "description": ""}, headers=olga
    ).json()
    assert (changed["state"], changed["event_types"]) == ("paused", ["*"])
    assert changed["description"] is None
    listed = client.get("/v1/webhooks?state=paused", headers=olga).json()
    assert [item["id"] for item in listed["items"]] == [number]
    other = client.post(f"{place}/secret", headers=olga)
    assert other.status_code == 201 and other.json()["secret"] != secret
    assert client.get(f"{place}/deliveries", headers=olga).json()["items"] == []
    due = client.post(f"{place}/replays", json={"from_block": 0}, headers=olga)
    assert (due.status_code, due.json()) == (201, {"due": 0})
    me = client.get("/v1/me", headers=olga).json()["username"]
    with house.db.read() as session:  # `users disable` names it, for it outlasts her rights
        theirs = endpoints.led_by(session, users.named(session, me).id)
        assert [row.id for row in theirs] == [number]
    assert client.delete(place, headers=olga).status_code == 204
    with house.db.read() as session:
        assert endpoints.led_by(session, users.named(session, me).id) == []
    missing = client.patch(place, json={"state": "active"}, headers=olga)
    assert missing.status_code == 404
    assert missing.json()["detail"] == "there is no webhook endpoint 1; /v1/webhooks shows all"
    left = client.get("/v1/webhooks", headers=olga).json()["items"]
    assert number not in [item["id"] for item in left]
    assert client.get(place, headers=olga).json()["state"] == "removed"

    acts = [action for action, of in house.audit() if of == f"webhook_endpoints/{number}"]
    assert acts == [f"webhooks.{each}" for each in ("add", "change", "rotate", "replay", "remove")]
    everything = str([house.sql(f"SELECT * FROM {table}") for table in
                      ("webhook_endpoints", "audit_logs", "idempotency_keys")])  # fmt: skip
    assert secret not in everything and other.json()["secret"] not in everything


def test_who_may_not_see_alerts_may_not_have_them_told(house: House, olga: dict[str, str]) -> None:
    scopes = ["webhooks:read", "webhooks:write"]
    made = house.client.post("/v1/api-keys", json={"name": "hooks", "scopes": scopes}, headers=olga)
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    for types in (["alert.raised"], ["alert.*"], ["credit.*", "*"]):
        refused = house.client.post(
            "/v1/webhooks", json={**HOOK, "event_types": types}, headers=key
        )
        assert (refused.status_code, refused.json()["right"]) == (403, "park:read")
    place = house.client.post("/v1/webhooks", json=HOOK, headers=key).headers["Location"]
    for headers, status in ((key, 403), (olga, 200)):
        body = {"event_types": ["alert.cleared"]}
        assert house.client.patch(place, json=body, headers=headers).status_code == status
    # Nor lead those of somebody else to another place.
    moved = {"url": "https://example.org/mine"}
    assert house.client.patch(place, json=moved, headers=key).status_code == 403
    # By asking for no more of them, what is on its way would go there all the same.
    both = {**moved, "event_types": ["credit.*"]}
    assert house.client.patch(place, json=both, headers=key).status_code == 403
    assert house.client.patch(place, json=both, headers=olga).status_code == 200
    assert house.client.patch(place, json=moved, headers=key).status_code == 200

    with house.db.write() as session:  # what it was told of before
        names = [f"msg_{number}" for number in range(2)]
        for name, kind in zip(names, ("alert.cleared", "credit.issued"), strict=True):
            message = WebhookMessage(message_id=name, event_type=kind, body="{}")
            session.add(message)
            session.flush()
            delivery = WebhookDelivery(
                endpoint_id=int(place.rpartition("/")[2]),
                message_row=message.id,
                state=DeliveryState.FAILED,
                tries=11,
                due_at=utc_now(),
            )
            session.add(delivery)
    moved = {"url": "https://example.org/elsewhere"}
    alert, credit = ({"message_ids": [name]} for name in names)
    again = f"{place}/replays"
    for headers, status in ((key, 403), (olga, 201)):
        for body in (alert, {"failed": True}):
            assert house.client.post(again, json=body, headers=headers).status_code == status
    assert house.client.patch(place, json=moved, headers=key).status_code == 403
    for body in (credit, {"from_block": 0}):
        assert house.client.post(again, json=body, headers=key).status_code == 201
    house.sql(
        "UPDATE webhook_deliveries SET state = 'failed' WHERE id = 2"
    )  # of what is due no alert
    assert house.client.post(again, json={"failed": True}, headers=key).json() == {"due": 1}
    with house.db.read() as session:  # with all its tries before it, as the first time
        due = [(row.state, row.tries) for row in session.query(WebhookDelivery)]
    assert due == [(DeliveryState.PENDING, 0)] * 2
    assert house.client.patch(place, json={"description": "x"}, headers=key).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({**HOOK, "url": "http://example.org/"}, 422, "must begin with https://"),
        ({**HOOK, "url": "https://user@example.org/"}, 422, "carries a name or password"),
        ({**HOOK, "event_types": ["credit.lost"]}, 422, "there is no event 'credit.lost'"),
        ({**HOOK, "event_types": []}, 422, "event_types"),
        ({**HOOK, "secret": "mine"}, 422, "secret"),
        ({**HOOK, "description": "a\x00b"}, 422, "printable"),
        ({"url": "https://example.org/"}, 422, "event_types"),
    ],
)
def test_what_cannot_be_added(
    house: House, olga: dict[str, str], body: dict[str, Any], status: int, said: str
) -> None:
    answer = house.client.post("/v1/webhooks", json=body, headers=olga)
    assert answer.status_code == status
    assert said in answer.text


@pytest.mark.parametrize(
    "body", [{}, {"failed": True, "from_block": 1}, {"message_ids": []}, {"failed": False}]
)
def test_what_cannot_be_sent_again(
    house: House, olga: dict[str, str], body: dict[str, Any]
) -> None:
    made = house.client.post("/v1/webhooks", json=HOOK, headers=olga).json()
    place = f"/v1/webhooks/{made['id']}/replays"
    assert house.client.post(place, json=body, headers=olga).status_code == 422
    missing = house.client.post(place, json={"message_ids": ["msg_none"]}, headers=olga)
    assert (missing.status_code, missing.json()["code"]) == (404, "no-such-message")
    sent = f"/v1/webhooks/{made['id']}/deliveries"
    assert missing.json()["detail"].endswith(f"; {sent} shows which were")
