"""A park with both contracts on Brownie's chain: who is who, and what they do.

Nothing here uses the product's own code: claims, signatures, errors and logs are encoded and
decoded anew, so that the tests compare the contracts with something else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any

import httpx
import pytest
from brownie.exceptions import VirtualMachineError
from eth_abi.abi import decode, encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

MNEMONIC = "test test test test test test test test test test test junk"
ZERO = "0x" + "00" * 20
CAP_KG = 10**12
WINDOW_S = 600
TIMEOUT_S = 3600
BOND = 250  # cents
NOTIONAL_CAP = 10**18  # cents
CREDIT_CAP = 10**12  # kilograms
CASH = 0
ASSET = 1 << 32 | 1  # a batch of credits, as CarbonCredit numbers them
YEAR_2024_S = 1_704_063_600  # 2024-01-01 in Europe/Paris
MONTH_S = 30 * 86_400
METHODOLOGY_HASH = keccak(text="CCER-01-002/V01")
NONE, ACTIVE, SUSPENDED = 0, 1, 2  # ICarbonCredit.Status
PROPOSED, FINALIZED, CANCELLED, DISPUTED = 1, 2, 3, 4  # IVppSettlement.BatchStatus

CLAIM_FIELDS = {
    "key": "bytes32",
    "classId": "uint32",
    "projectId": "uint32",
    "siteId": "uint32",
    "amount": "uint64",
    "periodStart": "uint32",
    "periodEnd": "uint32",
    "expiresAt": "uint32",
    "backfillBefore": "uint32",
    "evidenceRoot": "bytes32",
    "evidenceTotal": "uint64",
    "manifestHash": "bytes32",
    "methodologyHash": "bytes32",
    "recipient": "address",
    "deadline": "uint64",
}
NO_DETAILS = ("", "", b"\0\0", 0, 0, bytes(32))
IN_DISPUTE, INVALIDATED, EXPIRED = 3, 4, 5  # ICreditOversight.Status, its other half
LIBRARIES = ("BatchMetadata", "Cancellation", "Oversight", "Register", "SignedMessages")

Claim = dict[str, Any]


@cache
def private_key(index: int) -> LocalAccount:
    """Return one of Anvil's accounts with its key."""
    Account.enable_unaudited_hdwallet_features()
    return Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")


@dataclass
class Park:
    """The contracts and the parties; one for each test module."""

    project: Any
    accounts: Any
    chain: Any
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        names = "admin registrar issuer verifier owner buyer market operator pauser stranger"
        for index, name in enumerate(names.split()):
            setattr(self, name, self.accounts[index])

    # ------------------------------------------------------------ deployment

    def deploy_credit(self) -> Any:
        """Deploy CarbonCredit with its roles, two classes, a project and a site of each."""
        for library in LIBRARIES:  # Brownie links to the last one deployed
            self.project[library].deploy({"from": self.admin})
        credit = self.project.CarbonCredit.deploy(self.admin, 0, {"from": self.admin})
        self.grant(credit, credit.REGISTRAR_ROLE(), self.registrar)
        self.grant(credit, credit.PAUSER_ROLE(), self.pauser)
        self.grant(credit, credit.SUSPENDER_ROLE(), self.pauser)
        self.reverser = self.operator  # the parties of a settlement are not needed here
        self.grant(credit, credit.REVERSER_ROLE(), self.reverser)
        self.grant(credit, credit.issuerRole(1), self.issuer)
        self.grant(credit, credit.verifierRole(1), self.verifier)
        by_registrar = {"from": self.registrar}
        credit.registerClass("wind-and-sun", METHODOLOGY_HASH, CAP_KG, 0, by_registrar)
        credit.registerClass("second", METHODOLOGY_HASH, CAP_KG, 0, by_registrar)
        credit.registerProject(1, self.owner, "lhb-wind", by_registrar)
        credit.registerSite(1, "lhb-wind", by_registrar)
        credit.registerProject(2, self.owner, "other", by_registrar)
        credit.registerSite(2, "other", by_registrar)
        self.credit = credit
        return credit

    def deploy_settlement(self) -> Any:
        """Deploy VppSettlement in the test currency of two decimals, with credits that anyone mints."""
        self.currency = self.project.TestCurrency.deploy({"from": self.admin})
        self.credits = self.project.PlainCredits.deploy({"from": self.admin})
        self.settlement = self.settlement_in(self.currency)
        return self.settlement

    def settlement_in(self, currency: Any, **changes: Any) -> Any:
        """Deploy VppSettlement in a currency, with its roles; the issuer collects fees."""
        given = self.settlement_arguments(currency, **changes)
        settlement = self.project.VppSettlement.deploy(*given, {"from": self.admin})
        self.grant(settlement, settlement.OPERATOR_ROLE(), self.operator)
        self.grant(settlement, settlement.PAUSER_ROLE(), self.pauser)
        self.grant(settlement, settlement.ARBITER_ROLE(), self.verifier)
        self.grant(settlement, settlement.MEMBER_ROLE(), self.registrar)
        return settlement

    def settlement_arguments(self, currency: Any, **changes: Any) -> list[Any]:
        """Return the constructor's arguments, with changes."""
        plain = {
            "admin": self.admin,
            "adminDelay": 0,
            "currency": currency,
            "credits": getattr(self, "credits", self.stranger),
            "window": WINDOW_S,
            "disputeTimeout": TIMEOUT_S,
            "disputeBond": BOND,
            "notionalCap": NOTIONAL_CAP,
            "creditCap": CREDIT_CAP,
            "feeCollector": self.issuer,
        }
        assert set(changes) <= set(plain)
        return list({**plain, **changes}.values())

    def grant(self, contract: Any, role: Any, account: Any) -> None:
        """Let the admin grant a role."""
        contract.grantRole(role, account, {"from": self.admin})

    # --------------------------------------------------------------- credits

    def new_key(self) -> bytes:
        """Return a key that was not used before."""
        return keccak(text=f"key {next(self.numbers)}")

    def claim(self, **changes: Any) -> Claim:
        """Return a claim that the contract accepts, with changes."""
        key = self.new_key()
        plain = {
            "key": key,
            "classId": 1,
            "projectId": 1,
            "siteId": 1,
            "amount": 123_851,
            "periodStart": YEAR_2024_S,
            "periodEnd": YEAR_2024_S + MONTH_S,
            "expiresAt": 0,
            "backfillBefore": 0,
            "evidenceRoot": keccak(b"root" + key),
            "evidenceTotal": 123_851,
            "manifestHash": keccak(b"manifest" + key),
            "methodologyHash": METHODOLOGY_HASH,
            "recipient": self.owner.address,
            "deadline": 2**40,
        }
        assert set(changes) <= set(plain)
        return {**plain, **changes}

    def sign(
        self, claim: Claim, index: int = 3, contract: str = "", chain_id: int = 31337
    ) -> bytes:
        """Return the EIP-712 signature of a claim by an Anvil account."""
        domain = {
            "name": "Truetonne CarbonCredit",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": contract or self.credit.address,
        }
        types = {"Claim": [{"name": name, "type": kind} for name, kind in CLAIM_FIELDS.items()]}
        message = encode_typed_data(domain, types, claim)
        return bytes(private_key(index).sign_message(message).signature)

    def issue(self, claim: Claim | None = None, **changes: Any) -> Any:
        """Issue a claim, signed by the verifier; return the transaction."""
        claim = claim or self.claim(**changes)
        return self.credit.issue(*self.issue_arguments(claim), {"from": self.issuer})

    def issue_arguments(self, claim: Claim) -> tuple[Any, ...]:
        """Return the arguments of ``issue`` for a claim that the verifier signed."""
        return tuple(claim.values()), self.verifier, self.sign(claim)

    def retire(self, batch_id: int, amount: int, holder: Any, details: Any = NO_DETAILS) -> Any:
        """Retire units of a holder; return the transaction."""
        return self.credit.retire(self.new_key(), batch_id, amount, details, {"from": holder})

    def cancel(self, batch_id: int, amount: int, holder: Any, reason: str = "") -> Any:
        """Cancel units of a holder; return the transaction."""
        return self.credit.cancel(self.new_key(), batch_id, amount, reason, {"from": holder})

    # ------------------------------------------------------------ settlement

    def deposit(self, account: Any, cents: int, settlement: Any = None) -> Any:
        """Mint test currency to an account and let it deposit that; return the transaction."""
        settlement = settlement or self.settlement
        self.currency.mint(account, cents, {"from": account})
        self.currency.approve(settlement, cents, {"from": account})
        return settlement.deposit(account, cents, {"from": account})

    def deposit_credits(self, account: Any, kilograms: int, asset: int = ASSET) -> Any:
        """Mint credits to an account and let it send them to escrow; return the transaction."""
        self.credits.mint(account, asset, kilograms, {"from": account})
        return self.credits.safeTransferFrom(
            account, self.settlement, asset, kilograms, b"", {"from": account}
        )

    def propose(self, batch: "Batch", key: bytes | None = None) -> int:
        """Propose a batch; return its id."""
        arguments = (key or self.new_key(), batch.asset, batch.accounts, batch.words)
        return int(self.settlement.proposeBatch(*arguments, {"from": self.operator}).return_value)

    def finalize(self, batch_id: int, batch: "Batch") -> Any:
        """Let anyone finalize a batch; return the transaction."""
        return self.settlement.finalizeBatch(batch_id, batch.outcome, {"from": self.stranger})

    def cancel_batch(self, batch_id: int, batch: "Batch", reason: str = "", by: Any = None) -> Any:
        """Let the operator, or another, cancel a batch; return the transaction."""
        arguments = (batch_id, batch.outcome, batch.words, reason)
        return self.settlement.cancelBatch(*arguments, {"from": by or self.operator})

    def settle_one(self, trade: "TradeOf", asset: int = CASH) -> Any:
        """Let the operator settle one trade; return the transaction."""
        return self.settlement.settleOne(asset, trade.values, {"from": self.operator})

    def dispute(self, batch_id: int, batch: "Batch", position: int, by: Any) -> Any:
        """Let a party dispute a trade of a batch; return the transaction."""
        leaves = batch.leaves(bytes(self.settlement.keyOf(batch_id)))
        arguments = (batch_id, batch.trades[position].values, merkle_proof(leaves, position))
        return self.settlement.disputeTrade(*arguments, {"from": by})

    def cosign(self, batch: "Batch", key: bytes | None = None) -> Any:
        """Let all parties sign a batch and a member send it; return the transaction."""
        arguments = self.cosigned(batch, key)
        return self.settlement.settleCosigned(*arguments, {"from": self.registrar})

    def cosigned(self, batch: "Batch", key: bytes | None = None, **changes: Any) -> tuple[Any, Any]:
        """Return a settlement as the contract takes it, and its signatures in order."""
        settlement = {
            "key": key or self.new_key(),
            "asset": batch.asset,
            "accounts": batch.accounts,
            "words": batch.words,
            "deadline": 2**40,
            **changes,
        }
        message = self.settlement_message(settlement)
        index_of = {account.address: index for index, account in enumerate(self.accounts[:10])}
        signatures = [
            bytes(private_key(index_of[account]).sign_message(message).signature)
            for account in batch.accounts
        ]
        return tuple(settlement.values()), signatures

    def settlement_message(self, settlement: dict[str, Any], **domain: Any) -> Any:
        """Return what the parties of a settlement sign, by EIP-712."""
        kinds = {
            "key": "bytes32",
            "asset": "uint256",
            "accounts": "address[]",
            "words": "uint256[]",
            "deadline": "uint64",
        }
        plain = {
            "name": "Truetonne VppSettlement",
            "version": "1",
            "chainId": 31337,
            "verifyingContract": self.settlement.address,
        }
        types = {"Settlement": [{"name": name, "type": kind} for name, kind in kinds.items()]}
        return encode_typed_data({**plain, **domain}, types, settlement)

    def escrow(self) -> dict[Any, int]:
        """Return the cash balances of all parties that have one, and what is locked."""
        balances = {account: self.settlement.balanceOf(account) for account in self.accounts}
        custody = self.currency.balanceOf(self.settlement)
        locked = self.settlement.totalLocked()
        assert custody == sum(balances.values()) + locked == self.settlement.totalBalance() + locked
        assert self.settlement.totalsOf(CASH) == (custody - locked, locked)
        return _found(balances, locked)

    def credit_escrow(self, asset: int = ASSET) -> dict[Any, int]:
        """Return the credit balances of all parties that have one, and what is locked."""
        balances = {
            account: self.settlement.creditBalanceOf(account, asset) for account in self.accounts
        }
        total, locked = self.settlement.totalsOf(asset)
        assert total == sum(balances.values())
        assert self.credits.balanceOf(self.settlement, asset) == total + locked
        return _found(balances, locked)

    def next_block_at(self, time_s: int) -> None:
        """Let the next block be of a time."""
        from brownie import web3

        answer = web3.provider.make_request("evm_setNextBlockTimestamp", [time_s])
        assert "error" not in answer

    def mine_at(self, time_s: int) -> None:
        """Mine a block at a time; calls are answered as of it."""
        from brownie import web3

        self.next_block_at(time_s)
        assert "error" not in web3.provider.make_request("evm_mine", [])
        assert self.now == time_s

    def answers(self, questions: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Ask contracts several questions in one request: each is a function with its arguments."""
        from brownie import web3

        calls = [
            {"to": function._address, "data": function.encode_input(*arguments)}
            for function, *arguments in questions
        ]
        bodies = [
            {"jsonrpc": "2.0", "id": place, "method": "eth_call", "params": [call, "latest"]}
            for place, call in enumerate(calls)
        ]
        said = _line().post(web3.provider.endpoint_uri, json=bodies).json()
        found = {each["id"]: each["result"] for each in said}
        return [
            function.decode_output(found[place]) for place, (function, *_) in enumerate(questions)
        ]

    @property
    def now(self) -> int:
        """The time of the last block."""
        return int(self.chain[-1].timestamp)


@cache
def _line() -> httpx.Client:
    return httpx.Client(trust_env=False)


def _found(balances: dict[Any, int], locked: int) -> dict[Any, int]:
    found = {account: balance for account, balance in balances.items() if balance}
    return {**found, "locked": locked} if locked else found


def round_half_away(quantity: int, price: int) -> int:
    """Return cents of a quantity in 0.001 at a price in 0.0001, exactly and without a division."""
    product, cents = abs(quantity * price), 0
    for bit in reversed(range(96)):
        if (2 * (cents + (1 << bit)) - 1) * 100_000 <= 2 * product:
            cents += 1 << bit
    return -cents if price < 0 else cents


@dataclass(frozen=True)
class TradeOf:
    """A trade between two accounts, quantity in 0.001, price in 0.0001."""

    seq: int
    buyer: str
    seller: str
    quantity: int
    price: int

    @property
    def cents(self) -> int:
        """What the buyer owes."""
        return round_half_away(self.quantity, self.price)

    @property
    def values(self) -> tuple[Any, ...]:
        """The trade as the contract's struct."""
        return (self.seq, self.buyer, self.seller, self.quantity, self.price, self.cents)


class Batch:
    """Trades as the contract takes them, and what a model says of them."""

    def __init__(
        self,
        trades: Sequence[TradeOf],
        others: Sequence[str] = (),
        asset: int = CASH,
        fee_bps: int = 0,
    ) -> None:
        self.trades = list(trades)
        self.asset = asset
        self.fee_bps = fee_bps
        parties = {party for trade in trades for party in (trade.buyer, trade.seller)}
        parties.update(others)
        self.accounts = sorted(parties, key=lambda account: int(account, 16))
        self.words = [self.word(trade) for trade in trades]

    def word(self, trade: TradeOf, **changes: int) -> int:
        """Return a trade's 32 bytes, field by field, with changes."""
        fields = {
            "seq": trade.seq,
            "buyer": self.accounts.index(trade.buyer),
            "seller": self.accounts.index(trade.seller),
            "quantity": trade.quantity,
            "price": trade.price,
            "cents": trade.cents,
            **changes,
        }
        widths = {"seq": 8, "buyer": 2, "seller": 2, "quantity": 6, "price": 6, "cents": 8}
        packed = b"".join(
            fields[name].to_bytes(width, "big", signed=name in ("price", "cents"))
            for name, width in widths.items()
        )
        return int.from_bytes(packed, "big")

    @property
    def nets(self) -> list[int]:
        """What each account gains, in cents, less the fee of those who do."""
        gains = dict.fromkeys(self.accounts, 0)
        for trade in self.trades:
            gains[trade.seller] += trade.cents
            gains[trade.buyer] -= trade.cents
        return [gain - max(gain, 0) * self.fee_bps // 10_000 for gain in gains.values()]

    @property
    def credit_nets(self) -> list[int]:
        """What each account gains, in kilograms; none of energy."""
        if self.asset == CASH:
            return []
        gains = dict.fromkeys(self.accounts, 0)
        for trade in self.trades:
            gains[trade.buyer] += trade.quantity
            gains[trade.seller] -= trade.quantity
        return list(gains.values())

    @property
    def outcome(self) -> tuple[list[str], list[int], list[int]]:
        """Accounts, nets and credit nets, as the contract takes them."""
        return self.accounts, self.nets, self.credit_nets

    @property
    def fee(self) -> int:
        """What the creditors do not gain of what the debtors owe."""
        return -sum(self.nets)

    def leaves(self, key: bytes) -> list[bytes]:
        """Return the leaves of the batch's tree."""
        types = ["bytes32", "uint64", "address", "address", "uint48", "int48", "int64"]
        return [keccak(keccak(encode(types, [key, *trade.values]))) for trade in self.trades]

    def root(self, key: bytes) -> bytes:
        """Return the root of the batch's tree."""
        return merkle_tree(self.leaves(key))[0]


def merkle_tree(leaves: list[bytes]) -> list[bytes]:
    """Return OpenZeppelin's tree as its JavaScript lays it out: root first, leaves last, reversed."""
    tree = [b""] * (len(leaves) - 1) + leaves[::-1]
    for index in reversed(range(len(leaves) - 1)):
        tree[index] = keccak(b"".join(sorted(tree[2 * index + 1 : 2 * index + 3])))
    return tree


def merkle_proof(leaves: list[bytes], position: int) -> list[bytes]:
    """Return the siblings of a leaf, from it up."""
    tree = merkle_tree(leaves)
    index, proof = len(tree) - 1 - position, []
    while index:
        proof.append(tree[index + 1 if index % 2 else index - 1])
        index = (index - 1) // 2
    return proof


# ------------------------------------------------------------------------ what the chain says


def refusal(function: Any, *arguments: Any, sender: Any) -> tuple[Any, ...]:
    """Return the error that a call reverts with, name first; fail when it does not revert."""
    try:
        function.call(*arguments, {"from": sender})
    except VirtualMachineError as error:
        cause = error.args[0]
        answer = cause.args[0] if isinstance(cause, Exception) else cause
        return _error(bytes.fromhex(answer.get("data", "0x")[2:]))
    pytest.fail(f"{function} accepts {arguments}")


def event(tx: Any, name: str) -> dict[str, Any]:
    """Return the values of the one event of a name in a transaction."""
    (found,) = tx.events[name]
    return dict(found)


def missing_role(account: Any, role: Any) -> tuple[Any, ...]:
    """Return the error of a caller without a role."""
    return ("AccessControlUnauthorizedAccount", str(account), bytes(role))


def _error(data: bytes) -> tuple[Any, ...]:
    known = {
        keccak(text="Error(string)")[:4]: ("Error", ["string"]),
        keccak(text="Panic(uint256)")[:4]: ("Panic", ["uint256"]),
        **_declared_errors(),
    }
    name, types = known[data[:4]]
    return (name, *(_plain(value) for value in decode(types, data[4:])))


@cache
def _declared_errors() -> dict[bytes, tuple[str, list[str]]]:
    from brownie import project

    found = {}
    for container in project.get_loaded_projects()[0]:
        for item in container.abi:
            if item["type"] == "error":
                types = [part["type"] for part in item["inputs"]]
                selector = keccak(text=f"{item['name']}({','.join(types)})")[:4]
                found[selector] = (item["name"], types)
    return found


def _plain(value: Any) -> Any:
    is_address = isinstance(value, str) and value.startswith("0x") and len(value) == 42
    return to_checksum_address(value) if is_address else value


@dataclass(frozen=True)
class Record:
    """A ledger event of CarbonCredit as its log says, and the hash of what it says."""

    name: str
    values: dict[str, Any]
    hash: bytes

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def ledger_records(credit: Any, first_block: int = 0) -> list[Record]:
    """Return the ledger events of the contract from the node's logs, in order."""
    from brownie import web3

    schemas = {
        _topic(item): item
        for item in credit.abi
        if item["type"] == "event" and [part["name"] for part in item["inputs"]][-1:] == ["head"]
    }
    logs = web3.eth.get_logs({"address": credit.address, "fromBlock": first_block})
    return [
        _record(schemas[bytes(log["topics"][0])], log)
        for log in logs
        if bytes(log["topics"][0]) in schemas
    ]


def log_head(credit: Any) -> tuple[int, bytes]:
    """Return number and hash of the last ledger event, as the contract has them."""
    seq, head = credit.logHead()
    return int(seq), bytes(head)


def sealed(records: Sequence[Record]) -> bytes:
    """Return the head that seals a list of records."""
    head = bytes(32)
    for seq, record in enumerate(records, 1):
        head = keccak(encode(["bytes32", "uint64", "bytes32"], [head, seq, record.hash]))
    return head


def _record(item: dict[str, Any], log: Any) -> Record:
    topics = iter(log["topics"][1:])
    plain = [part for part in item["inputs"] if not part["indexed"]]
    data = iter(decode([_type(part) for part in plain], bytes(log["data"])))
    values = {
        part["name"]: (
            decode([_type(part)], bytes(next(topics)))[0] if part["indexed"] else next(data)
        )
        for part in item["inputs"]
    }
    types = ["bytes32", *(_type(part) for part in item["inputs"][:-2])]
    body = encode(types, [_topic(item), *list(values.values())[:-2]])
    return Record(item["name"], values, keccak(body))


def _topic(item: dict[str, Any]) -> bytes:
    return keccak(text=f"{item['name']}({','.join(_type(part) for part in item['inputs'])})")


def _type(part: dict[str, Any]) -> str:
    if part["type"].startswith("tuple"):
        return f"({','.join(_type(each) for each in part['components'])})"
    return str(part["type"])
