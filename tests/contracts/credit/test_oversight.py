"""suspend, reinstate, pause, unpause, and what the admin may and may not do."""

from typing import Any

import pytest

from tests.contracts.park import (
    ACTIVE,
    NO_DETAILS,
    SUSPENDED,
    ZERO,
    Park,
    event,
    ledger_records,
    log_head,
    missing_role,
    refusal,
)

BATCH, OTHER = (1 << 32) + 1, (1 << 32) + 2
ADMIN_ROLE = bytes(32)
DAY_S = 86_400


@pytest.fixture(scope="module", autouse=True)
def batches(park: Park) -> None:
    """Two batches of the owner."""
    park.issue(amount=1000, periodStart=100, periodEnd=200)
    park.issue(amount=1000, periodStart=200, periodEnd=300)


# ---------------------------------------------------------------------------- suspension


def test_only_a_suspender_suspends(park: Park, credit: Any) -> None:
    """CC-50: not even the admin."""
    for sender in (park.admin, park.registrar, park.issuer, park.stranger):
        denied = missing_role(sender, credit.SUSPENDER_ROLE())
        assert refusal(credit.suspend, BATCH, sender=sender) == denied


def test_only_the_admin_lifts(park: Park, credit: Any) -> None:
    """CC-50: who stops in a hurry cannot undo it in a hurry."""
    credit.suspend(BATCH, {"from": park.pauser})
    for sender in (park.pauser, park.registrar, park.stranger):
        assert refusal(credit.reinstate, BATCH, sender=sender) == missing_role(sender, ADMIN_ROLE)


def test_only_an_active_batch_is_suspended(park: Park, credit: Any) -> None:
    """CC-50: neither an unknown nor a suspended one."""
    assert refusal(credit.suspend, 7, sender=park.pauser) == ("UnknownBatch", 7)
    credit.suspend(BATCH, {"from": park.pauser})
    assert refusal(credit.suspend, BATCH, sender=park.pauser) == ("NotActive", BATCH, SUSPENDED)


def test_only_a_stopped_batch_is_lifted(park: Park, credit: Any) -> None:
    """CC-50, CC-55: an unknown one does not become active."""
    assert refusal(credit.reinstate, 7, sender=park.admin) == ("UnknownBatch", 7)
    error = refusal(credit.reinstate, BATCH, sender=park.admin)
    assert error == ("NotStopped", BATCH, ACTIVE)


def test_suspend_and_reinstate(park: Park, credit: Any) -> None:
    """CC-50, CC-55, CC-60: status and events, of that batch alone."""
    before = credit.batchOf(BATCH)
    credit.suspend(BATCH, {"from": park.pauser})
    seq, head = log_head(credit)
    assert ledger_records(credit)[-1].values == {
        "batchId": BATCH,
        "oldStatus": ACTIVE,
        "newStatus": SUSPENDED,
        "seq": seq,
        "head": head,
    }
    assert (credit.statusOf(BATCH), credit.statusOf(OTHER)) == (SUSPENDED, ACTIVE)
    credit.reinstate(BATCH, {"from": park.admin})
    lifted = ledger_records(credit)[-1]
    assert (lifted["oldStatus"], lifted["newStatus"]) == (SUSPENDED, ACTIVE)
    assert credit.statusOf(BATCH) == ACTIVE
    assert credit.batchOf(BATCH) == before


# --------------------------------------------------------------------------------- pause


def test_only_a_pauser_pauses(park: Park, credit: Any) -> None:
    """CC-52: not even the admin."""
    for sender in (park.admin, park.registrar, park.issuer, park.stranger):
        assert refusal(credit.pause, sender=sender) == missing_role(sender, credit.PAUSER_ROLE())


def test_only_the_admin_resumes(park: Park, credit: Any) -> None:
    """CC-52: a pauser does not."""
    credit.pause({"from": park.pauser})
    for sender in (park.pauser, park.registrar, park.stranger):
        assert refusal(credit.unpause, sender=sender) == missing_role(sender, ADMIN_ROLE)


def test_a_pause_begins_and_ends_once(park: Park, credit: Any) -> None:
    """CC-52: no pause of a pause, no end of none."""
    assert refusal(credit.unpause, sender=park.admin) == ("ExpectedPause",)
    credit.pause({"from": park.pauser})
    assert refusal(credit.pause, sender=park.pauser) == ("EnforcedPause",)


def test_pause_and_unpause(park: Park, credit: Any) -> None:
    """CC-51, CC-52: events, and the sealed log stays as it is."""
    head = credit.logHead()
    tx = credit.pause({"from": park.pauser})
    assert event(tx, "Paused") == {"account": park.pauser}
    assert credit.paused()
    tx = credit.unpause({"from": park.admin})
    assert event(tx, "Unpaused") == {"account": park.admin}
    assert not credit.paused()
    assert credit.logHead() == head
    credit.safeTransferFrom(park.owner, park.buyer, BATCH, 1, b"", {"from": park.owner})


def test_a_pause_does_not_stop_the_holder(park: Park, credit: Any) -> None:
    """CC-51: it retires and cancels as ever."""
    credit.pause({"from": park.pauser})
    park.retire(BATCH, 600, park.owner)
    park.cancel(BATCH, 400, park.owner)
    assert credit.batchOf(BATCH)[:3] == (1000, 600, 400)


def test_a_pause_does_not_hold_back_oversight(park: Park, credit: Any) -> None:
    """CC-51: suspension and register work on, and keep the pause."""
    credit.pause({"from": park.pauser})
    credit.suspend(BATCH, {"from": park.pauser})
    credit.registerSite(1, "new", {"from": park.registrar})
    assert credit.paused()
    stopped = refusal(credit.retire, b"\1" * 32, BATCH, 1, NO_DETAILS, sender=park.owner)
    assert stopped == ("NotActive", BATCH, SUSPENDED)


# --------------------------------------------------------------------------------- admin


def test_the_admin_is_one(park: Park, credit: Any) -> None:
    """CC-54: its role is neither granted nor revoked, and it is given up in two steps alone."""
    assert credit.defaultAdmin() == park.admin == credit.owner()
    for function in (credit.grantRole, credit.revokeRole):
        error = refusal(function, ADMIN_ROLE, park.stranger, sender=park.admin)
        assert error == ("AccessControlEnforcedDefaultAdminRules",)
    error = refusal(credit.renounceRole, ADMIN_ROLE, park.admin, sender=park.admin)
    assert error[0] == "AccessControlEnforcedDefaultAdminDelay"


def test_an_admin_is_needed(park: Park) -> None:
    """CC-54: a contract without one could never be governed."""
    error = refusal_of_deployment(park, ZERO, 0)
    assert "AccessControlInvalidDefaultAdmin" in error


def refusal_of_deployment(park: Park, *arguments: Any) -> str:
    from brownie.exceptions import VirtualMachineError

    with pytest.raises(VirtualMachineError) as caught:
        park.project.CarbonCredit.deploy(*arguments, {"from": park.admin})
    return str(caught.value.revert_msg) + str(caught.value)


def test_the_admin_changes_in_two_steps(park: Park) -> None:
    """CC-54: the new one accepts, after the delay and not before."""
    credit = park.project.CarbonCredit.deploy(park.admin, DAY_S, {"from": park.admin})
    credit.beginDefaultAdminTransfer(park.buyer, {"from": park.admin})
    schedule = park.now + DAY_S
    error = refusal(credit.acceptDefaultAdminTransfer, sender=park.buyer)
    assert error == ("AccessControlEnforcedDefaultAdminDelay", schedule)
    assert credit.defaultAdmin() == park.admin
    park.mine_at(schedule + 1)
    error = refusal(credit.acceptDefaultAdminTransfer, sender=park.stranger)
    assert error == ("AccessControlInvalidDefaultAdmin", park.stranger.address)
    credit.acceptDefaultAdminTransfer({"from": park.buyer})
    assert credit.defaultAdmin() == park.buyer
    assert not credit.hasRole(ADMIN_ROLE, park.admin)


def test_roles_are_granted_by_the_admin_alone(park: Park, credit: Any) -> None:
    """CC-53: no role grants another, or itself."""
    roles = [
        credit.REGISTRAR_ROLE(),
        credit.PAUSER_ROLE(),
        credit.SUSPENDER_ROLE(),
        credit.issuerRole(1),
        credit.verifierRole(1),
    ]
    assert len({bytes(role) for role in roles} | {bytes(credit.issuerRole(2))}) == 6
    for role in roles:
        assert bytes(credit.getRoleAdmin(role)) == ADMIN_ROLE
        for sender in (park.registrar, park.issuer, park.verifier, park.pauser):
            error = refusal(credit.grantRole, role, park.stranger, sender=sender)
            assert error == missing_role(sender, ADMIN_ROLE)


def test_the_admin_alone_issues_nothing(park: Park, credit: Any) -> None:
    """CC-53: even with every role it needs a verifier's key that is not its own."""
    for role in (credit.issuerRole(1), credit.verifierRole(1)):
        park.grant(credit, role, park.admin)
    claim = park.claim(periodStart=300, periodEnd=400)
    own = (tuple(claim.values()), park.admin, park.sign(claim, index=0))
    error = refusal(credit.issue, *own, sender=park.admin)
    assert error == ("SamePartyTwice", park.admin.address)
    other = (tuple(claim.values()), park.verifier, park.sign(claim, index=0))
    error = refusal(credit.issue, *other, sender=park.admin)
    assert error == ("BadVerifierSignature", park.verifier.address)
