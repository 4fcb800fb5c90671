"""The kilograms of a bundle, computed again from its readings by the rules of the manifest.

The verifier proves that manifest and readings are those of the event; this says that they give the
number that was issued. It is the arithmetic of the ledger itself, so that it stands outside the verifier.
"""

from __future__ import annotations

import json
from typing import Any

from ledger.errors import BadInput
from ledger.proofs import verifier
from ledger.proofs.verifier import ProofError
from ledger.proofs.verifier.checks import shown
from ledger.reductions.judging import alike, judge, taken_as_changed
from ledger.reductions.manifest_file import read_manifest
from ledger.reductions.manifest_shapes import Manifest1
from ledger.reductions.readings_file import Line
from ledger.reductions.recompute import Trusted, remainder_in, verify
from ledger.reductions.reporting import fraction_text

NAME = "sum"
_WORDS_MAX = 600
"""Of a message: what a manifest says in it has any length."""
NOT_PROVEN = verifier.NOT_PROVEN[-1]
"""What the verifier does not prove, and this does."""


def recompute(text: str, *, backfill: bool = False) -> str | None:
    """Compute the issuance of a bundle that was verified again; return what that means.

    Parameters
    ----------
    text
        The bundle.
    backfill
        Whether the event says that it was issued as one: nothing but deficits of corrections is carried into it,
        which the manifest alone shows.

    Returns
    -------
    str or None
        None when the bundle lacks the manifest or has only some of the readings.

    Raises
    ------
    ProofError
        The readings do not give what the manifest says, it is of a version that is not known here, or it is that of
        a backfill, and carries a remainder in.
    """
    bundle = json.loads(text)
    manifest, readings = bundle["manifest"], bundle["readings"]
    whole = readings is not None and readings["proofs"] is None
    if manifest is None or not (whole or backfill):
        return None
    try:
        plain, stated = read_manifest(manifest.encode(), "manifest")
        if backfill:
            _require_no_remainder(stated)
        if not whole:
            return None
        judged = judge(stated, iter(_lines(readings)))
        result = verify(manifest.encode(), plain, stated, judged, Trusted())
    except BadInput as error:
        raise _failed(error.message) from error
    if not result.valid:
        first = result.differences[0]
        raise _failed(
            f"{len(result.differences)} numbers of the manifest do not follow from its readings, "
            f"first {first.path}: stated {first.manifest}, recomputed {first.recomputed}",
        )
    changed = len(taken_as_changed(stated, judged))
    times = "once" if changed == 1 else f"{changed} times"
    swaps = f", taken that registers which go on from less than they had, {times}, were exchanged"
    same = ", ".join(f"{shown(one)} and {shown(other)}" for one, other in alike(stated, judged))
    apart = f", taken that meters which counted the very same in every reading, {same}, are not one"
    return (
        f"by the rules of {stated.methodology.id} {stated.methodology.version} and the factor "
        f"{stated.factor.value} {stated.factor.unit} they come to {result.issued_kg} kg, which is what was "
        f"issued{', and no remainder is carried into this backfill' if backfill else ''}{swaps if changed else ''}"
        f"{apart[:_WORDS_MAX] if same else ''}"
    )


def _require_no_remainder(stated: Manifest1) -> None:
    if carried := remainder_in(stated):
        raise _failed(
            f"{fraction_text(carried)} kg are carried into a backfill that are no deficit of a correction"
        )


def _failed(message: str) -> ProofError:
    """Return the error; the manifest's own words are in the message, and cannot command a terminal."""
    plain = "".join(sign if sign.isprintable() else "?" for sign in message[:_WORDS_MAX])
    error = ProofError(f"{NAME}: {plain}")
    error.check = NAME
    return error


def _lines(readings: dict[str, Any]) -> list[Line]:
    rows = sorted(
        (readings["meters"][meter], start, text, end, kind, quality)
        for meter, start, end, kind, quality, _, _, text in readings["rows"]
    )
    return [
        Line(number, meter, start, end, kind, quality, text)
        for number, (meter, start, text, end, kind, quality) in enumerate(rows, start=2)
    ]
