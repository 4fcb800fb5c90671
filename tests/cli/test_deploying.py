"""Contracts that a program of another version deployed, and what a script says that fails."""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests
from eth_utils.crypto import keccak
from sqlalchemy import update

from cli import chain as on_chain
from cli import deploying
from cli.alone import alone_in
from cli.command import Invocation
from cli.demo.steps import run_demo
from cli.deploying import deploy, ensure_deployed, try_deploy, verify
from cli.output import Output
from cli.up import up
from indexer import Indexer
from ledger.chain.addresses.book import Deployment
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.db import Database
from ledger.errors import BadInput, DependencyDown, WrongChain
from ledger.leases import process_identity
from ledger.models import SmartContract
from ledger.settings import Settings, load_settings
from scripts.ending import end_with
from tests.cli.conftest import Program, good
from tests.support.chain import PARTIES, TestChain
from tests.support.forked import FORKED
from tests.support.forms import long
from tests.support.mirror import running_chain
from tests.support.waiting import until

ARBITER_ROLE = keccak(text="ARBITER_ROLE")


def alone(deployment: str | Path) -> Settings:
    """Settings with a home of their own: that of the project's folder may have the books of a demonstration."""
    home = Path(deployment).parent / "home"
    return load_settings(
        None, {"TRUETONNE_DEPLOYMENT": str(deployment), "TRUETONNE_HOME": str(home)}
    )


def test_contracts_of_another_version_are_refused(tmp_path: Path) -> None:
    """Their functions and events are other ones: said at once, with what mends it."""
    path = tmp_path / "local.json"
    with running_chain() as chain:
        book = json.loads(chain.deployment_text())
        url = chain.rpc_url
        settings = alone(path)
        path.write_text(json.dumps(book))
        assert ensure_deployed(settings, url) is False

        book["contracts"][CREDIT]["source_hash"] = "0x" + "11" * 32
        path.write_text(json.dumps(book))
        with pytest.raises(WrongChain, match="demo --fresh") as refused:
            ensure_deployed(settings, url)
    assert refused.value.code == "other-version"
    assert CREDIT in refused.value.message


def of_other_sources(chain: TestChain) -> str:
    """The deployment file as a program of other sources reads it; hashed is the code that the chain was sent."""
    book = json.loads(chain.deployment_text())
    sent = chain.client.request("eth_getTransactionByHash", [book["contracts"][CREDIT]["tx_hash"]])
    book["contracts"][CREDIT]["source_hash"] = "0x" + "11" * 32
    book["contracts"][CREDIT]["init_code_hash"] = "0x" + keccak(hexstr=sent["input"]).hex()
    return json.dumps(book)


@long
def test_contracts_of_other_sources_that_speak_alike_are_used(tmp_path: Path) -> None:
    """A local chain of before was refused by `up` and `chain deploy`, and used by everything else."""
    path = tmp_path / "local.json"
    url = f"sqlite:///{tmp_path / 'books.db'}"
    with running_chain() as chain, closing(Database(url)) as books:
        books.upgrade()
        Indexer(books, chain.client, chain.deployment).run_until("head")
        path.write_text(of_other_sources(chain))
        given = {"TRUETONNE_DEPLOYMENT": str(path), "TRUETONNE_DATABASE_URL": url}
        settings = load_settings(None, given)
        assert ensure_deployed(settings, chain.rpc_url) is False

        here = SmartContract.contract_address == chain.deployment.credit.address
        less = json.dumps(
            [entry for entry in artifact(CREDIT).abi if entry.get("name") != "retire"]
        )
        with books.write() as session:
            session.execute(update(SmartContract).where(here).values(abi=less))
        with pytest.raises(WrongChain, match="has other functions") as refused:
            ensure_deployed(settings, chain.rpc_url)
    assert refused.value.code == "other-version"


@long
def test_books_that_this_version_began_do_not_know_how_others_contracts_speak(
    tmp_path: Path,
) -> None:
    """They have this version's own interface in their row, which was compared with itself."""
    path = tmp_path / "local.json"
    url = f"sqlite:///{tmp_path / 'books.db'}"
    with running_chain() as chain, closing(Database(url)) as books:
        books.upgrade()
        path.write_text(of_other_sources(chain))
        Indexer(books, chain.client, Deployment.load(path)).run_until("head")
        given = {"TRUETONNE_DEPLOYMENT": str(path), "TRUETONNE_DATABASE_URL": url}
        with pytest.raises(WrongChain, match="do not tell which") as refused:
            ensure_deployed(load_settings(None, given), chain.rpc_url)
    assert refused.value.code == "other-version"


def test_a_script_that_was_killed_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line was Brownie's greeting, the last that it had said."""
    monkeypatch.setattr("cli.deploying._spoken", lambda *_: (-9, "Brownie v1 - for Ethereum\n"))
    with pytest.raises(DependencyDown, match=r"^the deploy script was killed \(SIGKILL\)"):
        deploy(alone(tmp_path / "lab.json"), "http://127.0.0.1:1", "lab")


@pytest.mark.parametrize("network", ["local", "lab"])
def test_of_two_that_deploy_at_once_the_second_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    """It had run the script beside the first, and ended with what the node refused."""
    path = tmp_path / "chain" / "local.json"
    settings = alone(path)
    with running_chain() as chain:
        book, url = chain.deployment_text(), chain.rpc_url
        at_it, go_on, runs = Event(), Event(), []

        def script(*_: Any, **__: Any) -> None:  # what the script leaves behind
            runs.append(1)
            at_it.set()
            assert go_on.wait(120)
            path.write_text(book)

        monkeypatch.setattr("cli.deploying.deploy", script)
        with ThreadPoolExecutor(2) as both:
            first = both.submit(ensure_deployed, settings, url, network)
            assert at_it.wait(120)
            second = both.submit(ensure_deployed, settings, url, network)
            with pytest.raises(TimeoutError):
                second.result(0.5)  # a little while, in which it would run the script, too
            go_on.set()
            assert (first.result(), second.result(), len(runs)) == (True, False, 1)


@long
def test_a_role_that_a_fork_took_back_meanwhile_is_said_to_be_lacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of contracts that it had just deployed it did not ask: it ended well, and three accounts had no role."""
    path = tmp_path / "lab.json"
    with running_chain() as chain:
        chain.act("admin", SETTLEMENT, "revokeRole", [ARBITER_ROLE, PARTIES["admin"]])
        book = json.loads(chain.deployment_text())
        for each in book["contracts"].values():
            each["block"] += chain.client.block_number()  # made by this run

        def script(*_: Any, **__: Any) -> None:
            path.write_text(json.dumps(book))

        monkeypatch.setattr("cli.deploying.deploy", script)
        given = {"TRUETONNE_RPC_URL": chain.rpc_url, "TRUETONNE_DEPLOYMENT": str(path)}
        environ = {**given, "TRUETONNE_HOME": str(tmp_path / "home")}
        on_chain.deploy(Invocation(Output(True), environ=environ))
    found = json.loads(capsys.readouterr().out)
    assert found["deployed"] is True
    assert [row["role"] for row in found["without_roles"]] == ["ARBITER_ROLE"]


def deploy_from(checkout: str, deployment: str) -> None:
    """Deploy from another checkout; a target for a process."""
    deploying.CHECKOUT = Path(checkout)
    deploy(alone(deployment), "http://127.0.0.1:9", "lab")


def test_a_script_ends_with_the_command_that_was_killed(tmp_path: Path) -> None:
    """It went on, and the next run deployed beside it with the same keys."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "deploy.py").touch()
    (tmp_path / "dev").write_text("echo $$ >begun.new && mv begun.new begun && exec sleep 600\n")
    begun = tmp_path / "begun"
    process = FORKED.Process(target=deploy_from, args=(str(tmp_path), str(tmp_path / "lab.json")))
    process.start()
    until(begun.exists)
    number = int(begun.read_text())
    assert process_identity(number) is not None
    process.kill()
    process.join()
    until(lambda: process_identity(number) is None)


def test_the_compiler_of_a_script_ends_with_a_command_that_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went on by itself, for as long as it compiles."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "deploy.py").touch()
    (tmp_path / "dev").write_text("sleep 600 & echo $! >compiler; echo step: compiling; wait\n")
    monkeypatch.setattr("cli.deploying.CHECKOUT", tmp_path)

    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy(alone(tmp_path / "lab.json"), "http://127.0.0.1:9", "lab", interrupted)
    number = int((tmp_path / "compiler").read_text())
    until(lambda: process_identity(number) is None)


def test_a_script_works_by_the_configuration_file_and_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keystore that only the file named was passed over: on chain 31337 Anvil's accounts got every role."""
    checkout = tmp_path / "checkout"
    (checkout / "scripts").mkdir(parents=True)
    (checkout / "scripts" / "deploy.py").touch()
    (checkout / "dev").write_text("env >told; echo deploy: enough >&2; exit 2\n")
    config = tmp_path / "park.toml"
    config.write_text(
        'home = "park"\nkeystore = "keys"\nkeystore_password_file = "word"\nmax_fee_gwei = 50\n'
        'deployment = "lab.json"\ndatabase_url = "sqlite:///books.db"\n',
    )
    monkeypatch.setattr("cli.deploying.CHECKOUT", checkout)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="deploy: enough"):
        deploy(load_settings(config, {}), "http://127.0.0.1:9", "lab")
    told = dict(line.split("=", 1) for line in (checkout / "told").read_text().splitlines())
    by_script = load_settings(None, told)
    here = tmp_path
    assert (by_script.keystore, by_script.keystore_password_file) == (here / "keys", here / "word")
    assert (by_script.home, by_script.deployment) == (here / "park", here / "lab.json")
    assert by_script.database_url == f"sqlite:///{here}/books.db"
    assert (by_script.max_fee_gwei, by_script.network) == (50, "lab")


def test_a_demonstration_waits_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both registered the projects and issued, and one ended with what a contract refused."""
    begun, said = Event(), Event()

    def prepare(*_: Any) -> None:
        begun.set()
        raise BadInput("far enough")

    monkeypatch.setenv("TRUETONNE_HOME", str(tmp_path))
    monkeypatch.setattr("cli.demo.steps._prepare", prepare)
    run = Invocation(Output(True))
    monkeypatch.setattr(run.output, "step", lambda _: said.set())
    with ThreadPoolExecutor(1) as other:
        with alone_in(tmp_path / "demo"):
            second = other.submit(run_demo, run, False)
            assert said.wait(120)
            assert not begun.is_set()
        with pytest.raises(BadInput, match="far enough"):
            second.result(120)
    assert begun.is_set()


@pytest.mark.parametrize(
    ("exit_code", "kind"), [(2, BadInput), (3, DependencyDown), (1, DependencyDown)]
)
def test_what_a_script_says_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_code: int, kind: type[Exception]
) -> None:
    """Its own line, without colours, and bad input as such."""

    said = "\x1b[0;1;31mValueError\x1b[0;m: first\ndeploy: \x1b[1mWINDOW\x1b[0m is wrong\n"
    monkeypatch.setattr("cli.deploying._spoken", lambda *_: (exit_code, said))
    settings = alone(tmp_path / "lab.json")
    with pytest.raises(kind, match="deploy: WINDOW is wrong; all it said is in") as refused:
        deploy(settings, "http://127.0.0.1:1", "lab")
    assert "\x1b" not in str(refused.value) + (tmp_path / "deploy.log").read_text()
    assert getattr(refused.value, "code", "") == "deploy-failed"
    with pytest.raises(BadInput, match="no deployment file"):
        verify(settings, "http://127.0.0.1:1", "lab")


def test_what_a_run_said_that_failed_is_gone_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stayed beside what stands, and was read as the log of that."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "deploy.py").touch()
    monkeypatch.setattr("cli.deploying.CHECKOUT", tmp_path)
    settings, log = alone(tmp_path / "lab" / "lab.json"), tmp_path / "lab" / "deploy.log"
    (tmp_path / "dev").write_text("echo deploy: enough >&2; exit 2\n")
    with pytest.raises(BadInput, match="deploy: enough"):
        deploy(settings, "http://127.0.0.1:1", "lab")
    assert log.read_text() == "deploy: enough\n"
    (tmp_path / "dev").write_text(': >"$TRUETONNE_DEPLOYMENT"\n')
    deploy(settings, "http://127.0.0.1:1", "lab")
    assert settings.deployment.exists() and not log.exists()


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (run_demo, "demo"),
        (up, "up,"),
        (on_chain.deploy, "chain deploy"),
        (on_chain.verify, "chain verify"),
    ],
)
def test_an_installed_program_says_at_once_what_needs_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[..., Any], name: str
) -> None:
    """It made books, asked for a node, and then named another command, or a file that is not installed."""
    monkeypatch.setattr("cli.deploying.CHECKOUT", tmp_path / "site-packages")
    monkeypatch.setenv("TRUETONNE_HOME", str(tmp_path / "home"))
    words = (False,) if act is run_demo else ()
    with pytest.raises(BadInput, match=f"^{name}.* needs the sources: clone the repository"):
        act(Invocation(Output(True)), *words)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_deploys_nothing(truetonne: Program) -> None:
    """Neither a node nor a database nor a folder comes of it."""
    tried = truetonne("chain", "deploy", "--dry-run", "--json")
    assert (tried.code, tried.err) == (0, "")
    assert tried.json() == {"network": "local", "deployed": True, "dry_run": True}
    assert truetonne.files() == set() and not (truetonne.folder / ".truetonne").exists()
    down = truetonne("chain", "deploy", "--dry-run", "--json", rpc_url="http://127.0.0.1:9")
    assert (down.code, down.json()["error"]["code"]) == (3, "node-down")
    dead = "mysql+pymysql://me:x@127.0.0.1:1/books"  # its tables come first
    down = truetonne("chain", "deploy", "--dry-run", "--json", database_url=dead)
    assert (down.code, down.json()["error"]["code"]) == (3, "database-down")


def test_a_script_tells_its_steps_and_a_try_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment was silent for as long as it took; a dry run never asked the script."""
    checkout = tmp_path / "checkout"
    (checkout / "scripts").mkdir(parents=True)
    (checkout / "scripts" / "deploy.py").touch()
    dev = checkout / "dev"
    monkeypatch.setattr("cli.deploying.CHECKOUT", checkout)
    settings, told = alone(tmp_path / "home" / "lab.json"), list[str]()
    dev.write_text(
        'echo step: deploying One; echo other; echo "step: two" >&2\n'
        'echo \'{"One": {"address": "0x1", "stands": false}}\' >"$TRUETONNE_TRY_RESULT"\n'
    )
    found = try_deploy(settings, "http://127.0.0.1:9", "lab", told.append)
    assert found == {"One": {"address": "0x1", "stands": False}}
    assert told == ["deploying One", "two"]
    dev.write_text("echo deploy: the issuer is nobody >&2; exit 2\n")
    with pytest.raises(BadInput, match=r"deploy: the issuer is nobody$"):
        try_deploy(settings, "http://127.0.0.1:9", "lab")
    assert not settings.deployment.parent.exists()


@long
def test_a_dry_run_checks_what_a_run_would(truetonne: Program) -> None:
    """It knew the names of the variables alone: the run that came after it was refused."""
    bad = truetonne("chain", "deploy", "--dry-run", deploy_issuer="0x" + "11" * 19)
    assert bad.code == 2
    assert "TRUETONNE_DEPLOY_ISSUER is not an address" in bad.err
    tried = good(truetonne("chain", "deploy", "--dry-run", "--json", deploy_window="7")).json()
    assert {CREDIT, "VppSettlement", "TestCurrency"} < set(tried["contracts"])
    assert truetonne.files() == set() and not (truetonne.folder / ".truetonne").exists()
    done = good(truetonne("chain", "deploy", "--json", deploy_window="7")).json()
    assert done["contracts"] == tried["contracts"]


@long
def test_tables_are_changed_by_the_account_that_may(truetonne: Program) -> None:
    """As the account of `database_url` it was refused, and the line told to set what was set."""
    urls = {"database_url": "sqlite:///books.db", "database_admin_url": "sqlite:///admin.db"}
    truetonne.write("none.json", "{}")  # which ends the command then
    ended = truetonne("chain", "deploy", deployment="none.json", **urls)
    assert (ended.code, "none.json" in ended.one_line()) == (2, True)
    for name, upgraded in (("admin.db", True), ("books.db", False)):
        with closing(sqlite3.connect(truetonne.folder / name)) as link:
            tables = link.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        assert (tables > 0) == upgraded, name


@long
def test_a_dry_run_compares_what_is_there(truetonne: Program) -> None:
    with running_chain() as chain:
        book = json.loads(chain.deployment_text())
        settings = {"rpc_url": chain.rpc_url, "deployment": "book.json"}
        truetonne.write("book.json", json.dumps(book))
        tried = truetonne("chain", "deploy", "--dry-run", "--json", **settings)
        assert tried.json()["deployed"] is False
        book["contracts"][CREDIT]["source_hash"] = "0x" + "11" * 32
        truetonne.write("book.json", json.dumps(book))
        other = truetonne("chain", "deploy", "--dry-run", "--json", **settings)
        assert (other.code, other.json()["error"]["code"]) == (2, "other-version")


@long
def test_the_same_code_with_the_same_arguments_is_the_same_contract(truetonne: Program) -> None:
    """Who wanted contracts of his own, in places of their own, had the old ones, and was told nothing."""
    with running_chain() as chain:
        one = {"rpc_url": chain.rpc_url, "deployment": "one.json"}
        first = good(truetonne("chain", "deploy", "--json", **one)).json()
        assert first["deployed"] is True
        two = {**one, "deployment": "two.json", "home": "two"}
        again = truetonne("chain", "deploy", **two)
        assert again.out.startswith("nothing was deployed: the contracts stand already\n")
        beside = {**one, "deployment": "three.json", "home": "three", "deploy_window": "7"}
        other = truetonne("chain", "deploy", **beside).out
    contracts = first["contracts"]
    assert f"CarbonCredit at {contracts[CREDIT]}, where it stood already\n" in other
    assert "VppSettlement at 0x" in other and contracts["VppSettlement"] not in other


@long
def test_who_waited_for_another_deployment_deployed_nothing(truetonne: Program) -> None:
    """The blocks of the other's contracts came after it had begun: it called them its own."""
    good(truetonne("db", "upgrade"))
    with running_chain() as chain, ThreadPoolExecutor(2) as both:
        there = {"rpc_url": chain.rpc_url, "deployment": "one.json"}
        words = ("chain", "deploy", "--json")
        begun = [both.submit(lambda: truetonne.started(*words, **there)) for _ in range(2)]
        ended = [good(each.result()).json() for each in begun]
    assert sorted(each["deployed"] for each in ended) == [False, True]
    assert ended[0]["contracts"] == ended[1]["contracts"]


def test_another_network_than_the_configured_one(truetonne: Program) -> None:
    """What was exported for one network was taken for the next: its node, and its contracts as deployed there."""
    with running_chain() as chain:
        truetonne.write("local.json", chain.deployment_text())
        one = {"rpc_url": chain.rpc_url, "deployment": "local.json"}
        for verb in ("deploy", "verify"):
            ended = truetonne("chain", verb, "--network", "lab", **one)
            assert ended.code == 2
            said = "--network is lab, and local.json, which deployment names, is of local: unset deployment"
            assert said in ended.one_line()
        truetonne.environ["LAB_RPC_URL"] = "http://127.0.0.1:9"
        words = ("chain", "deploy", "--network", "lab", "--dry-run", "--json")
        for settings in ({"rpc_url": chain.rpc_url}, {"network": "lab"}):
            down = truetonne(*words, **settings)
            assert (down.code, down.json()["error"]["code"]) == (3, "node-down"), settings
            assert "127.0.0.1:9" in down.out


def test_a_mistyped_variable_is_refused_before_anything_is_looked_at(truetonne: Program) -> None:
    """A dry run said that it would deploy; and where the contracts stand, no script looks at the names."""
    for words in (("--dry-run",), ()):
        ended = truetonne("chain", "deploy", *words, deploy_isuer="0x" + "11" * 20)
        assert ended.code == 2
        assert "TRUETONNE_DEPLOY_ISUER is no variable of a deployment" in ended.one_line()
        assert "did you mean TRUETONNE_DEPLOY_ISSUER?" in ended.one_line()
    assert truetonne.files() == set() and not (truetonne.folder / ".truetonne").exists()


@long
def test_contracts_of_another_park_are_not_called_deployed(truetonne: Program) -> None:
    """They belong together; every other command refused them, and this one said that all is well."""
    with running_chain() as chain:
        truetonne.write("book.json", chain.deployment_text())
        settings = {"rpc_url": chain.rpc_url, "deployment": "book.json"}
        good(truetonne("db", "upgrade"))
        good(truetonne("index", "run", "--until", "head", **settings))
        good(truetonne("chain", "deploy", **settings))
        (file,) = truetonne.folder.rglob("truetonne.db")
        with closing(sqlite3.connect(file)) as link, link:
            link.execute("UPDATE chain_cursor SET genesis_hash = ?", ("0x" + "11" * 32,))
        for words in (("chain", "deploy"), ("chain", "deploy", "--dry-run")):
            ended = truetonne(*words, "--json", **settings)
            assert (ended.code, ended.json()["error"]["code"]) == (2, "wrong-chain"), words
            assert "the books mirror chain 31337" in ended.out


def test_contracts_that_are_not_on_the_chain_are_not_called_deployed(truetonne: Program) -> None:
    with running_chain() as chain:
        truetonne.write("book.json", chain.deployment_text())
        settings = {"rpc_url": chain.rpc_url, "deployment": "book.json"}
        chain.client.request("anvil_setCode", [chain.deployment.credit.address, "0x"])
        for words in (("chain", "deploy", "--dry-run"), ("chain", "deploy")):
            ended = truetonne(*words, "--json", **settings)
            assert (ended.code, ended.json()["error"]["code"]) == (2, "wrong-code"), words
            assert "move the deployment file away and deploy again" in ended.out


KEY = "3fa1b2c4d5e6f7081920a1b2c3d4e5f6"


@pytest.mark.parametrize(
    ("error", "code", "line", "traced"),
    [
        (BadInput("the key is missing"), 2, "deploy: the key is missing", False),
        (
            requests.ConnectionError(f"Max retries exceeded with url: /v3/{KEY}"),
            3,
            "deploy: no node answers at https://node.example/v3/*** (ConnectionError); what stands stays",
            False,
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "deployments/local.json"),
            3,
            "deploy: deployments/local.json: No space left on device; what stands stays",
            False,
        ),
        (
            ValueError(f"https://node.example/v3/{KEY} has no such method"),
            3,
            "deploy: the node refused: https://node.example/v3/*** has no such method; what stands stays",
            True,
        ),
        (
            ValueError({"code": -32005, "message": f"limit of /v3/{KEY} exceeded"}),
            3,
            "deploy: the node refused: limit of /v3/*** exceeded; what stands stays",
            True,
        ),
    ],
    ids=["bad input", "out of reach", "a full disk", "a refusal", "a refusal as it came"],
)
def test_what_ends_a_script_is_one_line_without_the_key_of_a_node(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int, line: str, traced: bool
) -> None:
    """Gateways take their key in the address: it went into the terminal, and into the script's log."""
    with pytest.raises(SystemExit) as ended:
        try:
            raise error  # so that it has a trace
        except Exception as raised:
            end_with("deploy", raised, f"https://node.example/v3/{KEY}", "; what stands stays")
    said = capsys.readouterr().err
    assert ended.value.code == code
    assert said.splitlines()[-1] == line
    assert ("Traceback" in said) == traced
    assert KEY not in said


def test_a_gateway_that_refuses_is_named_with_its_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = requests.Response()
    answer.status_code, answer.url = 401, f"https://node.example/v3/{KEY}"
    with pytest.raises(requests.HTTPError) as raised:
        answer.raise_for_status()
    assert KEY in str(raised.value)
    with pytest.raises(SystemExit):
        end_with("verify", raised.value, answer.url)
    assert capsys.readouterr().err == "verify: https://node.example/v3/*** answers HTTP 401\n"
