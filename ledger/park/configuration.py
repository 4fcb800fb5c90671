"""Settings that are kept in the database: typed values, secrets sealed, every change in the audit log.

``system_config.config_value`` is JSON: a whole number, true or false, or text as itself; a decimal number, an object
and a secret say what they are (``{"decimal": "1.50"}``). So the value has its type wherever it is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.errors import BadInput, NotFound
from ledger.models import SystemConfig
from ledger.naming import meant
from ledger.park.reading import loads, read_decimal, read_object
from ledger.park.turn import take_turn
from ledger.sealing import Sealer, require_ours
from ledger.spreadsheets import Wrong

KEY = re.compile("[a-z][a-z0-9_]*(\\.[a-z][a-z0-9_]*){1,5}")
KEY_MAX = 100
TEXT_MAX = 10_000
VALUE_BYTES_MAX = 60_000
"""TEXT holds 65,535 on MariaDB."""
HIDDEN = "***"
"""What is shown of a secret."""
SILENT_DAYS = "alerts.silent_days"
"""A device that has been silent for more days raises no alert for it by the clock."""


class ValueType(StrEnum):
    """What a value is."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    JSON = "json"
    SECRET = "secret"


@dataclass(frozen=True)
class Known:
    """A setting that this version reads.

    Parameters
    ----------
    low, high
        Least and greatest value.
    """

    type: ValueType
    default: int
    what: str
    low: int
    high: int


KNOWN = {
    SILENT_DAYS: Known(
        ValueType.INTEGER,
        30,
        "A device that has been silent for more days raises no alert for missing values.",
        1,
        3660,
    )
}


@dataclass(frozen=True)
class Setting:
    """One setting as it is shown; a secret as ``***``."""

    id: int
    key: str
    type: ValueType
    value: Any
    description: str | None
    category: str
    created_at: datetime
    updated_at: datetime


def settings_query() -> Select[SystemConfig]:
    """Return the query of all settings."""
    return select(SystemConfig)


def shown(row: SystemConfig) -> Setting:
    """Return a row as it is shown."""
    kind, value = unpacked(row.config_value)
    return Setting(
        row.id,
        row.config_key,
        kind,
        HIDDEN if kind is ValueType.SECRET else value,
        row.description,
        row.category,
        row.created_at,
        row.updated_at,
    )


def get(session: Session, key: str) -> Setting:
    """Return a setting.

    Raises
    ------
    NotFound
        If there is none of that key.
    """
    row = _row(session, key)
    if row is None:
        raise NotFound(
            f"there is no setting {key[:100]!r} in the database; `truetonne config list` has all of them"
        )
    return shown(row)


def is_secret(session: Session, key: str) -> bool:
    """Return whether there is a secret of that key."""
    row = _row(session, key)
    return row is not None and unpacked(row.config_value)[0] is ValueType.SECRET


def whole(session: Session, key: str) -> int:
    """Return a known setting that is a whole number: as it is set, or its default.

    What another program wrote counts where it is one that could be set.
    """
    row, known = _row(session, key), KNOWN[key]
    if row is None:
        return known.default
    kind, value = unpacked(row.config_value)
    is_one = kind is ValueType.INTEGER and known.low <= value <= known.high
    return int(value) if is_one else known.default


def put(
    session: Session,
    key: str,
    text: str,
    *,
    kind: ValueType | None = None,
    category: str | None = None,
    description: str | None = None,
    sealer: Callable[[], Sealer] | None = None,
) -> tuple[Setting, bool]:
    """Set a setting; one that is there keeps its type, category and description unless told otherwise.

    Parameters
    ----------
    text
        The value as text.
    kind
        Its type; None: as it is, or for a new one what this version knows, or text.
    sealer
        Gives what seals a secret; asked for when the value is one.

    Returns
    -------
    tuple
        The setting, and whether anything changed.

    Raises
    ------
    BadInput
        If the key or the value cannot be used.
    """
    if not KEY.fullmatch(key) or len(key) > KEY_MAX:
        raise BadInput(
            f"setting {key[:100]!r}: a key is words of small letters, digits and _ with points between, "
            f"such as alerts.silent_days, and at most {KEY_MAX} characters"
        )
    take_turn(session)
    row = _row(session, key)
    kind = _type_of(key, row, kind)
    value = _read(key, kind, text)
    if kind is ValueType.SECRET and sealer is not None and row is None:
        require_ours(sealer(), newest_sealed(session))
    packed = _packed(key, kind, value, row, sealer)
    before = None if row is None else _told(row)
    if row is None:
        row = SystemConfig(config_key=key, category=category or key.partition(".")[0])
        session.add(row)
    changed = before is None or row.config_value != packed
    row.config_value = packed
    if category is not None:
        changed, row.category = changed or row.category != category, category
    if description is not None:
        changed, row.description = changed or row.description != description, description
    _check_lengths(key, row)
    session.flush()
    if changed:
        place = f"system_config/{row.id}"
        audit.record(session, "config.set", place, before or {}, _told(row))
    return shown(row), changed


def remove(session: Session, key: str) -> Setting:
    """Delete a setting; the audit log keeps what it was.

    Raises
    ------
    NotFound
        If there is none of that key.
    """
    take_turn(session)
    found = get(session, key)
    row = session.get_one(SystemConfig, found.id)
    audit.record(session, "config.unset", f"system_config/{row.id}", _told(row), {"key": key})
    session.delete(row)
    session.flush()
    return found


def _row(session: Session, key: str) -> SystemConfig | None:
    return session.scalars(select(SystemConfig).where(SystemConfig.config_key == key)).first()


def _type_of(key: str, row: SystemConfig | None, asked: ValueType | None) -> ValueType:
    known = KNOWN.get(key)
    if known is not None:
        if asked not in (None, known.type):
            raise BadInput(f"setting {key}: is of type {known.type.value}")
        return known.type
    if row is not None:
        kind, _ = unpacked(row.config_value)
        if kind is ValueType.SECRET and asked not in (None, ValueType.SECRET):
            raise BadInput(f"setting {key}: is a secret; remove it first to make it anything else")
        return asked or kind
    group = key.partition(".")[0]
    ours = [name for name in KNOWN if name.partition(".")[0] == group]
    if ours:  # a value under a mistyped key would be read by nobody
        raise BadInput(
            f"setting {key}: this version reads none of that name ({meant(key, ours)}); what is your own begins "
            f"with another word than {group}"
        )
    return asked or ValueType.TEXT


def _read(key: str, kind: ValueType, text: str) -> Any:
    try:
        value = _READERS[kind](text)
    except Wrong as wrong:
        raise BadInput(f"setting {key}: {wrong.message}") from None
    known = KNOWN.get(key)
    if known is not None and not known.low <= value <= known.high:
        raise BadInput(f"setting {key}: {value} is not from {known.low} to {known.high}")
    return value


def _text(text: str) -> str:
    if not text.strip() or "\0" in text or len(text) > TEXT_MAX:
        raise Wrong("", f"is empty, or longer than {TEXT_MAX} characters")
    return text


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,15}", text.strip()):
        raise Wrong("", f"{text[:40]!r} is not a whole number of at most 15 digits")
    return int(text)


def _boolean(text: str) -> bool:
    if text.strip() not in ("true", "false"):
        raise Wrong("", f"{text[:40]!r} is neither true nor false")
    return text.strip() == "true"


_READERS: dict[ValueType, Callable[[str], Any]] = {
    ValueType.TEXT: _text,
    ValueType.INTEGER: _integer,
    ValueType.DECIMAL: lambda text: format(read_decimal("", text), "f"),
    ValueType.BOOLEAN: _boolean,
    ValueType.JSON: lambda text: read_object("", text),
    ValueType.SECRET: _text,
}
_NAMED = (ValueType.DECIMAL, ValueType.JSON, ValueType.SECRET)
"""Types that a packed value names."""


def _packed(
    key: str,
    kind: ValueType,
    value: Any,
    row: SystemConfig | None,
    sealer: Callable[[], Sealer] | None,
) -> str:
    if kind is ValueType.SECRET:
        if sealer is None:
            raise BadInput(f"setting {key}: a secret needs the sealing key")
        seal = sealer()
        if row is not None:
            before, sealed = unpacked(row.config_value)
            with suppress(BadInput):  # what no key opens any more is made anew by this
                if before is kind and seal.open(str(sealed), context_of(key)) == value:
                    return row.config_value or ""
        value = seal.seal(value, context_of(key))
    document = {kind.value: value} if kind in _NAMED else value
    return json.dumps(document, ensure_ascii=False)


def newest_sealed(session: Session) -> list[tuple[str, str]]:
    """Return the secrets, those that were added last first, each with what it was sealed for."""
    rows = session.scalars(select(SystemConfig).order_by(SystemConfig.id.desc()))
    found = ((unpacked(row.config_value), context_of(row.config_key)) for row in rows)
    return [(str(value), context) for (kind, value), context in found if kind is ValueType.SECRET]


def unpacked(text: str | None) -> tuple[ValueType, Any]:
    """Return type and value; what another program wrote in here is text."""
    try:
        found = loads(text or "")
    except ValueError:
        return ValueType.TEXT, text or ""
    if isinstance(found, bool):
        return ValueType.BOOLEAN, found
    if isinstance(found, int):
        return ValueType.INTEGER, found
    if isinstance(found, dict) and len(found) == 1:
        ((name, value),) = found.items()
        if name in _NAMED:
            return ValueType(name), value
    return ValueType.TEXT, found if isinstance(found, str) else text


def context_of(key: str) -> str:
    """Return what a secret is sealed for."""
    return f"system_config/{key}"


def _check_lengths(key: str, row: SystemConfig) -> None:
    if not row.category or len(row.category) > 50:
        raise BadInput(f"setting {key}: a category has 1 to 50 characters")
    if len((row.config_value or "").encode()) > VALUE_BYTES_MAX:
        raise BadInput(f"setting {key}: the value has more than {VALUE_BYTES_MAX} bytes")
    if row.description is not None and len(row.description) > TEXT_MAX:
        raise BadInput(f"setting {key}: a description has at most {TEXT_MAX} characters")


def _told(row: SystemConfig) -> dict[str, Any]:
    kind, value = unpacked(row.config_value)
    return {
        "key": row.config_key,
        "type": kind.value,
        "value": HIDDEN if kind is ValueType.SECRET else value,
        "category": row.category,
        "description": row.description,
    }
