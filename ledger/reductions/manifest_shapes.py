"""The shape of a manifest in each of its formats: every key with its type, and no other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ledger.reductions.manifest import FORMAT, FORMAT_1, FORMAT_2
from ledger.reductions.records import Purpose, Role

Text = Annotated[str, Meta(max_length=1_000)]
Count = Annotated[int, Meta(ge=0, lt=2**53)]
Moment = Annotated[int, Meta(ge=-(2**40), lt=2**40)]
Second = Annotated[int, Meta(ge=0, lt=2**32)]
Decimal = Annotated[str, Meta(pattern=r"^-?[0-9]{1,40}(\.[0-9]{1,40})?\Z")]
Whole = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,30})\Z")]
Exact = Annotated[str, Meta(pattern=r"^(0|-?[1-9][0-9]{0,120})/[1-9][0-9]{0,120}\Z")]
Hash = Annotated[str, Meta(pattern=r"^0x[0-9a-f]{64}\Z")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


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
    in_service_from_s: Moment | UnsetType = UNSET
    in_service_to_s: Moment | UnsetType = UNSET


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


SHAPES = {FORMAT: Manifest, FORMAT_2: Manifest2, FORMAT_1: Manifest1}
