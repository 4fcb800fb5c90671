"""What nodes and chains differ in, and a deployment meets: scripts/deploy_node.py and what goes with it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from requests import HTTPError
from web3 import HTTPProvider, Web3

from ledger.errors import DependencyDown
from scripts import create2
from scripts.deploy import Deployer
from scripts.deploy_node import (
    FACTORY_SIGNER,
    FACTORY_TRANSACTION,
    FACTORY_WEI,
    check_rules,
    factory_costs,
    put_factory,
)
from scripts.toolchain.brownie_fees import ask_plainly
from scripts.toolchain.brownie_sending import GWEI, send_carefully
from tests.contracts.deploying import request, running_node
from tests.support.forms import long
from tests.support.proxy import LyingNode, recorded


@contextmanager
def without_the_factory() -> Iterator[None]:
    """Take the factory away that Anvil begins with, as chains of other nodes begin."""
    code = request("eth_getCode", [create2.FACTORY, "latest"])
    nonce = request("eth_getTransactionCount", [FACTORY_SIGNER, "latest"])
    request("anvil_setCode", [create2.FACTORY, "0x"])
    request("anvil_setNonce", [create2.FACTORY, "0x0"])
    try:
        yield
    finally:  # no snapshot covers what is set by hand
        request("anvil_setCode", [create2.FACTORY, code])
        request("anvil_setNonce", [FACTORY_SIGNER, nonce])


def test_a_chain_without_the_factory(
    deployer: Deployer, chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DP-08: the admin pays for its published transaction; it stands where it does everywhere, by the same code."""
    from brownie import web3

    code = request("eth_getCode", [create2.FACTORY, "latest"])
    monkeypatch.setattr(deployer, "contract", lambda *_: pytest.fail("enough"))
    with without_the_factory():
        assert factory_costs(web3) == 10**16
        with pytest.raises(pytest.fail.Exception, match="enough"):
            deployer.run()
        assert request("eth_getCode", [create2.FACTORY, "latest"]) == code
        assert chain.height == 2
        assert factory_costs(web3) == 0


@long
def test_too_little_money_where_the_factory_is_to_be_paid(deployer: Deployer) -> None:
    """DP-05: what it takes is told with the rest, before the factory is paid."""
    admin = deployer.plan.holders["admin"]
    had = request("eth_getBalance", [admin, "latest"])
    with without_the_factory():
        request("anvil_setBalance", [admin, hex(FACTORY_WEI)])
        try:
            with pytest.raises(
                DependencyDown, match=r"gwei, and 0\.010000 for the CREATE2 factory\)"
            ):
                deployer.run()
        finally:
            request("anvil_setBalance", [admin, had])
        assert request("eth_getBalance", [FACTORY_SIGNER, "latest"]) == "0x0"


def test_a_node_that_does_not_take_the_factory(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DP-08: what geth says to a transaction without a chain id, with what to do."""
    from brownie import web3

    make = web3.provider.make_request

    def refusing(method: str, parameters: Any) -> Any:
        if (method, parameters) != ("eth_sendRawTransaction", [FACTORY_TRANSACTION]):
            return make(method, parameters)
        said = "only replay-protected (EIP-155) transactions allowed over RPC"
        return {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": said}}

    with without_the_factory():
        monkeypatch.setattr(web3.provider, "make_request", refusing)
        with pytest.raises(DependencyDown, match=r"EIP-155.*--rpc.allow-unprotected-txs"):
            put_factory(web3, deployer.plan)


def test_a_factory_that_an_earlier_run_sent_is_waited_for(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DP-02: the node says of the second sending that it has it, which is no refusal."""
    from brownie import web3

    make, said = web3.provider.make_request, []

    def mining(method: str, parameters: Any) -> Any:
        answer = make(method, parameters)
        if method == "eth_sendRawTransaction":
            said.append(answer)
            request("evm_setAutomine", [True])
            request("evm_mine", [])
        return answer

    with without_the_factory():
        deployer.plan.key("admin").transfer(FACTORY_SIGNER, FACTORY_WEI)
        request("evm_setAutomine", [False])
        try:
            request("eth_sendRawTransaction", [FACTORY_TRANSACTION])
            monkeypatch.setattr(web3.provider, "make_request", mining)
            put_factory(web3, deployer.plan)
        finally:
            request("evm_setAutomine", [True])
        assert len(said) == 1 and "error" in said[0]
        assert request("eth_getCode", [create2.FACTORY, "latest"]) != "0x"


def test_a_factory_that_the_node_has_forgotten_is_sent_again(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DP-10: it was waited for, three minutes, and nothing was done about it."""
    from brownie import web3

    make, sent = web3.provider.make_request, []

    def forgetting(method: str, parameters: Any) -> Any:
        answer = make(method, parameters)
        if method == "eth_sendRawTransaction":
            sent.append(parameters)
            make("anvil_dropAllTransactions" if len(sent) == 1 else "evm_mine", [])
        return answer

    monkeypatch.setattr("scripts.deploy_node.RESEND_S", 0.1)
    with without_the_factory():
        deployer.plan.key("admin").transfer(FACTORY_SIGNER, FACTORY_WEI)
        request("evm_setAutomine", [False])
        monkeypatch.setattr(web3.provider, "make_request", forgetting)
        try:
            put_factory(web3, deployer.plan)
        finally:
            request("evm_setAutomine", [True])
        assert sent == [[FACTORY_TRANSACTION]] * 2


def test_a_factory_that_is_in_no_block_in_time(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DP-08: where gas costs more than its transaction offers."""
    from brownie import web3

    monkeypatch.setattr("scripts.deploy_node._RECEIPT_S", 0.1)
    with without_the_factory():
        deployer.plan.key("admin").transfer(FACTORY_SIGNER, FACTORY_WEI)
        request("evm_setAutomine", [False])
        try:
            with pytest.raises(DependencyDown, match=r"in no block after .* run again later"):
                put_factory(web3, deployer.plan)
        finally:
            request("evm_setAutomine", [True])


@pytest.mark.parametrize("size", [0x2562, 49_000])
def test_the_factory_makes_a_contract_again_of_code_of_any_length(size: int) -> None:
    """DP-04: as a program that ends with all of the data, from where it is copied."""
    program = create2._made_again("0x" + "ab" * 20, bytes(size))
    assert program[:4] == b"\x62" + size.to_bytes(3)
    assert int.from_bytes(program[5:7]) == len(program) - size


def test_the_code_without_overrides_is_the_same(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DP-04: some nodes run the code of the chain whatever code a call brings (ethereumjs 0.10)."""
    from brownie import web3

    made = deployer.run()["contracts"]

    def ignoring(method: str, parameters: list[Any]) -> Any:
        return deployer._request(method, parameters[:2])

    asked = []
    for name, (address, init_code, _) in deployer.codes().items():
        place = (address, init_code, deployer.salt, made[name]["block"])
        found = create2.constructed(ignoring, *place)
        assert found == create2.constructed(deployer._request, *place)
        assert found == bytes(web3.eth.get_code(address))
        asked.append(create2.constructed(ignoring, address, init_code + b"\0", *place[2:]))
    assert set(asked) == {b""}  # other code stands elsewhere


@long
@pytest.mark.parametrize("rules", ["shanghai", "cancun", "prague"])
def test_rules_older_than_the_contracts_need(rules: str) -> None:
    """DP-05: as on Ganache, which stops at Shanghai: contracts would be made there, and fail."""
    with running_node(rules) as url:
        web3 = Web3(HTTPProvider(url))
        if rules != "shanghai":
            check_rules(web3)
            return
        with pytest.raises(DependencyDown, match=r"compiled for Prague.* Nothing was sent"):
            check_rules(web3)


class _Network:
    """Brownie's, as far as fees go."""

    tip: int | None = None

    def priority_fee(self, tip: int) -> None:
        self.tip = tip


def test_fees_are_asked_for_plainly() -> None:
    """DP-09: as ethereumjs 0.10 answers; it suggests no tip, and holds a price of nothing against the base fee."""

    def tamper(method: str, parameters: list[Any], result: Any) -> Any:
        priced = method == "eth_estimateGas" and "gasPrice" in parameters[0]
        return recorded(-32603, "Transaction's gasPrice (0) is less than ...") if priced else result

    transfer: Any = {"from": FACTORY_SIGNER, "to": create2.FACTORY, "value": 0, "gasPrice": "0x0"}
    with running_node() as url, LyingNode(url) as node:
        node.tamper = tamper
        web3, network = Web3(HTTPProvider(node.rpc_url)), _Network()
        with pytest.raises(Exception, match="less than"):
            web3.eth.estimate_gas({**transfer, "data": "0x" + "00" * 33})
        ask_plainly(web3, network)
        ask_plainly(web3, network)
        assert network.tip is None  # it suggests one
        assert web3.eth.estimate_gas({**transfer, "to": FACTORY_SIGNER}) == 21_000
        node.lacks = frozenset({"eth_maxPriorityFeePerGas"})
        ask_plainly(web3, network)
        assert network.tip == 10**9


@pytest.fixture
def brownie_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is bounded is unbounded again after the test."""
    from brownie import web3
    from brownie.network import account
    from brownie.network.transaction import TransactionReceipt

    for place, name in (
        (web3.eth, "send_raw_transaction"),
        (account, "_apply_fee_to_tx"),
        (account._PrivateKeyAccount, "_await_confirmation"),
        (TransactionReceipt, "_await_confirmation"),
    ):
        monkeypatch.setattr(place, name, getattr(place, name))


@pytest.mark.usefixtures("brownie_as_it_was")
def test_nothing_dearer_than_the_highest_fee_is_sent(accounts: Any, chain: Any) -> None:
    """DP-10: at a base fee of 1000 gwei 2001 were offered, whatever max_fee_gwei said; and any tip of the node's."""
    send_carefully(200)
    free = request("eth_getBlockByNumber", ["latest", False])["baseFeePerGas"]

    def send(**price: int) -> Any:
        return accounts[0].transfer(accounts[1], 0, silent=True, **price)

    def cost(gwei: int) -> None:
        request("anvil_setNextBlockBaseFeePerGas", [hex(gwei * GWEI)])
        request("evm_mine", [])

    try:
        for base, tip, offered in ((50, 1, (101, 1)), (150, 1, (200, 1)), (20, 900, (200, 200))):
            cost(base)
            sent = request("eth_getTransactionByHash", [send(priority_fee=tip * GWEI).txid])
            fees = (sent["maxFeePerGas"], sent["maxPriorityFeePerGas"])
            assert tuple(int(fee, 16) for fee in fees) == tuple(each * GWEI for each in offered)
        height, said = chain.height, r"gas costs 1000\.0 gwei, more than max_fee_gwei \(200\)"
        with pytest.raises(DependencyDown, match=said):
            send(gas_price=1000 * GWEI)
        assert chain.height == height
        cost(1000)
        with pytest.raises(DependencyDown, match=said):
            send(priority_fee=1)
        assert chain.height == height + 1
    finally:
        request("anvil_setNextBlockBaseFeePerGas", [free])
        request("evm_mine", [])


@pytest.mark.usefixtures("brownie_as_it_was")
def test_who_cannot_pay_for_a_transaction_is_named(accounts: Any, chain: Any) -> None:
    """DP-05: half way the node said that funds were insufficient, and not whose, nor how much was needed."""
    send_carefully(200)
    sender = accounts[3]
    had = request("eth_getBalance", [sender.address, "latest"])
    try:
        request("anvil_setBalance", [sender.address, hex(21_000 * GWEI - 1)])
        height, said = (
            chain.height,
            rf"{sender.address} has 0\.000021 .* may take 0\.000021: send it",
        )
        with pytest.raises(DependencyDown, match=said):
            sender.transfer(accounts[1], 0, gas_price=GWEI, gas_limit=21_000, silent=True)
        assert chain.height == height
        request("anvil_setBalance", [sender.address, hex(21_000 * GWEI)])
        sender.transfer(accounts[1], 0, gas_price=GWEI, gas_limit=21_000, silent=True)
    finally:
        request("anvil_setBalance", [sender.address, had])


@pytest.mark.usefixtures("brownie_as_it_was")
def test_a_transaction_is_not_waited_for_without_end(
    accounts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DP-10: Brownie waits in a thread; a node that was gone by then was waited for without a word, for ever."""
    from brownie import web3

    send_carefully(200, wait_s=0.3)
    request("evm_setAutomine", [False])
    try:
        with pytest.raises(DependencyDown, match=r"transaction 0x\w{64} is in no block after 0 s"):
            accounts[0].transfer(accounts[1], 0, silent=True)

        def gone(_: Any) -> None:
            raise ConnectionError("the node is gone")

        monkeypatch.setattr(web3.eth, "get_transaction_receipt", gone)
        with pytest.raises(ConnectionError, match="the node is gone"):
            accounts[2].transfer(accounts[1], 0, silent=True)
    finally:
        request("evm_setAutomine", [True])
        request("evm_mine", [])


@pytest.mark.usefixtures("brownie_as_it_was")
@pytest.mark.parametrize("how", ["dropped", "forked"])
def test_what_a_node_has_forgotten_is_sent_again(accounts: Any, how: str) -> None:
    """DP-10: a node that dropped it, or took back its block and the one before, was waited at for ten minutes."""
    from brownie import web3
    from brownie.network.transaction import TransactionReceipt

    before, waits, watch = (
        list[Any](),
        threading.Event(),
        TransactionReceipt._await_confirmation,
    )

    def watched(*given: Any, **named: Any) -> None:
        waits.set()
        watch(*given, **named)

    TransactionReceipt._await_confirmation = watched
    send_carefully(200, wait_s=60, resend_s=0.1)
    sender, to = accounts.add(), accounts[6].address  # the node's own it signs for itself
    request("anvil_setBalance", [sender.address, hex(10**18)])
    nonce, state = int(web3.eth.get_transaction_count(sender.address)), request("evm_snapshot", [])
    if how == "forked":
        before.append(sender.transfer(to, 1, silent=True))
        waits.clear()
    request("evm_setAutomine", [False])
    forgot = threading.Thread(
        target=forget, args=(waits, state if how == "forked" else None, sender.address, nonce)
    )
    try:
        forgot.start()
        sent = sender.transfer(to, 2, silent=True)
        forgot.join()
        for each in (*before, sent):
            receipt = request("eth_getTransactionReceipt", [each.txid])
            assert int(receipt["status"], 16) == 1
        assert int(web3.eth.get_transaction_count(sender.address)) == nonce + 1 + len(before)
    finally:
        accounts.remove(sender)
        request("evm_setAutomine", [True])
        request("evm_mine", [])


def forget(waits: threading.Event, state: str | None, account: str, nonce: int) -> None:
    """Have the node lose what an account has sent and waits for, and mine once it has all of it again."""
    waiting = nonce + 1 + (state is not None)

    def until_pending(count: int) -> None:
        until = time.monotonic() + 60
        while int(request("eth_getTransactionCount", [account, "pending"]), 16) < count:
            assert time.monotonic() < until, "it was not sent again"
            time.sleep(0.02)

    assert waits.wait(60)
    if state is not None:
        request("evm_revert", [state])
    request("anvil_dropAllTransactions", [])
    assert int(request("eth_getTransactionCount", [account, "pending"]), 16) == nonce
    until_pending(waiting)
    until = time.monotonic() + 60
    while int(request("eth_getTransactionCount", [account, "latest"]), 16) < waiting:
        assert time.monotonic() < until, "it is not mined"
        request("evm_mine", [])


@pytest.mark.usefixtures("brownie_as_it_was")
def test_what_a_node_has_is_not_sent_again(accounts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """DP-10: some refuse it by a status of HTTP. That ended the deployment, after 15 seconds without a block."""
    from brownie import web3

    make, looked_up, ended = web3.provider.make_request, list[Any](), threading.Event()

    def strict(method: str, parameters: list[Any]) -> Any:
        answer = make(method, parameters)
        if "error" in answer:
            raise HTTPError("400 Client Error: Bad Request")
        if method == "eth_getTransactionByHash":
            looked_up.append(answer["result"])
        return answer

    def mined_later() -> None:
        while not ended.wait(0.02):
            if len(looked_up) > 3:
                make("evm_mine", [])

    send_carefully(200, wait_s=60, resend_s=0.1)
    sender, mining = accounts.add(), threading.Thread(target=mined_later)
    request("anvil_setBalance", [sender.address, hex(10**18)])
    request("evm_setAutomine", [False])
    monkeypatch.setattr(web3.provider, "make_request", strict)
    try:
        mining.start()
        assert sender.transfer(accounts[6].address, 1, silent=True).status == 1
    finally:
        ended.set()
        mining.join()
        accounts.remove(sender)
        request("evm_setAutomine", [True])
    assert len(looked_up) > 3
    assert None not in looked_up
