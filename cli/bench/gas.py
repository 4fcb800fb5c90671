"""The gas of the contracts' acts, taken from receipts.

Steady state: accounts that act have acted before, a site has a batch, and a settlement's accounts
have balances. New is what every such act makes new: a batch, a holder, four words of the bitmap.
The figures that they are held against are those of the prototypes that the design started from.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from cli.bench.park import CURRENCY, GAS_LIMIT, LIBRARIES, PARTY, Park
from cli.bench.report import Result, lower_is_better, share_of_limit
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.keys.signers import new_signer
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import Receipt
from ledger.reductions.evidence import hash_pair, leaf_hash, meter_hash
from ledger.reductions.runs import Reading
from ledger.units import DAY_S

CODE_BYTES_MAX = 24_576  # EIP-170
PARTICIPANTS = 20
TRADES = 1000
PROOF_DEPTH = 14

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
    with closing(ChainClient(rpc_url)) as client:
        park = Park(client)
        gas = {**_credit_acts(park), **_settlement_acts(park)}
        sizes = {name: len(client.code(park.places[name])) // 2 - 1 for name in park.places}
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
