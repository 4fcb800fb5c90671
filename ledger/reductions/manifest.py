"""The manifest of an issuance: all that a stranger needs to compute it again, bit for bit.

It is canonical JSON (UTF-8, keys sorted, no blanks, no float; energy, carbon and factors as decimal
text, carries as exact fractions ``"n/d"``), and its keccak-256 goes on chain.

What a manifest of an earlier format said stays readable: ``build`` writes it in that format too, so
that an issuance of the past can be compared with what its readings give today.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from fractions import Fraction
from typing import Any

from tiny_keccak import keccak256

from ledger.errors import BadInput
from ledger.reductions.arithmetic import counts_of
from ledger.reductions.certificates import content_sha256, remaining_kwh
from ledger.reductions.digests import digests_json
from ledger.reductions.records import (
    WITHOUT_VALUE,
    EnergyCertificate,
    Factor,
    Meter,
    Quality,
    ReductionInputs,
    Role,
)
from ledger.reductions.reporting import fraction_text, information_json, shown
from ledger.reductions.results import MeterResult, Reduction
from ledger.reductions.zones import zone

FORMAT = "truetonne-manifest/3"
FORMAT_2 = "truetonne-manifest/2"
"""Before energy certificates and digests by the time of day."""
FORMAT_1 = "truetonne-manifest/1"
"""What the first release wrote: without leakage, uncertainty, fuel, margins and energies by meter."""
FORMATS = (FORMAT, FORMAT_2, FORMAT_1)
EVIDENCE_FORMAT = "truetonne-evidence/1"
CODE_VERSION = "reductions/3"
"""Version of this room's arithmetic; raised with every change that could alter a result."""
CODE_VERSION_2 = "reductions/2"
CODE_VERSION_1 = "reductions/1"
"""Both give the same as version 3 for all that they could compute."""
ROUNDING = "once, at issuance, down to whole kg; the remainder is carried"


def build(reduction: Reduction, form: str = FORMAT) -> dict[str, Any]:
    """Return the manifest of a reduction that is to be issued.

    Parameters
    ----------
    reduction
        With all that it was computed from.
    form
        One of ``FORMATS``: an earlier one to compare with what stands in the books since then.

    Raises
    ------
    BadInput
        The format is not known here.
    """
    if form not in FORMATS:
        raise BadInput(f"manifest of format {form!r}: known are {', '.join(FORMATS)}")
    inputs = reduction.inputs
    manifest: dict[str, Any] = {
        "format": form,
        "code_version": CODE_VERSION,
        "program": inputs.program,
        "project": inputs.project,
        "site": inputs.site,
        "methodology": {"id": inputs.methodology, "version": inputs.methodology_version},
        "vintage": inputs.vintage,
        "period": {
            "from": inputs.from_date.isoformat(),
            "to": inputs.to_date.isoformat(),
            "from_s": inputs.from_s,
            "to_s": inputs.to_s,
            "zone": inputs.zone,
            "tzdata": inputs.tzdata,
        },
        "factor": factor_json(inputs.factor),
        "completeness_min": inputs.completeness_min,
        "leakage_share": inputs.leakage_share,
        "uncertainty_share": inputs.uncertainty_share,
        "meters": [
            _meter_json(meter, result, inputs)
            for meter, result in zip(inputs.meters, reduction.meters, strict=True)
        ],
        "readings": asdict(reduction.counts),
        "energy": {
            "certified_kwh": shown(reduction.certified_kwh),
            "export_kwh": shown(reduction.export_kwh),
            "import_kwh": shown(reduction.import_kwh),
            "net_kwh": shown(reduction.net_kwh),
        },
        "information": information_json(reduction),
        "corrections": [
            {
                "key": correction.key,
                "cause": correction.cause,
                "from": correction.from_date.isoformat(),
                "to": correction.to_date.isoformat(),
                "carried_kg": fraction_text(correction.carried_kg),
            }
            for correction in inputs.corrections
        ],
        "carbon": {
            "baseline_t": shown(reduction.baseline_t),
            "project_t": shown(reduction.project_t),
            "leakage_t": shown(reduction.leakage_t),
            "uncertainty_t": shown(reduction.uncertainty_t),
            "reductions_kg": shown(reduction.reductions_kg),
            "carry_in_kg": fraction_text(inputs.carry_in_kg),
            "carry_out_kg": fraction_text(reduction.carry_out_kg),
            "issued_kg": str(reduction.issued_kg),
            "rounding": ROUNDING,
        },
        "evidence": {
            "format": EVIDENCE_FORMAT,
            "root": reduction.evidence_root,
            "leaves": reduction.leaves,
            "total_kg": str(reduction.evidence_total_kg),
        },
    }
    if form != FORMAT:
        manifest = _in_format_2(manifest)
    return _in_format_1(manifest) if form == FORMAT_1 else manifest


def _in_format_2(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest without what the second format did not have."""
    manifest["code_version"] = CODE_VERSION_2
    del manifest["energy"]["certified_kwh"]
    for meter in manifest["meters"]:
        del meter["energy_certificates"], meter["times"]
    return manifest


_METER_2 = (
    "measured_error",
    "fuel",
    "density_kg_per_l",
    "stuck_hours",
    "register",
    "no_value_texts",
    "result",
    "days",
)
_FACTOR_1 = [
    "code",
    "version",
    "purpose",
    "value",
    "unit",
    "source",
    "data_year",
    "verified",
    "sha256",
]


def _in_format_1(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest without what the first format did not have."""
    for name in ("leakage_share", "uncertainty_share", "information", "corrections"):
        del manifest[name]
    manifest["code_version"] = CODE_VERSION_1
    manifest["factor"] = {name: manifest["factor"][name] for name in _FACTOR_1}
    for meter in manifest["meters"]:
        for name in _METER_2:
            del meter[name]
    return manifest


def factor_json(factor: Factor) -> dict[str, Any]:
    """Return a factor as the manifest quotes it: every field, null where nothing is published."""
    values = {name: getattr(factor, name) for name in Factor.__dataclass_fields__}
    values["purpose"] = factor.purpose.value
    return {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in values.items()
    }


_RESULTS = {
    Role.GENERATION: ("export_kwh", "import_kwh"),
    Role.EXPORT: ("export_kwh", "import_kwh"),
    Role.IMPORT: ("import_kwh",),
    Role.LOAD: ("load_kwh",),
    Role.STORAGE: ("charged_kwh", "discharged_kwh"),
    Role.FUEL: ("fuel_kg", "fuel_t"),
}
"""What is said of a meter of each role."""

IN_SERVICE = ("in_service_from_s", "in_service_to_s")
"""Keys of a meter that says since when, or until when, it is there."""


def _meter_json(meter: Meter, result: MeterResult, inputs: ReductionInputs) -> dict[str, Any]:
    rows = Counter(reading.quality for reading in meter.readings)
    # Only where there are several, or such times, so that every other manifest stays what it is.
    spans = [asdict(span) for span in meter.calibration.spans]
    only = {"calibrations": spans} if spans else {}
    only |= {name: at_s for name in IN_SERVICE if (at_s := getattr(meter, name)) is not None}
    return only | {
        "serial": meter.serial,
        "device": meter.device_code,
        "role": meter.role.value,
        "kind": meter.kind.name.lower(),
        "unit": meter.unit,
        "interval_s": meter.interval_s,
        "rated_kw": meter.rated_kw,
        "accuracy_class": meter.calibration.accuracy_class,
        "calibrated": meter.calibration.calibrated,
        "calibrated_from_s": meter.calibration.from_s,
        "calibrated_to_s": meter.calibration.to_s,
        "measured_error": meter.calibration.measured_error,
        "fuel": None if meter.fuel is None else factor_json(meter.fuel),
        "density_kg_per_l": meter.density_kg_per_l,
        "stuck_hours": meter.stuck_hours,
        "register": meter.register,
        "no_value_texts": no_value_texts(meter),
        "energy_certificates": [
            _certificate_json(certificate, taken_kwh)
            for certificate, taken_kwh in zip(meter.certificates, result.certified_kwh, strict=True)
        ],
        "readings": asdict(counts_of(meter, inputs.from_s, inputs.to_s, zone(inputs.zone))),
        # Rows rather than slots: every leaf is counted once, the duplicates among the superseded.
        "rows": {Quality(code).name.lower(): rows[code] for code in sorted(rows)},
        # Permissible error deducted; cut like every number shown.
        "result": {name: shown(getattr(result, name)) for name in _RESULTS[meter.role]},
        **digests_json(meter, inputs.zone),
    }


def _certificate_json(certificate: EnergyCertificate, taken_kwh: Fraction) -> dict[str, Any]:
    return {
        "instrument": certificate.instrument,
        "reference": certificate.reference,
        "from_s": certificate.from_s,
        "to_s": certificate.to_s,
        "energy_mwh": certificate.energy_mwh,
        "share": certificate.share,
        "sha256": content_sha256(certificate),
        "before_kwh": fraction_text(certificate.before_kwh),
        "left_out_kwh": fraction_text(taken_kwh),
        "remaining_kwh": fraction_text(remaining_kwh(certificate, taken_kwh)),
    }


def no_value_texts(meter: Meter) -> list[str]:
    """Return the texts of a meter's readings that its source declares to mean "no value", in order."""
    readings = meter.readings
    return sorted({item.text for item in readings if item.text and item.quality in WITHOUT_VALUE})


def canonical_text(manifest: Mapping[str, Any]) -> str:
    """Return the one spelling of a manifest.

    Raises
    ------
    TypeError
        A float, or anything else that JSON or this ledger has no one spelling for, stands in it.
    """
    _require_plain(manifest, "manifest")
    return json.dumps(
        manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def manifest_hash(text: str) -> str:
    """Return the keccak-256 of a manifest's canonical text in UTF-8, ``0x`` and 64 digits."""
    return "0x" + keccak256(text.encode("utf-8")).hex()


def _require_plain(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where}: the key {key!r} is no text")
            _require_plain(item, f"{where}.{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _require_plain(item, f"{where}[{place}]")
    elif value is not None and not isinstance(value, (str, bool, int)):
        raise TypeError(f"{where}: {type(value).__name__} has no place in a manifest")
