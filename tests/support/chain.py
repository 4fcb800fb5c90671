"""A deployed pair of contracts on a real Anvil, and the acts of its parties, for tests.

Transactions are sent from Anvil's unlocked accounts and mined at once. ``PARTIES`` says who is who.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak
from msgspec.structs import replace

from ledger.chain.addresses.book import DeployedContract, Deployment
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.currency import stated_symbol
from ledger.chain.contracts.events import (
    CREDIT,
    SETTLEMENT,
    ZERO_HASH,
    Claim,
    RetirementDetails,
    decode,
)
from ledger.chain.contracts.layout import canonical_type
from ledger.chain.contracts.structs import claim_tuple, claim_typed_data, retirement_tuple
from ledger.chain.contracts.wrappers import encode_call
from ledger.chain.keys.signers import ANVIL_ROLES, anvil_address, anvil_signer
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import Receipt
from ledger.settlement.words import PackedBatch, Trade, pack

PARTIES = {name: anvil_address(number) for name, number in ANVIL_ROLES.items()}
CURRENCY = "TestCurrency"
CLASS_CODE = "internal-CCER-01-002-V01"
METHODOLOGY = "CCER-01-002/V01"
SITE_CODE = "lhb-wind"
CAP_KG = 10**12
WINDOW_S = 3600
GAS_DEPLOY = 12_000_000
GAS_CALL = 5_000_000
FIRST_PERIOD_S = 1_388_530_800  # 2014-01-01 in Europe/Paris
PERIOD_S = 86_400

FACTORY = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
LIBRARIES = ("BatchMetadata", "Cancellation", "Oversight", "Register", "SignedMessages")
DISPUTE_TIMEOUT_S = 3600
BOND_CENTS = 20
NOTIONAL_CAP_CENTS = 10**12
CREDIT_CAP_KG = 10**9
_SAME_AGAIN = 3
"""So often is a reorganisation asked for at most."""

ARBITER_ROLE = keccak(text="ARBITER_ROLE")
MEMBER_ROLE = keccak(text="MEMBER_ROLE")
OPERATOR_ROLE = keccak(text="OPERATOR_ROLE")
PAUSER_ROLE = keccak(text="PAUSER_ROLE")
REGISTRAR_ROLE = keccak(text="REGISTRAR_ROLE")
REVERSER_ROLE = keccak(text="REVERSER_ROLE")
SUSPENDER_ROLE = keccak(text="SUSPENDER_ROLE")


def class_role(name: str, class_id: int) -> bytes:
    """Return the role of an issuer or a verifier of a class."""
    return keccak(abi_encode(["string", "uint32"], [name, class_id]))


def send(
    client: ChainClient, sender: str, to: str | None, data: str, gas: int = GAS_CALL
) -> Receipt:
    """Send a transaction from an unlocked account, mined at once; failed ones are not refused.

    What was sent before is mined before it: of two in one block, the dearer one goes first.
    """
    until_mined(client)
    message = {"from": sender, "data": data, "gas": hex(gas)}
    if to is not None:
        message["to"] = to
    return wait_for(client, client.request("eth_sendTransaction", [message]))


def wait_for(client: ChainClient, tx_hash: str) -> Receipt:
    """Return the receipt of a transaction that was sent: Anvil answers before it has mined."""
    until = time.monotonic() + 60
    while (receipt := client.receipt(tx_hash)) is None:
        assert time.monotonic() < until, tx_hash
        time.sleep(0.001)
    return receipt


def until_mined(client: ChainClient) -> None:
    """Wait until Anvil has mined what it was sent, where it mines at once: it answers before it does.

    What bids less than the next block's base fee stays in its pool, and is not waited for.
    """
    until = time.monotonic() + 60
    while client.request("txpool_status", [])["pending"] != "0x0":
        if not client.request("anvil_getAutomine", []):
            return
        waiting = client.request("txpool_content", [])["pending"]
        fee = int(client.request("eth_feeHistory", [1, "latest", []])["baseFeePerGas"][-1], 16)
        bids = [
            int(item.get("maxFeePerGas") or item["gasPrice"], 16)
            for items in waiting.values()
            for item in items.values()
        ]
        if max(bids, default=0) < fee:
            return
        assert time.monotonic() < until, waiting
        time.sleep(0.001)


def go_back(client: ChainClient, snapshot: str) -> None:
    """Go back to a snapshot, with an empty pool: what waits there would be mined in what comes next."""
    until_mined(client)
    client.request("anvil_dropAllTransactions", [])
    assert client.request("evm_revert", [snapshot])


def deploy_contracts(client: ChainClient) -> Deployment:
    """Deploy currency, libraries and both contracts, grant the roles, register class and site."""
    genesis = client.block(0)
    assert genesis is not None
    first = client.block_number() + 1
    admin = PARTIES["admin"]
    currency = _create(client, CURRENCY, {})
    libraries = [_library(client, name) for name in LIBRARIES]
    credit = _create(client, CREDIT, {"admin": admin, "adminDelay": 0})
    settlement = deploy_settlement(client, currency.address, credit.address)
    deployment = Deployment(
        network="local",
        chain_id=client.chain_id(),
        genesis_hash=genesis.hash,
        deployed_block=first,
        contracts={item.name: item for item in (currency, *libraries, credit, settlement)},
        accounts={**PARTIES, "arbiter": admin},
        class_id=1,
        class_code=CLASS_CODE,
        currency_symbol=stated_symbol(client, currency.address),
    )
    chain = TestChain(client, deployment)
    chain.set_up()
    return deployment


def deploy_settlement(client: ChainClient, currency: str, credits_: str) -> DeployedContract:
    """Deploy the settlement contract alone; the admin gets the fees."""
    terms = {
        "admin": PARTIES["admin"],
        "adminDelay": 0,
        "currency": currency,
        "credits": credits_,
        "window": WINDOW_S,
        "disputeTimeout": DISPUTE_TIMEOUT_S,
        "disputeBond": BOND_CENTS,
        "notionalCap": NOTIONAL_CAP_CENTS,
        "creditCap": CREDIT_CAP_KG,
        "feeCollector": PARTIES["admin"],
    }
    return _create(client, SETTLEMENT, terms)


def _create(client: ChainClient, name: str, arguments: dict[str, Any]) -> DeployedContract:
    compiled = artifact(name)
    constructor = next((item for item in compiled.abi if item["type"] == "constructor"), None)
    inputs = constructor["inputs"] if constructor else []
    types = [canonical_type(item) for item in inputs]
    values = [arguments[item["name"].removesuffix("_")] for item in inputs]
    data = compiled.bytecode + abi_encode(types, values).hex()
    receipt = send(client, PARTIES["admin"], None, data, GAS_DEPLOY)
    assert receipt.status == 1 and receipt.contract_address is not None, name
    return _deployed(client, name, receipt.contract_address, receipt, (arguments, ZERO_HASH))


def _library(client: ChainClient, name: str) -> DeployedContract:
    """Deploy a library where the credit contract's code expects it: at its CREATE2 address."""
    code = bytes.fromhex(artifact(name).bytecode.removeprefix("0x"))
    salt = keccak(text=f"truetonne {version('truetonne')}")
    place = keccak(b"\xff" + bytes.fromhex(FACTORY[2:]) + salt + keccak(code))[12:]
    address = "0x" + place.hex()
    assert address[2:] in artifact(CREDIT).bytecode, f"{name} is not what the contract links to"
    receipt = send(client, PARTIES["admin"], FACTORY, "0x" + (salt + code).hex(), GAS_DEPLOY)
    assert receipt.status == 1, name
    return _deployed(client, name, address, receipt, ({}, "0x" + salt.hex()))


def _deployed(
    client: ChainClient,
    name: str,
    address: str,
    receipt: Receipt,
    origin: tuple[dict[str, Any], str],
) -> DeployedContract:
    """Return the entry of the deployment file; the origin is constructor arguments and salt."""
    compiled, code = artifact(name), client.code(address)
    assert code != "0x", name
    return DeployedContract(
        name=name,
        address=address,
        constructor=origin[0],
        salt=origin[1],
        init_code_hash="0x" + keccak(hexstr=compiled.bytecode).hex(),
        code_hash="0x" + keccak(bytes.fromhex(code[2:])).hex(),
        block=receipt.block_number,
        tx_hash=receipt.tx_hash,
        source_hash=compiled.source_hash,
    )


@dataclass
class TestChain:
    """The acts of the parties. Every act is one transaction in a block of its own.

    Each comes after what was sent before, also by the product: Anvil answers before it has mined, and would mine that
    in the fork, in the later time, or in the midst of the empty blocks.
    """

    __test__ = False

    client: ChainClient
    deployment: Deployment
    keys: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    loaded_up_to: int = 0
    """The last block that the node did not mine, but load: Anvil goes back no further."""
    http: str | None = None
    """Where the node speaks HTTP, if the client asks it over a socket."""

    @property
    def rpc_url(self) -> str:
        """Where whoever speaks HTTP alone reaches the node."""
        url = self.http or self.client.rpc_url
        assert url.startswith("http"), f"{url} is a socket: say `http` where this is made"
        return url

    def act(
        self, sender: str, contract: str, function: str, arguments: Sequence[Any], must: bool = True
    ) -> Receipt:
        """Call a function; ``must=False`` lets it fail, and mines the failure."""
        address = self.deployment.contracts[contract].address
        data = encode_call(contract, function, arguments)
        receipt = send(self.client, PARTIES.get(sender, sender), address, data)
        assert not must or receipt.status == 1, (contract, function, arguments)
        return receipt

    def ask(self, contract: str, function: str, arguments: Sequence[Any]) -> str:
        """Return what a view answers, in hexadecimal."""
        until_mined(self.client)
        address = self.deployment.contracts[contract].address
        return self.client.call(address, encode_call(contract, function, arguments))

    def new_key(self) -> str:
        """Return a key that no earlier one of this chain equals."""
        return "0x" + keccak(text=f"key {next(self.keys)}").hex()

    def mine(self, blocks: int = 2) -> None:
        """Mine blocks, empty ones where nothing waits; two make everything before them final."""
        until_mined(self.client)
        self.client.request("anvil_mine", [hex(blocks)])

    def height(self) -> int:
        """Return the number of the latest block."""
        until_mined(self.client)
        return self.client.block_number()

    def head_hash(self) -> str:
        """Return the hash of the latest block."""
        until_mined(self.client)
        head = self.client.block("latest")
        assert head is not None
        return head.hash

    def reorganise(
        self, depth: int, transactions: Sequence[tuple[dict[str, str], int]] = ()
    ) -> None:
        """Replace the last blocks by others of the same height, and assert that it happened.

        ``transactions`` are unsigned ones with the offset of the block that shall hold them. What waits in the
        pool may be mined on top at once.
        """
        until_mined(self.client)
        before = self.client.block("latest")
        assert before is not None and before.number - depth >= self.loaded_up_to
        pairs = [[transaction, offset] for transaction, offset in transactions]
        for _ in range(_SAME_AGAIN):
            self.client.request("anvil_reorg", [depth, pairs])
            after = self.client.block(before.number)
            if after is not None and after.hash != before.hash:
                return
            # An empty block of the same second on the same parent is the same block, unless another made it. The
            # clock does not help: Anvil sets it back to the parent's time.
            self.client.request("anvil_setCoinbase", [self.new_key()[:42]])
        raise AssertionError("Anvil made the same blocks again")

    def roll_back(self, depth: int) -> None:
        """Take the last blocks away, and assert that it happened."""
        until_mined(self.client)
        before = self.client.block_number()
        assert before - depth >= self.loaded_up_to
        self.client.request("anvil_rollback", [depth])  # hexadecimal text would do nothing
        assert self.client.block_number() == before - depth

    def transaction(
        self, sender: str, contract: str, function: str, arguments: Sequence[Any]
    ) -> dict[str, str]:
        """Return a transaction that is not sent yet, for ``reorganise``."""
        return {
            "from": PARTIES[sender],
            "to": self.deployment.contracts[contract].address,
            "data": encode_call(contract, function, arguments),
            "gas": hex(GAS_CALL),
        }

    def in_one_block(self, *messages: dict[str, str]) -> None:
        """Mine transactions together, in the order given."""
        self.client.request("evm_setAutomine", [False])
        for message in messages:
            self.client.request("eth_sendTransaction", [message])
        self.client.request("evm_mine")
        self.client.request("evm_setAutomine", [True])

    def deployment_text(self) -> str:
        """Return the deployment as its file holds it."""
        book = self.deployment
        contracts = {
            name: {key: value for key, value in asdict(item).items() if key != "name"}
            for name, item in book.contracts.items()
        }
        return json.dumps(
            {
                "network": book.network,
                "chain_id": book.chain_id,
                "genesis_hash": book.genesis_hash,
                "deployed_block": book.deployed_block,
                "contracts": contracts,
                "accounts": book.accounts,
                "class": {"id": book.class_id, "code": book.class_code},
                "currency_symbol": book.currency_symbol,
            }
        )

    # ------------------------------------------------------------------ set-up

    def set_up(self) -> None:
        """Grant the roles; register class 1, project 1 and site 1."""
        self.grant(CREDIT, SETTLEMENT)
        terms = [CLASS_CODE, keccak(text=METHODOLOGY), CAP_KG, 0]
        self.act("registrar", CREDIT, "registerClass", terms)
        self.act("registrar", CREDIT, "registerProject", [1, PARTIES["owner"], SITE_CODE])
        self.act("registrar", CREDIT, "registerSite", [1, SITE_CODE])

    def grant(self, *contracts: str) -> None:
        """Grant the roles of some contracts."""
        for contract, role, party in (
            (CREDIT, REGISTRAR_ROLE, "registrar"),
            (CREDIT, class_role("ISSUER_ROLE", 1), "issuer"),
            (CREDIT, class_role("VERIFIER_ROLE", 1), "verifier"),
            (CREDIT, PAUSER_ROLE, "pauser"),
            (CREDIT, SUSPENDER_ROLE, "pauser"),
            (CREDIT, REVERSER_ROLE, "reverser"),
            (SETTLEMENT, OPERATOR_ROLE, "operator"),
            (SETTLEMENT, PAUSER_ROLE, "pauser"),
            (SETTLEMENT, ARBITER_ROLE, "admin"),
            (SETTLEMENT, MEMBER_ROLE, "operator"),
        ):
            if contract in contracts:
                self.act("admin", contract, "grantRole", [role, PARTIES[party]])

    # ----------------------------------------------------------------- credits

    def claim(self, kg: int, day: int, **changes: Any) -> Claim:
        """Return a claim for one day of site 1, counted from the first."""
        key = self.new_key()
        claim = Claim(
            key=key,
            class_id=1,
            project_id=1,
            site_id=1,
            amount=kg,
            period_start=FIRST_PERIOD_S + day * PERIOD_S,
            period_end=FIRST_PERIOD_S + (day + 1) * PERIOD_S,
            expires_at=0,
            backfill_before=0,
            evidence_root="0x" + keccak(text=f"root {key}").hex(),
            evidence_total=kg,
            manifest_hash="0x" + keccak(text=f"manifest {key}").hex(),
            methodology_hash="0x" + keccak(text=METHODOLOGY).hex(),
            recipient=PARTIES["owner"],
            deadline=2**40,
        )
        return replace(claim, **changes)

    def issue_arguments(self, claim: Claim) -> list[Any]:
        """Return the arguments of ``issue``, signed by the verifier."""
        address = self.deployment.credit.address
        message = claim_typed_data(claim, self.deployment.chain_id, address)
        signature = anvil_signer(ANVIL_ROLES["verifier"]).sign_typed_data(message)
        return [claim_tuple(claim), PARTIES["verifier"], signature]

    def issue(self, kg: int, day: int, **changes: Any) -> int:
        """Issue a batch to the owner; return its number."""
        arguments = self.issue_arguments(self.claim(kg, day, **changes))
        receipt = self.act("issuer", CREDIT, "issue", arguments)
        events = [decode(CREDIT, log) for log in receipt.logs]
        return int(next(event for event in events if event.name == "Issued").args.batch_id)

    def transfer(
        self, giver: str, taker: str, batch_id: int, kg: int, must: bool = True
    ) -> Receipt:
        """Move units of a batch."""
        arguments = [PARTIES[giver], PARTIES[taker], batch_id, kg, b""]
        return self.act(giver, CREDIT, "safeTransferFrom", arguments, must)

    def transfer_batch(self, giver: str, taker: str, units: Sequence[tuple[int, int]]) -> Receipt:
        """Move units of several batches in one event."""
        ids, amounts = [item[0] for item in units], [item[1] for item in units]
        arguments = [PARTIES[giver], PARTIES[taker], ids, amounts, b""]
        return self.act(giver, CREDIT, "safeBatchTransferFrom", arguments)

    def retire_arguments(self, batch_id: int, kg: int, **changes: Any) -> list[Any]:
        """Return the arguments of ``retire``."""
        details = RetirementDetails(
            "Kindergarten Süd 绿", "year 2015", "DE", FIRST_PERIOD_S, FIRST_PERIOD_S + 9, ZERO_HASH
        )
        details = replace(details, **changes)
        return [bytes.fromhex(self.new_key()[2:]), batch_id, kg, retirement_tuple(details)]

    def retire(
        self, holder: str, batch_id: int, kg: int, must: bool = True, **changes: Any
    ) -> Receipt:
        """Retire units of a batch."""
        return self.act(
            holder, CREDIT, "retire", self.retire_arguments(batch_id, kg, **changes), must
        )

    def cancel(self, holder: str, batch_id: int, kg: int, must: bool = True) -> Receipt:
        """Cancel units of a batch."""
        arguments = [bytes.fromhex(self.new_key()[2:]), batch_id, kg, "meter replaced"]
        return self.act(holder, CREDIT, "cancel", arguments, must)

    # -------------------------------------------------------------- settlement

    def deposit(self, account: str, cents: int) -> Receipt:
        """Give test money to an account and pay it into the escrow."""
        units = cents  # the test currency has two decimals
        spender = self.deployment.settlement.address
        self.act(account, CURRENCY, "mint", [PARTIES[account], units])
        self.act(account, CURRENCY, "approve", [spender, units])
        return self.act(account, SETTLEMENT, "deposit", [PARTIES[account], units])

    def withdraw(self, account: str, cents: int, must: bool = True) -> Receipt:
        """Take money out of the escrow."""
        return self.act(account, SETTLEMENT, "withdraw", [PARTIES[account], cents], must)

    def propose(
        self, trades: Sequence[Trade], must: bool = True, asset: int = 0, sender: str = "operator"
    ) -> tuple[PackedBatch, Receipt]:
        """Propose a settlement batch."""
        packed = pack(trades)
        key = bytes.fromhex(self.new_key()[2:])
        arguments = [key, asset, list(packed.accounts), list(packed.words)]
        return packed, self.act(sender, SETTLEMENT, "proposeBatch", arguments, must)

    def finalize(self, batch_id: int, packed: PackedBatch, must: bool = True) -> Receipt:
        """Finalise a proposal after its window."""
        self.later(WINDOW_S + 1)
        arguments = [batch_id, self.outcome(batch_id, packed)]
        return self.act("operator", SETTLEMENT, "finalizeBatch", arguments, must)

    def cancel_batch(
        self, batch_id: int, packed: PackedBatch, must: bool = True, sender: str = "operator"
    ) -> Receipt:
        """Cancel a proposal."""
        arguments = [batch_id, self.outcome(batch_id, packed), list(packed.words), "wrong day"]
        return self.act(sender, SETTLEMENT, "cancelBatch", arguments, must)

    def outcome(self, batch_id: int, packed: PackedBatch) -> tuple[Any, ...]:
        """Return the outcome of a batch, as the contract's struct: read from its event."""
        address = self.deployment.settlement.address
        first = self.deployment.deployed_block
        for log in self.client.logs([address], first, self.client.block_number()):
            event = decode(SETTLEMENT, log)
            if event.name == "BatchProposed" and event.args.batch_id == batch_id:
                args = event.args
                return list(args.accounts), list(args.nets), list(args.credit_nets)
        return list(packed.accounts), list(packed.nets), []

    def later(self, seconds: int) -> None:
        """Let time pass before the next block."""
        until_mined(self.client)
        self.client.request("evm_increaseTime", [hex(seconds)])

    def pass_window(self) -> None:
        """Mine a block in which the window of every proposed batch has passed."""
        self.later(WINDOW_S + 1)
        self.mine(1)


def trade(seq: int, buyer: str, seller: str, quantity_milli: int, price_e4: int) -> Trade:
    """Return a trade between two parties."""
    return Trade(seq, PARTIES[buyer], PARTIES[seller], quantity_milli, price_e4)
