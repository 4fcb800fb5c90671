"""Books with a long history of settlement, as the mirror and the jobs leave them: what a tick with nothing to do finds.

Of each hundred trades 85 were settled in batches of these books, five one by one, and ten had ended: cancelled, or
failed. Others use the same contract and number their trades as ours are: of each thousand trades they settled one that
had ended here, and for ten batches of these books they had one. Of twenty batches here one failed. The last one is
proposed, and its window open: so it is at any time where trades are settled every hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from eth_utils.crypto import keccak
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.models import (
    Base,
    BlockchainTransaction,
    ChainAttempt,
    ChainBlock,
    ChainCursor,
    ChainEvent,
    ChainInclusion,
    ChainIntent,
    SettlementBatch,
    SettlementTrade,
    VppDefinition,
    VppSettlementAccount,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.blockchain import TransactionStatus
from ledger.models.escrow import SettlementStatus
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus, TradeType
from ledger.models.vpp import VppStatus
from ledger.settlement.calls import PROPOSE, SETTLE_ONE
from ledger.settlement.tree import trades_root
from ledger.settlement.words import PackedBatch, Trade, hex_words, pack

Row = Mapping[str, Any]
Rows = dict[type[Base], list[Row]]

MARKET = "spot"
_START = datetime(2024, 1, 1, tzinfo=UTC)
_PLANT_SIDE, _MARKET_SIDE = "0x" + "1a" * 20, "0x" + "2b" * 20
_OTHERS = "0x" + "3c" * 20, "0x" + "4d" * 20
_OPERATOR = "0x" + "5e" * 20
_HUNDRED = 100
_ALONE, _ENDED = range(5), range(5, 15)
"""Which of a hundred trades were settled one by one, and which had ended; the others make a batch."""
_OTHERS_EVERY, _FAILED_EVERY = 10, 20
"""Of how many hundreds others have settled something, and in how many a batch failed."""
_QUANTITY_MILLI, _PRICE_E4 = 1_000, 500
_WORDS_OF_A_CALL = 8
_FAR = datetime(2100, 1, 1, tzinfo=UTC)
_QUIET_BLOCKS = 10_000
"""Blocks since the last act: what is looked for in the newest blocks finds nothing."""


class _Books:
    """Makes the rows of one hundred trades after the other.

    Parameters
    ----------
    chain_id, contract
        Where all of it was sent.
    """

    def __init__(self, chain_id: int, contract: str) -> None:
        self._chain_id, self._contract = chain_id, contract
        self._blocks, self._numbers = count(1), count(1)
        self.block = 0
        self.on_chain = 0
        self.rows: Rows = {}

    def hundred(self, first: int, *, is_last: bool) -> Rows:
        """Return the rows of the trades from a number on, by table."""
        self.rows = {}
        nth = first // _HUNDRED
        for place in _ALONE:
            self._trade(first + place, TradeStatus.EXECUTED)
            self._settle_one(first + place)
        for place in _ENDED:
            ended = TradeStatus.CANCELLED if place % 2 else TradeStatus.FAILED
            self._trade(first + place, ended)
        together = range(first + _ENDED.stop, first + _HUNDRED)
        for number in together:
            self._trade(number, TradeStatus.PENDING if is_last else TradeStatus.EXECUTED)
        state = BatchState.PROPOSED if is_last else BatchState.FINALIZED
        self._batch(together, (_PLANT_SIDE, _MARKET_SIDE), state)
        if nth % _OTHERS_EVERY == 0:
            self._batch(together, _OTHERS, None)
            self._alone(first + _ENDED.start, _OTHERS, None)
        if nth % _FAILED_EVERY == 0:
            self._fail(first)
        return self.rows

    def _add(self, model: type[Base], **values: Any) -> None:
        self.rows.setdefault(model, []).append(values)

    def _trade(self, number: int, status: TradeStatus) -> None:
        moment = _START + timedelta(minutes=number)
        self._add(
            VppTradingRecord,
            id=number,
            vpp_id=1,
            trade_type=TradeType.SELL,
            quantity=Decimal(1),
            price=Decimal("0.05"),
            total_value=Decimal("0.05"),
            market=MARKET,
            status=status,
            trade_time=moment,
            settlement_time=moment if status is TradeStatus.EXECUTED else None,
        )

    def _next_block(self) -> datetime:
        self.block = next(self._blocks)
        at = _START + timedelta(minutes=self.block)
        self._add(
            ChainBlock,
            number=self.block,
            hash=_hash("block", self.block),
            parent_hash=_hash("block", self.block - 1),
            block_time=at,
        )
        return at

    def _settle_one(self, number: int) -> None:
        """Settle a trade by itself: intent, attempt, transaction and what the mirror read of it."""
        said = {
            "seq": str(number),
            "buyer": _MARKET_SIDE,
            "seller": _PLANT_SIDE,
            "quantity": str(_QUANTITY_MILLI),
            "price": str(_PRICE_E4),
            "cents": "5",
        }
        key = _hash("alone", number)
        self._alone(number, (_MARKET_SIDE, _PLANT_SIDE), key)
        self._sent(key, SETTLE_ONE, "settleOne", {"asset": "0", "trade": said})

    def _alone(self, number: int, parties: Sequence[str], key: str | None) -> None:
        at = self._next_block()
        self._event("TradeSettled", {"seq": str(number)})
        self._add(
            SettlementTrade,
            block_number=self.block,
            log_index=0,
            seq=Decimal(number),
            buyer=parties[0],
            seller=parties[1],
            asset=0,
            quantity=_QUANTITY_MILLI,
            price_e4=_PRICE_E4,
            cents=5,
            fee_cents=Decimal(0),
            fee_collector=_OPERATOR,
            tx_hash=_hash("sent", key or number),
            settled_at=at,
        )

    def _sent(self, key: str, kind: str, function: str, parameters: Row) -> None:
        """Write a confirmed intent, included in the block of now."""
        at, tx_hash, nonce = (
            _START + timedelta(minutes=self.block),
            _hash("sent", key),
            next(self._numbers),
        )
        call_data = "0x" + "ab" * 32 * _WORDS_OF_A_CALL
        self._add(
            ChainIntent,
            key=key,
            chain_id=self._chain_id,
            kind=kind,
            contract_address=self._contract,
            function_name=function,
            parameters=parameters,
            call_data=call_data,
            sender_address=_OPERATOR,
            nonce=nonce,
            state=IntentState.CONFIRMED,
            tx_hash=tx_hash,
            block_number=self.block,
            created_at=at,
            submitted_at=at,
            confirmed_at=at,
        )
        self._add(
            ChainAttempt,
            tx_hash=tx_hash,
            intent_key=key,
            ordinal=1,
            nonce=nonce,
            raw_transaction=call_data,
            max_fee_wei=Decimal(10**9),
            priority_fee_wei=Decimal(10**9),
            created_at=at,
            broadcast_at=at,
        )
        self._add(
            BlockchainTransaction,
            tx_hash=tx_hash,
            contract_address=self._contract,
            function_name=function,
            parameters=parameters,
            status=TransactionStatus.CONFIRMED,
            created_at=at,
            confirmed_at=at,
        )
        self._add(
            ChainInclusion,
            tx_hash=tx_hash,
            block_number=self.block,
            block_hash=_hash("block", self.block),
            tx_index=0,
            sender=_OPERATOR,
            nonce=nonce,
            intent_key=key,
        )

    def _batch(
        self, numbers: Sequence[int], parties: tuple[str, str], state: BatchState | None
    ) -> None:
        """Propose a batch of trades, and finalise it unless it is to be proposed only; None: one of others."""
        seller, buyer = parties
        packed = pack(
            Trade(number, buyer, seller, _QUANTITY_MILLI, _PRICE_E4) for number in numbers
        )
        self.on_chain += 1
        key, at = _hash("batch", self.on_chain), self._next_block()
        root, proposed_block = trades_root(key, packed.accounts, packed.words), self.block
        words = [str(word) for word in packed.words]
        self._event("BatchProposed", {"key": key, "accounts": packed.accounts, "words": words})
        if state is not None:
            self._sent(key, PROPOSE, "proposeBatch", {"key": key, "words": words})
        is_open = state is BatchState.PROPOSED
        if not is_open:
            self._next_block()
            self._event("BatchFinalized", {"key": key, "batch_id": str(self.on_chain)})
        ends_at = _FAR if is_open else at
        self._add(
            SettlementBatch,
            batch_id=self.on_chain,
            key=key,
            asset=0,
            trade_count=len(words),
            trades_root=root,
            accounts=list(packed.accounts),
            nets=[str(net) for net in packed.nets],
            credit_nets=[],
            finalizable_at_s=int(ends_at.timestamp()),
            status=SettlementStatus.PROPOSED if is_open else SettlementStatus.FINALIZED,
            fee_cents=None if is_open else Decimal(0),
            fee_collector=None if is_open else _OPERATOR,
            ended_block=None if is_open else self.block,
            block_number=proposed_block,
            log_index=0,
            tx_hash=_hash("sent", key),
            proposed_at=at,
        )
        if state is not None:
            row = self._row(key, packed, root, state, (proposed_block, ends_at))
            for number, word in zip(numbers, hex_words(packed.words), strict=True):
                self._add(VppSettlementItem, batch_id=row, trade_id=number, word=word)

    def _event(self, name: str, args: Row) -> None:
        self._add(
            ChainEvent,
            block_number=self.block,
            log_index=0,
            tx_hash=_hash("event", self.block),
            contract_address=self._contract,
            event_name=name,
            args=args,
        )

    def _fail(self, number: int) -> None:
        """Write a batch that failed here, and never came to the chain."""
        packed = pack([Trade(number, _MARKET_SIDE, _PLANT_SIDE, _QUANTITY_MILLI, _PRICE_E4)])
        key = _hash("failed", number)
        root = trades_root(key, packed.accounts, packed.words)
        self._row(key, packed, root, BatchState.FAILED, None)

    def _row(
        self,
        key: str,
        packed: PackedBatch,
        root: str,
        state: BatchState,
        proposed: tuple[int, datetime] | None,
    ) -> int:
        at, row = _START + timedelta(minutes=self.block), next(self._numbers)
        block, ends_at = proposed or (None, None)
        self._add(
            VppSettlementBatch,
            id=row,
            batch_key=key,
            market=MARKET,
            state=state,
            trade_count=len(packed.words),
            accounts=list(packed.accounts),
            nets=[str(net) for net in packed.nets],
            trades_root=root,
            netted_from=at,
            chain_batch_id=None if block is None else self.on_chain,
            finalizable_at=ends_at,
            proposed_block=block,
            finalized_block=self.block if state is BatchState.FINALIZED else None,
            error="refused" if block is None else None,
            created_at=at,
            updated_at=at,
        )
        return row


def one_more(session: Session, **values: object) -> None:
    """Write a trade like the others but for some values; a number of its own if none is given."""
    like = session.scalars(select(VppTradingRecord).limit(1)).one()
    columns = (column.key for column in VppTradingRecord.__table__.c if column.key != "id")
    same = {key: getattr(like, key) for key in columns}
    session.execute(insert(VppTradingRecord), [{**same, **values}])


def let_one_wait(db: Database) -> None:
    """Write a pending trade of an hour that is not over, as there is at any time where trades come as they are made."""
    waits = {"status": TradeStatus.PENDING, "trade_time": _FAR, "settlement_time": None}
    db.run(lambda session: one_more(session, **waits))


def fill(db: Database, trades: int, chain_id: int, contract: str) -> None:
    """Write the history of about so many trades, a plant's on one market, one a minute."""
    books = _Books(chain_id, contract.lower())
    with db.write() as session:
        plant = {
            "id": 1,
            "vpp_id": "bench",
            "name": "Bench",
            "total_capacity": Decimal(1),
            "status": VppStatus.ACTIVE,
        }
        session.execute(insert(VppDefinition), [plant])
        accounts = ((1, None, _PLANT_SIDE), (None, MARKET, _MARKET_SIDE))
        session.execute(
            insert(VppSettlementAccount),
            [
                {"vpp_id": vpp_id, "market": market, "address": address, "created_at": _START}
                for vpp_id, market, address in accounts
            ],
        )
        for rows in _thousands(books, trades):
            for model in _ORDER:
                if rows.get(model):
                    session.execute(insert(model), rows[model])
        head = books.block + _QUIET_BLOCKS
        session.execute(
            insert(ChainCursor),
            [
                {
                    "network": "bench",
                    "chain_id": chain_id,
                    "genesis_hash": _hash("block", 0),
                    "block_number": head,
                    "block_hash": _hash("block", head),
                    "final_number": head,
                    "updated_at": _START,
                }
            ],
        )


_ORDER: tuple[type[Base], ...] = (
    VppTradingRecord,
    ChainBlock,
    ChainIntent,
    ChainAttempt,
    BlockchainTransaction,
    ChainInclusion,
    ChainEvent,
    SettlementBatch,
    SettlementTrade,
    VppSettlementBatch,
    VppSettlementItem,
)
"""Whose rows others refer to goes in before them."""


def _thousands(books: _Books, trades: int) -> Iterator[Rows]:
    """Yield the rows of a thousand trades at a time, or so."""
    gathered: Rows = {}
    for nth, first in enumerate(range(1, trades - _HUNDRED + 2, _HUNDRED), 1):
        is_last = first + 2 * _HUNDRED > trades + 1
        for model, rows in books.hundred(first, is_last=is_last).items():
            gathered.setdefault(model, []).extend(rows)
        if nth % 10 == 0:
            yield gathered
            gathered = {}
    yield gathered


def _hash(*what: object) -> str:
    return "0x" + keccak(text=" ".join(map(str, what))).hex()
