"""A small park with its books, its chain and its mirror, as the commands open them."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from cli.flow import Flow
from indexer import Indexer, TickReport
from ledger.chain.access import Chain
from ledger.chain.keys.policy import DailyCaps, GuardedKeyring, SignerPolicy
from ledger.chain.keys.signers import Keyring, anvil_address, anvil_signer
from ledger.chain.node.client import ChainClient
from ledger.chain.sending.sender import Sender
from ledger.db import Database
from ledger.models import Base, ChainIntent, VppSettlementBatch, VppTradingRecord
from ledger.readings import import_file
from ledger.reconcile import reconcile
from ledger.registration import register_project, register_site
from ledger.settings import load_settings
from ledger.settings.settling import SettlementPolicy, Way
from ledger.settlement import escrow
from ledger.settlement.batches import plan_batches, submit_planned
from ledger.settlement.trade_rows import COLUMNS
from ledger.settlement.trades import TradesReport, import_trades
from ledger.sites import apply_site
from ledger.units import currency_of_cents
from tests.support.chain import TestChain, until_mined
from tests.support.mirror import running_chain
from tests.support.plant import SITE, write_csv

PARIS = ZoneInfo("Europe/Paris")
PROJECT = "park-wind"
MARKET = "day-ahead"
TRADING = """
[[vpp]]
code = "plant"
name = "Plant"
total_capacity = "100"
account = "anvil:4"

[[market]]
name = "day-ahead"
account = "anvil:6"
"""
CHAIN_ID = 31337
PROPOSED = SettlementPolicy(Way.PROPOSED, netting_hours=10**6)
"""All trades of a market are netted with each other, and the operator proposes them."""


class AfterMining(Indexer):
    """A mirror that reads to the head once the node has mined what tests and product sent it."""

    def run_until(self, target: int | Literal["head"] = "head", *arguments: Any) -> TickReport:
        """Wait until it is mined, and mirror."""
        until_mined(self._client)
        return super().run_until(target, *arguments)


@dataclass
class Park:
    """Books, chain and mirror. ``chain`` is a second door to the same books and node."""

    db: Database
    node: TestChain
    chain: Chain
    mirror: Indexer
    folder: Path

    def mirror_final(self) -> None:
        """Mirror to the head, and make all of it final first."""
        self.node.mine(2)
        self.mirror.run_until("head")

    def fork_at(self, height: int) -> None:
        """Replace everything above a block by empty blocks, and mirror those."""
        self.node.reorganise(self.node.height() - height)
        self.mirror.run_until("head")

    def register(self) -> None:
        """Register the project and its site on chain, and mirror that."""
        self.mirror.run_until("head")
        register_project(self.chain, PROJECT)
        self.mirror_final()
        register_site(self.chain, PROJECT)
        self.mirror_final()

    def generate(self, first: date, kw_by_day: Sequence[str], missing: int = 0) -> None:
        """Import ten-minute readings, one constant power a legal day; the first so many never come."""
        rows = []
        for number, kw in enumerate(kw_by_day):
            start, end = (
                datetime.combine(first + timedelta(days=number + more), datetime.min.time(), PARIS)
                for more in (0, 1)
            )
            moment, until = start.astimezone(UTC), end.astimezone(UTC)
            while moment < until:
                rows.append((moment.isoformat(), kw))
                moment += timedelta(minutes=10)
        report = import_file(
            self.db, "park", "scada", write_csv(self.folder / "meter.csv", rows[missing:])
        )
        assert report.rejected == 0

    def trade(self, *rows: tuple[str, int, int], hour: int = 0) -> TradesReport:
        """Import trades: side, quantity in 0.001, price in 0.0001; one an hour."""
        lines = [",".join(COLUMNS)]
        for number, (side, milli, price_e4) in enumerate(rows):
            # An independent rounding: half away from zero on integers of 1e-7.
            product = milli * price_e4
            cents = (abs(product) * 2 + 100_000) // 200_000 * (1 if product >= 0 else -1)
            moment = datetime(2014, 1, 1, tzinfo=UTC) + timedelta(hours=hour + number)
            quantity, price = f"{milli / 1000:.3f}", f"{price_e4 / 10_000:.4f}"
            total = currency_of_cents(cents)
            lines.append(f"plant,,{side},{quantity},{price},{total},{MARKET},{moment.isoformat()}")
        file = self.folder / "trades.csv"
        file.write_text("\n".join(lines) + "\n")
        report = self.db.run(lambda session: import_trades(session, file))
        assert report.rejected == 0
        return report

    def propose(self, *rows: tuple[str, int, int]) -> None:
        """Import trades, plan and send their batch, and mirror that."""
        self.trade(*rows)
        plan_batches(self.chain)
        submit_planned(self.chain)
        self.mirror.run_until("head")

    def fund(self, account: str, cents: int) -> None:
        """Give test money to an account, pay it in, and mirror that."""
        escrow.mint_test_currency(self.chain, account, cents)
        escrow.deposit(self.chain, account, account, cents)
        self.mirror.run_until("head")

    def pass_window(self) -> None:
        """Let the window of every proposed batch pass, and mirror that."""
        self.node.pass_window()
        self.mirror.run_until("head")

    def differences(self) -> list[str]:
        """Return in what books and chain differ, by every rule of the reconciliation."""
        report = reconcile(self.db, self.node.client, self.node.deployment)
        return [text for rule in report.rules for text in rule.differences]

    def intent(self, key: str) -> ChainIntent:
        """Return an intent."""
        with self.db.read() as session:
            return session.get_one(ChainIntent, key)

    def rows(self, table: type[Any]) -> Sequence[Any]:
        """Return the rows of a table, in the order of their primary keys."""
        with self.db.read() as session:
            return session.scalars(select(table).order_by(*table.__table__.primary_key)).all()

    def count(self, table: type[Base]) -> int:
        """Return how many rows a table has."""
        with self.db.read() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def again(self) -> "Park":
        """Open books, node and mirror anew, as a second process or a later run does."""
        db = Database(self.db.url.render_as_string(hide_password=False))
        client = ChainClient(self.node.rpc_url)
        chain = open_chain(db, self.node, client, settling=self.chain.settling)
        mirror = AfterMining(db, chain.client, chain.deployment)
        return Park(db, self.node, chain, mirror, self.folder)


def statuses(park: Park) -> list[str]:
    """Return the states of all trades, in the order of their rows."""
    return [row.status.value for row in park.rows(VppTradingRecord)]


def states(park: Park) -> list[str]:
    """Return the states of all settlement batches, in the order of their rows."""
    return [row.state.value for row in park.rows(VppSettlementBatch)]


def flow_of(park: Park, tell: Callable[[str], None] = lambda line: None) -> Flow:
    """Return what a command has of books and chain."""
    settings = load_settings(
        None, {"TRUETONNE_HOME": str(park.folder), "TRUETONNE_RPC_URL": park.node.rpc_url}
    )
    return Flow(settings, park.chain, park.mirror, tell)


def day(number: int) -> date:
    """Return a day of the month that most parks have readings of."""
    return date(2014, 1, number)


def keys_without(*absent: str) -> Keyring:
    """Return all of Anvil's keys but those of some accounts, who keep theirs elsewhere."""
    signers = [anvil_signer(number) for number in range(10)]
    return Keyring({signer.address: signer for signer in signers if signer.address not in absent})


def open_chain(
    db: Database,
    node: TestChain,
    client: ChainClient | None = None,
    max_fee_gwei: int = 200,
    caps: DailyCaps | None = None,
    **options: Any,
) -> Chain:
    """Return a chain with all of Anvil's keys, behind the signer policy of the deployment."""
    client = client or node.client
    settling = options.pop("settling", PROPOSED)
    policy = SignerPolicy.with_limits(node.deployment, caps=caps)
    keyring = GuardedKeyring(options.pop("keyring", None) or keys_without(), policy)
    sender = Sender(db, client, keyring, CHAIN_ID, max_fee_gwei, caps=policy.caps, **options)
    return Chain(db, client, node.deployment, keyring, sender, settling)


@contextmanager
def running_park(db: Database, folder: Path, mirrored: bool = True) -> Iterator[Park]:
    """Open a park on a node of its own; its site file is applied, its chain mirrored, nothing is registered.

    What each would do alike was done once: empty books of SQLite are exchanged for some that have come so far.
    Where nothing is to be ``mirrored`` yet, the site file is applied alone.
    """
    with running_chain() as node:
        chain = open_chain(db, node)
        park = Park(db, node, chain, AfterMining(db, node.client, node.deployment), folder)
        file = Path(db.url.database or "") if db.dialect == "sqlite" else None
        if not mirrored:
            apply_park(db)
        elif file is None or file.with_name(file.name + "-wal").exists():
            _begin(park)
        else:
            _exchange(park, file)
        yield park


_BEGUN: dict[bytes, bytes] = {}
"""Books of a park that has begun, by the empty ones that they were."""


def _exchange(park: Park, file: Path) -> None:
    empty = file.read_bytes()
    if empty in _BEGUN:
        file.write_bytes(_BEGUN[empty])
        return
    _begin(park)
    copy = file.with_name("begun.db")
    with closing(sqlite3.connect(file)) as books:
        books.execute("VACUUM INTO ?", (str(copy),))
    _BEGUN[empty] = copy.read_bytes()
    copy.unlink()


def _begin(park: Park) -> None:
    apply_park(park.db)
    park.mirror.run_until("head")


def apply_park(db: Database, site: str = SITE, trading: str = TRADING) -> None:
    """Apply the site file of the park, with its plant and its market."""
    with db.write() as session:
        apply_site(
            session,
            site + trading,
            resolve_account=lambda text: anvil_address(int(text.removeprefix("anvil:"))),
        )
