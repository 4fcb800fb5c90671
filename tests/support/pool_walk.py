"""What a walk of kept books has of the node's pool: what waits there the books may know, have forgotten, or never knew.

Blocks are late, and what jobs and people send waits. Meanwhile somebody uses one of our accounts in a wallet, which
takes a nonce or the next one, the pool loses what it had, or the books are restored and have forgotten what waits. Then
a person displaces some of it, as is said to do: the lowest of an account as a rule, and now and then whatever else is
there, which is refused. A miner may have had it all the same. What a wallet left behind a hole waits until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import select

from ledger.chain.keys.policy import SignerPolicy
from ledger.chain.node.client import RpcError
from ledger.chain.sending import sender
from ledger.chain.sending.displaced import OfAccount
from ledger.chain.sending.intents import FILL, INSTEAD_OF
from ledger.chain.sending.unknown import FILLED_MAX
from ledger.db import Database
from ledger.models import AuditLog, ChainAttempt, ChainIntent
from ledger.models.sending import IntentState
from tests.support.chain import PARTIES
from tests.support.credit_walk import Differs, Nothing
from tests.support.dying_walk import DyingWalk
from tests.support.sending import GWEI
from tests.support.stages import Stage

A_REASON = "a walk"
USED = ("owner", "buyer", "market", "issuer", "operator")
"""Whose accounts somebody also has in a wallet."""
SENDING = (
    "submit",
    "finalise",
    "send_issuances",
    "send_cancellations",
    "move",
    "ask_by_name",
    "pay_out",
    "pay_out",
    "tend",
    "others_work",
)
"""What may be done while blocks are late: none of these waits for one."""
GAPS = (1, 1, 2, FILLED_MAX + 6)
"""So many nonces are left out before what a wallet sends by a slip."""
WRONG = 0.3
"""So often something else is displaced than what should be."""


class PoolWalk(DyingWalk):
    """The part of a walk of kept books that is about what waits."""

    saved: Any
    blocks_are_late = False

    def __init__(self, db: Database, on: Stage, seed: int) -> None:
        self.named_for_it: dict[str, str] = {}
        """What was to be displaced, by its hash: its bytes, as a miner may have them."""
        super().__init__(db, on, seed)

    def save(self) -> None:
        """Take a backup."""
        raise NotImplementedError

    def put_back(self) -> str:
        """Restore it."""
        raise NotImplementedError

    # ------------------------------------------------------------------ the pool

    @contextmanager
    def _late_blocks(self) -> Iterator[None]:
        """Have what is sent wait in the pool; in the end it is mined, but for what waits behind a hole."""
        request = self.node.client.request
        request("evm_setAutomine", [False])
        self.blocks_are_late = True
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sender, "_INCLUSION_SECONDS_MAX", 0.5)
                yield
        finally:
            self.blocks_are_late = False
            while request("txpool_status", [])["pending"] != "0x0":
                request("anvil_mine", ["0x1"])
            request("evm_setAutomine", [True])

    def _in_pool(self) -> list[dict[str, Any]]:
        """Return what waits of accounts that the books send from, and wallets."""
        content = self.node.client.request("txpool_content", [])
        found = [
            item
            for kind in ("pending", "queued")
            for items in content[kind].values()
            for item in items.values()
        ]
        ours = {PARTIES[name] for name in USED}
        those = [item for item in found if item["from"] in ours]
        return sorted(those, key=lambda item: (item["from"], int(item["nonce"], 16)))

    def _by_wallet(self, account: str, nonce: int, call: dict[str, str], gwei: int) -> str:
        fees = {"maxFeePerGas": hex(gwei * GWEI), "maxPriorityFeePerGas": hex(gwei * GWEI)}
        message = {"from": account, "nonce": hex(nonce), "gas": hex(3_000_000), **fees, **call}
        return str(self.node.client.request("eth_sendTransaction", [message]))

    def _raw(self, tx_hash: str) -> str:
        return str(self.node.client.request("eth_getRawTransactionByHash", [tx_hash]))

    def _is_mined(self, tx_hash: str) -> bool:
        return self.node.client.receipt(tx_hash) is not None

    # ------------------------------------------------------------------ what happens there

    def wait_in_pool(self) -> str:
        """Blocks are late; what is sent waits, and is meddled with, or forgotten."""
        if self.saved is None or self.chance.random() < 0.6:
            self.save()
        with self._late_blocks():
            sent = [
                name
                for name in self.chance.sample(SENDING, 7)
                if self._do(name, getattr(self, name))
            ]
            waiting = len(self._in_pool())
            if not waiting:
                raise Nothing
            for meddle in (self.lose, self.take_nonce, self.use_wallet):
                if self.chance.random() < 0.3:
                    self._do(meddle.__name__, meddle)
            if self.chance.random() < 0.6:
                self._do("put_back", self.put_back)
            else:
                self.look_into_pool()
        return f"{waiting} waited, {', '.join(sent)}"

    def lose(self) -> str:
        """The pool loses a transaction, and has what waits behind it still."""
        lost = self._some(self._in_pool())
        behind = [
            self._raw(item["hash"])
            for item in self._in_pool()
            if item["from"] == lost["from"] and int(item["nonce"], 16) > int(lost["nonce"], 16)
        ]
        self.node.client.request("anvil_dropTransaction", [lost["hash"]])
        for raw in behind:
            with suppress(RpcError):  # kept
                self.node.client.send_raw(raw)
        return f"{lost['hash'][:10]} of {lost['from'][:10]}, {len(behind)} behind it"

    def take_nonce(self) -> str:
        """Somebody speeds a transaction up in a wallet, has it do nothing, or pays instead of it."""
        item = self._some(self._in_pool())
        kind = self.chance.choice(("the same", "nothing", "a payment"))
        call = {
            "the same": {"to": item["to"], "data": item["input"]},
            "nothing": {"to": item["from"]},
            "a payment": {"to": PARTIES["spare"], "value": "0x5"},
        }[kind]
        gwei = int(item["maxFeePerGas"], 16) * 2 // GWEI + 1
        tx_hash = self._by_wallet(item["from"], int(item["nonce"], 16), call, gwei)
        return f"{kind}, {tx_hash[:10]} for {item['hash'][:10]} of {item['from'][:10]}"

    def use_wallet(self) -> str:
        """Somebody sends from an account of ours: pays, or makes a call that the books have planned."""
        account = PARTIES[self.chance.choice(USED)]
        nonce = self.node.client.transaction_count(account, "pending")
        if not self.blocks_are_late or self.chance.random() < 0.3:
            nonce += self.chance.choice(GAPS)
        planned = self._rows(
            ChainIntent,
            ChainIntent.state == IntentState.PLANNED,
            ChainIntent.sender_address == account,
        )
        call = {"to": PARTIES["spare"], "value": "0x5"}
        if planned and self.chance.random() < 0.5:
            row = self.chance.choice(planned)
            call = {"to": row.contract_address, "data": row.call_data}
        try:
            tx_hash = self._by_wallet(account, nonce, call, self.chance.randint(3, 30))
        except RpcError as error:  # a wallet has that nonce already
            return f"{account[:10]}, nonce {nonce}: {error.rpc_message}"
        return f"{tx_hash[:10]} of {account[:10]}, nonce {nonce}, to {call['to'][:10]}"

    def look_into_pool(self) -> None:
        """A person sees what waits, and displaces some of it; a miner may have had that all the same."""
        for _ in range(self.chance.randint(0, 3)):
            self._do("displace", self.displace)
            if self.blocks_are_late and self.chance.random() < 0.2:
                self._do("mine_former", self.mine_former)
            if self.chance.random() < 0.2:
                self.node.mine(1)

    def mine_former(self) -> str:
        """What was displaced is mined all the same, and what should displace it is not."""
        former = [key for key in self.named_for_it if not self._is_mined(key)]
        rows = [row for row in self._displacing() if row.parameters[INSTEAD_OF] in former]
        row = self._some([row for row in rows if row.state is IntentState.SUBMITTED])
        self.node.client.request("anvil_dropTransaction", [row.tx_hash])
        self.node.client.send_raw(self.named_for_it[row.parameters[INSTEAD_OF]])
        self.node.mine(1)
        return f"{row.parameters[INSTEAD_OF][:10]}, not {str(row.tx_hash)[:10]}"

    # ------------------------------------------------------------------ displacing

    def _contracts(self) -> dict[str, str]:
        return dict(SignerPolicy.with_limits(self.node.deployment).contracts)

    def _unknown(self) -> Sequence[OfAccount]:
        chain = self.park.chain
        return chain.sender.pending(chain.keyring.addresses, self._contracts())

    def displace(self) -> str:
        """What the books do not know, a person displaces: the lowest of an account, or something else by mistake."""
        found = [account.waiting for account in self._unknown() if account.waiting]
        if self.chance.random() < WRONG:
            attempts = self._rows(ChainAttempt)
            every = [row.offered.info.hash for waiting in found for row in waiting]
            those = self._some([[*self.named_for_it], every, [row.tx_hash for row in attempts]])
            return self._displace(self._some(those))
        return self._displace(self._some([waiting[0] for waiting in found]).offered.info.hash)

    def _displace(self, tx_hash: str) -> str:
        displace = self.park.chain.sender.displace
        if self.chance.random() < 0.2:
            displace(tx_hash, A_REASON, self._contracts(), keep=False)
            return f"{tx_hash[:10]} would be"
        self.named_for_it.setdefault(tx_hash, self._raw(tx_hash))
        row, sent = displace(tx_hash, A_REASON, self._contracts())
        return f"{tx_hash[:10]}, {row and row.function}, by {sent[:10]}"

    def displace_what_is_left(self) -> str:
        """All that waits is displaced, from the lowest nonce of each account on."""
        said = []
        for account in self._unknown():
            for row in account.waiting:
                tx_hash = row.offered.info.hash
                if self._do("displace", lambda tx_hash=tx_hash: self._displace(tx_hash)):
                    said.append(tx_hash[:10])
        if not said:
            raise Nothing
        return ", ".join(said)

    def _displacing(self) -> list[ChainIntent]:
        rows = self._rows(ChainIntent, ChainIntent.kind == FILL)
        return [row for row in rows if INSTEAD_OF in row.parameters]

    # ------------------------------------------------------------------ the end

    def _left(self) -> list[str]:
        return [*super()._left(), *self._in_the_way()]

    def _in_the_way(self) -> list[str]:
        """Return what the books do not know and what is in the way of an account that has a key here."""
        keys = self.park.chain.keyring.addresses
        found = []
        for account in self._unknown():
            next_nonce = self.node.client.transaction_count(account.address, "latest")
            found += [
                f"{row.offered.info.hash[:10]} waits, {row.offered.info.nonce}, {next_nonce} next"
                for row in account.waiting
                if row.offered.info.nonce <= next_nonce + FILLED_MAX and account.address in keys
            ]
            found += [f"{account.address} has {account.unseen} unseen"] * bool(account.unseen)
        return found

    def judge_pool(self) -> None:
        """One of the two was mined, which the books know; and what was displaced has its line in the audit log."""
        with self.park.db.read() as session:
            query = select(AuditLog.resource).where(AuditLog.action == "sending.displace")
            noted = set(session.scalars(query))
        for row in self._displacing():
            former, mine = self._is_mined(row.parameters[INSTEAD_OF]), self._is_mined(row.tx_hash)
            name = f"{row.tx_hash} instead of {row.parameters[INSTEAD_OF]}"
            if mine != (row.state is IntentState.CONFIRMED) or (former and mine):
                raise Differs(f"{name} is {row.state.value}, and mined are {former}, {mine}")
            if f"chain_intents/{row.key}" not in noted:
                raise Differs(f"{name} is in no audit log")
            self.done["displaced"] += mine
            self.done["displaced in vain"] += former
