"""Files that commands write: whole or not at all, links and devices stay what they are, two at once part nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.files import ready_folder, write_whole, written_aside
from ledger.errors import BadInput
from tests.cli.conftest import ROOT, Program
from tests.support.forms import is_long, long, rest, times


def test_what_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "a"
    out.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), written_aside(out) as aside:
        aside.write_bytes(b"half")
        raise KeyboardInterrupt
    assert out.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_in_memory_is_a_file_too() -> None:
    """Under /dev as devices are, it was written in its place, and half of it stood where the whole one had."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there are no files in memory here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        test_what_breaks_off_leaves_what_was_there(Path(folder))


def test_a_link_stays_one_and_what_it_names_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to("there/file")
    for data in (b"first", b"second"):  # what it names is not there at first
        write_whole(link, data)
        assert link.is_symlink() and (tmp_path / "there" / "file").read_bytes() == data
    assert os.listdir(tmp_path / "there") == ["file"]


def test_a_file_that_is_closed_to_others_stays_so(tmp_path: Path) -> None:
    out = tmp_path / "a"
    out.write_bytes(b"")
    out.chmod(0o600)
    write_whole(out, b"secret")
    assert (out.read_bytes(), out.stat().st_mode & 0o777) == (b"secret", 0o600)


def test_a_new_file_is_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_pipe_is_written_into_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"through")
    reader.join(30)
    assert read == [b"through"] and pipe.is_fifo()


def test_a_descriptor_is_written_into(tmp_path: Path) -> None:
    with (tmp_path / "kept").open("wb") as kept:
        write_whole(Path(f"/dev/fd/{kept.fileno()}"), b"data")
    assert (tmp_path / "kept").read_bytes() == b"data"


def test_two_that_write_one_file_part_nothing(tmp_path: Path) -> None:
    """Another process begins and ends in the midst of ours."""
    out = tmp_path / "a"
    with written_aside(out) as aside, aside.open("wb") as file:
        file.write(b"ours, ")
        program = (
            "import sys, pathlib; from cli.files import write_whole; "
            "write_whole(pathlib.Path(sys.argv[1]), b'x' * 99)"
        )
        root = Path(__file__).resolve().parents[2]
        subprocess.run([sys.executable, "-c", program, str(out)], check=True, cwd=root)
        assert out.read_bytes() == b"x" * 99
        file.write(b"whole")
    assert out.read_bytes() == b"ours, whole"
    assert os.listdir(tmp_path) == ["a"]


def test_two_files_of_one_folder_are_apart(tmp_path: Path) -> None:
    """Also where both are written by one process, or by the first process of two machines."""
    with written_aside(tmp_path / "a") as first, written_aside(tmp_path / "b") as second:
        first.write_bytes(b"1")
        second.write_bytes(b"2")
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"1", b"2")


def test_what_a_killed_command_left_goes_and_what_another_writes_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.part").write_text("of a person")
    script = f"""
from pathlib import Path
from cli.files import written_aside
import os, signal
with written_aside(Path({str(tmp_path / "a")!r})) as aside:
    aside.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = tmp_path.glob(".truetonne-*.part")
    with written_aside(tmp_path / "b") as first:
        assert not left.exists()
        write_whole(tmp_path / "c", b"c")
        assert first.exists()  # it is being written
    assert sorted(os.listdir(tmp_path)) == ["b", "c", "notes.part"]


def test_the_disk_keeps_a_file_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut right after the command leaves an empty one."""
    kept: list[tuple[int, bool]] = []
    real, out = os.fsync, tmp_path / "a"

    def fsync(descriptor: int) -> None:
        real(descriptor)
        kept.append((os.fstat(descriptor).st_ino, out.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(out, b"x")
    assert kept == [(out.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_a_folder_that_one_may_write_and_not_read() -> None:
    """As a drop box: the file was there, and the command said that it cannot be written."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o333)
        try:
            if root:  # who reads everywhere
                os.seteuid(65534)
            for data in (b"first", b"second"):
                write_whole(Path(name, "a"), data)
        finally:
            if root:
                os.seteuid(0)
            os.chmod(name, 0o700)
        assert os.listdir(name) == ["a"]
        assert Path(name, "a").read_bytes() == b"second"


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    out = tmp_path / ("a" * 255)
    write_whole(out, b"x")
    assert out.read_bytes() == b"x"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no/such/a", "there is no folder .*; name a file in a folder that exists"),
        (".", "Is a directory.*; name a file that you may write, on a disk with room"),
        ("file/a", "there is no folder"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match=said):
        write_whole(tmp_path / name, b"x")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_folder_that_is_closed_is_told_before_anything_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(BadInput, match=r"cannot be written \(Permission denied\); name"):
        ready_folder(tmp_path, dry_run=dry_run)


def test_a_folder_is_made_or_looked_at(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for name in ("file", "file/a", "nowhere", "nowhere/a", "x" * 300):
        for dry_run in (True, False):
            with pytest.raises(BadInput, match=f"{name}: cannot be made .*; name a folder that"):
                ready_folder(tmp_path / name, dry_run=dry_run)
    ready_folder(tmp_path / "a" / "b", dry_run=True)
    assert sorted(os.listdir(tmp_path)) == ["file", "nowhere"]
    ready_folder(tmp_path / "a" / "b", dry_run=False)
    ready_folder(tmp_path / "a" / "b", dry_run=True)
    assert (tmp_path / "a" / "b").is_dir()


def test_an_empty_name_is_not_that_of_the_folder_where_one_is(park: Program) -> None:
    """Of a variable that is not set: a backup went there."""
    before = park.files()
    for words, called in (
        (("db", "backup", "--to", ""), "--to"),
        (("db", "backup", "full", "--to="), "--to"),
        (("openapi", "-o", ""), "--output"),
        (("db", "backups", "list", ""), "folder"),
    ):
        ended = park(*words)
        assert ended.code == 2
        assert ended.one_line().startswith(f"error: {called}: an empty name is that of no file")
    assert park.files() == before
    for words in (("--to", "."), ("--to=.",)):
        assert park("db", "backup", *words, "--dry-run").code == 0


def test_what_this_user_may_not_read_is_said_as_what_is_not_there(migrated: Program) -> None:
    """It was called an invalid value, with the command's help for a way out."""
    command = migrated.command("site", "apply", migrated.write("closed.toml", "x"), "--json")
    os.chmod(migrated.folder / "closed.toml", 0)
    if os.geteuid() == 0:  # who reads everywhere
        if not (setpriv := shutil.which("setpriv")):
            pytest.skip("root may read everywhere, and there is no setpriv")
        no = "-dac_override,-dac_read_search"
        command = [setpriv, f"--bounding-set={no}", f"--inh-caps={no}", *command]
    ended = subprocess.run(
        command,
        cwd=migrated.folder,
        env=migrated.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    error = json.loads(ended.stdout)["error"]
    assert (ended.returncode, error["code"]) == (2, "file-unreadable")
    assert error["message"].endswith(
        "closed.toml: cannot be read (Permission denied); let this user read it, or name another"
    )


DEVICES = Path("/dev/stdout"), Path("/dev/fd/1"), Path("/proc/self/fd/1")


@pytest.fixture
def stdout_of_the_machine() -> Iterator[str]:
    """What /dev/stdout leads to; it is put back if a test breaks it."""
    before = os.readlink("/dev/stdout")
    yield before
    if not os.path.islink("/dev/stdout"):
        os.unlink("/dev/stdout")
        os.symlink(before, "/dev/stdout")


@pytest.mark.parametrize("out", rest(DEVICES, DEVICES[0]), ids=str)
def test_stdout_is_no_place_for_a_file(
    truetonne: Program, out: Path, stdout_of_the_machine: str
) -> None:
    """The old code put the file in the place of /dev/stdout itself, for the whole machine."""
    for words in (["openapi", "-o", str(out)], ["openapi", "-o", str(out), "--json"]):
        run = truetonne.started if is_long() and "--json" not in words else truetonne
        ended = run(*words)
        assert os.readlink("/dev/stdout") == stdout_of_the_machine
        assert ended.code == 2
        said = ended.json()["error"]["message"] if "--json" in words else ended.one_line()
        assert "is where this command's own answer goes" in said


@long
def test_a_file_on_stdout_is_the_file_that_is_named(migrated: Program) -> None:
    """In a locale without them, letters stood there as ``\\u4e1c``, and the log's hashes were of other texts."""
    assert migrated("config", "set", "x.greeting", "Grüße, 东").code == 0
    assert migrated("audit", "export", "-o", "named").code == 0
    for encoding in ("ascii", "latin-1", "utf-8")[: times(1, 3)]:
        printed = subprocess.run(
            migrated.command("audit", "export"),
            cwd=migrated.folder,
            env=migrated.environ | {"PYTHONIOENCODING": encoding},
            capture_output=True,
            check=True,
        ).stdout
        assert printed == (migrated.folder / "named").read_bytes()


def test_the_ending_of_a_file_says_its_form(migrated: Program) -> None:
    """CSV stood in files that were called `.parquet` and `.jsonl`, and lines of JSON in one called `.csv`."""
    told = {
        ("export", "credits", "x.parquet"): ("parquet", b"PAR1"),
        ("export", "credits", "x.JSONL"): ("jsonl", b""),
        ("export", "credits", "x.txt"): ("csv", b"id,"),
        ("export", "credits", "y.jsonl", "--format", "csv"): ("csv", b"id,"),
        ("audit", "export", "x.csv"): ("csv", b"id,"),
        ("audit", "export", "x.ndjson"): ("jsonl", b"{"),
        ("audit", "export", "x"): ("jsonl", b"{"),
    }
    assert migrated("config", "set", "x.y", "1").code == 0
    for (command, what, *words), (form, begins) in told.items():
        name = words.pop(0)
        ended = migrated(command, what, *words, "-o", name, "--json")
        assert (ended.code, ended.json()["format"]) == (0, form), ended.out
        content = (migrated.folder / name).read_bytes()
        assert content.startswith(begins) if begins else content == b""
    for words in (("export", "credits"), ("audit", "export")):  # no spreadsheet opens CSV so named
        ended = migrated(*words, "-o", "x.XLSX")
        assert (
            ended.code == 2 and "x.XLSX: no workbook is written; call it .csv" in ended.one_line()
        )
        assert not (migrated.folder / "x.XLSX").exists()


def test_a_device_is_written_into() -> None:
    with written_aside(Path("/dev/null")) as aside:
        assert aside == Path("/dev/null")
