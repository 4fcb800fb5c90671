"""What a site file changed."""

from __future__ import annotations

from dataclasses import dataclass, field


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
