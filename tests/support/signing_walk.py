"""What a walk of kept books has signed by more parties than two: a second plant, files that travel, and who refuses.

The market and two plants are parties of a batch. A party whose key is elsewhere signs a file, which may come back when
the books were restored, when the batch has ended, or never; one that refuses lets it run out. The plants change their
accounts, and one may get that which the other had.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ledger.chain.keys.signers import ANVIL_ROLES, anvil_address, anvil_signer
from ledger.models import ChainIntent, SettlementBatch, VppSettlementBatch, VppTradingRecord
from ledger.models.sending import UNDER_WAY
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus, TradeType
from ledger.settings.settling import Way
from ledger.settlement import cosign, cosign_files
from ledger.settlement.batches import plan_round
from ledger.settlement.pending import Scope
from tests.support.chain import PARTIES
from tests.support.credit_walk import Differs, Nothing
from tests.support.escrow_walk import EscrowWalk
from tests.support.money_walk import FINALITY

PLANTS = ("plant", "second")
MORE = """
[[vpp]]
code = "second"
name = "Second"
total_capacity = "100"
account = "anvil:2"
"""
ACCOUNTS = ((4, 2), (5, 2), (4, 5), (5, 4))
"""Anvil's numbers of the accounts of both plants, as site files have them."""
NUMBERS = {PARTIES[name]: number for name, number in ANVIL_ROLES.items()}
RAN_OUT = "the signatures held until"


class SigningWalk(EscrowWalk):
    """The part of a walk of kept books that is about signatures."""

    netted_hours = (6, 10**6)
    accounts = ACCOUNTS[0]
    refusing: set[str]
    orders: list[Path]
    """Files of batches that were written for their parties, and may come back."""
    had: dict[int, set[str]]
    """The accounts that plants had, by the number of their row."""
    had_by_market: dict[str, set[str]]
    """The same of markets, by name."""

    def trader(self) -> str:
        return str(self.chance.choice(PLANTS))

    def refuse_to_sign(self) -> str:
        """A party takes its key away, while all shall sign what is pending; or it brings it again."""
        if self.refusing:
            name = self.refusing.pop()
            self.open(self.park.db)
            return f"{name[:10]} signs again"
        party = anvil_address(self.chance.choice(self.accounts))
        self.refusing.add(self.chance.choice((party, PARTIES["market"])))
        self.open(self.park.db)
        made = plan_round(self.park.chain, self._soon_over())
        with suppress(Nothing):
            self.write_order()
        return f"{next(iter(self.refusing))[:10]} refuses, {len(made.batches)} batches"

    def _soon_over(self) -> Scope:
        until = datetime.fromtimestamp(self.now_s() + 1800, UTC)
        return Scope(way=Way.COSIGNED, signed_until=until)

    def let_run_out(self) -> str:
        """Nobody signs what waits, until it is too late by a final block; its trades are planned anew."""
        now = datetime.fromtimestamp(self.now_s(), UTC)
        with self.park.db.read() as session:
            keys = cosign.waiting_for_signatures(session)
        soon = VppSettlementBatch.signed_until < now + timedelta(hours=1)
        self._some(self._rows(VppSettlementBatch, VppSettlementBatch.batch_key.in_(keys), soon))
        self.node.pass_window()
        self.node.mine(FINALITY + 1)
        self.park.mirror.run_until("head")
        made = plan_round(self.park.chain, Scope())
        return f"{len(keys)} waited, {len(made.batches)} batches now"

    def write_order(self) -> str:
        """A file of a batch is written for those of its parties whose keys are elsewhere."""
        with self.park.db.read() as session:
            keys = cosign.waiting_for_signatures(session)
            order = cosign.order_of(session, self.park.chain, self._some(list(keys)), "tEUR")
        path = self.on.folder / f"order-{len(self.orders)}.json"
        path.write_text(cosign_files.text(order, {}), encoding="utf-8")
        self.orders.append(path)
        return f"{order.settlement.key[:10]}, {len(order.settlement.accounts)} parties"

    def read_order(self) -> str:
        """Some parties sign such a file, away from the books, and it is taken in, whatever has come of its batch."""
        path = self._some(self.orders)
        order, signatures = cosign_files.read(path)
        parties = order.settlement.accounts
        for account in self.chance.sample(parties, self.chance.randint(1, len(parties))):
            if account not in self.refusing:
                signature = anvil_signer(NUMBERS[account]).sign_typed_data(order.message)
                signatures[account] = "0x" + signature.hex()
        path.write_text(cosign_files.text(order, signatures), encoding="utf-8")
        key, signed, missing = cosign.take_file(self.park.chain, path, "tEUR", self.now_s())
        return f"{key[:10]}, {len(signed)} signed, {len(missing)} missing"

    def heal_signing(self) -> None:
        """Who refuses signs again, perhaps when what waits has run out; or never, and the operator proposes."""
        if self.refusing and self.chance.random() < 0.5:
            self.node.pass_window()
        if self.chance.random() < 0.6 or any(map(self._has_to_send, self.refusing)):
            self.refusing.clear()
            self.open(self.park.db)
        self.done["walks in which a party never signs again"] += bool(self.refusing)

    def _has_to_send(self, account: str) -> bool:
        """Whether the books wait for an account that sends something itself, or will."""
        of_it = ChainIntent.sender_address == account
        return account in (PARTIES["issuer"], PARTIES["owner"]) or bool(
            self._rows(ChainIntent, of_it, ChainIntent.state.in_(UNDER_WAY))
        )

    def judge_signing(self) -> None:
        """What the chain settled of a plant is with an account that it had, and by the figures of the books."""
        settled = {item.seq: item for batch in self.settled_trades() for item in batch}
        executed = VppTradingRecord.status == TradeStatus.EXECUTED
        for row in self._rows(VppTradingRecord, executed):
            item = settled[row.id]
            sides = [item.buyer, item.seller]
            plant = sides.pop(0 if row.trade_type is TradeType.BUY else 1)
            figures = int(row.quantity * 1000), int(row.price * 10_000)
            if (
                plant not in self.had[row.vpp_id]
                or sides[0] not in self.had_by_market[row.market]
                or figures != (item.quantity_milli, item.price_e4)
            ):
                raise Differs(f"trade {row.id} is executed, and the chain has {item}")
        ours = {row.batch_key for row in self._rows(VppSettlementBatch)}
        for batch in self._rows(SettlementBatch, SettlementBatch.cosigned_digest.is_not(None)):
            if len(batch.accounts) > 2 and batch.key in ours:
                self.done["signed by three or more"] += 1
        failed = VppSettlementBatch.state == BatchState.FAILED
        for lost in self._rows(VppSettlementBatch, failed):
            if RAN_OUT in (lost.error or ""):
                self.done["signatures that ran out"] += 1
