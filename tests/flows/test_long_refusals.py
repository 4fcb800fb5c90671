"""A receiver that refuses with a text of any length: the books have its beginning, and others are sent."""

import pytest

from ledger.chain.contracts.events import CREDIT
from ledger.errors import Refused
from ledger.models.sending import IntentState
from tests.support.chain import CURRENCY, PARTIES
from tests.support.forms import long
from tests.support.park import Park
from tests.support.sending import UNITS, automine, lost, minted, plan

SHORT_ON_MARIADB = ("test_a_receiver_that_refuses_at_length",)
TALKATIVE = "0x" + "7a" * 20
LENGTH = 100_000


def code() -> str:
    """Return the code of a contract that refuses every call with an ``Error`` of so many signs."""
    head = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + LENGTH.to_bytes(32, "big")
    size = (len(head) + LENGTH).to_bytes(3, "big")
    copies_its_head = bytes([0x60, len(head), 0x60, 14, 0x60, 0, 0x39])
    reverts_with_it_and_zeros = bytes([0x62, *size, 0x60, 0, 0xFD])
    return "0x" + (copies_its_head + reverts_with_it_and_zeros + head).hex()


def transfer(park: Park) -> str:
    """Plan a transfer of credits to the receiver; return its key."""
    batch = park.node.issue(10, 0)
    park.mirror_final()
    moved = [PARTIES["owner"], TALKATIVE, batch, 4, b""]
    return plan(park, "safeTransferFrom", moved, "owner", CREDIT)


def test_a_receiver_that_refuses_at_length(both: Park) -> None:
    """On MariaDB the refusal could not be stored, and the command ended as a defect of the program."""
    key = transfer(both)
    both.node.client.request("anvil_setCode", [TALKATIVE, code()])
    with pytest.raises(Refused, match=r"refuses safeTransferFrom: Error\(") as told:
        both.chain.sender.submit(key, CREDIT)
    assert len(told.value.message) < 1000
    intent = both.intent(key)
    assert (intent.state, len(intent.error or "")) == (IntentState.FAILED, 500)


@long
def test_what_lost_its_nonce_and_is_refused_at_length(both: Park) -> None:
    """The others of the account were not tended any more."""
    key = transfer(both)
    lost(both, key, CREDIT, "owner")
    both.node.client.request("anvil_setCode", [TALKATIVE, code()])
    automine(both, True)
    both.node.mine(3)
    other = plan(both)
    both.chain.sender.submit(other, CURRENCY)
    both.chain.sender.tend()
    assert both.intent(key).state is IntentState.PLANNED
    assert "would refuse it now: Error(" in (both.intent(key).alarm or "")
    both.mirror_final()
    assert (both.intent(other).state, minted(both)) == (IntentState.CONFIRMED, UNITS)
    assert both.differences() == []
