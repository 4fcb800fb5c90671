"""A reading that was withdrawn: a credit is issued without it, proven with it, and shows why."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from api.app import create_app
from ledger.bundles import ALL, build_bundle
from ledger.clock import utc_now
from ledger.issuance import plan_issuance, submit_planned
from ledger.models import Device, Issuance
from ledger.proofs.verifier import verify
from ledger.readings import import_file
from ledger.readings.imports.restoring import restore
from ledger.readings.imports.selected import Which
from ledger.readings.imports.withdrawing import withdraw
from ledger.readings.periods.evidence_files import files_of_credit
from tests.flows.test_proof_routes import settings_of
from tests.support.park import PROJECT, Park
from tests.support.plant import write_csv

REASON = "a typing error: 6 kW in place of 60 <b>"
SLOT = datetime(2014, 1, 1, 8, tzinfo=UTC)


def test_a_credit_of_a_day_with_a_withdrawn_reading_is_proven_by_its_text(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    park.register()
    park.generate(date(2014, 1, 1), ["60"])
    slip = write_csv(park.folder / "slip.csv", [(SLOT.isoformat(), "6")])
    import_file(park.db, "park", "scada", slip)  # of two values the lower one counts
    which = Which(at_s=int(SLOT.timestamp()), text="6")
    park.db.run(lambda session: withdraw(session, "park", "A", which, REASON))
    both = Which(from_s=int(SLOT.timestamp()) + 3600, to_s=int(SLOT.timestamp()) + 4200)
    park.db.run(lambda session: withdraw(session, "park", "A", both, "a slip of the mending"))
    ahead = utc_now() + timedelta(seconds=60)
    with monkeypatch.context() as other_machine:
        other_machine.setattr("ledger.clock.utc_now", lambda: ahead)
        park.db.run(lambda session: restore(session, "park", "A", both, "it was right <i>"))
    alone = Which(at_s=int(SLOT.timestamp()) + 9000)
    park.db.run(lambda session: withdraw(session, "park", "A", alone, "no such hour"))
    plan_issuance(park.chain, PROJECT, date(2014, 1, 1), date(2014, 1, 2))
    submit_planned(park.chain, PROJECT)
    park.mirror_final()
    with park.db.read() as session:  # else it was planned while that reading was withdrawn
        assert session.scalars(select(Issuance.created_at)).one() > ahead
    assert park.differences() == []

    name = f"{PROJECT}-2014-1"
    with park.db.read() as session:
        built = build_bundle(
            park.chain.client, park.chain.deployment, session, f"{name}-1-715", "latest", ALL
        )
    document = json.loads(built.text)
    verdict = verify(built.text, built.trusted)  # raises where a check does not hold
    assert "145 readings" in dict(verdict.checks)["readings"]
    assert verdict.facts["batch"]["issued_kg"] == 715  # 60 kW, 24 h but for 10 min, at 0.5 kg/kWh
    with park.db.read() as session:
        files = files_of_credit(
            session, name
        )  # raises where the two files do not give the manifest
    assert files.manifest == document["manifest"]
    (meter,) = json.loads(document["manifest"])["meters"]
    assert meter["no_value_texts"] == ["6", "60"]

    folder = park.folder / "deployment.json"
    with TestClient(create_app(settings_of(park, park.node.rpc_url, folder))) as client:
        found = client.get(f"/v1/credits/{name}/readings?quality=superseded").json()["items"]
        assert [(row["text"], row["value"], row["withdrawn"]) for row in found] == [
            ("6", None, REASON)
        ]
        rest = client.get(f"/v1/credits/{name}/readings?quality=used&limit=5").json()["items"]
        assert {row["withdrawn"] for row in rest} == {row["restored"] for row in rest} == {None}
        every = client.get(f"/v1/credits/{name}/readings?quality=used&limit=200").json()["items"]
        assert [row["restored"] for row in every if row["restored"]] == ["it was right <i>"]
        renamed = update(Device).where(Device.device_id == "A").values(name="North <ridge>")
        park.db.run(lambda session: session.execute(renamed))
        called = '<bdi>A</bdi> <bdi class="quiet">North &lt;ridge&gt;</bdi>'
        assert f'<h3>{called} <span class="quiet">· ' in client.get(f"/credits/{name}").text
        page = client.get(f"/credits/{name}/days/2014-01-01").text
        assert f'<h2>{called} <span class="quiet">· Europe/Paris</span>' in page
        assert "withdrawn:" in page and "in place of 60 &lt;b&gt;" in page
        assert page.count("the value was taken back") == 1  # the other one stands beside a value
        assert "the file says that there is no value" not in page
        assert "restored:" in page and "it was right &lt;i&gt;" in page
