"""Rules against the contracts' own storage, by view calls at the mirror's block: no event is trusted.

Long tables are compared some thousand rows at a time.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import ColumnElement, func, select
from tiny_keccak import keccak256

from ledger.chain.addresses.deployment import differing, made_in, row_name
from ledger.chain.contracts.events import ZERO_ADDRESS, ZERO_HASH
from ledger.models import (
    ChainEvent,
    ContractSighting,
    CreditBatch,
    CreditClass,
    CreditHolding,
    CreditInvalidation,
    CreditOverlap,
    CreditProject,
    CreditSite,
    SmartContract,
)
from ledger.models.oversight import InvalidationStep
from ledger.reconcile.books import Books, Sides
from ledger.reconcile.pieces import pieces
from ledger.reconcile.replay_credit import STATUS
from ledger.reconcile.report import unequal


def log_end_in_storage(books: Sides) -> list[str]:
    """The last entry of the credit log is the last one that the contract knows."""
    query = select(ChainEvent.seq, ChainEvent.head).where(ChainEvent.seq.is_not(None))
    last = books.session.execute(query.order_by(ChainEvent.seq.desc()).limit(1)).first()
    held = last if last is not None else (0, ZERO_HASH)
    seq, head = books.credit.log_head(books.block)
    return unequal("credit log", ("seq", held[0], seq), ("head", held[1], head))


def batches_in_storage(books: Sides) -> list[str]:
    """Totals, times, status, deficit and evidence root of every batch are what the contract holds."""
    found = []
    for piece in pieces(books.session, CreditBatch.batch_id):
        found += _batches(books, piece)
    return found


def _batches(books: Sides, piece: ColumnElement[bool]) -> list[str]:
    query = select(CreditBatch).where(piece).order_by(CreditBatch.batch_id)
    rows = books.session.scalars(query).all()
    ids = [row.batch_id for row in rows]
    held = books.credit.batches_of(ids, books.block)
    statuses = books.credit.statuses_of(ids, books.block)
    of_roots = books.credit.batches_of_evidence_roots(
        [row.evidence_root for row in rows], books.block
    )
    found = []
    deficits = books.credit.deficits_of(ids, books.block)
    invalidations = books.credit.invalidations_of(ids, books.block)
    pending = _pending_invalidations(books, ids)
    for row, batch, status, of_root, deficit, invalidation in zip(
        rows, held, statuses, of_roots, deficits, invalidations, strict=True
    ):
        found += unequal(
            f"batch {row.batch_id}",
            ("issued", row.issued_kg, batch.issued),
            ("retired", row.retired_kg, batch.retired),
            ("cancelled", row.cancelled_kg, batch.cancelled),
            ("period start", row.period_start_s, batch.period_start),
            ("period end", row.period_end_s, batch.period_end),
            ("start of the gap before it", row.gap_start_s, batch.gap_start),
            ("expiry", row.expires_at_s, batch.expires_at),
            ("status", row.status, STATUS.get(status)),
            ("deficit", row.deficit_kg or 0, deficit),
            ("pending invalidation", pending.get(row.batch_id, (ZERO_ADDRESS, 0)), invalidation),
            ("evidence root's batch", row.batch_id, of_root),
        )
    return found


def _pending_invalidations(
    books: Sides, ids: list[int]
) -> dict[int, tuple[str | None, int | None]]:
    """Return who wants which of some batches cancelled, and from when that may be done."""
    if not ids:
        return {}
    query = (
        select(CreditInvalidation)
        .where(CreditInvalidation.batch_id.between(ids[0], ids[-1]))
        .order_by(CreditInvalidation.block_number, CreditInvalidation.log_index)
    )
    last = {row.batch_id: row for row in books.session.scalars(query)}
    return {
        batch_id: (row.account, row.executable_at_s)
        for batch_id, row in last.items()
        if row.step is InvalidationStep.PROPOSED
    }


def registry_in_storage(books: Sides) -> list[str]:
    """Terms of classes, ends of sites' time and overlaps that were shown are what the contract holds."""
    session, credit = books.session, books.credit
    issued: dict[int, int] = defaultdict(int)
    query = (
        select(CreditProject.class_id, func.sum(CreditBatch.issued_kg))
        .join(CreditSite, CreditSite.project_id == CreditProject.project_id)
        .join(CreditBatch, CreditBatch.site_id == CreditSite.site_id)
        .group_by(CreditProject.class_id)
    )
    for class_id, kg in session.execute(query):
        issued[class_id] = int(kg)
    found = []
    classes = session.scalars(select(CreditClass)).all()
    held = credit.classes_of([row.class_id for row in classes], books.block)
    for row, terms in zip(classes, held, strict=True):
        found += unequal(
            f"class {row.class_id}",
            ("cap", int(row.cap_kg), terms.cap),
            ("issued", issued[row.class_id], terms.issued),
            ("buffer share", row.buffer_bps, terms.buffer_bps),
        )
    sites = session.scalars(select(CreditSite)).all()
    ends = credit.minted_until([row.site_id for row in sites], books.block)
    found += [
        f"site {row.site_id}: issued until {row.minted_until_s}, the contract says {end}"
        for row, end in zip(sites, ends, strict=True)
        if row.minted_until_s != end
    ]
    pairs = session.execute(
        select(CreditOverlap.first_batch_id, CreditOverlap.second_batch_id)
    ).all()
    proven = credit.are_overlaps_proven([(first, second) for first, second in pairs], books.block)
    return found + [
        f"batches {first} and {second}: shown to overlap, and the contract does not know it"
        for (first, second), known in zip(pairs, proven, strict=True)
        if not known
    ]


def holdings_in_storage(books: Sides) -> list[str]:
    """Every holder has what the contract says, and a batch's holdings are what is neither retired nor cancelled."""
    found = []
    holdings = select(CreditHolding.holder, CreditHolding.batch_id, CreditHolding.amount_kg)
    for piece in pieces(books.session, CreditHolding.batch_id):
        rows = books.session.execute(holdings.where(piece)).all()
        owned = [(row.holder, row.batch_id) for row in rows]
        found += [
            f"holding of {row.holder} in batch {row.batch_id}: {row.amount_kg} kg, the contract says {balance} kg"
            for row, balance in zip(rows, books.credit.balances_of(owned, books.block), strict=True)
            if row.amount_kg != balance
        ]
    held = (
        select(CreditHolding.batch_id, func.sum(CreditHolding.amount_kg).label("kg"))
        .group_by(CreditHolding.batch_id)
        .subquery()
    )
    kg = func.coalesce(held.c.kg, 0)
    rest = CreditBatch.issued_kg - CreditBatch.retired_kg - CreditBatch.cancelled_kg
    outstanding = (
        select(CreditBatch.batch_id, kg, rest)
        .outerjoin(held, held.c.batch_id == CreditBatch.batch_id)
        .where(kg != rest)
    )
    return found + [
        f"batch {batch_id}: holders have {kg} kg, {left} kg are outstanding"
        for batch_id, kg, left in books.session.execute(outstanding)
    ]


def contracts_deployed(books: Books) -> list[str]:
    """``smart_contracts`` says what the deployment file does, and the code stands at its address.

    Where the file names another block than the one that has a contract's own transaction, the file is wrong, and the
    row is held against the chain.
    """
    rows = {
        row.contract_name: row
        for row in books.session.scalars(
            select(SmartContract).where(SmartContract.network == books.deployment.network)
        )
    }
    found = []
    made = made_in(books.client, books.deployment)
    for contract in books.deployment.contracts.values():
        number = made.get(contract.name)
        number = contract.block if number is None else number
        header = books.client.block(number)
        if header is None or number != contract.block:
            mend = (
                f"it was made in block {number}: write {number} as its `block` there"
                if header
                else "there is no such block: correct its `block` there"
            )
            found.append(
                f"{contract.name}: the deployment file says that it was made in block {contract.block}, and {mend}"
            )
        name = row_name(contract.name, books.deployment.network)
        row = rows.pop(name, None)
        if row is None:
            found.append(f"smart_contracts {name}: the row is missing")
            continue
        at = row.deployed_at if header is None else header.time
        wrong = differing(row, contract, books.deployment.network, at)
        found += [f"smart_contracts {name}: {column} is not what was deployed" for column in wrong]
        if row.status.value == "deprecated":
            found.append(f"smart_contracts {row.contract_name}: deprecated, but in use")
        code = books.client.code(contract.address, books.block)
        if "0x" + keccak256(bytes.fromhex(code[2:])).hex() != contract.code_hash:
            found.append(f"{contract.name} at {contract.address}: other code than was deployed")
    seen = set(books.session.scalars(select(ContractSighting.contract_name)))
    found += [
        f"smart_contracts {name}: in use, but not in the deployment file"
        for name, row in rows.items()
        if row.status.value != "deprecated" and name not in seen
    ]
    return found
