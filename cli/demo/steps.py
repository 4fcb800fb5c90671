"""The steps of the demonstration, in order; each leaves its figures in the story."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import select

from cli.alone import alone_in
from cli.command import Invocation
from cli.demo import market
from cli.demo.plants import PLANTS, Period, Plant
from cli.demo.proof import prove
from cli.demo.story import Story
from cli.deploying import check_checkout, ensure_deployed
from cli.files import make_home
from cli.flow import Flow, flow_on
from cli.readings import received
from ledger import issuance, registration
from ledger.chain.keys.signers import resolve_account
from ledger.chain.local.shared import check_chain_is_here, forget_chain, node_for, published_url
from ledger.chain.sending import intents
from ledger.db import Database
from ledger.errors import BadInput
from ledger.keeping.moving import drop_archive
from ledger.models import AuditLog, ChainCursor, CreditBatch, CreditSite, Issuance, Project, Site
from ledger.models.issuance import LIVE
from ledger.readings import import_file
from ledger.readings.shown.exclusions import exclusions
from ledger.reconcile import keep_outcome, reconcile
from ledger.reductions.quality import REASONS, stored
from ledger.serials import credit_id
from ledger.settings import LOCAL_CHAIN_ID, Settings
from ledger.sites import apply_site
from ledger.units import decimal_floor

NETTING_HOURS = 24 * 31
"""The trades of a month are one an hour: netted by the hour they would be 658 batches."""


def run_demo(run: Invocation, fresh: bool) -> Story:
    """Run the demonstration and return its story.

    Raises
    ------
    BadInput
        If a node is configured: the demonstration runs on a chain of its own. If this is no checkout.
    """
    check_checkout("demo")
    settings = run.settings
    if not settings.local_chain:
        raise BadInput(
            "the demonstration runs on a local chain of its own and attaches to none; unset rpc_url",
            code="demo-is-local",
        )
    make_home(settings)
    waits = partial(run.output.step, "waiting for another demonstration in this folder")
    with alone_in(settings.home / "demo", waits):
        return _run_alone(run, fresh)


def _run_alone(run: Invocation, fresh: bool) -> Story:
    settings, story = run.settings, Story()
    _prepare(settings, fresh)
    with node_for(settings) as rpc_url:
        begun = time.monotonic()
        run.output.step("deploying the contracts")
        ensure_deployed(settings, rpc_url)
        story.lap("deploy", begun)
        with flow_on(replace(settings, netting_hours=NETTING_HOURS), rpc_url) as flow:
            flow.mirror_final()
            for name, step in (
                ("import", _import),
                ("register", _register),
                ("issue", _issue),
                ("trade", market.trade),
                ("retire", market.retire),
                ("reconcile", _reconcile),
                ("prove", prove),
            ):
                begun = time.monotonic()
                step(run, flow, story)
                story.lap(name, begun)
    story.lap("total", story.started)
    return story


def _prepare(settings: Settings, fresh: bool) -> None:
    """Bring the tables up to date, and refuse books whose chain is gone."""
    db = Database(settings.database_url)
    state = settings.chain_folder / "state.json"
    try:
        if fresh:
            _check_nobody_runs(settings)
            _check_only_ours(db)
            db.drop_tables()
            drop_archive(db)
            forget_chain(settings)
        db.upgrade()
        check_chain_is_here(settings, db)
        with db.read() as session:
            mirrored = session.scalars(select(ChainCursor)).first() is not None
        if not mirrored and state.exists():  # the books are new, so the chain must be
            _check_nobody_runs(settings)
            forget_chain(settings)
    finally:
        db.close()


def _check_nobody_runs(settings: Settings) -> None:
    """Refuse to start anew under a node that runs: it would save its old chain over the new one."""
    running = published_url(settings)
    if running:
        raise BadInput(
            f"the local chain is in use (node at {running}); end `truetonne up`, then start anew",
            code="chain-in-use",
        )


def _check_only_ours(db: Database) -> None:
    """Refuse to drop a database that holds more than the demonstration."""
    if db.current() is None:
        return
    with db.read() as session:
        codes = set(session.scalars(select(Site.code)))
        by_hand = select(AuditLog.id).where(AuditLog.action.like("park.%")).limit(1)
        records = session.scalar(by_hand) is not None
    foreign = [f"site {code!r}" for code in sorted(codes - {plant.site for plant in PLANTS})]
    foreign += ["records of a park that were imported"] if records else []
    if foreign:
        raise BadInput(
            f"the database holds more than the demonstration ({foreign[0]}): it is not dropped; "
            "name another home, or another database with database_url",
            code="not-only-demo",
        )


def _import(run: Invocation, flow: Flow, story: Story) -> None:
    for plant in PLANTS:
        flow.db.run(
            partial(
                apply_site,
                path_or_text=plant.site_file,
                resolve_account=lambda text: resolve_account(text, LOCAL_CHAIN_ID),
            )
        )
        with run.output.progress(
            f"importing {plant.meter_file.name}", "rows", step=True
        ) as advance:
            begun = time.monotonic()
            report = import_file(
                flow.db,
                plant.site,
                plant.source,
                plant.meter_file,
                progress=advance,
                after=received,
            )
        story.imports.append(
            {
                "site": plant.site,
                "file": plant.meter_file.name,
                **report.as_json(),
                "seconds": round(time.monotonic() - begun, 2),
            }
        )
        story.excluded += _excluded(flow, plant)


def _excluded(flow: Flow, plant: Plant) -> list[dict[str, Any]]:
    """Return what of a plant's readings does not count, by device and reason; a slot without a row is no reading."""
    with flow.db.read() as session:
        return [
            {
                "site": plant.site,
                "device": item.device,
                "quality": stored(item.quality)[0],
                "number": int(item.quality),
                "reason": REASONS[item.quality],
                "readings": item.readings,
                "first_line": item.first_line,
                "not_claimed_kwh": None
                if item.not_claimed_kwh is None
                else decimal_floor(item.not_claimed_kwh, 9),
            }
            for item in exclusions(session, plant.site)
        ]


def _register(run: Invocation, flow: Flow, story: Story) -> None:
    run.output.step("registering the projects on chain")
    for plant in PLANTS:
        for send in (registration.register_project, registration.register_site):
            key = send(flow.chain, plant.project)
            if key is not None:
                flow.confirm([key])
                story.registered.append(key)


def _issue(run: Invocation, flow: Flow, story: Story) -> None:
    for plant in PLANTS:
        send = partial(issuance.submit_planned, flow.chain, plant.project)
        with run.output.progress(f"issuing {plant.project}", "periods", step=True) as advance:
            for number, period in enumerate(plant.periods, start=1):
                if not _issued(flow, plant, period):
                    planned = issuance.plan_issuance(flow.chain, plant.project, *period)
                    send()
                    flow.confirm([item.key for item in planned], onward=send)
                advance(number, len(plant.periods))
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
                Issuance.state.in_(LIVE),
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
                "serials": credit_id(code, batch.vintage, batch.ordinal, 1, batch.issued_kg),
                "transaction": batch.tx_hash,
                "state": item.state.value,
            }
            for item, batch, code in session.execute(query)
        ]


def _reconcile(run: Invocation, flow: Flow, story: Story) -> None:
    run.output.step("comparing the books with the chain")
    flow.mirror_final()
    report = reconcile(flow.db, flow.chain.client, flow.chain.deployment)
    story.reconciliation = report.as_json()
    network, now = flow.chain.deployment.network, datetime.now(UTC)
    flow.db.run(lambda session: keep_outcome(session, network, report, now))
    with flow.db.read() as session:
        unfinished = intents.open_attempts(session, flow.chain.deployment.chain_id)
    story.books_agree = (
        bool(story.reconciliation["rules"])
        and all(rule["ok"] for rule in story.reconciliation["rules"])
        and not unfinished
        and not story.settlement["trades_pending"]
    )
