"""The demonstration as a person runs it: processes of their own, real files, a real chain.

The first run, ``up`` and the printed command of the proof start Python as a person does; the other commands are
forked from a process that has imported the program (``tests/support/nursery.py``).

The figures are those of an independent computation over the same files (fractions, no code shared).
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger.chain.local.anvil import KeptPort
from ledger.proofs.verifier import Trusted
from tests.support.bundle_mutants import judge
from tests.support.forms import long, rest
from tests.support.nursery import shared
from tests.support.verify_page import case, judged
from tests.support.waiting import runs, until

ROOT = Path(__file__).resolve().parents[2]

LHB_KG = [
    123_851, 179_455, 78_773, 61_673, 114_262, 68_037, 62_749, 65_594, 46_969, 70_203, 65_113, 138_472,
    161_991, 121_300, 102_868, 94_256, 90_522, 71_495, 92_836, 70_262, 134_082, 55_841, 158_190, 123_437,
    93,
]  # fmt: skip
SERF_KG = [371, 373, 376, 152]


TIMEOUT_S = 1200


def environment(home: Path, **settings: str) -> dict[str, str]:
    """Return the environment for a home folder, and nothing else of its settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRUETONNE_")}
    if "TRUETONNE_ANVIL" in os.environ:
        kept["TRUETONNE_ANVIL"] = os.environ["TRUETONNE_ANVIL"]
    given = {f"TRUETONNE_{name.upper()}": value for name, value in settings.items()}
    return {**kept, "TRUETONNE_HOME": str(home), **given}


def started(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Start Python and run the program on a home folder."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *words],
        cwd=ROOT,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def truetonne(home: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the program on a home folder, in a process that begins with everything imported."""
    ended = shared().run(words, ROOT, environment(home, **settings), TIMEOUT_S)
    return subprocess.CompletedProcess(words, *ended)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first(home: Path) -> dict[str, Any]:
    """The document of the first run."""
    ended = started(home, "demo", "--json")
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    shutil.copy(home / "proof.json", home / "first-proof.json")  # later runs write it anew
    return json.loads(ended.stdout)


def test_the_demonstration_gives_the_published_figures(first: dict[str, Any]) -> None:
    assert first["ok"] is True
    lhb = [item for item in first["credits"] if item["project"] == "lhb-wind"]
    serf = [item for item in first["credits"] if item["project"] == "serf-east-pv"]
    assert [int(item["issued_kg"]) for item in lhb] == LHB_KG
    assert [int(item["issued_kg"]) for item in serf] == SERF_KG
    assert first["totals"]["lhb-wind"] == {"2014": "1075.151", "2015": "1277.080", "2016": "0.093"}
    january, march = lhb[0], lhb[2]
    assert january["net_kwh"] == "286098.098674771"
    assert january["serials"] == "lhb-wind-2014-1-1-123851"
    assert march["readings"]["conflict"] == 6
    assert all(item["state"] == "issued" for item in first["credits"])


def test_a_period_over_new_year_made_two_issuances(first: dict[str, Any]) -> None:
    december, january = [item for item in first["credits"] if item["project"] == "lhb-wind"][-2:]
    assert (december["vintage"], december["period"]["to"]) == (2015, "2016-01-01")
    assert (january["vintage"], january["period"]["from"]) == (2016, "2016-01-01")


def test_imports_say_what_was_read_and_what_does_not_count(first: dict[str, Any]) -> None:
    turbine, roof = first["imports"]
    assert (turbine["read"], turbine["rejected"], turbine["conflicts"]) == (105_120, 0, 12)
    assert (roof["read"], roof["rejected"]) == (10_000, 0)
    reasons = {(item["site"], item["quality"]): item["readings"] for item in first["excluded"]}
    assert reasons["lhb", "superseded"] == 12
    assert reasons["lhb", "missing"] == 1_209
    # Energy of the higher values of twelve times beyond the lower ones, which count.
    superseded = [item for item in first["excluded"] if item["quality"] == "superseded"]
    assert [
        (item["device"], item["number"], item["first_line"], item["not_claimed_kwh"])
        for item in superseded
    ] == [("R80721", 401, 12_680, "383.799998999")]
    (missing,) = [item for item in first["excluded"] if item["quality"] == "missing"]
    assert missing["not_claimed_kwh"] is None


def test_trades_are_settled_and_money_is_conserved(first: dict[str, Any]) -> None:
    settlement = first["settlement"]
    assert settlement["trades_pending"] == 0
    assert settlement["trades_executed"] == first["trades"]["new"] == 658
    cents = {name: int(amount.replace(".", "")) for name, amount in settlement["balances"].items()}
    moved = int(settlement["money_moved"].replace(".", ""))
    assert cents == {"lhb-vpp": 2_000_000 + moved, "example-day-ahead": 2_000_000 - moved}


def test_every_rule_of_the_reconciliation_holds(first: dict[str, Any]) -> None:
    rules = first["reconciliation"]["rules"]
    assert len(rules) >= 8
    assert [rule["name"] for rule in rules if not rule["ok"]] == []


def test_a_second_run_changes_nothing(home: Path, first: dict[str, Any]) -> None:
    ended = truetonne(home, "demo", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")  # its steps are told to people, see below
    second = json.loads(ended.stdout)
    assert [item["new"] for item in second["imports"]] == [0, 0]
    assert second["trades"]["new"] == 0
    for same in ("credits", "totals", "settlement", "retirement", "excluded"):
        assert second[same] == first[same]


@long
def test_reconcile_finds_a_credit_altered_by_hand(home: Path, first: dict[str, Any]) -> None:
    file = home / "truetonne.db"  # in agreement: see above
    with sqlite3.connect(file) as link:
        (amount,) = link.execute(
            "SELECT amount FROM carbon_credits WHERE status = 'retired'"
        ).fetchone()
        link.execute("UPDATE carbon_credits SET amount = amount + 1 WHERE status = 'retired'")
    try:
        ended = truetonne(home, "reconcile", "--json")
        assert ended.returncode == 1
        broken = [rule for rule in json.loads(ended.stdout)["rules"] if not rule["ok"]]
        assert broken
        assert "lhb-wind-2014-1-1-10000" in json.dumps(broken)
    finally:
        with sqlite3.connect(file) as link:
            link.execute("UPDATE carbon_credits SET amount = ? WHERE status = 'retired'", (amount,))


def test_the_next_step_that_is_printed_works(home: Path, first: dict[str, Any]) -> None:
    ended = truetonne(home, "credits", "show", first["retirement"]["serials"], "--json")
    assert ended.returncode == 0, ended.stderr


def sessions(page: str) -> dict[str, str]:
    """Return what a page says that each command of its sessions prints, by the line that is typed."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = {}
    for block in re.findall(r"^```\n(\$ .*?)^```", text, re.M | re.S):
        for typed in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, printed = typed.partition("\n")
            found[command] = printed
    return found


def printed_so(told: str, printed: str) -> bool:
    """Whether a page tells what is printed; what it leaves out stands as ``...``."""
    return re.fullmatch(re.escape(told).replace(r"\.\.\.", ".*?"), printed, re.S) is not None


@long
def test_the_page_of_evidence_prints_what_the_commands_print(
    home: Path, first: dict[str, Any], tmp_path: Path
) -> None:
    told = sessions("evidence.md")
    assert len(told) == 4
    readings = tmp_path / "january" / "readings.csv.gz"
    for command in list(told):
        if command.startswith("zcat"):
            lines = gzip.decompress(readings.read_bytes()).decode().splitlines(keepends=True)
            assert "".join(lines[:3]) == told.pop(command)
            continue
        if "changed.csv" in command:
            text = gzip.decompress(readings.read_bytes()).decode()
            changed = text.replace(",457.76000999999997\n", ",457.77\n", 1)
            (tmp_path / "changed.csv").write_text(changed, encoding="utf-8")
        line, _, without = command.partition(" | ")
        words = [
            str(tmp_path / word) if word.split("/")[0] in ("january", "changed.csv") else word
            for word in line.split()
        ]
        printed = truetonne(home, *words[1:]).stdout.replace(f"{tmp_path}/", "")
        if without == "grep -v '^ok'":
            printed = re.sub("^ok.*\n", "", printed, flags=re.M)
        said = told.pop(command).replace(" (not issued)", "")  # the page says where it is printed
        assert printed_so(said, printed), printed
    assert told == {}


def test_the_audit_guide_prints_what_the_proof_says(home: Path, first: dict[str, Any]) -> None:
    """But for hashes, and the numbers and times of blocks, which are those of a run."""
    text = (ROOT / "docs" / "audit-guide.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"^```\n(ok .*?)^```", text, re.M | re.S)
    command = shlex.split(first["proof"]["command"])
    file = str(home / "first-proof.json")
    at = command.index("verify")
    printed = truetonne(home, "verify", file, *command[at + 2 :]).stdout

    def of_any_run(said: str) -> str:
        said = re.sub(r"0x[0-9a-f]+…?", "HASH", said.replace(file, "bundle.json"))
        return re.sub(r"(number|block) \d+|\d{4}-\d\d-\d\dT[\d:]+Z", r"\1", said)

    assert of_any_run(told) == of_any_run(printed)


def test_the_readme_shows_the_months_that_are_issued(first: dict[str, Any]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^(\S+) to (\S+)  (.*?)  0x", text, re.M)
    issued = {item["period"]["from"]: item for item in first["credits"][:25]}
    assert len(told) == 3
    for begin, end, rest_of_row in told:
        item = issued[begin]
        counts = [str(item["readings"][name]) for name in ("used", "missing", "conflict")]
        figures = [*counts, item["net_kwh"], item["issued_kg"], item["serials"]]
        assert (item["period"]["to"], figures) == (end, rest_of_row.split())
    for year, tonnes in first["totals"]["lhb-wind"].items():
        assert year == "2016" or re.search(rf"^lhb-wind +{year} +{tonnes}$", text, re.M)


@long
def test_money_goes_into_the_escrow_and_out_again(home: Path, first: dict[str, Any]) -> None:
    before = first["settlement"]["balances"]["lhb-vpp"]
    paid = truetonne(home, "settle", "deposit", "lhb-vpp", "10.50", "--mint", "--json")
    assert paid.returncode == 0, paid.stderr
    assert Decimal(json.loads(paid.stdout)["balance"]) == Decimal(before) + Decimal("10.50")
    back = truetonne(home, "settle", "withdraw", "lhb-vpp", "10.50", "--json")
    assert json.loads(back.stdout)["balance"] == before
    unknown = truetonne(home, "settle", "deposit", "nobody", "1")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert truetonne(home, "reconcile").returncode == 0


def test_the_demonstration_attaches_to_no_running_chain(tmp_path: Path) -> None:
    ended = truetonne(tmp_path, "demo", rpc_url="http://127.0.0.1:8545")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "rpc_url" in ended.stderr


def test_fresh_does_not_drop_books_that_hold_more(home: Path, first: dict[str, Any]) -> None:
    file = home / "truetonne.db"
    with sqlite3.connect(file) as link:
        link.execute("UPDATE sites SET code = 'not-the-demo' WHERE code = 'serf-east'")
    try:
        ended = truetonne(home, "demo", "--fresh")
    finally:
        with sqlite3.connect(file) as link:
            link.execute("UPDATE sites SET code = 'serf-east' WHERE code = 'not-the-demo'")
    assert ended.returncode == 2
    assert "not-the-demo" in ended.stderr


@long
def test_a_log_file_sees_the_steps(home: Path, first: dict[str, Any]) -> None:
    ended = truetonne(home, "demo")
    assert ended.returncode == 0
    assert [line.split()[0] for line in ended.stderr.splitlines()] == [
        *("deploying", "importing", "importing", "registering", "issuing", "issuing"),
        *("selling", "transferring", "comparing", "proving"),
    ]


@long
def test_books_that_were_moved_find_their_chain_again(
    home: Path, first: dict[str, Any], tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(home, moved)
    ended = truetonne(moved, "reconcile", "--json")
    assert ended.returncode == 2
    error = json.loads(ended.stdout)["error"]
    assert error["code"] == "chain-moved"
    (old,) = error["found"]
    Path(old).rename(error["expected"])  # as the message says
    assert truetonne(moved, "reconcile").returncode == 0


@pytest.fixture
def up(home: Path, first: dict[str, Any]) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """``truetonne up`` on the data of the demonstration, and what it said when it was ready."""
    port = KeptPort()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "up", "--json"],
        cwd=ROOT,
        env={**os.environ, "TRUETONNE_HOME": str(home), "TRUETONNE_API_PORT": str(port.number)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        while not said.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            said += line
        yield process, json.loads(said)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        port.close()


@pytest.fixture
def standing_by(up: object, home: Path) -> Iterator[subprocess.Popen[str]]:
    """``index run`` beside the mirror of ``up``, once it stands by."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "index", "run", "--json"],
        cwd=ROOT,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert "stands by" in process.stderr.readline()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.parametrize("told", rest([signal.SIGINT, signal.SIGKILL], signal.SIGKILL))
def test_up_serves_the_same_data_and_orphans_nothing(
    up: tuple[subprocess.Popen[str], dict[str, str]],
    standing_by: subprocess.Popen[str],
    home: Path,
    told: signal.Signals,
) -> None:
    process, said = up
    with urllib.request.urlopen(f"{said['api']}/v1/credits?limit=1", timeout=60) as answer:
        assert len(json.load(answer)["items"]) == 1
    with urllib.request.urlopen(f"{said['api']}/readyz", timeout=60) as answer:
        assert answer.status == 200
    # Another command shares the node that runs: it finds the books' last block there.
    ended = truetonne(home, "index", "run", "--until", "head")
    assert ended.returncode == 0, ended.stdout + ended.stderr

    # And nobody starts anew under it.
    fresh = truetonne(home, "demo", "--fresh")
    assert (fresh.returncode, fresh.stderr.count("\n")) == (2, 1)
    assert "in use" in fresh.stderr

    nodes = _children(process.pid)
    assert nodes
    process.send_signal(told)
    process.wait(60)
    until(lambda: not any(runs(pid) for pid in nodes))
    if told == signal.SIGINT:
        assert process.returncode == 0
    # A mirror that shared the node does not wait for ever where no node will be again.
    said_by, _ = standing_by.communicate(timeout=60)
    assert (standing_by.returncode, json.loads(said_by)["error"]["code"]) == (3, "node-ended")
    # However it ended, the books and the chain are there the next time.
    assert truetonne(home, "reconcile").returncode == 0


@long
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_up_ends_when_its_node_does(
    up: tuple[subprocess.Popen[str], dict[str, str]], home: Path
) -> None:
    process, _ = up
    (node,) = _children(process.pid)
    os.kill(node, signal.SIGTERM)  # it saves its state: other tests go on with it
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    error = json.loads(said)["error"]
    assert error["code"] == "node-ended"
    assert "the node of the local chain has ended" in error["message"]
    assert truetonne(home, "reconcile").returncode == 0


def test_the_proof_of_the_demonstration_is_valid_elsewhere(
    first: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    """The printed command, in an empty folder, with an empty home."""
    proof = first["proof"]
    assert proof["readings"] == 4458
    shutil.copy(home / "first-proof.json", tmp_path / "proof.json")
    words = [
        "proof.json" if word == proof["file"] else word for word in shlex.split(proof["command"])
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "cli.main", *words, "--json"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    document = json.loads(ended.stdout)
    assert document["valid"] is True
    assert document["facts"]["issued"]["amount"] == str(LHB_KG[0])
    assert document["facts"]["serials"] == {"first": 1, "last": 10_000, "state": "retired"}
    assert {path.name for path in tmp_path.iterdir()} == {"proof.json"}
    names = [check["name"] for check in document["checks"]]
    assert names[:6] == ["block", "contract", "creation", "batch", "log", "admin"]
    assert names[-2:] == ["readings", "sum"]
    assert len(document["not_proven"]) == 8
    # January of the site, in Paris, as the guide for auditors shows it.
    period = (
        f"{LHB_KG[0]} kg were issued for the period 2013-12-31T23:00:00Z to 2014-01-31T23:00:00Z by"
    )
    [issued] = [check["text"] for check in document["checks"] if check["name"] == "issued"]
    assert issued.startswith(period)
    assert f"ok       {period} " in (ROOT / "docs" / "audit-guide.md").read_text(encoding="utf-8")
    _page_agrees((tmp_path / "proof.json").read_text(encoding="utf-8"), words)


def _page_agrees(text: str, words: list[str]) -> None:
    """The page says the same of the bundle, and of one that was made by another init code."""
    value = dict(zip(words[2::2], words[3::2], strict=True))
    hashes = (
        bytes.fromhex(value[f"--{name}"][2:]) for name in ("block-hash", "address", "code-hash")
    )
    trusted = Trusted(*hashes, int(value["--chain-id"]))
    document = json.loads(text)
    document["creation"]["init_code_hash"] = "0x" + "00" * 32
    forged = json.dumps(document)
    verdicts = [judge(each, trusted) for each in (text, forged)]
    assert judged(case(each, trusted) for each in (text, forged)) == verdicts
    assert [verdict["valid"] for verdict in verdicts] == [True, False]
    assert (verdicts[1]["check"], len(verdicts[1]["held"])) == ("creation", 2)


@long  # of other deployments: tests/contracts/test_verify_deployment.py
def test_the_contracts_of_the_demonstration_are_verified(first: dict[str, Any], home: Path) -> None:
    ended = truetonne(home, "chain", "verify", "--json")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    document = json.loads(ended.stdout)
    assert document["verified"] is True
    contracts = {item["name"]: item for item in document["contracts"]}
    assert {"CarbonCredit", "VppSettlement", "Oversight"} <= set(contracts)
    assert all(item["verified"] and not item["differs"] for item in contracts.values())
    # What the bundle of the demonstration says of the contract's making is what the sources give.
    said = {check["name"]: check["text"] for check in first["proof"]["checks"]}
    assert said["creation"].endswith(contracts["CarbonCredit"]["init_code_hash"])
    assert contracts["CarbonCredit"]["code_hash"] in first["proof"]["command"]


@long
def test_contracts_with_another_admin_are_not_verified(
    first: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    (chain,) = home.glob("chain-*")
    book = json.loads((chain / "deployment.json").read_text())
    credit = book["contracts"]["CarbonCredit"]
    credit["constructor"]["admin"] = "0x" + "11" * 20  # another admin than the one that was given
    other = tmp_path / "deployment.json"
    other.write_text(json.dumps(book))
    ended = truetonne(home, "chain", "verify", "--json", deployment=str(other))
    assert ended.returncode == 1, ended.stdout + ended.stderr
    wrong = [item for item in json.loads(ended.stdout)["contracts"] if item["differs"]]
    assert [item["name"] for item in wrong] == ["CarbonCredit"]
    assert {"address", "hash of the init code"} <= set(wrong[0]["differs"])


def test_a_network_without_a_node_is_one_line(home: Path) -> None:
    ended = truetonne(home, "chain", "verify", "--network", "sepolia")
    assert ended.returncode == 2
    assert "SEPOLIA_RPC_URL" in ended.stderr
