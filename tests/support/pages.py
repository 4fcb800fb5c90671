"""A park with something of everything to show, and its pages served on a port of their own."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import uvicorn

from api.app import create_app
from ledger.chain.contracts.events import CREDIT
from ledger.chain.keys.signers import anvil_address
from ledger.holdings import details_of, holding_of, plan_retirement
from ledger.issuance import plan_issuance, submit_planned
from ledger.readings import import_file
from ledger.serials import Act
from ledger.settings import load_settings
from ledger.settlement import batches
from tests.support.books import new_books
from tests.support.park import PARIS, PROJECT, Park, running_park
from tests.support.plant import write_csv

BATCH = f"{PROJECT}-2014-1"
RETIRED = f"{BATCH}-1-100"
CHINESE = "北京市朝阳区喆堃幼儿园"
HOSTILE = '<img src=x onerror="alert(1)"> \u202egpj.exe ' + "x" * 900
FIRST, DAYS = date(2014, 1, 31), 2
"""The period lies in two months."""


@contextmanager
def shown_park(folder: Path) -> Iterator[Park]:
    """Two days of a turbine with a gap, an outlier and a conflict; issued, retired by two, with trades proposed."""
    db = new_books(folder / "books.db")
    with running_park(db, folder) as park:
        park.register()
        _readings(park)
        plan_issuance(park.chain, PROJECT, FIRST, FIRST + timedelta(days=DAYS))
        submit_planned(park.chain, PROJECT)
        park.mirror_final()
        for beneficiary, kg in ((CHINESE, 100), (HOSTILE, 50)):
            _retire(park, beneficiary, kg)
        for account in (anvil_address(4), anvil_address(6)):  # of the plant and of the market
            park.fund(account, 100_00)
        park.trade(("sell", 1_000, 500), ("sell", 2_000, 400), ("buy", 500, 450))
        assert batches.plan_batches(park.chain)
        batches.submit_planned(park.chain)
        park.mirror_final()
        yield park
    db.close()


def _readings(park: Park) -> None:
    moment = datetime.combine(FIRST, datetime.min.time(), PARIS).astimezone(UTC)
    rows = []
    for slot in range(DAYS * 144):
        at = (moment + timedelta(minutes=10 * slot)).isoformat()
        if 30 <= slot < 36:  # in no file
            continue
        text = "9999" if slot == 50 else "" if slot == 51 else str(40 + slot % 37)
        rows.append((at, text))
        if slot == 60:
            rows.append((at, "12.5"))
    report = import_file(park.db, "park", "scada", write_csv(park.folder / "meter.csv", rows))
    assert report.rejected == 0


def _retire(park: Park, beneficiary: str, kg: int) -> None:
    with park.db.read() as session:
        held = holding_of(session, park.chain, BATCH, kg, None, Act.RETIRE)
    details = details_of(beneficiary, "year 2014", "CN", (1_388_534_400, 1_420_070_400))
    key = park.db.run(lambda session: plan_retirement(session, park.chain, held, details))
    park.chain.sender.submit(key, CREDIT)
    park.mirror_final()


@contextmanager
def served_pages(park: Park, rpc_url: str | None = None) -> Iterator[str]:
    """Serve the pages of a park, perhaps with another node, and yield their address."""
    deployment = park.folder / "deployment.json"
    deployment.write_text(park.node.deployment_text())
    given = {
        "TRUETONNE_HOME": str(park.folder),
        "TRUETONNE_DATABASE_URL": park.db.url.render_as_string(hide_password=False),
        "TRUETONNE_RPC_URL": rpc_url or park.node.rpc_url,
        "TRUETONNE_NETWORK": "local",
        "TRUETONNE_RATE_LIMIT": "0",  # one client asks for all pages, fast
        "TRUETONNE_DEPLOYMENT": str(deployment),
    }
    app = create_app(load_settings(None, given))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server does not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:  # a test that fails must not leave the thread behind: Python would wait for it for ever
        server.should_exit = True
        thread.join()
