"""A manifest and its readings, computed again from the two files alone, and what differs.

No database, no chain, no network, no settings: what a stranger runs. Every number that follows from
others is computed again; what can only be taken as stated (names, the carry that comes in) is bound by
the manifest's hash, which is compared with the one on chain when it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from ledger.errors import BadInput, Refused
from ledger.files import GZIP
from ledger.reductions.arithmetic import compute
from ledger.reductions.factors import content_sha256
from ledger.reductions.hints import slot_hints
from ledger.reductions.judging import (
    NAMED_SLOTS_MAX,
    Judged,
    alike,
    empty_slots,
    judge,
    taken_as_changed,
)
from ledger.reductions.manifest import FORMAT_1, IN_SERVICE, build, manifest_hash
from ledger.reductions.manifest_file import certificates_of, inputs_of, read_manifest
from ledger.reductions.manifest_shapes import Manifest1, Manifest2
from ledger.reductions.meter_judge import Difference
from ledger.reductions.readings_file import Line, read
from ledger.reductions.reporting import fraction_text
from ledger.reductions.results import Reduction
from ledger.reductions.runs import Reading
from ledger.reductions.zones import TZDATA_VERSION, legal_day, legal_day_start_s, utc_of, zone

ABSENT = "absent"
_BEFORE_RULES = frozenset(("line", "quality", "period", "factor", "rules", "given.manifest_hash"))
"""What is ok whether the rules allow to issue or not; the rest has to be compared with what they come to."""
LINES_MORE_MAX = 100_000
"""Lines beyond those that a manifest counts, each of which is named."""
_NOT_COMPUTED = "the rules allow no issuance: counts, energies, kilograms and root were not computed, nor compared"
_NAMES = ("serial", "key", "reference")
"""Keys by which an item of a list is named in the path of a difference, rather than by its place."""

NOT_PROVEN = (
    "that the readings are what the meter measured, and the meter where it is said to be",
    "that the hashes stand on chain: give --manifest-hash and --root as read there, or use `truetonne verify`",
    "names, zone data version, calibration dates and the carry brought in, but for the manifest's hash: "
    "the carry is the carry out of the issuance before it, or less where days that no issuance has lacked "
    "something (into a backfill and out of it nothing is carried)",
    "what is declared, but for that hash: factor and shares, role, unit, rated power and accuracy of the meters, "
    "since when and until when they are there, texts that mean no value, changes of an instrument, certificates and "
    "what others left out for them",
    "that no other issuance used the same readings: books and contract refuse it, and the contract can be asked",
)
"""What a valid result does not say, in plain words."""


@dataclass(frozen=True)
class Trusted:
    """What stands on chain, as somebody has read it there; None is not compared."""

    manifest_hash: str | None = None
    root: str | None = None
    issued_kg: int | None = None


@dataclass(frozen=True)
class Check:
    """One thing that was checked, in plain words."""

    name: str
    ok: bool


@dataclass
class Verification:
    """What came of it."""

    manifest_hash: str
    evidence_root: str
    issued_kg: str
    checks: list[Check] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    """What helps to find the cause of a difference."""

    @property
    def valid(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return what ``reductions verify --json`` prints."""
        return {
            "valid": self.valid,
            "checks": [{"name": check.name, "ok": check.ok} for check in self.checks],
            "differences": [difference._asdict() for difference in self.differences],
            "hints": self.hints,
            "manifest_hash": self.manifest_hash,
            "evidence_root": self.evidence_root,
            "issued_kg": self.issued_kg,
        }


def verify_files(manifest: Path, readings: Path, trusted: Trusted = Trusted()) -> Verification:
    """Compute a manifest again from its readings file, and say what differs.

    Raises
    ------
    BadInput
        A file cannot be read as what it should be: nothing can be said about it.
    """
    try:
        data = manifest.read_bytes()
    except OSError as error:
        raise BadInput(
            f"{manifest}: cannot be read ({error.strerror}); name an existing file",
            code="file-error",
        ) from None
    if data.startswith(GZIP):
        raise BadInput(
            f"{manifest}: is gzipped, and no manifest is: name the manifest first, then its readings"
        )
    plain, stated = read_manifest(data, str(manifest))
    try:
        judged = judge(stated, _not_many_more(read(readings), stated, str(readings)))
        return verify(data, plain, stated, judged, trusted)
    except MemoryError as error:
        raise BadInput(
            f"{readings}: to compute its {stated.evidence.leaves:,} readings again takes more memory than there is"
        ) from error


def _not_many_more(lines: Iterator[Line], stated: Manifest1, name: str) -> Iterator[Line]:
    """Yield the lines of a readings file: a small gzip of one line many times over must not fill the memory.

    Raises
    ------
    BadInput
        There are far more than the manifest has readings.
    """
    most = stated.evidence.leaves + LINES_MORE_MAX
    for number, line in enumerate(lines, 1):
        if number > most:
            raise BadInput(
                f"{name}: more than {most:,} lines, and the manifest is of {stated.evidence.leaves:,} readings: "
                "give the two files that belong together"
            )
        yield line


def verify(
    data: bytes, plain: Mapping[str, Any], stated: Manifest1, judged: Judged, trusted: Trusted
) -> Verification:
    """Compare a manifest with what follows from its readings."""
    found = list(judged.differences)
    found += _period_differences(stated)
    found += _factor_differences(plain)
    found += _carry_differences(stated)
    again = None
    try:
        made = compute(inputs_of(stated, judged.readings))
        found += differences_of(plain, build(made, stated.format))
        again = made
    except (Refused, BadInput) as error:
        found.append(Difference("rules", "an issuance", error.message))
    said = manifest_hash(data.decode("utf-8"))
    found += _trusted_differences(trusted, said, again)
    result = Verification(
        manifest_hash=said,
        evidence_root=again.evidence_root if again else "",
        issued_kg=str(again.issued_kg) if again else "",
        differences=found,
        hints=[*_hints(stated, judged, found), *([] if again else [_NOT_COMPUTED])],
    )
    for name, paths in _checks(stated, judged, trusted):
        ok = not any(_belongs(difference.path, paths) for difference in found)
        if not ok or again is not None or paths[0] in _BEFORE_RULES:
            result.checks.append(Check(name, ok))
    return result


def differences_of(stated: Any, recomputed: Any, path: str = "") -> Iterator[Difference]:
    """Yield every place where two JSON values differ; meters, corrections and certificates are named."""
    if isinstance(stated, Mapping) and isinstance(recomputed, Mapping):
        for key in [*stated, *(key for key in recomputed if key not in stated)]:
            yield from differences_of(
                stated.get(key, ABSENT),
                recomputed.get(key, ABSENT),
                f"{path}.{key}" if path else key,
            )
    elif (
        isinstance(stated, list) and isinstance(recomputed, list) and len(stated) == len(recomputed)
    ):
        for place, (one, other) in enumerate(zip(stated, recomputed, strict=True)):
            name = place
            if isinstance(one, Mapping):
                name = next((one[key] for key in _NAMES if isinstance(one.get(key), str)), place)
            yield from differences_of(one, other, f"{path}[{name}]")
    elif stated != recomputed or type(stated) is not type(recomputed):
        yield Difference(path, stated, recomputed)


def _period_differences(stated: Manifest1) -> Iterator[Difference]:
    """Yield where the seconds of the period do not follow from its legal dates, inside one year.

    Nor when a meter is there, within the period: by a time of the day, slots that it lacks would not be missed.
    """
    period = stated.period
    first, end = period.from_date, period.to_date
    if not (first < end and (end - timedelta(days=1)).year == first.year):
        yield Difference(
            "period.to", period.to_date.isoformat(), "after the first day, within its calendar year"
        )
    if stated.vintage != period.from_date.year:
        yield Difference("vintage", stated.vintage, period.from_date.year)
    try:
        where = zone(period.zone)
    except BadInput as error:
        yield Difference("period.zone", period.zone, error.message)
        return
    for name, day, second in (
        ("from_s", period.from_date, period.from_s),
        ("to_s", period.to_date, period.to_s),
    ):
        follows = legal_day_start_s(day, where)
        if second != follows:
            yield Difference(f"period.{name}", second, follows)
    for meter in inputs_of(stated, _no_readings(stated)).meters:
        for name in IN_SERVICE:
            at_s = getattr(meter, name)
            if at_s is not None and period.from_s < at_s < period.to_s:
                begin_s = legal_day_start_s(legal_day(at_s, where), where)
                if at_s != begin_s:
                    path = f"meters[{meter.serial}].{name}"
                    yield Difference(path, at_s, f"where a legal day begins, as {begin_s}")


def _factor_differences(plain: Mapping[str, Any]) -> Iterator[Difference]:
    factors = {"factor": plain["factor"]}
    for meter in plain["meters"]:
        if meter.get("fuel"):
            factors[f"meters[{meter['serial']}].fuel"] = meter["fuel"]
    for path, factor in factors.items():
        follows = content_sha256(factor)
        if factor["sha256"] != follows:
            yield Difference(f"{path}.sha256", factor["sha256"], follows)


def _carry_differences(stated: Manifest1) -> Iterator[Difference]:
    """Yield where the carry breaks its rule: under one kilogram, but for deficits and corrections."""
    carry = remainder_in(stated)
    for correction in inputs_of(stated, _no_readings(stated)).corrections:
        if correction.carried_kg >= 0:
            path = f"corrections[{correction.key}].carried_kg"
            yield Difference(path, fraction_text(correction.carried_kg), "below zero: a deficit")
    if carry >= 1:
        said = f"{stated.carbon.carry_in_kg}, of which {fraction_text(carry)} are no corrections"
        yield Difference("carbon.carry_in_kg", said, "less than 1 kg")


def remainder_in(stated: Manifest1) -> Fraction:
    """Return what a manifest carries in that is no correction: the remainder of the issuance before it, kg."""
    corrections = stated.corrections if isinstance(stated, Manifest2) else ()
    owed = sum((Fraction(correction.carried_kg) for correction in corrections), Fraction(0))
    return Fraction(stated.carbon.carry_in_kg) - owed


def _no_readings(stated: Manifest1) -> dict[str, tuple[Reading, ...]]:
    return {table.serial: () for table in stated.meters}


def _trusted_differences(
    trusted: Trusted, said: str, again: Reduction | None
) -> Iterator[Difference]:
    if trusted.manifest_hash is not None and trusted.manifest_hash.lower() != said:
        yield Difference("given.manifest_hash", trusted.manifest_hash, said)
    if again is None:
        return
    if trusted.root is not None and trusted.root.lower() != again.evidence_root:
        yield Difference("given.root", trusted.root, again.evidence_root)
    if trusted.issued_kg is not None and trusted.issued_kg != again.issued_kg:
        yield Difference("given.issued_kg", str(trusted.issued_kg), str(again.issued_kg))


def _hints(stated: Manifest1, judged: Judged, found: list[Difference]) -> list[str]:
    hints = list(slot_hints(stated, found))
    hints += empty_slots(stated, judged)
    changed = taken_as_changed(stated, judged)
    hints += [
        f"meter {serial}: from {utc_of(at_s):%Y-%m-%dT%H:%M:%SZ} its register goes on from less than it had: a change "
        "of the instrument, which neither file shows"
        for serial, at_s in changed[:NAMED_SLOTS_MAX]
    ]
    if len(changed) > NAMED_SLOTS_MAX:
        hints.append(f"so do registers at {len(changed) - NAMED_SLOTS_MAX} other times")
    hints += [
        f"meter {serial} has counted the very same as meter {first} in every reading: if they are one meter, its "
        "energy counts twice"
        for serial, first in alike(stated, judged)[:NAMED_SLOTS_MAX]
    ]
    if stated.period.tzdata != TZDATA_VERSION:
        hints.append(
            f"the manifest was made with time zone data {stated.period.tzdata}, here is {TZDATA_VERSION}"
        )
    return hints


def _checks(
    stated: Manifest1, judged: Judged, trusted: Trusted
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield every check in plain words, with the paths whose differences fail it."""
    lines = f"{judged.lines:,}"
    yield f"each of {lines} lines is a reading of the period, once and in order", ("line",)
    yield f"each of {lines} readings' quality follows from the rules", ("quality",)
    yield "the seconds of the period follow from its legal dates", ("period", "vintage")
    if any(getattr(table, name, None) for table in stated.meters for name in IN_SERVICE):
        yield "each meter is there on whole legal days", ("in_service",)
    yield "each factor's SHA-256 is the one of its content", ("factor",)
    yield "the rules of the ledger allow to issue", ("rules",)
    yield "the counts are those of the readings", ("readings", "meters")
    if stated.format != FORMAT_1:
        yield "each day of each meter has the readings that the manifest was made from", ("days",)
    if any(certificates_of(table) for table in stated.meters):
        yield (
            "what certificates leave out follows from what was declared, and each SHA-256 from that too",
            ("certificates",),
        )
    yield "the energies are the sums of the readings", ("energy", "information")
    yield (
        "carbon, carry and issued kilograms follow from energies and factor",
        ("carbon", "corrections"),
    )
    yield f"the evidence root stands over these {stated.evidence.leaves:,} leaves", ("evidence",)
    yield (
        "format, version and method are the ones that this version computes with",
        ("format", "code_version", "program", "project", "site", "methodology"),
    )
    for value, name in (
        (trusted.manifest_hash, "manifest_hash"),
        (trusted.root, "root"),
        (trusted.issued_kg, "issued_kg"),
    ):
        if value is not None:
            yield f"the {name.replace('_', ' ')} is the one given", (f"given.{name}",)


def _belongs(path: str, wanted: tuple[str, ...]) -> bool:
    if path.startswith("readings["):
        name = "quality" if path.endswith(".quality") else "line"
    elif path.startswith("given."):
        name = path
    elif path.startswith("meters[") and "].energy_certificates" in path:
        name = "certificates"
    elif path.startswith("meters[") and path.endswith(IN_SERVICE):
        name = "in_service"
    elif path.startswith("meters[") and "]." in path:
        field_name = path.rpartition("].")[2].partition(".")[0]
        name = {"fuel": "factor", "days": "days", "times": "days", "result": "energy"}.get(
            field_name, "meters"
        )
    else:
        name = path.partition(".")[0].partition("[")[0]
    return name in wanted
