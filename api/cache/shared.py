"""A Redis in which several processes keep their answers. It may be slow, full or gone: then it rests for a while."""

from __future__ import annotations

import hashlib
import logging
import time
from importlib import metadata

import msgspec
from redis import Redis as Plain
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.cache.answers import Answer, Stamp
from ledger.errors import DependencyDown
from ledger.settings import Settings, redacted

KEPT_S = 3600
"""How long Redis keeps an answer that nobody threw out, in seconds."""
REST_S = 5.0
"""How long a Redis that failed is not asked, in seconds."""
WAIT_S = 0.25
"""How long it may take to answer, in seconds."""

_log = logging.getLogger("truetonne.api")
_decode = msgspec.msgpack.Decoder(Answer).decode
_encode = msgspec.msgpack.Encoder().encode


class SharedShelf:
    """Answers in a Redis.

    Parameters
    ----------
    settings
        Where it is; what else an answer depends on (database, network, rule of finality) is part of its key.
    """

    def __init__(self, settings: Settings) -> None:
        self._redis = Redis.from_url(
            settings.cache_url, socket_timeout=WAIT_S, socket_connect_timeout=WAIT_S
        )
        self._place = redacted(settings.cache_url)
        # A process of another release may answer otherwise, and so may one with other settings.
        self._ours = repr(
            (
                metadata.version("truetonne"),
                settings.chain_folder.name,
                settings.network,
                settings.finality,
                settings.public_url,
            )
        )
        self._rests_until = 0.0

    @property
    def awake(self) -> bool:
        """Whether it is asked; not for a while after it failed."""
        return time.monotonic() >= self._rests_until

    async def get(self, stamp: Stamp, call: str) -> Answer | None:
        """Return the answer to a call in that state of the books, if it is there."""
        if not self.awake:
            return None
        try:
            found: bytes | None = await self._redis.get(self._key(stamp, call))  # type: ignore[assignment]
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)
            return None
        try:
            return None if found is None else _decode(found)
        except msgspec.DecodeError:  # none of ours; the next answer replaces it
            return None

    async def put(self, stamp: Stamp, call: str, answer: Answer) -> None:
        """Keep an answer."""
        if not self.awake:
            return
        try:
            await self._redis.set(self._key(stamp, call), _encode(answer), ex=KEPT_S)
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _rest(self, error: Exception) -> None:
        self._rests_until = time.monotonic() + REST_S
        _log.warning("no answers from the cache at %s for %d s: %s", self._place, REST_S, error)

    def _key(self, stamp: Stamp, call: str) -> str:
        text = "\n".join((self._ours, repr(stamp), call))
        return f"truetonne:{hashlib.blake2b(text.encode(), digest_size=20).hexdigest()}"


def reach(cache_url: str) -> None:
    """Ask a Redis for an answer.

    Raises
    ------
    DependencyDown
        If there is none.
    """
    try:
        with Plain.from_url(
            cache_url, socket_timeout=WAIT_S, socket_connect_timeout=WAIT_S
        ) as asked:
            asked.ping()
    except (RedisError, OSError, ValueError) as error:
        raise DependencyDown(
            f"cache {redacted(cache_url)}: {error}; start Redis, or unset cache_url",
            code="cache-down",
        ) from error
