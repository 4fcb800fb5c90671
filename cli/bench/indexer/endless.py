"""Blocks without end, computed and not executed: for asking whether the mirror slows down as it grows.

A block holds the acts of two *lots*. A lot is a batch: issued, moved six times, retired six times; and once a
move and twice a retirement of some older lot, anywhere in what was before, as an index is hardest to keep
for what lies scattered. Hashes link, places fit, and the credit log is numbered and sealed as the contract
does it, so that the mirror checks and finds true what it checks on any chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from tiny_keccak import keccak256

from cli.bench.indexer.patterns import EventPattern, call_pattern, event_pattern, word
from ledger.chain.contracts.events import ZERO_HASH


def some_hash(text: str) -> bytes:
    """Return a hash that only has to differ from others: what it is of is nobody's business."""
    return hashlib.blake2b(text.encode(), digest_size=32).digest()


GENESIS_S = 1_600_000_000
BLOCK_S = 12
FIRST_PERIOD_S = 1_388_534_400
PERIOD_S = 3_600
SITES = 50
ACCOUNTS = 1_000
LOTS_OF_BLOCK = 2
MOVES = 6
RETIREMENTS = 6
LATER_RETIREMENTS = 2
UNIT_KG = 100
LOT_KG = 1_000_000
GAS_USED = 90_000
KEPT_BLOCKS = 1_500
TRANSACTIONS_OF_LOT = 1 + MOVES + RETIREMENTS + 1 + LATER_RETIREMENTS
EVENTS_OF_LOT = 2 + MOVES + 2 * RETIREMENTS + 1 + 2 * LATER_RETIREMENTS
CREDIT_ADDRESS = "0x" + some_hash("endless credit")[12:].hex()
SETTLEMENT_ADDRESS = "0x" + some_hash("endless settlement")[12:].hex()
DETAILS = ("Muster GmbH, Berlin", "electricity, Scope 2", b"DE", 0, 0, bytes(32))
ZERO = "0x" + "0" * 40
_ZERO_WORD = bytes(32)
_BLOOM = "0x" + "f" * 512


def account(number: int) -> str:
    """Return one of the accounts that hold lots."""
    return _ACCOUNTS[number % ACCOUNTS]


_ACCOUNTS = ["0x" + some_hash(f"account {number}")[12:].hex() for number in range(ACCOUNTS)]


def block_hash(number: int) -> str:
    """Return the hash of a block; it begins with its number, so that nobody need remember it."""
    return f"0x{number:016x}" + some_hash(f"block {number}").hex()[:48]


def transaction_hash(number: int, index: int) -> str:
    """Return the hash of a transaction, which ends in its place.

    It begins as any hash does: an index of such is written all over, and that is what grows dear with its length.
    """
    return f"0x{some_hash(f'{number} {index}').hex()[:40]}{number:016x}{index:08x}"


def place_of(tx_hash: str) -> tuple[int, int]:
    """Return the block of a transaction, and its place there."""
    return int(tx_hash[42:58], 16), int(tx_hash[58:], 16)


def batch_of(lot: int) -> int:
    """Return the number of a lot's batch."""
    return (lot % SITES + 1) << 32 | (lot // SITES + 1)


@dataclass
class Block:
    """A block as JSON texts, and where the credit log stands after it."""

    number: int
    hash: str = ""
    hashes: list[str] = field(default_factory=list)
    transactions: list[str] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    seq: int = 0
    head: bytes = _ZERO_WORD

    def header(self, full: bool) -> str:
        """Return the block as ``eth_getBlockByNumber`` answers."""
        held = ",".join(self.transactions if full else [f'"{each}"' for each in self.hashes])
        return header_text(self.number, held)


def header_text(number: int, transactions: str) -> str:
    """Return a block's JSON with the transactions as they are to stand in it."""
    parent = block_hash(number - 1) if number else ZERO_HASH
    nothing = ZERO_HASH
    return (
        f'{{"number":"{number:#x}","hash":"{block_hash(number)}","parentHash":"{parent}",'
        f'"timestamp":"{GENESIS_S + number * BLOCK_S:#x}","baseFeePerGas":"0x7","gasLimit":"0x77359400",'
        f'"gasUsed":"0x0","miner":"{ZERO}","nonce":"0x0000000000000000","difficulty":"0x0","extraData":"0x",'
        f'"mixHash":"{nothing}","stateRoot":"{nothing}","receiptsRoot":"{nothing}","transactionsRoot":"{nothing}",'
        f'"sha3Uncles":"{nothing}","size":"0x400","uncles":[],"logsBloom":"{_BLOOM}","transactions":[{transactions}]}}'
    )


class Endless:
    """The chain, made block after block; the last ones are kept."""

    def __init__(self) -> None:
        self._patterns = _Patterns()
        self._blocks: dict[int, Block] = {}
        self._made = 0
        self._seq = 0
        self._head = _ZERO_WORD
        self._lots = 0
        self._retired: list[int] = []
        self._retirements = 0
        self._nonces: dict[str, int] = {}

    @property
    def made(self) -> int:
        """The last block that was made."""
        return self._made

    def block(self, number: int) -> Block | None:
        """Return a block; None when it is no longer kept. Block 0 has nothing of ours."""
        if number == 0:
            return Block(0)
        while self._made < number:
            self._made += 1
            self._blocks[self._made] = self._make(self._made)
            self._blocks.pop(self._made - KEPT_BLOCKS, None)
        return self._blocks.get(number)

    # -------------------------------------------------------------------- making

    def _make(self, number: int) -> Block:
        block = Block(number, block_hash(number))
        if number == 1:
            self._register(block)
        else:
            for _ in range(LOTS_OF_BLOCK):
                self._add_lot(block)
        block.seq, block.head = self._seq, self._head
        return block

    def _register(self, block: Block) -> None:
        patterns, owner = self._patterns, account(0)
        terms = [word(2**63), word(0)]
        self._send(block, owner, "0x", [self._sealed(patterns.class_registered, [word(1)], terms)])
        topics = [word(1), word(1), word(owner)]
        self._send(block, owner, "0x", [self._sealed(patterns.project_registered, topics, [])])
        for site in range(1, SITES + 1):
            pattern = event_pattern("SiteRegistered", {"code": f"endless-{site}"})
            topics = [word(site), word(1)]
            self._send(block, owner, "0x", [self._sealed(pattern, topics, [])])

    def _add_lot(self, block: Block) -> None:
        lot = self._lots
        self._lots += 1
        self._retired.append(0)
        self._issue(block, lot)
        for turn in range(MOVES):
            self._move(block, lot, lot + 7 * turn + 1)
        for _ in range(RETIREMENTS):
            self._retire(block, lot)
        older = lot * 2_654_435_761 % (lot + 1)  # Knuth's: scattered over all that is there
        self._move(block, older, lot + 500)
        for turn in range(LATER_RETIREMENTS):
            self._retire(block, (older + 7_919 * turn) % (lot + 1))

    def _issue(self, block: Block, lot: int) -> None:
        patterns, holder, batch = self._patterns, account(lot), batch_of(lot)
        start = FIRST_PERIOD_S + lot // SITES * PERIOD_S
        key = some_hash(f"key {lot}")
        claim = [
            key,
            *(
                word(value)
                for value in (1, 1, lot % SITES + 1, LOT_KG, start, start + PERIOD_S, 0, 0)
            ),
            some_hash(f"root {lot}"),
            word(LOT_KG),
            key,
            key,
            word(holder),
            word(2**40),
        ]
        issued = self._sealed(
            patterns.issued,
            [key, word(batch), word(holder)],
            [*claim, word(account(1)), word(account(2)), word(0)],
        )
        minted = patterns.moved.log(
            [word(account(1)), _ZERO_WORD, word(holder)], [word(batch), word(LOT_KG)]
        )
        data = patterns.issue.text([*claim, word(account(2))])
        self._send(block, account(1), data, [issued, minted])

    def _move(self, block: Block, lot: int, to: int) -> None:
        giver, taker, batch = account(lot), account(to), word(batch_of(lot))
        if giver == taker:
            taker = account(to + 1)
        parties = [word(giver), word(taker)]
        values = [batch, word(UNIT_KG)]
        log = self._patterns.moved.log([word(giver), *parties], values)
        self._send(block, giver, self._patterns.transfer.text([*parties, *values]), [log])

    def _retire(self, block: Block, lot: int) -> None:
        patterns, holder, batch = self._patterns, account(lot), word(batch_of(lot))
        before = self._retired[lot] * UNIT_KG
        self._retired[lot] += 1
        self._retirements += 1
        key = some_hash(f"retirement {self._retirements}")
        burnt = patterns.moved.log([word(holder), word(holder), _ZERO_WORD], [batch, word(UNIT_KG)])
        retired = self._sealed(
            patterns.retired,
            [key, batch, word(holder)],
            [word(value) for value in (self._retirements, before + 1, UNIT_KG, before + UNIT_KG)],
        )
        data = patterns.retire.text([key, batch, word(UNIT_KG)])
        self._send(block, holder, data, [burnt, retired])

    def _sealed(
        self, pattern: EventPattern, topics: Sequence[bytes], words: Sequence[bytes]
    ) -> tuple[str, str]:
        """Return topics and data of an entry of the credit log, with its number and head."""
        self._seq += 1
        record = pattern.record(topics, words)
        self._head = keccak256(self._head + word(self._seq) + record)
        return pattern.log(topics, [*words, word(self._seq), self._head])

    def _send(self, block: Block, sender: str, data: str, logs: Sequence[tuple[str, str]]) -> None:
        """Add a transaction with its receipt and logs."""
        index, number = len(block.hashes), block.number
        tx_hash, nonce = transaction_hash(number, index), self._nonces.get(sender, 0)
        self._nonces[sender] = nonce + 1
        place = (
            f'"blockHash":"{block.hash}","blockNumber":"{number:#x}",'
            f'"transactionIndex":"{index:#x}",'
        )
        ours = [
            f'{{"address":"{CREDIT_ADDRESS}","topics":[{topics}],"data":"{body}",{place}'
            f'"transactionHash":"{tx_hash}","logIndex":"{len(block.logs) + at:#x}","removed":false}}'
            for at, (topics, body) in enumerate(logs)
        ]
        block.logs += ours
        block.hashes.append(tx_hash)
        parties = f'"from":"{sender}","to":"{CREDIT_ADDRESS}",'
        block.transactions.append(
            f'{{"hash":"{tx_hash}",{place}{parties}"input":"{data}","nonce":"{nonce:#x}","value":"0x0",'
            '"gas":"0x7a1200","gasPrice":"0x3b9aca07","type":"0x0","v":"0x1b","r":"0x1","s":"0x1"}'
        )
        block.receipts.append(
            f'{{"transactionHash":"{tx_hash}",{place}{parties}"status":"0x1","gasUsed":"{GAS_USED:#x}",'
            f'"cumulativeGasUsed":"{GAS_USED * (index + 1):#x}","effectiveGasPrice":"0x3b9aca07",'
            f'"contractAddress":null,"type":"0x0","logs":[{",".join(ours)}]}}'
        )


class _Patterns:
    """Encodings of the events and calls, whose words are filled in."""

    def __init__(self) -> None:
        self.moved = event_pattern("TransferSingle", {})
        self.issued = event_pattern("Issued", {})
        self.retired = event_pattern("Retired", {"details": DETAILS})
        self.class_registered = event_pattern(
            "ClassRegistered", {"code": "endless", "methodologyHash": bytes(32)}
        )
        self.project_registered = event_pattern("ProjectRegistered", {"code": "endless"})
        self.transfer = call_pattern("safeTransferFrom", {"data": b""})
        self.retire = call_pattern("retire", {"details": DETAILS})
        self.issue = call_pattern("issue", {"signature": bytes(65)})
