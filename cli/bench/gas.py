"""The gas of the contracts' acts, taken from receipts.

Steady state: accounts that act have acted before, a site has a batch, and a settlement's accounts
have balances. New is what every such act makes new: a batch, a holder, four words of the bitmap.
The figures that they are held against are those of the prototypes that the design started from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from cli.bench.report import Result, lower_is_better, share_of_limit
from ledger.chain.abi import artifact
from ledger.chain.client import ChainClient
from ledger.chain.contracts import encode_call
from ledger.chain.layout import canonical_type
from ledger.chain.records import Receipt
from ledger.chain.signers import ANVIL_ROLES, LocalSigner, anvil_address, anvil_signer, new_signer
from ledger.errors import DependencyDown
from ledger.reductions.evidence import hash_pair, leaf_hash, meter_hash
from ledger.reductions.runs import Reading

CREDIT, SETTLEMENT, CURRENCY = "CarbonCredit", "VppSettlement", "TestCurrency"
LIBRARIES = ("BatchMetadata", "Cancellation", "Oversight", "Register", "SignedMessages")
FACTORY = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
PARTY = {name: anvil_address(number) for name, number in ANVIL_ROLES.items()}
GAS_LIMIT = 16_777_216  # EIP-7825
CODE_BYTES_MAX = 24_576  # EIP-170
PARTICIPANTS = 20
TRADES = 1000
PROOF_DEPTH = 14
DAY_S = 86_400
SEND_SECONDS_MAX = 30.0

PROTOTYPES = {
    "issue": 162_607,
    "transfer_new_holder": 57_339,
    "retire": 60_183,
    "fraud_proof": 110_221,
    "settle_1000_cosigned_per_trade": 2_085,
    "settle_1000_proposed_per_trade": 2_170,
    "settle_one": 53_058,
}
"""Whole receipts of the prototypes, in gas; the last three per trade."""


def measure(rpc_url: str) -> list[Result]:
    """Deploy the contracts on an empty local chain and return what each act costs.

    Raises
    ------
    DependencyDown
        If the node refuses a transaction or does not mine it.
    """
    client = ChainClient(rpc_url)
    try:
        park = Park(client)
        gas = {**_credit_acts(park), **_settlement_acts(park)}
        sizes = {name: len(client.code(park.places[name])) // 2 - 1 for name in park.places}
    finally:
        client.close()
    results = [
        lower_is_better(name, gas[name], "gas", "prototype", Decimal(PROTOTYPES[name]))
        for name in PROTOTYPES
    ]
    results += [
        lower_is_better(name, gas[name], "gas", like, gas[like])
        for name, like in (("settle_one_dvp", "settle_one"), ("cancel", "retire"))
    ]
    limits = [
        share_of_limit(name, gas[name], "gas", "EIP-7825", Decimal(GAS_LIMIT))
        for name in ("settle_1000_cosigned", "propose_1000")
    ]
    sizes_of = [
        share_of_limit(
            f"code_{name}", Decimal(sizes[name]), "bytes", "EIP-170", Decimal(CODE_BYTES_MAX)
        )
        for name in (CREDIT, SETTLEMENT, *LIBRARIES)
    ]
    return results + limits + sizes_of


class Park:
    """The contracts on a chain of our own, with a class, a project, a site and funded accounts."""

    def __init__(self, client: ChainClient) -> None:
        self.client = client
        self.places: dict[str, str] = {}
        self.issued = 0
        self.now_s = self._block_time_s()
        for library in LIBRARIES:
            self._place_library(library)
        self._deploy(CURRENCY, {})
        admin = {"admin": PARTY["admin"], "adminDelay": 0}
        self._deploy(CREDIT, admin)
        terms = {
            "currency": self.places[CURRENCY],
            "credits": self.places[CREDIT],
            "window": 1,
            "disputeTimeout": 3600,
            "disputeBond": 0,
            "notionalCap": 10**15,
            "creditCap": 10**12,
            "feeCollector": PARTY["admin"],
        }
        self._deploy(SETTLEMENT, {**admin, **terms})
        self._grant()
        self.act("registrar", CREDIT, "registerClass", ["bench", keccak(text="m"), 2**63, 0])
        self.act("registrar", CREDIT, "registerProject", [1, PARTY["owner"], "bench"])
        self.act("registrar", CREDIT, "registerSite", [1, "bench"])

    def act(self, sender: str, contract: str, function: str, arguments: Sequence[Any]) -> Receipt:
        """Send a call, and return the receipt of what succeeded."""
        data = encode_call(contract, function, arguments)
        return self._send(PARTY[sender], self.places[contract], data)

    def claim(self, amount: int) -> tuple[Any, ...]:
        """Return a claim for the next day of the site."""
        self.issued += 1
        start = self.now_s - (1000 - self.issued) * DAY_S
        name = f"bench {self.issued}"
        return (
            keccak(text=f"key {name}"),
            *(1, 1, 1, amount, start, start + DAY_S, 0, 0),
            keccak(text=f"root {name}"),
            amount,
            keccak(text=f"manifest {name}"),
            keccak(text="m"),
            PARTY["owner"],
            self.now_s + DAY_S,
        )

    def issue(self, amount: int, root: bytes | None = None) -> tuple[int, Receipt]:
        """Issue a batch and return its id, with the receipt."""
        claim = self.claim(amount)
        if root is not None:
            claim = (*claim[:9], root, *claim[10:])
        signature = self.signed(CREDIT, "issue", claim, anvil_signer(ANVIL_ROLES["verifier"]))
        receipt = self.act("issuer", CREDIT, "issue", [claim, PARTY["verifier"], signature])
        return 1 << 32 | self.issued, receipt

    def retire_among(self, batch: int, transactions: int) -> Receipt:
        """Retire 1,000 kg in the middle of a block of that many transactions of others."""
        self.client.request("evm_setAutomine", [False])
        details = ("Muster GmbH, Berlin", "electricity of 2026, Scope 2", b"DE", 0, 0, bytes(32))
        arguments = [keccak(text=f"r {batch}"), batch, 1_000, details]
        retire = {"to": self.places[CREDIT], "data": encode_call(CREDIT, "retire", arguments)}
        tip = "0x3b9aca00"
        hashes = []
        for number in range(transactions):
            message = {"to": PARTY["admin"], "value": hex(number)}
            if number == transactions // 2:
                message = retire
            # One sender, so that nonces keep the order.
            message |= {"from": PARTY["owner"], "gas": hex(300_000), "maxPriorityFeePerGas": tip}
            hashes.append(self.client.request("eth_sendTransaction", [message]))
        self.client.request("evm_mine")
        self.client.request("evm_setAutomine", [True])
        receipt = self.client.receipt(hashes[transactions // 2])
        if receipt is None or receipt.status != 1:
            raise DependencyDown("the benchmark's retirement is in no block, or failed")
        return receipt

    def signed(
        self, contract: str, function: str, values: Sequence[Any], signer: LocalSigner
    ) -> bytes:
        """Return the EIP-712 signature of the struct that is a function's first argument."""
        functions = [item for item in artifact(contract).abi if item.get("name") == function]
        struct = functions[0]["inputs"][0]
        kind = struct["internalType"].split(".")[-1]
        fields = [{"name": part["name"], "type": part["type"]} for part in struct["components"]]
        domain = {
            "name": f"Truetonne {contract}",
            "version": "1",
            "chainId": self.client.chain_id(),
            "verifyingContract": self.places[contract],
        }
        kinds = ("string", "string", "uint256", "address")
        message = {part["name"]: value for part, value in zip(fields, values, strict=True)}
        return signer.sign_typed_data(
            {
                "types": {
                    "EIP712Domain": [
                        {"name": name, "type": type_}
                        for name, type_ in zip(domain, kinds, strict=True)
                    ],
                    kind: fields,
                },
                "primaryType": kind,
                "domain": domain,
                "message": message,
            }
        )

    # ------------------------------------------------------------------ set-up

    def _place_library(self, name: str) -> None:
        """Put a library where the linked code expects it: salted with the version, by CREATE2."""
        from importlib.metadata import version

        salt = keccak(text=f"truetonne {version('truetonne')}")
        code = bytes.fromhex(artifact(name).bytecode[2:])
        self._send(PARTY["admin"], FACTORY, "0x" + (salt + code).hex())
        digest = keccak(b"\xff" + bytes.fromhex(FACTORY[2:]) + salt + keccak(code))
        self.places[name] = "0x" + digest[12:].hex()

    def _deploy(self, name: str, given: Mapping[str, Any]) -> None:
        compiled = artifact(name)
        constructors = [entry for entry in compiled.abi if entry["type"] == "constructor"]
        inputs: list[dict[str, Any]] = constructors[0]["inputs"] if constructors else []
        values = [given[part["name"].removesuffix("_")] for part in inputs]
        arguments = abi_encode([canonical_type(part) for part in inputs], values)
        receipt = self._send(PARTY["admin"], None, compiled.bytecode + arguments.hex())
        assert receipt.contract_address is not None
        self.places[name] = receipt.contract_address

    def _grant(self) -> None:
        roles = {
            CREDIT: {"REGISTRAR_ROLE": "registrar"},
            SETTLEMENT: {"OPERATOR_ROLE": "operator", "MEMBER_ROLE": "operator"},
        }
        for contract, parties in roles.items():
            for role, party in parties.items():
                self.act("admin", contract, "grantRole", [keccak(text=role), PARTY[party]])
        for kind, party in (("ISSUER_ROLE", "issuer"), ("VERIFIER_ROLE", "verifier")):
            role_of_class = keccak(abi_encode(["string", "uint32"], [kind, 1]))
            self.act("admin", CREDIT, "grantRole", [role_of_class, PARTY[party]])

    def _send(self, sender: str, to: str | None, data: str) -> Receipt:
        message = {"from": sender, "data": data, "gas": hex(GAS_LIMIT)}
        if to is not None:
            message["to"] = to
        tx_hash = self.client.request("eth_sendTransaction", [message])
        until = time.monotonic() + SEND_SECONDS_MAX
        while (receipt := self.client.receipt(tx_hash)) is None:
            if time.monotonic() > until:
                raise DependencyDown(f"the node has not mined {tx_hash}")
            time.sleep(0.001)
        if receipt.status != 1:
            raise DependencyDown(f"the benchmark's transaction {tx_hash} failed")
        return receipt

    def _block_time_s(self) -> int:
        block = self.client.block("latest")
        assert block is not None
        return block.timestamp


# ------------------------------------------------------------------------------- credits


def _credit_acts(park: Park) -> dict[str, Decimal]:
    """Return the gas of issuance, transfer, retirement, cancellation and overlap proof."""
    park.issue(1_000_000)
    batch, issued = park.issue(123_851)
    owner, buyer = PARTY["owner"], PARTY["buyer"]
    transfer = [owner, buyer, batch, 50_000, b""]
    moved = park.act("owner", CREDIT, "safeTransferFrom", transfer)
    details = ("Muster GmbH, Berlin", "electricity of 2026, Scope 2", b"DE", 0, 0, bytes(32))
    park.act("buyer", CREDIT, "retire", [keccak(text="r1"), batch, 1_000, details])
    retired = park.act("buyer", CREDIT, "retire", [keccak(text="r2"), batch, 1_000, details])
    park.act("buyer", CREDIT, "cancel", [keccak(text="c1"), batch, 1_000, "issued in error"])
    cancelled = park.act("buyer", CREDIT, "cancel", [keccak(text="c2"), batch, 10, "by mistake"])
    return {
        "issue": Decimal(issued.gas_used),
        "transfer_new_holder": Decimal(moved.gas_used),
        "retire": Decimal(retired.gas_used),
        "cancel": Decimal(cancelled.gas_used),
        "fraud_proof": Decimal(_prove_overlap(park).gas_used),
    }


def _prove_overlap(park: Park) -> Receipt:
    """Issue two batches that count one reading twice, and show it."""
    proven = []
    for number in (1, 2):
        reading = Reading(1_700_000_000, 1_700_000_600, 2, 100, 45_776 + number, 2, "457.76")
        proof = [keccak(text=f"sibling {number} {depth}") for depth in range(PROOF_DEPTH)]
        root = leaf_hash(meter_hash("bench"), reading)
        for sibling in proof:
            root = hash_pair(root, sibling)
        park.issue(1_000, root)
        fields = (
            meter_hash("bench"),
            *(reading.start_s, reading.end_s, reading.digits),
            *(reading.scale, reading.kind, reading.quality),
            keccak(text=reading.text),
        )
        proven.append((root, fields, proof))
    return park.act("spare", CREDIT, "proveOverlap", proven)


# ---------------------------------------------------------------------------- settlement


def _settlement_acts(park: Park) -> dict[str, Decimal]:
    """Return the gas of settling trades of credits for money, singly and by the thousand."""
    signers = sorted((new_signer() for _ in range(PARTICIPANTS)), key=lambda each: each.address)
    accounts = [signer.address for signer in signers]
    asset = _fund(park, accounts)

    def cosign(first_seq: int) -> Receipt:
        words = _words(first_seq)
        settlement = (keccak(text=f"co {first_seq}"), asset, accounts, words, park.now_s + DAY_S)
        signatures = [
            park.signed(SETTLEMENT, "settleCosigned", settlement, signer) for signer in signers
        ]
        return park.act("operator", SETTLEMENT, "settleCosigned", [settlement, signatures])

    def propose(first_seq: int) -> tuple[Receipt, Receipt]:
        arguments = [keccak(text=f"pr {first_seq}"), asset, accounts, _words(first_seq)]
        proposed = park.act("operator", SETTLEMENT, "proposeBatch", arguments)
        park.client.request("evm_increaseTime", [2])
        finalized = park.act("spare", SETTLEMENT, "finalizeBatch", _outcome(proposed))
        return proposed, finalized

    cosign(1)  # so that accounts, counters and the first word of the bitmap are in use
    cosigned = cosign(1 + TRADES)
    propose(1 + 2 * TRADES)
    proposed, finalized = propose(1 + 3 * TRADES)
    single = {
        name: park.act("operator", SETTLEMENT, "settleOne", [kind, _trade(accounts, seq)])
        for name, kind, seq in (
            ("first", asset, 4 * TRADES + 2),
            ("settle_one", 0, 4 * TRADES + 3),
            ("settle_one_dvp", asset, 4 * TRADES + 4),
        )
    }
    return {
        "settle_1000_cosigned": Decimal(cosigned.gas_used),
        "settle_1000_cosigned_per_trade": Decimal(cosigned.gas_used) / TRADES,
        "propose_1000": Decimal(proposed.gas_used),
        "settle_1000_proposed_per_trade": Decimal(proposed.gas_used + finalized.gas_used) / TRADES,
        **{name: Decimal(receipt.gas_used) for name, receipt in single.items()},
    }


def _fund(park: Park, accounts: Sequence[str]) -> int:
    """Give every account money and credits in the escrow; return the credits' batch."""
    each = 10**9
    batch, _ = park.issue(each * PARTICIPANTS)
    park.act("admin", CURRENCY, "mint", [PARTY["admin"], 10**15])
    park.act("admin", CURRENCY, "approve", [park.places[SETTLEMENT], 10**15])
    for account in accounts:
        park.act("admin", SETTLEMENT, "deposit", [account, 10**13])
        data = abi_encode(["address"], [account])
        transfer = [PARTY["owner"], park.places[SETTLEMENT], batch, each, data]
        park.act("owner", CREDIT, "safeTransferFrom", transfer)
    return batch


def _words(first_seq: int) -> list[int]:
    """Return a thousand trades between neighbours in a ring of all participants."""
    return [
        _word(first_seq + number, number % PARTICIPANTS, (7 * number + 3) % PARTICIPANTS, number)
        for number in range(TRADES)
    ]


def _word(seq: int, buyer: int, seller: int, number: int) -> int:
    """Return a trade packed: 1.000 and more at 85.1234, rounded half up (all is positive)."""
    if buyer == seller:
        seller = (seller + 1) % PARTICIPANTS
    quantity, price = 1_000 + number, 851_234
    cents = (quantity * price + 50_000) // 100_000
    return seq << 192 | buyer << 176 | seller << 160 | quantity << 112 | price << 64 | cents


def _trade(accounts: Sequence[str], seq: int) -> tuple[Any, ...]:
    return (seq, accounts[0], accounts[1], 1_000, 851_234, 8_512)


def _outcome(proposed: Receipt) -> list[Any]:
    """Return what ``finalizeBatch`` takes, from the log of the proposal."""
    from eth_abi.abi import decode

    event = next(e for e in artifact(SETTLEMENT).abi if e.get("name") == "BatchProposed")
    kinds = [part["type"] for part in event["inputs"] if not part["indexed"]]
    names = [part["name"] for part in event["inputs"] if not part["indexed"]]
    log = proposed.logs[-1]
    values = dict(zip(names, decode(kinds, bytes.fromhex(log.data[2:])), strict=True))
    batch_id = int(log.topics[2], 16)
    return [batch_id, (values["accounts"], values["nets"], values["creditNets"])]
