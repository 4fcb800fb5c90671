"""A checker for the part of JSON Schema that the API's description uses; any other word is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

_IGNORED = {"title", "description", "default"}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def mismatches(
    value: Any, schema: Mapping[str, Any], document: Mapping[str, Any], at: str = "$"
) -> list[str]:
    """Return where and why a value does not fit its schema; nothing when it does."""
    if schema is True:
        return []
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        return mismatches(value, document["components"]["schemas"][name], document, at)
    if "anyOf" in schema:
        found = [mismatches(value, option, document, at) for option in schema["anyOf"]]
        return [] if any(not item for item in found) else [f"{at}: fits no option: {found}"]
    unknown = set(schema) - _IGNORED - set(_CHECKS)
    assert not unknown, f"{at}: the checker does not know {unknown}"
    errors = _type(value, schema, document, at) if "type" in schema else []
    if errors:  # the other words speak of a value of the right type
        return errors
    return [
        error
        for word, check in _CHECKS.items()
        if word in schema
        for error in check(value, schema, document, at)
    ]


def _type(value: Any, schema: Mapping[str, Any], _document: Any, at: str) -> list[str]:
    allowed = _TYPES[schema["type"]]
    fits = isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool))
    return [] if fits else [f"{at}: {value!r} is no {schema['type']}"]


def _enum(value: Any, schema: Mapping[str, Any], _document: Any, at: str) -> list[str]:
    return [] if value in schema["enum"] else [f"{at}: {value!r} is none of {schema['enum']}"]


def _pattern(value: Any, schema: Mapping[str, Any], _document: Any, at: str) -> list[str]:
    fits = isinstance(value, str) and re.search(schema["pattern"], value)
    return [] if fits else [f"{at}: {value!r} does not match {schema['pattern']}"]


def _format(value: Any, schema: Mapping[str, Any], _document: Any, at: str) -> list[str]:
    if schema["format"] == "date":
        return [] if date.fromisoformat(value).isoformat() == value else [f"{at}: {value!r}"]
    assert schema["format"] == "date-time"
    aware = datetime.fromisoformat(value).utcoffset() is not None
    return [] if aware else [f"{at}: {value!r} has no zone"]


def _properties(value: Any, schema: Mapping[str, Any], document: Any, at: str) -> list[str]:
    known = schema["properties"]
    errors = [
        error
        for name, item in value.items()
        if name in known
        for error in mismatches(item, known[name], document, f"{at}.{name}")
    ]
    return errors


def _required(value: Any, schema: Mapping[str, Any], _document: Any, at: str) -> list[str]:
    return [f"{at}: {name} is missing" for name in schema["required"] if name not in value]


def _additional(value: Any, schema: Mapping[str, Any], document: Any, at: str) -> list[str]:
    more = {name: item for name, item in value.items() if name not in schema.get("properties", {})}
    rule = schema["additionalProperties"]
    if rule is False:
        return [f"{at}: {name} is not described" for name in more]
    return [
        error
        for name, item in more.items()
        for error in mismatches(item, rule, document, f"{at}.{name}")
    ]


def _items(value: Any, schema: Mapping[str, Any], document: Any, at: str) -> list[str]:
    return [
        error
        for index, item in enumerate(value)
        for error in mismatches(item, schema["items"], document, f"{at}[{index}]")
    ]


_CHECKS = {
    "type": _type,
    "enum": _enum,
    "pattern": _pattern,
    "format": _format,
    "properties": _properties,
    "required": _required,
    "additionalProperties": _additional,
    "items": _items,
}
