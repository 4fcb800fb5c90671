"""Files that earlier versions wrote still verify, and a change of them is still found."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.reductions.manifest_file import read_manifest
from ledger.reductions.recompute import Trusted, Verification, verify_files
from tests.support.forms import few, rest

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "manifests"
WRITTEN = {
    # Folder: manifest hash, evidence root, kilograms and lines, as the commit that wrote them printed.
    "format-1": (
        "0x85db0138f82a897d2e1c3ec70008a7ed0f0385908dcc2cee1f717da0228b6d94",
        "0xd6dcd02aafd88a1a0886038dc4c10099adee2f8ff6ce8cc5e689671b810529da",
        1916,
        432,
    ),
    "format-2": (
        "0x3d4c35c83b5f32ddef80c44c609082b86bc21ac359e7ddaa3f852a4efb203e66",
        "0x2a0742c518cc842cf983ad13d646e18090dedc2fdfa0fbf946dc88a0e3bf2499",
        1437,
        431,
    ),
    "calibrations": (
        "0x98ca3ba2d4d5e57b37f99656a2548becd5abc74c63b3ceff85500f7725ae6b2d",
        "0x2a0742c518cc842cf983ad13d646e18090dedc2fdfa0fbf946dc88a0e3bf2499",
        1437,
        431,
    ),
}


def verified(name: str, lines: list[str] | None = None, folder: Path | None = None) -> Verification:
    files = FOLDER / name
    readings = files / "readings.csv.gz"
    if lines is not None and folder is not None:
        readings = folder / "readings.csv"
        readings.write_text("".join(lines))
    written, root, kilograms, _ = WRITTEN[name]
    return verify_files(files / "manifest.json", readings, Trusted(written, root, kilograms))


def test_every_folder_is_tried() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == set(WRITTEN)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_an_earlier_version_wrote_verifies(name: str) -> None:
    result = verified(name)
    assert result.valid, result.differences
    assert len(result.checks) >= 13


@pytest.mark.parametrize("name", rest(WRITTEN))
def test_a_change_of_what_an_earlier_version_wrote_is_found(name: str, tmp_path: Path) -> None:
    with gzip.open(FOLDER / name / "readings.csv.gz", "rt", encoding="utf-8", newline="") as file:
        lines = file.readlines()
    assert len(lines) == WRITTEN[name][3] + 1
    for place in range(1, len(lines), 29):
        without = lines[:place] + lines[place + 1 :]
        paths = [item.path for item in verified(name, without, tmp_path).differences]
        assert "given.root" in paths
    manifest = json.loads((FOLDER / name / "manifest.json").read_text())
    manifest["carbon"]["issued_kg"] = str(int(manifest["carbon"]["issued_kg"]) + 1)
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    result = verify_files(file, FOLDER / name / "readings.csv.gz", Trusted(WRITTEN[name][0]))
    assert {item.path for item in result.differences} >= {"carbon.issued_kg", "given.manifest_hash"}


def test_they_show_what_a_register_and_a_period_can_be() -> None:
    with gzip.open(FOLDER / "format-2" / "readings.csv.gz", "rt", encoding="utf-8") as file:
        text = file.read()
    qualities = {line.split(",")[-2] for line in text.splitlines()[1:] if not line.startswith('"')}
    assert {"100", "301", "200", "404", "405"} <= qualities
    assert "|0>" in text
    assert "340.5\n" in text
    _, stated = read_manifest((FOLDER / "calibrations" / "manifest.json").read_bytes(), "m")
    assert [meter.role.value for meter in stated.meters] == [
        "storage",
        "import",
        "fuel",
        "load",
        "generation",
        "generation",
    ]


AT_ONCE = """
import sys, threading
from ledger.reductions.manifest_file import read_manifest

data, place, calls = open(sys.argv[1], "rb").read(), int(sys.argv[2]), 0
overtaken, overtook = threading.Event(), threading.Event()

def waits(frame, event, argument):
    global calls
    if event == "call" and "msgspec" in frame.f_code.co_filename:
        calls += 1
        if calls == place:
            overtaken.set()
            overtook.wait(60)

def first():
    sys.setprofile(waits)
    read_manifest(data, "manifest")
    sys.setprofile(None)
    overtaken.set()

def second():
    overtaken.wait()
    read_manifest(data, "manifest")
    overtook.set()

threads = [threading.Thread(target=each) for each in (first, second)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("read")
"""


@few(2)
@pytest.mark.parametrize("place", [1, 10, 30, 50])
def test_two_threads_may_be_the_first_to_read_a_manifest(place: int) -> None:
    """Two who opened a credit's page or its certificate just after a start ended the server (SIGSEGV).

    The second overtakes the first at its ``place``-th call of what msgspec reads annotations with.
    """
    command = [
        sys.executable,
        "-c",
        AT_ONCE,
        str(FOLDER / "format-2" / "manifest.json"),
        str(place),
    ]
    root = FOLDER.parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr
