"""Every code that a page shows has its word in both languages."""

from __future__ import annotations

import pytest

from api.pages.language import Language
from api.pages.rendering import words_of
from ledger.jobs.catalogue import jobs_of
from ledger.models.blockchain import TransactionStatus
from ledger.models.credits import BatchStatus
from ledger.models.escrow import DisputeStep
from ledger.models.issuance import IssuanceState
from ledger.models.jobs import RunOutcome
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.models.vpp import VppStatus
from ledger.models.webhooks import DeliveryState, EndpointState
from ledger.serials import CreditStatus
from ledger.settings import load_settings

WORDS = {
    "status": (CreditStatus, BatchStatus, IssuanceState, BatchState),
    "transaction": (TransactionStatus,),
    "trade": (TradeStatus,),
    "dispute": (DisputeStep,),
    "outcome": (RunOutcome,),
    "plant_status": (VppStatus,),
    "delivery": (DeliveryState,),
    "endpoint": (EndpointState,),
}
CODES = [
    f"{table}.{member.value}" for table, kinds in WORDS.items() for kind in kinds for member in kind
]
JOBS = [
    f"job.{job.name}" for job in jobs_of(load_settings(None, {"TRUETONNE_BACKUP_FOLDER": "kept"}))
]


@pytest.mark.parametrize("key", [*CODES, *JOBS])
def test_a_code_has_its_words(key: str) -> None:
    for language in Language:
        assert words_of(language).maybe(key), f"no {key} in {language.value}.toml"


def test_the_jobs_are_all() -> None:
    """Those of backups and of a local chain among them."""
    assert {"job.backup-drill", "job.finality", "job.audit"} <= set(JOBS)
