"""The mirror held against the chain night by night: what became final since the last time, and how far all is true.

A job calls this. ``index verify`` compares whatever a person asks, and writes nothing.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from indexer.report import Report, Scope
from indexer.verify import verify
from ledger.chain.access import Chain
from ledger.chain.addresses.book import Deployment
from ledger.chain.node.client import ChainClient
from ledger.errors import BooksDiffer
from ledger.models import ChainCursor, MirrorVerification

_DIFFERENCES_SHOWN = 3


def verify_new(chain: Chain, finality_setting: str | int, now: datetime) -> str | None:
    """Compare what the mirror read since it was last found true, and keep what came of it.

    The range begins after the last final block to which all was true, or with the contracts' first block: where there
    is no such block, or the chain has another in its place. It ends where the mirror stands, because nodes forget the
    contracts' storage of older blocks; what is not final by then is compared once more the next time.

    Parameters
    ----------
    finality_setting
        The setting ``finality``.
    now
        Aware.

    Returns
    -------
    str | None
        What was compared, in a line; None when nothing is final that was not compared.

    Raises
    ------
    BooksDiffer
        If the mirror is not what the chain says, with the first differences.
    DependencyDown
        If database or node do not answer, the node lacks what is needed, or the chain took the range back.
    """
    db, client, deployment = chain.db, chain.client, chain.deployment
    with db.read() as session:
        cursor = session.get(ChainCursor, deployment.network)
        row = session.get(MirrorVerification, deployment.network)
    if cursor is None:
        return None
    first = _first(row, client, deployment)
    if cursor.final_number < first:
        return None
    report = verify(db, client, deployment, finality_setting, Scope(first))
    through = _through(report, client, deployment) if report.ok else None
    whole = report.from_block <= deployment.deployed_block
    db.run(lambda session: _keep(session, deployment.network, report, through, now, whole=whole))
    return _said(report)


def _first(row: MirrorVerification | None, client: ChainClient, deployment: Deployment) -> int:
    begin = deployment.deployed_block
    if row is None or row.through_number is None:
        return begin
    there = client.block(row.through_number)
    if there is not None and there.hash != row.through_hash:
        return begin
    return max(begin, row.through_number + 1)


def _through(report: Report, client: ChainClient, deployment: Deployment) -> tuple[int, str] | None:
    """Return number and hash of the last final block of a comparison that found nothing; None: none was final."""
    last = min(report.to_block, report.confirmed)
    if last < max(report.from_block, deployment.deployed_block):
        return None
    return last, client.block_there(last).hash


def _keep(
    session: Session,
    network: str,
    report: Report,
    through: tuple[int, str] | None,
    now: datetime,
    *,
    whole: bool,
) -> None:
    row = session.get(MirrorVerification, network, with_for_update=True)
    if row is None:
        row = MirrorVerification(network=network)
        session.add(row)
    row.from_number, row.to_number = report.from_block, report.to_block
    row.verified_at, row.differences = now, len(report.differences)
    if through is not None:
        row.through_number, row.through_hash = through
    elif whole:  # nothing is left of what was true once: it was so of another chain
        row.through_number = row.through_hash = None
    session.flush()


def _said(report: Report) -> str:
    """Say what was compared.

    Raises
    ------
    BooksDiffer
        If there are differences.
    """
    blocks = f"blocks {report.from_block} to {report.to_block}"
    if not report.ok:
        count, shown = len(report.differences), report.differences[:_DIFFERENCES_SHOWN]
        raise BooksDiffer(
            f"the mirror is not what the chain says, {blocks}, {count} differences: "
            f"{'; '.join(str(item) for item in shown)}; all of them: "
            f"truetonne index verify --from {report.from_block}; truetonne index reindex mends them"
        )
    unchecked = "".join(f"; not checked: {sentence}" for sentence in report.not_checked)
    return f"{blocks} are what the chain says{unchecked}"
