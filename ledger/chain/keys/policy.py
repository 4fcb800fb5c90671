"""What our keys may sign, whoever asks and whoever keeps them: a short list, and everything else is refused.

The rules stand in front of every signer. Those of one transaction are here and know no database; the daily
caps are counted in ``spending``, in the commit that takes a nonce.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.chain.addresses.book import Deployment
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.contracts.wrappers import decode_call, selector_names
from ledger.chain.fees import TRANSACTION_GAS_MAX
from ledger.chain.keys.signers import Keyring, Signer, load_keyring
from ledger.errors import ProblemFound
from ledger.settings import LOCAL_CHAIN_ID, Settings

CURRENCY = "TestCurrency"
"""Any ERC-20 has ``approve`` as the test currency does; ``mint`` is its own."""
ANYBODY = "anybody"

MAY_CALL: Mapping[str, Mapping[str, frozenset[str]]] = {
    CREDIT: {
        "issuer": frozenset({"issue"}),
        "registrar": frozenset({"registerClass", "registerProject", "registerSite"}),
        "admin": frozenset({"grantRole", "revokeRole"}),
        ANYBODY: frozenset({"safeTransferFrom", "retire", "cancel", "expire"}),
    },
    SETTLEMENT: {
        "operator": frozenset({"proposeBatch", "cancelBatch", "settleOne", "settleCosigned"}),
        "member": frozenset({"settleCosigned"}),
        "arbiter": frozenset({"rejectDispute"}),
        "admin": frozenset({"grantRole", "revokeRole"}),
        ANYBODY: frozenset(
            {
                *("finalizeBatch", "skipClosed", "deposit", "withdraw", "withdrawCredits"),
                "disputeTrade",
            }
        ),
    },
    CURRENCY: {ANYBODY: frozenset({"approve"})},
}
"""By contract and role of the signing account, the functions that it may call. The contracts have the last word."""

TYPED_DATA: Mapping[str, Mapping[str, frozenset[str]]] = {
    CREDIT: {"verifier": frozenset({"Claim"}), ANYBODY: frozenset()},
    SETTLEMENT: {ANYBODY: frozenset({"Settlement"})},
}
"""By contract and role, the messages (EIP-712) that an account may sign."""


class PolicyRefused(ProblemFound):
    """A rule of the signer policy forbids a signature. The intent stays as it is."""

    default_code = "signer-policy"

    def __init__(self, rule: str, found: str, mend: str) -> None:
        super().__init__(
            f"signer policy, {rule}: {found}; {mend}", details={"rule": rule, "mend": mend}
        )
        self.rule = rule


@dataclass(frozen=True)
class DailyCaps:
    """What an account may sign for on one day (UTC)."""

    transactions: int
    cost_wei: int


@dataclass(frozen=True)
class SignerPolicy:
    """The rules of one deployment."""

    chain_id: int
    contracts: Mapping[str, str]
    """Names of the contracts that may be called, by address; the currency among them."""
    roles: Mapping[str, frozenset[str]]
    """Roles of our accounts, by address."""
    gas_max: int
    caps: DailyCaps

    @classmethod
    def of(cls, deployment: Deployment, settings: Settings) -> SignerPolicy:
        """Return the policy of a deployment, with the limits of the settings."""
        caps = DailyCaps(settings.signer_daily_transactions, settings.signer_daily_wei)
        return cls.with_limits(deployment, settings.signer_gas_max, caps)

    @classmethod
    def with_limits(
        cls,
        deployment: Deployment,
        gas_max: int = TRANSACTION_GAS_MAX,
        caps: DailyCaps | None = None,
    ) -> SignerPolicy:
        """Return the policy of a deployment with these limits; without caps, any number a day."""
        contracts = {item.address.lower(): item.name for item in deployment.mirrored}
        currency = deployment.settlement.constructor.get("currency")
        if currency is not None:
            contracts[str(currency).lower()] = CURRENCY
        roles: dict[str, set[str]] = {}
        for role, address in deployment.accounts.items():
            roles.setdefault(address.lower(), set()).add(role)
        return cls(
            deployment.chain_id,
            contracts,
            {address: frozenset(names) for address, names in roles.items()},
            gas_max,
            caps or DailyCaps(2**31 - 1, 10**37),
        )

    def check_transaction(self, sender: str, asked: Mapping[str, Any]) -> None:
        """Refuse a transaction that is none of ours.

        Parameters
        ----------
        sender
            The account that shall sign.
        asked
            The transaction, with the names of JSON-RPC.

        Raises
        ------
        PolicyRefused
            If it breaks a rule; the message names rule and setting.
        """
        if int(asked["chainId"]) != self.chain_id:
            raise PolicyRefused(
                "chain id",
                f"the transaction is for chain {asked['chainId']}, ours is {self.chain_id}",
                "set deployment and rpc_url to the same chain",
            )
        if int(asked["value"]) != 0:
            raise PolicyRefused(
                "value 0",
                f"the transaction would give away {asked['value']} wei",
                "nothing of ours sends any: look for who asked for it",
            )
        if int(asked["gas"]) > self.gas_max:
            raise PolicyRefused(
                "gas cap",
                f"the transaction asks for {asked['gas']} gas, the cap is {self.gas_max}",
                "raise signer_gas_max, or make it smaller",
            )
        if _makes_no_call(sender, asked):
            return
        contract = self._contract(str(asked["to"]))
        self._check_function(contract, sender, str(asked["data"]))

    def check_typed_data(self, sender: str, message: Mapping[str, Any]) -> None:
        """Refuse a message that is none of ours.

        Raises
        ------
        PolicyRefused
            If its domain is another, or the account may not sign such messages.
        """
        domain = message["domain"]
        if int(domain.get("chainId", -1)) != self.chain_id:
            raise PolicyRefused(
                "chain id",
                f"the message is for chain {domain.get('chainId')}, ours is {self.chain_id}",
                "set deployment and rpc_url to the same chain",
            )
        contract = self._contract(str(domain.get("verifyingContract")))
        allowed = self._of_roles(TYPED_DATA.get(contract, {}), sender)
        if message["primaryType"] not in allowed:
            raise PolicyRefused(
                "role",
                f"{sender} may not sign a {message['primaryType']} of {contract}; its roles are "
                f"{self._roles(sender)}",
                "give the account its role in the file that the setting deployment names",
            )

    def _contract(self, address: str) -> str:
        contract = self.contracts.get(address.lower())
        if contract is None:
            raise PolicyRefused(
                "destination",
                f"{address.lower()} is neither a contract of the deployment nor its currency",
                "set deployment to the file of the network",
            )
        return contract

    def _check_function(self, contract: str, sender: str, data: str) -> None:
        selector = data[:10].lower()
        names = selector_names(contract)
        function = names.get(selector)
        allowed = self._of_roles(MAY_CALL[contract], sender)
        if contract == CURRENCY and self.chain_id == LOCAL_CHAIN_ID:
            allowed |= {"mint"}
        if function is None or function not in allowed:
            raise PolicyRefused(
                "selector",
                f"{sender} may not call {function or selector} of {contract}; its roles are "
                f"{self._roles(sender)}",
                "give the account its role in the file that the setting deployment names",
            )
        if contract == CURRENCY and function == "approve":
            self._check_approval(data)

    def _check_approval(self, data: str) -> None:
        call = decode_call(CURRENCY, data)
        spender = str(call.parameters["spender"]).lower() if call else "nobody"
        if self.contracts.get(spender) != SETTLEMENT:
            raise PolicyRefused(
                "approval",
                f"the approval is for {spender}, which is not the settlement contract",
                "set deployment to the file of the network",
            )

    def _of_roles(self, rules: Mapping[str, frozenset[str]], sender: str) -> frozenset[str]:
        found = rules.get(ANYBODY, frozenset())
        for role in self.roles.get(sender.lower(), frozenset()):
            found |= rules.get(role, frozenset())
        return found

    def _roles(self, sender: str) -> str:
        return ", ".join(sorted(self.roles.get(sender.lower(), ()))) or "none"


class GuardedSigner:
    """A signer behind the policy: it is asked only for what the rules allow."""

    def __init__(self, signer: Signer, policy: SignerPolicy) -> None:
        self._signer = signer
        self._policy = policy

    @property
    def address(self) -> str:
        """The account's address, lower-case."""
        return self._signer.address

    def sign_transaction(self, transaction: Mapping[str, Any]) -> tuple[str, str]:
        """Return raw signed transaction and its hash.

        Raises
        ------
        PolicyRefused
            If a rule forbids it.
        """
        self._policy.check_transaction(self.address, transaction)
        return self._signer.sign_transaction(transaction)

    def sign_typed_data(self, message: Mapping[str, Any]) -> bytes:
        """Return the 65-byte EIP-712 signature of a message.

        Raises
        ------
        PolicyRefused
            If a rule forbids it.
        """
        self._policy.check_typed_data(self.address, message)
        return self._signer.sign_typed_data(message)


class GuardedKeyring(Keyring):
    """A keyring whose signers all stand behind a policy."""

    def __init__(self, keyring: Keyring, policy: SignerPolicy) -> None:
        super().__init__({})
        self._keyring = keyring
        self.policy = policy

    @classmethod
    def of(cls, deployment: Deployment, settings: Settings) -> GuardedKeyring:
        """Return the keys that the settings name, behind the policy of a deployment.

        Raises
        ------
        BadInput
            If the keystore cannot be used.
        """
        keyring = load_keyring(settings, deployment.chain_id)
        return cls(keyring, SignerPolicy.of(deployment, settings))

    def signer(self, address: str, purpose: str) -> Signer:
        """Return the signer of an address, behind the policy."""
        return GuardedSigner(self._keyring.signer(address, purpose), self.policy)

    def check_transaction(self, address: str, asked: Mapping[str, Any]) -> None:
        """Refuse a transaction that the policy would not let be signed; as ``SignerPolicy.check_transaction``."""
        self.policy.check_transaction(address, asked)

    @property
    def gas_max(self) -> int:
        """The most gas that the policy lets a transaction ask for."""
        return self.policy.gas_max

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that can sign."""
        return self._keyring.addresses


def _makes_no_call(sender: str, asked: Mapping[str, Any]) -> bool:
    """Return whether a transaction does nothing but take its nonce: nothing, to oneself."""
    return str(asked["to"]).lower() == sender.lower() and str(asked["data"]) in ("0x", "")
