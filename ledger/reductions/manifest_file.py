"""A manifest read back, strictly: every key with its type, in the one spelling, or one clear line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from ledger.errors import BadInput
from ledger.reductions.certificates import marked
from ledger.reductions.manifest import FORMAT, FORMAT_1, FORMAT_2, canonical_text
from ledger.reductions.numbers import UNITS
from ledger.reductions.records import (
    Calibration,
    CalibrationSpan,
    CarriedCorrection,
    EnergyCertificate,
    Factor,
    Kind,
    Meter,
    Purpose,
    Reading,
    ReductionInputs,
    Role,
)

BYTES_MAX = 64 * 2**20
KINDS = {kind.name.lower(): kind for kind in Kind}
Text = Annotated[str, Meta(max_length=1_000)]
Count = Annotated[int, Meta(ge=0, lt=2**53)]
Moment = Annotated[int, Meta(ge=-(2**40), lt=2**40)]
Second = Annotated[int, Meta(ge=0, lt=2**32)]
Decimal = Annotated[str, Meta(pattern=r"^-?[0-9]{1,40}(\.[0-9]{1,40})?$")]
Whole = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,30})$")]
Exact = Annotated[str, Meta(pattern=r"^(0|-?[1-9][0-9]{0,120})/[1-9][0-9]{0,120}$")]
Hash = Annotated[str, Meta(pattern=r"^0x[0-9a-f]{64}$")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class _Strict(Struct, forbid_unknown_fields=True, kw_only=True):
    """A table whose keys are all known and all there."""


class Methodology(_Strict):
    """``methodology``."""

    id: Text
    version: Text


class Period(_Strict):
    """``period``: legal dates of a zone, and the seconds that they are."""

    from_date: date = field(name="from")
    to_date: date = field(name="to")
    from_s: Second
    to_s: Second
    zone: Text
    tzdata: Text


class FactorTable1(_Strict):
    """``factor`` in the first format."""

    code: Text
    version: Text
    purpose: Purpose
    value: Decimal
    unit: Text
    source: str
    data_year: int | None
    verified: bool
    sha256: Sha256


class FactorTable(FactorTable1):
    """``factor``, and the ``fuel`` of a meter."""

    document: str | None
    document_sha256: str | None
    gas_set: str | None
    boundary: str | None
    published_at: date | None
    valid_from: date | None
    valid_to: date | None
    om: Decimal | None
    bm: Decimal | None
    w_om: Decimal | None
    w_bm: Decimal | None
    ncv_gj_per_t: Decimal | None
    density_kg_per_l: Decimal | None
    oxidation_share: Decimal | None


class CountsTable(_Strict):
    """``readings``, of the period or of a meter."""

    expected: Count
    used: Count
    missing: Count
    outlier: Count
    conflict: Count


class MeterTable1(_Strict):
    """One of ``meters`` in the first format."""

    serial: Text
    device: Text
    role: Role
    kind: Text
    unit: Text
    interval_s: Annotated[int, Meta(ge=1, le=86_400)]
    rated_kw: Decimal | None
    accuracy_class: Text | None
    calibrated: bool
    calibrated_from_s: Moment | None
    calibrated_to_s: Moment | None
    readings: CountsTable
    rows: dict[str, Count]


class CalibrationTable(_Strict):
    """One of ``calibrations`` of a meter."""

    from_s: Moment | None
    to_s: Moment | None
    measured_error: Decimal | None
    certificate_sha256: Sha256 | None


class MeterTable2(MeterTable1):
    """One of ``meters`` in the second format."""

    measured_error: Decimal | None
    fuel: FactorTable | None
    density_kg_per_l: Decimal | None
    stuck_hours: Annotated[int, Meta(ge=0, le=24)]
    register: bool
    no_value_texts: list[Text]
    result: dict[str, Text]
    days: dict[str, Text]
    calibrations: list[CalibrationTable] = field(default_factory=list)


class CertificateTable(_Strict):
    """One of ``energy_certificates`` of a meter."""

    instrument: Text
    reference: Text
    from_s: Moment
    to_s: Moment
    energy_mwh: Decimal | None
    share: Decimal | None
    sha256: Sha256
    before_kwh: Exact
    left_out_kwh: Exact
    remaining_kwh: Exact


class MeterTable(MeterTable2, kw_only=True):
    """One of ``meters``."""

    energy_certificates: list[CertificateTable]
    times: dict[str, Text]


class Energy2(_Strict):
    """``energy`` in the second format and before."""

    export_kwh: Decimal
    import_kwh: Decimal
    net_kwh: Decimal


class Energy(Energy2):
    """``energy``."""

    certified_kwh: Decimal


class Carbon(_Strict):
    """``carbon``."""

    baseline_t: Decimal
    project_t: Decimal
    leakage_t: Decimal
    uncertainty_t: Decimal
    reductions_kg: Decimal
    carry_in_kg: Exact
    carry_out_kg: Exact
    issued_kg: Whole
    rounding: str


class Evidence(_Strict):
    """``evidence``."""

    format: Text
    root: Hash
    leaves: Count
    total_kg: Whole


class CorrectionTable(_Strict):
    """One of ``corrections``: a deficit of an earlier period."""

    key: Hash
    cause: Text
    from_date: date = field(name="from")
    to_date: date = field(name="to")
    carried_kg: Exact


class Manifest1(_Strict):
    """A whole manifest in the first format."""

    format: Text
    code_version: Text
    program: Text
    project: Text
    site: Text
    methodology: Methodology
    vintage: Annotated[int, Meta(ge=1970, le=2106)]
    period: Period
    factor: FactorTable1
    completeness_min: Decimal
    meters: Sequence[MeterTable1]
    readings: CountsTable
    energy: Energy2
    carbon: Carbon
    evidence: Evidence


class Manifest2(Manifest1):
    """A whole manifest in the second format."""

    factor: FactorTable
    meters: Sequence[MeterTable2]
    leakage_share: Decimal
    uncertainty_share: Decimal
    information: dict[str, dict[str, str | int]]
    corrections: list[CorrectionTable]


class Manifest(Manifest2):
    """A whole manifest."""

    meters: Sequence[MeterTable]
    energy: Energy


_SHAPES = {FORMAT: Manifest, FORMAT_2: Manifest2, FORMAT_1: Manifest1}


def read_manifest(data: bytes, name: str) -> tuple[dict[str, Any], Manifest1]:
    """Return a manifest as plain JSON and as records.

    Parameters
    ----------
    data
        The bytes of the file.
    name
        What to call it in an error.

    Raises
    ------
    BadInput
        It is not JSON in its one spelling, or a key is missing, unknown or of the wrong type.
    """
    plain = _plain(data, name)
    stated = plain.get("format") if isinstance(plain, dict) else None
    shape = _SHAPES.get(stated, Manifest1) if isinstance(stated, str) else Manifest
    if isinstance(stated, str) and stated not in _SHAPES:
        raise BadInput(
            f"{name}: format: {stated[:60]!r}; this version recomputes {', '.join(_SHAPES)}; "
            "use the one that wrote it"
        )
    try:
        manifest = msgspec.convert(plain, shape, strict=True)
    except msgspec.ValidationError as error:
        raise BadInput(f"{name}: {_place(error)}") from None
    serials = [meter.serial for meter in manifest.meters]
    if serials != sorted(set(serials)):
        raise BadInput(f"{name}: meters: each serial stands once, in order; found {serials}")
    for meter in manifest.meters:
        if meter.kind not in KINDS:
            raise BadInput(
                f"{name}: meters[{meter.serial}].kind: {meter.kind!r}; known are {', '.join(KINDS)}"
            )
        units = UNITS.get(KINDS[meter.kind], {})
        if meter.unit not in units:
            raise BadInput(
                f"{name}: meters[{meter.serial}].unit: {meter.unit!r} is no unit of {meter.kind}; "
                f"known are {', '.join(units)}"
            )
    return plain, manifest


def inputs_of(manifest: Manifest1, readings: dict[str, tuple[Reading, ...]]) -> ReductionInputs:
    """Return what a manifest says that it was computed from, with readings by serial."""
    period = manifest.period
    whole = manifest if isinstance(manifest, Manifest2) else None
    return ReductionInputs(
        program=manifest.program,
        project=manifest.project,
        site=manifest.site,
        methodology=manifest.methodology.id,
        methodology_version=manifest.methodology.version,
        vintage=manifest.vintage,
        zone=period.zone,
        tzdata=period.tzdata,
        from_date=period.from_date,
        to_date=period.to_date,
        from_s=period.from_s,
        to_s=period.to_s,
        factor=factor_of(manifest.factor),
        completeness_min=manifest.completeness_min,
        meters=tuple(meter_of(table, readings[table.serial]) for table in manifest.meters),
        carry_in_kg=Fraction(manifest.carbon.carry_in_kg),
        leakage_share=whole.leakage_share if whole else "0",
        uncertainty_share=whole.uncertainty_share if whole else "0",
        corrections=tuple(
            CarriedCorrection(
                table.key, table.cause, table.from_date, table.to_date, Fraction(table.carried_kg)
            )
            for table in (whole.corrections if whole else ())
        ),
    )


def factor_of(table: FactorTable1) -> Factor:
    """Return a manifest's factor."""
    return Factor(**{name: getattr(table, name) for name in table.__struct_fields__})


def _spans_of(table: MeterTable2) -> tuple[CalibrationSpan, ...]:
    return tuple(
        CalibrationSpan(item.from_s, item.to_s, item.measured_error, item.certificate_sha256)
        for item in table.calibrations
    )


def certificates_of(table: MeterTable1) -> tuple[EnergyCertificate, ...]:
    """Return the certificates that a manifest names of a meter."""
    if not isinstance(table, MeterTable):
        return ()
    return tuple(
        EnergyCertificate(
            item.instrument,
            item.reference,
            item.from_s,
            item.to_s,
            item.energy_mwh,
            item.share,
            Fraction(item.before_kwh),
        )
        for item in table.energy_certificates
    )


def meter_of(table: MeterTable1, readings: tuple[Reading, ...]) -> Meter:
    """Return a manifest's meter with its readings."""
    more = table if isinstance(table, MeterTable2) else None
    certificates = certificates_of(table)
    return Meter(
        serial=table.serial,
        device_code=table.device,
        role=table.role,
        kind=KINDS[table.kind],
        unit=table.unit,
        interval_s=table.interval_s,
        rated_kw=table.rated_kw,
        calibration=Calibration(
            table.accuracy_class,
            table.calibrated,
            table.calibrated_from_s,
            table.calibrated_to_s,
            more.measured_error if more else None,
            _spans_of(more) if more else (),
        ),
        readings=marked(readings, certificates, table.role),
        certificates=certificates,
        fuel=factor_of(more.fuel) if more and more.fuel else None,
        density_kg_per_l=more.density_kg_per_l if more else None,
        stuck_hours=more.stuck_hours if more else 0,
        register=more.register if more else False,
    )


def _plain(data: bytes, name: str) -> Any:
    if len(data) > BYTES_MAX:
        raise BadInput(f"{name}: longer than {BYTES_MAX} bytes: no manifest")
    try:
        text = data.decode("utf-8")
        plain = json.loads(text)
        spelled = canonical_text(plain) if isinstance(plain, dict) else None
    except UnicodeDecodeError as error:
        raise BadInput(f"{name}: byte {error.start}: not UTF-8 text") from None
    except TypeError as error:  # a float, which no number of a manifest is
        raise BadInput(f"{name}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name}: not JSON: {error}") from None
    if spelled is None:
        raise BadInput(f"{name}: a manifest is a JSON object, found {type(plain).__name__}")
    if spelled != text:
        place = next(
            (
                at
                for at, (one, other) in enumerate(zip(text, spelled, strict=False))
                if one != other
            ),
            min(len(text), len(spelled)),
        )
        raise BadInput(
            f"{name}: character {place + 1}: not the one spelling of this JSON (keys sorted and each once, "
            f"no blanks, nothing after the end): found {text[place : place + 20]!r}, "
            f"canonical is {spelled[place : place + 20]!r}"
        )
    return plain


def _place(error: msgspec.ValidationError) -> str:
    """Return msgspec's message with the place first: ``meters[0].unit: expected str, got int``."""
    said, _, place = str(error).partition(" - at `")
    where = place.rstrip("`").removeprefix("$").removeprefix(".")
    said = said[:1].lower() + said[1:].replace("`", "'")
    return f"{where}: {said}" if where else said
