"""Reads from the books what a bundle is about: its credit, events, manifest, and readings with their proofs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.bundles.fates import refuse_mixed
from ledger.chain.sending.issued import issuance_of
from ledger.errors import BadInput, Refused
from ledger.models import CreditBatch, CreditRetirement
from ledger.naming import NamedCredit, find_credit, rows_of
from ledger.readings.periods.evidence_files import issued_inputs
from ledger.reductions.evidence import leaves_of, merkle_tree, proof_of
from ledger.reductions.manifest import manifest_hash
from ledger.reductions.records import Meter

ALL = -1
"""As ``readings``: every reading of the issuance."""


@dataclass(frozen=True)
class Place:
    """Where an event stands; the index is the log's in its block."""

    kind: str
    block: int
    tx_hash: str
    log_index: int


@dataclass(frozen=True)
class Subject:
    """What a bundle is about, as the books have it."""

    batch_id: int
    serials: tuple[int, int] | None
    places: Sequence[Place]
    """Of the issuance, and of the retirement when there is one."""
    manifest: str | None = None
    readings: Mapping[str, Any] | None = None


def subject_of(session: Session, credit: str, block: int | str, readings: int) -> Subject:
    """Return what the bundle of a credit is about; the arguments are those of ``build_bundle``.

    Raises
    ------
    NotFound
        There is no such credit.
    BadInput
        Some of the serials are retired, active or cancelled, and others are not.
    Refused
        Readings are wanted that are not in these books, or not as they were when the batch was issued.
    """
    named = find_credit(session, credit)
    batch = session.get_one(CreditBatch, named.batch_id)
    if named.serials is not None:
        refuse_mixed(session, batch, named.serials, block if isinstance(block, int) else None)
    places = _places(session, batch, named)
    manifest, rows = _evidence(session, batch, readings)
    return Subject(batch.batch_id, named.serials, places, manifest, rows)


def _places(session: Session, batch: CreditBatch, named: NamedCredit) -> list[Place]:
    """Return where the issuance stands, and the retirement of the serials when there is one."""
    places = [Place("issued", batch.block_number, batch.tx_hash, batch.log_index)]
    rows = [] if named.serials is None else rows_of(session, named)
    if len(rows) == 1 and rows[0].retirement_id is not None:
        query = select(CreditRetirement).where(
            CreditRetirement.retirement_id == rows[0].retirement_id,
            CreditRetirement.replaced_batch_id.is_(None),
        )
        found = session.scalars(query).first()
        if found is not None:
            places.append(Place("retired", found.block_number, found.tx_hash, found.log_index))
    return places


def _evidence(
    session: Session, batch: CreditBatch, readings: int
) -> tuple[str | None, dict[str, Any] | None]:
    """Return manifest and readings, where these books have them."""
    issuance = issuance_of(session, batch)
    if issuance is None:
        if readings:
            raise Refused(
                "these books have neither manifest nor readings of the batch: it was issued from others; "
                "ask for none of its readings",
                code="no-evidence",
            )
        return None, None
    if manifest_hash(issuance.manifest) != batch.manifest_hash:  # else the node would be blamed
        raise Refused(
            f"the manifest of issuance {issuance.id} in these books is not the one that the batch was issued with: "
            "it was altered; restore it from a backup",
            code="no-evidence",
        )
    rows: dict[str, Any] | None = None
    if readings:
        try:
            meters = issued_inputs(session, issuance).meters
            leaves = leaves_of(meters)
        except (BadInput, LookupError, ValueError):  # a row that was altered may not even be read
            meters, leaves = (), []
        tree = merkle_tree(leaves) if leaves else []
        # Else the node would be blamed, by whose state and these readings nothing is proven.
        if not tree or "0x" + tree[0].hex() != issuance.evidence_root:
            raise Refused(
                "the readings of the batch that these books have are not those that it was issued from: ask for none "
                "of them; what differs is found by `truetonne reconcile`",
                code="no-evidence",
            )
        rows = readings_of(meters, readings, leaves, tree)
    return issuance.manifest, rows


def readings_of(
    meters: Sequence[Meter], wanted: int, leaves: Sequence[bytes], tree: Sequence[bytes]
) -> dict[str, Any]:
    """Return the readings of a bundle (proof-format.md): all, or so many spread evenly, each with its proof.

    Parameters
    ----------
    leaves, tree
        The leaf of every reading, in the order of the meters, and the tree over them.
    """
    rows: list[list[Any]] = [
        [at, *row[:4], str(row.digits), row.scale, row.text]
        for at, meter in enumerate(meters)
        for row in meter.readings
    ]
    proofs = None
    if wanted != ALL:
        count = min(wanted, len(rows))
        chosen = [len(rows) * at // count for at in range(count)]
        proofs = [["0x" + node.hex() for node in proof_of(tree, leaves[at])] for at in chosen]
        rows = [rows[at] for at in chosen]
    # A verifier wants each meter that is named to have a row: one may have no reading, or none of the chosen.
    named = sorted({row[0] for row in rows})
    place = {at: new for new, at in enumerate(named)}
    rows = [[place[at], *row] for at, *row in rows]
    return {"meters": [meters[at].serial for at in named], "rows": rows, "proofs": proofs}
