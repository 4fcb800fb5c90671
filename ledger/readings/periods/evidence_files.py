"""A period as two files, from which anybody computes it again: its manifest and its readings.

Of an issued period the manifest is the stored one, byte for byte what the claim's hash stands over;
of any other it is the one that an issuance of today would have. Files that do not give their own manifest
again are not handed out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import zip_longest

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import models
from ledger.errors import BooksDiffer, NotFound
from ledger.models.issuance import LIVE
from ledger.naming import find_credit
from ledger.readings.periods.period import reductions_for, split_by_vintage
from ledger.readings.rows.stored import readings_of
from ledger.reductions import readings_file
from ledger.reductions.arithmetic import compute
from ledger.reductions.judging import Judged, judge
from ledger.reductions.manifest import build, canonical_text, manifest_hash
from ledger.reductions.manifest_file import inputs_of, read_manifest
from ledger.reductions.manifest_shapes import Manifest1
from ledger.reductions.meter_judge import MeterJudge
from ledger.reductions.quality import stored
from ledger.reductions.readings_file import Line
from ledger.reductions.recompute import Trusted, verify
from ledger.reductions.records import Meter, Quality, ReductionInputs
from ledger.reductions.results import Reduction
from ledger.reductions.runs import Reading, Readings
from ledger.reductions.zones import utc_of

MANIFEST, READINGS = "manifest.json", "readings.csv.gz"


@dataclass(frozen=True)
class EvidenceFiles:
    """The two files of one vintage of a period."""

    project: str
    vintage: int
    from_date: date
    to_date: date
    issued: bool
    """Whether it is the manifest of an issuance, and not one that might be."""
    manifest: str
    manifest_hash: str
    evidence_root: str
    issued_kg: int
    leaves: int
    readings: bytes

    @property
    def contents(self) -> dict[str, bytes]:
        """The bytes of each file by its name."""
        return {MANIFEST: self.manifest.encode("utf-8"), READINGS: self.readings}


def files_of_period(session: Session, project: str, start: date, end: date) -> list[EvidenceFiles]:
    """Return the files of a period, one pair for each vintage.

    A part that is exactly the period of an issuance is that issuance's.

    Raises
    ------
    NotFound
        There is no such project.
    Refused
        A rule of the ledger forbids to issue for the period.
    BooksDiffer
        The stored readings do not give the manifest of an issuance any more.
    """
    return [
        files_of_issuance(session, found)
        if isinstance(found, models.Issuance)
        else files_of_reduction(found)
        for found in _parts(session, project, start, end)
    ]


def reductions_known(
    session: Session, project: str, start: date, end: date
) -> list[tuple[Reduction, models.Issuance | None]]:
    """Return the reductions of a period, one for each vintage, and the issuance of those that are issued.

    A part that is exactly the period of an issuance is what that was computed with: the factor, the shares and the
    meters that the project has today are of later periods, and so is a rule that would refuse it today.

    Raises
    ------
    NotFound, BadInput, Refused
        As ``reductions_for`` does.
    """
    return [
        (compute(replace(issued_inputs(session, found), enforce=False)), found)
        if isinstance(found, models.Issuance)
        else (found, None)
        for found in _parts(session, project, start, end)
    ]


def _parts(
    session: Session, project: str, start: date, end: date
) -> Iterator[Reduction | models.Issuance]:
    """Yield for each vintage of a period the issuance of exactly that part, or what it would be issued with today."""
    waiting: tuple[date, date] | None = None
    for part_start, part_end in split_by_vintage(start, end):
        issuance = _issuance(session, project, part_start, part_end)
        if issuance is None:
            # Together: a deficit of the part before enters this one, where that is not issued either.
            waiting = (part_start if waiting is None else waiting[0], part_end)
            continue
        if waiting is not None:
            yield from reductions_for(session, project, *waiting)
            waiting = None
        yield issuance
    if waiting is not None:
        yield from reductions_for(session, project, *waiting)


def files_of_reduction(reduction: Reduction) -> EvidenceFiles:
    """Return the files that an issuance of a reduction would have."""
    text = canonical_text(build(reduction))
    return _checked(text, reduction.inputs.meters, issued=False)


def require_as_read(manifest: str, meters: Iterable[Meter]) -> None:
    """Judge the readings of a manifest anew from their texts, as whoever verifies its credits will.

    A value or a quality that somebody wrote into the books by hand would be issued, and proven by nothing.

    Raises
    ------
    BooksDiffer
        A stored reading is not what its text gives.
    """
    _, stated = read_manifest(manifest.encode("utf-8"), MANIFEST)
    tables = {table.serial: table for table in stated.meters}
    for meter in meters:  # one at a time: all of them may be long
        by_texts = MeterJudge(stated, tables[meter.serial], None, [])
        readings = Readings.of(meter.readings)
        doubtful = by_texts.doubtful(readings)
        if doubtful is not None and _judged(stated, meter.serial, doubtful).readings[
            meter.serial
        ] == tuple(doubtful):
            continue
        judged = _judged(stated, meter.serial, readings)
        pairs = zip_longest(readings, judged.readings[meter.serial])
        altered = next((pair for pair in pairs if pair[0] != pair[1]), None)
        if altered is not None:
            raise BooksDiffer(
                f"meter {meter.serial}: the stored reading {_said(altered[0])} is {_said(altered[1])} by its text: the "
                "row of meter_readings was altered, and nobody could verify what is issued from it; restore it from "
                "a backup",
                details={"differences": [each._asdict() for each in judged.differences]},
            )


def _judged(stated: Manifest1, serial: str, readings: Iterable[Reading]) -> Judged:
    """Judge readings of a meter by the lines that a readings file would have of them."""
    return judge(
        stated,
        (
            Line(number, serial, start_s, end_s, kind, quality, text)
            for number, (start_s, end_s, kind, quality, _, _, text) in enumerate(readings, 1)
        ),
    )


def _said(reading: Reading | None) -> str:
    if reading is None:
        return "none"
    value = Decimal(reading.digits).scaleb(-reading.scale)
    quality, _ = stored(Quality(reading.quality))
    return (
        f"{reading.text!r} of {utc_of(reading.start_s):%Y-%m-%dT%H:%M:%SZ} ({value:f}, {quality})"
    )


def files_of_credit(session: Session, name: str) -> EvidenceFiles:
    """Return the files of the issuance that made a batch of credits.

    Raises
    ------
    NotFound
        There is no such credit, or these books did not issue it.
    BooksDiffer
        The stored readings do not give its manifest any more.
    """
    batch = session.get_one(models.CreditBatch, find_credit(session, name).batch_id)
    query = select(models.Issuance).where(
        models.Issuance.key == batch.key,
        models.Issuance.evidence_root == batch.evidence_root,  # others may use a key of ours
    )
    issuance = session.scalars(query).first()
    if issuance is None:
        raise NotFound(
            f"credit {name!r} was not issued from these books: they have no readings of it"
        )
    return files_of_issuance(session, issuance)


def files_of_issuance(session: Session, issuance: models.Issuance) -> EvidenceFiles:
    """Return the files of an issuance: its stored manifest, and the readings of its period."""
    return _checked(issuance.manifest, issued_inputs(session, issuance).meters, issued=True)


def issued_inputs(session: Session, issuance: models.Issuance) -> ReductionInputs:
    """Return what an issuance was computed from: the stored readings, and all else by its manifest.

    A meter may be calibrated anew, rated otherwise or moved since then; the manifest, whose hash
    the chain holds, says what was so when the period was issued. Readings have their stored quality.

    Raises
    ------
    BadInput
        The stored manifest is none.
    """
    stated = stated_by(issuance)
    readings: dict[str, Sequence[Reading]] = {table.serial: () for table in stated.meters}
    for serial, meter_id in meter_ids_of(session, issuance).items():
        readings[serial] = readings_of(session, meter_id, issuance.from_s, issuance.to_s)
    return inputs_of(stated, readings)


def meter_ids_of(session: Session, issuance: models.Issuance) -> dict[str, int]:
    """Return the row numbers of the meters of an issuance by serial, lowest first, wherever they count today."""
    stated = stated_by(issuance)
    query = (
        select(models.Meter.serial, models.Meter.id)
        .join(models.Site, models.Site.id == models.Meter.site_id)
        .where(
            models.Site.code == stated.site,
            models.Meter.serial.in_([table.serial for table in stated.meters]),
        )
        .order_by(models.Meter.id)
    )
    return {serial: meter_id for serial, meter_id in session.execute(query).all()}


def stated_by(issuance: models.Issuance) -> Manifest1:
    """Return what the manifest of an issuance says.

    Raises
    ------
    BadInput
        The stored manifest is none.
    """
    return read_manifest(issuance.manifest.encode("utf-8"), f"manifest of issuance {issuance.id}")[
        1
    ]


def _issuance(session: Session, project: str, start: date, end: date) -> models.Issuance | None:
    query = (
        select(models.Issuance)
        .join(models.Project, models.Project.id == models.Issuance.project_id)
        .where(
            models.Project.code == project,
            models.Issuance.from_date == start,
            models.Issuance.to_date == end,
            models.Issuance.state.in_(LIVE),
        )
    )
    return session.scalars(query).first()


def _checked(text: str, meters: tuple[Meter, ...], *, issued: bool) -> EvidenceFiles:
    """Return the files, after they were computed again as a stranger does it."""
    data = text.encode("utf-8")
    plain, stated = read_manifest(data, MANIFEST)
    lines = readings_file.parse(readings_file.lines_of(meters), READINGS)
    result = verify(data, plain, stated, judge(stated, lines), Trusted())
    if not result.valid:
        first = result.differences[0]
        raise BooksDiffer(
            f"the stored readings from {stated.period.from_date} to {stated.period.to_date} do not give the "
            f"manifest again: {first.path} is {first.manifest}, computed {first.recomputed} "
            f"({len(result.differences)} differences); `truetonne reconcile` compares books and chain",
            details={"differences": [difference._asdict() for difference in result.differences]},
        )
    return EvidenceFiles(
        project=stated.project,
        vintage=stated.vintage,
        from_date=stated.period.from_date,
        to_date=stated.period.to_date,
        issued=issued,
        manifest=text,
        manifest_hash=manifest_hash(text),
        evidence_root=stated.evidence.root,
        issued_kg=int(stated.carbon.issued_kg),
        leaves=stated.evidence.leaves,
        readings=readings_file.pack(meters),
    )
