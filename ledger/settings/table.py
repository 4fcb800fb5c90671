"""Every setting: its name, its default, and what it is for."""

from __future__ import annotations

from dataclasses import dataclass

ENV_PREFIX = "TRUETONNE_"


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
        "SQLAlchemy URL of the account that changes the schema: `db upgrade`, partitions and archive use it; "
        "default: database_url",
    ),
    Setting(
        "database_read_url",
        "",
        "SQLAlchemy URL of a replica of it, for the API's reads, exports and reports; default: none",
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
        "deployment file; default: the local chain's, or deployments/<network>.json, or the only one there",
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
    Setting("cache_mib", "32", "MiB of answers that a process of the API keeps; 0: it keeps none"),
    Setting(
        "cache_url",
        "",
        "address of a Redis in which the processes of the API share answers: redis://, rediss:// or unix://",
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
        "backup_folder",
        "",
        "folder where backups are kept; without it none is taken but by command",
    ),
    Setting(
        "backup_url",
        "",
        "database URL with which backups are taken; default: database_url",
    ),
    Setting(
        "backup_key_file",
        "",
        "file (mode 0600) with the keys that backups are sealed with; default: backup.key in the home folder, made "
        "when it is needed",
    ),
    Setting("backup_keep_days", "14", "days that a backup folder can bring back"),
    Setting(
        "backup_hook",
        "",
        "command that copies a backup elsewhere; it is run with the backup's folder as its last word",
    ),
    Setting("backup_hook_seconds", "600", "seconds after which that command is ended"),
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
        "live_months",
        "3",
        "whole months before the present one whose real-time data stay out of the archive",
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
