"""The jobs of backups, on books with a chain: what a drill compares, and what it finds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from cli import restoring
from cli.command import Invocation
from cli.output import Output
from ledger.backup.drill import drill
from ledger.backup.overview import standing, store_of
from ledger.backup.planning import Wanted, plan
from ledger.backup.stream import BackupDamaged
from ledger.errors import BadInput, BooksDiffer, DependencyDown, ProblemFound
from ledger.jobs import backing_up
from ledger.jobs.catalogue import jobs_of, schedules_of
from ledger.jobs.work import Tools
from ledger.models import CreditHolding
from ledger.settings import Settings, load_settings
from tests.support.forms import long
from tests.support.full import fill, little_room, small_disk
from tests.support.park import Park


def settings_of(park: Park, folder: Path) -> Settings:
    url = park.db.url.render_as_string(hide_password=False)
    found = load_settings(None, {"TRUETONNE_DATABASE_URL": url, "TRUETONNE_HOME": str(folder)})
    return replace(found, backup_folder=folder / "backups", backup_keep_days=2)


def test_backups_by_themselves(park: Park, tmp_path: Path) -> None:
    settings = settings_of(park, tmp_path)
    day = datetime.now(UTC)
    tools = Tools(park.chain, settings, lambda: day)
    new = standing(settings, day)
    assert new is not None and "no backup yet" in new.alarms[0]  # not that a key is lost
    assert backing_up.rehearse(tools) is None  # there is nothing to restore
    first = standing(settings, day)
    assert first is not None and "no backup yet" in first.alarms[0]
    park.node.issue(5_000, 0)
    park.mirror_final()
    said = backing_up.full(tools)
    assert said is not None and said.startswith("kept ") and "-full-" in said
    assert "is the disk" not in said
    assert backing_up.binlogs(tools) is None  # SQLite has none
    found = standing(settings, day)
    assert found is not None and len(found.alarms) == 1 and "no drill" in found.alarms[0]
    said = backing_up.rehearse(tools)
    assert said is not None and said.endswith("nothing differs")
    found = standing(settings, day)
    assert found is not None and found.alarms == ()
    late = standing(settings, day + timedelta(hours=27, minutes=1))
    assert late is not None and "27 h" in late.alarms[0]
    before = standing(settings, day - timedelta(days=400))  # the clock was set back since
    assert before is not None and before.drill is not None
    assert before.alarms[1] == (
        f"the last drill was on {before.drill['begun_at'][:10]} by a clock that was ahead, or the one here is behind; "
        "run `truetonne db drill`"
    )

    # Books that were tampered with before they were copied: the tables are as noted, the chain says otherwise.
    park.db.run(lambda session: session.execute(update(CreditHolding).values(amount_kg=4_999)))
    assert backing_up.incremental(tools) is not None  # of SQLite a whole copy
    with pytest.raises(BooksDiffer, match="holdings"):
        backing_up.rehearse(tools)
    found = standing(settings, day)
    assert found is not None and " failed (reconcile: " in found.alarms[0]

    failing = Tools(park.chain, replace(settings, backup_hook="false"), lambda: day)
    with pytest.raises(ProblemFound, match="is kept here, but not off-site"):
        backing_up.full(failing)
    assert len(store_of(settings).items()) == 3

    # Its disk is not mounted: the mount point is an empty folder, and was written to without a word.
    shutil.move(tmp_path / "backups", tmp_path / "elsewhere")
    said = backing_up.full(Tools(park.chain, settings, lambda: day + timedelta(days=2)))
    assert said is not None and said.endswith(": is the disk of the backups mounted there?")
    assert "is the disk" not in str(backing_up.full(tools))


@long
def test_a_drill_by_itself_uses_what_is_sound_and_says_what_is_not(
    park: Park, tmp_path: Path
) -> None:
    settings = settings_of(park, tmp_path)
    tools = Tools(park.chain, settings)
    for _ in range(2):
        backing_up.full(tools)
    first, last = sorted(store_of(settings).items(), key=lambda item: item.turn)
    place = store_of(settings).folder
    (place / last.id / "copy.sealed").unlink()
    with pytest.raises(BooksDiffer, match=f"drill of {first.id} failed: {last.id}/copy.sealed: "):
        backing_up.rehearse(tools)
    (place / first.id / "copy.sealed").unlink()  # none can be restored: not that there is none
    with pytest.raises(BackupDamaged, match=r"copy\.sealed: cannot be read"):
        backing_up.rehearse(tools)


@long
def test_a_full_folder_gets_room_from_what_is_old(park: Park, tmp_path: Path) -> None:
    """What was old was deleted after a copy alone: where none found room any more, nothing ever was."""
    settings = settings_of(park, tmp_path)
    folder = settings.backup_folder
    assert folder is not None
    folder.mkdir()
    with small_disk(folder, 200_000_000):
        for _ in range(2):
            backing_up.full(Tools(park.chain, settings))
        first, last = sorted(item.id for item in store_of(settings).items())
        fill(folder, but_bytes=100_000)
        with pytest.raises(DependencyDown, match=r"no room .* run `truetonne db backups expire`"):
            backing_up.full(Tools(park.chain, settings))
        assert {item.id for item in store_of(settings).items()} == {first, last}
        later = datetime.now(UTC) + timedelta(days=3)
        said = backing_up.full(Tools(park.chain, settings, lambda: later))
        assert said is not None and said.endswith("; deleted 2 old ones")  # by that clock
        left = {item.id for item in store_of(settings).items()}
    assert (len(left), left & {first, last}) == (1, set())


@long
def test_what_a_newer_version_wrote_keeps_no_backup_from_being_taken(
    park: Park, tmp_path: Path
) -> None:
    settings = settings_of(park, tmp_path)
    tools = Tools(park.chain, settings)
    backing_up.full(tools)
    (first,) = store_of(settings).items()
    manifest = store_of(settings).folder / first.id / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    assert (backing_up.full(tools) or "").startswith("kept ")
    found = standing(settings, datetime.now(UTC))
    assert found is not None and f"backup {first.id}: its format is 2, " in found.alarms[0]


@long
def test_a_drill_that_has_no_room_to_compare_has_failed(
    park: Park, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said that the chain cannot be asked, and exit 0: the newest drill was a good one."""
    (tmp_path / "chain.json").write_text(park.node.deployment_text())
    settings = settings_of(park, tmp_path)
    given = {
        "TRUETONNE_HOME": str(tmp_path),
        "TRUETONNE_DEPLOYMENT": str(tmp_path / "chain.json"),
        "TRUETONNE_RPC_URL": park.node.rpc_url,
    }
    park.node.issue(5_000, 0)
    park.mirror_final()
    backing_up.full(Tools(park.chain, settings))
    store = store_of(settings)
    found = plan(store.items(), Wanted())
    compare = restoring._comparison(Invocation(Output(False), environ=given))
    assert drill(store, found, compare, None).ok
    little_room(monkeypatch, 20)
    with pytest.raises(DependencyDown, match="make room, or set TMPDIR"):
        drill(store, found, compare, None)
    after = standing(settings, datetime.now(UTC))
    assert after is not None and "make room, or set TMPDIR" in after.alarms[0]
    # A node that is gone is no fault of the backup, and is said to be left out.
    gone = {**given, "TRUETONNE_RPC_URL": "http://127.0.0.1:9"}
    compare = restoring._comparison(Invocation(Output(False), environ=gone))
    last = drill(store, found, compare, None).findings[-1]
    assert (last.name, last.differences) == ("reconcile", ())
    assert last.skipped.startswith("the chain cannot be asked: ")


def test_only_where_a_folder_is_set(park: Park, tmp_path: Path) -> None:
    settings = settings_of(park, tmp_path)
    names = {job.name for job in jobs_of(settings)} - {
        job.name for job in jobs_of(replace(settings, backup_folder=None))
    }
    assert names == {"backup-full", "backup-incremental", "backup-binlogs", "backup-drill"}
    other = replace(settings, job_schedules="backup-full=30 1 * * *; backup-binlogs=5s")
    assert names <= set(schedules_of(other))
    with pytest.raises(BadInput):
        schedules_of(replace(other, backup_folder=None))
    assert standing(replace(settings, backup_folder=None), datetime.now(UTC)) is None
