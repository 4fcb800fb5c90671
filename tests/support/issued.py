"""Books whose rows say what was planned and issued, written as a test wants them; days are numbers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.models import (
    ChainIntent,
    Correction,
    CorrectionCarry,
    CreditBatch,
    CreditSite,
    Issuance,
    Project,
)
from ledger.models.corrections import CorrectionCause, CorrectionState
from ledger.models.credits import BatchStatus
from ledger.models.issuance import IssuanceState
from ledger.models.sending import IntentState
from ledger.readings.periods.carry import unpaid_corrections
from ledger.readings.periods.period import load_period
from ledger.reductions.zones import legal_day_start_s, zone
from tests.support.plant import apply

ZERO, OTHERS = "0x" + "0" * 64, "0x" + "0" * 40
OWNER = "0x" + "a" * 40
NEW_YEAR = date(2014, 1, 1)
PARIS = zone("Europe/Paris")
KNOWN = {"id": "CCER-01-002", "version": "V01"}


def on(day: int) -> date:
    """Return a day of January 2014; 0 and below are of the year before."""
    return NEW_YEAR + timedelta(days=day - 1)


def at_s(day: int) -> int:
    return legal_day_start_s(on(day), PARIS)


def hash_of(number: int) -> str:
    return f"0x{number:064x}"


@dataclass
class Books:
    """Rows of issuances and batches, written as they are wanted; days are numbers."""

    session: Session
    project: Project
    other: Project
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1000)))

    def issued(self, first: int, end: int, carried: str = "0 0", **values: Any) -> Issuance:
        """Write an issuance; ``carried`` is what entered and what was left."""
        key = hash_of(next(self.numbers))
        entered, left = (f"{Fraction(text)!s}" for text in carried.split())
        before, intent = values.pop("before", 0), values.pop("intent", IntentState.CONFIRMED)
        project = values.pop("project", self.project)
        manifest = {
            "methodology": values.pop("methodology", KNOWN),
            "corrections": values.pop("corrections", []),
        }
        if intent is not None:
            self.intent(key, intent, {"claim": {"backfillBefore": str(before)}})
        numbers = {
            column.name: 0
            for column in Issuance.__table__.columns
            if column.name.endswith(("_kwh", "_t", "_kg")) or column.name.startswith("readings_")
        }
        row = Issuance(
            **numbers
            | {
                "project_id": project.id,
                "vintage": on(first).year,
                "from_date": on(first),
                "to_date": on(end),
                "from_s": at_s(first),
                "to_s": at_s(end),
                "factor_id": project.factor_id,
                "carry_in_kg": entered,
                "carry_out_kg": left,
                "evidence_root": ZERO,
                "leaves": 0,
                "manifest": json.dumps(manifest),
                "manifest_hash": ZERO,
                "key": key,
                "state": IssuanceState.ISSUED,
            }
            | values
        )
        self.session.add(row)
        self.session.flush()
        return row

    def intent(self, key: str, state: IntentState, parameters: dict[str, Any]) -> None:
        self.session.add(
            ChainIntent(
                key=key,
                chain_id=1,
                kind="issue",
                contract_address=OTHERS,
                function_name="issue",
                parameters=parameters,
                call_data="0x",
                sender_address=OTHERS,
                state=state,
            )
        )
        self.session.flush()

    def batch(self, first: int, end: int, *, site: int = 2, ordinal: int, **values: Any) -> None:
        """Write a batch on chain, of others unless it has the key of an issuance."""
        self.session.add(
            CreditBatch(
                **{
                    "batch_id": site << 32 | ordinal,
                    "key": hash_of(next(self.numbers)),
                    "site_id": site,
                    "ordinal": ordinal,
                    "vintage": on(first).year,
                    "recipient": OWNER,
                    "issued_kg": 100,
                    "retired_kg": 0,
                    "cancelled_kg": 0,
                    "period_start_s": at_s(first),
                    "period_end_s": at_s(end),
                    "gap_start_s": 0,
                    "expires_at_s": 0,
                    "buffered_kg": 0,
                    "evidence_root": ZERO,
                    "evidence_total_kg": 100,
                    "manifest_hash": ZERO,
                    "methodology_hash": ZERO,
                    "issuer": OTHERS,
                    "verifier": OTHERS,
                    "status": BatchStatus.ACTIVE,
                    "block_number": 1,
                    "log_index": ordinal,
                    "tx_hash": ZERO,
                    "issued_at": datetime(2014, 2, 1, tzinfo=UTC),
                }
                | values
            )
        )
        self.session.flush()

    def owed(self, issuance: Issuance, owed: str, **values: Any) -> Correction:
        """Write a correction that found that so much was issued too much."""
        key = hash_of(next(self.numbers))
        row = Correction(
            **{
                "key": key,
                "issuance_id": issuance.id,
                "cause": CorrectionCause.LATE_READINGS,
                "factor_id": issuance.factor_id,
                "late_readings": 1,
                "effect_kg": f"-{owed}",
                "owed_kg": owed,
                "cancelled_kg": 0,
                "act_key": None,
                "state": CorrectionState.CARRIED,
                "manifest": "{}",
                "manifest_hash": key,
                "found_at": datetime(2014, 2, 1, tzinfo=UTC),
            }
            | values
        )
        self.session.add(row)
        self.session.flush()
        return row

    def paid(self, correction: Correction, issuance: Issuance, carried: str) -> None:
        self.session.add(
            CorrectionCarry(
                correction_id=correction.id, issuance_id=issuance.id, carried_kg=carried
            )
        )
        self.session.flush()

    def enters(self, first: int, end: int | None = None) -> str:
        """Return what enters a period that is no backfill, as it is written."""
        last = on(first + 1 if end is None else end)
        found = load_period(
            self.session, self.project.code, on(first), last, enforce=False, backfill=False
        )
        return str(found.carry_in_kg)

    def enters_backfill(self, first: int) -> str:
        """Return what enters a period of a day that is a backfill, as it is written."""
        found = load_period(
            self.session, self.project.code, on(first), on(first + 1), enforce=False, backfill=True
        )
        return str(found.carry_in_kg)

    def debts(self, **until: int) -> list[tuple[str, str]]:
        found = unpaid_corrections(self.session, self.project.id, **until)
        return [(each.key, str(each.carried_kg)) for each in found]


@contextmanager
def written_books(db: Database) -> Iterator[Books]:
    """Yield books of two projects of a park and their sites on chain, numbers 2 and 3."""
    apply(db)
    with db.write() as session:
        project = session.scalars(select(Project)).one()
        values = {
            column.name: getattr(project, column.name) for column in Project.__table__.columns
        }
        other = Project(**values | {"id": project.id + 1, "code": "other"})
        session.add(other)
        for number, code in ((2, project.code), (3, other.code)):
            session.add(
                CreditSite(
                    site_id=number, project_id=number, code=code, minted_until_s=0, block_number=1
                )
            )
        session.flush()
        yield Books(session, project, other)
