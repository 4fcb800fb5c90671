"""Work without a pause, each piece asked for until it is acknowledged, and that kept outside of the database.

A piece that ended with an error may have been done or not: nobody knows. It is asked for again, as a person or a
program would, and must come to be done once.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pymysql
from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import issuance
from ledger.chain.contracts.events import CREDIT
from ledger.chain.node.client import RpcError
from ledger.chain.sending.sender import NotTaken
from ledger.clock import time_text
from ledger.errors import DependencyDown, NotFound, Refused
from ledger.holdings import holding_of, plan_once, plan_transfer
from ledger.models import DeviceAlert
from ledger.models.devices import AlertStatus
from ledger.park import handling, watching
from ledger.readings import import_file
from ledger.readings.imports.restoring import restore
from ledger.readings.imports.selected import Which
from ledger.readings.imports.withdrawing import withdraw
from ledger.serials import Act
from ledger.settlement.trade_rows import COLUMNS
from ledger.settlement.trades import import_trades
from scripts.chaos.rows import days_planned
from tests.ha.park_at_work import DATABASE, DAYS, FIRST_DAY, AtWork
from tests.support.chain import PARTIES
from tests.support.park import MARKET, PROJECT, Park
from tests.support.plant import write_csv

READINGS_FROM = datetime(2016, 1, 1, tzinfo=UTC)
TRADES_FROM = datetime(2016, 1, 1, tzinfo=UTC)
SLIPS_FROM = datetime(2018, 1, 1, tzinfo=UTC)
"""After all other readings: an alert lasts until the next value comes."""
SLIP_KW = "0.3"
TEN_MINUTES = timedelta(minutes=10)
ROWS_A_FILE = 6
TRADE_CENTS = 10
_AGAIN_S = 0.1


class Worker(threading.Thread):
    """Does pieces of one kind of work, one after the other."""

    pause_s = 0.1
    """Between two pieces: the machine has other work."""

    def __init__(self, work: AtWork, stop: threading.Event) -> None:
        super().__init__(name=type(self).__name__, daemon=True)
        self.work = work
        self.halted = stop
        self.acknowledged: list[int] = []
        """Numbers of the pieces that were said to be done."""
        self.spans: list[tuple[float, float]] = []
        """When each of them was asked for the last time, and when it was acknowledged."""
        self.troubles: Counter[str] = Counter()
        self.defect = ""
        self.park: Park = work.park.again()
        self.file: Path = work.folder / f"{self.name}.acknowledged"

    def piece(self, number: int) -> bool:
        """Do a piece; return whether there was one."""
        raise NotImplementedError

    def run(self) -> None:
        """Go on until told to stop; a piece that was begun is ended."""
        number = 0
        try:
            while not self.halted.is_set():
                if self._until_done(number):
                    number += 1
                self.halted.wait(self.pause_s)
        except Exception:
            self.defect = traceback.format_exc()
        finally:
            self.park.chain.client.close()
            self.park.db.close()

    def _until_done(self, number: int) -> bool:
        while True:
            asked_s = time.monotonic()
            try:
                if not self.piece(number):
                    return False
            except (DependencyDown, NotTaken, RpcError, httpx.HTTPError) as error:
                self.troubles[getattr(error, "code", type(error).__name__)] += 1
                time.sleep(_AGAIN_S)
                continue
            self.acknowledged.append(number)
            self.spans.append((asked_s, time.monotonic()))
            with self.file.open("a", encoding="utf-8") as file:
                print(number, datetime.now(UTC).isoformat(), file=file)
            return True


class Readings(Worker):
    """Imports meter files: the ledger's own work."""

    def piece(self, number: int) -> bool:
        path = write_csv(
            self.work.folder / "load.csv", [(t.isoformat(), kw) for t, kw in readings(number)]
        )
        report = import_file(self.park.db, "park", "scada", path)
        assert report.rejected == 0, report
        return True


class Slips(Worker):
    """Imports a value that raises an alert, says that it was seen, imports one that ends it, and withdraws the first.

    Every second one was no slip, and has its value again. One of these acts that was done, and not acknowledged, is
    refused when it is asked for again.
    """

    pause_s = 0.5

    def __init__(self, work: AtWork, stop: threading.Event) -> None:
        super().__init__(work, stop)
        self._done = 0

    def piece(self, number: int) -> bool:
        moment = slip_at(number)
        which = Which(at_s=int(moment.timestamp()))
        acts: list[Callable[[], object]] = [
            lambda: self._came((moment - TEN_MINUTES, "50"), (moment, SLIP_KW)),
            lambda: self.park.db.run(lambda session: self._saw(session, moment)),
            lambda: self._came((moment + TEN_MINUTES, "50")),
            lambda: self._act(lambda session: withdraw(session, "park", "A", which, "a slip")),
        ]
        if number % 2 == 0:
            acts.append(
                lambda: self._act(lambda session: restore(session, "park", "A", which, "was none"))
            )
        while self._done < len(acts):
            acts[self._done]()
            self._done += 1
        self._done = 0
        return True

    def _came(self, *values: tuple[datetime, str]) -> None:
        path = write_csv(
            self.work.folder / "load-slip.csv", [(at.isoformat(), kw) for at, kw in values]
        )
        report = import_file(
            self.park.db,
            "park",
            "scada",
            path,
            after=lambda session, spans: watching.received(
                session, spans, datetime.now(UTC)
            ).as_json(),
        )
        assert report.rejected == 0, report

    def _saw(self, session: Session, moment: datetime) -> None:
        open_now = select(DeviceAlert).where(DeviceAlert.status != AlertStatus.RESOLVED)
        alert = session.scalars(open_now).one()
        assert (alert.details or {})["since"] == time_text(moment)
        if alert.status is AlertStatus.ACTIVE:
            handling.acknowledge(session, alert.id, "looked at", "ha", datetime.now(UTC))

    def _act(self, act: Callable[[Session], object]) -> None:
        with suppress(NotFound):  # it was done, and nobody heard of it
            self.park.db.run(act)


class Transfers(Worker):
    """Moves a kilogram of the owner's credits each time: planned, signed, sent."""

    pause_s = 0.3

    def piece(self, number: int) -> bool:
        chain = self.park.chain

        def planned(session: Session) -> str:
            holding = holding_of(
                session,
                chain,
                str(self.work.batch_id),
                1,
                PARTIES["owner"],
                Act.TRANSFER,
                f"move-{number}",
            )
            return plan_transfer(session, chain, holding, PARTIES["buyer"])

        chain.sender.submit(plan_once(chain, planned), CREDIT)
        return True


class Trades(Worker):
    """Imports trades; the jobs net and settle them."""

    pause_s = 0.2

    def piece(self, number: int) -> bool:
        moment = TRADES_FROM + timedelta(minutes=number)
        line = f"plant,,sell,1.000,0.1000,0.10,{MARKET},{moment.isoformat()}"
        file = self.work.folder / "load-trades.csv"
        file.write_text(f"{','.join(COLUMNS)}\n{line}\n", encoding="utf-8")
        report = self.park.db.run(lambda session: import_trades(session, file))
        assert report.rejected == 0, report
        return True


class Issues(Worker):
    """Issues a day's credits each time, when the day before is final."""

    pause_s = 2.0

    def piece(self, number: int) -> bool:
        chain = self.park.chain
        planned = days_planned(self.park)
        if planned >= DAYS:
            return False
        if planned > number + 2:  # what was thought to have failed had not
            issuance.submit_planned(chain, PROJECT)
            return True
        start = FIRST_DAY + timedelta(planned)
        with suppress(Refused):  # the one before is not final yet: it is sent by the jobs
            issuance.submit_planned(chain, PROJECT)
        issuance.plan_issuance(chain, PROJECT, start, start + timedelta(1))
        with suppress(Refused):
            issuance.submit_planned(chain, PROJECT)
        return True


class Requests(Worker):
    """Makes an API key, and revokes it: two writes of the API."""

    def __init__(self, work: AtWork, stop: threading.Event) -> None:
        super().__init__(work, stop)
        self._client = httpx.Client(
            base_url=work.api,
            timeout=15,
            headers={"Authorization": f"Bearer {work.sign_in()}"},
            trust_env=False,
        )

    def piece(self, number: int) -> bool:
        name = f"key-{number:06d}"
        made = self._client.post(
            "/v1/api-keys",
            json={"name": name, "scopes": ["keys:read"]},
            headers={"Idempotency-Key": f"ha-{name}-0123456789"},
        )
        if made.status_code == 409 and made.json()["code"] == "idempotency-in-flight":
            raise DependencyDown(made.text, code="http-409")  # its first request has not ended
        if made.status_code in (500, 503):
            raise DependencyDown(made.text, code=f"http-{made.status_code}")
        assert made.status_code == 201, (made.status_code, made.text)
        gone = self._client.delete(f"/v1/api-keys/{made.json()['id']}")
        if gone.status_code in (500, 503):
            raise DependencyDown(gone.text, code=f"http-{gone.status_code}")
        assert gone.status_code == 204, (gone.status_code, gone.text)
        return True


@dataclass
class Observer(threading.Thread):
    """Lets the chain grow, and looks through the endpoint how far the mirror and the jobs have come."""

    work: AtWork
    halted: threading.Event
    blocks: list[tuple[float, int]] = field(default_factory=list)
    """When the mirror was seen at which block."""
    runs: list[tuple[float, datetime]] = field(default_factory=list)
    """When a run of a job was seen that ended at which time."""

    def __post_init__(self) -> None:
        super().__init__(name="Observer", daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        """Go on until told to stop."""
        link: pymysql.connections.Connection | None = None  # type: ignore[type-arg]
        mined_s = 0.0
        while not self.halted.wait(0.05):
            if time.monotonic() - mined_s > 0.3:
                self.work.park.node.mine(1)
                mined_s = time.monotonic()
            try:
                link = link or self._connected()
                with link.cursor() as cursor:
                    cursor.execute("SELECT block_number FROM chain_cursor")
                    ((block,),) = cursor.fetchall()
                    cursor.execute("SELECT MAX(ended_at) FROM job_runs")
                    ((ended,),) = cursor.fetchall()
            except (pymysql.err.MySQLError, OSError):
                link = None
                continue
            now_s = time.monotonic()
            self.blocks.append((now_s, int(block)))
            if ended is not None:
                self.runs.append((now_s, ended.replace(tzinfo=UTC)))

    def _connected(self) -> pymysql.connections.Connection:  # type: ignore[type-arg]
        return pymysql.connect(
            host="127.0.0.1",
            port=self.work.cluster.port,
            user="root",
            database=DATABASE,
            autocommit=True,
            ssl_disabled=True,
            connect_timeout=2,
            read_timeout=2,
        )


def readings(number: int) -> list[tuple[datetime, str]]:
    """Return the readings of a piece: when, and kilowatts."""
    first = READINGS_FROM + timedelta(minutes=10 * ROWS_A_FILE * number)
    return [
        (first + timedelta(minutes=10 * row), str((number * 7 + row * 3) % 97 + 1))
        for row in range(ROWS_A_FILE)
    ]


def slip_at(number: int) -> datetime:
    """Return when the value of a piece was measured that was a slip."""
    return SLIPS_FROM + timedelta(hours=number) + TEN_MINUTES


@dataclass
class Load:
    """All of it."""

    work: AtWork
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.readings = Readings(self.work, self.stop)
        self.slips = Slips(self.work, self.stop)
        self.transfers = Transfers(self.work, self.stop)
        self.trades = Trades(self.work, self.stop)
        self.issues = Issues(self.work, self.stop)
        self.requests = Requests(self.work, self.stop)
        self.workers: list[Worker] = [
            self.readings,
            self.slips,
            self.transfers,
            self.trades,
            self.issues,
            self.requests,
        ]
        self.observer = Observer(self.work, self.stop)

    def start(self) -> None:
        """Begin."""
        for thread in (*self.workers, self.observer):
            thread.start()

    def check(self) -> None:
        """Require that nobody met what nobody expects."""
        for worker in self.workers:
            assert not worker.defect, f"{worker.name}: {worker.defect}"
        assert self.observer.is_alive() or self.stop.is_set()
        self.work.check_alive()

    def end(self) -> None:
        """Stop asking; what was asked for is ended."""
        self.stop.set()
        for thread in (*self.workers, self.observer):
            thread.join(120)
            assert not thread.is_alive(), f"{thread.name} does not end"
        self.check()
