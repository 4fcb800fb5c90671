"""What the mirror could not check, and why: written when it happens, shown by ``index status``.

Most mirrors have no row: receipts are proven, and the contract's own end of the credit log can be asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.orm import Session

from ledger.chain.addresses.book import TOLD, Deployment
from ledger.models import MirrorCheck


@dataclass(frozen=True)
class Unchecked:
    """What was not checked of a network's mirror; nothing, when both are None."""

    told_number: int | None = None
    """The last block whose receipts were not held against its hash."""
    log_end_reason: str | None = None
    """Why the contract's own end of the credit log could not be asked at the head."""

    def sentences(self) -> list[str]:
        """Return it for people, one sentence each."""
        found = []
        if self.told_number is not None:
            found.append(
                f"up to block {self.told_number} receipts were believed, not held against the hashes of their "
                "blocks; with receipts = proven, `truetonne index reindex` reads them again"
            )
        if self.log_end_reason is not None:
            found.append(
                "the end of the credit log was not compared with the contract's own at the head: "
                f"{self.log_end_reason}"
            )
        return found


def load(session: Session, network: str) -> Unchecked:
    """Return what was not checked of a network's mirror."""
    row = session.get(MirrorCheck, network, populate_existing=True)
    return Unchecked() if row is None else Unchecked(row.told_number, row.log_end_reason)


def store(session: Session, network: str, unchecked: Unchecked) -> None:
    """Store what was not checked of a network's mirror."""
    row = session.get(MirrorCheck, network, populate_existing=True)
    if row is None:
        row = MirrorCheck(network=network)
        session.add(row)
    row.told_number = unchecked.told_number
    row.log_end_reason = unchecked.log_end_reason
    session.flush()


def noted(
    session: Session,
    deployment: Deployment,
    before: Unchecked | None,
    last: int,
    log_end_reason: str | None,
) -> Unchecked:
    """Note what of a range could not be checked, and what can be again; return it.

    Parameters
    ----------
    before
        What was noted by the range before; None when that is not known.
    last
        The last block of the range.
    log_end_reason
        Why the contract's own end of the credit log could not be asked.
    """
    if before is None:
        before = load(session, deployment.network)
    told = last if deployment.receipts == TOLD else before.told_number
    now = Unchecked(told, log_end_reason)
    if now != before:
        store(session, deployment.network, now)
    return now


def take_back(session: Session, network: str, to_number: int) -> None:
    """Forget what was not checked above a block."""
    session.execute(
        update(MirrorCheck)
        .where(MirrorCheck.network == network, MirrorCheck.told_number > to_number)
        .values(told_number=to_number)
        .execution_options(synchronize_session=False)
    )
