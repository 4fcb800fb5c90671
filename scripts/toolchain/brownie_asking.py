"""Has Brownie ask a node again that is out of reach for a moment, or asked too much.

By itself it gives up at the first connection that breaks, at the first refusal in the body of an answer, and after two
seconds of refusals by HTTP. And what it sent twice, as the first answer got lost, it takes for refused: the node says
that it knows it.
"""

import json
import time
from datetime import UTC, datetime
from typing import Any

from eth_utils.crypto import keccak
from requests import HTTPError, RequestException

from ledger.chain.node.refusals import is_rate, told
from ledger.clock import asked_rest_s

ASKING_S = 20.0
"""How long a node that does not answer is asked again, in seconds."""
_PAUSE_S = 0.25
_PAUSE_S_MAX = 4.0
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
"""Answers of HTTP that soon may be others."""
_SENDING = "eth_sendRawTransaction"


def ask_again(web3: Any, asking_s: float = ASKING_S) -> None:
    """Ask again where a node does not answer for a moment; once for each connection.

    Parameters
    ----------
    web3
        Brownie's, connected by HTTP.
    asking_s
        For how long, in seconds.
    """
    provider = web3.provider
    manager = getattr(provider, "_request_session_manager", None)
    if manager is None or getattr(manager, "asks_again", False):
        return
    post = manager.make_post_request

    def posted(place: Any, body: bytes, **given: Any) -> bytes:
        until, pause = time.monotonic() + asking_s, _PAUSE_S
        sent_before = False
        while True:
            rest: float | None = None
            try:
                answer: bytes = post(place, body, **given)
            except RequestException as error:
                rest = _rest_s(error)
                if rest is None or time.monotonic() + max(rest, pause) >= until:
                    raise
            else:
                if sent_before:
                    answer = _of_sent_twice(body, answer, lambda asked: post(place, asked, **given))
                if not _is_rate(answer) or time.monotonic() + pause >= until:
                    return answer
            sent_before = sent_before or (rest is not None and _method(body) == _SENDING)
            time.sleep(max(rest or 0.0, pause))
            pause = min(2 * pause, _PAUSE_S_MAX)

    provider.exception_retry_configuration = None  # its own, five times for each of ours
    manager.make_post_request = posted
    manager.asks_again = True


def _rest_s(error: RequestException) -> float | None:
    """Return how long a node asks to be left alone, 0 where it says nothing of it; None: it will answer the same."""
    if not isinstance(error, HTTPError) or error.response is None:
        return 0.0
    if error.response.status_code not in _BUSY:
        return None
    return asked_rest_s(error.response.headers.get("Retry-After"), datetime.now(UTC)) or 0.0


def _method(body: bytes) -> str | None:
    """Return what a request asks; None of several in one."""
    asked = json.loads(body)
    return asked.get("method") if isinstance(asked, dict) else None


def _error(answer: bytes) -> Any:
    try:
        found = json.loads(answer)
    except ValueError:  # a gateway's page: who asked says so
        return None
    return found.get("error") if isinstance(found, dict) else None


def _is_rate(answer: bytes) -> bool:
    """Return whether an answer says that within this moment too much was asked."""
    return is_rate(*told(_error(answer)))


def _of_sent_twice(body: bytes, answer: bytes, post: Any) -> bytes:
    """Return the answer to a transaction that was sent again: its hash, where the node refuses it and has it."""
    if _error(answer) is None:
        return answer
    asked = json.loads(body)
    tx_hash = "0x" + keccak(hexstr=asked["params"][0]).hex()
    look = {**asked, "method": "eth_getTransactionByHash", "params": [tx_hash]}
    try:
        found = json.loads(post(json.dumps(look).encode())).get("result")
    except (RequestException, ValueError, AttributeError):
        return answer
    if found is None:
        return answer
    return json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "result": tx_hash}).encode()
