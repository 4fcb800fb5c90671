"""Rules against the contracts' own storage, by view calls at the mirror's block: no event is trusted."""

from __future__ import annotations

from collections import defaultdict

from eth_utils.crypto import keccak
from sqlalchemy import select

from ledger.chain.deployment import expected_row
from ledger.models import CreditBatch, CreditHolding, SettlementBalance, SmartContract
from ledger.reconcile.books import Books, block_time
from ledger.reconcile.replay import STATUS
from ledger.reconcile.report import unequal


def batches_in_storage(books: Books) -> list[str]:
    """Totals, period, status and evidence root of every batch are what the contract holds."""
    rows = books.session.scalars(select(CreditBatch).order_by(CreditBatch.batch_id)).all()
    ids = [row.batch_id for row in rows]
    held = books.credit.batches_of(ids, books.block)
    statuses = books.credit.statuses_of(ids, books.block)
    of_roots = books.credit.batches_of_evidence_roots(
        [row.evidence_root for row in rows], books.block
    )
    found = []
    for row, batch, status, of_root in zip(rows, held, statuses, of_roots, strict=True):
        found += unequal(
            f"batch {row.batch_id}",
            (
                row.issued_kg,
                row.retired_kg,
                row.cancelled_kg,
                row.period_start_s,
                row.period_end_s,
                row.status,
                row.batch_id,
            ),
            (
                batch.issued,
                batch.retired,
                batch.cancelled,
                batch.period_start,
                batch.period_end,
                STATUS.get(status),
                of_root,
            ),
            (
                "issued",
                "retired",
                "cancelled",
                "period start",
                "period end",
                "status",
                "evidence root's batch",
            ),
        )
    return found


def holdings_in_storage(books: Books) -> list[str]:
    """Every holder has what the contract says, and a batch's holdings are what is neither retired nor cancelled."""
    rows = books.session.execute(
        select(CreditHolding.holder, CreditHolding.batch_id, CreditHolding.amount_kg)
    ).all()
    balances = books.credit.balances_of([(row.holder, row.batch_id) for row in rows], books.block)
    found = [
        f"holding of {row.holder} in batch {row.batch_id}: {row.amount_kg} kg, the contract says {balance} kg"
        for row, balance in zip(rows, balances, strict=True)
        if row.amount_kg != balance
    ]
    sums: dict[int, int] = defaultdict(int)
    for row in rows:
        sums[row.batch_id] += row.amount_kg
    for batch in books.session.scalars(select(CreditBatch)):
        rest = batch.issued_kg - batch.retired_kg - batch.cancelled_kg
        if sums[batch.batch_id] != rest:
            found.append(
                f"batch {batch.batch_id}: holders have {sums[batch.batch_id]} kg, {rest} kg are outstanding"
            )
    return found


def escrow_in_storage(books: Books) -> list[str]:
    """Every balance is the contract's; custody is the sum of balances and of what proposals lock."""
    rows = books.session.execute(select(SettlementBalance.account, SettlementBalance.balance)).all()
    held = books.settlement.balances_of([row.account for row in rows], books.block)
    found = [
        f"escrow of {row.account}: {row.balance} units, the contract says {units}"
        for row, units in zip(rows, held, strict=True)
        if row.balance != units
    ]
    balances, locked = books.settlement.totals(books.block)
    mirrored = sum(int(row.balance) for row in rows)
    if mirrored != balances:
        found.append(f"escrow: balances sum to {mirrored} units, the contract says {balances}")
    custody = books.settlement.custody(books.block)
    # Anybody may send tokens to the contract: more than is owed is no difference, less is.
    if custody < balances + locked:
        found.append(f"escrow: the contract holds {custody} units and owes {balances + locked}")
    return found


def contracts_deployed(books: Books) -> list[str]:
    """``smart_contracts`` says what the deployment file does, and the code stands at its address."""
    rows = {
        row.contract_name: row
        for row in books.session.scalars(
            select(SmartContract).where(SmartContract.network == books.deployment.network)
        )
    }
    found = []
    for contract in books.deployment.contracts.values():
        header = books.client.block(contract.block)
        assert header is not None  # below the mirror's block, which the node has
        expected = expected_row(contract, books.deployment.network, block_time(header))
        row = rows.pop(expected["contract_name"], None)
        if row is None:
            found.append(f"smart_contracts {expected['contract_name']}: the row is missing")
            continue
        held = [getattr(row, name) for name in expected]
        found += [
            f"smart_contracts {row.contract_name}: {name} is not what was deployed"
            for name, mine, theirs in zip(expected, held, expected.values(), strict=True)
            if mine != theirs
        ]
        if row.status.value == "deprecated":
            found.append(f"smart_contracts {row.contract_name}: deprecated, but in use")
        code = books.client.code(contract.address, books.block)
        if "0x" + keccak(hexstr=code).hex() != contract.code_hash:
            found.append(f"{contract.name} at {contract.address}: other code than was deployed")
    found += [
        f"smart_contracts {name}: in use, but not in the deployment file"
        for name, row in rows.items()
        if row.status.value != "deprecated"
    ]
    return found
