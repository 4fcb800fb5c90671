"""``chain pending`` and ``chain displace``: what waits that the books do not know, by the real program."""

from collections.abc import Iterator

import pytest

from tests.cli.conftest import Program
from tests.support.chain import PARTIES, TestChain
from tests.support.mirror import running_chain
from tests.support.sending import GWEI

OWNER, SPARE = PARTIES["owner"], PARTIES["spare"]
WHY = ("--reason", "paid by hand, and too cheap")


@pytest.fixture
def chain(migrated: Program) -> Iterator[TestChain]:
    """A chain whose transactions wait, and the program set to it."""
    with running_chain() as node:
        migrated.environ |= migrated.with_settings(
            {"rpc_url": node.rpc_url, "deployment": "local.json", "finality": "0"}
        )
        migrated.write("local.json", node.deployment_text())
        assert migrated("index", "run", "--until", "head").code == 0
        node.client.request("evm_setAutomine", [False])
        yield node


def test_a_payment_by_hand_is_shown_and_displaced(migrated: Program, chain: TestChain) -> None:
    none = migrated("chain", "pending")
    assert (none.code, none.out) == (
        0,
        "nothing waits that the books do not know, by what the node shows\n",
    )
    assert migrated("chain", "pending", "--json").json() == {"unknown": 0, "accounts": []}
    nonce = chain.client.transaction_count(OWNER)
    message = {"from": OWNER, "to": SPARE, "nonce": hex(nonce), "gas": hex(21_000), "value": "0x5"}
    fees = {"maxFeePerGas": hex(3 * GWEI), "maxPriorityFeePerGas": hex(GWEI)}
    paid = str(chain.client.request("eth_sendTransaction", [{**message, **fees}]))
    shown = migrated("chain", "pending", "--json")
    assert shown.code == 1
    row = {
        "transaction": paid,
        "from": OWNER,
        "nonce": nonce,
        "to": SPARE,
        "value_wei": "5",
        "gas": 21_000,
        "max_fee_gwei": "3",
        "priority_fee_gwei": "1",
        "contract": None,
        "function": None,
        "parameters": {},
        "input": "0x",
        "planned_as": None,
    }
    account = {"account": OWNER, "unseen": 0, "transactions": [row]}
    assert shown.json() == {"unknown": 1, "accounts": [account]}
    said = migrated("chain", "pending").out
    assert paid in said and f"5 wei to {SPARE}" in said and "`truetonne chain displace`" in said

    no_hash = migrated("chain", "displace", "0x12", *WHY)
    assert (no_hash.code, "is no hash of a transaction" in no_hash.err) == (2, True)
    assert migrated("chain", "displace", paid).code == 2  # without a reason
    tried = migrated("chain", "displace", paid, *WHY, "--dry-run")
    what = f"{paid} of {OWNER}, nonce {nonce}: 5 wei to {SPARE}"
    assert (tried.code, tried.out) == (0, f"would displace {what}\n")
    assert migrated("chain", "pending").code == 1
    done = migrated("chain", "displace", paid, *WHY, "--json")
    assert (done.code, done.json()["displaced"]) == (0, row)
    sent = done.json()["transaction"]
    again = migrated("chain", "displace", paid.upper().replace("0X", "0x"), *WHY)
    assert again.out.startswith(f"{sent} is sent to displace {paid}\neither may be mined")
    tried = migrated("chain", "displace", paid, *WHY, "--dry-run")
    assert tried.out == f"{sent} is signed to displace {paid}: the command would send it again\n"
    assert migrated("chain", "pending").code == 0
    assert (
        f"is to displace {paid}"
        in migrated("chain", "intents", "--json").json()["intents"][0]["what_to_do"]
    )
    chain.mine(1)
    assert migrated("index", "run", "--until", "head").code == 0
    assert migrated("chain", "intents", "--json").json()["intents"] == []
    receipt = chain.client.receipt(sent)
    assert receipt is not None and receipt.status == 1
    noted = migrated("audit", "log", "--action", "sending.displace", "--json")
    assert WHY[1] in noted.out and paid in noted.out
    assert migrated("reconcile").code == 0
    assert migrated("index", "verify").code == 0
