"""Whether the accounts of a deployment file have their roles: who has one changes on chain, and not in the file."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.chain.addresses.book import Deployment
from ledger.chain.contracts.roles import ROLES, role_of
from ledger.chain.contracts.wrappers import CarbonCredit, VppSettlement
from ledger.chain.node.client import ChainClient


@dataclass(frozen=True)
class Lacking:
    """An account of the file that does not have its role on chain."""

    contract: str
    role: str
    """As ``scripts/grant_roles.py`` writes it."""
    part: str
    """What the file calls the account, such as ``operator``."""
    account: str

    def sentence(self) -> str:
        """Say who lacks what."""
        return f"{self.part} {self.account} does not have {self.role} of {self.contract}"


def lacking(client: ChainClient, deployment: Deployment) -> list[Lacking]:
    """Return the accounts that the file names for a role and that do not have it by the latest block.

    Raises
    ------
    DependencyDown
        If the node does not answer, or has no contract there.
    """
    found = []
    for contract in (
        CarbonCredit(client, deployment.credit.address),
        VppSettlement(client, deployment.settlement.address),
    ):
        named = [
            (Lacking(contract.name, shown, part, deployment.accounts[part]), digest)
            for at, name, part in ROLES
            if at == contract.name and part in deployment.accounts
            for digest, shown in [role_of(name, deployment.class_id)]
        ]
        have = contract.have_roles([(digest, item.account) for item, digest in named])
        found += [item for (item, _), has in zip(named, have, strict=True) if not has]
    return found
