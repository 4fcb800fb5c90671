"""The manifest of an issuance: all that a stranger needs to compute it again, bit for bit.

It is canonical JSON (UTF-8, keys sorted, no blanks, no float; energy, carbon and factors as decimal
text, carries as exact fractions ``"n/d"``), and its keccak-256 goes on chain.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ledger.reductions.arithmetic import counts_of
from ledger.reductions.evidence import keccak256
from ledger.reductions.records import Counts, Factor, Meter, Quality, Reduction
from ledger.units import text_of_fraction_floor

FORMAT = "truetonne-manifest/1"
EVIDENCE_FORMAT = "truetonne-evidence/1"
CODE_VERSION = "reductions/1"
"""Version of this room's arithmetic; raised with every change that could alter a result."""
ROUNDING = "once, at issuance, down to whole kg; the remainder is carried"
DECIMALS = 9
"""Digits after the point of every energy and mass that is shown, cut toward minus infinity."""


def shown(value: Fraction) -> str:
    """Return a number as decimal text of nine digits after the point, cut toward minus infinity."""
    return text_of_fraction_floor(value, DECIMALS)


def fraction_text(value: Fraction) -> str:
    """Return an exact fraction as ``"numerator/denominator"`` in lowest terms."""
    return f"{value.numerator}/{value.denominator}"


def counts_json(counts: Counts) -> dict[str, int]:
    """Return the counts in the shape of the report."""
    return {
        "expected": counts.expected,
        "used": counts.used,
        "missing": counts.missing,
        "outlier": counts.outlier,
        "conflict": counts.conflict,
    }


def report(reduction: Reduction) -> dict[str, Any]:
    """Return what the ``reductions`` command prints for one vintage."""
    inputs = reduction.inputs
    return {
        "project": inputs.project,
        "vintage": inputs.vintage,
        "period": {"from": inputs.from_date.isoformat(), "to": inputs.to_date.isoformat()},
        "readings": counts_json(reduction.counts),
        "export_kwh": shown(reduction.export_kwh),
        "import_kwh": shown(reduction.import_kwh),
        "net_kwh": shown(reduction.net_kwh),
        "baseline_t": shown(reduction.baseline_t),
        "project_t": shown(reduction.project_t),
        "leakage_t": shown(reduction.leakage_t),
        "reductions_kg": shown(reduction.reductions_kg),
        "carry_in_kg": shown(inputs.carry_in_kg),
        "issued_kg": str(reduction.issued_kg),
        "carry_out_kg": shown(reduction.carry_out_kg),
        "evidence_root": reduction.evidence_root,
        "leaves": reduction.leaves,
    }


def build(reduction: Reduction) -> dict[str, Any]:
    """Return the manifest of a reduction that is to be issued."""
    inputs = reduction.inputs
    return {
        "format": FORMAT,
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
        "meters": [_meter_json(meter, inputs.from_s, inputs.to_s) for meter in inputs.meters],
        "readings": counts_json(reduction.counts),
        "energy": {
            "export_kwh": shown(reduction.export_kwh),
            "import_kwh": shown(reduction.import_kwh),
            "net_kwh": shown(reduction.net_kwh),
        },
        "carbon": {
            "baseline_t": shown(reduction.baseline_t),
            "project_t": shown(reduction.project_t),
            "leakage_t": shown(reduction.leakage_t),
            "uncertainty_t": shown(Fraction(0)),
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


def factor_json(factor: Factor) -> dict[str, Any]:
    """Return a factor as the manifest quotes it."""
    return {
        "code": factor.code,
        "version": factor.version,
        "purpose": factor.purpose.value,
        "value": factor.value,
        "unit": factor.unit,
        "source": factor.source,
        "data_year": factor.data_year,
        "verified": factor.verified,
        "sha256": factor.sha256,
    }


def _meter_json(meter: Meter, from_s: int, to_s: int) -> dict[str, Any]:
    rows = Counter(reading.quality for reading in meter.readings)
    return {
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
        "readings": counts_json(counts_of(meter, from_s, to_s)),
        # Rows rather than slots: every leaf is counted once, the duplicates among the superseded.
        "rows": {Quality(code).name.lower(): rows[code] for code in sorted(rows)},
    }


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
