"""Energy that is certified elsewhere: a MWh for which a certificate was issued is not credited.

A certificate is of some days of a meter, and of an amount or a share of what it supplied in them. Which
kilowatt-hours are sold nobody can say, so that readings are not taken apart: the readings of these days are
marked, and what the certificates take is subtracted from what they came to, permissible error deducted. An
amount that spans several issuances is taken from each as far as its energy goes, until it is used up.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from ledger.errors import Refused
from ledger.reductions.factors import fraction_of_decimal
from ledger.reductions.records import EnergyCertificate, Quality, ReductionInputs, Role
from ledger.reductions.results import Reduction
from ledger.reductions.runs import Reading

KWH_PER_MWH = 1000
_MARKED = frozenset({Quality.USED, Quality.USED_IN_CONFLICT})
Segment = tuple[int, tuple[int, ...]]
"""A stretch of time between ends of certificates, and the places of those that the energy in it is of."""


def content_sha256(certificate: EnergyCertificate) -> str:
    """Return the SHA-256 of what was declared, 64 digits, so that a silent edit shows."""
    content = {
        name: getattr(certificate, name)
        for name in ("instrument", "reference", "from_s", "to_s", "energy_mwh", "share")
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def require_sound(certificates: Sequence[EnergyCertificate], serial: str, role: Role) -> None:
    """Refuse certificates that say nothing that can be taken from what a meter supplied.

    Raises
    ------
    Refused
        The meter supplies nothing, one stands twice, or an amount or a share is none.
    """
    names = [certificate.name for certificate in certificates]
    for place, certificate in enumerate(certificates):
        wrong = None
        if not role.supplies:
            wrong = f"a meter of the role {role.value} supplies nothing that could be certified"
        elif names.index(certificate.name) != place:
            wrong = "it stands twice"
        elif (certificate.energy_mwh is None) == (certificate.share is None):
            wrong = "it has an amount or a share, and one of them"
        elif certificate.share is not None and not 0 <= _number(certificate.share, "share") <= 1:
            wrong = f"a share is from 0 to 1, found {certificate.share}"
        elif (
            certificate.energy_mwh is not None and _number(certificate.energy_mwh, "energy_mwh") < 0
        ):
            wrong = f"an amount is not below 0, found {certificate.energy_mwh}"
        elif certificate.before_kwh > (_amount_kwh(certificate) or 0):
            wrong = "more was left out for it before than it is of"
        elif certificate.before_kwh < 0 or certificate.from_s >= certificate.to_s:
            wrong = "its time is empty, or it was left out below 0 before"
        if wrong is not None:
            raise Refused(
                f"meter {serial}, certificate {certificate.name}: {wrong}", code="bad-certificate"
            )


def marked(
    readings: Sequence[Reading], certificates: Sequence[EnergyCertificate], role: Role
) -> Sequence[Reading]:
    """Return readings with those marked that supply energy of a certificate's time; else as they were."""
    if not certificates or not role.supplies:
        return readings
    return tuple(
        reading._replace(quality=Quality.USED_BESIDE_CERTIFICATE)
        if reading.quality in _MARKED and reading.digits > 0 and _places(reading, certificates)
        else reading
        for reading in readings
    )


def segment_of(reading: Reading, certificates: Sequence[EnergyCertificate]) -> Segment | None:
    """Return the segment that a reading's energy is of; None when no certificate is of its time.

    One that lies across an end, as a register's difference may, is of all that it touches.
    """
    places = _places(reading, certificates)
    if not places:
        return None
    ends = sorted({moment for item in certificates for moment in (item.from_s, item.to_s)})
    return bisect_right(ends, reading.start_s), places


def left_out(
    supplied_kwh: Mapping[Segment, Fraction], certificates: Sequence[EnergyCertificate]
) -> tuple[Fraction, ...]:
    """Return what each certificate takes of the energy of its time, kWh, in their order.

    Shares first, of all that there is. Amounts then take what they still need, segment by segment in
    order of time, and in each the one first that ends first: no order takes more altogether.

    Raises
    ------
    BadInput
        An amount or a share is no decimal.
    """
    taken = [Fraction(0)] * len(certificates)
    needs = [_need(item) for item in certificates]
    by_end = sorted(range(len(certificates)), key=lambda place: (certificates[place].to_s, place))
    for (_, places), kwh in sorted(supplied_kwh.items()):
        rest = kwh
        for place in places:
            share = certificates[place].share
            if share is not None:
                part = min(rest, kwh * _number(share, "share"))
                taken[place] += part
                rest -= part
        for place in by_end:
            if place in places:
                part = min(rest, needs[place])
                taken[place] += part
                needs[place] -= part
                rest -= part
    return tuple(taken)


def left_out_before(inputs: ReductionInputs, earlier: Sequence[Reduction]) -> ReductionInputs:
    """Return inputs whose certificates know what periods that were computed before have left out for them."""
    taken: defaultdict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for reduction in earlier:
        for meter, result in zip(reduction.inputs.meters, reduction.meters, strict=True):
            for item, kwh in zip(meter.certificates, result.certified_kwh, strict=True):
                taken[meter.serial, item.name] += kwh
    meters = tuple(
        replace(
            meter,
            certificates=tuple(
                replace(item, before_kwh=item.before_kwh + taken[meter.serial, item.name])
                if item.share is None
                else item
                for item in meter.certificates
            ),
        )
        for meter in inputs.meters
    )
    return replace(inputs, meters=meters)


def remaining_kwh(certificate: EnergyCertificate, taken_kwh: Fraction) -> Fraction:
    """Return what is left of an amount after this issuance, kWh; 0 for a share."""
    return max(_need(certificate) - taken_kwh, Fraction(0))


def _need(certificate: EnergyCertificate) -> Fraction:
    amount = _amount_kwh(certificate)
    return Fraction(0) if amount is None else max(amount - certificate.before_kwh, Fraction(0))


def _amount_kwh(certificate: EnergyCertificate) -> Fraction | None:
    """Return what a certificate is of; None for one of a share, of which nothing is left out before."""
    if certificate.energy_mwh is None:
        return None
    return _number(certificate.energy_mwh, "energy_mwh") * KWH_PER_MWH


def _number(text: str, what: str) -> Fraction:
    return fraction_of_decimal(text, f"energy certificate: {what}")


def _places(reading: Reading, certificates: Sequence[EnergyCertificate]) -> tuple[int, ...]:
    return tuple(
        place
        for place, item in enumerate(certificates)
        if reading.start_s < item.to_s and item.from_s < reading.end_s
    )
