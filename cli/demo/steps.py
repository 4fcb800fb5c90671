"""The steps of the demonstration, in order; each leaves its figures in the story."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ledger.sites import apply_site
from sqlalchemy import func, select

from cli.command import Invocation
from cli.demo.plants import (
    BENEFICIARY,
    COUNTRY,
    FUNDS_CENTS,
    LA_HAUTE_BORNE,
    PLANTS,
    REASON,
    RETIRE_KG,
    TRANSFER_KG,
    Period,
    Plant,
)
from cli.demo.sales import write_trades
from cli.deploying import ensure_deployed
from cli.flow import Flow, flow_on
from ledger import holdings, issuance, registration
from ledger.chain import intents
from ledger.chain.events import CREDIT
from ledger.chain.shared_node import node_for
from ledger.chain.signers import ANVIL_ROLES, anvil_address, resolve_account
from ledger.db import Database
from ledger.errors import BadInput, TruetonneError
from ledger.models import (
    ChainCursor,
    CreditBatch,
    CreditRetirement,
    CreditSite,
    Issuance,
    Project,
    Site,
    VppSettlementAccount,
    VppTradingRecord,
)
from ledger.models.evidence import IssuanceState
from ledger.models.trading import TradeStatus
from ledger.readings import import_file
from ledger.reconcile import reconcile
from ledger.settings import LOCAL_CHAIN_ID, Settings
from ledger.settlement import batches, escrow
from ledger.settlement.trades import as_json, import_trades


@dataclass
class Story:
    """What the demonstration did, for the summary."""

    started: float = field(default_factory=time.monotonic)
    imports: list[dict[str, Any]] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)
    credits: list[dict[str, Any]] = field(default_factory=list)
    trades: dict[str, Any] = field(default_factory=dict)
    settlement: dict[str, Any] = field(default_factory=dict)
    retirement: dict[str, Any] = field(default_factory=dict)
    reconciliation: dict[str, Any] = field(default_factory=dict)
    books_agree: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def lap(self, name: str, since: float) -> None:
        """Note how long a step took, in seconds."""
        self.seconds[name] = round(time.monotonic() - since, 2)


def run_demo(run: Invocation, fresh: bool) -> Story:
    """Run the demonstration and return its story.

    Raises
    ------
    BadInput
        If a node is configured: the demonstration runs on a chain of its own.
    """
    settings = run.settings
    if not settings.local_chain:
        raise BadInput(
            "the demonstration runs on a local chain of its own and attaches to none; unset rpc_url",
            code="demo-is-local",
        )
    story = Story()
    _prepare(settings, fresh)
    with node_for(settings) as rpc_url:
        begun = time.monotonic()
        run.output.note("deploying the contracts")
        ensure_deployed(settings, rpc_url)
        story.lap("deploy", begun)
        with flow_on(settings, rpc_url) as flow:
            flow.mirror_final()
            for name, step in (
                ("import", _import),
                ("register", _register),
                ("issue", _issue),
                ("trade", _trade),
                ("retire", _retire),
                ("reconcile", _reconcile),
            ):
                begun = time.monotonic()
                step(run, flow, story)
                story.lap(name, begun)
    story.lap("total", story.started)
    return story


def _prepare(settings: Settings, fresh: bool) -> None:
    """Bring the tables up to date, and refuse books whose chain is gone."""
    settings.home.mkdir(parents=True, exist_ok=True)
    db = Database(settings.database_url)
    state = settings.chain_folder / "state.json"
    try:
        if fresh:
            _check_only_ours(db)
            db.drop_tables()
            state.unlink(missing_ok=True)
            settings.deployment.unlink(missing_ok=True)
        db.upgrade()
        with db.read() as session:
            mirrored = session.scalars(select(ChainCursor)).first() is not None
        if mirrored and not state.exists():
            raise BadInput(
                f"the database holds the mirror of a local chain whose state is not in {settings.chain_folder}; "
                "name another database, or start anew with: demo --fresh",
                code="chain-lost",
            )
        if not mirrored and state.exists():  # the books are new, so the chain must be
            state.replace(state.with_suffix(".old"))
            settings.deployment.unlink(missing_ok=True)
    finally:
        db.close()


def _check_only_ours(db: Database) -> None:
    """Refuse to drop a database that holds more than the demonstration."""
    if db.current() is None:
        return
    with db.read() as session:
        codes = set(session.scalars(select(Site.code)))
    foreign = sorted(codes - {plant.site for plant in PLANTS})
    if foreign:
        raise BadInput(
            f"the database holds more than the demonstration (site {foreign[0]!r}): it is not dropped; "
            "name another database with database_url",
            code="not-only-demo",
        )


def _import(run: Invocation, flow: Flow, story: Story) -> None:
    for plant in PLANTS:
        flow.db.run(
            lambda session, plant=plant: apply_site(  # type: ignore[misc]
                session,
                plant.site_file,
                resolve_account=lambda text: resolve_account(text, LOCAL_CHAIN_ID),
            )
        )
        with run.output.progress(f"importing {plant.meter_file.name}", "rows") as advance:
            begun = time.monotonic()
            report = import_file(
                flow.db, plant.site, plant.source, plant.meter_file, progress=advance
            )
        story.imports.append(
            {
                "site": plant.site,
                "file": plant.meter_file.name,
                **report.as_json(),
                "seconds": round(time.monotonic() - begun, 2),
            }
        )


def _register(run: Invocation, flow: Flow, story: Story) -> None:
    run.output.note("registering the projects on chain")
    for plant in PLANTS:
        for send in (registration.register_project, registration.register_site):
            key = send(flow.chain, plant.project)
            if key is not None:
                flow.confirm([key])
                story.registered.append(key)


def _issue(run: Invocation, flow: Flow, story: Story) -> None:
    for plant in PLANTS:
        keys = []
        with run.output.progress(f"issuing {plant.project}", "periods") as advance:
            for number, period in enumerate(plant.periods, start=1):
                if not _issued(flow, plant, period):
                    planned = issuance.plan_issuance(flow.chain, plant.project, *period)
                    issuance.submit_planned(flow.chain, plant.project)
                    keys += [item.key for item in planned]
                advance(number, len(plant.periods))
        flow.confirm(keys)
        story.credits += _credits(flow, plant)


def _issued(flow: Flow, plant: Plant, period: Period) -> bool:
    """Return whether a live issuance of the project begins where the period does."""
    with flow.db.read() as session:
        query = (
            select(Issuance.id)
            .join(Project, Project.id == Issuance.project_id)
            .where(
                Project.code == plant.project,
                Issuance.from_date == period[0],
                Issuance.state.in_((IssuanceState.PLANNED, IssuanceState.ISSUED)),
            )
        )
        return session.scalars(query).first() is not None


def _credits(flow: Flow, plant: Plant) -> list[dict[str, Any]]:
    with flow.db.read() as session:
        query = (
            select(Issuance, CreditBatch, CreditSite.code)
            .join(Project, Project.id == Issuance.project_id)
            .join(CreditBatch, CreditBatch.key == Issuance.key)
            .join(CreditSite, CreditSite.site_id == CreditBatch.site_id)
            .where(Project.code == plant.project)
            .order_by(Issuance.from_date)
        )
        return [
            {
                "project": plant.project,
                "vintage": item.vintage,
                "period": {"from": item.from_date, "to": item.to_date},
                "readings": {
                    "expected": item.readings_expected,
                    "used": item.readings_used,
                    "missing": item.readings_missing,
                    "outlier": item.readings_outlier,
                    "conflict": item.readings_conflict,
                },
                "net_kwh": item.net_kwh,
                "reductions_kg": item.reductions_kg,
                "issued_kg": str(batch.issued_kg),
                "serials": f"{code}-{batch.vintage}-{batch.ordinal}-1-{batch.issued_kg}",
                "transaction": batch.tx_hash,
                "state": item.state.value,
            }
            for item, batch, code in session.execute(query)
        ]


def _trade(run: Invocation, flow: Flow, story: Story) -> None:
    run.output.note("selling the hourly generation of a month, and settling it")
    path = flow.settings.home / "demo" / "trades.csv"
    with flow.db.read() as session:
        write_trades(session, LA_HAUTE_BORNE, path)
    report = flow.db.run(lambda session: import_trades(session, path))
    story.trades = {"file": str(path), **as_json(report)}
    if report.new:
        _fund(flow)
    planned = batches.plan_batches(flow.chain)
    sent = batches.submit_planned(flow.chain)
    flow.confirm([item.key for item in planned])
    _finalize(flow)
    with flow.db.read() as session:
        executed = select(
            func.count(VppTradingRecord.id), func.sum(VppTradingRecord.total_value)
        ).where(VppTradingRecord.status == TradeStatus.EXECUTED)
        count, total = session.execute(executed).one()
        pending = session.scalar(
            select(func.count(VppTradingRecord.id)).where(
                VppTradingRecord.status == TradeStatus.PENDING
            )
        )
        accounts = {
            item.market or f"vpp {item.vpp_id}": item.address
            for item in session.scalars(select(VppSettlementAccount))
        }
    balances = flow.chain.settlement.balances_of(list(accounts.values()))
    per_cent = flow.chain.settlement.units_per_cent()
    story.settlement = {
        "batches": len(planned),
        "proposals": sent,
        "trades_executed": count,
        "trades_pending": pending,
        "money_moved": str(total),
        "balances": {
            name: f"{amount // per_cent // 100}.{amount // per_cent % 100:02d}"
            for name, amount in zip(accounts, balances, strict=True)
        },
    }


def _fund(flow: Flow) -> None:
    """Pay example money into the escrow of whoever may owe."""
    with flow.db.read() as session:
        accounts = sorted({item.address for item in session.scalars(select(VppSettlementAccount))})
    for account in accounts:
        flow.confirm([escrow.mint_test_currency(flow.chain, account, FUNDS_CENTS)])
        flow.confirm(escrow.deposit(flow.chain, account, account, FUNDS_CENTS))


def _finalize(flow: Flow) -> None:
    """Wait for the contract's window, then finalise what was proposed."""
    time.sleep(flow.chain.settlement.window_s() + 1)
    flow.mirror_final()  # a block whose time lies after the window
    batches.finalize_due(flow.chain)
    flow.mirror_final()
    flow.mirror_final()


def _retire(run: Invocation, flow: Flow, story: Story) -> None:
    run.output.note("transferring credits, and retiring a part on behalf of somebody")
    with flow.db.read() as session:
        done = session.scalars(
            select(CreditRetirement).where(CreditRetirement.beneficiary == BENEFICIARY)
        ).first()
        first = story.credits[0]["serials"].rsplit("-", 2)[0]
    if done is None:
        buyer = anvil_address(ANVIL_ROLES["buyer"])
        _act(
            flow,
            first,
            TRANSFER_KG,
            None,
            lambda session, held: holdings.plan_transfer(session, flow.chain, held, buyer),
        )
        details = holdings.details_of(
            BENEFICIARY, REASON, COUNTRY, _seconds(LA_HAUTE_BORNE.periods[0])
        )
        _act(
            flow,
            first,
            RETIRE_KG,
            buyer,
            lambda session, held: holdings.plan_retirement(session, flow.chain, held, details),
        )
    with flow.db.read() as session:
        item = session.scalars(
            select(CreditRetirement).where(CreditRetirement.beneficiary == BENEFICIARY)
        ).one()
        last = item.first_serial + item.amount_kg - 1
        story.retirement = {
            "retirement_id": str(item.retirement_id),
            "serials": f"{first}-{item.first_serial}-{last}",
            "amount_kg": str(item.amount_kg),
            "beneficiary": item.beneficiary,
            "reason": item.reason,
            "holder": item.holder,
            "transaction": item.tx_hash,
        }


def _seconds(period: Period) -> tuple[int, int]:
    """Return a period of UTC dates in epoch seconds."""
    epoch = date(1970, 1, 1)
    return (period[0] - epoch).days * 86_400, (period[1] - epoch).days * 86_400


def _act(flow: Flow, batch: str, amount_kg: int, holder: str | None, plan: Any) -> None:
    def work(session: Any) -> str:
        held = holdings.holding_of(session, flow.chain, batch, amount_kg, holder)
        return str(plan(session, held))

    key = flow.db.run(work)
    flow.chain.sender.submit(key, CREDIT)
    flow.confirm([key])


def _reconcile(run: Invocation, flow: Flow, story: Story) -> None:
    run.output.note("comparing the books with the chain")
    flow.mirror_final()
    report = reconcile(flow.db, flow.chain.client, flow.chain.deployment)
    story.reconciliation = report.as_json()
    with flow.db.read() as session:
        open_intents = [
            item.key for item in intents.open_attempts(session, flow.chain.deployment.chain_id)
        ]
    story.books_agree = (
        all(rule["ok"] for rule in story.reconciliation["rules"])
        and not open_intents
        and not story.settlement["trades_pending"]
    )
    if not story.credits:
        raise TruetonneError("the demonstration issued nothing")
