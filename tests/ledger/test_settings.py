"""Settings: where they come from, what is refused, and what never shows."""

import hashlib
import re
from pathlib import Path

import pytest
from sqlalchemy import make_url

from ledger.errors import BadInput
from ledger.settings import (
    SETTINGS,
    Settings,
    described,
    load_settings,
    redacted,
    socket_path,
    without_secrets,
)


def load(**variables: str) -> Settings:
    return load_settings(
        None, {f"TRUETONNE_{name.upper()}": item for name, item in variables.items()}
    )


def from_file(folder: Path, text: str, **variables: str) -> Settings:
    file = folder / "truetonne.toml"
    file.write_text(text, encoding="utf-8")
    environ = {f"TRUETONNE_{name.upper()}": item for name, item in variables.items()}
    return load_settings(file, environ)


def test_defaults() -> None:
    settings = load_settings(None, {"PATH": "/bin", "HOME": "/nowhere"})
    assert settings.home == Path(".truetonne")
    assert settings.database_url == "sqlite:///.truetonne/truetonne.db"
    assert settings.local_chain
    assert settings.network == "local"
    assert settings.chain_folder.parent == settings.home
    assert settings.deployment == settings.chain_folder / "deployment.json"
    assert (settings.finality, settings.api_port, settings.max_fee_gwei) == ("finalized", 8600, 200)
    assert settings.keystore is None


@pytest.mark.parametrize("name", ["Park #2", "why?", "half%20", "100% green"])
def test_a_home_may_have_any_name(name: str, tmp_path: Path) -> None:
    settings = load_settings(None, {"TRUETONNE_HOME": str(tmp_path / name)})
    file = tmp_path / name / "truetonne.db"
    assert make_url(settings.database_url).database == str(file)
    # The name of the local chain's folder is made of the path, not of how it is escaped.
    place = hashlib.sha256(f"sqlite:{file}".encode()).hexdigest()[:8]
    assert settings.chain_folder == tmp_path / name / f"chain-{place}"


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    settings = from_file(tmp_path, 'api_port = 9000\nfinality = "12"\n', api_port="9001")
    assert settings.api_port == 9001
    assert settings.finality == "12"
    assert settings.api_host == "127.0.0.1"


def test_an_empty_variable_is_no_variable(tmp_path: Path) -> None:
    assert from_file(tmp_path, "api_port = 9000\n", api_port="").api_port == 9000


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert from_file(tmp_path, "\ufeffapi_port = 9000\n").api_port == 9000


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False), ('"true"', True)])
def test_a_truth_in_a_file_is_written_as_in_toml(tmp_path: Path, text: str, value: bool) -> None:
    settings = from_file(tmp_path, f"webhook_private_targets = {text}\n")
    assert settings.webhook_private_targets is value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("api_prot = 1", "unknown setting 'api_prot'; did you mean 'api_port'?"),
        ("zzz = 1", "unknown setting 'zzz'; known are allowed_networks, anvil,"),
        ("api_port = [1]", "api_port must be a text or a number"),
        ("api_port = ", "not valid TOML"),
        pytest.param("x = " + "[" * 5000, "not valid TOML: it is nested without end", id="deep"),
        pytest.param("x = " + "1" * 5000, "not valid TOML: Exceeds the limit", id="long"),
        ("api_port = 2.5", "api_port must be a whole number above zero, found '2.5'"),
        ("session_hours = 1000001", "session_hours must be from 1 to 1000000, found '1000001'"),
        ("backup_keep_days = 99999999999", "backup_keep_days must be from 1 to 100000"),
        ("api_port = true", "found 'true'"),
        pytest.param(
            f"api_port = '{'9' * 5000}'", "a whole number above zero, found '999", id="9s"
        ),
        pytest.param(f"finality = '{'9' * 5000}'", "a number of blocks, found '999", id="blocks"),
        ("rate_limit = -5", "rate_limit must be a whole number, or 0, found '-5'"),
        ("[home]\nx = 1", "home must be a text or a number"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        from_file(tmp_path, text)
    assert said in caught.value.message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        load_settings(tmp_path / "none.toml", {})
    with pytest.raises(BadInput, match="cannot be read"):
        load_settings(tmp_path, {})
    (tmp_path / "latin.toml").write_bytes(b'home = "\xfc"')
    with pytest.raises(BadInput, match="not UTF-8; save the file as UTF-8"):
        load_settings(tmp_path / "latin.toml", {})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("finality", "safe", "`finalized` or a number"),
        ("finality", "-1", "`finalized` or a number"),
        ("finality", "٣", "`finalized` or a number"),
        ("api_port", "0", "above zero"),
        ("api_port", "65536", "from 1 to 65535"),
        ("max_fee_gwei", "1e3", "above zero"),
        ("rpc_url", "localhost:8545", "must begin with http"),
        ("rpc_url", "ftp://node", "must begin with http"),
        ("rpc_url", "node", "must begin with http"),
        ("rpc_url", "ipc://", "is not the path of a Unix socket"),
        ("rpc_url", "/" + "x" * 107, "is not the path of a Unix socket"),
        ("signer_url", "http://h:x/", "signer_url 'http://h:x/' is not an address: Port"),
        ("signer_url", "http://", "is not an address: it has no host"),
        (
            "cache_url",
            "redis://:p@h:99999",
            "cache_url 'redis://:***@h:99999' is not an address: Port",
        ),
        ("public_url", "https://a.example:8x", "is not an address: Port"),
        ("database_url", "postgresql://x/y", "'postgresql' is not supported"),
        ("database_url", "sqlite://", "'sqlite' is not supported"),
        ("database_url", "sqlite:///caf\udce9.db", "is not UTF-8; name a file, or a home, that is"),
        ("home", "caf\udce9", "/truetonne.db' is not UTF-8; name a file, or a home, that is"),
    ],
)
def test_values_that_are_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(**{name: value})
    assert said in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "ftp://user:secret7@node",
        "htp://node/v3/secret7",
        "https:/node/v3/secret7",
        "node/v3/secret7",
        "node?key=secret7",
        "user:secret7@node",
    ],
)
def test_no_message_shows_a_secret(url: str) -> None:
    """Where the beginning was mistyped, the key behind it was shown."""
    for name in ("rpc_url", "signer_url"):
        with pytest.raises(BadInput, match=re.escape("***")) as caught:
            load(**{name: url})
        assert "secret7" not in caught.value.message
        assert "node" in caught.value.message


@pytest.mark.parametrize(
    ("url", "said", "shown"),
    [
        (
            "https://n/v3/k7",
            "Failed to parse: https://n/v3/k7",
            "Failed to parse: https://n/v3/***",
        ),
        ("https://n/v3/k7?x=k8", "no /v3/k7?x=k8 there", "no /v3/***?x=*** there"),
        ("wss://n?key=k7", "wss://n?key=k7#x and ?key=k7", "wss://n?key=***#x and ?key=***"),
        ("http://n/", "a/b", "a/b"),
        ("http://n", "n is out of reach", "n is out of reach"),
    ],
)
def test_what_a_library_says_of_an_address_shows_no_secret(url: str, said: str, shown: str) -> None:
    assert without_secrets(said, url) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql+pymysql://u:p@h/n", "mysql+pymysql://u:***@h/n"),
        ("mysql+pymysql://u:p@ss:w@h/n", "mysql+pymysql://u:***@h/n"),
        ("mysql+pymysql://u@h/n", "mysql+pymysql://u@h/n"),
        ("http://h:8545", "http://h:8545"),
        ("https://n/v3/0123456789abcdef0123456789abcdef", "https://n/v3/***"),
        ("wss://n/v2/aB3_0123456789-abcdefg", "wss://n/v2/***"),
        ("https://n/k3y/rpc", "https://n/***/rpc"),
        ("https://n/pass-word", "https://n/***"),
        ("https://n/v1/mainnet/11155111", "https://n/v1/mainnet/***"),
        ("https://n/ext/bc/C/rpc/", "https://n/ext/bc/C/rpc/"),
        ("wss://n/ws?apikey=abc&x=1", "wss://n/ws?apikey=***&x=***"),
        ("wss://token@n/ws", "wss://***@n/ws"),
        ("wss://u:p@n:8546/ws", "wss://u:***@n:8546/ws"),
        ("ipc:///run/node.ipc", "ipc:///run/node.ipc"),
        ("/run/a-long-name-of-a-socket.ipc", "/run/a-long-name-of-a-socket.ipc"),
        ("sqlite:///a/b.db", "sqlite:///a/b.db"),
        ("redis://n/0?password=a%23b&x=1", "redis://n/0?password=***&x=1"),
        ("redis://n:1/0?x=1&password=a:b@c&y=2", "redis://n:1/0?x=1&password=***&y=2"),
        ("unix:///run/r.sock?password=p@q", "unix:///run/r.sock?password=***"),
        ("mysql+pymysql://h/n?user=u&password=p", "mysql+pymysql://h/n?user=u&password=***"),
        ("no url", "no url"),
    ],
)
def test_redaction(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_every_setting_is_described_without_secrets() -> None:
    shown = described(
        load(database_url="mysql+pymysql://u:secret@h/n", rpc_url="https://u:secret@h")
    )
    assert list(shown) == [setting.name for setting in SETTINGS]
    assert shown["database_url"] == "mysql+pymysql://u:***@h/n"
    assert "secret" not in str(shown)
    assert shown["keystore"] == ""


@pytest.mark.parametrize("private", ["true", "false"])
def test_what_is_shown_may_be_given(private: str) -> None:
    shown = described(load(webhook_private_targets=private))
    assert shown["webhook_private_targets"] == private
    assert described(load(**shown)) == shown


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("ipc:///run/node.ipc", "/run/node.ipc"),
        ("/run/node.sock", "/run/node.sock"),
        ("./geth.ipc", "geth.ipc"),
        ("geth.ipc", "geth.ipc"),
        ("ws://node", None),
        ("http://node/geth.ipc", None),
    ],
)
def test_addresses_of_sockets(address: str, path: str | None) -> None:
    assert load(rpc_url=address).rpc_url == address
    assert socket_path(address) == (Path(path) if path else None)


def test_a_node_of_one_s_own() -> None:
    settings = load(rpc_url="https://node.example")
    assert not settings.local_chain
    assert (settings.network, settings.deployment) == ("custom", Path("deployments/custom.json"))
    named = load(rpc_url="https://node.example", deployment="x/sepolia.json")
    assert (named.network, named.deployment) == ("sepolia", Path("x/sepolia.json"))
    assert load(rpc_url="https://n", network="sepolia").deployment == Path(
        "deployments/sepolia.json"
    )


def test_the_only_deployment_file_is_the_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deployments").mkdir()
    file = tmp_path / "deployments" / "anvil.json"
    file.write_text('{"network": "dev"}')
    only = load(rpc_url="http://n")
    assert (only.network, only.deployment) == ("dev", Path("deployments/anvil.json"))
    other = Path("deployments/sepolia.json")
    assert load(rpc_url="http://n", network="sepolia").deployment == other
    assert load(rpc_url="http://n", deployment="sepolia.json").network == "sepolia"
    assert load().network == "local"
    (tmp_path / other).write_text("{}")  # which of them is nobody's to guess
    assert load(rpc_url="http://n").deployment == Path("deployments/custom.json")


def test_the_network_is_what_the_deployment_file_says(tmp_path: Path) -> None:
    """The books hold that name: a file that was copied or renamed must not hide what is mirrored."""
    file = tmp_path / "copy.json"
    for text, network in (
        ('{"network": "sepolia"}', "sepolia"),
        ('{"network": 5}', "copy"),
        ("[]", "copy"),
        ("{", "copy"),
        ("[" * 100_000, "copy"),
    ):
        file.write_text(text)
        assert load(rpc_url="https://node.example", deployment=str(file)).network == network
    named = load(rpc_url="https://node.example", deployment=str(file), network="other")
    assert named.network == "other"


MARIA = "mysql+pymysql://{}/{}"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sqlite:///a.db", "sqlite:///./a.db", True),
        ("sqlite:///a.db", "sqlite:///b.db", False),
        (MARIA.format("u:p@h", "n"), MARIA.format("v:q@H", "n"), True),
        (MARIA.format("u:p@h", "n"), MARIA.format("u:p@h", "n?charset=utf8mb4"), True),
        (MARIA.format("h", "n"), MARIA.format("h", "n?ssl_ca=me@home.pem"), True),
        (MARIA.format("h", "n"), MARIA.format("h", "m"), False),
        (MARIA.format("h", "Name"), MARIA.format("h", "name"), False),
    ],
)
def test_one_local_chain_for_each_database(one: str, other: str, same: bool) -> None:
    folders = {load(database_url=url).chain_folder for url in (one, other)}
    assert len(folders) == (1 if same else 2)
