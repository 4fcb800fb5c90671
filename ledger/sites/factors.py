"""Emission factors: read from a file, recorded once for ever, and found by code.

A factor is never changed: the same code and version with another content is refused, and another
content is another version. Sets that come with the package are files like any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.errors import BadInput, NotFound
from ledger.files import name_in_books, not_utf8, state_of
from ledger.models import EmissionFactor
from ledger.models.sites import FactorPurpose
from ledger.reductions.factors import (
    FACTOR_UNITS,
    FUEL_UNITS,
    combined_margin,
    content_sha256,
    magnitude_warnings,
    margin_warning,
)
from ledger.reductions.records import Factor, Purpose
from ledger.sites.document import Document, Table

KEYS = tuple(name for name in Factor.__dataclass_fields__ if name != "sha256")
"""What a ``[[factor]]`` may have."""
COMMON = "common"
"""Table of a file of factors whose keys every ``[[factor]]`` of the file has, unless it says other."""
IMPORTED = "factors.import"
"""Action of the audit log: a file that brought new factors."""
_SETS = resources.files("ledger.sites") / "factor_sets"
_NUMBERS = ("om", "bm", "w_om", "w_bm", "ncv_gj_per_t", "density_kg_per_l", "oxidation_share")
_DECIMALS_MAX = 30


def read_factor(table: Table) -> Factor:
    """Return what a ``[[factor]]`` says, checked.

    Raises
    ------
    BadInput
        With file, line and key.
    """
    table.require_known(frozenset(KEYS))
    purpose = Purpose(table.one_of("purpose", tuple(item.value for item in Purpose)))
    fuel = purpose is Purpose.FUEL
    first, last = table.day("valid_from"), table.day("valid_to")
    if first is not None and last is not None and first > last:
        raise table.wrong("valid_to", "valid_to comes before valid_from")
    numbers = {name: table.decimal(name) if table.has(name) else None for name in _NUMBERS}
    content: dict[str, Any] = {
        "code": table.name("code", 100),
        "version": table.name("version", 50),
        "purpose": purpose,
        "value": _value(table, numbers),
        "unit": table.one_of("unit", tuple(FUEL_UNITS if fuel else FACTOR_UNITS)),
        "source": table.text("source", 1000, "say where the factor is published", lines=True),
        "data_year": table.whole("data_year") if table.has("data_year") else None,
        "verified": table.flag("verified", False),
        "document": table.optional("document", 1000, lines=True),
        "document_sha256": _sha256(table, "document_sha256"),
        "gas_set": table.optional("gas_set", 100),
        "boundary": table.optional("boundary", 1000, lines=True),
        "published_at": table.day("published_at"),
        "valid_from": first,
        "valid_to": last,
        **numbers,
    }
    spec = Factor(**content, sha256=content_sha256(content))
    _check_numbers(table, spec)
    return spec


def _value(table: Table, numbers: dict[str, str | None]) -> str:
    """Return the published value; without one, what the margins give, which is a decimal as they are."""
    margins = [numbers[name] for name in ("om", "bm", "w_om", "w_bm")]
    if table.has("value") or None in margins:
        return table.decimal("value", "or give om, bm, w_om and w_bm")
    om, bm, w_om, w_bm = (Fraction(text) for text in margins if text is not None)
    value = om * w_om + bm * w_bm
    for decimals in range(_DECIMALS_MAX):
        scaled = value * 10**decimals
        if scaled.denominator == 1:
            digits = f"{scaled.numerator:0{decimals + 1}d}"
            return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
    raise table.wrong("om", f"om and bm have too many digits: more than {_DECIMALS_MAX} decimals")


def _sha256(table: Table, key: str) -> str | None:
    text = table.optional(key, 64)
    if text is not None and (len(text) != 64 or set(text) - set("0123456789abcdef")):
        raise table.wrong(key, f"{key} must be 64 digits of lower-case hexadecimal, found {text!r}")
    return text


def _check_numbers(table: Table, spec: Factor) -> None:
    fuel = spec.purpose is Purpose.FUEL
    if Fraction(spec.value) < 0:
        raise table.wrong("value", f"value must not be less than 0, found {spec.value}")
    if spec.purpose is Purpose.CREDITING and Fraction(spec.value) == 0:
        raise table.wrong("value", "value of a crediting factor must be more than 0, found 0")
    for name in _NUMBERS:
        of_fuel = name in _NUMBERS[4:]
        text = getattr(spec, name)
        if text is None:
            continue
        if of_fuel != fuel:
            kind = "of fuel" if of_fuel else "of electricity"
            raise table.wrong(
                name, f"{name} is for a factor {kind}, this one is for {spec.purpose}"
            )
        if Fraction(text) < 0 or (of_fuel and Fraction(text) == 0):
            raise table.wrong(name, f"{name} must be more than 0, found {text}")
    if spec.oxidation_share is not None and Fraction(spec.oxidation_share) > 1:
        raise table.wrong("oxidation_share", "oxidation_share is a share, from 0 to 1")
    if fuel and spec.ncv_gj_per_t is None:
        raise table.wrong(
            None, "ncv_gj_per_t is missing: the net calorific value in GJ/t (the same as TJ/Gg)"
        )
    try:
        combined_margin(spec)
    except BadInput as error:
        raise table.wrong("w_om" if table.has("w_om") else None, error.message) from error


def read_factor_file(text: str, name: str) -> list[Factor]:
    """Read and check a file of factors: ``[[factor]]`` tables, and what they have in ``[common]``.

    Raises
    ------
    BadInput
        One line with file, line, key and what to write.
    """
    document = Document(text, name, {COMMON: False, "factor": True})
    common = document.one(COMMON)
    shared = {} if common is None else common.values
    specs = [
        read_factor(Table(document, "factor", place, {**shared, **table.values}))
        for place, table in enumerate(document.many("factor"))
    ]
    if not specs:
        raise BadInput(f"{name}: no [[factor]] in it", code="missing-key")
    keys = [(spec.code, spec.version) for spec in specs]
    for place, key in enumerate(keys):
        if key in keys[:place]:
            raise document.wrong("factor", place, "code", f"{key!r} stands twice")
    return specs


def bundled() -> list[str]:
    """Return the names of the sets that come with the package."""
    return sorted(
        item.name.removesuffix(".toml") for item in _SETS.iterdir() if item.name.endswith(".toml")
    )


class FactorFile(NamedTuple):
    """A file of factors, checked."""

    name: str
    sha256: str
    factors: list[Factor]


def load_factor_file(name: str) -> FactorFile:
    """Read a file of factors, or a bundled set by its name.

    Raises
    ------
    BadInput
        There is neither, or it is wrong.
    """
    path = Path(name)
    try:
        if not path.exists() and name in bundled():
            called, content = name, (_SETS / f"{name}.toml").read_bytes()
        else:
            state_of(path)  # a pipe without a writer would be waited for, a device never ends
            called, content = name_in_books(path), path.read_bytes()
        factors = read_factor_file(content.decode("utf-8-sig"), called)
        return FactorFile(called, hashlib.sha256(content).hexdigest(), factors)
    except OSError as error:
        raise BadInput(
            f"{name}: cannot be read ({error.strerror}); name a TOML file, or one of the bundled sets: "
            f"{', '.join(bundled())}",
            code="file-unreadable",
        ) from error
    except UnicodeDecodeError as error:
        raise not_utf8(name, error) from error


def import_factors(session: Session, file: FactorFile) -> dict[str, list[str]]:
    """Record the factors of a file; return which are ``created`` and ``unchanged``, and the ``warnings`` of all.

    Raises
    ------
    BadInput
        A code and version are recorded with another content.
    """
    found: dict[str, list[str]] = {"created": [], "unchanged": [], "warnings": []}
    for spec in file.factors:
        new = store_factor(session, spec, file.name)
        found["created" if new else "unchanged"].append(f"{spec.code} {spec.version}")
        found["warnings"] += warnings_of(spec)
    if found["created"]:
        said = {"file": file.name, "sha256": file.sha256, "created": len(found["created"])}
        audit.record(session, IMPORTED, EmissionFactor.__tablename__, {}, said)
    return found


def store_factor(session: Session, spec: Factor, where: str) -> bool:
    """Record a factor, and return whether it is new.

    Parameters
    ----------
    where
        What a message begins with: the file.

    Raises
    ------
    BadInput
        The code and version are recorded with another content.
    """
    query = select(EmissionFactor).filter_by(code=spec.code, version=spec.version)
    known = session.scalars(query).first()
    if known is None:
        values = {name: getattr(spec, name) for name in KEYS}
        values["purpose"] = FactorPurpose(spec.purpose.value)
        session.add(EmissionFactor(**values, content_sha256=spec.sha256))
        session.flush()
        return True
    if known.content_sha256 == spec.sha256:
        return False
    raise BadInput(
        f"{where}: factor {spec.code} {spec.version} is recorded as {known.value} {known.unit} "
        f"({known.purpose.value}, {known.source}) and factors are never changed: give the new content "
        "a new version",
        code="factor-changed",
        details={"factor": spec.code, "version": spec.version},
    )


def warnings_of(spec: Factor) -> list[str]:
    """Return what should be known of a factor before it is used."""
    found = [] if spec.verified else [f"factor {spec.code} {spec.version} is marked unverified"]
    margin = margin_warning(spec)
    return found + ([] if margin is None else [margin]) + magnitude_warnings(spec)


def find_factor(
    session: Session, code: str, version: str | None, what: str, own: Sequence[Factor] = ()
) -> EmissionFactor:
    """Return the factor that is meant: the version that the file itself has, else the only one known.

    Parameters
    ----------
    what
        What a message begins with: file, table and key.
    own
        The factors of the file.

    Raises
    ------
    BadInput
        There is none of that code and version, or several.
    """
    versions = [spec.version for spec in own if spec.code == code]
    if version is None and len(versions) == 1:
        version = versions[0]
    query = select(EmissionFactor).filter_by(code=code).order_by(EmissionFactor.id)
    rows = session.scalars(query).all()
    meant = [row for row in rows if version in (None, row.version)]
    if len(meant) == 1:
        return meant[0]
    if rows:
        known = ", ".join(row.version for row in rows)
        key = what.rsplit(maxsplit=1)[-1].rstrip(":")
        raise BadInput(
            f"{what}: factor {code!r} has versions {known}; write {key}_version",
            code="factor-unclear",
        )
    raise BadInput(
        f"{what}: no [[factor]] has code {code!r}, and none is recorded; write it into the file, or "
        "import the set that has it: truetonne factors import",
        code="no-such-factor",
    )


def list_factors(session: Session, code: str | None = None) -> list[dict[str, Any]]:
    """Return the recorded factors as JSON, by code and in the order in which they were recorded.

    Raises
    ------
    NotFound
        A code is given and there is no factor of it.
    """
    query = select(EmissionFactor).order_by(EmissionFactor.code, EmissionFactor.id)
    if code is not None:
        query = query.where(EmissionFactor.code == code)
    rows = [factor_row(row) for row in session.scalars(query)]
    if code is not None and not rows:
        raise NotFound(
            f"no factor {code!r} is recorded; truetonne factors list names those that are"
        )
    return rows


def factor_row(row: EmissionFactor) -> dict[str, Any]:
    """Return a recorded factor as JSON: every field, null where nothing is published."""
    document: dict[str, Any] = {}
    for name in KEYS:
        value = getattr(row, name)
        document[name] = value.isoformat() if hasattr(value, "isoformat") else value
    document["purpose"] = row.purpose.value
    document["sha256"] = row.content_sha256
    return document
