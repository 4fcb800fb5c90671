"""The evidence root of many readings in CPU seconds, beside OpenZeppelin's own library.

Both make the leaves and the tree from the same readings in the same run, and both roots must be equal.
The library is given the hash of each text ready-made; for us making it counts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from cli.bench.report import Result, lower_is_better, share_of_limit
from cli.bench.turbines import INTERVAL_S, RATED_KW, TURBINES, rows
from cli.bench.usage import cpu_s
from ledger.errors import DependencyDown, ProblemFound
from ledger.proofs.verifier.trie import keccak256
from ledger.reductions.evidence import evidence_root, meter_hash
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.records import Calibration, Kind, Meter, Quality, Role
from ledger.reductions.runs import Reading
from ledger.reductions.zones import epoch_s

MILLION = 1_000_000
LIMIT_S = Decimal(6)
"""CPU seconds that a million readings may take."""

LEAF_TYPES = ("bytes32", "uint64", "uint64", "int256", "uint8", "uint8", "uint16", "bytes32")
SCRIPT = Path(__file__).with_name("openzeppelin.cjs")
PACKAGE = "@openzeppelin/merkle-tree"


class PeerTree(NamedTuple):
    """What OpenZeppelin's library makes of a group of leaves."""

    root: str
    cpu_s: Decimal
    proofs: list[list[str]]


def measure(readings: int, peer_readings: int) -> list[Result]:
    """Return the CPU time of a root, alone and beside the library.

    Raises
    ------
    ProblemFound
        The two roots differ.
    DependencyDown
        Node or the library is not installed.
    """
    meters = turbine_meters(readings)
    few = turbine_meters(min(peer_readings, readings))
    [peer] = openzeppelin([values_of(few)])
    root, count = evidence_root(few)
    if root != peer.root:
        raise ProblemFound(
            f"the root of {count} readings is {root}, OpenZeppelin's library says {peer.root}",
            code="roots-differ",
        )
    before = cpu_s()
    evidence_root(meters)
    spent = cpu_s() - before
    name = "root_1e6" if readings == MILLION else f"root_{readings}"
    return [
        share_of_limit(name, _rounded(spent), "s", "limit", LIMIT_S),
        lower_is_better(
            "root_vs_openzeppelin",
            _rounded(spent / readings * MILLION),
            "us a reading",
            f"{PACKAGE} {_version()}, {count} readings",
            _rounded(peer.cpu_s / count * MILLION),
        ),
    ]


def turbine_meters(count: int) -> list[Meter]:
    """Return meters with so many readings in all."""
    of_meter: dict[str, list[Reading]] = {code: [] for code in TURBINES}
    scale_of_unit = UNITS[Kind.POWER]["kW"]
    for turbine, start, text in rows(count):
        start_s = epoch_s(start)
        digits, scale = parse_value(text, scale_of_unit) if text else (0, 0)
        quality = int(Quality.USED if text else Quality.MISSING)
        of_meter[turbine].append(
            Reading(start_s, start_s + INTERVAL_S, int(Kind.POWER), quality, digits, scale, text)
        )
    return [
        Meter(
            serial=code,
            device_code=code,
            role=Role.GENERATION,
            kind=Kind.POWER,
            unit="kW",
            interval_s=INTERVAL_S,
            rated_kw=str(RATED_KW),
            calibration=Calibration(),
            readings=tuple(readings),
        )
        for code, readings in of_meter.items()
    ]


def values_of(meters: Sequence[Meter]) -> list[list[str]]:
    """Return the leaves' fields as OpenZeppelin's library takes them."""
    return [
        [
            "0x" + meter_hash(meter.serial).hex(),
            str(reading.start_s),
            str(reading.end_s),
            str(reading.digits),
            str(reading.scale),
            str(reading.kind),
            str(reading.quality),
            "0x" + keccak256(reading.text.encode()).hex(),
        ]
        for meter in meters
        for reading in meter.readings
    ]


def openzeppelin(groups: Sequence[list[list[str]]], *, proofs: bool = False) -> list[PeerTree]:
    """Return what OpenZeppelin's library makes of each group of leaves, in one run of Node.

    Raises
    ------
    DependencyDown
        Node or the library is not installed, or it fails.
    """
    node, folder = shutil.which("node"), modules()
    if node is None:
        raise DependencyDown("Node is not on PATH; run this by ./dev, which installs it")
    lines = [
        json.dumps({"types": LEAF_TYPES, "values": values, "proofs": proofs}) for values in groups
    ]
    done = subprocess.run(
        [node, str(SCRIPT), str(folder)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DependencyDown(f"{PACKAGE} under Node failed: {done.stderr.strip()[-500:]}")
    answers: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        PeerTree(answer["root"], Decimal(answer["cpu_us"]) / MILLION, answer["proofs"])
        for answer in answers
    ]


def modules() -> Path:
    """Return the folder of npm's packages: of the working directory, else of this checkout.

    Raises
    ------
    DependencyDown
        Neither has OpenZeppelin's library.
    """
    for folder in (Path("node_modules"), Path(__file__).parents[2] / "node_modules"):
        if (folder / PACKAGE).is_dir():
            return folder.resolve()
    raise DependencyDown(f"{PACKAGE} is not installed; run this by ./dev in a checkout")


def _version() -> str:
    return str(json.loads((modules() / PACKAGE / "package.json").read_text())["version"])


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.001"))
