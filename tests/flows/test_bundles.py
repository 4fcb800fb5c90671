"""A real credit on a real chain, bundled, and checked by nothing but the bundle and four values."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eth_utils.crypto import keccak
from sqlalchemy import select

from indexer import Indexer
from ledger.bundles import ALL, BuiltBundle, Place, build_bundle
from ledger.bundles.node_proofs import events_of
from ledger.chain.contracts.events import CREDIT
from ledger.chain.node.client import ChainClient, RpcError
from ledger.db import Database
from ledger.errors import BadInput, DependencyDown, NotFound, Refused, TruetonneError
from ledger.models import CreditRetirement, Issuance, MeterReading
from ledger.proofs.sums import recompute
from ledger.proofs.verifier import NOT_PROVEN, ProofError, Trusted, verify
from ledger.proofs.verifier.checks import HISTORY, shown
from tests.support import acts
from tests.support.bundle_mutants import judge, mutants, says_no_more
from tests.support.chain import FIRST_PERIOD_S, PARTIES
from tests.support.forgeries import FORGERIES, TEXTS, forged
from tests.support.forms import long
from tests.support.mirror import running_chain
from tests.support.park import PROJECT, Park, running_park
from tests.support.proven import (
    ALL_READINGS,
    BATCH,
    BATCH_ALONE,
    BENEFICIARY,
    NAME,
    RETIRED,
    bundle,
)

MUTANTS = 400
"""In all; ``./dev forgeries --count 100000`` makes more of them."""


@pytest.fixture(scope="module")
def park(proven: Park) -> Park:
    return proven


@pytest.fixture(scope="module")
def built(corpus: dict[str, BuiltBundle]) -> BuiltBundle:
    return corpus[RETIRED]


# ------------------------------------------------------------------ what it proves


def test_a_retired_credit_is_proven(built: BuiltBundle, park: Park) -> None:
    verdict = verify(built.text, built.trusted)
    assert [name for name, _ in verdict.checks] == [
        *("block", "contract", "batch", "log", "admin", "ancestor", "ancestor"),
        *("issued", "retired", "serials", "manifest", "registered", "readings"),
    ]
    facts = verdict.facts
    assert facts["batch"] == {
        "id": BATCH,
        "status": "active",
        "issued_kg": 720,
        "retired_kg": 100,
        "cancelled_kg": 0,
        "period_start": FIRST_PERIOD_S,
        "period_end": FIRST_PERIOD_S + 86_400,
        "expires_at": 0,
        "deficit_kg": 0,
    }
    party = {role: bytes.fromhex(address[2:]) for role, address in PARTIES.items()}
    assert facts["admin"] == party["admin"]
    assert facts["issued"]["sender"] == facts["issued"]["issuer"] == party["issuer"]
    assert facts["issued"]["verifier"] == party["verifier"]
    assert facts["issued"]["amount"] == 720
    assert facts["issued"]["site_id"] == BATCH >> 32
    assert facts["project"] == PROJECT
    assert facts["retired"]["sender"] == facts["retired"]["holder"] == party["owner"]
    assert facts["retired"]["beneficiary"] == BENEFICIARY
    assert facts["retired"]["reason"] == "year 2014"
    assert facts["serials"] == {"first": 1, "last": 100, "state": "retired"}
    assert (facts["readings"], facts["all_readings"]) == (3, False)
    seq, head = park.chain.credit.log_head()
    assert facts["log"] == {"seq": seq, "head": bytes.fromhex(head[2:])}


def test_each_check_is_said_in_plain_words(built: BuiltBundle) -> None:
    words = dict(verify(built.text, built.trusted).checks)
    address = "0x" + built.trusted.address.hex()
    assert words["contract"] == (
        f"the block you trust contains contract {address}, with the code you trust"
    )
    assert words["batch"] == (
        f"the block contains batch {BATCH}, active; of its kilograms are "
        "720 issued, 100 retired, 0 cancelled, 0 deficit"
    )
    assert words["retired"].startswith(
        f'serials 1 to 100 were retired for "{BENEFICIARY}" (reason: "year 2014") by '
    )
    assert words["serials"] == "serials 1 to 100 are retired in the block you trust"


def test_what_a_bundle_leaves_out_is_said(corpus: dict[str, BuiltBundle]) -> None:
    def not_proven(kind: str) -> tuple[str, ...]:
        return verify(corpus[kind].text, corpus[kind].trusted).not_proven

    creation, serials, readings = (
        "by what init code, and with which arguments, the contract was made",
        "what became of single serials",
        "on which readings the kilograms rest",
    )
    assert not_proven(RETIRED) == (*NOT_PROVEN, creation)
    assert not_proven(BATCH_ALONE) == (*NOT_PROVEN, creation, serials, readings)


def test_a_name_cannot_speak_for_the_verifier() -> None:
    """Line breaks, marks that turn the direction, terminal codes: each by its number."""
    assert shown(BENEFICIARY) == f'"{BENEFICIARY}"'
    assert shown('x"\nok\u202e\x1b[2J\u200b\\') == '"x<22><a>ok<202e><1b>[2J<200b><5c>"'
    assert len(shown("é" * 10_000)) == 10_002


def test_no_two_names_look_alike_for_a_sign_without_ink() -> None:
    """Letters, marks and a symbol that nobody sees: Hangul's filler, variations, braille's blank."""
    assert shown("ACME\u3164") == '"ACME<3164>"'
    assert shown("\u115f\u1160\uffa0\u2800\u034f\u17b4\u180b\ufe0f\U000e0100") == (
        '"<115f><1160><ffa0><2800><34f><17b4><180b><fe0f><e0100>"'
    )
    assert shown("Vie\u0323\u0302t Nam 深圳 ㄱ") == '"Vie\u0323\u0302t Nam 深圳 ㄱ"'


def test_with_all_readings_the_root_is_recomputed(corpus: dict[str, BuiltBundle]) -> None:
    built = corpus[ALL_READINGS]
    facts = verify(built.text, built.trusted).facts
    assert (facts["readings"], facts["all_readings"]) == (144, True)


def test_with_all_readings_the_kilograms_are_computed_again(
    corpus: dict[str, BuiltBundle],
) -> None:
    text = corpus[ALL_READINGS].text
    said = recompute(text)
    assert said is not None
    assert "0.5 t/MWh they come to 720 kg" in said
    assert recompute(corpus[RETIRED].text) is None
    # Nobody can give it this without the hash: the arithmetic by itself finds it all the same.
    document = json.loads(text)
    row = document["readings"]["rows"][7]
    document["readings"]["rows"][7] = [*row[:7], "61"]
    with pytest.raises(ProofError, match=r"^sum: .* do not follow from its readings") as error:
        recompute(json.dumps(document))
    assert error.value.check == "sum"


@pytest.mark.parametrize(
    ("credit", "state"), [(f"{NAME}-101-720", "held"), (NAME, None), (f"{NAME}-300-301", "held")]
)
def test_what_is_held_is_proven_as_held(park: Park, credit: str, state: str | None) -> None:
    built = bundle(park, credit, 0)
    facts = verify(built.text, built.trusted).facts
    assert "retired" not in facts
    assert facts.get("serials", {}).get("state") == state


def test_blocks_far_back_are_reached_by_steps(park: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    """One ancestor leads to the next: here by steps of two blocks, for those of 8,191 take minutes."""
    monkeypatch.setattr("ledger.bundles.node_proofs._STEP_BLOCKS", 2)
    built = bundle(park, readings=0)
    anchors = [item["anchor"] for item in json.loads(built.text)["ancestors"]]
    assert anchors == list(range(len(anchors)))
    assert len(anchors) > 5
    assert verify(built.text, built.trusted).facts["issued"]["amount"] == 720


def test_a_block_too_far_back_is_no_ancestor(
    built: BuiltBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.proofs.verifier.checks.HISTORY_BLOCKS", 1)
    with pytest.raises(ProofError, match="too far"):
        verify(built.text, built.trusted)


# ------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("field", "check"),
    [
        ("block_hash", "block"),
        ("address", "contract"),
        ("code_hash", "contract"),
        ("chain_id", "contract"),
    ],
)
def test_each_trusted_value_matters(built: BuiltBundle, field: str, check: str) -> None:
    value = getattr(built.trusted, field)
    other = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
    with pytest.raises(ProofError) as error:
        verify(built.text, built.trusted._replace(**{field: other}))
    assert error.value.check == check


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_refused(built: BuiltBundle, name: str) -> None:
    forge, message = FORGERIES[name]
    with pytest.raises(ProofError, match=message):
        verify(forged(built.text, forge), built.trusted)


@pytest.mark.parametrize("name", TEXTS)
def test_another_text_is_refused(built: BuiltBundle, name: str) -> None:
    text = TEXTS[name](built.text)
    assert text != built.text
    answer = judge(text, built.trusted)
    assert (answer["valid"], answer["check"], answer["held"]) == (False, "format", [])


def test_other_blanks_and_keys_in_another_order_mean_the_same(built: BuiltBundle) -> None:
    document = json.loads(built.text)
    turned = json.dumps(dict(reversed(document.items())), indent="\t", ensure_ascii=True)
    assert judge(turned, built.trusted) == judge(built.text, built.trusted)


def test_mutants_are_refused_with_a_proof_error_and_nothing_else(
    corpus: dict[str, BuiltBundle],
) -> None:
    chance, refused = random.Random(20260101), 0
    for built in corpus.values():
        source = mutants(built.text, chance)
        for _ in range(MUTANTS // len(corpus)):
            text = next(source)
            if judge(text, built.trusted)["valid"]:
                says_no_more(text, built)
            else:
                refused += 1
    assert refused > MUTANTS * 0.9


# -------------------------------------------------------------------- the builder


def test_a_credit_newer_than_the_block_is_not_final_yet(park: Park) -> None:
    with pytest.raises(Refused, match="wait until it is final"):
        bundle(park, NAME, 0, 3)
    with park.db.read() as session:
        [retired] = session.scalars(select(CreditRetirement))
    with pytest.raises(Refused, match=f"block {retired.block_number}, in which it was issued or"):
        bundle(park, readings=0, block=retired.block_number - 1)


def test_what_there_is_not_cannot_be_bundled(park: Park) -> None:
    with pytest.raises(NotFound, match="there is no credit"):
        bundle(park, "park-wind-2014-9", 0)
    with pytest.raises(NotFound, match="no block"):
        bundle(park, NAME, 0, 10**9)


@long
def test_readings_of_others_books_are_not_here(park: Park, tmp_path: Path) -> None:
    """A mirror alone proves the credit; it has neither manifest nor readings."""
    again = Database(f"sqlite:///{tmp_path}/mirror.db")
    again.upgrade()
    Indexer(again, park.chain.client, park.chain.deployment).run_until("head")
    mirror = replace(park, db=again)
    assert json.loads(bundle(mirror, NAME, 0).text)["manifest"] is None
    with pytest.raises(Refused, match="neither manifest nor readings"):
        bundle(mirror, NAME, 1)
    again.close()


@long
def test_what_stands_in_for_others_is_proven_as_retired_and_for_nobody(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Its event is no retirement; and what was retired of one batch parts no serials of another."""
    with running_park(sqlite_db, tmp_path) as park:
        park.node.act("registrar", CREDIT, "setClassBuffer", [1, 1000])
        bad, good = park.node.issue(100, 4), park.node.issue(200, 9)
        park.node.retire("owner", bad, 30)
        acts.invalidate(park.node, bad)
        acts.replace(park.node, good, bad, 12)
        park.mirror_final()
        for serials, state in (("1-12", "retired"), ("13-200", "held")):
            built = bundle(park, f"lhb-wind-2014-2-{serials}", 0)
            verdict = verify(built.text, built.trusted)
            assert verdict.facts["serials"]["state"] == state
            assert "retired" not in verdict.facts
            said = "for whom the serials were retired" in verdict.not_proven
            assert said is (state == "retired")


@pytest.mark.parametrize(
    "name",
    ["", "x" * 10_000, "<script>", "\u202e1-001", "\0", "0x" + "g" * 64, "../../x", NAME + "-9-1"],
)
def test_a_malformed_name_is_one_clear_line(park: Park, name: str) -> None:
    with pytest.raises(TruetonneError) as error:
        bundle(park, name, 0)
    assert error.value.exit_code == 2
    assert error.value.message.isprintable()
    assert len(error.value.message) < 400


def test_serials_of_two_fates_are_refused_before_the_node_is_asked(park: Park) -> None:
    deaf: Any = None  # a client that nothing can be asked of
    with park.db.read() as session, pytest.raises(BadInput) as error:
        build_bundle(deaf, park.chain.deployment, session, f"{NAME}-50-150", "latest")
    assert error.value.code == "mixed-serials"
    assert error.value.message == (
        f"serials 50 to 100 are retired and 101 to 150 active: name one of these, for instance {NAME}-50-100"
    )
    assert bundle(park, f"{NAME}-50-100", 0).checks


@pytest.mark.parametrize("sign", ["", " ", "x"])
def test_a_manifest_that_was_changed_since_is_not_the_nodes_fault(park: Park, sign: str) -> None:
    """It was said that the node's answers prove nothing; and one that is no JSON was an internal error."""
    deaf: Any = None  # nothing is asked of it
    with park.db.write() as session:
        issuance = session.scalars(select(Issuance)).one()
        number, issuance.manifest = issuance.id, sign + issuance.manifest[not sign :]
        session.flush()
        with pytest.raises(Refused, match=f"the manifest of issuance {number} in these") as error:
            build_bundle(deaf, park.chain.deployment, session, NAME, "latest")
        session.rollback()
    assert error.value.code == "no-evidence"


@pytest.mark.parametrize(
    ("wanted", "column", "value"),
    [(1, "value_digits", 7), (ALL, "value_digits", 7), (ALL, "reason", "by-hand")],
)
def test_readings_that_were_changed_since_are_not_the_nodes_fault(
    park: Park, wanted: int, column: str, value: int | str
) -> None:
    """A reason that no version writes was an internal error."""
    deaf: Any = None  # nothing is asked of it
    with park.db.write() as session:
        changed = session.scalars(
            select(MeterReading).where(MeterReading.quality == "used")
        ).first()
        assert changed is not None
        setattr(changed, column, value)
        session.flush()
        with pytest.raises(Refused, match="not those that it was issued from") as error:
            build_bundle(deaf, park.chain.deployment, session, NAME, "latest", wanted)
        session.rollback()
    assert error.value.code == "no-evidence"


def test_serials_are_mixed_only_from_the_block_on_that_parted_them(park: Park) -> None:
    with park.db.read() as session:
        [retired] = session.scalars(select(CreditRetirement))
    before = bundle(park, f"{NAME}-50-150", 0, retired.block_number - 1)
    assert verify(before.text, before.trusted).facts["serials"]["state"] == "held"
    with pytest.raises(BadInput, match="name one of these"):
        bundle(park, f"{NAME}-50-150", 0, retired.block_number)


class Node:
    """A client whose node answers one method in its own way."""

    def __init__(self, client: ChainClient, method: str, answer: Any) -> None:
        self._client, self._method, self._answer = client, method, answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def request(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method != self._method:
            return self._client.request(method, params)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer(self._client.request(method, params))

    def in_state(self, method: str, params: Sequence[Any], block: str) -> Any:
        return self.request(method, [*params, {"blockHash": block}])


def built_from(park: Park, method: str, answer: Any) -> BuiltBundle:
    node: Any = Node(park.chain.client, method, answer)
    with park.db.read() as session:
        return build_bundle(node, park.chain.deployment, session, NAME, "latest", 0)


def test_a_node_without_the_state_says_so(park: Park) -> None:
    pruned = RpcError("eth_getProof", -32000, "missing trie node 0xabc at http://10.0.0.1", None)
    with pytest.raises(Refused, match=r"ask an archive node, or .* newer block") as error:
        built_from(park, "eth_getProof", pruned)
    assert "10.0.0.1" not in error.value.message


def test_a_header_of_a_later_fork_is_not_the_nodes_fault(park: Park) -> None:
    with pytest.raises(Refused, match=r"fields that are not known here \(futureRoot\)") as error:
        built_from(
            park,
            "eth_getBlockByNumber",
            lambda found: found | {"futureRoot": "0x0", "hash": "0x" + "11" * 32},
        )
    assert error.value.code == "header-unknown"


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getTransactionReceipt"])
def test_a_node_that_lacks_a_transaction_is_on_another_fork(park: Park, method: str) -> None:
    """Its blocks have others, or it took the block back between two questions."""
    node: Any = Node(park.chain.client, method, lambda found: found | {"transactions": []})
    node.request_batch = lambda calls: [None for _ in calls]
    with park.db.read() as session, pytest.raises(DependencyDown) as error:
        build_bundle(node, park.chain.deployment, session, NAME, "latest", 0)
    assert error.value.code == "node-elsewhere"


def test_the_hash_of_an_older_block_is_asked_for_where_the_chain_keeps_it() -> None:
    """In a ring of 8,191 (EIP-2935); blocks of tests are all of its first round."""
    asked: list[Any] = []

    def in_state(method: str, params: Sequence[Any], block: str) -> Any:
        asked.append((params, block))
        raise RpcError(method, -32000, "pruned", None)

    node: Any = SimpleNamespace(request=lambda *_: {"number": hex(20_000)}, in_state=in_state)
    with pytest.raises(Refused, match="no proof in the state of block 20001"):
        events_of(node, [Place("issued", 20_000, "", 0)], {"number": hex(20_001), "hash": "0xab"})
    place = 20_000 - 2 * 8191
    assert asked == [(["0x0000f90827f1c53a10cb7a02335b175320002935", [f"0x{place:064x}"]], "0xab")]


def test_a_chain_without_hashes_of_older_blocks_says_so(park: Park) -> None:
    """As Hardhat 3.18 proves it: the account is there, and has no storage at all."""

    def no_history(found: dict[str, Any]) -> dict[str, Any]:
        if found["address"] != "0x" + HISTORY.hex():
            return found
        empty = {"key": found["storageProof"][0]["key"], "value": "0x0", "proof": ["0x80"]}
        root = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
        return found | {"storageHash": root, "storageProof": [empty]}

    with pytest.raises(Refused, match="keeps no hash of block") as error:
        built_from(park, "eth_getProof", no_history)
    assert error.value.code == "no-block-hashes"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("eth_getProof", lambda _: None),
        ("eth_getProof", lambda found: found | {"storageProof": []}),
        ("eth_getProof", lambda found: found | {"accountProof": ["0xc0", "0x8100", 7]}),
        ("eth_getProof", lambda found: found | {"accountProof": found["accountProof"][:-1]}),
        ("eth_getProof", lambda found: found | {"storageHash": "0x" + "11" * 32}),
        ("eth_getBlockByNumber", lambda found: found | {"stateRoot": None}),
    ],
)
def test_a_node_that_lies_proves_nothing(park: Park, method: str, answer: Any) -> None:
    with pytest.raises(TruetonneError) as error:
        built_from(park, method, answer)
    assert isinstance(error.value, Refused | DependencyDown)
    assert error.value.message.isprintable()


def test_a_node_of_another_chain_proves_nothing(park: Park) -> None:
    """The contract is not there, or the transactions were signed for another chain."""
    elsewhere = replace(park.chain.deployment, chain_id=1)
    with park.db.read() as session, pytest.raises(DependencyDown, match="signed for chain 31337"):
        build_bundle(park.chain.client, elsewhere, session, NAME, "latest", 0)
    with running_chain() as other, park.db.read() as session:
        other.mine(60)
        with pytest.raises(DependencyDown, match=r"on another fork|prove nothing"):
            build_bundle(other.client, park.chain.deployment, session, NAME, "latest", 0)


def test_trusted_is_what_the_node_says(park: Park, built: BuiltBundle) -> None:
    code = park.chain.client.code(park.chain.deployment.credit.address)
    head = park.chain.client.block("latest")
    assert head is not None
    assert built.trusted == Trusted(
        bytes.fromhex(head.hash[2:]),
        bytes.fromhex(park.chain.deployment.credit.address[2:]),
        keccak(bytes.fromhex(code[2:])),
        31337,
    )
