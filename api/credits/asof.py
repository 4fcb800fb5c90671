"""Credits as they stood at the end of a block: the same answers, made of ``then``. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from operator import ge, gt, le, lt

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from api.credits.batches import batch_document
from api.credits.schemas import Credit, CreditAnswer, CreditPage, CreditParameters, CreditPart
from api.credits.then import Then, batches_then, checked_block
from api.finality import ChainView
from api.pagination import Order, matching
from api.retirements.queries import retirement_document
from ledger.errors import NotFound
from ledger.models import CarbonCredit, CreditBatch, CreditSite
from ledger.naming import PARTS_MAX, find_credit, of_site
from ledger.serials import Run
from ledger.units import tonnes_of_kg

UNIT = "tCO2e"
EXAMINED_MAX = 2_000
"""Batches that one page looks at: with a rare status it may be short, and goes on at its cursor."""
_AT_ONCE = 200

Found = tuple[Then, Run]
Place = tuple[int, ...]
"""Where a run stands in the list: block of the issuance, batch, first serial."""


def view_at(session: Session, view: ChainView, block: int | None) -> ChainView:
    """Return how far an answer reaches: the mirror's own view, or that of a block.

    Raises
    ------
    BadInput
        If the mirror cannot speak of the block.
    """
    if block is None:
        return view
    return view.at(checked_block(session, block, view.as_of_block))


def list_credits(
    session: Session, view: ChainView, parameters: CreditParameters, block: int
) -> CreditPage:
    """Return one page of the credits of a block, in the order of issuance and serials.

    Raises
    ------
    BadInput
        If the cursor or the block cannot be used.
    """
    view = view_at(session, view, block)
    after = parameters.after_key(3)
    found: list[Found] = []
    examined = 0
    last: Place | None = None
    for then in _walk(session, parameters, block, None if after is None else after[:2]):
        examined += 1
        for run in _in_order(then, parameters.order):
            if after is not None and not _behind(_place(then, run), after, parameters.order):
                continue
            if parameters.status is None or run.status.value == parameters.status.value:
                found.append((then, run))
        last = _place(then, _in_order(then, parameters.order)[-1])
        if len(found) > parameters.limit or examined >= EXAMINED_MAX:
            break
    else:
        last = None  # there is nothing behind
    if len(found) > parameters.limit:
        found = found[: parameters.limit]
        last = _place(*found[-1])
    return CreditPage(
        items=_items(session, view, found),
        next_cursor=None if last is None else parameters.cursor_after(*last),
        **view.fields(),
    )


def show_credit(session: Session, view: ChainView, name: str, block: int) -> CreditAnswer:
    """Return the credit of a block that a name stands for, with its batch.

    Raises
    ------
    NotFound
        If there was none yet, or the serials were parted.
    BadInput
        If the block cannot be used.
    """
    view = view_at(session, view, block)
    named = find_credit(session, name)
    batch = session.get(CreditBatch, named.batch_id)
    if batch is None or batch.block_number > block:
        raise NotFound(f"as of block {block} there was no credit {name[:100]!r} yet")
    (then,) = batches_then(session, [(batch, _code(session, batch))], block)
    runs = then.runs()
    first, last = named.serials or (1, 1)
    holding = [run for run in runs if run.first <= last and run.last >= first]
    if len(holding) > 1:
        parts = [then.name_of(run) for run in holding]
        raise NotFound(
            f"as of block {block} the serials of {name[:100]!r} were parted; they were in "
            + ", ".join(parts[:3])
            + (f" and {len(parts) - 3} more" if len(parts) > 3 else ""),
            code="credit-parted",
            details={"credits": parts[:PARTS_MAX]},
        )
    (credit,) = _items(session, view, [(then, holding[0])])
    return CreditAnswer(
        **dict(credit),
        **view.fields(),
        batch=batch_document(
            session,
            batch,
            [
                CreditPart(
                    credit_id=then.name_of(run),
                    amount_kg=run.amount_kg,
                    status=run.status,
                )
                for run in runs[:PARTS_MAX]
            ],
            len(runs),
            retired_kg=then.retired_kg,
            cancelled_kg=then.cancelled_kg,
            deficit_kg=then.deficit_kg,
        ),
        retirement=retirement_document(session, credit.retirement_id),
    )


def _walk(
    session: Session, parameters: CreditParameters, block: int, start: Place | None
) -> Iterator[Then]:
    """Yield the batches of a block from one on, by block and number, as they stood."""
    newest_first = parameters.order is Order.DESC
    issued, number = CreditBatch.block_number, CreditBatch.batch_id
    query = (
        select(CreditBatch, CreditSite.code)
        .outerjoin(CreditSite, CreditSite.site_id == CreditBatch.site_id)
        .where(issued <= block)
        .order_by(*(each.desc() if newest_first else each.asc() for each in (issued, number)))
    )
    query = matching(
        query,
        (CreditBatch.vintage, parameters.vintage),
        (CreditBatch.key, parameters.key),
        (number, parameters.batch_id),
    )
    if parameters.site is not None:
        sites = select(CreditSite.site_id).where(CreditSite.code == parameters.site)
        site_id = session.scalars(sites).first()
        if site_id is None:
            return
        query = query.where(of_site(number, site_id))
    after, from_there = (lt, le) if newest_first else (gt, ge)
    begins = from_there
    while True:
        piece = query.limit(min(parameters.limit + 1, _AT_ONCE))
        if start is not None:
            at, which = start
            # The first part alone tells the databases where to begin in their index.
            piece = piece.where(
                from_there(issued, at), or_(after(issued, at), begins(number, which))
            )
        rows = session.execute(piece).all()
        if not rows:
            return
        yield from batches_then(session, [(batch, code or "") for batch, code in rows], block)
        start, begins = (rows[-1][0].block_number, rows[-1][0].batch_id), after


def _in_order(then: Then, order: Order) -> Sequence[Run]:
    runs = then.runs()
    return runs[::-1] if order is Order.DESC else runs


def _place(then: Then, run: Run) -> Place:
    return then.batch.block_number, then.batch.batch_id, run.first


def _behind(place: Place, after: Place, order: Order) -> bool:
    return place < after if order is Order.DESC else place > after


def _items(session: Session, view: ChainView, found: Sequence[Found]) -> list[Credit]:
    names = [then.name_of(run) for then, run in found]
    query = select(CarbonCredit.credit_id, CarbonCredit.id).where(CarbonCredit.credit_id.in_(names))
    numbers = {name: number for name, number in session.execute(query)}
    return [
        _item(view, then, run, numbers.get(name))
        for (then, run), name in zip(found, names, strict=True)
    ]


def _item(view: ChainView, then: Then, run: Run, number: int | None) -> Credit:
    batch = then.batch
    expires = datetime.fromtimestamp(batch.expires_at_s, UTC) if batch.expires_at_s else None
    return Credit(
        id=number,
        credit_id=then.name_of(run),
        amount=tonnes_of_kg(run.amount_kg),
        amount_kg=run.amount_kg,
        unit=UNIT,
        status=run.status,
        issuer=batch.issuer,
        site=then.site_code or None,
        vintage=batch.vintage,
        batch_id=batch.batch_id,
        batch_status=then.status,
        first_serial=run.first,
        last_serial=run.last,
        key=batch.key,
        retirement_id=run.retirement_id,
        blockchain_tx=batch.tx_hash,
        status_tx=then.tx_of(run),
        issued_at=batch.issued_at,
        expires_at=expires,
        final=view.is_final(then.last_block),
    )


def _code(session: Session, batch: CreditBatch) -> str:
    site = session.get(CreditSite, batch.site_id)
    return site.code if site is not None else ""
