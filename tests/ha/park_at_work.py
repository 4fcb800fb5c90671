"""A park at work: the product's processes on the writer endpoint, and everything that they are asked to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import issuance
from ledger.audit import HOUSE
from ledger.chain.local.anvil import KeptPort
from ledger.db import Database
from ledger.identity import passwords, users
from ledger.models import CreditBatch, DeviceType
from ledger.models.users import UserRole
from ledger.sealing import load_sealer
from tests.support.chain import PARTIES
from tests.support.galera import Cluster, until
from tests.support.nursery import Child, Nursery
from tests.support.park import PROJECT, Park, running_park

DATABASE = "truetonne"
FUNDS_CENTS = 1_000_000_00
FIRST_DAY = date(2014, 1, 1)
DAYS_ISSUED = 2
DAYS = 40
"""Days with readings: so many can be issued."""
KG_A_DAY = 1_200
"""100 kW for a day, at 0.5 t/MWh."""
RULE = {"type": "below", "metric": "active_power", "limit": "1", "unit": "kW", "severity": "low"}
"""Of the device's type: what raises an alert, and no other reading breaks."""
PASSWORD = "correct horse battery"
START_S = 120.0


@dataclass
class AtWork:
    """What runs. ``park`` is a door of this process to the same books, and the node."""

    cluster: Cluster
    park: Park
    folder: Path
    nursery: Nursery
    batch_id: int
    api: str
    settings: dict[str, str]
    children: dict[str, Child] = field(default_factory=dict)

    def start(self, name: str, *words: str) -> Child:
        """Start one process of the product."""
        self.children[name] = self.nursery.start(words, self.settings, self.folder / f"{name}.log")
        return self.children[name]

    def check_alive(self) -> None:
        """Require that no process of the product has ended: nobody starts them again."""
        for name, child in self.children.items():
            assert child.alive(), f"{name} ended: {child.said()[-2000:]}"

    def sign_in(self) -> str:
        """Return a token of the user."""
        answer = httpx.post(
            f"{self.api}/v1/sessions",
            json={"username": "ha", "password": PASSWORD},
            timeout=30,
            trust_env=False,
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])


@contextmanager
def park_at_work(cluster: Cluster, folder: Path) -> Iterator[AtWork]:
    """Migrate the books through the endpoint, prepare a park, and start mirror, jobs and API."""
    with ExitStack() as stack:
        folder.mkdir(parents=True, exist_ok=True)
        writer = cluster.writer()
        assert writer is not None
        writer.execute(f"CREATE DATABASE {DATABASE}")
        db = Database(cluster.url(DATABASE))
        stack.callback(db.close)
        db.upgrade()
        park = stack.enter_context(running_park(db, folder))
        batch_id = _prepare(park)
        nursery = stack.enter_context(Nursery())
        port = KeptPort()
        (folder / "deployment.json").write_text(park.node.deployment_text(), encoding="utf-8")
        settings = {
            "TRUETONNE_DATABASE_URL": cluster.url(DATABASE),
            "TRUETONNE_RPC_URL": park.node.rpc_url,
            "TRUETONNE_DEPLOYMENT": str(folder / "deployment.json"),
            "TRUETONNE_HOME": str(folder / "home"),
            "TRUETONNE_NETWORK": park.node.deployment.network,
            "TRUETONNE_JOB_SCHEDULES": "settle=1s; finalise=1s; send=1s; webhooks=1s",
            "TRUETONNE_SETTLEMENT_WAY": "proposed",
            "TRUETONNE_NETTING_HOURS": "24",
            "TRUETONNE_API_PORT": str(port.number),
            "TRUETONNE_RATE_LIMIT": "0",
        }
        work = AtWork(
            cluster,
            park,
            folder,
            nursery,
            batch_id,
            f"http://127.0.0.1:{port.number}",
            settings,
        )
        _add_user(db, folder / "home" / "sealing.key")
        settings["TRUETONNE_SEALING_KEY_FILE"] = str(folder / "home" / "sealing.key")
        stack.callback(lambda: [child.kill() for child in work.children.values()])
        work.start("index", "index", "run")
        work.start("jobs", "jobs", "run")
        work.start("api", "serve")
        until(lambda: _answers(work), "the API does not answer", START_S)
        until(
            lambda: "runs the jobs now" in work.children["jobs"].said(),
            "nobody leads jobs",
            START_S,
        )
        yield work


def _prepare(park: Park) -> int:
    """Pay in, register, import, issue the first days, and let all of it be final; return the batch."""
    park.node.deposit("market", FUNDS_CENTS)
    park.register()
    park.db.run(_watch)
    park.generate(FIRST_DAY, ["100"] * DAYS)
    issuance.plan_issuance(park.chain, PROJECT, FIRST_DAY, FIRST_DAY + timedelta(DAYS_ISSUED))
    issuance.submit_planned(park.chain)
    park.mirror_final()
    park.mirror_final()
    (batch,) = park.rows(CreditBatch)
    assert batch.issued_kg == KG_A_DAY * DAYS_ISSUED
    assert PARTIES["owner"] in park.chain.keyring.addresses
    return int(batch.batch_id)


def _watch(session: Session) -> None:
    """Let a value below all others raise an alert."""
    session.scalars(select(DeviceType)).one().validation_rules = {"alerts": [RULE]}


def _add_user(db: Database, key_file: Path) -> None:
    key_file.parent.mkdir(parents=True, exist_ok=True)
    sealer = load_sealer(key_file, make=True)
    made = passwords.hashed(PASSWORD)
    db.run(
        lambda session: users.add(
            session,
            sealer,
            username="ha",
            email="ha@park.example",
            role=UserRole.ADMIN,
            password_hash=made,
            by=HOUSE,
        )
    )


def _answers(work: AtWork) -> bool:
    work.check_alive()
    try:
        return httpx.get(f"{work.api}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        time.sleep(0.2)
        return False
