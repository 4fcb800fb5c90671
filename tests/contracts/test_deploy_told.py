"""What a deployment is told is read before anything is compiled: scripts/deploy_told.py."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.chain.keys.keystore import new_key
from ledger.errors import DependencyDown, TruetonneError
from scripts.deploy_told import check_told
from tests.contracts.deploying import running_node
from tests.support.forms import few, long

ROOT = Path(__file__).resolve().parents[2]
LAB = 84532
ACCOUNTS = {
    f"TRUETONNE_DEPLOY_{role}": f"0x{digit * 40}"
    for role, digit in (("ISSUER", "1"), ("VERIFIER", "2"), ("OWNER", "3"), ("CURRENCY", "4"))
}


@pytest.fixture(scope="module")
def lab(brownie_project: Any) -> Iterator[str]:
    with running_node(chain_id=LAB) as url:
        yield url


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """Variables of a keystore with one key."""
    password = tmp_path / "password"
    password.write_text("a password")
    password.chmod(0o600)
    new_key(tmp_path / "keys", "a password")
    return {
        "TRUETONNE_KEYSTORE": str(tmp_path / "keys"),
        "TRUETONNE_KEYSTORE_PASSWORD_FILE": str(password),
    }


def test_what_is_missing_is_said(lab: str, keys: dict[str, str]) -> None:
    """DP-05: one thing after the other, each in its line; with all of it there is nothing to say."""
    no_password = {**keys, "TRUETONNE_KEYSTORE_PASSWORD_FILE": ""}
    one = {name: ACCOUNTS["TRUETONNE_DEPLOY_OWNER"] for name in ACCOUNTS}
    told = [
        ({}, "set TRUETONNE_KEYSTORE and TRUETONNE_KEYSTORE_PASSWORD_FILE"),
        (no_password, "TRUETONNE_KEYSTORE_PASSWORD_FILE is not a file"),
        (keys, "set TRUETONNE_DEPLOY_CURRENCY"),
        ({**keys, **ACCOUNTS, "TRUETONNE_DEPLOY_OWNER": ""}, "set TRUETONNE_DEPLOY_OWNER"),
        ({**keys, **one}, "must be three different accounts"),
        ({**keys, **ACCOUNTS, "TRUETONNE_DEPLOY_WINDOW": "0"}, "_WINDOW must be 1 to"),
        ({**keys, **ACCOUNTS, "TRUETONNE_DEPLOY_ADMN": "0x1"}, "did you mean TRUETONNE_DEPLOY_ADM"),
    ]
    for environ, said in told:
        with pytest.raises(TruetonneError, match=said) as refused:
            check_told("lab", None, lab, environ)
        assert refused.value.exit_code == 2
    check_told("lab", None, lab, {**keys, **ACCOUNTS})
    check_told("lab", LAB, lab, {**keys, **ACCOUNTS})
    check_told("development", 31337, None, {})


@long
def test_a_node_of_another_chain_and_none_are_said(lab: str, keys: dict[str, str]) -> None:
    """DP-05: so is a key file that does not say whose it is no reason to refuse: the script opens it."""
    with pytest.raises(TruetonneError, match="serves chain id 84532, and sepolia is 11155111"):
        check_told("sepolia", 11155111, lab, {**keys, **ACCOUNTS})
    with pytest.raises(DependencyDown):
        check_told("lab", None, "http://127.0.0.1:9", {**keys, **ACCOUNTS})
    (Path(keys["TRUETONNE_KEYSTORE"]) / "another").write_text("{}")
    check_told("lab", None, lab, keys)


@long
@few(1)
@pytest.mark.parametrize("script", ["deploy", "scripts/deploy.py"])
def test_nothing_is_compiled_before(lab: str, tmp_path: Path, script: str) -> None:
    """DP-05: a minute of the compiler went by before it was said that a variable is missing."""
    command = [
        sys.executable,
        "-m",
        "scripts.toolchain.brownie",
        "run",
        script,
        "--network",
        "local",
    ]
    environ = {name: value for name, value in os.environ.items() if "TRUETONNE_" not in name}
    environ |= {"TRUETONNE_RPC_URL": lab, "TRUETONNE_NETWORK": "lab", "HOME": str(tmp_path)}
    (tmp_path / ".brownie").mkdir()
    networks = ROOT / "scripts" / "toolchain" / "networks.yaml"
    (tmp_path / ".brownie" / "network-config.yaml").write_text(networks.read_text("utf-8"), "utf-8")
    ended = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 2
    said = "deploy: set TRUETONNE_KEYSTORE and TRUETONNE_KEYSTORE_PASSWORD_FILE\n"
    assert (ended.stdout, ended.stderr) == ("", said)  # Brownie itself would begin with its name
