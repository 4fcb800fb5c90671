"""Contracts that a program of another version deployed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.deploying import ensure_deployed
from ledger.chain.events import CREDIT
from ledger.errors import WrongChain
from ledger.settings import load_settings
from tests.cli.conftest import Program
from tests.support.mirror import running_chain


def test_contracts_of_another_version_are_refused(tmp_path: Path) -> None:
    """Their functions and events are other ones: said at once, with what mends it."""
    path = tmp_path / "local.json"
    with running_chain() as chain:
        book = json.loads(chain.deployment_text())
        url = chain.client.rpc_url
        settings = load_settings(None, {"TRUETONNE_DEPLOYMENT": str(path)})
        path.write_text(json.dumps(book))
        assert ensure_deployed(settings, url) is False

        book["contracts"][CREDIT]["source_hash"] = "0x" + "11" * 32
        path.write_text(json.dumps(book))
        with pytest.raises(WrongChain, match="demo --fresh") as refused:
            ensure_deployed(settings, url)
    assert refused.value.code == "other-version"
    assert CREDIT in refused.value.message


def test_a_dry_run_deploys_nothing(truetonne: Program) -> None:
    """Neither a node nor a database nor a folder comes of it."""
    tried = truetonne("chain", "deploy", "--dry-run", "--json")
    assert (tried.code, tried.err) == (0, "")
    assert tried.json() == {"network": "local", "deployed": True, "dry_run": True}
    assert truetonne.files() == set() and not (truetonne.folder / ".truetonne").exists()
    down = truetonne("chain", "deploy", "--dry-run", "--json", rpc_url="http://127.0.0.1:9")
    assert (down.code, down.json()["error"]["code"]) == (3, "node-down")


def test_a_dry_run_compares_what_is_there(truetonne: Program) -> None:
    with running_chain() as chain:
        book = json.loads(chain.deployment_text())
        settings = {"rpc_url": chain.client.rpc_url, "deployment": "book.json"}
        truetonne.write("book.json", json.dumps(book))
        tried = truetonne("chain", "deploy", "--dry-run", "--json", **settings)
        assert tried.json()["deployed"] is False
        book["contracts"][CREDIT]["source_hash"] = "0x" + "11" * 32
        truetonne.write("book.json", json.dumps(book))
        other = truetonne("chain", "deploy", "--dry-run", "--json", **settings)
        assert (other.code, other.json()["error"]["code"]) == (2, "other-version")
