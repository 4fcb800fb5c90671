"""A real credit on a real chain, bundled, and checked by nothing but the bundle and four values."""

import json
import os
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rlp as other_rlp

from indexer import Indexer
from ledger.bundles import ALL, BuiltBundle, build_bundle
from ledger.db import Database
from ledger.errors import NotFound, Refused
from ledger.proofs.sums import recompute
from ledger.proofs.verifier import ProofError, Trusted, verify
from ledger.proofs.verifier.trie import keccak256
from tests.support.chain import FIRST_PERIOD_S, PARTIES
from tests.support.park import Park
from tests.support.proven import BATCH, NAME, proven_park

MUTATIONS = int(os.environ.get("TRUETONNE_MUTANTS", "4000"))
"""Mutants of a bundle; for a long run give the variable a larger number."""


@pytest.fixture(scope="module")
def park(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Park]:
    with proven_park(tmp_path_factory.mktemp("park")) as made:
        yield made


def bundle(park: Park, credit: str = f"{NAME}-1-100", readings: int = 3) -> BuiltBundle:
    with park.db.read() as session:
        return build_bundle(
            park.chain.client, park.chain.deployment, session, credit, "latest", readings
        )


@pytest.fixture(scope="module")
def built(park: Park) -> BuiltBundle:
    return bundle(park)


# ------------------------------------------------------------------ what it proves


def test_a_retired_credit_is_proven(built: BuiltBundle, park: Park) -> None:
    verdict = verify(built.text, built.trusted)
    assert [name for name, _ in verdict.checks] == [
        *("block", "contract", "batch", "log", "admin", "ancestor", "ancestor"),
        *("issued", "retired", "serials", "manifest", "readings"),
    ]
    facts = verdict.facts
    assert facts["batch"] == {
        "id": str(BATCH),
        "status": "active",
        "issued_kg": "720",
        "retired_kg": "100",
        "cancelled_kg": "0",
        "period_start": FIRST_PERIOD_S,
        "period_end": FIRST_PERIOD_S + 86_400,
        "expires_at": 0,
        "deficit_kg": "0",
    }
    assert facts["admin"] == PARTIES["admin"]
    assert facts["issued"]["sender"] == facts["issued"]["issuer"] == PARTIES["issuer"]
    assert facts["issued"]["verifier"] == PARTIES["verifier"]
    assert facts["issued"]["amount"] == "720"
    assert facts["retired"]["sender"] == facts["retired"]["holder"] == PARTIES["owner"]
    assert facts["retired"]["beneficiary"] == "幼儿园 Kindergarten"
    assert facts["retired"]["reason"] == "year 2014"
    assert facts["serials"] == {"first": 1, "last": 100, "state": "retired"}
    assert (facts["readings"], facts["all_readings"]) == (3, False)
    seq, head = park.chain.credit.log_head()
    assert facts["log"] == {"seq": seq, "head": head}


def test_with_all_readings_the_root_is_recomputed(park: Park) -> None:
    built = bundle(park, readings=ALL)
    facts = verify(built.text, built.trusted).facts
    assert (facts["readings"], facts["all_readings"]) == (144, True)


def test_with_all_readings_the_kilograms_are_computed_again(park: Park) -> None:
    text = bundle(park, readings=ALL).text
    said = recompute(text)
    assert said is not None
    assert "0.5 t/MWh they come to 720 kg" in said
    assert recompute(bundle(park, readings=3).text) is None
    # Nobody can give it this without the hash: the arithmetic by itself finds it all the same.
    document = json.loads(text)
    row = document["readings"]["rows"][7]
    document["readings"]["rows"][7] = [*row[:7], "61"]
    with pytest.raises(ProofError, match="do not follow from its readings"):
        recompute(json.dumps(document))


@pytest.mark.parametrize(
    ("credit", "state"), [(f"{NAME}-101-720", "held"), (NAME, None), (f"{NAME}-300-301", "held")]
)
def test_what_is_held_is_proven_as_held(park: Park, credit: str, state: str | None) -> None:
    built = bundle(park, credit, 0)
    facts = verify(built.text, built.trusted).facts
    assert "retired" not in facts
    assert facts.get("serials", {}).get("state") == state


def test_block_hash_of_another_library(built: BuiltBundle) -> None:
    """The header is RLP by another package, field for field, and hashes to the trusted block."""
    header = bytes.fromhex(json.loads(built.text)["header"][2:])
    assert other_rlp.encode(other_rlp.decode(header)) == header
    assert len(other_rlp.decode(header)) == 21
    assert keccak256(header) == built.trusted.block_hash


def test_blocks_far_back_are_reached_by_steps(park: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    """One ancestor leads to the next: here by steps of two blocks, for those of 8,191 take minutes."""
    monkeypatch.setattr("ledger.bundles._STEP_BLOCKS", 2)
    built = bundle(park, readings=0)
    anchors = [item["anchor"] for item in json.loads(built.text)["ancestors"]]
    assert anchors == list(range(len(anchors)))
    assert len(anchors) > 5
    assert verify(built.text, built.trusted).facts["issued"]["amount"] == "720"


def test_a_block_too_far_back_is_no_ancestor(
    built: BuiltBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.proofs.verifier.checks.HISTORY_BLOCKS", 1)
    with pytest.raises(ProofError, match="too far"):
        verify(built.text, built.trusted)


# ------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize("field", ["block_hash", "address", "code_hash", "chain_id"])
def test_each_trusted_value_matters(built: BuiltBundle, field: str) -> None:
    value = getattr(built.trusted, field)
    other = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
    with pytest.raises(ProofError):
        verify(built.text, replace(built.trusted, **{field: other}))


Forgery = Callable[[dict[str, Any]], None]


def put(*path: Any, value: Any) -> Forgery:
    def forge(document: dict[str, Any]) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value(place[path[-1]]) if callable(value) else value

    return forge


def swap_events(document: dict[str, Any]) -> None:
    for name in ("block", "index", "transaction", "receipt"):
        one, other = document["events"]
        one[name], other[name] = other[name], one[name]


FORGERIES: dict[str, tuple[Forgery, str]] = {
    "more retired than there is": (put("serials", value=[1, 101]), "not those retired"),
    "serials upside down": (put("serials", value=[100, 1]), "not those retired"),
    "serial zero": (put("serials", value=[0, 5]), "not those retired"),
    "another batch": (put("batch_id", value=str(BATCH + 1)), "batch|node"),
    "another chain": (put("chain_id", value=1), "signed for chain"),
    "the receipt of one event, the transaction of the other": (
        put("events", 0, "transaction", value=lambda _: []),
        "proof ends",
    ),
    "events in each other's place": (swap_events, "node|proof|path|event"),
    "an event twice": (put("events", value=lambda events: [events[0], *events]), "event 'issued'"),
    "without its issuance": (put("events", value=lambda events: events[1:]), "lacks the event"),
    "an event that is none": (put("events", 0, "kind", value="minted"), "minted"),
    "a block that is not there": (put("events", 0, "block", value=9), "not in the bundle"),
    "a log that is not there": (put("events", 0, "log", value=99), "no such log"),
    "the mint's log instead": (put("events", 0, "log", value=lambda log: log + 1), "another event"),
    "another place in the block": (put("events", 0, "index", value=1), "proof|path|no such"),
    "an ancestor on itself": (put("ancestors", 0, "anchor", value=1), "does not come before"),
    "an ancestor without its proof": (put("ancestors", 0, "slot", value=[]), "proof ends"),
    "junk in a proof": (
        put("account", value=lambda nodes: [*nodes, "0xc0"]),
        "belong to no path",
    ),
    "a slot of another name": (
        lambda document: document["storage"].update(head=document["storage"]["admin"]),
        "proof|path|node",
    ),
    "a manifest with a blank more": (put("manifest", value=lambda text: text + " "), "hash"),
    "a reading that was more": (
        put("readings", "rows", 0, value=lambda row: [*row[:5], "61", *row[6:]]),
        "no such proof",
    ),
    "an excluded reading that counts": (
        put("readings", "rows", 0, value=lambda row: [*row[:4], 301, *row[5:]]),
        "no such proof",
    ),
    "a part of the readings as all of them": (
        put("readings", "proofs", value=None),
        "not exactly those",
    ),
    "a meter that the manifest does not know": (
        put("readings", "meters", value=["OTHER"]),
        "not one of the manifest",
    ),
    "a proof for one row less": (
        put("readings", "proofs", value=lambda proofs: proofs[1:]),
        "one for each row",
    ),
    "a key too much": (put("note", value="trust me"), "nothing else"),
    "a number as text": (put("chain_id", value="31337"), "whole number"),
    "true for one": (put("events", 0, "log", value=True), "whole number"),
    "upper-case hexadecimal": (put("contract", value=lambda text: "0x" + text[2:].upper()), "hexa"),
    "a newer format": (put("format", value="truetonne-bundle/2"), "truetonne-bundle/1"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_refused(built: BuiltBundle, name: str) -> None:
    forge, message = FORGERIES[name]
    document = json.loads(built.text)
    forge(document)
    with pytest.raises(ProofError, match=message):
        verify(json.dumps(document), built.trusted)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "{", "1", '"x"', "[" * 100_000, '{"format": NaN}', "{}"),
        '{"format": "truetonne-bundle/1", "format": "truetonne-bundle/1"}',
    ],
)
def test_what_is_no_bundle_is_refused(text: str, built: BuiltBundle) -> None:
    with pytest.raises(ProofError):
        verify(text, built.trusted)


@pytest.mark.parametrize("twin", ["-0", "0.0", "0e0", "00", "1E2"])
def test_a_number_has_one_spelling(built: BuiltBundle, twin: str) -> None:
    text = built.text.replace('"index":0', f'"index":{twin}', 1)
    assert text != built.text
    with pytest.raises(ProofError):
        verify(text, built.trusted)


def mutated(document: Any, chance: random.Random) -> Any:
    """Return a copy of a bundle with one value changed in one of many ways."""
    copy = deepcopy(document)
    places: list[tuple[Any, Any]] = []
    stack = [copy]
    while stack:
        item = stack.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item))
        places += [(item, key) for key in keys]
        stack += [item[key] for key in keys if isinstance(item[key], (dict, list))]
    holder, key = chance.choice(places)
    holder[key] = changed(holder[key], chance)
    return copy


def changed(value: Any, chance: random.Random) -> Any:
    odd = [None, True, False, 1.5, -1, 2**70, "", "0x", "0x0", [], {}, "\ud800", [[]], "1e3"]
    if isinstance(value, str) and value.startswith("0x") and len(value) > 4:
        at = chance.randrange(2, len(value))
        digit = chance.choice([sign for sign in "0123456789abcdef" if sign != value[at]])
        return chance.choice([value[:at] + digit + value[at + 1 :], value[:at], value + "00", *odd])
    if isinstance(value, str) and value:
        at = chance.randrange(len(value))
        return chance.choice([value[:at] + "7" + value[at:], value[:at] + value[at + 1 :], *odd])
    if isinstance(value, list) and value:
        return chance.choice(
            [value[1:], [*value, value[0]], value[::-1] if len(value) > 1 else [], *odd]
        )
    if isinstance(value, int):
        return chance.choice([value + 1, value - 1, str(value), [value], *odd])
    return chance.choice(odd)


def assert_weaker(facts: dict[str, Any], full: dict[str, Any]) -> None:
    """Require that a mutant says nothing that the bundle does not: it may only leave out."""
    assert facts.pop("readings", 0) <= full["readings"]
    serials = facts.pop("serials", full["serials"])
    assert full["serials"]["first"] <= serials["first"] <= serials["last"]
    assert serials["last"] <= full["serials"]["last"] or "retired" not in facts
    assert {name: full[name] for name in facts} == facts


def run_mutations(built: BuiltBundle, count: int, seed: int) -> int:
    """Return how many mutants were refused; what is accepted must say no more than the bundle."""
    chance, document, refused = random.Random(seed), json.loads(built.text), 0
    full = verify(built.text, built.trusted).facts
    for _ in range(count):
        copy = mutated(document, chance)
        if copy == document and repr(copy) == repr(document):
            continue
        text = json.dumps(copy)
        try:
            facts = verify(text, built.trusted).facts
        except ProofError:
            refused += 1
        else:
            assert_weaker(facts, full)
    return refused


def test_mutants_are_refused_with_a_proof_error_and_nothing_else(built: BuiltBundle) -> None:
    assert run_mutations(built, MUTATIONS, 20260101) > MUTATIONS * 0.95


# -------------------------------------------------------------------- the builder


def test_a_credit_newer_than_the_block_is_not_final_yet(park: Park) -> None:
    with park.db.read() as session, pytest.raises(Refused, match="wait until it is final"):
        build_bundle(park.chain.client, park.chain.deployment, session, NAME, 3, 0)


def test_what_there_is_not_cannot_be_bundled(park: Park) -> None:
    with park.db.read() as session, pytest.raises(NotFound, match="there is no credit"):
        build_bundle(
            park.chain.client, park.chain.deployment, session, "park-wind-2014-9", "latest", 0
        )
    with park.db.read() as session, pytest.raises(NotFound, match="no block"):
        build_bundle(park.chain.client, park.chain.deployment, session, NAME, 10**9, 0)


def test_readings_of_others_books_are_not_here(park: Park, tmp_path: Path) -> None:
    """A mirror alone proves the credit; it has neither manifest nor readings."""
    again = Database(f"sqlite:///{tmp_path}/mirror.db")
    again.upgrade()
    Indexer(again, park.chain.client, park.chain.deployment).run_until("head")
    with again.read() as session:
        built = build_bundle(park.chain.client, park.chain.deployment, session, NAME, "latest", 0)
        assert json.loads(built.text)["manifest"] is None
        with pytest.raises(Refused, match="neither manifest nor readings"):
            build_bundle(park.chain.client, park.chain.deployment, session, NAME, "latest", 1)
    again.close()


def test_trusted_is_what_the_node_says(park: Park) -> None:
    built = bundle(park, readings=0)
    code = park.chain.client.code(park.chain.deployment.credit.address)
    head = park.chain.client.block("latest")
    assert head is not None
    assert built.trusted == Trusted(
        bytes.fromhex(head.hash[2:]),
        bytes.fromhex(park.chain.deployment.credit.address[2:]),
        keccak256(bytes.fromhex(code[2:])),
        31337,
    )
