"""Whether the contracts of a deployment are those that the books are kept of.

A mirror holds one credit contract and one settlement. With another pair in the file it would go on from where it is:
the old balances would stand beside the new events, and nothing would say so.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from ledger.chain.addresses.deployment import row_name
from ledger.errors import WrongChain
from ledger.models import ChainEvent, SmartContract
from ledger.models.blockchain import ContractStatus


def require_same_contracts(session: Session, network: str, addresses: Mapping[str, str]) -> None:
    """Refuse other contracts than those whose events the books hold.

    A row that was altered has an address without events: that is for ``index verify`` to find and for ``index reindex``
    to mend.

    Parameters
    ----------
    addresses
        Where the mirrored contracts are, by name; lower-case text.

    Raises
    ------
    WrongChain
        If one of them is in the books at another address.
    """
    names = {row_name(name, network): name for name in addresses}
    rows = session.execute(
        select(SmartContract.contract_name, SmartContract.contract_address).where(
            SmartContract.contract_name.in_(list(names)),
            SmartContract.status != ContractStatus.DEPRECATED,
        )
    ).all()
    for stored, address in rows:
        name = names[stored]
        if address == addresses[name] or not _has_events(session, address):
            continue
        raise WrongChain(
            f"the books of {network!r} are kept of {name} at {address}, and the deployment has it at "
            f"{addresses[name]}; set deployment to the file of the contracts of these books, or use "
            "another database for other contracts",
            code="other-contracts",
            details={"contract": name, "expected": address, "found": addresses[name]},
        )


def _has_events(session: Session, address: str) -> bool:
    return bool(session.scalar(select(exists().where(ChainEvent.contract_address == address))))
