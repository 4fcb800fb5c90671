"""Whole made-up chains: one where all is well, and many where one thing is wrong, for both verifiers."""

import json
import random
from typing import Any

import pytest

from ledger.proofs.verifier import ProofError, verify
from tests.support.bundle_mutants import judge
from tests.support.forms import few, long, rest
from tests.support.verify_page import case, judged
from tests.support.wild_worlds import wild
from tests.support.worlds import (
    CONTRACT,
    DOCUMENT,
    END,
    ISSUED,
    MANIFEST,
    OTHER,
    OWNER,
    RETIRED,
    ROW,
    START,
    World,
    coded,
    leaf,
)

OWN = b"\x66" * 20
TRUSTED_AT = START + 10**7 + 1010
"""Time of the trusted block, in seconds since 1970."""


def manifest(**parts: Any) -> dict[str, Any]:
    return {
        name: MANIFEST[name] | parts.pop(name, {})
        for name in ("carbon", "evidence", "methodology", "period")
    } | {name: parts.pop(name, MANIFEST[name]) for name in ("meters", "project")}


def with_more(value: str) -> str:
    """Return the text of the manifest with one value more."""
    return f'{json.dumps(MANIFEST)[:-1]}, "more": {value}}}'


GOOD: dict[str, World] = {
    "as it should be": World(),
    "typed by EIP-2930": World(kind=1),
    "typed not at all": World(kind=0),
    "with blobs, by EIP-4844": World(kind=3),
    "with code for an account, by EIP-7702": World(kind=4),
    "the block before": World(distance=1),
    "as far back as can be": World(distance=8191),
    "serials in the retirement": World(bundle={"serials": [5, 100]}),
    "in deficit": World(deficit_kg=3, status=2),
    "of a batch that was invalidated since": World(status=4, deficit_kg=60),
    "with an expiry to come": World(expires_at=END + 10**8),
    "past its expiry": World(expires_at=TRUSTED_AT),
    "a hostile name": World(beneficiary='"\n\u202eok\x1b[2J\ufeff\U0001f33f'),
    "a name of signs without ink": World(
        beneficiary="A\u3164\u115f\u2800\u034f\u17b5\u180d\ufe0f\uffa0\U000e01ef"
    ),
    "neither a name nor a reason": World(beneficiary="", reason=""),
    "a hostile reason": World(reason='") by transaction 0x00\n\u202e'),
    "a name of ten thousand signs": World(beneficiary="é" * 10_000),
    "a manifest as deep, and a number as long, as may be": World(
        manifest=with_more("[" * 99 + "9" * 100 + "]" * 99)
    ),
    "a hostile methodology, with no sign of its own": World(
        methodology='"\n/\u202e\U0001f33f/',
        manifest=manifest(methodology={"id": '"\n', "version": "\u202e\U0001f33f/"}),
    ),
    "a header of a later fork, as deep as may be": World(depth=100),
    "a hostile project": World(
        manifest=manifest(project='"\n\u202e'),
        registered={coded(9, '"\n\u202e'): 2, coded(10, '"\n\u202e'): 3},
        codes='"\n\u202e',
    ),
    "a manifest that names the days of another year": World(
        manifest=manifest(period={"from": "2019-01-01", "to": "2019-02-01"})
    ),
    "readings with proofs": World(
        bundle={
            "readings": {
                "meters": ["M1"],
                "rows": [ROW, OTHER],
                "proofs": [["0x" + leaf(other).hex()] for other in (OTHER, ROW)],
            }
        }
    ),
}

WRONG: dict[str, tuple[World, str]] = {
    "another code": (World(code=b"\1" * 32), "contract: its code has the hash"),
    # One verifier gave up at 500, the other at some thousand.
    # It overlaps with no other reading, whatever it counts, so that no contract could tell of it.
    "a reading that ends before it begins": (
        World(other=[0, END + 600, START + 600, *ROW[3:]]),
        "readings: a reading lies outside of the period",
    ),
    "a reading that ends before it begins, within the period": (
        World(other=[0, START + 1200, START + 600, *ROW[3:]]),
        "readings: a reading lies outside of the period",
    ),
    "a header too deep": (World(depth=101), "block: its RLP is nested too deep"),
    "no such batch": (World(status=0), "batch: there is no such batch"),
    "a status of later": (World(status=6), "batch: there is no such batch"),
    "a block too far back": (World(distance=8192), "ancestor: block 1000 is too far"),
    "a block that is not older": (World(distance=0), "ancestor: block 1000 is too far"),
    "another block remembered": (World(remembered=b"\1" * 32), "ancestor: .* another block 1000"),
    "a failed transaction": (World(receipt_status=0), "issued: it failed"),
    "a log of another contract": (World(logged_by=OWN), "issued: the log is of another contract"),
    "an issuance cut short": (World(log_bytes={ISSUED: 543}), "issued: its log is cut short"),
    "an issuance of nothing": (World(log_bytes={ISSUED: 0}), "issued: its log is cut short"),
    "a retirement of nothing": (World(log_bytes={RETIRED: 0}), "retired: its log is cut short"),
    "a retirement without details": (
        World(log_bytes={RETIRED: 224}),
        "retired: its log is cut short",
    ),
    "a retirement without its texts": (
        World(log_bytes={RETIRED: 416}),
        "retired: its log is cut short",
    ),
    "a retirement with half a reason": (
        World(log_bytes={RETIRED: 512 + 2}),
        "retired: its log is cut short",
    ),
    "signed for another chain": (World(signed_chain=1), "issued: it was signed for chain 1$"),
    "signed for no chain": (World(signed_chain=None, kind=0), "issued: it names no chain"),
    "a type of later": (World(type_byte=b"\x05"), "issued: its transaction is of a type"),
    "a type of nothing": (World(type_byte=b"\0"), "issued: its transaction is of a type"),
    "a signature's twin": (World(high_s=True), "issued: its signature is none"),
    "the issuance of another batch": (World(batch_of_issuance=1), "issued: it is of another"),
    "the retirement of another batch": (World(batch_of_retirement=1), "retired: it is of another"),
    "more issued than the batch has": (World(issued_kg=999), "issued: kilograms or period"),
    "another period": (World(period_end=1), "issued: kilograms or period"),
    "more retired than the batch has": (World(retired_kg=99), "retired: the batch has 99 kg"),
    "more retired than the batch has, and no serials named": (
        World(retired_kg=99, bundle={"serials": None}),
        "retired: the batch has 99 kg",
    ),
    "nothing retired": (World(last=0), "retired: the batch has"),
    "a manifest of other kilograms": (
        World(manifest=manifest(carbon={"issued_kg": "1001"})),
        "manifest: its root or its kilograms",
    ),
    "a claim of more evidence than the manifest has": (
        World(evidence_total=2000),
        "manifest: its root or its kilograms",
    ),
    "a manifest with a number for the kilograms of its evidence": (
        World(manifest=manifest(evidence={"total_kg": 1001})),
        "manifest: its root or its kilograms",
    ),
    "a manifest that begins elsewhere": (
        World(manifest=manifest(period={"from_s": ROW[1] - 1})),
        "manifest: its period is not",
    ),
    "a manifest that ends elsewhere": (
        World(manifest=manifest(period={"to_s": str(MANIFEST["period"]["to_s"])})),
        "manifest: its period is not",
    ),
    "a manifest that begins at true, which Python takes for 1": (
        World(period_start=1, manifest=manifest(period={"from_s": True})),
        "manifest: its period is not",
    ),
    "a manifest without a period": (
        World(manifest=manifest() | {"period": {"from_s": ROW[1]}}),
        "manifest: the text behind the hash",
    ),
    "a manifest of another version of the methodology": (
        World(manifest=manifest(methodology={"version": "V02"})),
        "manifest: its methodology is not",
    ),
    "a claim of another methodology than the manifest's": (
        World(methodology="CCER-01-001/V01"),
        "manifest: its methodology is not",
    ),
    "a manifest without a methodology": (
        World(manifest={k: v for k, v in MANIFEST.items() if k != "methodology"}),
        "manifest: the text behind the hash",
    ),
    "a manifest with a version that is a list": (
        World(manifest=manifest(methodology={"version": ["V01"]})),
        "manifest: the text behind the hash",
    ),
    "a manifest with a methodology of text": (
        World(manifest=json.dumps(MANIFEST | {"methodology": "CCER-01-002/V01"})),
        "manifest: the text behind the hash",
    ),
    "a manifest with half a character in its methodology": (
        World(manifest=manifest(methodology={"id": "\ud800"})),
        "manifest: the text behind the hash",
    ),
    "a manifest of a project that nobody registered": (
        World(registered={}),
        "registered: its project or its site has another code",
    ),
    "a manifest of another project": (
        World(registered={coded(9): 7, coded(10): 3}),
        "registered: its project or its site has another code",
    ),
    "a manifest of a project with another site": (
        World(registered={coded(9): 2, coded(10): 7}),
        "registered: its project or its site has another code",
    ),
    "a project's number beyond those that there are": (
        World(registered={coded(9): 2**32 + 2, coded(10): 3}),
        "registered: its project or its site has another code",
    ),
    "a manifest without a project": (
        World(manifest={k: v for k, v in MANIFEST.items() if k != "project"}),
        "registered: the manifest names no project",
    ),
    "a manifest with a number for a project": (
        World(manifest=manifest(project=2)),
        "registered: the manifest names no project",
    ),
    "a manifest with half a character in its project": (
        World(manifest=manifest(project="\ud800")),
        "registered: the manifest names no project",
    ),
    "a reading before the period": (
        World(period_start=ROW[1] + 1, manifest=manifest(period={"from_s": ROW[1] + 1})),
        "readings: a reading lies outside",
    ),
    "a reading after the period, and no manifest": (
        World(
            period_end=OTHER[2] - 1,
            claimed_end=OTHER[2] - 1,
            bundle={"manifest": None, "registered": None},
        ),
        "readings: a reading lies outside",
    ),
    "a manifest of another root": (
        World(manifest=manifest(evidence={"root": "0x" + "00" * 32})),
        "manifest: its root or its kilograms",
    ),
    "a manifest of fewer readings": (
        World(manifest=manifest(evidence={"leaves": 1})),
        "readings: they are not as many",
    ),
    "a manifest of another meter": (
        World(manifest=manifest(meters=[{"serial": "M2"}])),
        "readings: a meter is not one",
    ),
    "a manifest of nothing": (World(manifest="{}"), "manifest: the text behind the hash"),
    "a manifest of a list": (World(manifest="[]"), "manifest: the text behind the hash"),
    "a manifest of a number": (World(manifest="7"), "manifest: the text behind the hash"),
    "a manifest with meters of text": (
        World(manifest=json.dumps(MANIFEST | {"meters": "M1"})),
        "manifest: the text behind the hash",
    ),
    "a manifest with a list for a serial": (
        World(manifest=json.dumps(MANIFEST | {"meters": [{"serial": ["M1"]}]})),
        "manifest: the text behind the hash",
    ),
    "a manifest with no list of meters": (
        World(manifest=json.dumps(MANIFEST | {"meters": {}}), bundle={"readings": None}),
        "manifest: the text behind the hash",
    ),
    "a manifest with a meter of nothing": (
        World(manifest=json.dumps(MANIFEST | {"meters": [{}]})),
        "manifest: the text behind the hash",
    ),
    "a manifest without a count": (
        World(manifest=json.dumps(MANIFEST | {"evidence": {"root": MANIFEST["evidence"]["root"]}})),
        "manifest: the text behind the hash",
    ),
    "a manifest with a text for a count": (
        World(manifest=manifest(evidence={"leaves": "2"})),
        "readings: they are not as many",
    ),
    "a manifest deeper than every Python reads": (
        World(manifest=with_more("[" * 101 + "]" * 101)),
        "manifest: not JSON as it is written here: nested too deep",
    ),
    "a manifest too deep for any Python": (
        World(manifest=with_more("[" * 5000 + "]" * 5000)),
        "manifest: not JSON",
    ),
    "a manifest with a number longer than every Python reads": (
        World(manifest=with_more("9" * 101)),
        "manifest: not JSON",
    ),
    "a manifest that is no JSON": (World(manifest="{"), "manifest: not JSON"),
    "a manifest with a key twice": (
        World(manifest='{"carbon":1,"carbon":1}'),
        "manifest: not JSON",
    ),
    "a reading twice": (
        World(
            manifest=manifest(evidence={"leaves": 3}),
            bundle={"readings": {"meters": ["M1"], "rows": [ROW, OTHER, ROW], "proofs": None}},
        ),
        "readings: a reading stands twice",
    ),
    "a meter named twice": (
        World(
            bundle={
                "readings": {"meters": ["M1", "M1"], "rows": [ROW, [1, *OTHER[1:]]], "proofs": None}
            }
        ),
        "format: meters, rows and proofs",
    ),
    "a reading for another": (
        World(
            bundle={
                "readings": {"meters": ["M1"], "rows": [ROW, [*OTHER[:7], "7"]], "proofs": None}
            }
        ),
        "readings: they are not exactly those",
    ),
}

STATES: dict[str, tuple[list[int], str]] = {
    "all that is retired": ([1, 100], "retired"),
    "all that is held": ([101, 950], "held"),
    "all that is cancelled": ([951, 1000], "cancelled"),
    "retired and held": ([100, 101], "they are mixed"),
    "held and cancelled": ([950, 951], "they are mixed"),
    "retired and cancelled": ([1, 1000], "they are mixed"),
    "none": ([0, 1], "not among 1 to 1000"),
    "one too many": ([1000, 1001], "not among 1 to 1000"),
}


def of_batch(serials: list[int] | None, **parts: Any) -> World:
    """Return the world with a bundle that has no retirement in it."""
    document = json.loads(World(**parts).build()[0])
    return World(bundle={"serials": serials, "events": document["events"][:1]}, **parts)


@pytest.mark.parametrize("name", GOOD)
def test_all_is_well(name: str) -> None:
    verdict = verify(*GOOD[name].build())
    assert [name for name, _ in verdict.checks] == [
        *("block", "contract", "creation", "batch", "log", "admin", "ancestor"),
        *("issued", "retired", "serials", "manifest", "registered", "readings"),
    ]
    assert verdict.facts["project"] == GOOD[name].codes
    assert verdict.facts["log"] == {"seq": 12, "head": (99).to_bytes(32)}
    assert verdict.facts["retired"]["sender"].hex() == OWNER.address[2:].lower()
    issued = verdict.facts["issued"]
    assert [issued[f"{part}_id"] for part in ("class", "project", "site")] == [1, 2, 3]
    retired, world = verdict.facts["retired"], GOOD[name]
    assert (retired["beneficiary"], retired["reason"]) == (world.beneficiary, world.reason)
    claimed = [retired[f"consumption_{end}"] for end in ("start", "end")]
    assert [retired["country"], *claimed] == ["DE", START, END]
    assert retired["document_hash"] == DOCUMENT
    assert all(words.isprintable() for _, words in verdict.checks)


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (World(), "active;"),
        (World(expires_at=TRUSTED_AT + 1), "active, which expires at 2014-04-26T18:03:31Z;"),
        (World(expires_at=TRUSTED_AT), "active, which expired at 2014-04-26T18:03:30Z;"),
        (World(status=2, expires_at=1), "suspended, which expired at 1970-01-01T00:00:01Z;"),
    ],
)
def test_a_batch_past_its_expiry_is_not_said_to_be_active_alone(world: World, said: str) -> None:
    """Its status is written when somebody records the expiry; it moves no more before that, too (CC-33)."""
    words = dict(verify(*world.build()).checks)["batch"]
    assert words.startswith(f"the block contains batch 21474836487, {said}"), words


def test_for_which_time_the_kilograms_were_issued_is_said_as_the_contract_has_it() -> None:
    """A credit's name has a year, and its manifest has days, that nobody but the sum compares with the period."""
    for name in ("as it should be", "a manifest that names the days of another year"):
        words = dict(verify(*GOOD[name].build()).checks)["issued"]
        assert words.startswith(
            "1000 kg were issued for the period 2014-01-01T00:00:00Z to 2014-01-31T23:00:00Z "
            "as a backfill before batch 12884901893 by transaction 0x"
        ), words


@long
def test_without_the_retirement_nobody_is_told_for_whom_it_was() -> None:
    """Whoever takes the event out of another's bundle must not have one of retired serials without a name."""
    unnamed = "for whom the serials were retired"
    cases = {"retired": ([1, 100], True), "held": ([101, 950], False), "batch": (None, False)}
    for serials, missing in cases.values():
        text, trusted = of_batch(serials).build()
        said = judge(text, trusted)
        assert (unnamed in said["not_proven"]) is missing, serials
        assert judged([case(text, trusted)]) == [said]
    assert unnamed not in judge(*World().build())["not_proven"]


@long
def test_a_bundle_of_the_first_format_is_read_and_says_nothing_of_the_project() -> None:
    """It has no ``registered``, so that a manifest of any project would do: that is said to be left out."""
    text, trusted = World(registered={}).build()
    document = json.loads(text)
    del document["registered"]
    text = json.dumps(document | {"format": "truetonne-bundle/1"})
    said = judge(text, trusted)
    assert "registered" not in [name for name, _ in said["held"]]
    left_out = {"under what code project and site of the credits are registered"}
    assert {*said["not_proven"]} - {*judge(*World().build())["not_proven"]} == left_out
    assert judged([case(text, trusted)]) == [said]


FIRST_OF_EACH = {message: name for name, (_, message) in reversed(WRONG.items())}.values()
"""One world for each message: what both verifiers say of all of them is compared below in any form of the suite."""


@pytest.mark.parametrize("name", rest(WRONG, *FIRST_OF_EACH))
def test_what_is_wrong_is_noticed(name: str) -> None:
    world, message = WRONG[name]
    with pytest.raises(ProofError, match=f"^{message}"):
        verify(*world.build())


@pytest.mark.parametrize("name", STATES)
def test_serials_are_in_one_state(name: str) -> None:
    serials, said = STATES[name]
    text, trusted = of_batch(serials).build()
    if said.startswith(("they", "not")):
        with pytest.raises(ProofError, match=said):
            verify(text, trusted)
    else:
        assert verify(text, trusted).facts["serials"]["state"] == said


BY_WHOM = "by whom the serials are held: accounts hold amounts of a batch, and not serials"


def test_whoever_is_shown_serials_that_are_held_is_told_that_this_names_no_holder() -> None:
    """The same bundle could be shown to two buyers as theirs."""
    cases: list[tuple[list[int] | None, bool]] = [([101, 950], True), ([951, 1000], False)]
    for serials, unnamed in [*cases, ([1, 100], False), (None, False)]:
        text, trusted = of_batch(serials).build()
        assert (BY_WHOM in verify(text, trusted).not_proven) is unnamed, serials
    assert BY_WHOM not in verify(*World().build()).not_proven


@few(1)
@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"status": 2}, "held"),
        ({"status": 3}, "held"),
        ({"expires_at": TRUSTED_AT + 1}, "held"),
        ({"expires_at": TRUSTED_AT}, "frozen"),
        ({"status": 5, "expires_at": TRUSTED_AT}, "frozen"),
        ({"status": 4}, "frozen"),
    ],
)
def test_what_can_move_no_more_is_not_said_to_be_held(parts: dict[str, Any], said: str) -> None:
    """Of a batch that was invalidated or is past its expiry nobody can ever move anything (CC-33)."""
    text, trusted = of_batch([101, 950], **parts).build()
    assert verify(text, trusted).facts["serials"]["state"] == said
    assert BY_WHOM in verify(text, trusted).not_proven
    assert judged([case(text, trusted)]) == [judge(text, trusted)]
    mixed, trusted = of_batch([100, 101], **parts).build()
    with pytest.raises(ProofError, match="they are mixed"):
        verify(mixed, trusted)


def test_what_was_retired_of_a_batch_that_was_invalidated_is_not_said_to_be_retired_alone() -> None:
    """What was retired of it became its deficit (CC-57): the retirement counts as far as others replace it."""
    plain = "serials 1 to 100 are retired in the block you trust"
    since = ", of a batch that was invalidated since: 60 kg retired of it are still to be replaced"
    said = dict(verify(*World(status=4, deficit_kg=60).build()).checks)
    assert said["serials"] == plain + since
    assert dict(verify(*World().build()).checks)["serials"] == plain
    # Whoever leaves out what became of the serials leaves the retirement: it says so, too.
    text, trusted = World(status=4, deficit_kg=60, bundle={"serials": None}).build()
    alone = dict(verify(text, trusted).checks)
    assert "serials" not in alone and alone["retired"] == said["retired"]
    assert said["retired"] == dict(verify(*World().build()).checks)["retired"] + since
    assert judged([case(text, trusted)]) == [judge(text, trusted)]
    # Of a batch that no longer is a retirement may be left out, too: what is held of it is frozen.
    named = dict(verify(*of_batch([1, 100], status=4, deficit_kg=60).build()).checks)
    assert named["serials"] == plain + since


def test_the_page_says_the_same_of_every_world() -> None:
    worlds = [*GOOD.values(), *(world for world, _ in WRONG.values())]
    worlds += [of_batch(serials) for serials, _ in STATES.values()]
    built = [world.build() for world in worlds]
    for (text, trusted), said in zip(built, judged(case(*each) for each in built), strict=True):
        assert said == judge(text, trusted)


@long
def test_both_say_the_same_of_chains_that_are_odd_behind_their_hashes() -> None:
    """The first of ``./dev forgeries --chains``."""
    chance = random.Random(20261129)
    built = [wild(chance) for _ in range(400)]
    said = [judge(*each) for each in built]
    assert judged(case(*each) for each in built) == said
    assert len({verdict.get("check") for verdict in said}) > 10  # each check met some


def test_the_contract_is_where_the_factory_puts_it() -> None:
    """By the formula of EIP-1014, in a world whose address was computed by other code than the verifier's."""
    text, trusted = World().build()
    assert trusted.address == CONTRACT
    document = json.loads(text)
    document["creation"]["salt"] = "0x" + "06" * 32
    with pytest.raises(ProofError, match=r"^creation: the factory would have put it at 0x"):
        verify(json.dumps(document), trusted)
