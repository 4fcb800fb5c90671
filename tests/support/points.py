"""What is walked point by point (``tests.support.dying``): a park before a command, and what has come of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text

from ledger import issuance
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.models import Base, ChainAttempt, Device, DeviceAlert, DeviceData, DeviceType, Issuance
from ledger.models.devices import DeviceStatus
from ledger.models.issuance import IssuanceState
from ledger.park import handling, watching
from ledger.settlement.batches import plan_batches, submit_planned
from tests.support.chain import CURRENCY, PARTIES, WINDOW_S, TestChain, until_mined
from tests.support.copied import back_up
from tests.support.dying import COMMIT
from tests.support.mirror import rows
from tests.support.nursery import shared
from tests.support.park import PROJECT, Park, day, running_park
from tests.support.plant import SITE, anvil_like
from tests.support.races import UNTOLD
from tests.support.sending import automine, drop, plan, spike, steal, until_confirmed

ALL = "EVERY_POINT"
"""With this variable each point of each walk is tried."""
DEPTH = 2
INDEX = ("index", "run", "--until", "head")
WAIT_S = 600.0
OF_RUNS = {"job_runs", "jobs", "held_leases", "mirror_reorganisations"}
"""Tables that say who ran when."""
ROUNDS = 10
WANTED = 'program = "internal"\nissue_every = "month"\nissue_after_days = 2\n'


@dataclass
class World:
    """A park, and the environment in which commands find it."""

    park: Park
    settings: dict[str, str]
    again: Callable[[], object] = lambda: None
    """Done whenever the walk begins anew, for what a snapshot of the node does not have: its pool."""
    said: str = ""
    """What the last command said."""

    def run(self, words: Sequence[str], *dies: Any, ahead: bool = False) -> int:
        """Run a command; ``dies`` is what ``dying.install`` is given besides its file. Return the exit code."""
        folder = self.park.folder
        log = folder / "said"
        log.unlink(missing_ok=True)
        child = shared().start(
            words, self.settings, log, ahead=ahead, dies=(folder / "points", *dies)
        )
        try:
            code = child.wait(WAIT_S)
        finally:
            child.kill()
        self.said = child.said()
        return code

    @property
    def points(self) -> list[str]:
        """The points that the last command has passed."""
        return (self.park.folder / "points").read_text(encoding="utf-8").splitlines()

    def walk(self) -> Callable[[], None]:
        """Keep books and chain as they are; what is returned goes back to them."""
        park, client = self.park, self.park.node.client
        until_mined(client)
        restore = back_up(park.db, park.folder)
        snapshot = client.request("evm_snapshot")

        def begin() -> None:
            nonlocal snapshot
            restore()
            automine(park, True)
            client.request("anvil_dropAllTransactions", [])
            assert client.request("evm_revert", [snapshot])
            snapshot = client.request("evm_snapshot")
            cheap(client)
            self.again()

        return begin


@contextmanager
def walked_park(db: Database, folder: Path, url: str, *, mirrored: bool = True) -> Iterator[World]:
    """Open a park; commands find its books at ``url``."""
    with running_park(db, folder, mirrored) as park:
        file = folder / "deployment.json"
        file.write_text(park.node.deployment_text(), encoding="utf-8")
        yield World(park, settings_of(url, park.node, file))


def settings_of(url: str, node: TestChain, file: Path) -> dict[str, str]:
    """Return the environment of commands: these books, this node, and its deployment in a file."""
    names = {
        "DATABASE_URL": url,
        "RPC_URL": node.rpc_url,
        "DEPLOYMENT": str(file),
        "HOME": str(file.parent / "home"),
        "NETWORK": node.deployment.network,
        "FINALITY": str(DEPTH),
        "SETTLEMENT_WAY": "proposed",
        "NETTING_HOURS": "24",
    }
    return {f"TRUETONNE_{name}": value for name, value in names.items()}


def cheap(client: ChainClient) -> None:
    """Let the next block have a low base fee, which no snapshot brings back."""
    client.request("anvil_setNextBlockBaseFeePerGas", [hex(10**9)])


def chosen(points: Sequence[str], count: int) -> list[int]:
    """Choose so many points: half of them of commits, the others from all, at even distances."""
    if os.environ.get(ALL):
        return list(range(len(points)))
    commits = [number for number, name in enumerate(points) if COMMIT in name]
    half = count // 2
    found = {commits[number * len(commits) // half] for number in range(half)}
    found |= {number * len(points) // (count - half) for number in range(count - half)}
    return sorted(found)


# ------------------------------------------------------------------ what a mirror is to read


def _acts(world: World) -> None:
    """Issue, propose a batch of trades, and let credits move: all is mined, and none of it mirrored."""
    park, node = world.park, world.park.node
    park.register()
    park.fund(PARTIES["market"], 100_000)
    park.generate(day(1), ["100"])
    issuance.plan_issuance(park.chain, PROJECT, day(1), day(2))
    issuance.submit_planned(park.chain)
    until_mined(node.client)
    batch = node.issue(1000, 20)
    node.transfer("owner", "buyer", batch, 100)
    node.retire("buyer", batch, 10)
    node.cancel("owner", batch, 3)
    node.retire("spare", batch, 1, must=False)
    park.trade(("sell", 1000, 10_000), ("buy", 500, 20_000))
    plan_batches(park.chain)
    submit_planned(park.chain)
    until_mined(node.client)


def a_mirror_that_begins(world: World) -> Sequence[str]:
    """Books that nobody has mirrored."""
    world.park.node.issue(1000, 20)
    world.park.node.mine(4)
    return INDEX


def a_range(world: World) -> Sequence[str]:
    """Acts of all kinds, final as they are read."""
    _acts(world)
    world.park.node.mine(4)
    return INDEX


def a_new_block(world: World) -> Sequence[str]:
    """New blocks, by which older ones become final, in a unit of work of their own."""
    _acts(world)
    assert world.run(INDEX) == 0, world.said
    world.park.node.mine(2)
    return INDEX


def a_reorganisation(world: World) -> Sequence[str]:
    """The last three blocks are others."""
    _acts(world)
    assert world.run(INDEX) == 0, world.said
    world.park.node.reorganise(3)
    world.park.node.deposit("market", 500)
    world.park.node.mine(1)
    return INDEX


def a_deep_reorganisation(world: World) -> Sequence[str]:
    """What was final is taken back: an issuance, trades, a retirement."""
    before = world.park.node.height() + 1
    _acts(world)
    world.park.node.mine(4)
    assert world.run(INDEX) == 0, world.said
    world.park.node.reorganise(world.park.node.height() - before - 5)
    world.park.node.mine(1)
    return INDEX


def a_reindex(world: World) -> Sequence[str]:
    """The same, and somebody has altered rows."""
    a_deep_reorganisation(world)
    with world.park.db.write() as session:
        session.execute(text("UPDATE credit_holdings SET amount_kg = amount_kg + 1"))
        session.execute(text("DELETE FROM settlement_balances"))
    return ("index", "reindex")


# ------------------------------------------------------------------ what jobs are to do


def _job(name: str) -> Sequence[str]:
    return ("jobs", "run", name)


def settles(world: World) -> Sequence[str]:
    """Trades that are to be netted and proposed."""
    park = world.park
    park.fund(PARTIES["market"], 100_000)
    park.mirror_final()
    park.trade(("sell", 1000, 10_000), ("buy", 500, 20_000))
    return _job("settle")


def settles_while_nothing_is_mined(world: World) -> Sequence[str]:
    """What was sent waits in the pool when the next run looks."""
    words = settles(world)
    world.again = lambda: automine(world.park, False)
    return words


def settles_cosigned(world: World) -> Sequence[str]:
    """The same, signed by all at once."""
    world.settings["TRUETONNE_SETTLEMENT_WAY"] = "auto"
    return settles(world)


def finalises(world: World) -> Sequence[str]:
    """A batch whose window is over."""
    park = world.park
    settles(world)
    plan_batches(park.chain)
    submit_planned(park.chain)
    park.mirror_final()
    park.node.later(WINDOW_S + 1)
    park.node.mine(1)
    park.mirror.run_until("head")
    return _job("finalise")


def issues(world: World) -> Sequence[str]:
    """Two months that are closed."""
    from ledger.sites import apply_site

    park = world.park
    park.generate(day(30), ["50", "50", "0", "50"])
    with park.db.write() as session:
        site = SITE.replace('program = "internal"\n', WANTED)
        apply_site(session, site, resolve_account=anvil_like)
    park.register()
    return _job("issue")


def sends_an_issuance(world: World) -> Sequence[str]:
    """One that is planned."""
    park = world.park
    park.register()
    park.generate(day(1), ["100", "80"])
    issuance.plan_issuance(park.chain, PROJECT, day(1), day(2))
    return _job("send")


def _waiting(world: World, count: int = 1) -> list[str]:
    park = world.park
    automine(park, False)
    keys = [plan(park) for _ in range(count)]
    for key in keys:
        park.chain.sender.submit(key, CURRENCY)
    return keys


def sends_what_was_dropped(world: World) -> Sequence[str]:
    """Two transactions are in no pool any more."""
    _waiting(world, 2)
    world.park.node.client.request("anvil_dropAllTransactions", [])
    automine(world.park, True)
    return _job("send")


def sends_with_another_nonce(world: World) -> Sequence[str]:
    """Somebody else has used the nonce."""
    park = world.park
    (key,) = _waiting(world)
    intent = park.intent(key)
    drop(park, str(intent.tx_hash))
    steal(park, "buyer", intent.nonce or 0)
    automine(park, True)
    park.node.mine(3)
    park.mirror.run_until("head")
    return _job("send")


def sends_dearer(world: World) -> Sequence[str]:
    """The base fee has risen above what was offered."""
    park, client = world.park, world.park.node.client
    (key,) = _waiting(world)
    (raw,) = [row.raw_transaction for row in park.rows(ChainAttempt) if row.intent_key == key]
    drop(park, str(park.intent(key).tx_hash))

    def again() -> None:
        automine(park, False)
        client.request("eth_sendRawTransaction", [raw])
        spike(park, 50)

    world.again = again
    return _job("send")


def sends_what_was_taken_back(world: World) -> Sequence[str]:
    """A reorganisation has lost it."""
    park = world.park
    key, before = plan(park), park.node.height()
    park.chain.sender.submit(key, CURRENCY)
    until_mined(park.node.client)
    park.mirror_final()
    park.node.reorganise(park.node.height() - before)
    park.mirror.run_until("head")
    return _job("send")


def expires(world: World) -> Sequence[str]:
    """Two batches whose time is over."""
    park = world.park
    head = park.node.client.head().timestamp
    for number in range(2):
        park.node.issue(1000, number, expires_at=head + 3600)
    park.mirror_final()
    park.node.later(3601)
    park.node.mine(1)
    park.mirror.run_until("head")
    return _job("expire")


# ------------------------------------------------------------------ what people take back, and what does not come


def withdraws(world: World) -> Sequence[str]:
    """A day of readings that is withdrawn, whose file has a second one."""
    world.park.generate(day(1), ["60", "30"])
    return _taken_back("withdraw")


def restores(world: World) -> Sequence[str]:
    """The same day, restored."""
    assert world.run(withdraws(world)) == 0, world.said
    return _taken_back("restore")


def _taken_back(verb: str) -> Sequence[str]:
    span = ("--from", day(1).isoformat(), "--to", day(2).isoformat())
    return ("readings", verb, "--site", "park", "--device", "A", *span, "--reason", "a test")


def misses(world: World) -> Sequence[str]:
    """Devices whose values do not come; one was missed, was seen by somebody, and speaks again."""
    hours = {"B": (5,), "C": (9, 1), "D": (7,), "E": (1,)}
    now = datetime.now(UTC)
    rule = {"type": "missing", "metric": "p", "minutes": 120, "severity": "high"}
    with world.park.db.write() as session:
        session.add(
            DeviceType(type_name="told", category="other", validation_rules={"alerts": [rule]})
        )
        session.flush()
        for code in hours:
            session.add(Device(device_id=code, name=code, type="told", status=DeviceStatus.ONLINE))
        session.flush()
        known = session.execute(select(Device.device_id, Device.id))
        numbers = {code: number for code, number in known}

        def say(code: str, hour: int) -> None:
            at = now - timedelta(hours=hour)
            session.add(
                DeviceData(device_id=numbers[code], metric_name="p", value=1, recorded_at=at)
            )

        for code, (first, *_) in hours.items():
            say(code, first)
        session.flush()
        watching.watch(session, now - timedelta(hours=6))
        (alert,) = session.scalars(select(DeviceAlert).where(DeviceAlert.device_id == numbers["C"]))
        handling.acknowledge(session, alert.id, "on it", "otto", now - timedelta(hours=4))
        say("C", 1)
    return _job("alerts")


TAKEN_BACK = ("meter_readings", "reading_withdrawals", "reading_restorations", "device_alerts")
SHOWN = ("energy_production", "energy_consumption", "carbon_emissions")
MOMENTS = {"id", "withdrawn_at", "restored_at", "created_at", "updated_at"}


def taken_back(db: Database) -> dict[str, list[Any]]:
    """Return what has come of it, without when that was."""
    found = {}
    with db.read() as session:
        for name in (*TAKEN_BACK, *SHOWN):
            columns = [each for each in Base.metadata.tables[name].c if each.name not in MOMENTS]
            read = session.execute(select(*columns))
            found[name] = sorted((tuple(row) for row in read), key=repr)
    found["audit_logs"] = rows(db, "audit_logs", "action", "resource", "new_values")
    return found


# ------------------------------------------------------------------ what has come of it


def everything(db: Database) -> dict[str, list[Any]]:
    """Return all rows, but what says who ran when, and numbers and times that the books give."""
    found = {}
    with db.read() as session:
        for name, table in Base.metadata.tables.items():
            if name not in UNTOLD | OF_RUNS:
                columns = [each for each in table.columns if each.name not in ("id", "updated_at")]
                read = session.execute(select(*columns))
                found[name] = sorted((tuple(row) for row in read), key=repr)
    return found


def outcome(park: Park) -> dict[str, Any]:
    """Return what acts have come to, in books and on chain, without keys, times and blocks."""
    client = park.node.client
    until_mined(client)
    found: dict[str, Any] = {
        "sent": {name: client.transaction_count(address) for name, address in PARTIES.items()},
        "intents": rows(park.db, "chain_intents", "kind", "function_name", "state"),
    }
    for name, *columns in (
        ("credit_holdings", "batch_id", "holder", "amount_kg"),
        ("settlement_balances", "account", "asset", "balance"),
        ("issuances", "from_date", "to_date", "state", "issued_kg"),
        ("vpp_trading_records", "id", "status"),
        ("vpp_settlement_batches", "state"),
        ("credit_batches", "batch_id", "status"),
    ):
        found[name] = rows(park.db, name, *columns)
    with park.db.read() as session:
        for name in ("meter_readings", "reading_claims", "chain_events"):
            query = select(func.count()).select_from(Base.metadata.tables[name])
            found[name] = session.scalar(query)
    return found


def undisturbed(world: World, words: Sequence[str]) -> tuple[int, Sequence[str], dict[str, Any]]:
    """Run a command to its end; return its exit code, the points that it passed, and what comes of it all."""
    code = world.run(words)
    assert code in (0, 1), world.said
    passed = world.points
    come_to_an_end(world.park)
    return code, passed, outcome(world.park)


def come_to_an_end(park: Park) -> None:
    """Do what jobs and mirror do until nothing is on its way."""
    automine(park, True)
    cheap(park.node.client)
    rounds = iter(range(ROUNDS))
    park.mirror_final()
    # A period is sent when the one before it is final.
    while any(row.state is IssuanceState.PLANNED for row in park.rows(Issuance)):
        next(rounds)
        park.chain.sender.tend()
        issuance.submit_planned(park.chain)
        park.mirror_final()
    until_confirmed(park)


def differing(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return the names of what is otherwise, with the beginning of both."""
    return [
        f"{name}: {found[name]!r:.600} in place of {expected[name]!r:.600}"
        for name in expected
        if found[name] != expected[name]
    ]


KILLED = -signal.SIGKILL
