"""Encryption of what we must read again and nobody else may read; the keys are not in the database.

These are the secrets of webhooks and among the settings in the database, and mail addresses and profiles of users.
The key file has a line for each key, ``NUMBER:BASE64`` of 32 bytes; the greatest number seals, all of them open. So a
key is changed by adding a line, and an old one goes when nothing is sealed with it any more. One more line,
``index:BASE64``, makes blind indexes: what is sealed can be found again by whoever has the very text, and compared, and
by nobody who has the database alone.

``sealer`` seals and opens, ``key_file`` keeps its keys, and ``resealing`` goes through the rows when a key is changed.
"""

from ledger.sealing.key_file import add_key, load_sealer, remove_key
from ledger.sealing.resealing import Lost, Resealed, reseal_rows
from ledger.sealing.sealer import SAMPLES, Sealer, key_number, passing_sealer, require_ours

__all__ = [
    "SAMPLES",
    "Lost",
    "Resealed",
    "Sealer",
    "add_key",
    "key_number",
    "load_sealer",
    "passing_sealer",
    "remove_key",
    "require_ours",
    "reseal_rows",
]
