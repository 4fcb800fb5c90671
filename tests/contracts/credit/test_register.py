"""registerClass, setClassCap, setClassBuffer, registerProject, registerSite."""

from typing import Any

import pytest

from tests.contracts.park import (
    CAP_KG,
    METHODOLOGY_HASH,
    ZERO,
    Park,
    event,
    ledger_records,
    log_head,
    missing_role,
    refusal,
)


def test_only_a_registrar_registers(park: Park, credit: Any) -> None:
    """CC-01: the admin, an issuer or a stranger does not register."""
    expected = credit.REGISTRAR_ROLE()
    for sender in (park.admin, park.issuer, park.stranger):
        denied = missing_role(sender, expected)
        assert refusal(credit.registerClass, "new", bytes(32), 1, 0, sender=sender) == denied
        assert refusal(credit.setClassCap, 1, 1, sender=sender) == denied
        assert refusal(credit.setClassBuffer, 1, 1, sender=sender) == denied
        assert refusal(credit.registerProject, 1, park.owner, "new", sender=sender) == denied
        assert refusal(credit.registerSite, 1, "new", sender=sender) == denied


@pytest.mark.parametrize(
    ("code", "error"),
    [("", ("EmptyCode",)), ("c" * 51, ("TextTooLong", 51, 50))],
    ids=["empty", "long"],
)
def test_a_code_has_1_to_50_bytes(park: Park, credit: Any, code: str, error: Any) -> None:
    """CC-03: at either end, in bytes and not in characters."""
    assert refusal(credit.registerClass, code, bytes(32), 1, 0, sender=park.registrar) == error
    assert refusal(credit.registerProject, 1, park.owner, code, sender=park.registrar) == error
    assert refusal(credit.registerSite, 1, code, sender=park.registrar) == error
    umlauts = refusal(credit.registerSite, 1, "ü" * 26, sender=park.registrar)
    assert umlauts == ("TextTooLong", 52, 50)


def test_a_code_of_50_bytes_is_good(park: Park, credit: Any) -> None:
    """CC-03: 50 is the last good length, and one byte the first."""
    for code in ("c" * 50, "c"):
        tx = credit.registerSite(1, code, {"from": park.registrar})
        assert credit.siteOfCode(code) == tx.return_value


def test_a_code_names_one_thing(park: Park, credit: Any) -> None:
    """CC-03: the second of a kind is refused, another kind may have the code."""
    by = {"sender": park.registrar}
    taken = ("CodeTaken", "wind-and-sun")
    assert refusal(credit.registerClass, "wind-and-sun", bytes(32), 1, 0, **by) == taken
    taken = ("CodeTaken", "lhb-wind")
    assert refusal(credit.registerProject, 2, park.buyer, "lhb-wind", **by) == taken
    assert refusal(credit.registerSite, 2, "lhb-wind", **by) == taken
    credit.registerClass("lhb-wind", bytes(32), 1, 0, {"from": park.registrar})
    assert credit.classOfCode("lhb-wind") == 3
    assert credit.projectOfCode("lhb-wind") == 1
    assert credit.siteOfCode("lhb-wind") == 1
    assert credit.siteOfCode("LHB-wind") == 0


@pytest.mark.parametrize("class_id", [0, 3, 2**32 - 1])
def test_a_project_is_of_a_registered_class(park: Park, credit: Any, class_id: int) -> None:
    """CC-04, CC-05, CC-06: also caps and shares belong to registered classes."""
    unknown = ("UnknownClass", class_id)
    by = {"sender": park.registrar}
    assert refusal(credit.registerProject, class_id, park.owner, "new", **by) == unknown
    assert refusal(credit.setClassCap, class_id, 1, **by) == unknown
    assert refusal(credit.setClassBuffer, class_id, 1, **by) == unknown


def test_a_project_has_an_owner(park: Park, credit: Any) -> None:
    """CC-04: zero is nobody."""
    error = refusal(credit.registerProject, 1, ZERO, "new", sender=park.registrar)
    assert error == ("ZeroOwner",)


@pytest.mark.parametrize("project_id", [0, 3])
def test_a_site_is_of_a_registered_project(park: Park, credit: Any, project_id: int) -> None:
    """CC-04: a project that is not there has no sites."""
    error = refusal(credit.registerSite, project_id, "new", sender=park.registrar)
    assert error == ("UnknownProject", project_id)


def test_a_buffer_share_is_at_most_half(park: Park, credit: Any) -> None:
    """CC-06: 5,000 hundredths of a percent are good, one more is not."""
    too_large = ("BufferTooLarge", 5001, 5000)
    by = {"sender": park.registrar}
    assert refusal(credit.registerClass, "new", bytes(32), 1, 5001, **by) == too_large
    assert refusal(credit.setClassBuffer, 1, 5001, **by) == too_large
    credit.setClassBuffer(1, 5000, {"from": park.registrar})


def test_register_class(park: Park, credit: Any) -> None:
    """CC-01, CC-02: the next id, stored and published."""
    tx = credit.registerClass("third", METHODOLOGY_HASH, 5, 5000, {"from": park.registrar})
    assert tx.return_value == 3
    assert credit.classOf(3) == (5, 0, 5000)
    assert credit.classOf(4) == (0, 0, 0)
    record = ledger_records(credit)[-1]
    assert record.name == "ClassRegistered"
    assert record.values == {
        "classId": 3,
        "code": "third",
        "methodologyHash": METHODOLOGY_HASH,
        "cap": 5,
        "bufferBps": 5000,
        "seq": 7,
        "head": log_head(credit)[1],
    }


def test_register_project(park: Park, credit: Any) -> None:
    """CC-01, CC-02, CC-04: the next id, stored and published."""
    tx = credit.registerProject(2, park.buyer, "third", {"from": park.registrar})
    assert tx.return_value == 3
    assert credit.projectOf(3) == (park.buyer, 2)
    assert credit.projectOf(4) == (ZERO, 0)
    published = event(tx, "ProjectRegistered")
    assert published["projectId"] == 3
    assert published["classId"] == 2
    assert published["owner"] == park.buyer
    assert published["code"] == "third"


def test_register_site(park: Park, credit: Any) -> None:
    """CC-01, CC-02, CC-04: the next id, stored and published."""
    tx = credit.registerSite(2, "third", {"from": park.registrar})
    assert tx.return_value == 3
    assert credit.siteOf(3) == (2, 0, 0)
    assert credit.siteOf(4) == (0, 0, 0)
    published = event(tx, "SiteRegistered")
    assert published["siteId"] == 3
    assert published["projectId"] == 2
    assert published["code"] == "third"


def test_set_class_cap(park: Park, credit: Any) -> None:
    """CC-05: old and new are published, and a cap below what is issued leaves that as it is."""
    park.issue(amount=1000)
    tx = credit.setClassCap(1, 999, {"from": park.registrar})
    published = event(tx, "ClassCapChanged")
    assert (published["classId"], published["oldCap"], published["newCap"]) == (1, CAP_KG, 999)
    assert credit.classOf(1) == (999, 1000, 0)
    assert credit.balanceOf(park.owner, credit.batchIdOf(1, 1)) == 1000


def test_set_class_buffer(park: Park, credit: Any) -> None:
    """CC-06: old and new are published; what is issued stays, what is to come has the new share."""
    credit.setClassBuffer(1, 1000, {"from": park.registrar})
    park.issue(amount=1000, periodStart=100, periodEnd=200)
    head = log_head(credit)[1]
    credit.setClassBuffer(1, 250, {"from": park.registrar})
    record = ledger_records(credit)[-1]
    assert record.name == "ClassBufferChanged"
    assert record.values == {
        "classId": 1,
        "oldBufferBps": 1000,
        "newBufferBps": 250,
        "seq": 9,
        "head": log_head(credit)[1],
    }
    assert record["head"] != head
    assert credit.classOf(1) == (CAP_KG, 1000, 250)
    assert credit.balanceOf(credit, credit.batchIdOf(1, 1)) == 100
    park.issue(amount=1000, periodStart=200, periodEnd=300)
    assert credit.balanceOf(credit, credit.batchIdOf(1, 2)) == 25
