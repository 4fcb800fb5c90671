"""What a site file changed, and how an account in it is read when nothing else is said."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.errors import BadInput


@dataclass
class SiteChanges:
    """What a site file changed, each as ``"<table> <name>"``."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What is allowed and will stop an issuance, or should be known."""

    def as_json(self) -> dict[str, list[str]]:
        """Return the lists by name."""
        return {
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "warnings": self.warnings,
        }


def plain_account(text: str) -> str:
    """Return an account that is written as an address, in lower case.

    Raises
    ------
    BadInput
        It is not an address.
    """
    body = text[2:]
    if text[:2] != "0x" or len(body) != 40 or set(body.lower()) - set("0123456789abcdef"):
        raise BadInput(f"{text!r} is not an account; write 0x and 40 hexadecimal digits")
    return text.lower()
