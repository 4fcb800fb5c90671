"""pause, unpause, and what the roles may and may not do."""

from typing import Any

import pytest

from tests.contracts.park import Park, event, missing_role, refusal

ADMIN_ROLE = bytes(32)


@pytest.fixture(scope="module", autouse=True)
def money(park: Park) -> None:
    """The buyer has 100.00 in escrow."""
    park.deposit(park.buyer, 10_000)


def test_only_a_pauser_pauses(park: Park, settlement: Any) -> None:
    """VS-31: not even the admin."""
    for sender in (park.admin, park.operator, park.stranger):
        denied = missing_role(sender, settlement.PAUSER_ROLE())
        assert refusal(settlement.pause, sender=sender) == denied


def test_only_the_admin_resumes(park: Park, settlement: Any) -> None:
    """VS-31: who stops in a hurry cannot undo it in a hurry."""
    settlement.pause({"from": park.pauser})
    for sender in (park.pauser, park.operator, park.stranger):
        assert refusal(settlement.unpause, sender=sender) == missing_role(sender, ADMIN_ROLE)


def test_a_pause_begins_and_ends_once(park: Park, settlement: Any) -> None:
    """VS-31: no pause of a pause, no end of none."""
    assert refusal(settlement.unpause, sender=park.admin) == ("ExpectedPause",)
    settlement.pause({"from": park.pauser})
    assert refusal(settlement.pause, sender=park.pauser) == ("EnforcedPause",)


def test_pause_and_unpause(park: Park, settlement: Any) -> None:
    """VS-30, VS-31: events; deposits stop, and go on."""
    tx = settlement.pause({"from": park.pauser})
    assert event(tx, "Paused") == {"account": park.pauser}
    assert settlement.paused()
    assert refusal(settlement.deposit, park.buyer, 1, sender=park.buyer) == ("EnforcedPause",)
    tx = settlement.unpause({"from": park.admin})
    assert event(tx, "Unpaused") == {"account": park.admin}
    assert not settlement.paused()
    park.deposit(park.buyer, 1)


def test_a_pause_does_not_stop_withdrawals(park: Park, settlement: Any) -> None:
    """VS-03, VS-30: the way out stays open."""
    settlement.pause({"from": park.pauser})
    settlement.withdraw(park.buyer, 10_000, {"from": park.buyer})
    assert park.currency.balanceOf(park.buyer) == 10_000


def test_roles_are_granted_by_the_admin_alone(park: Park, settlement: Any) -> None:
    """VS-32: no role grants another, or itself."""
    for role in (settlement.OPERATOR_ROLE(), settlement.PAUSER_ROLE()):
        assert bytes(settlement.getRoleAdmin(role)) == ADMIN_ROLE
        for sender in (park.operator, park.pauser, park.stranger):
            error = refusal(settlement.grantRole, role, park.stranger, sender=sender)
            assert error == missing_role(sender, ADMIN_ROLE)
