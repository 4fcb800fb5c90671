"""How a script ends that cannot go on: with one line, an exit code, and nothing that is secret in a node's address."""

import sys
import traceback
from typing import NoReturn

from requests import RequestException

from ledger.chain.node.refusals import told
from ledger.errors import DependencyDown, TruetonneError
from ledger.settings import redacted, without_secrets


def end(script: str, error: TruetonneError) -> NoReturn:
    """End a script with an error's line and exit code."""
    print(f"{script}: {error.message}", file=sys.stderr)
    sys.exit(error.exit_code)


def end_with(script: str, error: Exception, rpc_url: str, after: str = "") -> NoReturn:
    """End a script with whatever Brownie, web3 or the system made of what went wrong.

    Where it came from is printed as well, unless the node was out of reach: of that the line says all.

    Parameters
    ----------
    rpc_url
        The node's address: what is secret in it is shown nowhere.
    after
        What became of the work until then, appended to the line.
    """
    if isinstance(error, TruetonneError):
        end(script, error)
    if isinstance(error, OSError) and error.filename is not None:
        end(script, DependencyDown(f"{error.filename}: {error.strerror}{after}"))
    if not isinstance(error, RequestException):
        print(without_secrets(traceback.format_exc().rstrip(), rpc_url), file=sys.stderr)
    end(script, DependencyDown(f"{_said(error, rpc_url)}{after}"))


def _said(error: Exception, rpc_url: str) -> str:
    """Return in one line what a library made of a node's refusal, or of its silence."""
    if isinstance(error, RequestException):
        place = redacted(rpc_url)
        if error.response is not None:
            return f"{place} answers HTTP {error.response.status_code}"
        return f"no node answers at {place} ({type(error).__name__})"
    parts = (told(part)[1] or part if isinstance(part, dict) else part for part in error.args)
    said = " ".join(map(str, parts)) or type(error).__name__
    return without_secrets(f"the node refused: {said}", rpc_url)
