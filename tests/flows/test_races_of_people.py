"""Two units of work about users, keys, webhooks and records of a park at once (see ``tests.support.races``)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.audit import HOUSE
from ledger.chain.access import Chain
from ledger.db import Database
from ledger.identity import attempts, keys, permissions, sessions, signing_in, users
from ledger.identity.rights import CHANGES_USERS
from ledger.identity.sessions import Lifetime
from ledger.models import ApiKey, User, UserSession, WebhookDelivery, WebhookEndpoint
from ledger.models.users import UserRole
from ledger.models.webhooks import DeliveryState, EndpointState
from ledger.park import KINDS, configuration, import_records, read_file
from ledger.sealing import Sealer
from ledger.webhooks import collect, delivering, endpoints, outbox
from tests.support.forms import long
from tests.support.races import Work, World, after, on, racing_world, require_one_after_the_other

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD_KEY, NEW_KEY = b"o" * 32, b"n" * 32
FORMER = Sealer({1: OLD_KEY}, b"i" * 32)
SEALER = Sealer({1: OLD_KEY, 2: NEW_KEY}, b"i" * 32)
LIFETIME = Lifetime(timedelta(hours=12), timedelta(hours=1))
SHARE = "vpp_code,resource_code,allocation_ratio,role,associated_at\n"
RESOURCE = "resource_code,name,type,capacity,unit,status\n"
URL = "https://example.org/hook"


def begun(world: World) -> None:
    """Have two admins and a viewer, an endpoint, and a park's records with half of a resource shared out."""
    world.park.mirror_final()
    for name, role in (
        ("anna", UserRole.ADMIN),
        ("bert", UserRole.ADMIN),
        ("carl", UserRole.VIEWER),
    ):
        world.park.db.run(
            partial(
                users.add,
                sealer=FORMER,
                username=name,
                email=f"{name}@example.org",
                role=role,
                password_hash="x",
                by=HOUSE,
            )
        )
    world.park.db.run(
        lambda session: endpoints.add(
            session, FORMER, URL, ("*",), None, HOUSE, private=False, from_block=1
        )
    )
    bring("resources", RESOURCE + "R,R,solar,100,kW,active\n")(
        world.park.db, world.park.chain, world
    )


def bring(kind: str, text: str) -> Work:
    """Return a work that imports records."""

    def work(db: Database, _chain: Chain, world: World) -> None:
        file = world.folder / f"{kind}-{abs(hash(text))}.csv"
        file.write_text(text)
        read = read_file(KINDS[kind], file)
        report = db.run(lambda session: import_records(session, KINDS[kind], read))
        if report.errors:
            raise AssertionError(report.errors[0].message)

    return work


def of_user(name: str, act: Callable[..., object], *given: Any, **more: Any) -> Work:
    """Return a work that does something to a user, who was looked up before."""
    return on(lambda session: act(session, users.named(session, name), *given, **more))


def of_endpoint(act: Callable[..., object], *given: Any, **more: Any) -> Work:
    """Return a work that does something to the endpoint."""
    return on(lambda session: act(session, endpoints.get(session, 1), *given, **more))


def rotate(session: Session) -> None:
    endpoints.rotate(session, SEALER, endpoints.get(session, 1), HOUSE, NOW)


def reseal(session: Session) -> None:
    endpoints.reseal(session, SEALER, 0, 100)
    users.reseal(session, SEALER, 0, 100)


def add_endpoint(session: Session) -> None:
    endpoints.add(session, SEALER, URL, ("*",), None, HOUSE, private=False)


def many_endpoints(session: Session) -> None:
    session.add_all(
        WebhookEndpoint(
            url=URL,
            event_types=["*"],
            secret_sealed="",
            state=EndpointState.PAUSED,
            told_block=0,
        )
        for _ in range(endpoints.ENDPOINTS_MAX - 2)
    )


def in_vain(session: Session) -> None:
    """Have all deliveries failed, as after days."""
    for row in session.scalars(select(WebhookDelivery)):
        row.state = DeliveryState.FAILED


def forget(session: Session) -> None:
    """Delete old deliveries and sessions, as the job does after a year."""
    delivering.forget_delivered(session, datetime.now(UTC) + timedelta(days=1))
    sessions.forget(session, NOW + timedelta(days=400))


def many_keys(session: Session) -> None:
    carl = users.named(session, "carl")
    for _ in range(keys.ACTIVE_MAX - 1):
        keys.make(session, carl, "a key", ["park:read"], 90, HOUSE, NOW)


def make_key(session: Session) -> None:
    carl = users.named(session, "carl")
    keys.make(session, carl, "another", ["park:read"], 90, HOUSE, NOW)


def revoke(session: Session) -> None:
    row = session.scalars(select(ApiKey).order_by(ApiKey.id)).first()
    assert row is not None
    keys.revoke(session, row, HOUSE, NOW)


def sign_in(session: Session) -> None:
    user = User(id=3, username="carl", password_hash="x")
    signing_in.begin(session, user, None, LIFETIME, HOUSE, NOW)


def sign_out(session: Session) -> None:
    row = session.scalars(select(UserSession)).first()
    if row is not None:
        sessions.end(session, 3, row.session_id, HOUSE, NOW)


def attempts_before(session: Session) -> None:
    for _ in range(attempts.PAIR_MAX - 1):
        attempts.begin(session, "carl", "10.0.0.1", NOW)


def add_user(name: str, email: str) -> Work:
    return on(
        lambda session: users.add(
            session,
            SEALER,
            username=name,
            email=email,
            role=UserRole.VIEWER,
            password_hash="x",
            by=HOUSE,
        )
    )


WORKS: dict[str, Work] = {
    "disable-anna": of_user("anna", users.change, HOUSE, is_active=False),
    "disable-bert": of_user("bert", users.change, HOUSE, is_active=False),
    "demote-bert": of_user("bert", users.change, HOUSE, role=UserRole.VIEWER),
    "deny-bert": of_user("bert", permissions.decide, CHANGES_USERS, False, HOUSE),
    "mail-anna": of_user("anna", users.change, HOUSE, email="new@example.org", sealer=SEALER),
    "mail-bert": of_user("bert", users.change, HOUSE, email="new@example.org", sealer=SEALER),
    "disable-carl": of_user("carl", users.change, HOUSE, is_active=False),
    "password": of_user("carl", users.set_password, "y", HOUSE),
    "profile": of_user("carl", lambda s, u: users.set_profile(s, SEALER, u, {"a": 1}, HOUSE)),
    "grant": of_user("carl", permissions.decide, "users:read", True, HOUSE),
    "deny": of_user("carl", permissions.decide, "users:read", False, HOUSE),
    "leave": of_user("carl", permissions.leave_to_role, "users:read", HOUSE),
    "add": add_user("dora", "dora@example.org"),
    "add-mail": add_user("dora2", "dora@example.org"),
    "make-key": on(make_key),
    "many-keys": on(many_keys),
    "revoke": on(revoke),
    "sign-in": on(sign_in),
    "sign-out": on(sign_out),
    "attempt": on(lambda session: attempts.begin(session, "carl", "10.0.0.1", NOW)),
    "attempts": on(attempts_before),
    "add-endpoint": on(add_endpoint),
    "many-endpoints": on(many_endpoints),
    "rotate": on(rotate),
    "remove": of_endpoint(endpoints.remove, HOUSE),
    "pause": of_endpoint(endpoints.change, HOUSE, private=False, state=EndpointState.PAUSED),
    "reseal": on(reseal),
    "collect": lambda db, chain, world: collect(db, NOW),
    "tell-from": of_endpoint(outbox.tell_from, 1, HOUSE, NOW),
    "in-vain": on(in_vain),
    "again": of_endpoint(outbox.again, HOUSE, NOW, failed=True),
    "forget": on(forget),
    "share": bring("shares", SHARE + "plant,R,0.6,primary,2026-01-01T00:00:00Z\n"),
    "share-other": bring("shares", SHARE + "other,R,0.6,primary,2026-01-01T00:00:00Z\n"),
    "other": bring("vpps", "vpp_code,name,total_capacity,status\nother,Other,10,active\n"),
    "resource": bring("resources", RESOURCE + "Q,Q,solar,100,kW,active\n"),
    "config": on(lambda session: configuration.put(session, "a.b", "1")),
    "config-other": on(lambda session: configuration.put(session, "a.b", "2")),
    "unset": on(lambda session: configuration.remove(session, "a.b")),
}
PAIRS: list[tuple[str, str, tuple[str, ...]]] = [
    ("disable-anna", "disable-bert", ()),
    ("disable-anna", "demote-bert", ()),
    ("demote-bert", "disable-anna", ()),
    ("disable-anna", "deny-bert", ()),
    ("deny-bert", "disable-anna", ()),
    ("mail-anna", "mail-bert", ()),
    ("mail-anna", "disable-anna", ()),
    ("add", "add", ()),
    ("add", "add-mail", ()),
    ("grant", "deny", ()),
    ("grant", "grant", ()),
    ("leave", "deny", ("grant",)),
    ("leave", "leave", ("grant",)),
    ("make-key", "disable-carl", ()),
    ("disable-carl", "make-key", ()),
    ("make-key", "make-key", ("many-keys",)),
    ("revoke", "revoke", ("make-key",)),
    ("revoke", "make-key", ("many-keys",)),
    ("sign-in", "password", ()),
    ("password", "sign-in", ()),
    ("disable-carl", "sign-in", ()),
    ("sign-in", "disable-carl", ()),
    ("sign-out", "password", ("sign-in",)),
    ("profile", "reseal", ()),
    ("reseal", "profile", ()),
    ("reseal", "mail-anna", ()),
    ("mail-anna", "reseal", ()),
    ("attempt", "attempt", ("attempts",)),
    ("add-endpoint", "add-endpoint", ("many-endpoints",)),
    ("rotate", "rotate", ()),
    ("rotate", "remove", ()),
    ("remove", "rotate", ()),
    ("rotate", "reseal", ()),
    ("reseal", "rotate", ()),
    ("pause", "remove", ()),
    ("collect", "collect", ()),
    ("collect", "remove", ()),
    ("collect", "tell-from", ()),
    ("tell-from", "collect", ("collect",)),
    ("again", "forget", ("collect", "in-vain")),
    ("forget", "again", ("collect", "in-vain")),
    ("tell-from", "forget", ("collect", "in-vain")),
    ("sign-out", "forget", ("sign-in",)),
    ("password", "forget", ("sign-in",)),
    ("share", "share-other", ("other",)),
    ("resource", "resource", ()),
    ("config", "config-other", ()),
    ("unset", "config-other", ("config",)),
    ("config-other", "unset", ("config",)),
]


world = racing_world(begun)


@long
@pytest.mark.mariadb
@pytest.mark.parametrize(("first", "second", "prepared"), PAIRS)
def test_at_once_is_as_one_after_the_other(
    world: World, first: str, second: str, prepared: tuple[str, ...]
) -> None:
    before = after(*(WORKS[name] for name in prepared))
    require_one_after_the_other(world, WORKS[first], WORKS[second], before)
