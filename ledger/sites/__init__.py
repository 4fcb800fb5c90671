"""A park in one file: read, checked, and applied to the database."""

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
