"""The settings of the ledger: the only room that reads the environment.

``table`` has them all, ``values`` reads the text of each, and ``loading`` makes one frozen value of them, with those of
the API (``serving``) and of settlement (``settling``) as values of their own. ``deployment`` has the variables that
only a deployment is told.
"""

from ledger.settings.loading import (
    LOCAL_CHAIN_ID,
    Settings,
    described,
    load_settings,
    unknown_variables,
)
from ledger.settings.table import ENV_PREFIX, SETTINGS, Setting
from ledger.settings.values import (
    LIVE_MONTHS_MAX,
    SPAN_MAX,
    depth_of,
    file_url,
    redacted,
    socket_path,
    without_secrets,
)

__all__ = [
    "ENV_PREFIX",
    "LIVE_MONTHS_MAX",
    "LOCAL_CHAIN_ID",
    "SETTINGS",
    "SPAN_MAX",
    "Setting",
    "Settings",
    "depth_of",
    "described",
    "file_url",
    "load_settings",
    "redacted",
    "socket_path",
    "unknown_variables",
    "without_secrets",
]
