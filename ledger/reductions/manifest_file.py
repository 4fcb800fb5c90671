"""A manifest read back, strictly: every key with its type, in the one spelling, or one clear line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import msgspec

from ledger.errors import BadInput
from ledger.reductions.certificates import marked
from ledger.reductions.grids import INTERVALS
from ledger.reductions.manifest import canonical_text
from ledger.reductions.manifest_shapes import (
    SHAPES,
    FactorTable1,
    Manifest,
    Manifest1,
    Manifest2,
    MeterTable,
    MeterTable1,
    MeterTable2,
)
from ledger.reductions.numbers import UNITS
from ledger.reductions.records import (
    Calibration,
    CalibrationSpan,
    CarriedCorrection,
    EnergyCertificate,
    Factor,
    Kind,
    Meter,
    ReductionInputs,
)
from ledger.reductions.runs import Reading

BYTES_MAX = 64 * 2**20
_INTERVALS_S = tuple(minutes * 60 for minutes in INTERVALS)
KINDS = {kind.name.lower(): kind for kind in Kind}
for _shape in SHAPES.values():
    # msgspec reads annotations at first use, and not safely: of two threads that begin at once, the second takes what
    # the first has not finished, follows a pointer to nothing, and the process ends. So they are read here, once.
    msgspec.json.Decoder(_shape)


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
    shape = SHAPES.get(stated, Manifest1) if isinstance(stated, str) else Manifest
    if isinstance(stated, str) and stated not in SHAPES:
        raise BadInput(
            f"{name}: format: {stated[:60]!r}; this version recomputes {', '.join(SHAPES)}; "
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
        if meter.interval_s not in _INTERVALS_S:
            raise BadInput(  # of another one, slots are expected that there are not, or fewer
                f"{name}: meters[{meter.serial}].interval_s: {meter.interval_s}; known are "
                f"{', '.join(map(str, _INTERVALS_S))} seconds"
            )
        if (
            isinstance(meter, MeterTable2)
            and meter.register
            and meter.kind != Kind.ENERGY.name.lower()
        ):
            raise BadInput(  # of power, its kilowatt-hours would count for every hour of a difference
                f"{name}: meters[{meter.serial}].register: true, and its kind is {meter.kind}: a register counts energy"
            )
        units = UNITS.get(KINDS[meter.kind], {})
        if meter.unit not in units:
            raise BadInput(
                f"{name}: meters[{meter.serial}].unit: {meter.unit!r} is no unit of {meter.kind}; "
                f"known are {', '.join(units)}"
            )
    return plain, manifest


def inputs_of(manifest: Manifest1, readings: Mapping[str, Sequence[Reading]]) -> ReductionInputs:
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


def meter_of(table: MeterTable1, readings: Sequence[Reading]) -> Meter:
    """Return a manifest's meter with its readings."""
    more = table if isinstance(table, MeterTable2) else None
    full = table if isinstance(table, MeterTable) else None
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
        in_service_from_s=_given(full.in_service_from_s) if full else None,
        in_service_to_s=_given(full.in_service_to_s) if full else None,
    )


def _given(at_s: int | msgspec.UnsetType) -> int | None:
    return None if isinstance(at_s, msgspec.UnsetType) else at_s


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
    if str(plain.get("format")).startswith("truetonne-bundle/"):
        raise BadInput(
            f"{name}: is a bundle, which `truetonne verify` checks; a manifest is what `truetonne reductions export` "
            "writes"
        )
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
