"""The machine's clock, as the product sees it: it can be set, forward and back.

The product asks ``datetime.now``; here its modules are given a ``datetime`` whose clock may be wrong. What it makes of
the answer are plain values.
"""

from __future__ import annotations

import datetime as real
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PACKAGES = ("ledger.", "indexer.")


class _Kind(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, real.datetime)


class Wrong(real.datetime, metaclass=_Kind):
    """A ``datetime`` whose clock is off."""

    asked = 0
    """How often it was looked at."""
    offset = real.timedelta(0)

    @classmethod
    def now(cls, tz: real.tzinfo | None = None) -> Any:
        """Return what the wrong clock shows."""
        Wrong.asked += 1
        return real.datetime.now(tz) + Wrong.offset


@contextmanager
def own() -> Iterator[None]:
    """Give the product this clock, and its own back afterwards."""
    changed = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith(PACKAGES) and getattr(module, "datetime", None) is real.datetime
    ]
    for module in changed:
        module.datetime = Wrong  # type: ignore[attr-defined]
    try:
        yield
    finally:
        set_right()
        for module in changed:
            module.datetime = real.datetime  # type: ignore[attr-defined]


def jump(by: real.timedelta) -> None:
    """Set the clock forward, or back."""
    Wrong.offset += by


def set_right() -> None:
    """Set the clock right."""
    Wrong.offset = real.timedelta(0)
