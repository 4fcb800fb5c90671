"""Brownie is lighter here (``scripts.toolchain.brownie_lightness``), and what tests see of it is the same."""

import json
import warnings
from copy import copy, deepcopy
from typing import Any

import pytest
from brownie.exceptions import ContractNotFound, VirtualMachineError

from scripts.toolchain.brownie_lightness import read_trees_once
from tests.contracts.park import Park


def test_a_revert_forgets_what_came_after(park: Park, brownie_project: Any, chain: Any) -> None:
    """A contract that was deployed before stays; one since is gone, and so is one known by its address alone."""
    container = brownie_project.TestCurrency
    before = container.deploy({"from": park.admin})
    chain.snapshot()
    since = container.deploy({"from": park.admin})
    sent = park.admin.transfer(data=container.bytecode)
    undated = container.at(sent.contract_address)
    assert undated.tx is None
    assert list(container) == [before, since, undated]
    chain.revert()
    assert list(container) == [before]
    assert before.decimals() == 2
    for gone in (since, undated):
        with pytest.raises(ContractNotFound):
            gone.balanceOf(park.admin)


def test_a_node_reset_by_hand_is_still_warned_of(brownie_project: Any, chain: Any) -> None:
    """Brownie looks who calls: the chain may, a test may not."""
    from brownie.network.rpc import Rpc

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chain.snapshot()
        chain.mine()
        chain.sleep(1)
        chain.revert()
    with pytest.warns(FutureWarning, match=r"use chain\.snapshot instead"):
        Rpc().snapshot()


def test_a_transaction_names_its_price_itself(park: Park, brownie_project: Any) -> None:
    """As with Brownie's own requests: the development network's price, and a refusal with its reason."""
    currency = brownie_project.TestCurrency.deploy({"from": park.admin})
    assert currency.tx.gas_price == 0
    with pytest.raises(VirtualMachineError):
        currency.transfer(park.buyer, 1, {"from": park.stranger})


def test_a_syntax_tree_is_what_it_is_when_all_of_it_is_copied(
    brownie_project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that Brownie keeps of a compilation comes from these trees; the compiler's answer stays as it was."""
    from solcast import from_ast, nodes

    told = brownie_project.VppSettlement._build["ast"]
    before = json.dumps(told)
    read_trees_once()
    assert nodes.deepcopy is copy
    found = _described(from_ast(told))
    assert json.dumps(told) == before
    monkeypatch.setattr(nodes, "deepcopy", deepcopy)
    assert _described(from_ast(told)) == found
    assert len(found) > 1000


def _described(tree: Any) -> list[tuple[Any, ...]]:
    return [
        (node.nodeType, node.depth, node.offset, node.fields, getattr(node, "name", None))
        for node in tree.children(include_self=True)
    ]
