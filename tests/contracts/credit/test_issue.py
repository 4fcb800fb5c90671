"""issue."""

from typing import Any

import pytest
from eth_utils.crypto import keccak

from tests.contracts.deploying import request
from tests.contracts.park import (
    ACTIVE,
    CAP_KG,
    CLAIM_FIELDS,
    MONTH_S,
    NONE,
    YEAR_2024_S,
    ZERO,
    Claim,
    Park,
    event,
    ledger_records,
    missing_role,
    refusal,
)

BATCH = (1 << 32) + 1


def refused(park: Park, claim: Claim, sender: Any = None) -> tuple[Any, ...]:
    """Return why the contract refuses a claim that the verifier signed."""
    return refusal(park.credit.issue, *park.issue_arguments(claim), sender=sender or park.issuer)


# ------------------------------------------------------------------ the claim by itself


def test_a_key_is_needed(park: Park) -> None:
    """CC-13: zero names nothing."""
    assert refused(park, park.claim(key=bytes(32))) == ("EmptyKey",)


def test_a_key_is_used_once(park: Park) -> None:
    """CC-13: also for another period, root and site, and said before all else."""
    claim = park.claim()
    park.issue(claim)
    again = park.claim(key=claim["key"], siteId=2, projectId=2, classId=2, amount=0, deadline=0)
    assert refused(park, again) == ("KeyUsed", claim["key"])
    assert refused(park, claim) == ("KeyUsed", claim["key"])


def test_an_evidence_root_is_needed(park: Park) -> None:
    """CC-14: zero proves nothing."""
    assert refused(park, park.claim(evidenceRoot=bytes(32))) == ("EmptyEvidenceRoot",)


def test_an_evidence_root_is_used_once(park: Park) -> None:
    """CC-14: also when all of its batch is cancelled."""
    claim = park.claim()
    park.issue(claim)
    again = park.claim(
        evidenceRoot=claim["evidenceRoot"],
        periodStart=claim["periodEnd"],
        periodEnd=claim["periodEnd"] + 1,
    )
    assert refused(park, again) == ("EvidenceRootUsed", claim["evidenceRoot"])
    park.cancel(BATCH, claim["amount"], park.owner)
    assert refused(park, again) == ("EvidenceRootUsed", claim["evidenceRoot"])


def test_an_amount_is_needed(park: Park) -> None:
    """CC-16: nothing is no batch."""
    assert refused(park, park.claim(amount=0)) == ("ZeroAmount",)


def test_an_amount_is_below_2_to_the_40(park: Park, credit: Any) -> None:
    """CC-16: 2^40 - 1 is the last good one; the cap is out of the way."""
    credit.setClassCap(1, 2**64 - 1, {"from": park.registrar})
    most = 2**40 - 1
    too_much = park.claim(amount=most + 1, evidenceTotal=2**64 - 1)
    assert refused(park, too_much) == ("AmountTooLarge", most + 1)
    far_too_much = park.claim(amount=2**64 - 1, evidenceTotal=2**64 - 1)
    assert refused(park, far_too_much) == ("AmountTooLarge", 2**64 - 1)
    park.issue(amount=most, evidenceTotal=most)
    assert credit.batchOf(BATCH)[0] == most
    park.retire(BATCH, most, park.owner)
    assert credit.batchOf(BATCH)[:3] == (most, most, 0)


def test_an_amount_is_within_the_evidence(park: Park) -> None:
    """CC-16: one kilogram more is refused, the same is good."""
    assert refused(park, park.claim(amount=11, evidenceTotal=10)) == ("AmountAboveEvidence", 11, 10)
    park.issue(amount=10, evidenceTotal=10)


@pytest.mark.parametrize(("start", "end"), [(5, 5), (6, 5)])
def test_a_period_is_not_empty(park: Park, start: int, end: int) -> None:
    """CC-15: it ends after it starts."""
    assert refused(park, park.claim(periodStart=start, periodEnd=end)) == ("BadPeriod", start, end)


def test_a_period_is_over(park: Park) -> None:
    """CC-15: its end may be now, not a second later."""
    end = park.now + 1000
    claim = park.claim(periodEnd=end)
    park.mine_at(end - 1)
    assert refused(park, claim) == ("BadPeriod", YEAR_2024_S, end)
    park.mine_at(end)
    park.issue(claim)


def test_a_claim_ends_at_its_deadline(park: Park, credit: Any) -> None:
    """CC-18: good in the last second, refused in the next."""
    deadline = park.now + 1000
    claim = park.claim(deadline=deadline)
    park.mine_at(deadline)
    assert credit.issue.call(*park.issue_arguments(claim), {"from": park.issuer}) == BATCH
    park.mine_at(deadline + 1)
    assert refused(park, claim) == ("ClaimExpired", deadline)


def test_an_expiry_is_yet_to_come(park: Park, credit: Any) -> None:
    """CC-23: or none; not now, and not in the past."""
    assert refused(park, park.claim(expiresAt=1)) == ("BadExpiry", 1)
    expiry = park.now + 1000
    claim = park.claim(expiresAt=expiry)
    park.mine_at(expiry)
    assert refused(park, claim) == ("BadExpiry", expiry)
    expiry = park.now + 1000
    claim = park.claim(expiresAt=expiry)
    park.mine_at(expiry - 1)
    assert credit.issue.call(*park.issue_arguments(claim), {"from": park.issuer}) == BATCH
    park.issue(expiresAt=2**32 - 1)
    assert credit.batchOf(BATCH)[6] == 2**32 - 1


# -------------------------------------------------------------------------- the parties


def test_the_sender_is_an_issuer(park: Park, credit: Any) -> None:
    """CC-10, CC-53: not the admin, the registrar, the verifier, the owner, or a stranger."""
    claim = park.claim()
    for sender in (park.admin, park.registrar, park.verifier, park.owner, park.stranger):
        assert refused(park, claim, sender) == missing_role(sender, credit.issuerRole(1))


def test_the_issuer_is_one_of_the_class(park: Park, credit: Any) -> None:
    """CC-10: the role of another class does not count."""
    claim = park.claim(classId=2, projectId=2, siteId=2)
    assert refused(park, claim) == missing_role(park.issuer, credit.issuerRole(2))


def test_the_signer_is_a_verifier_of_the_class(park: Park, credit: Any) -> None:
    """CC-11: neither a stranger nor the verifier of another class."""
    claim = park.claim()
    stranger = (tuple(claim.values()), park.stranger, park.sign(claim, index=9))
    expected = ("NotAVerifier", park.stranger, 1)
    assert refusal(credit.issue, *stranger, sender=park.issuer) == expected
    park.grant(credit, credit.verifierRole(2), park.stranger)
    assert refusal(credit.issue, *stranger, sender=park.issuer) == expected


def altered(signature: bytes) -> list[bytes]:
    """Return a signature in spellings that are none: its mirror image, EIP-2098's 64 bytes, another v, a byte more."""
    r, s, v = signature[:32], int.from_bytes(signature[32:64], "big"), signature[64]
    mirrored = (ORDER - s).to_bytes(32, "big")
    compact = (s | (v - 27) << 255).to_bytes(32, "big")
    return [
        r + mirrored + bytes([55 - v]),
        r + compact,
        signature[:64] + bytes([v - 27]),
        signature + b"\0",
    ]


ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # of secp256k1


def test_another_signature_is_refused(park: Park, credit: Any) -> None:
    """CC-11: of another key, contract or chain; a short one; none; the same turned round, in 64 bytes, or longer."""
    claim = park.claim()
    signatures = [
        *altered(park.sign(claim)),
        park.sign(claim, index=9),
        park.sign(claim, contract=park.stranger.address),
        park.sign(claim, chain_id=1),
        park.sign(claim)[:64],
        b"",
    ]
    for signature in signatures:
        arguments = (tuple(claim.values()), park.verifier, signature)
        error = refusal(credit.issue, *arguments, sender=park.issuer)
        assert error == ("BadVerifierSignature", park.verifier)


@pytest.mark.parametrize("field", [name for name in CLAIM_FIELDS if not name.endswith("Id")])
def test_a_claim_is_what_was_signed(park: Park, credit: Any, field: str) -> None:
    """CC-11: with one field changed after signing, the signature is of something else."""
    claim = park.claim(amount=100, evidenceTotal=200, expiresAt=2**32 - 1, backfillBefore=2)
    value = claim[field]
    changed = {
        "bytes32": lambda: keccak(value),
        "address": lambda: park.stranger.address,
    }.get(CLAIM_FIELDS[field], lambda: value - 1 if field != "periodStart" else value + 1)()
    other = tuple({**claim, field: changed}.values())
    error = refusal(credit.issue, other, park.verifier, park.sign(claim), sender=park.issuer)
    assert error == ("BadVerifierSignature", park.verifier)


def test_the_place_of_a_claim_is_signed(park: Park, credit: Any) -> None:
    """CC-11: class, project and site too, when all the roles are there."""
    park.grant(credit, credit.issuerRole(2), park.issuer)
    park.grant(credit, credit.verifierRole(2), park.verifier)
    claim = park.claim()
    other = tuple({**claim, "classId": 2, "projectId": 2, "siteId": 2}.values())
    error = refusal(credit.issue, other, park.verifier, park.sign(claim), sender=park.issuer)
    assert error == ("BadVerifierSignature", park.verifier)


def test_a_digest_is_that_of_eip_712(park: Park, credit: Any) -> None:
    """CC-11: computed by hand from the text of the standard."""
    claim = park.claim()
    domain = (
        keccak(
            text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
        )
        + keccak(text="Truetonne CarbonCredit")
        + keccak(text="1")
        + (31337).to_bytes(32, "big")
        + bytes.fromhex(credit.address[2:]).rjust(32, b"\0")
    )
    fields = ",".join(f"{kind} {name}" for name, kind in CLAIM_FIELDS.items())
    struct = keccak(text=f"Claim({fields})")
    for name, kind in CLAIM_FIELDS.items():
        value = claim[name]
        if kind == "address":
            value = int(value, 16)
        struct += value if isinstance(value, bytes) else value.to_bytes(32, "big")
    expected = keccak(b"\x19\x01" + keccak(domain) + keccak(struct))
    assert bytes(credit.hashClaim(tuple(claim.values()))) == expected


def test_issuer_and_verifier_are_two(park: Park, credit: Any) -> None:
    """CC-12: one who has both roles cannot be both."""
    park.grant(credit, credit.verifierRole(1), park.issuer)
    claim = park.claim()
    arguments = (tuple(claim.values()), park.issuer, park.sign(claim, index=2))
    error = refusal(credit.issue, *arguments, sender=park.issuer)
    assert error == ("SamePartyTwice", park.issuer)


def test_the_owner_is_neither(park: Park, credit: Any) -> None:
    """CC-12: not the issuer and not the verifier of its own project."""
    park.grant(credit, credit.issuerRole(1), park.owner)
    park.grant(credit, credit.verifierRole(1), park.owner)
    claim = park.claim()
    assert refused(park, claim, park.owner) == ("SamePartyTwice", park.owner)
    arguments = (tuple(claim.values()), park.owner, park.sign(claim, index=4))
    error = refusal(credit.issue, *arguments, sender=park.issuer)
    assert error == ("SamePartyTwice", park.owner)


def test_a_wallet_verifies_by_erc_1271(park: Park, credit: Any) -> None:
    """CC-11: a contract with the role answers for its signature, and only for the good one."""
    wallet = park.project.SmartWallet.deploy(park.verifier, {"from": park.verifier})
    park.grant(credit, credit.verifierRole(1), wallet)
    claim = park.claim()
    wrong = (tuple(claim.values()), wallet, park.sign(claim, index=9))
    error = refusal(credit.issue, *wrong, sender=park.issuer)
    assert error == ("BadVerifierSignature", wallet.address)
    right = (tuple(claim.values()), wallet, park.sign(claim))
    tx = credit.issue(*right, {"from": park.issuer})
    assert tx.events["Issued"]["verifier"] == wallet


def test_a_revoked_verifier_is_none(park: Park, credit: Any) -> None:
    """CC-11: the role is asked for when the claim is brought, not when it was signed."""
    claim = park.claim()
    credit.revokeRole(credit.verifierRole(1), park.verifier, {"from": park.admin})
    assert refused(park, claim) == ("NotAVerifier", park.verifier, 1)


# -------------------------------------------------------------------------- the register


@pytest.mark.parametrize("site_id", [0, 3])
def test_a_site_is_registered(park: Park, site_id: int) -> None:
    """CC-19: nothing is issued for a site that is not there."""
    assert refused(park, park.claim(siteId=site_id)) == ("UnknownSite", site_id)


@pytest.mark.parametrize("place", [(1, 1, 2), (1, 2, 2), (1, 2, 1), (1, 0, 1)])
def test_site_project_and_class_belong_together(park: Park, place: tuple[int, int, int]) -> None:
    """CC-19: the site is of the project and the project of the class."""
    class_id, project_id, site_id = place
    claim = park.claim(classId=class_id, projectId=project_id, siteId=site_id)
    assert refused(park, claim) == ("ClaimMismatch", *place)


def test_a_period_is_issued_once(park: Park, credit: Any) -> None:
    """CC-15: another period of the site starts at the end of the last, not a second before."""
    first = park.claim()
    park.issue(first)
    until = first["periodEnd"]
    early = park.claim(periodStart=until - 1, periodEnd=until + MONTH_S)
    assert refused(park, early) == ("PeriodAlreadyIssued", 1, until - 1, until)
    before = park.claim(periodStart=1, periodEnd=YEAR_2024_S)
    assert refused(park, before) == ("PeriodAlreadyIssued", 1, 1, until)
    park.issue(periodStart=until, periodEnd=until + MONTH_S)
    assert credit.siteOf(1) == (1, until + MONTH_S, 2)


def test_sites_have_their_own_time(park: Park, credit: Any) -> None:
    """CC-15: the same period of another site is another period."""
    credit.registerSite(1, "second turbine", {"from": park.registrar})
    park.issue()
    tx = park.issue(siteId=3)
    assert tx.return_value == (3 << 32) + 1


def test_a_cap_holds(park: Park, credit: Any) -> None:
    """CC-17: to the kilogram, over all batches of the class, cancelled ones counted."""
    credit.setClassCap(1, 1000, {"from": park.registrar})
    first = park.claim(amount=900)
    park.issue(first)
    park.cancel(BATCH, 900, park.owner)
    later = {"periodStart": first["periodEnd"], "periodEnd": first["periodEnd"] + 1}
    assert refused(park, park.claim(amount=101, **later)) == ("CapExceeded", 1, 1000, 1001)
    park.issue(amount=100, **later)
    assert credit.classOf(1) == (1000, 1000, 0)


def test_a_cap_of_zero_is_zero(park: Park, credit: Any) -> None:
    """CC-17: not one kilogram."""
    credit.setClassCap(1, 0, {"from": park.registrar})
    assert refused(park, park.claim(amount=1)) == ("CapExceeded", 1, 0, 1)


# ------------------------------------------------------------------------- the recipient


def test_a_recipient_is_needed(park: Park) -> None:
    """CC-20: zero holds nothing."""
    assert refused(park, park.claim(recipient=ZERO)) == ("ERC1155InvalidReceiver", ZERO)


@pytest.mark.parametrize("name", ["DeafHolder", "RefusingHolder"])
def test_a_contract_must_accept(park: Park, name: str) -> None:
    """CC-20: one that cannot, or does not, receives nothing."""
    holder = park.project[name].deploy({"from": park.stranger})
    claim = park.claim(recipient=holder.address)
    assert refused(park, claim) == ("ERC1155InvalidReceiver", holder.address)


def test_a_recipient_that_burns_all_gas(park: Park, credit: Any) -> None:
    """CC-20: the issuance fails as a whole, and can be had for another recipient."""
    burner = park.stranger.address
    request("anvil_setCode", [burner, "0xfe"])
    try:
        claim = park.claim(recipient=burner)
        assert refused(park, claim) == ("ERC1155InvalidReceiver", burner)
    finally:
        request("anvil_setCode", [burner, "0x"])
    assert credit.batchOfKey(claim["key"]) == 0
    park.issue({**claim, "recipient": park.owner.address})


def test_a_recipient_may_act_at_once(park: Park, credit: Any) -> None:
    """CC-20, CC-43: all is booked before the recipient is called."""
    holder = park.project.RetiringHolder.deploy({"from": park.stranger})
    claim = park.claim(recipient=holder.address, amount=500)
    park.issue(claim)
    assert credit.batchOf(BATCH)[:3] == (500, 500, 0)
    assert credit.balanceOf(holder, BATCH) == 0
    assert [record.name for record in ledger_records(credit)[-2:]] == ["Issued", "Retired"]


def test_a_pause_stops_issuance(park: Park, credit: Any) -> None:
    """CC-51: until the admin resumes."""
    claim = park.claim()
    credit.pause({"from": park.pauser})
    assert refused(park, claim) == ("EnforcedPause",)
    credit.unpause({"from": park.admin})
    park.issue(claim)


# ---------------------------------------------------------------------------- what it does


def test_issue(park: Park, credit: Any) -> None:
    """CC-10, CC-11, CC-20: event, return value, registers and balances."""
    claim = park.claim(recipient=park.buyer.address)
    assert credit.statusOf(BATCH) == NONE

    tx = park.issue(claim)

    assert tx.return_value == BATCH == credit.batchIdOf(1, 1)
    assert [event.name for event in tx.events] == ["Issued", "TransferSingle"]
    record = ledger_records(credit)[-1]
    values = {name: record[name] for name in ("key", "batchId", "recipient", "seq")}
    assert values == {
        "key": claim["key"],
        "batchId": BATCH,
        "recipient": park.buyer.address.lower(),
        "seq": 7,
    }
    expected = {**claim, "recipient": claim["recipient"].lower()}
    assert dict(zip(CLAIM_FIELDS, record["claim"], strict=True)) == expected
    assert tx.events["Issued"]["issuer"] == park.issuer
    assert tx.events["Issued"]["verifier"] == park.verifier
    assert event(tx, "TransferSingle") == {
        "operator": park.issuer,
        "from": ZERO,
        "to": park.buyer,
        "id": BATCH,
        "value": 123_851,
    }
    assert credit.batchOf(BATCH) == (
        *(123_851, 0, 0),
        *(claim["periodStart"], claim["periodEnd"], 0, 0),
    )
    assert credit.statusOf(BATCH) == ACTIVE
    assert credit.totalSupply(BATCH) == 123_851
    assert credit.batchOfKey(claim["key"]) == BATCH
    assert credit.batchOfEvidenceRoot(claim["evidenceRoot"]) == BATCH
    assert credit.siteOf(1) == (1, claim["periodEnd"], 1)
    assert credit.classOf(1) == (CAP_KG, 123_851, 0)
    balances = {account: credit.balanceOf(account, BATCH) for account in park.accounts}
    assert balances == {**dict.fromkeys(park.accounts, 0), park.buyer: 123_851}


def test_ordinals_of_a_site(park: Park, credit: Any) -> None:
    """CC-20: each site counts its batches from 1, in the low half of the id."""
    park.grant(credit, credit.issuerRole(2), park.issuer)
    park.grant(credit, credit.verifierRole(2), park.verifier)
    ids = []
    for month in range(3):
        period = {"periodStart": 100 + month, "periodEnd": 101 + month}
        ids.append(park.issue(**period).return_value)
        ids.append(park.issue(classId=2, projectId=2, siteId=2, **period).return_value)
    assert ids == [
        4294967297,
        8589934593,
        4294967298,
        8589934594,
        4294967299,
        8589934595,
    ]
