"""What a reader wants: which language, and light or dark. From the address, then a cookie, then the browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

COOKIE_SECONDS = 365 * 24 * 3600


class Language(StrEnum):
    """A language that the pages are written in; the value is what addresses and cookies say."""

    ENGLISH = "en"
    CHINESE = "zh"

    @property
    def tag(self) -> str:
        """The language as HTML names it (BCP 47)."""
        return "zh-Hans" if self is Language.CHINESE else "en"


class Theme(StrEnum):
    """Light, dark, or as the reader's system is."""

    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True)
class Wishes:
    """What one reader wants, and which of it the address said."""

    language: Language
    theme: Theme
    said: Mapping[str, str]
    """By name of the cookie that keeps it."""

    def remember(self, request: Request, response: Response) -> None:
        """Keep in cookies what the address said."""
        for name, value in self.said.items():
            response.set_cookie(
                name,
                value,
                max_age=COOKIE_SECONDS,
                path="/",
                secure=request.url.scheme == "https",
                httponly=True,
                samesite="lax",
            )


def wishes_of(request: Request) -> Wishes:
    """Return what a reader wants; what cannot be read is not asked for."""
    asked = {name: request.query_params.get(name, "") for name in ("lang", "theme")}
    language = _language(asked["lang"]) or _language(request.cookies.get("lang", ""))
    if language is None:
        language = accepted(request.headers.get("accept-language", ""))
    theme = _theme(asked["theme"]) or _theme(request.cookies.get("theme", "")) or Theme.AUTO
    said = {}
    if _language(asked["lang"]):
        said["lang"] = asked["lang"]
    if _theme(asked["theme"]):
        said["theme"] = asked["theme"]
    return Wishes(language, theme, said)


def accepted(header: str) -> Language:
    """Return the language of an ``Accept-Language`` header (RFC 9110, 12.5.4); English when it names neither."""
    best, weight = Language.ENGLISH, 0.0
    for part in header.split(",")[:50]:
        tag, *parameters = (piece.strip().lower() for piece in part.split(";"))
        found = _language(tag.partition("-")[0])
        given = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            quality = float(given)
        except ValueError:
            continue
        if found is not None and 0 < quality <= 1 and quality > weight:
            best, weight = found, quality
    return best


def here(request: Request, **changes: str) -> str:
    """Return the address of the page that is shown, with some of its parameters changed."""
    path = quote(request.scope["path"], safe="/:@!$&'()*+,;=")
    if path.startswith("//"):  # a browser would take what follows for a host
        path = f"/%2F{path[2:]}"
    return f"{path}?{_asked_with(request, changes)}"


def onward(request: Request, place: str, cursor: str) -> str:
    """Return the address of a list's next page: all that was asked of the list holds for it, too."""
    return f"{place}?{_asked_with(request, {'cursor': cursor})}"


def _asked_with(request: Request, changes: Mapping[str, str]) -> str:
    kept = request.query_params.multi_items()
    query = [(name, value) for name, value in kept if name not in changes]
    return urlencode([*query, *changes.items()])


def _language(text: str) -> Language | None:
    return Language(text) if text in set(Language) else None


def _theme(text: str) -> Theme | None:
    return Theme(text) if text in set(Theme) else None
