"""Make the bundled meter files anew from the two published packages that carry them.

Usage, with the wheels downloaded by pip (``pip download --no-deps openoa==3.2 pvanalytics==0.2.2``)::

    python data/make.py FOLDER_OF_WHEELS            write the files
    python data/make.py FOLDER_OF_WHEELS --check    compare only; exit 1 on a difference

What is kept is the source's text, byte for byte: no number is parsed, rounded or printed again.
Rows keep their order; columns that the ledger does not read are left out.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent

OPENOA = "openoa-3.2-py3-none-any.whl"
OPENOA_SHA256 = "654c1a81c3c27d8caa84e861a7659090d0135f08350e2577e96e42025899f70f"
PVANALYTICS = "pvanalytics-0.2.2-py3-none-any.whl"
PVANALYTICS_SHA256 = "4e5022f60aecb5948148d0ca72ca7bf849e5468c78da572e1af17bf944cf44f6"

TURBINE = "R80721"
TURBINE_COLUMNS = ("Wind_turbine_name", "Date_time", "P_avg")


def turbine_text(wheels: Path) -> bytes:
    """Return header and rows of one turbine, three columns of nine."""
    with _opened(wheels / OPENOA, OPENOA_SHA256) as wheel:
        inner = wheel.read("examples/data/la_haute_borne.zip")
    with zipfile.ZipFile(io.BytesIO(inner)) as archive:
        lines = archive.read("la-haute-borne-data-2014-2015.csv").decode("ascii").split("\n")
    return "\n".join(_selected(lines)).encode("ascii") + b"\n"


def _selected(lines: list[str]) -> Iterator[str]:
    header = lines[0].split(",")
    places = [header.index(name) for name in TURBINE_COLUMNS]
    yield ",".join(TURBINE_COLUMNS)
    for line in lines[1:]:
        cells = line.split(",")
        if cells[0] == TURBINE:
            yield ",".join(cells[place] for place in places)


def rooftop_text(wheels: Path) -> bytes:
    """Return the rooftop system's file unchanged."""
    with _opened(wheels / PVANALYTICS, PVANALYTICS_SHA256) as wheel:
        return wheel.read("pvanalytics/data/serf_east_15min_ac_power.csv")


def _opened(path: Path, sha256: str) -> zipfile.ZipFile:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise SystemExit(f"{path}: sha256 is {found}, expected {sha256}")
    return zipfile.ZipFile(path)


def compressed(text: bytes) -> bytes:
    """Return text in gzip form with neither name nor time, so that the same text gives the same file."""
    return gzip.compress(text, compresslevel=9, mtime=0)


FILES = {
    HERE / "la-haute-borne" / "R80721-2014-2015.csv.gz": turbine_text,
    HERE / "serf-east" / "serf-east-15min.csv.gz": rooftop_text,
}


def main(arguments: list[str]) -> int:
    """Write or check every file; return the exit code."""
    if not arguments:
        print(__doc__)
        return 2
    wheels, check = Path(arguments[0]), "--check" in arguments[1:]
    differing = 0
    for path, make in FILES.items():
        text = make(wheels)
        # Another zlib may pack the same text into other bytes: the text is what counts.
        same = path.exists() and gzip.decompress(path.read_bytes()) == text
        if not same and check:
            differing += 1
        elif not same:
            path.write_bytes(compressed(text))
        outcome = "same" if same else "differs" if check else "written"
        print(f"{path.relative_to(HERE)}: {outcome}, {len(text)} bytes of text")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
