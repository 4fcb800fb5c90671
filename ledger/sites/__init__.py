"""A park in one file: read, checked, and applied to the database.

- **The file.** ``document`` knows its tables, keys and lines; ``site_file`` checks them key by key into the records of
  ``specs``, with ``source_table`` for ``[[source]]``; ``advice`` is what it allows and its author should know.
- **Into the books.** ``apply`` does it, in an ``application`` that ends in ``changes``: ``factors``, ``devices`` with
  ``calibrations``, ``meter_changes`` and ``certificates``, and ``plants`` with their markets and accounts.
- **Later.** ``validity`` finds factors whose time ends. ``factor_sets`` come with the program.
"""

from ledger.sites.apply import apply_site, check_site_file
from ledger.sites.changes import SiteChanges, plain_account
from ledger.sites.site_file import read_site_file
from ledger.sites.specs import SiteFile

__all__ = [
    "SiteChanges",
    "SiteFile",
    "apply_site",
    "check_site_file",
    "plain_account",
    "read_site_file",
]
