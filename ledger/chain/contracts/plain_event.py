"""Events that are inherited, and have no struct of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PlainEvent:
    """An inherited event that is recorded and changes no row of ours."""

    values: Mapping[str, Any]
