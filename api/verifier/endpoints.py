"""``/verify``: the page, which works as a saved file too."""

from __future__ import annotations

import re
from importlib import resources

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse

from api.context import refuse_others
from api.pages.language import Language, wishes_of

PAGE = resources.files("api.verifier").joinpath("verify.html").read_text(encoding="utf-8")
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">')

_TAG = '<html lang="en">'
_TITLE = ">Check a proof bundle<"
_TITLES = {Language.ENGLISH: _TITLE, Language.CHINESE: ">验证证明文件<"}
"""What the page's script writes there, too: a reader without a script, or before it runs, has it from here."""

router = APIRouter(include_in_schema=False)


def policy() -> str:
    """Return the page's own policy, and what only a header can say: nobody may frame it."""
    found = _POLICY.search(PAGE)
    if found is None:
        raise ValueError("verify.html has no policy")
    return f"{found[1]}; frame-ancestors 'none'"


@router.get("/verify")
def show_verifier(request: Request) -> HTMLResponse:
    """Return the verifier for a browser: it checks a bundle where it is, and sends nothing.

    Raises
    ------
    Problem
        If something else than the language is asked for.
    """
    refuse_others(request, ("lang", "theme"))
    wishes = wishes_of(request)
    body = PAGE.replace(_TAG, f'<html lang="{wishes.language.tag}">', 1)
    body = body.replace(_TITLE, _TITLES[wishes.language])
    headers = {"Content-Security-Policy": policy(), "Vary": "Accept-Language, Cookie"}
    response = HTMLResponse(body, headers=headers)
    wishes.remember(request, response)
    return response
