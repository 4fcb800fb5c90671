"""A chain as the ledger uses it: node, address book, keys and books, opened and checked together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ledger.chain.addresses.book import Deployment
from ledger.chain.addresses.kept import require_same_books
from ledger.chain.contracts.wrappers import CarbonCredit, VppSettlement
from ledger.chain.keys.policy import GuardedKeyring
from ledger.chain.keys.signers import Keyring
from ledger.chain.local.shared import check_chain_is_here
from ledger.chain.node.client import ChainClient
from ledger.chain.sending.sender import Sender
from ledger.db import Database
from ledger.settings import Settings
from ledger.settings.settling import SettlementPolicy


@dataclass(frozen=True)
class Chain:
    """Everything that reading from and writing to one chain needs."""

    db: Database
    client: ChainClient
    deployment: Deployment
    keyring: Keyring
    sender: Sender
    settling: SettlementPolicy = field(default_factory=SettlementPolicy)

    @classmethod
    def open(cls, settings: Settings, db: Database, rpc_url: str | None = None) -> Chain:
        """Open a chain and check that node and deployment belong together.

        Parameters
        ----------
        rpc_url
            Overrides the setting: the address of a local node that was just started.

        Raises
        ------
        BadInput
            If there is no deployment file, or the keystore cannot be used.
        WrongChain
            If the node serves another chain than the deployment's, the contracts are not there, or the books are
            kept of others.
        DependencyDown
            If the node does not answer.
        """
        deployment = load_deployment(settings)
        keyring = GuardedKeyring.of(deployment, settings)
        client = ChainClient(rpc_url or settings.rpc_url)
        try:
            deployment.check(client)
            deployment.check_code(client)
            with db.read() as session:
                require_same_books(session, deployment)
        except BaseException:
            client.close()
            raise
        sender = Sender(
            db,
            client,
            keyring,
            deployment.chain_id,
            settings.max_fee_gwei,
            caps=keyring.policy.caps,
            replace_seconds=settings.replace_seconds,
            finality=settings.finality,
        )
        return cls(db, client, deployment, keyring, sender, settings.settlement_policy)

    @property
    def credit(self) -> CarbonCredit:
        """The credit contract."""
        return CarbonCredit(self.client, self.deployment.credit.address)

    @property
    def settlement(self) -> VppSettlement:
        """The settlement contract."""
        return VppSettlement(self.client, self.deployment.settlement.address)

    def close(self) -> None:
        """Close the connection to the node."""
        self.client.close()


def load_deployment(settings: Settings) -> Deployment:
    """Read the deployment file; where there is none, a node that is down is the first thing to say.

    Raises
    ------
    BadInput
        If there is no deployment file, or it is none, or the local chain of the books is elsewhere.
    DependencyDown
        If there is none, and the configured node does not answer either.
    """
    if settings.local_chain and not settings.deployment.exists():
        db = Database(settings.database_url)
        try:
            check_chain_is_here(settings, db)
        finally:
            db.close()
    elif not settings.deployment.exists():
        client = ChainClient(settings.rpc_url)
        try:
            client.chain_id()
        finally:
            client.close()
    return replace(Deployment.load(settings.deployment), receipts=settings.receipts)
