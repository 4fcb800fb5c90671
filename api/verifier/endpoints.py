"""``/verify``: the page, which works as a saved file too."""

from __future__ import annotations

import re
from importlib import resources

from fastapi import APIRouter, Depends
from starlette.responses import HTMLResponse

from api.context import no_query

PAGE = resources.files("api.verifier").joinpath("verify.html").read_text(encoding="utf-8")
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">')

router = APIRouter(include_in_schema=False, dependencies=[Depends(no_query)])


def policy() -> str:
    """Return the page's own policy, and what only a header can say: nobody may frame it."""
    found = _POLICY.search(PAGE)
    if found is None:
        raise ValueError("verify.html has no policy")
    return f"{found[1]}; frame-ancestors 'none'"


@router.get("/verify")
def show_verifier() -> HTMLResponse:
    """Return the verifier for a browser: it checks a bundle where it is, and sends nothing."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": policy()})
