"""Posting what is due, and noting what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from importlib import metadata
from threading import Event

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.audit import HOUSE
from ledger.clock import utc_now
from ledger.db import Database, tables
from ledger.errors import BadInput, TruetonneError
from ledger.models import WebhookDelivery, WebhookEndpoint, WebhookMessage, WebhookTry
from ledger.models.webhooks import DeliveryState, EndpointState
from ledger.sealing import Sealer
from ledger.webhooks.endpoints import context, secrets_of
from ledger.webhooks.posting import AFTER_MAX, Answer, Sender, since_ms
from ledger.webhooks.resting import Known, Rests
from ledger.webhooks.signing import headers
from ledger.webhooks.targets import resolve

DELAYS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 30, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""Wait after the first, second, ... try that failed: three days and three hours in all. Then it has failed."""
AT_ONCE = 8
"""Endpoints that are posted to side by side; one endpoint gets one message after the other."""
PER_ENDPOINT = 50
"""Deliveries of an endpoint in one go, so that a slow one does not keep the others waiting."""
_SORTED_AT_ONCE = 2_000
"""Deliveries of an endpoint that are looked up in one go: all that wait are sorted for it."""
RUN_S = 30.0
"""After this a run begins no more deliveries, and the next goes on."""
_LOOK_S = 1.0
"""While a slow endpoint is waited for, the others are looked after so often."""
_LONGEST = max(*DELAYS, AFTER_MAX)
"""Nothing is put off for longer: what is due later was made so by a clock that was ahead."""
_GONE = 410
_FORGOTTEN_AT_ONCE = 10_000


@dataclass(frozen=True)
class Posting:
    """What messages are posted with.

    Parameters
    ----------
    sealer
        Opens the secrets.
    private
        Whether hosts of one's own network are allowed.
    agent
        User-Agent.
    now
        Time of day, aware.
    rests
        Endpoints that are left alone for a while; whoever posts again and again keeps them from one run to the next.
    """

    sealer: Sealer
    private: bool
    agent: str
    now: Callable[[], datetime] = utc_now
    rests: Rests = field(default_factory=Rests)


@dataclass
class _Run:
    """What the threads of one run share.

    Parameters
    ----------
    until
        By ``time.monotonic``: after this no delivery is begun.
    message_id
        Only this message is sent.
    """

    until: float
    message_id: str | None = None
    left: Event = field(default_factory=Event)
    """Set when nobody waits for its end."""
    senders: set[Sender] = field(default_factory=set)
    following: dict[int, list[int]] = field(default_factory=dict)
    """By endpoint: deliveries that were looked up, in their order, and not begun."""

    @contextmanager
    def threads(self) -> Iterator[ThreadPoolExecutor]:
        """Yield the threads; at the end they are waited for. Interrupted, they end at once.

        What was being sent then counts as never tried, and is sent again.
        """
        with ThreadPoolExecutor(AT_ONCE) as threads:
            try:
                yield threads
            except KeyboardInterrupt:
                self.left.set()
                for sender in tuple(self.senders):
                    sender.leave()
                raise


def agent() -> str:
    """Return the User-Agent of this version."""
    return f"truetonne/{metadata.version('truetonne')}"


def deliver(
    db: Database,
    posting: Posting,
    message_id: str | None = None,
    collected: Callable[[], object] = lambda: None,
) -> tuple[int, int]:
    """Post what is due; return how many were taken, and how many tries failed.

    While an endpoint is slow the others get what becomes due for them: a run ends when nothing is being sent any
    more. For one process at a time: two would post the same twice, which the other side has to expect anyway.

    Parameters
    ----------
    message_id
        Only this message.
    collected
        Called whenever it is looked for what is due: makes deliveries of what has happened meanwhile.

    Raises
    ------
    BadInput
        If secrets of an endpoint cannot be opened here, when the others were posted to. That is no try: its messages
        wait for who has the key.
    """
    taken = failed = 0
    trouble: BadInput | None = None
    run = _Run(time.monotonic() + RUN_S, message_id)
    under_way: dict[Future[tuple[int, int]], int] = {}
    resting: set[int] = set()
    """Endpoints that did not take something: they wait for the next run."""
    waiting = _waiting(db, posting, message_id)
    with run.threads() as threads:
        while True:
            for number, known in waiting.items():
                if number not in resting and number not in under_way.values():
                    to = threads.submit(_deliver_to, db, posting, number, known, run)
                    under_way[to] = number
            if not under_way:
                break
            done, _ = wait(under_way, _LOOK_S, FIRST_COMPLETED)
            for each in done:
                number = under_way.pop(each)
                try:
                    good, bad = each.result()
                except BadInput as error:
                    trouble, good, bad = trouble or error, 0, 0
                taken, failed = taken + good, failed + bad
                if bad or not good:
                    resting.add(number)
            waiting = {}
            if time.monotonic() < run.until:
                if under_way:  # else the next run does it
                    collected()
                waiting = _waiting(db, posting, message_id)
    if trouble is not None:
        raise trouble
    return taken, failed


def _waiting(db: Database, posting: Posting, message_id: str | None) -> dict[int, Known]:
    """Return the endpoints for which something is due, but those that rest; one message is sent there too."""
    due = _due(posting, message_id)
    query = (
        select(
            WebhookEndpoint.id,
            WebhookEndpoint.url,
            WebhookEndpoint.heard_at,
            WebhookEndpoint.resumed_at,
        )
        .where(
            WebhookEndpoint.state == EndpointState.ACTIVE,
            WebhookEndpoint.id.in_(select(WebhookDelivery.endpoint_id).where(*due)),
        )
        .order_by(WebhookEndpoint.id)
    )
    with db.read() as session:
        found = {
            number: Known(url, heard_at, resumed_at)
            for number, url, heard_at, resumed_at in session.execute(query)
        }
    at, rests = posting.now(), posting.rests
    return {
        number: known
        for number, known in found.items()
        if message_id is not None or not rests.has(number, known, at)
    }


def _due(posting: Posting, message_id: str | None) -> list[ColumnElement[bool]]:
    """Return the conditions that a delivery is due, and of this message where one is given."""
    found = [WebhookDelivery.state == DeliveryState.PENDING, _is_due(posting.now())]
    if message_id is not None:
        row = select(WebhookMessage.id).where(WebhookMessage.message_id == message_id)
        found.append(WebhookDelivery.message_row == row.scalar_subquery())
    return found


def _is_due(at: datetime) -> ColumnElement[bool]:
    """Return the condition that a delivery is due, though the clock may have been set back since it was made."""
    due_at = WebhookDelivery.due_at
    return or_(due_at <= at, WebhookDelivery.tries == 0, due_at > at + _LONGEST)


def _deliver_to(
    db: Database, posting: Posting, endpoint_id: int, known: Known, run: _Run
) -> tuple[int, int]:
    taken = failed = 0
    found = run.following.get(endpoint_id) or _due_to(db, posting, endpoint_id, run.message_id)
    deliveries, run.following[endpoint_id] = found[:PER_ENDPOINT], found[PER_ENDPOINT:]
    with Sender() as sender:
        run.senders.add(sender)
        for number in deliveries:
            if run.left.is_set():
                break
            answer = _post(db, posting, sender, number)
            if run.left.is_set() and (answer is None or answer.status is None):
                break  # it was not waited for
            if answer is None:
                continue
            at = posting.now()
            if answer.error is None:
                taken, known = taken + 1, known._replace(heard_at=at)
            else:
                failed += 1
            posting.rests.note(endpoint_id, known, answer, at)
            note = partial(_note, number=number, answer=answer, at=at, url=known.url)
            if not db.run(note):
                break  # it takes none any more
            if answer.status is None or answer.after is not None:
                break  # nobody there, or it asks for a rest: the others wait for the end of that
            if time.monotonic() > run.until:
                break
    return taken, failed


def _due_to(db: Database, posting: Posting, endpoint_id: int, message_id: str | None) -> list[int]:
    """Return the first deliveries that are due to an endpoint, in the order in which they are sent."""
    query = (
        select(WebhookDelivery.id)
        .join(WebhookMessage, WebhookMessage.id == WebhookDelivery.message_row)
        .where(WebhookDelivery.endpoint_id == endpoint_id, *_due(posting, message_id))
        # By block, since who is told again from an early one gets deliveries that are newer than those it has of
        # later ones; of a block as collected. Alerts stand in none, and come first.
        .order_by(WebhookMessage.block_number, WebhookDelivery.id)
        .limit(_SORTED_AT_ONCE)
    )
    with db.read() as session:
        return list(session.scalars(query))


def _post(db: Database, posting: Posting, sender: Sender, number: int) -> Answer | None:
    """Post one delivery; None when it is not due any more."""
    with db.read() as session:
        query = (
            select(WebhookDelivery, WebhookMessage, WebhookEndpoint)
            .join(WebhookMessage, WebhookMessage.id == WebhookDelivery.message_row)
            .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
            .where(WebhookDelivery.id == number)
        )
        row = session.execute(query).one_or_none()
        if row is None:  # forgotten meanwhile
            return None
        delivery, message, endpoint = row
        if (
            delivery.state is not DeliveryState.PENDING
            or endpoint.state is not EndpointState.ACTIVE
        ):
            return None
    at = posting.now()
    secrets = secrets_of(posting.sealer, endpoint, at)
    signed = headers(secrets, message.message_id, int(at.timestamp()), message.body)
    started = time.monotonic()
    try:
        target = resolve(endpoint.url, posting.private)
    except TruetonneError as error:
        return Answer(None, error.message, since_ms(started))
    sent = {
        **signed,
        "host": target.host,
        "content-type": "application/json",
        "user-agent": posting.agent,
    }
    return sender.send(target.urls, message.body.encode(), sent, target.name, at)


def _note(session: Session, number: int, answer: Answer, at: datetime, url: str) -> bool:
    """Note a try; return whether the endpoint takes more.

    Parameters
    ----------
    url
        Who answered: what a former address says ends nothing.
    """
    delivery = session.get_one(WebhookDelivery, number, with_for_update=True)
    endpoint = session.get_one(WebhookEndpoint, delivery.endpoint_id, with_for_update=True)
    session.add(
        WebhookTry(
            delivery_id=number,
            at=at,
            duration_ms=answer.duration_ms,
            http_status=answer.status,
            error=answer.error,
        )
    )
    if answer.error is None:
        delivery.state, delivery.delivered_at = DeliveryState.DELIVERED, at
        delivery.tries += 1
        endpoint.heard_at = at
        return True
    delivery.tries += 1
    is_its = endpoint.url == url
    if answer.status == _GONE and is_its:
        _disable(session, endpoint, "it answered 410, Gone")
        return False
    if delivery.tries <= len(DELAYS):
        wait = max(DELAYS[delivery.tries - 1], answer.after or timedelta())
        delivery.due_at = at + wait
        return True
    delivery.state = DeliveryState.FAILED
    whole = sum(DELAYS, timedelta())
    if is_its and (endpoint.heard_at is None or at - endpoint.heard_at > whole):
        _disable(session, endpoint, f"it took nothing for days: {answer.error}")
        return False
    return True


def _disable(session: Session, endpoint: WebhookEndpoint, reason: str) -> None:
    if endpoint.state is not EndpointState.ACTIVE:
        return  # somebody paused or removed it meanwhile, and that stands
    old = {"state": endpoint.state.value, "reason": endpoint.reason}
    endpoint.state, endpoint.reason = EndpointState.DISABLED, reason[:500]
    session.flush()
    new = {"state": endpoint.state.value, "reason": endpoint.reason}
    audit.record(session, "webhooks.disable", context(endpoint), old, new, HOUSE)


def forget_messages(session: Session, before: datetime) -> int:
    """Delete messages about alerts, and tests, that were made before a time and have no delivery; return how many.

    Those of the chain stay: a delivery that is gone is made again by whoever tells an endpoint from an early block.
    """
    old = select(WebhookMessage.id).where(
        WebhookMessage.block_number.is_(None),
        WebhookMessage.created_at < before,
        ~exists().where(WebhookDelivery.message_row == WebhookMessage.id),
    )
    numbers = session.scalars(old.limit(_FORGOTTEN_AT_ONCE)).all()
    tables.delete_among(session, WebhookMessage.id, numbers)
    return len(numbers)


def forget_delivered(session: Session, before: datetime) -> int:
    """Delete what was delivered before a time, or was made before it in vain, with its tries; return how many it was.

    In vain is what has failed, or waits for an endpoint that was removed.
    """
    removed = select(WebhookEndpoint.id).where(WebhookEndpoint.state == EndpointState.REMOVED)
    state = WebhookDelivery.state
    in_vain = or_(
        state == DeliveryState.FAILED,
        and_(state == DeliveryState.PENDING, WebhookDelivery.endpoint_id.in_(removed)),
    )
    old = select(WebhookDelivery.id).where(
        or_(
            and_(state == DeliveryState.DELIVERED, WebhookDelivery.delivered_at < before),
            and_(in_vain, WebhookDelivery.created_at < before),
        )
    )
    numbers = session.scalars(old.limit(_FORGOTTEN_AT_ONCE)).all()
    tables.delete_among(session, WebhookTry.delivery_id, numbers)
    tables.delete_among(session, WebhookDelivery.id, numbers)
    return len(numbers)
