"""Batches that their parties sign: with keys at hand, with files, and what is refused of those."""

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy.orm import Session

from api.holders.escrow import units_per_cent
from cli.cosign import _refused_of, _states_of, nets_table, read_files, sign_file
from cli.flow import Flow
from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.contracts.roles import role_of
from ledger.chain.contracts.structs import Settlement
from ledger.chain.keys.signers import ANVIL_ROLES, anvil_signer
from ledger.errors import BadInput, Refused, TruetonneError
from ledger.jobs import growing
from ledger.jobs.work import Tools
from ledger.models import (
    ChainIntent,
    SettlementBalance,
    VppSettlementBatch,
    VppSettlementItem,
    VppSettlementSignature,
)
from ledger.models.sending import IntentState
from ledger.settings import load_settings
from ledger.settings.settling import SettlementPolicy, Way
from ledger.settlement import cosign, cosign_files, escrow
from ledger.settlement.batches import plan_round, submit_planned
from ledger.settlement.cancel import cancel_trade, plan_cancellation, withdraw
from ledger.settlement.explain import story_of, story_of_batch
from ledger.settlement.pending import Scope
from ledger.settlement.singles import plan_single
from ledger.settlement.words import Trade, pack
from tests.flows.test_cancelling import told
from tests.support.chain import PARTIES
from tests.support.forms import few, long, rest, times
from tests.support.park import Park, flow_of, keys_without, states, statuses
from tests.support.sending import Boundaries, Crash, automine, crashing, drop, opened

SHORT_ON_MARIADB = ("test_a_file_says_what_is_signed_and_brings_it_back",)

PLANT, BUYER = PARTIES["owner"], PARTIES["market"]
AUTO = SettlementPolicy(netting_hours=10**6)


def balances(park: Park) -> dict[str, int]:
    found = {row.account: int(row.balance) for row in park.rows(SettlementBalance)}
    assert park.chain.settlement.balances_of(list(found)) == list(found.values())
    return found


@long
def test_a_batch_whose_keys_are_ours_is_final_at_once_whatever_crashes(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash before and after every commit and every question to the node, from planning to sending."""
    park.fund(BUYER, 100_00)
    names = set()
    for number, place in enumerate(count(0, times(5, 3))):
        park.trade(("sell", 1000, 20_000), hour=number)
        door = opened(park, settling=AUTO)
        boundaries = Boundaries(place)
        with crashing(monkeypatch, boundaries), suppress(Crash):
            plan_round(door.chain)
            submit_planned(door.chain)
        later = opened(park.again(), settling=AUTO)
        later.mirror.run_until("head")
        plan_round(later.chain)
        submit_planned(later.chain)
        later.mirror_final()
        assert statuses(later) == ["executed"] * (number + 1)
        later.db.close()
        if boundaries.crashed_at is None:
            break
        names.add(boundaries.crashed_at)
    assert {"before a commit", "after a commit"} & names
    assert number >= times(2, 4)
    assert balances(park) == {PLANT: 2_00 * (number + 1), BUYER: 100_00 - 2_00 * (number + 1)}
    assert set(states(park)) == {"finalized"}
    with park.db.read() as session:
        assert units_per_cent(session) == park.chain.settlement.units_per_cent()
    assert {row.finalize_key for row in park.rows(VppSettlementBatch)} == {None}
    assert park.differences() == []


@pytest.fixture
def apart(park: Park) -> Park:
    """A park whose plant keeps its key elsewhere, with two trades."""
    return apart_of(park)


@pytest.fixture
def apart_on_both(both: Park) -> Park:
    """The same on either database."""
    return apart_of(both)


def apart_of(park: Park) -> Park:
    park.fund(BUYER, 100_00)
    park.trade(("sell", 1000, 20_000), ("buy", 2500, -1_234))
    return opened(park, settling=AUTO, keyring=keys_without(PLANT))


def write(path: Path, order: cosign_files.Order, signatures: dict[str, str]) -> None:
    path.write_text(cosign_files.text(order, signatures), encoding="utf-8")


def written(park: Park, hours: int = 2, absent: tuple[str, ...] = (PLANT,)) -> Path:
    """Freeze the pending trades, sign with the keys at hand, and write the file of the batch."""
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)
    plan_round(park.chain, Scope(way=Way.COSIGNED, signed_until=until))
    (key,) = {
        row.batch_key for row in park.rows(VppSettlementBatch) if row.state.value == "planned"
    }
    assert set(cosign.sign_ours(park.chain, key)) == set(absent)
    path = park.folder / "batch.json"
    with park.db.read() as session:
        order = cosign.order_of(session, park.chain, key, "tEUR")
    write(path, order, {})
    return path


def signed(path: Path, number: int = 4, account: str = PLANT) -> None:
    """Sign a file as the party does, away from node and books."""
    order, signatures = cosign_files.read(path)
    signature = anvil_signer(number).sign_typed_data(order.message)
    write(path, order, {**signatures, account: "0x" + signature.hex()})


def take(park: Park, path: Path, later: timedelta = timedelta(0)) -> Any:
    return cosign.take_file(park.chain, path, "tEUR", int((datetime.now(UTC) + later).timestamp()))


def test_a_file_says_what_is_signed_and_brings_it_back(apart_on_both: Park) -> None:
    apart = apart_on_both
    path = written(apart)
    assert submit_planned(apart.chain) == []  # the plant has not signed
    said = json.loads(path.read_text())
    assert said["participants"] == {PLANT: "plant", BUYER: "day-ahead"}
    # 2.00 for the plant; it buys 2.5 kWh at -0.1234, -0.3085: the market pays 0.31 more.
    assert {item["account"]: (item["receives"], item["pays"]) for item in said["nets"]} == {
        PLANT: ("2.31", "0.00"),
        BUYER: ("0.00", "2.31"),
    }
    trades = [
        (item["number"], item["quantity"], item["price"], item["buyer_pays"])
        for item in said["trades"]
    ]
    assert trades == [
        (1, "1.000 kWh", "2.0000", "2.00"),
        (2, "2.500 kWh", "-0.1234", "-0.31"),
    ]
    # The contract computes the same digest.
    data = apart.chain.settlement._view(
        "hashSettlement", [cosign_files.read(path)[0].settlement.as_tuple], "latest"
    )[0]
    assert said["digest"] == "0x" + data.hex()
    signed(path)
    tried = cosign.take_file(
        apart.chain, path, "tEUR", int(datetime.now(UTC).timestamp()), tried={}
    )
    assert tried[1:] == ([PLANT], [])
    assert apart.count(VppSettlementSignature) == 1 and submit_planned(apart.chain) == []
    assert take(apart, path)[1:] == ([PLANT], [])
    assert take(apart, path)[1:] == ([PLANT], [])  # a second reading changes nothing
    assert apart.count(VppSettlementSignature) == 2
    assert apart.differences() == []  # its call is made and waits
    assert len(submit_planned(apart.chain)) == 1
    apart.mirror_final()
    assert (states(apart), statuses(apart)) == (["finalized"], ["executed"] * 2)
    assert balances(apart) == {PLANT: 2_31, BUYER: 97_69}
    with pytest.raises(Refused, match="is finalized; nothing is left to sign"):
        take(apart, path)
    assert apart.differences() == []


@long
def test_files_of_one_batch_are_tried_together(park: Park) -> None:
    """Two parties sign two copies: what is tried says what taking them in would come to."""
    park.fund(BUYER, 100_00)
    park.trade(("sell", 1000, 20_000))
    door = opened(park, settling=AUTO, keyring=keys_without(PLANT, BUYER))
    first = written(door, absent=(PLANT, BUYER))
    second = Path(shutil.copy(first, first.with_name("second.json")))
    signed(first)
    signed(second, ANVIL_ROLES["market"], BUYER)
    now_s, tried = int(datetime.now(UTC).timestamp()), dict[str, set[str]]()
    found = [
        cosign.take_file(door.chain, path, "tEUR", now_s, tried=tried)[1:]
        for path in (first, second)
    ]
    assert found == [([PLANT], [BUYER]), ([BUYER], [])]
    assert door.count(VppSettlementSignature) == 0
    assert [take(door, path)[1:] for path in (first, second)] == found


def read(
    park: Park, monkeypatch: pytest.MonkeyPatch, *files: Path, no_wait: bool = False
) -> tuple[int, dict[str, Any], list[str]]:
    """Give ``settle cosign read``; return its exit code, and what it prints, as JSON and as lines."""
    printed: list[Any] = []
    output = SimpleNamespace(result=lambda *given: printed.extend(given), step=print)
    run: Any = SimpleNamespace(flow=lambda: nullcontext(flow_of(park)), output=output)
    with monkeypatch.context() as patched:
        patched.setattr("cli.flow.mine_to_finality", lambda *_: park.node.mine(2))
        code = read_files(run, list(files), no_wait=no_wait)
    document, *lines = printed
    return code, document, lines


def signed_by_none(park: Park) -> tuple[Park, Path, cosign_files.Order]:
    """Have a trade planned that both parties are to sign elsewhere; return the park, its file, and what is signed."""
    park.fund(BUYER, 100_00)
    park.trade(("sell", 1000, 20_000))
    door = opened(park, settling=AUTO, keyring=keys_without(PLANT, BUYER))
    path = written(door, absent=(PLANT, BUYER))
    order, _ = cosign_files.read(path)
    return door, path, order


@long
def test_who_signs_for_long_keeps_what_others_signed_meanwhile(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in a shared folder, and a signer that asks a person: the other party's signature was written over."""
    door, path, order = signed_by_none(park)
    ours = anvil_signer(ANVIL_ROLES["market"]).sign_typed_data(order.message)
    printed: list[Any] = []
    run: Any = SimpleNamespace(output=SimpleNamespace(result=lambda *given: printed.extend(given)))

    def signs_while(act: Callable[[], None]) -> None:
        def slow(*_: Any) -> dict[str, str]:
            act()
            return {BUYER: "0x" + ours.hex()}

        with monkeypatch.context() as patched:
            patched.setattr("cli.cosign._signed", slow)
            sign_file(run, path)

    other = replace(order, settlement=replace(order.settlement, key="0x" + "11" * 32))
    with pytest.raises(Refused, match="replaced by that of another batch while it was signed"):
        signs_while(lambda: write(path, other, {}))
    write(path, order, {})
    signs_while(lambda: signed(path))
    assert set(cosign_files.read(path)[1]) == {PLANT, BUYER}
    assert printed[0]["missing"] == []
    assert take(door, path)[2] == []


@long
@pytest.mark.parametrize("form", rest(["short", "of an owner"], "of an owner"))
def test_who_signs_after_a_wallet_that_is_a_contract(
    park: Park, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Without a node nobody can judge its signature: the next party could not sign at all, and is told how it can."""
    door, path, order = signed_by_none(park)
    yes = "0x631626ba7e60e01b5f5260205ff3"  # says yes to every signature
    park.node.client.request("anvil_setCode", [PLANT, yes])
    owners = anvil_signer(7).sign_typed_data(order.message).hex()
    given = {PLANT: "0x1234" if form == "short" else f"0x{owners}"}
    write(path, order, given)
    ours = anvil_signer(ANVIL_ROLES["market"]).sign_typed_data(order.message)
    printed: list[Any] = []
    run: Any = SimpleNamespace(output=SimpleNamespace(result=lambda *said: printed.extend(said)))
    monkeypatch.setattr("cli.cosign._signed", lambda *_: {BUYER: "0x" + ours.hex()})
    for named in (None, [BUYER]):
        with pytest.raises(Refused, match=f"say so: --wallet {PLANT}$"):
            sign_file(run, path, wallets=named)
    with pytest.raises(BadInput, match="is no party of"):
        sign_file(run, path, wallets=["0x" + "ab" * 20])
    assert cosign_files.read(path)[1] == given
    sign_file(run, path, wallets=["0x" + PLANT[2:].upper()])
    assert cosign_files.read(path)[1] == {**given, BUYER: "0x" + ours.hex()}
    assert (printed[0]["unchecked"], printed[0]["missing"]) == ([PLANT], [])
    assert printed[-1] == f"the signature under {PLANT} is left as it is: the chain judges it"
    assert take(door, path)[2] == []
    submit_planned(door.chain)
    door.mirror_final()
    assert states(door) == ["finalized"]
    assert park.differences() == []


@long
def test_what_became_of_a_batch_is_said_when_its_files_are_read(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said to be sent when it was settled; and of one that waits nothing, nor that its signatures are taken."""
    park.fund(BUYER, 100_00)
    door = opened(park, settling=AUTO, keyring=keys_without(PLANT, BUYER))

    def files(hour: int) -> tuple[Path, Path]:
        park.trade(("sell", 1000, 20_000), hour=hour)
        first = written(door, absent=(PLANT, BUYER))
        second = Path(shutil.copy(first, first.with_name("second.json")))
        signed(first)
        signed(second, ANVIL_ROLES["market"], BUYER)
        return first, second

    first, second = files(0)
    taken = [f"{path}: 1 signature taken, complete and " for path in (first, second)]
    assert read(door, monkeypatch, first)[2] == [f"{first}: 1 signature taken, missing {BUYER}"]
    park.node.act("pauser", SETTLEMENT, "pause", [])
    code, document, lines = read(door, monkeypatch, first, second)
    paused = "The contract is paused. Wait until the administrator"
    assert (code, document["unsent"]["code"], document["refused"]) == (1, "refused", [])
    assert [(row["missing"], row["state"]) for row in document["read"]] == [([], "unsent")] * 2
    assert all(row["waits"].startswith(paused) for row in document["read"])
    assert [f", complete, and not sent yet: {paused}" in line for line in lines] == [True] * 2
    park.node.act("admin", SETTLEMENT, "unpause", [])
    code, document, lines = read(door, monkeypatch, first, second, no_wait=True)
    assert (code, lines) == (0, [f"{line}sent" for line in taken])
    assert "unsent" not in document and statuses(door) == ["pending"]
    door.mirror_final()
    code, document, lines = read(door, monkeypatch, *files(1))
    assert (code, lines) == (0, [f"{line}settled" for line in taken])
    assert [row["state"] for row in document["read"]] == ["settled"] * 2
    assert statuses(door) == ["executed"] * 2


@long
def test_a_batch_that_is_withdrawn_while_its_file_is_read_was_not_sent(
    apart: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process came between; the command ended in the middle, without a word."""
    path = written(apart)
    signed(path)
    take_in = cosign.take

    def late(session: Session, *given: Any) -> list[str]:
        withdraw(session, "batch:1", "a slip")
        return take_in(session, *given)

    monkeypatch.setattr(cosign, "take", late)
    code, document, _ = read(apart, monkeypatch, path)
    (row,) = document["read"]
    assert (code, row["state"], row["failed"]) == (1, "refused", "withdrawn: a slip")


SECP256K1_ORDER = 2**256 - 0x14551231950B75FC4402DA1732FC9BEBF  # SEC 2, 2.4.1


@long
@pytest.mark.parametrize(
    "form", rest(["twin", "recovery number", "both, in capitals"], "both, in capitals")
)
def test_other_forms_of_one_signature_settle_as_well(apart: Park, form: str) -> None:
    """Whoever carries a file can make a signature's twin, and some signers end with 0 or 1; contracts refuse both."""
    path = written(apart)
    signed(path)
    content = json.loads(path.read_text())
    raw = bytes.fromhex(content["signatures"].pop(PLANT)[2:])
    s, last = int.from_bytes(raw[32:64], "big"), raw[64]
    assert last in (27, 28)
    if form != "recovery number":
        s, last = SECP256K1_ORDER - s, 55 - last
    if form != "twin":
        last -= 27
    account, other = PLANT, "0x" + (raw[:32] + s.to_bytes(32, "big") + bytes([last])).hex()
    if "capitals" in form:
        account, other = "0x" + PLANT[2:].upper(), "0x" + other[2:].upper()
    content["signatures"][account] = other
    path.write_text(json.dumps(content))
    assert take(apart, path)[1:] == ([PLANT], [])
    submit_planned(apart.chain)
    apart.mirror_final()
    assert states(apart) == ["finalized"]
    assert balances(apart) == {PLANT: 2_31, BUYER: 97_69}


def alter(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def work(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return work


def test_who_signs_sees_the_credits_that_go_with_the_money() -> None:
    """Not money alone: a seller was shown what it receives, and not what it delivers for it."""
    pair = (PLANT, BUYER) if PLANT < BUYER else (BUYER, PLANT)
    trade = pack([Trade(1, BUYER, PLANT, 2_500, 40_000)])
    settlement = Settlement("0x" + "07" * 32, 2**32 + 1, pair, trade.words, 2**31)
    order = cosign_files.Order(settlement, 1, "0x" + "22" * 20, participants=((PLANT, "plant"),))
    table = nets_table(cosign_files.document(order, {}))
    assert table.columns[2:] == ("pays", "receives", "delivers t CO2e", "receives t CO2e")
    assert {row[0]: row[1:] for row in table.rows} == {
        PLANT: ("plant", "0.00", "10.00", "2.500", "0.000"),
        BUYER: (None, "10.00", "0.00", "0.000", "2.500"),
    }


def test_what_is_refused_of_a_file(apart: Park) -> None:
    """One line each; nothing is stored of any of them."""
    path = written(apart)
    stranger = "0x" + "ab" * 20  # a contract that says yes to every signature (ERC-1271)
    yes = "0x631626ba7e60e01b5f5260205ff3"
    apart.node.client.request("anvil_setCode", [stranger, yes])
    whole = path.read_text()
    cases: list[tuple[Callable[[Path], None], type[TruetonneError], str]] = [
        (
            lambda p: signed(p, number=5),
            Refused,
            f"signature under {PLANT} is that of {PARTIES['buyer']}",
        ),
        (lambda p: signed(p, 5, PARTIES["buyer"]), Refused, "is no party of the batch"),
        (lambda p: signed(p, 5, stranger), Refused, f"{stranger} is no party of the batch"),
        (lambda p: None, Refused, "nobody has signed it"),
        (
            alter(lambda c: c["nets"][0].update(pays="0.01")),
            BadInput,
            "altered: nets[0].pays says '0.01'",
        ),
        (
            alter(lambda c: c["trades"][1].update(price="0.1234")),
            BadInput,
            "altered: trades[1].price",
        ),
        (alter(lambda c: c["trades"].pop()), BadInput, "altered: trades"),
        (alter(lambda c: c.update(digest="0x00")), BadInput, "altered: digest"),
        (alter(lambda c: c.update(note="x")), BadInput, "altered: note"),
        (alter(lambda c: c.pop("typed_data")), BadInput, "altered or torn"),
        (alter(lambda c: c.update(format="x")), BadInput, "no file of a settlement"),
        (alter(lambda c: c["signatures"].update({PLANT: "zz"})), BadInput, "no hexadecimal text"),
        (
            alter(lambda c: c["signatures"].update({PLANT: "0x" + "ab" * 16_385})),
            BadInput,
            "has more than 16384 bytes; take it out",
        ),
        (lambda p: p.write_text("{"), BadInput, "not JSON"),
        (  # who reads the file sees the first
            lambda p: p.write_text(whole.replace('"nets"', '"nets": [], "nets"', 1)),
            BadInput,
            "'nets' stands there twice",
        ),
        (lambda p: p.write_text("[]"), BadInput, "not a JSON object"),
        (lambda p: p.unlink(), BadInput, "cannot be read"),
    ]
    for change, kind, said in cases:
        path.write_text(whole)
        change(path)
        with pytest.raises(kind) as caught:
            take(apart, path)
        assert said in caught.value.message, (said, caught.value.message)
        assert "\n" not in caught.value.message and str(path) in caught.value.message
    path.write_text(whole)
    signed(path)
    with pytest.raises(Refused, match="its signatures held until"):
        take(apart, path, timedelta(hours=3))
    # Another batch: consistent in itself, and not that of the books.
    order, _ = cosign_files.read(path)
    other = json.loads(whole)["key"].replace("0x", "0x00")[:66]
    for changed, said in (
        ({"deadline": order.settlement.deadline + 60}, "deadline says"),
        ({"words": order.settlement.words[:1]}, "nets[0]."),
        ({"key": other}, "is none of these books"),
    ):
        twisted = replace(order, settlement=replace(order.settlement, **changed))
        write(path, twisted, {})
        signed(path)
        with pytest.raises(Refused) as found:
            take(apart, path)
        assert found.value.code == "another-batch" and said in found.value.message
    assert apart.count(VppSettlementSignature) == 1  # the market's own
    assert submit_planned(apart.chain) == []


@long
def test_signatures_that_never_come_and_signatures_that_outlive_their_batch(apart: Park) -> None:
    """The batch is given up when its time is over on the chain; until then nobody else plans its trades."""
    path = written(apart, hours=1)
    assert plan_round(apart.chain).batches == ()
    for act in (
        lambda session: plan_cancellation(session, apart.chain, "batch:1", "nobody signs"),
        lambda session: cancel_trade(session, 1, "nobody signs"),
        lambda session: plan_single(session, apart.chain, 1),
    ):
        with pytest.raises(Refused, match=r"it waits for signatures until .* are free again when"):
            apart.db.run(act)
    apart.node.later(2 * 3600)
    apart.node.mine(1)
    apart.mirror_final()
    plan_round(apart.chain, dry_run=True)
    assert states(apart) == ["planned"]
    again = plan_round(apart.chain)
    assert states(apart) == ["failed", "planned"]
    (first, _) = apart.rows(VppSettlementBatch)
    assert first.error is not None and f"{PLANT} had not signed" in first.error
    assert [batch.trades for batch in again.batches] == [2]
    signed(path)
    with pytest.raises(Refused, match="had not signed; nothing is left to sign"):
        take(apart, path)


@long
def test_a_quiet_local_chain_comes_to_the_end_of_signatures(apart: Park) -> None:
    """Nobody sends anything: the trades of a batch whose time is over by the machine's clock were never free again."""
    written(apart, hours=1)
    apart.mirror_final()
    (batch,) = apart.rows(VppSettlementBatch)
    assert batch.signed_until is not None
    over = batch.signed_until + timedelta(seconds=1)

    def grown(now: datetime) -> str | None:
        found = growing.make_final(Tools(apart.chain, load_settings(None, {}), lambda: now))
        apart.mirror.run_until("head")
        return found

    assert grown(batch.signed_until) is None
    apart.node.client.request("evm_setNextBlockTimestamp", [int(over.timestamp())])
    assert [grown(over) for _ in range(3)] == ["mined 2 blocks", "mined 2 blocks", None]
    plan_round(apart.chain)
    assert states(apart) == ["failed", "planned"]


@long
def test_signatures_that_run_out_while_their_call_is_on_its_way(apart: Park) -> None:
    """Nobody gives the batch up before its call has failed: by the books it may yet come to a block."""
    path = written(apart, hours=1)
    signed(path)
    take(apart, path)
    automine(apart, False)
    (sent,) = submit_planned(apart.chain)
    drop(apart, sent)
    automine(apart, True)
    apart.node.later(2 * 3600)
    apart.node.mine(1)
    apart.mirror_final()
    assert plan_round(apart.chain).batches == ()
    assert states(apart) == ["planned"]
    apart.chain.sender.rebroadcast()
    apart.mirror_final()
    assert [batch.trades for batch in plan_round(apart.chain).batches] == [2]
    assert (states(apart), apart.differences()) == (["failed", "planned"], [])


@long
def test_a_batch_that_is_withdrawn_takes_no_signature_and_no_call_back(apart: Park) -> None:
    """Who takes the last signature, or meets a pause, may come just after it: its trades are free, and planned anew."""
    path = written(apart)
    signed(path)
    (batch,) = apart.rows(VppSettlementBatch)
    apart.db.run(lambda session: withdraw(session, "batch:1", "a slip"))
    key, (_, all_) = batch.batch_key, cosign_files.read(path)
    taken = apart.db.run(lambda session: cosign.take(session, apart.chain, key, all_))
    assert taken == [] and key not in {row.key for row in apart.rows(ChainIntent)}
    again = written(apart)
    signed(again)
    take(apart, again)
    key = apart.rows(VppSettlementBatch)[1].batch_key
    apart.db.run(lambda session: withdraw(session, "batch:2", "another"))
    assert not apart.db.run(lambda session: cosign.keep_signed(session, key, "paused"))
    assert apart.intent(key).state is IntentState.FAILED


@long
def test_a_batch_that_lacks_signatures_is_withdrawn(apart: Park) -> None:
    """As one is that a party does not sign, with a deadline that a wrong clock or a slip set years ahead."""
    path = written(apart, hours=24 * 3650)
    (batch,) = apart.rows(VppSettlementBatch)
    apart.db.run(lambda session: rolled_back(session, withdraw(session, "batch:1", "a slip")))
    with pytest.raises(BadInput, match="a cancellation needs a reason"):
        apart.db.run(lambda session: withdraw(session, "batch:1", " "))
    assert states(apart) == ["planned"]
    with apart.db.read() as session:
        assert cosign.waiting_for_signatures(session) == [batch.batch_key]
    document, lines = told(apart, "batch:1", "the plant does not sign")
    assert document == {
        "batch": "batch:1",
        "reason": "the plant does not sign",
        "withdrawn": True,
    }
    assert lines == [f"batch {batch.batch_key} is withdrawn; its trades are free again"]
    with apart.db.read() as session:
        assert cosign.waiting_for_signatures(session) == []
        story = story_of(session, "batch:1")
    said = "failed: withdrawn: the plant does not sign; its trades are free again"
    assert story.happened[-1] == said
    signed(path)
    with pytest.raises(Refused, match=r"withdrawn: .*nothing is left to sign"):
        take(apart, path)
    (again,) = plan_round(apart.chain, Scope(way=Way.PROPOSED)).batches
    assert again.trades == 2
    with pytest.raises(Refused, match="is failed; only a proposed one can be cancelled"):
        told(apart, "batch:1", "again")
    document, _ = told(apart, again.key, "its call waits")
    assert document["withdrawn"] is True
    assert apart.intent(again.key).error == "withdrawn: its call waits"
    (sent,) = plan_round(apart.chain, Scope(way=Way.PROPOSED)).batches
    submit_planned(apart.chain)
    assert apart.db.run(lambda session: withdraw(session, sent.key, "it is sent")) is None
    apart.mirror_final()
    assert states(apart) == ["failed", "failed", "proposed"]
    assert apart.differences() == []


def without_role(park: Park) -> bytes:
    """Take the role from whoever sends what parties have signed; return it."""
    role, _ = role_of("MEMBER_ROLE", 1)
    park.node.act("admin", SETTLEMENT, "revokeRole", [role, PARTIES["operator"]])
    return role


@long
@few(1)
@pytest.mark.parametrize("way", ["comes back", "moves"])
def test_signatures_outlast_a_role_that_is_lost(apart: Park, way: str) -> None:
    """The parties keep their keys elsewhere: to sign once more is a day's work of several people."""
    path = written(apart)
    signed(path)
    take(apart, path)
    (batch,) = apart.rows(VppSettlementBatch)
    role = without_role(apart)
    count_of_calls = apart.count(ChainIntent)
    for _ in range(3):
        with pytest.raises(Refused, match=r"does not have the role MEMBER_ROLE, which this takes"):
            submit_planned(apart.chain)
    assert (states(apart), apart.count(VppSettlementSignature)) == (["planned"], 2)
    assert apart.count(ChainIntent) == count_of_calls
    alarm = apart.intent(batch.batch_key).alarm or ""
    assert "does not have the role MEMBER_ROLE" in alarm
    with apart.db.read() as session:
        assert "settle cancel" in story_of_batch(session, batch).to_do
    if way == "comes back":
        apart.node.act("admin", SETTLEMENT, "grantRole", [role, PARTIES["operator"]])
        door = apart
    else:  # to another account, which the file names; nobody has the key of the former any more
        apart.node.act("admin", SETTLEMENT, "grantRole", [role, PARTIES["spare"]])
        file = apart.node.deployment
        apart.node.deployment = replace(
            file, accounts={**file.accounts, "member": PARTIES["spare"]}
        )
        absent = keys_without(PLANT, PARTIES["operator"])
        door = opened(apart, settling=AUTO, keyring=absent)
    assert len(submit_planned(door.chain)) == 1
    door.mirror_final()
    assert (states(door), statuses(door)) == (["finalized"], ["executed"] * 2)
    sender = door.intent(batch.batch_key).sender_address
    assert sender == PARTIES["operator" if way == "comes back" else "spare"]
    assert door.differences() == []


@long
def test_signatures_outlast_a_pause(apart: Park) -> None:
    """It is for an emergency, says nothing of what was signed, and threw away what several people had signed."""
    path = written(apart)
    signed(path)
    take(apart, path)
    apart.node.act("pauser", SETTLEMENT, "pause", [])
    for _ in range(2):
        with pytest.raises(Refused, match=r"The contract is paused\. Wait until the administrator"):
            submit_planned(apart.chain)
    (batch,) = apart.rows(VppSettlementBatch)
    assert (batch.state.value, apart.count(VppSettlementSignature)) == ("planned", 2)
    assert (apart.intent(batch.batch_key).alarm or "").startswith("The contract is paused.")
    apart.node.act("admin", SETTLEMENT, "unpause", [])
    assert len(submit_planned(apart.chain)) == 1
    apart.mirror_final()
    assert (states(apart), statuses(apart)) == (["finalized"], ["executed"] * 2)
    assert apart.differences() == []


@long
def test_signatures_that_run_out_during_a_pause_are_asked_for_again_at_once(apart: Park) -> None:
    """The job failed for ten minutes with what a person cannot mend: the market rested after the refusal."""
    path = written(apart, hours=1)
    signed(path)
    take(apart, path)
    apart.node.act("pauser", SETTLEMENT, "pause", [])
    with pytest.raises(Refused, match=r"The contract is paused\."):
        submit_planned(apart.chain)
    apart.node.later(2 * 3600)  # the mirror has no final block of that time yet
    apart.node.act("admin", SETTLEMENT, "unpause", [])
    assert submit_planned(apart.chain) == []
    (batch,) = apart.rows(VppSettlementBatch)
    assert batch.error is not None and "SignaturesExpired(" in batch.error
    again = plan_round(apart.chain, Scope(rest=timedelta(minutes=10)))
    assert (states(apart), [item.trades for item in again.batches]) == (["failed", "planned"], [2])
    assert again.resting == ()


def rolled_back(session: Session, _done: object) -> None:
    session.rollback()


def given_up(apart: Park) -> str:
    """Have all parties sign a batch that the contract then refuses; return the call, which is good all the same."""
    path = written(apart)
    signed(path)
    take(apart, path)
    (batch,) = apart.rows(VppSettlementBatch)
    escrow.withdraw(apart.chain, BUYER, BUYER, 100_00)
    submit_planned(apart.chain)
    apart.fund(BUYER, 100_00)
    assert (states(apart), apart.count(VppSettlementItem)) == (["failed"], 0)
    # `settle cosign read` said of it that it was complete and sent, with exit 0.
    states_now = _states_of(cast(Flow, apart), [batch.batch_key, "0x" + "11" * 32])
    ((key, (state, why)),) = states_now.items()
    assert (key, state) == (batch.batch_key, "refused")
    rows = [
        {"file": "a.json", "batch_key": key, "state": state, "failed": why},
        {"file": "b.json", "batch_key": "0x" + "11" * 32, "state": "sent"},
        {"file": "c.json", "batch_key": "0x" + "22" * 32, "missing": [BUYER]},
    ]
    (refused,) = _refused_of(rows)
    assert (
        refused.message.startswith("a.json: day-ahead has 0.00 ") and "owes 2.31" in refused.message
    )
    return apart.intent(batch.batch_key).call_data


def send(park: Park, call: str) -> None:
    """Send the call of a batch as any member of the market may."""
    message = {
        "from": PARTIES["operator"],
        "to": park.node.deployment.settlement.address,
        "data": call,
        "gas": hex(1_000_000),
    }
    park.node.client.request("eth_sendTransaction", [message])


@long
def test_a_batch_that_was_given_up_and_that_a_member_settles_all_the_same(
    apart_on_both: Park,
) -> None:
    """Signatures are good for whoever has them; the books follow the chain."""
    apart = apart_on_both
    send(apart, given_up(apart))
    apart.mirror_final()
    assert (states(apart), statuses(apart)) == (["finalized"], ["executed"] * 2)
    assert apart.count(VppSettlementItem) == 2
    assert balances(apart) == {PLANT: 2_31, BUYER: 97_69}
