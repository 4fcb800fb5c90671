"""``credits retire | transfer | cancel`` that are not sent, only tried, or asked for again by books of before."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Program
from tests.support.chain import CREDIT, PARTIES, SITE_CODE, TestChain
from tests.support.forms import long, rest
from tests.support.mirror import running_chain
from tests.support.sending import GWEI

BATCH = f"{SITE_CODE}-2014-1"
RETIRE = ("credits", "retire", BATCH, "--beneficiary", "Town", "--reason", "2014", "--amount")
TRANSFER = ("credits", "transfer", BATCH, "--to", "0x" + "9" * 40, "--amount")
CANCEL = ("credits", "cancel", BATCH, "--reason", "meter replaced", "--amount")
REFUSED = {
    "nobody": (*TRANSFER[:3], "--to", "0x" + "0" * 40),
    "no receiver": (*TRANSFER[:3], "--to", "CONTRACT"),
    "long reason": (*CANCEL[:3], "--reason", "x" * 1025),
    "failed before": (*CANCEL[:3], "--reason", "x" * 1025, "--key", "failed"),
}
ACTS = {"retire": RETIRE, "transfer": TRANSFER, "cancel": CANCEL}


@pytest.fixture
def chain(migrated: Program) -> Iterator[TestChain]:
    """A chain on which the owner holds a batch of 1000 kg, and the program set to it."""
    with running_chain() as node:
        node.issue(1000, 0)
        migrated.environ |= migrated.with_settings(
            {"rpc_url": node.rpc_url, "deployment": "local.json", "finality": "0"}
        )
        migrated.write("local.json", node.deployment_text())
        assert migrated("index", "run", "--until", "head").code == 0
        yield node


def price(node: TestChain, gwei: int) -> None:
    """Mine a block in which gas costs this much."""
    node.client.request("anvil_setNextBlockBaseFeePerGas", [hex(gwei * GWEI)])
    node.mine(1)


def held(node: TestChain) -> int:
    """Return what the owner holds, kg: asked of the contract itself."""
    batch_id = 1 << 32 | 1
    data = "0x00fdd58e" + f"{int(PARTIES['owner'], 16):064x}{batch_id:064x}"
    address = node.deployment.contracts[CREDIT].address
    return int(node.client.call(address, data), 16)


@contextmanager
def setting(migrated: Program, name: str, value: str) -> Iterator[None]:
    """Have a setting in the environment for a while."""
    migrated.environ[f"TRUETONNE_{name}"] = value
    yield
    del migrated.environ[f"TRUETONNE_{name}"]


def refused(migrated: Program, act: tuple[str, ...], code: int, said: str) -> None:
    """Ask for an act that is not signed, and see that a dry run says the same of it."""
    tried, ended = (migrated(*act, "7", *how) for how in (("--dry-run",), ()))
    assert tried.code == ended.code == code
    # What gas would cost is estimated anew for each block.
    one, other = (re.sub(r"\d+ (?=more|gas)", "", end.one_line()) for end in (tried, ended))
    assert one == other
    assert re.search(said, ended.one_line())


@pytest.mark.parametrize("act", rest(ACTS, "cancel"))
def test_an_act_without_a_key_that_is_not_signed_leaves_nothing(
    migrated: Program, chain: TestChain, act: str
) -> None:
    """Nobody could ask for it again, and the same command is another act: it would stay planned for ever."""
    price(chain, 800)
    refused(migrated, ACTS[act], 3, "more than max_fee_gwei")
    price(chain, 1)
    with setting(migrated, "SIGNER_GAS_MAX", "30000"):
        refused(migrated, ACTS[act], 1, r"gas cap: .* the cap is 30000")
    with setting(migrated, "SIGNER_DAILY_WEI", "1"):
        refused(migrated, ACTS[act], 1, "daily cost: ")
    assert migrated("chain", "intents", "--all", "--json").json()["intents"] == []
    done = migrated(*ACTS[act], "7")
    assert done.code == 0 and "hint" not in done.out, done.err
    assert held(chain) == 993
    with setting(migrated, "SIGNER_DAILY_TRANSACTIONS", "1"):
        refused(migrated, ACTS[act], 1, r"daily transactions: .* the cap is 1")
    assert held(chain) == 993


@long
def test_an_act_with_a_key_that_is_not_signed_waits_for_its_command(
    migrated: Program, chain: TestChain
) -> None:
    price(chain, 800)
    assert migrated(*RETIRE, "7", "--key", "order 1").code == 3
    (shown,) = migrated("chain", "intents", "--json").json()["intents"]
    assert shown["state"] == "planned" and "give its command again" in shown["what_to_do"]
    price(chain, 1)
    assert migrated("jobs", "run", "send").code == 0
    assert held(chain) == 1000
    tried = migrated(*RETIRE, "7", "--key", "order 1", "--dry-run")
    assert tried.code == 0 and "would retire 7 kg" in tried.out
    for _ in range(2):
        assert migrated(*RETIRE, "7", "--key", "order 1").code == 0
    tried = migrated(*RETIRE, "7", "--key", "order 1", "--dry-run")
    assert tried.code == 0 and "would do nothing" in tried.out
    assert held(chain) == 993


@long
@pytest.mark.parametrize("act", rest(REFUSED, "no receiver", "failed before"))
def test_a_dry_run_is_refused_as_the_run(migrated: Program, chain: TestChain, act: str) -> None:
    contract = chain.deployment.contracts["TestCurrency"].address
    words = [contract if word == "CONTRACT" else word for word in (*REFUSED[act], "--amount", "5")]
    if act == "failed before":
        assert "TextTooLong" in migrated(*words).one_line()
    before = (migrated.folder / ".truetonne" / "truetonne.db").read_bytes()
    tried = migrated(*words, "--dry-run")
    assert (migrated.folder / ".truetonne" / "truetonne.db").read_bytes() == before
    ended = migrated(*words)
    assert tried.code == ended.code != 0
    assert tried.one_line() == ended.one_line()
    assert held(chain) == 1000


@long
@pytest.mark.parametrize("act", rest(ACTS))
def test_books_from_before_do_nothing_twice_that_has_a_key(
    migrated: Program, chain: TestChain, act: str
) -> None:
    words = (*ACTS[act], "7", "--key", "order 1")
    kept = Path(shutil.copytree(migrated.folder / ".truetonne", migrated.folder / "kept"))
    first = migrated(*words, "--json").json()
    assert (first["state"], first["repeated"]) == ("confirmed", False)
    shutil.rmtree(migrated.folder / ".truetonne")
    kept.rename(migrated.folder / ".truetonne")
    tried = migrated(*words, "--dry-run")
    assert tried.code == 0 and f"transaction {first['transaction']} did it" in tried.out
    for waits in (("--no-wait",), (), ()):
        again = migrated(*words, *waits, "--json").json()
        assert (again["state"], again["repeated"]) == ("confirmed", True)
        assert again["transaction"] == first["transaction"]
    assert held(chain) == 993
    assert migrated("reconcile").code == 0


def test_a_refusal_says_what_it_means_and_what_to_do(migrated: Program, chain: TestChain) -> None:
    """It was ``NotActive(batchId=4294967297, status=2)``, which the API alone said in words."""
    chain.act("pauser", CREDIT, "suspend", [1 << 32 | 1])
    said = (
        "Batch 4294967297 is suspended, not active. Wait until it is reinstated, or use another batch. "
        "(CarbonCredit refuses retire: NotActive(batchId=4294967297, status=2))"
    )
    ended = migrated(*RETIRE, "1")
    assert (ended.code, ended.one_line()) == (1, f"error: {said}")
    error = migrated(*RETIRE, "1", "--dry-run", "--json").json()["error"]
    assert (error["message"], error["code"]) == (said, "contract-refused")
    assert error["contract_error"]["name"] == "NotActive"
