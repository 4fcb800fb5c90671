"""Who wants to be told: added, changed, paused, removed; each act is in the audit log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.audit import By
from ledger.clock import time_text, utc_now
from ledger.errors import BadInput, NotFound, Refused
from ledger.models import AuditLog, ChainBlock, ChainCursor, WebhookEndpoint
from ledger.models.webhooks import EndpointState
from ledger.sealing import SAMPLES, Resealed, Sealer, key_number, require_ours, reseal_rows
from ledger.webhooks.signing import new_secret
from ledger.webhooks.targets import check_url
from ledger.webhooks.telling import check_patterns

ENDPOINTS_MAX = 100
FORMER_KEPT = timedelta(hours=24)
"""How long a secret that was replaced signs beside the new one."""
_APART_MAX = timedelta(hours=1)
"""How far clocks of two machines may differ. A former secret that would sign for longer than that and a day was
replaced by a clock that was ahead, and would sign until that time has come."""
_DESCRIPTION_MAX = 200


def add(
    session: Session,
    sealer: Sealer,
    url: str,
    events: Iterable[str],
    description: str | None,
    by: By,
    *,
    private: bool,
    from_block: int | None = None,
) -> tuple[str, WebhookEndpoint]:
    """Add an endpoint; return its secret, which is shown once, and its row.

    Parameters
    ----------
    url
        Where messages are posted.
    events
        Types that it wants; ``credit.*`` and ``*`` stand for several.
    private
        Whether hosts of one's own network are allowed.
    from_block
        First block whose events are told; None: what becomes final from now on.

    Raises
    ------
    BadInput
        If address, events or description cannot be used, or the block is beyond those that the books have.
    Refused
        If there are too many endpoints, or nobody knows what is final by now.
    """
    check_url(url, private)
    patterns = check_patterns(events)
    description = _description(description)
    there = select(WebhookEndpoint.id).where(WebhookEndpoint.state != EndpointState.REMOVED)
    # Locked: who adds one at the same moment waits, and counts this one.
    count = len(session.scalars(there.with_for_update()).all())
    if count >= ENDPOINTS_MAX:
        raise Refused(f"there are {count} endpoints; remove one first", code="too-many-endpoints")
    if from_block is not None:
        require_mirrored(
            session, from_block, "to be told of what becomes final from now on, name no block"
        )
    require_ours(sealer, newest_sealed(session))
    secret = new_secret()
    row = WebhookEndpoint(
        url=url,
        description=description,
        event_types=patterns,
        secret_sealed="",
        former_sealed=None,
        former_until=None,
        state=EndpointState.ACTIVE,
        reason=None,
        told_block=_final_block(session) if from_block is None else max(from_block - 1, 0),
        heard_at=None,
    )
    session.add(row)
    session.flush()
    row.secret_sealed = sealer.seal(secret, context(row))
    session.flush()
    new = {"url": url, "events": patterns, "told_block": row.told_block}
    audit.record(session, "webhooks.add", context(row), {}, new, by)
    return secret, row


def _final_block(session: Session) -> int:
    """Return the last block that is final in the books; 0: they have none.

    Raises
    ------
    Refused
        If the mirror's cursor is gone, or says none: all that there ever was would be told as what became final.
    """
    final = session.scalar(select(func.max(ChainCursor.final_number)))
    if isinstance(final, int):
        return final
    if final is None and session.scalar(select(ChainBlock.number).limit(1)) is None:
        return 0
    raise Refused(
        "the books do not say which block is final, as somebody deleted or altered the row of chain_cursor: run "
        "`truetonne index reindex` first, or name the first block to be told from"
    )


def require_mirrored(session: Session, block: int, instead: str) -> None:
    """Refuse a block to be told from that is beyond the next one of the books.

    Parameters
    ----------
    instead
        What to do instead, for people.

    Raises
    ------
    BadInput
        If it is.
    """
    mirrored = session.scalar(select(func.max(ChainCursor.block_number)))
    # Another program's may be no number, on SQLite: what to do about that is said where no block is named.
    if isinstance(mirrored, int) and block > mirrored + 1:
        raise BadInput(
            f"block {block} is not mirrored: the books end at block {mirrored}, and nothing would be told until then; "
            f"{instead}",
            code="block-not-mirrored",
        )


def at_same_address(session: Session, row: WebhookEndpoint) -> list[int]:
    """Return the numbers of other endpoints, paused and disabled ones among them, that have the address of one."""
    return list(
        session.scalars(
            select(WebhookEndpoint.id)
            .where(
                WebhookEndpoint.url == row.url,
                WebhookEndpoint.id != row.id,
                WebhookEndpoint.state != EndpointState.REMOVED,
            )
            .order_by(WebhookEndpoint.id)
        )
    )


def change(
    session: Session,
    row: WebhookEndpoint,
    by: By,
    *,
    private: bool,
    url: str | None = None,
    events: Iterable[str] | None = None,
    description: str | None = None,
    state: EndpointState | None = None,
) -> None:
    """Change what is given of an endpoint. Made active again, it is told what it missed, and rests no more.

    Raises
    ------
    BadInput
        If a value cannot be used.
    """
    new: dict[str, object] = {}
    if url is not None:
        check_url(url, private)
        new["url"] = url
    if events is not None:
        new["event_types"] = check_patterns(events)
    if description is not None:
        new["description"] = _description(description)
    if state is not None:
        if state not in (EndpointState.ACTIVE, EndpointState.PAUSED):
            raise BadInput("an endpoint can be made active or paused; to end it, remove it")
        new |= {"state": state, "reason": None}
        if state is EndpointState.ACTIVE:  # also where it is so already: then a rest of it ends
            new["resumed_at"] = utc_now()
    old = {name: getattr(row, name) for name in new}
    if old == new:
        return
    for name, value in new.items():
        setattr(row, name, value)
    session.flush()
    audit.record(session, "webhooks.change", context(row), _plain(old), _plain(new), by)


def remove(session: Session, row: WebhookEndpoint, by: By) -> None:
    """End an endpoint: nothing is posted there any more. Its log stays, its secrets go."""
    old = {"state": row.state.value, "url": row.url}
    row.state, row.secret_sealed = EndpointState.REMOVED, ""
    row.former_sealed = row.former_until = None
    session.flush()
    audit.record(session, "webhooks.remove", context(row), old, {"state": "removed"}, by)


def rotate(session: Session, sealer: Sealer, row: WebhookEndpoint, by: By, at: datetime) -> str:
    """Give an endpoint another secret, and return it; the former signs as well for a day, an earlier one no more."""
    secret = new_secret()
    row.former_sealed, row.former_until = row.secret_sealed, at + FORMER_KEPT
    row.secret_sealed = sealer.seal(secret, context(row))
    session.flush()
    new = {"former_until": time_text(row.former_until)}
    audit.record(session, "webhooks.rotate", context(row), {}, new, by)
    return secret


def secrets_of(sealer: Sealer, row: WebhookEndpoint, at: datetime) -> list[str]:
    """Return the secrets that sign now, the newest first; not a former one whose key is lost."""
    found = [sealer.open(row.secret_sealed, context(row))]
    until = row.former_until
    if row.former_sealed and until and at < until <= at + FORMER_KEPT + _APART_MAX:
        with suppress(BadInput):
            found.append(sealer.open(row.former_sealed, context(row)))
    return found


def reseal(session: Session, sealer: Sealer, after: int, limit: int) -> Resealed:
    """Seal the secrets of some endpoints with the newest key; see ``ledger.sealing.reseal_rows``.

    A former secret that signs no more goes: where its key is lost, nothing else would ever end that.
    """
    over = utc_now() - _APART_MAX

    def seal(done: Resealed, row: WebhookEndpoint) -> None:
        for name in ("secret_sealed", "former_sealed"):
            old: str | None = getattr(row, name)
            if not old or sealer.is_current(old):
                continue
            if name == "former_sealed" and row.former_until and row.former_until <= over:
                row.former_sealed = row.former_until = None
                continue
            new = done.anew(sealer, old, context(row), (row.id, row.url, name))
            setattr(row, name, new or old)

    return reseal_rows(session, WebhookEndpoint, after, limit, seal)


def newest_sealed(session: Session) -> list[tuple[str, str]]:
    """Return some secrets that were sealed last and are of use, each with what it was sealed for."""
    query = select(WebhookEndpoint).where(WebhookEndpoint.secret_sealed != "")
    rows = session.scalars(query.order_by(WebhookEndpoint.id.desc()).limit(SAMPLES))
    return [(row.secret_sealed, context(row)) for row in rows]


def keys_in_use(session: Session) -> Counter[int | None]:
    """Return how many secrets are sealed with each key, by its number."""
    rows = session.execute(select(WebhookEndpoint.secret_sealed, WebhookEndpoint.former_sealed))
    return Counter(key_number(sealed) for row in rows for sealed in row if sealed)


def get(session: Session, number: int) -> WebhookEndpoint:
    """Return an endpoint, locked, by its row number.

    Raises
    ------
    NotFound
        If there is none, or none any more.
    """
    row = session.get(WebhookEndpoint, number, with_for_update=True)
    if row is None or row.state is EndpointState.REMOVED:
        raise _missing(number)
    return row


def shown(session: Session, number: int) -> WebhookEndpoint:
    """Return an endpoint to look at, also one that was removed.

    Raises
    ------
    NotFound
        If there never was one.
    """
    row = session.get(WebhookEndpoint, number)
    if row is None:
        raise _missing(number)
    return row


def _missing(number: int) -> NotFound:
    return NotFound(
        f"there is no webhook endpoint {number}; `truetonne webhooks list` shows all",
        code="no-such-endpoint",
    )


def has_endpoints(session: Session) -> bool:
    """Return whether anybody wants to be told of anything."""
    active = select(WebhookEndpoint.id).where(WebhookEndpoint.state == EndpointState.ACTIVE)
    return session.scalars(active.limit(1)).first() is not None


def led_by(session: Session, user_id: int) -> list[WebhookEndpoint]:
    """Return the endpoints, not removed, that a user added or changed: they outlast the user's rights."""
    query = select(AuditLog.resource).where(
        AuditLog.user_id == user_id, AuditLog.action.in_(("webhooks.add", "webhooks.change"))
    )
    acted_on = set(session.scalars(query))
    there = select(WebhookEndpoint).where(WebhookEndpoint.state != EndpointState.REMOVED)
    found = session.scalars(there.order_by(WebhookEndpoint.id))
    return [row for row in found if context(row) in acted_on]


def context(row: WebhookEndpoint) -> str:
    """Return what a secret is sealed for, which is also the name of the row in the audit log."""
    return f"webhook_endpoints/{row.id}"


def _description(text: str | None) -> str | None:
    text = text.strip() if text else None
    if text and (len(text) > _DESCRIPTION_MAX or not text.isprintable()):
        raise BadInput(f"the description has at most {_DESCRIPTION_MAX} printable characters")
    return text or None


def _plain(values: dict[str, object]) -> dict[str, object]:
    return {name: _plainly(value) for name, value in values.items()}


def _plainly(value: object) -> object:
    if isinstance(value, datetime):
        return time_text(value)
    return value.value if isinstance(value, EndpointState) else value
