"""What is shown of a reduction: numbers as text, the report of the command, and what stands beside the balance."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from typing import Any

from ledger.reductions.records import ReductionInputs, Role
from ledger.reductions.results import Reduction
from ledger.units import text_of_fraction_floor

DECIMALS = 9
"""Digits after the point of every energy and mass that is shown, cut toward minus infinity."""


def shown(value: Fraction) -> str:
    """Return a number as decimal text of nine digits after the point, cut toward minus infinity."""
    return text_of_fraction_floor(value, DECIMALS)


def owed(value: Fraction) -> str:
    """Return a debt as decimal text of nine digits, cut toward plus infinity, as the effect that makes it is shown."""
    return shown(-value).removeprefix("-")


def fraction_text(value: Fraction) -> str:
    """Return an exact fraction as ``"numerator/denominator"`` in lowest terms."""
    return f"{value.numerator}/{value.denominator}"


def report(reduction: Reduction) -> dict[str, Any]:
    """Return what the ``reductions`` command prints for one vintage.

    What a project does not have (uncertainty, loads, storage, fuel) has no key.
    """
    inputs = reduction.inputs
    certified = any(meter.certificates for meter in inputs.meters)
    return {
        "project": inputs.project,
        "vintage": inputs.vintage,
        "period": {"from": inputs.from_date.isoformat(), "to": inputs.to_date.isoformat()},
        "readings": asdict(reduction.counts),
        "export_kwh": shown(reduction.export_kwh),
        "import_kwh": shown(reduction.import_kwh),
        "net_kwh": shown(reduction.net_kwh),
        **({"certified_kwh": shown(reduction.certified_kwh)} if certified else {}),
        "baseline_t": shown(reduction.baseline_t),
        "project_t": shown(reduction.project_t),
        "leakage_t": shown(reduction.leakage_t),
        **({"uncertainty_t": shown(reduction.uncertainty_t)} if reduction.uncertainty_t else {}),
        "reductions_kg": shown(reduction.reductions_kg),
        "carry_in_kg": shown(inputs.carry_in_kg),
        "issued_kg": str(reduction.issued_kg),
        "carry_out_kg": shown(reduction.carry_out_kg),
        "evidence_root": reduction.evidence_root,
        "leaves": reduction.leaves,
        **information_json(reduction),
        **certificates_json(reduction),
        **corrections_json(inputs),
    }


def certificates_json(reduction: Reduction) -> dict[str, Any]:
    """Return what each certificate leaves out of the reductions, when there are any."""
    found = [
        {
            "device": meter.device_code,
            "instrument": certificate.instrument,
            "reference": certificate.reference,
            "certified_kwh": shown(taken_kwh),
        }
        for meter, result in zip(reduction.inputs.meters, reduction.meters, strict=True)
        for certificate, taken_kwh in zip(meter.certificates, result.certified_kwh, strict=True)
    ]
    return {"energy_certificates": found} if found else {}


def corrections_json(inputs: ReductionInputs) -> dict[str, str]:
    """Return what corrections of earlier periods add to the carry, when there are any."""
    if not inputs.corrections:
        return {}
    total = sum((correction.carried_kg for correction in inputs.corrections), Fraction(0))
    return {"corrections_kg": shown(total)}


def information_json(reduction: Reduction) -> dict[str, Any]:
    """Return what is shown beside the balance and never added to it: self-use, storage, fuel."""
    found: dict[str, Any] = {}
    own = reduction.self_consumption
    if own is not None:
        found["self_consumption"] = {
            "self_kwh": shown(own.self_kwh),
            "export_kwh": shown(own.export_kwh),
            "interval_s": own.interval_s,
        }
    roles = {meter.role for meter in reduction.inputs.meters}
    names = {
        Role.LOAD: ("load", ("load_kwh",)),
        Role.STORAGE: ("storage", ("charged_kwh", "discharged_kwh")),
        Role.FUEL: ("fuel", ("fuel_kg", "fuel_t")),
    }
    for role, (name, fields) in names.items():
        if role in roles:
            found[name] = {
                field: shown(
                    sum((getattr(result, field) for result in reduction.meters), Fraction(0))
                )
                for field in fields
            }
    return found
