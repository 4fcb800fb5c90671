"""What the contracts hold, by their rules written down a second time: it shares no code with them or the mirror.

The model knows sums and serials. A history keeps a copy of it for every block, by the block's hash: so a
reorganisation is a look into the past, and a mirror can be compared with it wherever it stands.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Base

HOLDERS = ("owner", "buyer", "market")
BUFFER, ESCROW = "the buffer", "the escrow"
"""What the two contracts themselves hold."""

BATCH_KG = ("issued_kg", "retired_kg", "cancelled_kg", "deficit_kg")


@dataclass
class Proposal:
    """A settlement batch of one trade of energy; ``seq`` is the trade's number."""

    buyer: str
    seller: str
    cents: int
    finalizable_at: int
    status: str = "proposed"
    seq: int = 0
    disputer: str = ""
    timeout_at: int = 0
    window_left: int = 0
    disputed_by: set[str] = field(default_factory=set)

    @property
    def open(self) -> bool:
        return self.status in ("proposed", "disputed")


@dataclass
class Model:
    """The state of both contracts after a block."""

    issued: dict[int, int] = field(default_factory=dict)
    held: dict[tuple[int, str], int] = field(default_factory=lambda: defaultdict(int))
    fates: dict[int, dict[int, str]] = field(default_factory=dict)
    """What became of every single kilogram, by batch and serial."""
    status: dict[int, str] = field(default_factory=dict)
    cancelled: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Kilograms that holders have cancelled, by batch: what goes with a batch that is invalidated is not among them."""
    deficits: dict[int, int] = field(default_factory=dict)
    invalidation_at: dict[int, int] = field(default_factory=dict)
    """When a proposed invalidation may be executed, by batch."""
    buffer_bps: int = 0
    nonces: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    money: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    credits: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    """Credits in escrow, by account and batch."""
    proposals: dict[int, Proposal] = field(default_factory=dict)
    paused: bool = False
    days: int = 0
    """Days of the site that issuances have taken."""

    def copy(self) -> Model:
        """Return the state as it is now."""
        return copy.deepcopy(self)

    # ------------------------------------------------------------------ questions

    def moves(self, batch: int) -> bool:
        """Whether units of a batch go from hand to hand."""
        return self.status[batch] == "active" and not self.paused

    def may_take(self, batch: int, holder: str, kg: int) -> bool:
        """Whether a holder may retire or cancel so much: a pause does not keep it from that."""
        return self.held[batch, holder] >= kg and self.status[batch] == "active"

    def may_move(self, batch: int, giver: str, kg: int) -> bool:
        """Whether a holder may give so much."""
        return self.held[batch, giver] >= kg and self.moves(batch)

    def retired(self, batch: int) -> int:
        """Return how many kilograms of a batch are retired."""
        return sum(fate == "retired" for fate in self.fates[batch].values())

    # -------------------------------------------------------------------- changes

    def issue(self, batch: int, kg: int) -> None:
        buffered = kg * self.buffer_bps // 10_000
        self.issued[batch] = kg
        self.status[batch] = "active"
        self.held[batch, BUFFER] += buffered
        self.held[batch, "owner"] += kg - buffered
        self.fates[batch] = dict.fromkeys(range(1, kg + 1), "active")

    def move(self, batch: int, giver: str, taker: str, kg: int) -> None:
        self.held[batch, giver] -= kg
        self.held[batch, taker] += kg

    def take(self, batch: int, holder: str, kg: int, fate: str) -> None:
        """Retire the lowest active serials, or cancel the highest."""
        self.held[batch, holder] -= kg
        serials = [serial for serial, now in self.fates[batch].items() if now == "active"]
        chosen = serials[:kg] if fate == "retired" else serials[len(serials) - kg :]
        self.fates[batch].update(dict.fromkeys(chosen, fate))
        if fate == "cancelled":
            self.cancelled[batch] += kg

    def invalidate(self, batch: int) -> None:
        fates = self.fates[batch]
        self.status[batch] = "cancelled"
        self.deficits[batch] = self.retired(batch)
        fates.update({serial: "cancelled" for serial, fate in fates.items() if fate == "active"})

    # ----------------------------------------------------------------- comparison

    def differences(self, session: Session, places: Mapping[str, str]) -> list[str]:
        """Return what the derived tables of a mirror say otherwise, a line each.

        Parameters
        ----------
        places
            Addresses by the names that the model uses.
        """
        checks: dict[str, tuple[Any, Any]] = {
            "credit_holdings": (
                {
                    (b, h): kg
                    for b, h, kg in _rows(
                        session, "credit_holdings", "batch_id", "holder", "amount_kg"
                    )
                },
                {(b, places[h]): kg for (b, h), kg in self.held.items() if kg},
            ),
            "settlement_balances": (
                {
                    (account, asset): units
                    for account, asset, units in _rows(
                        session, "settlement_balances", "account", "asset", "balance"
                    )
                },
                {(places[name], 0): units for name, units in self.money.items() if units}
                | {(places[name], b): kg for (name, b), kg in self.credits.items() if kg},
            ),
            "credit_batches": (
                {
                    batch: (state.value, *kg)
                    for batch, state, *kg in _rows(
                        session, "credit_batches", "batch_id", "status", *BATCH_KG
                    )
                },
                {
                    batch: (
                        state,
                        self.issued[batch],
                        self.retired(batch),
                        self.cancelled[batch],
                        self.deficits.get(batch),
                    )
                    for batch, state in self.status.items()
                },
            ),
            "settlement_batches": (
                {
                    number: (state.value, at)
                    for number, state, at in _rows(
                        session, "settlement_batches", "batch_id", "status", "finalizable_at_s"
                    )
                },
                {
                    number: (item.status, item.finalizable_at)
                    for number, item in self.proposals.items()
                },
            ),
            "credit_serials": (_fates(session), self.fates),
        }
        return [
            f"{table}: the mirror has {mirrored}, the model {expected}"
            for table, (mirrored, expected) in checks.items()
            if mirrored != expected
        ]


def _fates(session: Session) -> dict[int, dict[int, str]]:
    status = dict(_rows(session, "carbon_credits", "credit_id", "status"))
    fates: dict[int, dict[int, str]] = defaultdict(dict)
    columns = ("credit_id", "batch_id", "first_serial", "last_serial")
    for credit_id, batch, first, last in _rows(session, "credit_serials", *columns):
        for serial in range(first, last + 1):
            twice = serial in fates[batch]
            fates[batch][serial] = "in two rows" if twice else status[credit_id].value
    return dict(fates)


def _rows(session: Session, name: str, *columns: str) -> list[tuple[Any, ...]]:
    table = Base.metadata.tables[name]
    query = select(*(table.c[column] for column in columns))
    return [tuple(row) for row in session.execute(query)]
