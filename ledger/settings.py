"""The settings of the ledger: the only place that reads the environment.

``load_settings`` returns a frozen value that is passed down; nothing reads a variable at import
time. The order is: the environment, then the file named by ``--config``, then the default.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from ledger.errors import BadInput
from ledger.serving import Serving, read_networks, read_origins
from ledger.settling import SettlementPolicy, Way

ENV_PREFIX = "TRUETONNE_"
LOCAL_CHAIN_ID = 31337
_NODE_SCHEMES = ("http", "https", "ws", "wss")
_KEY = re.compile(r"[A-Za-z0-9_.~-]{20,}")
"""A part of a path that is long enough to be a key."""
_PUBLIC_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~/-]*)?", re.ASCII)
_SOCKET_BYTES_MAX = 107
"""Unix bounds the path of a socket (sun_path, less the zero at the end)."""


@dataclass(frozen=True)
class Setting:
    """One setting: its name in the file, its variable, its default, and what it is for."""

    name: str
    default: str
    help: str

    @property
    def variable(self) -> str:
        """The environment variable of the setting."""
        return ENV_PREFIX + self.name.upper()


SETTINGS: tuple[Setting, ...] = (
    Setting("home", ".truetonne", "folder for the embedded database, the local chain and logs"),
    Setting("database_url", "", "SQLAlchemy URL; default: an SQLite file in the home folder"),
    Setting(
        "database_admin_url",
        "",
        "SQLAlchemy URL of the account that changes the schema: `db upgrade` and the job of partitions use it; "
        "default: database_url",
    ),
    Setting(
        "rpc_url",
        "",
        "address of a node: http(s)://, ws(s)://, or the path of its IPC socket; "
        "default: a local Anvil that `up` and `demo` start",
    ),
    Setting(
        "network", "", "name of the network; default: local, or the name in the deployment file"
    ),
    Setting(
        "deployment",
        "",
        "deployment file; default: the local chain's, or deployments/<network>.json",
    ),
    Setting("finality", "finalized", "when a block is final: `finalized`, or a number of blocks"),
    Setting(
        "receipts",
        "proven",
        "how the mirror knows that a node left no log out: `proven` by the hashes of blocks, or `told`, on a "
        "chain that has other headers or receipts than Ethereum's",
    ),
    Setting("keystore", "", "folder of keystore files (version 3), one for each sending account"),
    Setting(
        "keystore_password_file", "", "file (mode 0600) with the password of the keystore files"
    ),
    Setting(
        "signer_url",
        "",
        "JSON-RPC address of a remote signer (web3signer, a geth with Clef) that keeps the keys",
    ),
    Setting("signer_gas_max", "16777216", "most gas that one transaction of ours may ask for"),
    Setting(
        "signer_daily_transactions", "10000", "transactions that an account may sign a day (UTC)"
    ),
    Setting(
        "signer_daily_wei",
        "10000000000000000000",
        "wei that the transactions which an account signs on a day (UTC) may cost at the most",
    ),
    Setting("api_host", "127.0.0.1", "address on which the API listens"),
    Setting("api_port", "8600", "port on which the API listens"),
    Setting("session_hours", "12", "hours after which whoever signed in must do so again"),
    Setting("session_idle_minutes", "60", "minutes without a request after which a session ends"),
    Setting(
        "rate_limit", "600", "requests a minute that the API answers to one client; 0: no limit"
    ),
    Setting(
        "trusted_proxies",
        "",
        "addresses or networks of proxies whose X-Forwarded-For is believed: 10.0.0.1, 10.1.0.0/16",
    ),
    Setting(
        "allowed_networks",
        "",
        "addresses or networks whose clients the API and its pages answer: 10.0.0.0/8, ::1; default: everybody",
    ),
    Setting(
        "cors_origins",
        "",
        "origins whose pages may read the API in a browser: https://a.example, https://b.example",
    ),
    Setting(
        "webhook_private_targets",
        "false",
        "whether webhooks may go to hosts of one's own network, and by http: `true` or `false`",
    ),
    Setting(
        "sealing_key_file",
        "",
        "file (mode 0600) with the keys that secrets in the database are encrypted with; default: sealing.key in "
        "the home folder, made when it is needed",
    ),
    Setting(
        "public_url",
        "",
        "address of the pages as others reach them, printed on certificates; default: that of api_host and api_port",
    ),
    Setting("max_fee_gwei", "200", "highest fee per gas, in gwei, that a transaction may offer"),
    Setting(
        "replace_seconds", "60", "seconds after which a transaction in no block is replaced, dearer"
    ),
    Setting(
        "job_schedules",
        "",
        "when jobs are due, where it is not as usual: NAME=SCHEDULE; NAME=SCHEDULE",
    ),
    Setting(
        "settlement_way",
        "auto",
        "how batches of trades are settled: `cosigned`, `proposed`, or `auto`: co-signed where all keys are here",
    ),
    Setting("netting_hours", "1", "hours whose trades on a market are netted with each other"),
    Setting(
        "debtor_hours",
        "72",
        "hours for which a trade whose debtor lacks funds is tried again before it fails",
    ),
    Setting("signing_hours", "24", "hours for which signatures under a batch hold"),
    Setting(
        "anvil",
        "",
        "path of the anvil program for the local chain; default: found in node_modules or PATH",
    ),
)


@dataclass(frozen=True)
class Settings:
    """All settings, checked. Field names are those of the configuration file."""

    home: Path
    database_url: str
    database_admin_url: str
    rpc_url: str
    network: str
    deployment: Path
    finality: str
    receipts: str
    keystore: Path | None
    keystore_password_file: Path | None
    signer_url: str
    signer_gas_max: int
    signer_daily_transactions: int
    signer_daily_wei: int
    api_host: str
    api_port: int
    session_hours: int
    session_idle_minutes: int
    rate_limit: int
    trusted_proxies: str
    allowed_networks: str
    cors_origins: str
    webhook_private_targets: bool
    sealing_key_file: Path
    public_url: str
    max_fee_gwei: int
    replace_seconds: int
    job_schedules: str
    settlement_way: Way
    netting_hours: int
    debtor_hours: int
    signing_hours: int
    anvil: Path | None
    local_chain: bool
    """Whether the node is a local Anvil that the product starts itself."""
    chain_folder: Path
    """Where the state of the local chain is kept; one folder for each database."""

    @property
    def settlement_policy(self) -> SettlementPolicy:
        """How trades are settled."""
        return SettlementPolicy(
            self.settlement_way, self.netting_hours, self.debtor_hours, self.signing_hours
        )

    @property
    def serving(self) -> Serving:
        """How the API is served."""
        return Serving(
            timedelta(hours=self.session_hours),
            timedelta(minutes=self.session_idle_minutes),
            self.rate_limit,
            read_networks("trusted_proxies", self.trusted_proxies),
            read_origins(self.cors_origins),
            read_networks("allowed_networks", self.allowed_networks),
        )


def load_settings(config: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read, complete and check the settings.

    Parameters
    ----------
    config
        A TOML file whose top-level keys are the names in ``SETTINGS``, or None.
    environ
        The environment; only variables that begin with ``TRUETONNE_`` are read.

    Raises
    ------
    BadInput
        A file that cannot be read, an unknown key, or a value that cannot be used.
    """
    given = _from_file(config) if config else {}
    for setting in SETTINGS:
        if environ.get(setting.variable):
            given[setting.name] = environ[setting.variable]
    value = {setting.name: given.get(setting.name) or setting.default for setting in SETTINGS}

    home = Path(value["home"])
    database_url = value["database_url"] or f"sqlite:///{(home / 'truetonne.db').as_posix()}"
    _check_database_url("database_url", database_url)
    _check_database_url("database_admin_url", value["database_admin_url"] or database_url)
    local_chain = not value["rpc_url"]
    if value["rpc_url"]:
        _check_rpc_url(value["rpc_url"])
    chain_folder = (
        home / f"chain-{hashlib.sha256(_identity(database_url).encode()).hexdigest()[:8]}"
    )
    network = value["network"] or ("local" if local_chain else _network_of(value["deployment"]))
    deployment = value["deployment"] or (
        str(chain_folder / "deployment.json") if local_chain else f"deployments/{network}.json"
    )
    found = Settings(
        home=home,
        database_url=database_url,
        database_admin_url=value["database_admin_url"] or database_url,
        rpc_url=value["rpc_url"],
        network=network,
        deployment=Path(deployment),
        finality=_finality(value["finality"]),
        receipts=_receipts(value["receipts"]),
        keystore=_path(value["keystore"]),
        keystore_password_file=_path(value["keystore_password_file"]),
        signer_url=_signer_url(value["signer_url"]),
        signer_gas_max=_positive("signer_gas_max", value["signer_gas_max"]),
        signer_daily_transactions=_positive(
            "signer_daily_transactions", value["signer_daily_transactions"]
        ),
        signer_daily_wei=_positive("signer_daily_wei", value["signer_daily_wei"]),
        api_host=value["api_host"],
        api_port=_port("api_port", value["api_port"]),
        session_hours=_positive("session_hours", value["session_hours"]),
        session_idle_minutes=_positive("session_idle_minutes", value["session_idle_minutes"]),
        rate_limit=_natural("rate_limit", value["rate_limit"]),
        trusted_proxies=value["trusted_proxies"],
        allowed_networks=value["allowed_networks"],
        cors_origins=value["cors_origins"],
        webhook_private_targets=_flag("webhook_private_targets", value["webhook_private_targets"]),
        sealing_key_file=Path(value["sealing_key_file"] or home / "sealing.key"),
        public_url=_public_url(value["public_url"], value["api_host"], value["api_port"]),
        max_fee_gwei=_positive("max_fee_gwei", value["max_fee_gwei"]),
        replace_seconds=_positive("replace_seconds", value["replace_seconds"]),
        job_schedules=value["job_schedules"],
        settlement_way=_way(value["settlement_way"]),
        netting_hours=_positive("netting_hours", value["netting_hours"]),
        debtor_hours=_positive("debtor_hours", value["debtor_hours"]),
        signing_hours=_positive("signing_hours", value["signing_hours"]),
        anvil=_path(value["anvil"]),
        local_chain=local_chain,
        chain_folder=chain_folder,
    )
    _ = found.serving  # what cannot be read is said now
    return found


def redacted(url: str) -> str:
    """Return a URL without its secrets, for messages and logs.

    A password is hidden, and so is what providers of nodes put into an address in its place: a token
    before the host, a long part of the path, the values after the question mark.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    credentials, at, place = rest.rpartition("@")
    if at:
        user, colon, _ = credentials.partition(":")
        credentials = f"{user}:***" if colon else credentials
    if scheme in _NODE_SCHEMES:
        credentials = "***" if at and ":" not in credentials else credentials
        place, question, query = place.partition("?")
        host, *parts = place.split("/")
        parts = ["***" if _KEY.fullmatch(part) else part for part in parts]
        values = "&".join(re.sub("=.*", "=***", item) for item in query.split("&"))
        place = "/".join([host, *parts]) + question + values
    return f"{scheme}://{credentials}{at}{place}"


def socket_path(rpc_url: str) -> Path | None:
    """Return the path of the Unix socket that an address names; None for any other address.

    ``ipc://PATH`` and bare paths (absolute, relative with a dot, or ending in ``.ipc``) name one.
    """
    if rpc_url.startswith("ipc://"):
        return Path(rpc_url.removeprefix("ipc://"))
    bare = rpc_url.startswith(("/", "./", "../")) or (
        rpc_url.endswith(".ipc") and "://" not in rpc_url
    )
    return Path(rpc_url) if bare else None


def described(settings: Settings) -> dict[str, str]:
    """Return every setting as text, secrets removed, in the order of ``SETTINGS``."""
    shown = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {
        setting.name: redacted(str(shown[setting.name])) if shown[setting.name] is not None else ""
        for setting in SETTINGS
    }


def _from_file(config: Path) -> dict[str, str]:
    try:
        text = config.read_text(encoding="utf-8-sig")
        table: dict[str, Any] = tomllib.loads(text)
    except OSError as error:
        raise BadInput(
            f"{config}: cannot be read ({error.strerror}); name an existing TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{config}: not valid TOML: {error}") from error
    known = {setting.name for setting in SETTINGS}
    for key, item in table.items():
        if key not in known:
            raise BadInput(
                f"{config}: unknown setting {key!r}; known are {', '.join(sorted(known))}"
            )
        if isinstance(item, (dict, list)):
            raise BadInput(f"{config}: {key} must be a text or a number")
    return {key: str(item) for key, item in table.items()}


def _check_database_url(name: str, url: str) -> None:
    if not url.startswith(("sqlite:///", "mysql+pymysql://", "mariadb+pymysql://")):
        scheme = url.partition("://")[0]
        raise BadInput(
            f"{name}: {scheme!r} is not supported; use sqlite:///FILE or mysql+pymysql://USER:PASSWORD@HOST/NAME"
        )


def _check_rpc_url(url: str) -> None:
    path = socket_path(url)
    if path is not None:
        if str(path) in ("", ".") or len(os.fsencode(path)) > _SOCKET_BYTES_MAX:
            raise BadInput(
                f"rpc_url: {url!r} is not the path of a Unix socket; it has 1 to {_SOCKET_BYTES_MAX} bytes"
            )
    elif url.partition("://")[0] not in _NODE_SCHEMES or "://" not in url:
        raise BadInput(
            "rpc_url must begin with http://, https://, ws:// or wss://, or be the path of a socket "
            f"(ipc://PATH), found {redacted(url)!r}"
        )


def _identity(url: str) -> str:
    """Return what tells one database from another: the URL without credentials and options."""
    place = url.partition("?")[0]
    if place.startswith("sqlite:///"):
        return "sqlite:" + str(Path(place.removeprefix("sqlite:///")).resolve())
    host, slash, name = place.partition("://")[2].rpartition("@")[2].partition("/")
    return host.lower() + slash + name  # hosts ignore case, names of databases need not


def _network_of(deployment: str) -> str:
    return Path(deployment).stem if deployment else "custom"


def _finality(value: str) -> str:
    if value == "finalized" or (value.isascii() and value.isdigit()):
        return value
    raise BadInput(f"finality must be `finalized` or a number of blocks, found {value!r}")


def _receipts(value: str) -> str:
    if value in ("proven", "told"):
        return value
    raise BadInput(f"receipts must be `proven` or `told`, found {value!r}")


def _way(value: str) -> Way:
    if value in set(Way):
        return Way(value)
    raise BadInput(f"settlement_way must be {', '.join(Way)}, found {value!r}")


def _signer_url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise BadInput(f"signer_url must begin with http:// or https://, found {redacted(value)!r}")
    return value


def _public_url(value: str, host: str, port: str) -> str:
    if not value:
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if not _PUBLIC_URL.fullmatch(value):
        raise BadInput(
            "public_url must be http:// or https:// with a host and perhaps a path, without question mark, "
            f"found {redacted(value)!r}"
        )
    return value.rstrip("/")


def _path(value: str) -> Path | None:
    return Path(value) if value else None


def _port(name: str, value: str) -> int:
    number = _positive(name, value)
    if number > 65535:
        raise BadInput(f"{name} must be a port from 1 to 65535, found {value!r}")
    return number


def _flag(name: str, value: str) -> bool:
    if value in ("true", "false"):
        return value == "true"
    raise BadInput(f"{name} must be `true` or `false`, found {value!r}")


def _natural(name: str, value: str) -> int:
    return 0 if value == "0" else _positive(name, value)


def _positive(name: str, value: str) -> int:
    if value.isascii() and value.isdigit() and int(value) > 0:
        return int(value)
    raise BadInput(f"{name} must be a whole number above zero, found {value!r}")
