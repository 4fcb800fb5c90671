"""A page from a template, in the reader's language, with the headers that every page has."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from api.access import COOKIE, cookie_name
from api.pages import assets, formats, words
from api.pages.language import Language, Theme, Wishes, here, onward, wishes_of
from api.pages.sentences import say, say_failure, say_problem
from api.pages.words import Words

POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
"""Nothing from elsewhere, nothing inline, and nobody may frame a page."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Language, Cookie, HX-Request",
}
_FILTERS = (
    *(
        formats.number,
        formats.tonnes,
        formats.trimmed,
        formats.measured,
        formats.currency,
        formats.exact,
        formats.percent,
        formats.moment,
        formats.legal,
        formats.day,
    ),
    *(formats.last_day, formats.span, formats.machine_time),
    *(formats.short, formats.visible, formats.cut, formats.plain, formats.credit_page),
)


@cache
def environment() -> Environment:
    """Return the templates: everything is escaped, and a name that is not given is an error."""
    found = Environment(
        loader=PackageLoader("api.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters.update({each.__name__: each for each in _FILTERS})
    found.globals.update(
        asset=assets.address,
        languages=tuple(Language),
        themes=tuple(Theme),
        name_length_max=formats.NAME_LENGTH_MAX,
    )
    return found


@cache
def words_of(language: Language) -> Words:
    """Return the texts of a language; read once."""
    return words.load(language)


def is_fragment(request: Request) -> bool:
    """Return whether HTMX asks for a part of a page that is shown already, and not for one to go back to."""
    asked = request.headers.get
    return asked("hx-request") == "true" and asked("hx-history-restore-request") != "true"


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """Return a page.

    Parameters
    ----------
    template
        Name of the template, without its ending.
    values
        What it shows.
    """
    wishes = wishes_of(request)
    body = (
        environment()
        .get_template(f"{template}.html")
        .render(**_surroundings(request, wishes), **values)
    )
    response = HTMLResponse(body, status_code=status, headers={**HEADERS, **(headers or {})})
    wishes.remember(request, response)
    return response


def _surroundings(request: Request, wishes: Wishes) -> dict[str, Any]:
    t = words_of(wishes.language)
    return {
        "t": t,
        "say": partial(say, t),
        "say_failure": partial(say_failure, t),
        "say_problem": partial(say_problem, t),
        "language": wishes.language,
        "theme": wishes.theme,
        "path": request.url.path,
        "part": is_fragment(request),
        # Whether it is still good, the page of the account says.
        "signed_in": cookie_name(request, COOKIE) in request.cookies,
        "here": lambda **changes: here(request, **changes),
        "onward": partial(onward, request),
    }
