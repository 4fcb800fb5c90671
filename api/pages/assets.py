"""What a browser asks for beside the pages: styles, scripts, and the verifier's code, each under the hash of its bytes.

The address of a file changes with its content, so that a browser keeps it for good.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from api.verifier.endpoints import PAGE

_FOLDER = resources.files("api.pages") / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
FILES = (
    "app.css",
    "chart.js",
    "missed.js",
    "prove.js",
    "mark.svg",
    "vendor/htmx.min.js",
    "vendor/htmx.LICENSE.txt",
    "vendor/uPlot.iife.min.js",
    "vendor/uPlot.min.css",
    "vendor/uPlot.LICENSE.txt",
)
VERIFIER = "verifier.js"
"""The script of the page ``/verify`` as a module: one source, two places."""
_SCRIPT = re.compile(r"<script>\n(.*?)</script>", re.DOTALL)


@dataclass(frozen=True)
class Asset:
    """A file as it is served."""

    body: bytes
    media_type: str
    version: str


@cache
def assets() -> dict[str, Asset]:
    """Return all files by their names."""
    bodies = {name: _FOLDER.joinpath(name).read_bytes() for name in FILES}
    bodies[VERIFIER] = verifier_module().encode()
    return {
        name: Asset(body, _TYPES["." + name.rpartition(".")[2]], _version(body))
        for name, body in bodies.items()
    }


def address(name: str) -> str:
    """Return the address of a file.

    Raises
    ------
    KeyError
        If there is none of that name.
    """
    return f"/static/{assets()[name].version}/{name}"


def verifier_module() -> str:
    """Return the verifier's code with what a page needs of it exported.

    Raises
    ------
    ValueError
        If the page has no script.
    """
    found = _SCRIPT.search(PAGE)
    if found is None:
        raise ValueError("verify.html has no script")
    return f"{found[1]}\nexport {{ verify, ProofError, inWords, spelled }};\n"


def _version(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
