"""One message to one address over HTTP, and what came of it: bounded in time and in what is read of the answer."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx

from ledger.clock import asked_rest_s

AFTER_MAX = timedelta(hours=1)
"""Longest that an answer's Retry-After is heeded."""
TIMEOUT_S = 10.0
"""Longest wait for a connection, and for each piece of an answer."""
WHOLE_S = 15.0
"""Longest time of a delivery, from connecting to the end of the answer: who sends a byte now and then has no more."""
_ANSWER_BYTES = 512


@dataclass(frozen=True)
class Answer:
    """What came of a try; ``error`` is None when it was taken."""

    status: int | None
    error: str | None
    duration_ms: int
    after: timedelta | None = None


class Sender:
    """Sends the messages of one endpoint, each within ``WHOLE_S`` in all.

    A blocking client bounds the wait for each piece alone: whoever sends one byte every few seconds keeps it for
    ever. A loop of its own can be left at any moment.
    """

    _under_way: asyncio.Task[Answer] | None = None
    _is_left = False

    def __enter__(self) -> Sender:
        self._loop = asyncio.Runner()
        self._inner = self._loop.get_loop()
        # Without the proxies of the environment: they would look the host up again. Messages go past the client, which
        # reads where a redirection leads also where it does not follow, and fails at odd ones; and which keeps cookies.
        trusted = httpx.create_ssl_context(trust_env=False)
        trusted.load_default_certs()  # those of the system and of SSL_CERT_FILE, as for nodes
        self._transport = httpx.AsyncHTTPTransport(verify=trusted, trust_env=False)
        self._client = httpx.AsyncClient(transport=self._transport, trust_env=False)
        return self

    def __exit__(self, *_: object) -> None:
        with self._loop:
            self._loop.run(self._client.aclose())

    def leave(self) -> None:
        """Have ``send`` return at once from now on, whatever it waits for; called by another thread."""
        with suppress(RuntimeError):  # it is done, and its loop closed
            self._inner.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        self._is_left = True
        if self._under_way is not None:
            self._under_way.cancel()

    def send(
        self, urls: Sequence[str], body: bytes, headers: dict[str, str], name: str, at: datetime
    ) -> Answer:
        """Post a message to the first address that takes a connection, and return what came of it.

        Parameters
        ----------
        name
            The host's name, for TLS.
        """
        started = time.monotonic()
        try:
            return self._loop.run(self._send(urls, body, headers, name, started, at))
        except asyncio.CancelledError:
            return Answer(None, "no answer: it was not waited for", since_ms(started))
        except TimeoutError:
            return Answer(None, f"no answer: not whole within {WHOLE_S:g} s", since_ms(started))
        except httpx.HTTPError as error:
            return Answer(None, f"no answer: {_said(error)}"[:_ANSWER_BYTES], since_ms(started))

    async def _send(
        self,
        urls: Sequence[str],
        body: bytes,
        headers: dict[str, str],
        name: str,
        started: float,
        at: datetime,
    ) -> Answer:
        if self._is_left:
            raise asyncio.CancelledError
        self._under_way = asyncio.current_task()
        timeout = httpx.Timeout(TIMEOUT_S, connect=TIMEOUT_S / len(urls))
        named = {"sni_hostname": name}
        *others, last = (
            self._client.build_request(
                "POST", url, content=body, headers=headers, extensions=named, timeout=timeout
            )
            for url in urls
        )
        end = asyncio.get_running_loop().time() + WHOLE_S
        async with asyncio.timeout_at(end):
            response = await self._answered(others, last)
        try:
            return await _read(response, started, at, end)
        finally:
            await response.aclose()

    async def _answered(self, others: list[httpx.Request], last: httpx.Request) -> httpx.Response:
        """Return the answer of the first that takes a connection; to those before it nothing was sent.

        One that takes it and fails at TLS is the first: what is wrong there is not hidden by what another one lacks.
        """
        for request in others:
            try:
                return await self._transport.handle_async_request(request)
            except httpx.ConnectTimeout:
                continue
            except httpx.ConnectError as error:
                if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
                    raise
        return await self._transport.handle_async_request(last)


async def _read(response: httpx.Response, started: float, at: datetime, end: float) -> Answer:
    """Judge an answer by its status; of a bad one the first bytes are kept, for people.

    The status counts also where the rest never comes: 410 is for good, and a rest that is asked for is heeded.

    Parameters
    ----------
    end
        Time of the loop until when the answer is read.
    """
    if response.is_success:
        return Answer(response.status_code, None, since_ms(started))
    first = b""
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout_at(end):
            async for part in response.aiter_raw():
                first += part
                if len(first) >= _ANSWER_BYTES:
                    break
    text = first[:_ANSWER_BYTES].decode("utf-8", "replace")
    text = "".join(each if each.isprintable() else " " for each in text).strip()
    where = " (redirects are not followed)" if response.is_redirect else ""
    said = f"answered {response.status_code}{where}" + (f": {text}" if text else "")
    return Answer(
        response.status_code,
        said,
        since_ms(started),
        _after(response.headers.get("retry-after"), at),
    )


def _said(error: httpx.HTTPError) -> str:
    """Return what went wrong, as the system says it where it does: the client's own words are of all attempts."""
    if isinstance(error, httpx.TimeoutException):
        return "timed out"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message.rstrip('.')})"
        if isinstance(cause, ssl.SSLError):  # has a number that is none of the system's
            return f"TLS failed ({cause.reason or cause})"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    return str(error) or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and what it came of."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _after(text: str | None, at: datetime) -> timedelta | None:
    rest = asked_rest_s(text, at)
    return None if rest is None else timedelta(seconds=min(rest, AFTER_MAX.total_seconds()))


def since_ms(started: float) -> int:
    """Return the milliseconds since a moment of ``time.monotonic``."""
    return int((time.monotonic() - started) * 1000)
