"""SQL text written once for both drivers: ``?`` and ``:name`` become what PyMySQL takes."""

from __future__ import annotations

import re
from functools import lru_cache

_TOKEN = re.compile(
    r"""(?P<kept>'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|::)|(?P<mark>\?)|:(?P<name>[A-Za-z_]\w*)|(?P<percent>%)"""
)


@lru_cache(maxsize=512)
def for_driver(sql: str, dialect: str) -> str:
    """Return the statement in the parameter style of the dialect's driver.

    Parameters
    ----------
    sql
        A statement with ``?`` or ``:name``; quoted text is left alone.
    dialect
        ``sqlite`` (taken as it is) or ``mysql`` (``%s`` and ``%(name)s``, a literal % doubled).
    """
    if dialect == "sqlite":
        return sql

    def replaced(token: re.Match[str]) -> str:
        if token["kept"] is not None:
            return token["kept"].replace("%", "%%")
        if token["mark"] is not None:
            return "%s"
        return f"%({token['name']})s" if token["name"] is not None else "%%"

    return _TOKEN.sub(replaced, sql)
