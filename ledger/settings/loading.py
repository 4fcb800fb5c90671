"""All settings as one frozen value, which is passed down; nothing reads a variable at import time.

What counts is what the environment says, then the file named by ``--config``, then the default.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from ledger.errors import BadInput, did_you_mean, in_words
from ledger.settings import values
from ledger.settings.deployment import DEPLOY_VARIABLES
from ledger.settings.serving import Serving, read_networks, read_origins
from ledger.settings.settling import SettlementPolicy, Way
from ledger.settings.table import ENV_PREFIX, SETTINGS
from ledger.settings.values import redacted

LOCAL_CHAIN_ID = 31337
DEPLOYMENTS = Path("deployments")
"""The folder of the networks' address books, where none is named."""
_OF_THE_TOOLS = (
    "TRUETONNE_PYTHON",
    "TRUETONNE_TRY_RESULT",
    "TRUETONNE_VERIFY_RESULT",
    "TRUETONNE_BROWNIE_TEST",
)


@dataclass(frozen=True)
class Settings:
    """All settings, checked. Field names are those of the configuration file."""

    home: Path
    database_url: str
    database_admin_url: str
    database_read_url: str
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
    cache_mib: int
    cache_url: str
    trusted_proxies: str
    allowed_networks: str
    cors_origins: str
    webhook_private_targets: bool
    sealing_key_file: Path
    backup_folder: Path | None
    backup_url: str
    """The database URL with which backups are taken."""
    backup_key_file: Path
    backup_keep_days: int
    backup_hook: str
    backup_hook_seconds: int
    public_url: str
    max_fee_gwei: int
    replace_seconds: int
    job_schedules: str
    live_months: int
    settlement_way: Way
    netting_hours: int
    debtor_hours: int
    signing_hours: int
    anvil: Path | None
    local_chain: bool
    """Whether the node is a local Anvil that the product starts itself."""
    chain_folder: Path
    """Where the state of the local chain is kept; one folder for each database."""

    def variable_of(self, name: str) -> str:
        """Return what people set for the address of a database: where one is not set, what stands in for it."""
        stands_in = getattr(self, name) == self.database_url
        return f"TRUETONNE_{'database_url' if stands_in else name}".upper()

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


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables that look like settings of ours and are none, each with the setting that may be meant."""
    from difflib import get_close_matches  # the doctor alone asks

    known = [*(setting.variable for setting in SETTINGS), *DEPLOY_VARIABLES]
    return {
        name: next(iter(get_close_matches(name, known, 1, 0.8)), None)
        for name in sorted(environ)
        if name.startswith(ENV_PREFIX) and name not in known and name not in _OF_THE_TOOLS
    }


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

    found = _checked(value)
    _ = found.serving  # what cannot be read is said now
    return found


class _Chain(NamedTuple):
    """Which chain it is, its address book, and the folder of the local one."""

    network: str
    deployment: Path
    folder: Path


def _chain(value: Mapping[str, str], home: Path, database_url: str) -> _Chain:
    """Return the chain that texts name; without an address of a node it is the database's own."""
    local = not value["rpc_url"]
    place = hashlib.sha256(values.identity(database_url).encode()).hexdigest()[:8]
    folder = home / f"chain-{place}"
    named = value["deployment"]
    if not (local or named or value["network"]):
        named = values.only_deployment(DEPLOYMENTS)
    network = value["network"] or ("local" if local else values.network_of(named))
    usual = folder / "deployment.json" if local else Path(f"{DEPLOYMENTS}/{network}.json")
    return _Chain(network, Path(named) if named else usual, folder)


def _checked(value: Mapping[str, str]) -> Settings:
    """Return the settings that texts, defaults among them, stand for."""
    home = Path(value["home"])
    database_url = value["database_url"] or values.file_url(home / "truetonne.db")
    values.check_database_url("database_url", database_url)
    values.check_database_url("database_admin_url", value["database_admin_url"] or database_url)
    if value["rpc_url"]:
        values.check_rpc_url(value["rpc_url"])
    chain = _chain(value, home, database_url)
    return Settings(
        home=home,
        database_url=database_url,
        database_admin_url=value["database_admin_url"] or database_url,
        database_read_url=values.read_url(value["database_read_url"], database_url),
        rpc_url=value["rpc_url"],
        network=chain.network,
        deployment=chain.deployment,
        finality=values.finality(value["finality"]),
        receipts=values.receipts(value["receipts"]),
        keystore=values.path_of(value["keystore"]),
        keystore_password_file=values.path_of(value["keystore_password_file"]),
        signer_url=values.signer_url(value["signer_url"]),
        signer_gas_max=values.positive("signer_gas_max", value["signer_gas_max"]),
        signer_daily_transactions=values.positive(
            "signer_daily_transactions", value["signer_daily_transactions"]
        ),
        signer_daily_wei=values.positive("signer_daily_wei", value["signer_daily_wei"]),
        api_host=value["api_host"],
        api_port=values.port("api_port", value["api_port"]),
        session_hours=values.span("session_hours", value["session_hours"]),
        session_idle_minutes=values.span("session_idle_minutes", value["session_idle_minutes"]),
        rate_limit=values.natural("rate_limit", value["rate_limit"]),
        cache_mib=values.natural("cache_mib", value["cache_mib"]),
        cache_url=values.cache_url(value["cache_url"]),
        trusted_proxies=value["trusted_proxies"],
        allowed_networks=value["allowed_networks"],
        cors_origins=value["cors_origins"],
        webhook_private_targets=values.flag(
            "webhook_private_targets", value["webhook_private_targets"]
        ),
        sealing_key_file=Path(value["sealing_key_file"] or home / "sealing.key"),
        backup_folder=values.path_of(value["backup_folder"]),
        backup_url=values.backup_url(value["backup_url"], database_url),
        backup_key_file=Path(value["backup_key_file"] or home / "backup.key"),
        backup_keep_days=values.span(
            "backup_keep_days", value["backup_keep_days"], values.DAYS_MAX
        ),
        backup_hook=value["backup_hook"],
        backup_hook_seconds=values.span("backup_hook_seconds", value["backup_hook_seconds"]),
        public_url=values.public_url(value["public_url"], value["api_host"], value["api_port"]),
        max_fee_gwei=values.positive("max_fee_gwei", value["max_fee_gwei"]),
        replace_seconds=values.span("replace_seconds", value["replace_seconds"]),
        job_schedules=value["job_schedules"],
        live_months=values.live_months(value["live_months"]),
        settlement_way=values.way(value["settlement_way"]),
        netting_hours=values.span("netting_hours", value["netting_hours"]),
        debtor_hours=values.span("debtor_hours", value["debtor_hours"]),
        signing_hours=values.span("signing_hours", value["signing_hours"]),
        anvil=values.path_of(value["anvil"]),
        local_chain=not value["rpc_url"],
        chain_folder=chain.folder,
    )


def described(settings: Settings) -> dict[str, str]:
    """Return every setting as text, as it may be given, secrets removed, in the order of ``SETTINGS``."""
    return {item.name: _as_given(getattr(settings, item.name)) for item in SETTINGS}


def _as_given(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else redacted(str(value))


def _from_file(config: Path) -> dict[str, str]:
    try:
        text = config.read_text(encoding="utf-8-sig")
        table: dict[str, Any] = tomllib.loads(text)
    except OSError as error:
        raise BadInput(
            f"{config}: cannot be read ({error.strerror}); name an existing TOML file"
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{config}: not UTF-8; save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{config}: not valid TOML: {in_words(error)}") from error
    known = {setting.name for setting in SETTINGS}
    for key, item in table.items():
        if key not in known:
            hint = did_you_mean(key, known, f"known are {', '.join(sorted(known))}")
            raise BadInput(f"{config}: unknown setting {key!r}; {hint}")
        if isinstance(item, (dict, list)):
            raise BadInput(f"{config}: {key} must be a text or a number")
    return {
        key: str(item).lower() if isinstance(item, bool) else str(item)
        for key, item in table.items()
    }
