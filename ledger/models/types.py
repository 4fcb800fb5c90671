"""Column types that mean the same on SQLite and on MariaDB.

Every type refuses what the column cannot hold exactly, before a driver sees it: SQLite would store
a float for a decimal and any length for a VARCHAR, and both drivers drop a time zone silently.
"""

# ruff: noqa: D102 - the public methods are those of SQLAlchemy's TypeDecorator

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import (
    CHAR,
    JSON,
    BigInteger,
    ColumnElement,
    DateTime,
    Dialect,
    Enum,
    Integer,
    Numeric,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import DontWrapMixin
from sqlalchemy.ext.mutable import Mutable, MutableDict, MutableList
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeEngine

from ledger.errors import BadInput, DependencyDown

SQLITE_INTEGER_DIGITS = 18
"""Decimals of at most so many digits fit a 64-bit integer with their point removed."""


class ValueRefused(BadInput, DontWrapMixin):
    """A column cannot hold the value exactly. SQLAlchemy passes it on as it is."""

    default_code = "value-refused"


class ValueUnreadable(DependencyDown, ValueError, DontWrapMixin):
    """A row holds what is no value of its column: another program wrote it, in a way that the database let pass.

    MariaDB does so in a session without its strict mode, SQLite always.
    """

    default_code = "unreadable-value"

    def __init__(
        self,
        where: str,
        value: object,
        holds: str,
        way: str = "find the row with SQL, and correct or delete it",
    ) -> None:
        super().__init__(
            f"{where} is {value!r} in the database, and holds {holds}: a program that is none of ours wrote it; {way}"
        )
        self._found = value, holds

    def at(self, where: str, way: str) -> ValueUnreadable:
        """Return the same, for whoever knows in which row it is, and what mends that."""
        return ValueUnreadable(where, *self._found, way)


BigInt = BigInteger().with_variant(Integer(), "sqlite")
"""64-bit integer. SQLite numbers rows by itself only in an ``INTEGER PRIMARY KEY``."""

MediumText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
"""Text of up to 16 MB; TEXT ends at 64 kB on MariaDB, less than a contract's code in hex."""


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal of fixed precision and scale that is never a float.

    DECIMAL on MariaDB. On SQLite the value without its point as INTEGER, or as text when it has
    more than 18 digits. Sums and comparisons of the INTEGER form are exact; the text form can only
    be compared for equality, so SQL arithmetic and order on such a column are refused on both.

    Parameters
    ----------
    precision
        Digits in all.
    scale
        Digits after the point.
    """

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        super().__init__(precision, scale)
        self.precision = precision
        self.scale = scale
        self._nan = Decimal("NaN")
        self._unit = Decimal(1).scaleb(-scale)
        self._limit = Decimal(10) ** (precision - scale)
        self._context = Context(prec=precision + 40, traps=[Inexact, InvalidOperation])

    class Comparator(TypeDecorator.Comparator[Decimal]):  # noqa: D106 - documented by the class
        _scaling = (operators.mul, operators.truediv, operators.floordiv, operators.mod)
        _ordering = (operators.lt, operators.le, operators.gt, operators.ge)
        _adding = (operators.add, operators.sub, operators.asc_op, operators.desc_op)

        def operate(self, op: Any, *other: Any, **kwargs: Any) -> ColumnElement[Any]:
            kind = self.type
            assert isinstance(kind, ExactDecimal)
            refused: tuple[Any, ...] = self._scaling
            if kind.precision > SQLITE_INTEGER_DIGITS:
                refused += self._ordering + self._adding
            if op in refused:
                raise ValueRefused(
                    f"{op.__name__} on a DECIMAL({kind.precision},{kind.scale}) differs between "
                    "SQLite and MariaDB; read the rows and calculate with Decimal"
                )
            return super().operate(op, *other, **kwargs)

    comparator_factory = Comparator

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "sqlite":
            return dialect.type_descriptor(Numeric(self.precision, self.scale))
        if self.precision <= SQLITE_INTEGER_DIGITS:
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(String(self.precision + 2))

    def exact(self, value: Decimal | int) -> Decimal:
        """Return the value with exactly ``scale`` decimals.

        Raises
        ------
        ValueRefused
            A float, a value that is not finite, one with more decimals, or one that is too large.
        """
        if isinstance(value, bool) or not isinstance(value, (Decimal, int)):
            raise ValueRefused(
                f"DECIMAL({self.precision},{self.scale}) takes Decimal or int, "
                f"found {type(value).__name__} {value!r}"
            )
        number = Decimal(value)
        # Only comparisons below: abs() and + would round to the 28 digits of the usual context.
        try:
            fixed = number.quantize(self._unit, context=self._context)
            fits = -self._limit < fixed < self._limit
        except (Inexact, InvalidOperation):
            fits = False
        if not fits:
            raise ValueRefused(
                f"{value} does not fit DECIMAL({self.precision},{self.scale}) exactly"
            )
        return fixed if fixed else fixed.copy_abs()  # no negative zero

    def process_bind_param(self, value: Decimal | int | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        fixed = self.exact(value)
        if dialect.name != "sqlite":
            return fixed
        if self.precision <= SQLITE_INTEGER_DIGITS:
            return int(fixed.scaleb(self.scale, context=self._context))
        return format(fixed, "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None:
            return None
        if isinstance(value, float) and self.precision > SQLITE_INTEGER_DIGITS:  # summed as text
            raise ValueRefused(
                f"the database answered with the float {value!r} where a decimal is kept"
            )
        scaled = dialect.name == "sqlite" and self.precision <= SQLITE_INTEGER_DIGITS
        is_none = isinstance(value, float) or (scaled and not isinstance(value, int))
        try:
            number = self._nan if is_none else Decimal(value)
        except (InvalidOperation, TypeError, ValueError):
            number = self._nan
        if not number.is_finite():
            raise ValueUnreadable(
                f"a DECIMAL({self.precision},{self.scale})",
                value,
                "a decimal, on SQLite the integer without the point",
            )
        return number.scaleb(-self.scale, context=self._context) if scaled else number


_TIME, _TIME_HOLDS = "a time", "UTC as YYYY-MM-DD HH:MM:SS.ffffff"


class _IsoText(sqlite.DATETIME):
    """SQLite's own format of a time, written by one call instead of a template: half the cost."""

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], str | None]:
        return lambda value: None if value is None else value.isoformat(" ", "microseconds")

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        read: Callable[[Any], Any] = super().result_processor(dialect, coltype)  # type: ignore[assignment]

        def process(value: Any) -> Any:
            try:
                return read(value)
            except (TypeError, ValueError) as error:
                raise ValueUnreadable(_TIME, value, _TIME_HOLDS) from error

        return process


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time to the microsecond. Naive times are refused, results are aware.

    DATETIME(6) on MariaDB, which never converts it; ISO text of fixed width on SQLite.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(_IsoText())  # type: ignore[no-untyped-call]
        return dialect.type_descriptor(mysql.DATETIME(fsp=6))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if not isinstance(value, datetime) or value.utcoffset() is None:
            raise ValueRefused(f"a time must carry its zone, found {value!r}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if isinstance(value, str):  # what is no day of the calendar, such as 0000-00-00, stays text
            raise ValueUnreadable(_TIME, value, _TIME_HOLDS)
        return None if value is None else value.replace(tzinfo=UTC)


class Varchar(TypeDecorator[str]):
    """Text of at most ``length`` characters, on SQLite too, which by itself keeps any length."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is not None:
            if not isinstance(value, str):
                raise ValueRefused(
                    f"VARCHAR({self.length}) takes text, found {type(value).__name__}"
                )
            if len(value) > self.length:
                raise ValueRefused(
                    f"{value[:40]!r}... has {len(value)} characters, at most {self.length}"
                )
        return value


class Hex(TypeDecorator[str]):
    """Bytes as lower-case hexadecimal in ASCII, compared byte by byte.

    Parameters
    ----------
    octets
        How many bytes, no more and no fewer.
    prefix
        ``0x`` for what comes from a chain, nothing for a file's digest.
    """

    impl = String
    cache_ok = True

    def __init__(self, octets: int, prefix: str = "0x") -> None:
        self.length = 2 * octets + len(prefix)
        super().__init__(self.length)
        self.octets = octets
        self.prefix = prefix
        self._form = re.compile(f"{prefix}[0-9a-f]{{{2 * octets}}}")

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(
                String(self.length) if self.prefix else CHAR(self.length)
            )
        kind = mysql.VARCHAR if self.prefix else mysql.CHAR
        return dialect.type_descriptor(kind(self.length, charset="ascii", collation="ascii_bin"))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        lower = value.lower() if isinstance(value, str) else ""
        if not self._form.fullmatch(lower):
            raise ValueRefused(
                f"{value!r} is not {2 * self.octets} hexadecimal digits"
                + (f" after {self.prefix}" if self.prefix else "")
            )
        return lower


Hash = Hex(32)
"""A keccak-256 hash or a 32-byte key: ``0x`` and 64 digits."""
Address = Hex(20)
"""An account or a contract: ``0x`` and 40 digits, without the checksum's capitals."""
Sha256 = Hex(32, prefix="")
"""SHA-256 of a file: 64 digits."""


@cache
def json_object() -> TypeEngine[dict[str, Any]]:
    """Return the type of a JSON object whose changes in place are noticed; None is SQL NULL.

    It is one type for all columns: each that notices changes looks at every column of every table.
    """
    return _Object.as_mutable(JSON(none_as_null=True))


@cache
def json_array() -> TypeEngine[list[Any]]:
    """Return the type of a JSON array whose changes in place are noticed; None is SQL NULL. One as well."""
    return _Array.as_mutable(JSON(none_as_null=True))


_SHOWN = 60
"""Characters of what is no JSON, or none of its column."""


class _OfOneKind(Mutable):
    _kind: str

    @classmethod
    def coerce(cls, key: str, value: Any) -> Any:
        try:
            return super().coerce(key, value)
        except ValueError:
            raise ValueUnreadable(f"a column {key}", str(value)[:_SHOWN], cls._kind) from None


class _Object(_OfOneKind, MutableDict[str, Any]):
    _kind = "a JSON object"


class _Array(_OfOneKind, MutableList[Any]):
    _kind = "a JSON array"


_WAY = "`index verify` names a mirrored row, `json_valid(column) = 0` any; mend it"
"""The column is not known where text becomes an object, and so the line says what finds the row."""


def stored_json(text: object) -> Any:
    """Return what a JSON column holds: text, as far as our own programs wrote it.

    Raises
    ------
    ValueUnreadable
        If it is no JSON, which SQLite lets pass.
    """
    try:
        return json.loads(text)  # type: ignore[arg-type] # what is no text is refused
    except (ValueError, TypeError, RecursionError):
        found = text[:_SHOWN] if isinstance(text, (str, bytes)) else text
        raise ValueUnreadable("a column of JSON", found, "an object or an array", _WAY) from None


class _StoredChoice(mysql.ENUM):
    """MariaDB's ENUM, which is the empty text where a session without the strict mode wrote another value."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        read = super().result_processor(dialect, coltype)  # type: ignore[no-untyped-call]

        def process(value: Any) -> Any:
            if value == "":
                wanted = ", ".join(self.enums)
                raise ValueUnreadable(_columns_of(self.enum_class), value, f"one of {wanted}")
            return read(value)

        return process


def _columns_of(values: Any) -> str:
    """Return the columns that hold one of the values, as SQL names them."""
    from ledger.models.base import Base  # which has its types from here

    return " or ".join(
        f"{table.name}.{column.name}"
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Enum) and column.type.enum_class is values
    )


def choice(values: type[StrEnum], name: str) -> Enum:
    """Return the type of a column that holds one of the values, by value.

    ENUM on MariaDB, VARCHAR with a CHECK on SQLite. ``name`` is the column's, for the CHECK.
    """
    members: Callable[[type[StrEnum]], list[str]] = lambda kind: [item.value for item in kind]  # noqa: E731
    said: dict[str, Any] = {"name": name, "values_callable": members, "validate_strings": True}
    kind = Enum(values, create_constraint=True, **said)
    return kind.with_variant(_StoredChoice(values, **said), "mysql", "mariadb")
