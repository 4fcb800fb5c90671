"""The state of an earlier block, for every block of a lively chain, beside a plain replay of its raw events.

The replay knows nothing of runs: each batch is a list of its kilograms, and each event marks some of them.
"""

from __future__ import annotations

import itertools
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.credits.history import show_history
from api.credits.schemas import HistoryParameters
from api.credits.then import checked_block
from api.projects.queries import _credits_then, credits_of
from indexer import Indexer
from ledger.chain.contracts.events import CREDIT
from ledger.db import Database
from ledger.errors import BadInput
from ledger.models import ChainBlock
from ledger.settings import load_settings
from tests.support import acts
from tests.support.abi_oracle import decode_event
from tests.support.chain import TestChain
from tests.support.forms import few, long
from tests.support.mirror import running_chain
from tests.support.statements import listening, read_whole, steps_of

SHORT_ON_MARIADB = (
    "test_holders_of_every_block_are_those_of_the_transfers",
    "test_sums_of_a_project_at_every_block",
)

STATUS = {1: "active", 2: "suspended", 3: "disputed", 4: "cancelled", 5: "expired"}
FIRST, SECOND, QUIET, THIRD = ((1 << 32) + ordinal for ordinal in (1, 2, 3, 4))
DEPTH = 8
HASH = "0x" + "5a" * 32
DOCUMENT = "0x" + "d0" * 32


@dataclass
class Plain:
    """The batches after some events, one entry for each kilogram: what became of it, and by which event."""

    kilograms: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    status: dict[int, str] = field(default_factory=dict)
    issued: dict[int, str] = field(default_factory=dict)
    deficit: dict[int, int | None] = field(default_factory=dict)
    retirements: dict[int, int] = field(default_factory=dict)
    touched: dict[int, int] = field(default_factory=dict)
    """The last block with an event of a batch, transfers aside."""

    def take(self, name: str, values: dict[str, Any], tx_hash: str) -> None:
        number = int(values.get("batch_id", 0))
        if name == "Issued":
            self.kilograms[number] = [("active", tx_hash)] * int(values["claim"]["amount"])
            self.status[number], self.issued[number] = "active", tx_hash
            self.deficit[number] = None
        elif name in ("Retired", "Replaced"):
            retirement = int(values["retirement_id"])
            self._mark(values, f"retired {retirement}", tx_hash)
            self.retirements[retirement] = number
            if name == "Replaced":
                self.deficit[int(values["replaced_batch_id"])] = int(values["deficit_left"])
        elif name == "Cancelled":
            self._mark(values, "cancelled", tx_hash)
        elif name == "StatusChanged":
            self.status[number] = STATUS[int(values["new_status"])]
        elif name == "Invalidated":
            self.deficit[number] = int(values["deficit"])
            self.kilograms[number] = [
                ("cancelled ", tx_hash) if what == "active" else (what, by)
                for what, by in self.kilograms[number]
            ]

    def _mark(self, values: dict[str, Any], what: str, tx_hash: str) -> None:
        first, kg = int(values["first_serial"]), int(values["amount"])
        held = self.kilograms[int(values["batch_id"])]
        assert {each for each, _ in held[first - 1 : first - 1 + kg]} == {"active"}
        held[first - 1 : first - 1 + kg] = [(what, tx_hash)] * kg

    def rows(self) -> list[tuple[str, str, str | None, str, str]]:
        """Return name, status, retirement, transaction and batch status of each run."""
        found = []
        for number, held in sorted(self.kilograms.items()):
            first = 1
            for (what, by), group in itertools.groupby(held):
                last = first + len(list(group)) - 1
                status, _, retirement = what.partition(" ")
                name = f"lhb-wind-2014-{number & 0xFFFFFFFF}-{first}-{last}"
                found.append((name, status, retirement or None, by, self.status[number]))
                first = last + 1
        return found

    def kg(self, number: int, status: str) -> int:
        """Return the kilograms that holders retired, or cancelled themselves."""
        return sum(
            what == status or (what.startswith(f"{status} ") and what != "cancelled ")
            for what, _ in self.kilograms[number]
        )


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    """A chain on which everything happened that changes a credit."""
    with running_chain() as made:
        made.act("registrar", CREDIT, "setClassBuffer", [1, 1000])
        one, two = acts.evidence("meter 7", 0), acts.evidence("meter 7", 300, 999)
        three = acts.evidence("meter 7", 600)
        made.issue(100, 0, evidence_root=one.root)
        made.retire("owner", FIRST, 30, document_hash=DOCUMENT)
        made.issue(200, 1, evidence_root=two.root)
        made.issue(20, 2, evidence_root=three.root)
        made.act("spare", CREDIT, "proveOverlap", [two.proven, three.proven])
        made.act("admin", CREDIT, "reinstate", [SECOND])
        made.transfer("owner", "buyer", SECOND, 40)
        made.retire("buyer", SECOND, 7)
        made.cancel("owner", FIRST, 5)
        made.mine(3)
        made.act("spare", CREDIT, "proveOverlap", [one.proven, two.proven])
        made.act("admin", CREDIT, "reinstate", [SECOND])
        made.act("admin", CREDIT, "reinstate", [FIRST])
        made.cancel("owner", FIRST, 2)
        acts.retire_batch(made, "owner", [(FIRST, 1), (SECOND, 2), (FIRST, 3)])
        acts.invalidate(made, FIRST)
        head = made.client.block("latest")
        assert head is not None
        acts.replace(made, SECOND, FIRST, 12)
        made.issue(50, 3, expires_at=head.timestamp + 1000)
        made.retire("owner", THIRD, 45)
        made.later(1001)
        made.act("spare", CREDIT, "expire", [THIRD])
        acts.replace(made, SECOND, FIRST, 3)
        # It is disputed already: no change of its status tells of this.
        made.act("reverser", CREDIT, "proposeInvalidation", [QUIET, "a meter"])
        yield made


@pytest.fixture(scope="module")
def told(chain: TestChain) -> list[tuple[int, str, dict[str, Any], str]]:
    """The raw events: block, name, values, transaction, decoded without our decoders."""
    logs = chain.client.logs([chain.deployment.credit.address], 0, chain.client.block_number())
    found = []
    for log in sorted(logs, key=lambda log: (log.block_number, log.log_index)):
        name, values, _ = decode_event(CREDIT, log)
        found.append((log.block_number, name, values, log.tx_hash))
    return found


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)]
)
def client(
    request: pytest.FixtureRequest, chain: TestChain, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """The API over a mirror of that chain."""
    folder = tmp_path_factory.mktemp("as-of")
    if request.param == "mariadb":
        url: str = request.getfixturevalue("migrated_mariadb_url")("as_of")
    else:
        shutil.copyfile(request.getfixturevalue("sqlite_template"), folder / "books.db")
        url = f"sqlite:///{folder / 'books.db'}"
    database = Database(url)
    Indexer(database, chain.client, chain.deployment, DEPTH).run_until("head")
    database.close()
    environ = {
        "TRUETONNE_DATABASE_URL": url,
        "TRUETONNE_HOME": str(folder),
        "TRUETONNE_FINALITY": str(DEPTH),
        "TRUETONNE_RATE_LIMIT": "0",  # a quick machine asks ten times a second, and more
    }
    with TestClient(create_app(load_settings(None, environ))) as made:
        yield made


def plain_at(told: list[tuple[int, str, dict[str, Any], str]], block: int) -> Plain:
    plain = Plain()
    for number, name, values, tx_hash in told:
        if number <= block:
            plain.take(name, values, tx_hash)
            if "batch_id" in values:  # transfers name it otherwise
                plain.touched[int(values["batch_id"])] = number
    return plain


def walk(client: TestClient, path: str, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    while True:
        answer = client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        query["cursor"] = page["next_cursor"]


def plainly(items: list[dict[str, Any]]) -> list[tuple[str, str, str | None, str, str]]:
    return [
        (
            item["credit_id"],
            item["status"],
            item["retirement_id"],
            item["status_tx"],
            item["batch_status"],
        )
        for item in items
    ]


def test_every_block_is_what_a_replay_of_the_events_says(
    client: TestClient, chain: TestChain, told: list[tuple[int, str, dict[str, Any], str]]
) -> None:
    head = chain.client.block_number()
    changed = sorted({block for block, *_ in told})
    assert len(changed) > 15
    for block in range(head + 1):
        plain = plain_at(told, block)
        expected = plain.rows()
        limit = 1 + block % 4
        items = walk(client, "/v1/credits", as_of_block=block, order="asc", limit=limit)
        assert plainly(items) == expected, block
        for item in items:
            last = plain.touched[int(item["batch_id"])]
            assert item["final"] is (last <= head - DEPTH), (block, item)
        if block in changed:
            there = walk(client, "/v1/retirements", as_of_block=block, limit=limit)
            assert {int(item["retirement_id"]): int(item["batch_id"]) for item in there} == (
                plain.retirements
            )
    backwards = walk(client, "/v1/credits", as_of_block=head, limit=3)
    assert plainly(backwards) == plain_at(told, head).rows()[::-1]


def test_the_last_block_is_the_mirror_itself(client: TestClient, chain: TestChain) -> None:
    head = chain.client.block_number()
    then = {item["credit_id"]: item for item in walk(client, "/v1/credits", as_of_block=head)}
    now = {item["credit_id"]: item for item in walk(client, "/v1/credits")}
    assert then == now
    for name in now:
        answers = [
            client.get(f"/v1/credits/{name}", params=query).json()
            for query in ({}, {"as_of_block": head})
        ]
        assert answers[0] == answers[1], name


def test_the_quick_way_says_the_same(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invalidated, expired, replaced: what the books of other tests do not hold."""
    names = [item["credit_id"] for item in walk(client, "/v1/credits")]
    urls = ["/v1/credits", "/v1/credits?limit=3&order=asc", *(f"/v1/credits/{n}" for n in names)]
    quick = [client.get(url).content for url in urls]
    monkeypatch.setattr(client.app.state.context.database, "quick", None)  # type: ignore[attr-defined]
    assert [client.get(url).content for url in urls] == quick


@long
def test_one_credit_with_its_batch(
    client: TestClient, told: list[tuple[int, str, dict[str, Any], str]]
) -> None:
    for block in sorted({block for block, *_ in told}):
        plain = plain_at(told, block)
        for number in (FIRST, SECOND, QUIET, THIRD):
            answer = client.get(f"/v1/credits/{number}", params={"as_of_block": block})
            if number not in plain.kilograms:
                assert answer.status_code == 404
                continue
            batch = answer.json()["batch"]
            rows = [row for row in plain.rows() if row[0].split("-")[3] == str(number % 2**32)]
            assert [(part["credit_id"], part["status"]) for part in batch["credits"]] == [
                row[:2] for row in rows
            ]
            assert answer.json()["credit_id"] == rows[0][0]
            assert answer.json()["as_of_block"] == block
            deficit = plain.deficit[number]
            assert batch["deficit_kg"] == (None if deficit is None else str(deficit))
            assert batch["retired_kg"] == str(plain.kg(number, "retired"))
            assert batch["cancelled_kg"] == str(plain.kg(number, "cancelled"))


def test_serials_that_were_whole_then_and_are_parted_now(
    client: TestClient, told: list[tuple[int, str, dict[str, Any], str]]
) -> None:
    issued = next(block for block, name, *_ in told if name == "Issued")
    whole = client.get("/v1/credits/lhb-wind-2014-1-1-100", params={"as_of_block": issued})
    assert whole.json()["credit_id"] == "lhb-wind-2014-1-1-100"
    assert whole.json()["id"] is None
    parted = client.get("/v1/credits/lhb-wind-2014-1-1-100")
    assert (parted.status_code, parted.json()["code"]) == (404, "credit-parted")
    later = client.get("/v1/credits/lhb-wind-2014-1-1-100", params={"as_of_block": issued + 2})
    assert later.json()["credits"] == ["lhb-wind-2014-1-1-30", "lhb-wind-2014-1-31-100"]


def test_filters_hold_for_an_earlier_block(
    client: TestClient, chain: TestChain, told: list[tuple[int, str, dict[str, Any], str]]
) -> None:
    block = chain.client.block_number() - 6
    rows = plain_at(told, block).rows()
    for status in ("active", "retired", "cancelled"):
        items = walk(client, "/v1/credits", as_of_block=block, status=status, limit=2, order="asc")
        assert plainly(items) == [row for row in rows if row[1] == status]
    one = walk(client, "/v1/credits", as_of_block=block, batch_id=SECOND, order="asc")
    assert [item["credit_id"] for item in one] == [
        row[0] for row in rows if row[0].startswith("lhb-wind-2014-2-")
    ]
    assert len(walk(client, "/v1/credits", as_of_block=block, site="lhb-wind")) == len(rows)
    assert walk(client, "/v1/credits", as_of_block=block, site="elsewhere") == []
    assert walk(client, "/v1/credits", as_of_block=block, vintage=2015) == []


@pytest.mark.parametrize(
    "path", ["/v1/credits", "/v1/credits/1", "/v1/retirements", "/v1/retirements/1"]
)
def test_a_block_that_the_mirror_cannot_speak_of(
    client: TestClient, chain: TestChain, path: str
) -> None:
    head = chain.client.block_number()
    answer = client.get(path, params={"as_of_block": head + 1})
    assert (answer.status_code, answer.json()["code"]) == (422, "block-not-mirrored")
    assert f"has come to block {head}" in answer.json()["detail"]
    for bad in ("-1", "latest", str(2**63), "1.5"):
        answer = client.get(path, params={"as_of_block": bad})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad-request")


def test_a_mirror_that_began_later_says_so(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        session.add(
            ChainBlock(number=500, hash=HASH, parent_hash=HASH, block_time=datetime.now(UTC))
        )
    with sqlite_db.read() as session:
        assert checked_block(session, 500, 510) == 500
        with pytest.raises(BadInput, match="begins at block 500") as error:
            checked_block(session, 499, 510)
        assert error.value.code == "block-before-mirror"
        with pytest.raises(BadInput, match="has not begun"):
            checked_block(session, 500, None)


def test_a_retirement_is_not_there_before_it_is(
    client: TestClient, told: list[tuple[int, str, dict[str, Any], str]]
) -> None:
    block = next(block for block, name, *_ in told if name == "Retired")
    assert client.get("/v1/retirements/1", params={"as_of_block": block}).status_code == 200
    answer = client.get("/v1/retirements/1", params={"as_of_block": block - 1})
    assert answer.status_code == 404
    assert f"as of block {block - 1}" in answer.json()["detail"]


def test_a_cursor_serves_its_block(client: TestClient, chain: TestChain) -> None:
    head = chain.client.block_number()
    cursor = client.get("/v1/credits", params={"as_of_block": head, "limit": 1}).json()[
        "next_cursor"
    ]
    for query in ({"as_of_block": head - 1}, {}):
        answer = client.get("/v1/credits", params={**query, "limit": 1, "cursor": cursor})
        assert answer.json()["code"] == "bad-cursor"


def test_the_last_page_has_no_cursor_and_a_short_one_goes_on(
    client: TestClient, chain: TestChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page looks at so many batches at most, whether or not it is full then."""

    def page(**query: Any) -> Any:
        asked = {"as_of_block": chain.client.block_number(), **query}
        return client.get("/v1/credits", params=asked).json()

    whole = page(limit=200)["items"]
    assert len(page(limit=len(whole))["items"]) == len(whole) < 200
    assert page(limit=len(whole))["next_cursor"] is None
    retired = [item for item in whole if item["status"] == "retired"]
    monkeypatch.setattr("api.credits.asof.EXAMINED_MAX", 2)  # the batch of the cursor is one
    pages = [page(status="retired")]
    while cursor := pages[-1]["next_cursor"]:
        pages.append(page(status="retired", cursor=cursor))
    assert [item for each in pages for item in each["items"]] == retired
    assert len(pages) == len({item["batch_id"] for item in whole}) > 2


# ------------------------------------------------------------------ the life of a batch

NOBODY = "0x" + "00" * 20
KINDS = {
    "Issued": "issued",
    "Retired": "retired",
    "Replaced": "retired",
    "Cancelled": "cancelled",
    "StatusChanged": "status_changed",
    "Invalidated": "invalidation_executed",
    "InvalidationProposed": "invalidation_proposed",
    "InvalidationDropped": "invalidation_dropped",
    "OverlapProven": "overlap_proven",
    "TransferSingle": "transferred",
}


def life(told: list[tuple[int, str, dict[str, Any], str]], number: int) -> list[tuple[str, int]]:
    """Return kind and block of what the raw events say of a batch, in their order."""
    found = []
    for block, name, values, _ in told:
        named = {values.get(part) for part in ("batch_id", "first_batch_id", "second_batch_id")}
        if name == "TransferSingle":
            named = set() if NOBODY in (values["from"], values["to"]) else {values["id"]}
        if name in KINDS and number in {int(each) for each in named if each is not None}:
            found.append((KINDS[name], block))
        if int(values.get("replaced_batch_id", 0)) == number:
            found.append(("replaced", block))
    return found


@long
@few(1)
@pytest.mark.parametrize("number", [FIRST, SECOND, THIRD])
def test_a_history_is_what_the_events_say_page_by_page(
    client: TestClient, told: list[tuple[int, str, dict[str, Any], str]], number: int
) -> None:
    path = f"/v1/credits/{number}/history"
    whole = client.get(path).json()
    assert [(item["kind"], item["block_number"]) for item in whole["items"]] == life(told, number)
    assert whole["complete"] is True and whole["next_cursor"] is None
    assert all(item["at"] for item in whole["items"])
    for values in (item["values"] for item in whole["items"] if item["kind"] == "retired"):
        claimed = client.get(f"/v1/retirements/{values['retirement_id']}").json()
        for name in ("country", "consumption_start", "consumption_end", "document_hash"):
            assert values.get(name) == claimed[name], name
    for limit in (1, 2, 5):
        assert walk(client, path, limit=limit) == whole["items"]
        assert walk(client, path, limit=limit, order="desc") == whole["items"][::-1]
    first = client.get(path, params={"limit": 1})
    assert first.json()["complete"] is False
    assert f"{path}?limit=1&order=asc&cursor=" in first.headers["Link"]


@long
def test_both_histories_tell_of_a_replacement(client: TestClient) -> None:
    """It stood there as a retirement for nobody, and the deficit of the other batch became less without a word."""
    one, other = (
        client.get(f"/v1/credits/{batch}/history").json()["items"] for batch in (FIRST, SECOND)
    )
    told = [item["values"] for item in one if item["kind"] == "replaced"]
    assert [(item["amount_kg"], item["other_batch_id"]) for item in told] == [
        ("12", str(SECOND)),
        ("3", str(SECOND)),
    ]
    (frozen,) = (item["values"] for item in one if item["kind"] == "invalidation_executed")
    assert int(told[0]["deficit_kg"]) == int(frozen["deficit_kg"]) - 12
    assert told[1]["deficit_kg"] == client.get(f"/v1/credits/{FIRST}").json()["batch"]["deficit_kg"]
    retired = {
        item["values"]["retirement_id"]: item["values"].get("replaced_batch_id")
        for item in other
        if item["kind"] == "retired"
    }
    assert [retired.pop(item["retirement_id"]) for item in told] == [str(FIRST)] * 2
    assert set(retired.values()) == {None}
    number = told[0]["retirement_id"]
    run = client.get(f"/v1/retirements/{number}").json()["credit_id"]
    told_apart = re.compile("Replaces units of batch|Stands in for units of the invalidated batch")
    for path in ("/", "/retirements", f"/credits/{run}", f"/retirements/{number}"):
        said = client.get(path, headers={"accept": "text/html"}).text
        assert told_apart.search(said) and "nobody named" not in said, path
    said = client.get(f"/credits/{FIRST}", headers={"accept": "text/html"}).text
    for left in (frozen, *told):  # what each left to be replaced
        assert re.search(rf"To be replaced\s+{left['deficit_kg']} kg", said), left


@long
def test_the_page_of_a_retirement_names_its_document(client: TestClient) -> None:
    said = client.get("/retirements/1", headers={"accept": "text/html"}).text
    assert "Hash of a document" in said and DOCUMENT in said
    assert (
        "Hash of a document"
        not in client.get("/retirements/2", headers={"accept": "text/html"}).text
    )


@long
def test_the_page_of_a_retirement_leads_to_the_others_of_its_act(client: TestClient) -> None:
    """By the key of an act that retired units of several batches it showed the first, as if that were all."""
    items = walk(client, "/v1/retirements", limit=50)
    count = Counter(item["key"] for item in items)
    for item in items:
        page = client.get(f"/retirements/{item['retirement_id']}", headers={"accept": "text/html"})
        link = f'<a href="/retirements?key={item["key"]}">{count[item["key"]]} retirements'
        assert (link in page.text) == (count[item["key"]] > 1), item
    ((key, most),) = count.most_common(1)
    assert most == 3
    listed = client.get(f"/retirements?key={key}", headers={"accept": "text/html"}).text
    for item in items:
        there = f'href="/retirements/{item["retirement_id"]}"' in listed
        assert there == (item["key"] == key)


def test_the_page_of_a_long_history_leads_to_its_end(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends at a thousand entries, the oldest ones, and said that the API has more, and not where."""
    place, html = f"/credits/{FIRST}", {"accept": "text/html"}
    assert "/history?order=desc" not in client.get(place, headers=html).text
    short = HistoryParameters.model_validate({"limit": 3})
    monkeypatch.setattr(
        "api.pages.credits.show_history",
        lambda session, view, name: show_history(session, view, name, short),
    )
    (link,) = re.findall(r'href="([^"]+/history[^"]+)"', client.get(place, headers=html).text)
    newest = client.get(link).json()["items"]
    assert newest == client.get(f"/v1{place}/history").json()["items"][::-1]


@pytest.mark.parametrize("client", ["sqlite"], indirect=True)  # MariaDB's plans go by few rows here
def test_a_history_reads_no_table_of_the_mirror_whole(client: TestClient) -> None:
    """Each of its questions goes by an index: journals and transfers grow for as long as the chain does."""
    plans: dict[str, list[str]] = {}

    def listen(_c: Any, cursor: Any, sql: str, parameters: Any, _x: Any, _many: bool) -> None:
        if sql.startswith("SELECT"):
            plans[sql] = steps_of(cursor.connection, sql, parameters)

    with listening(listen):
        # A page that no other test asks for: an answer that is kept asks nothing.
        client.get(f"/v1/credits/{FIRST}/history", params={"limit": 7}).raise_for_status()
    assert any("idx_credit_transfers_batch_id" in step for plan in plans.values() for step in plan)
    assert [sql for sql, plan in plans.items() if read_whole(plan)] == []


# ------------------------------------------------------------------------ holders and projects


@long
def test_holders_of_every_block_are_those_of_the_transfers(
    client: TestClient, chain: TestChain, told: list[tuple[int, str, dict[str, Any], str]]
) -> None:
    """Played from the raw transfers of the token, which say nothing of batches, serials or journals."""
    held: dict[tuple[str, int], int] = defaultdict(int)
    moves = defaultdict(list)
    for block, name, values, _ in told:
        if name == "TransferSingle":
            pairs = [(values["id"], values["value"])]
        elif name == "TransferBatch":
            pairs = list(zip(values["ids"], values["values"], strict=True))
        else:
            continue
        moves[block] += [(values["from"], values["to"], int(i), int(kg)) for i, kg in pairs]
    accounts = sorted(
        {each.lower() for some in moves.values() for move in some for each in move[:2]}
    )
    accounts.remove("0x" + "0" * 40)
    assert len(accounts) > 1
    last = 0
    for block in range(chain.client.block_number() + 1):
        for giver, taker, number, kg in moves[block]:
            held[giver.lower(), number] -= kg
            held[taker.lower(), number] += kg
        if not moves[block] and block != last + 1:
            continue  # nothing happened in it, nor in the one before
        last = block if moves[block] else last
        plain = plain_at(told, block)
        for account in accounts:
            items = walk(client, f"/v1/holders/{account}", as_of_block=block, limit=1, order="asc")
            assert [
                (item["batch_id"], item["amount_kg"], item["batch_status"]) for item in items
            ] == [
                (str(number), str(kg), plain.status[number])
                for (whose, number), kg in sorted(held.items())
                if whose == account and kg > 0
            ], (block, account)
    for account in accounts:  # and the last of them is the present
        now = client.get(f"/v1/holders/{account}").json()
        then = client.get(f"/v1/holders/{account}", params={"as_of_block": last + 1}).json()
        assert now["items"] == then["items"]


@long
def test_sums_of_a_project_at_every_block(
    client: TestClient, told: list[tuple[int, str, dict[str, Any], str]]
) -> None:
    context = client.app.state.context  # type: ignore[attr-defined]
    for block in sorted({block for block, *_ in told}):
        plain = plain_at(told, block)
        kilograms = [what for held in plain.kilograms.values() for what, _ in held]
        with context.database.read() as session:
            found = _credits_then(session, "lhb-wind", block)
        wanted = {
            "batches": len(plain.kilograms),
            "issued_kg": len(kilograms),
            "active_kg": kilograms.count("active"),
            "retired_kg": sum(what.startswith("retired") for what in kilograms),
            "cancelled_kg": sum(what.startswith("cancelled") for what in kilograms),
        }
        assert dict(found) == wanted, block
    with context.database.read() as session:
        assert credits_of(session, "lhb-wind") == found


def test_a_holder_of_a_block_that_is_not_there(client: TestClient, chain: TestChain) -> None:
    head = chain.client.block_number()
    for path in ("/v1/holders/" + "0x" + "aa" * 20,):
        answer = client.get(path, params={"as_of_block": head + 1})
        assert (answer.status_code, answer.json()["code"]) == (422, "block-not-mirrored")
        assert client.get(path, params={"as_of_block": "x"}).status_code == 422


def test_the_page_of_a_history_says_each_thing_apart(client: TestClient) -> None:
    """An amount, an account, a name and a reason are words of their own, also read aloud or copied."""
    kinds: set[str] = set()
    for number in (FIRST, SECOND, THIRD):
        said = client.get(f"/credits/{number}", headers={"accept": "text/html"}).text
        history = said[said.index('id="history"') :]
        cells = re.findall(
            r'"row".*?>([a-z, ]+)</th>\s*<td class="long">(.*?)</td>', history, re.DOTALL
        )
        assert cells
        for kind, cell in cells:
            kinds.add(kind)
            assert not re.search(r"CO₂e(?! |\s*$)|</(a|bdi|span|details)>[^\s.,<]", cell), cell
            if kind == "status changed":
                assert len(re.findall('<span class="badge ', cell)) == 2, cell
    assert {"issued", "transferred", "retired", "status changed"} <= kinds
