"""Ticks of the jobs that settle, one after the other, as the scheduler runs them."""

from datetime import UTC, datetime
from weakref import WeakKeyDictionary

from ledger.chain.access import Chain
from ledger.chain.keys.policy import PolicyRefused
from ledger.db import Database
from ledger.errors import Refused
from ledger.jobs import work
from ledger.jobs.work import Tools
from ledger.settings import load_settings
from ledger.settlement.standstill import Standstill

SETTINGS = load_settings(None, {})
LATER = datetime(2100, 1, 1, tzinfo=UTC)
"""Every hour of trades is over then."""
_REMEMBERED: WeakKeyDictionary[Database, Standstill] = WeakKeyDictionary()
"""What the jobs of some books remember from one tick to the next."""


def settle(chain: Chain) -> None:
    """Plan, send and finalise; a refusal keeps no later job from its work, and is raised at the end."""
    standstill = _REMEMBERED.setdefault(chain.db, Standstill())
    tools = Tools(chain, SETTINGS, lambda: LATER, standstill=standstill)
    refusal: Refused | PolicyRefused | None = None
    for job in (work.settle, work.finalise):
        try:
            job(tools)
        except (Refused, PolicyRefused) as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal


def send(chain: Chain) -> None:
    """Bring on what is sent."""
    work.send(Tools(chain, SETTINGS))
