"""Signatures of messages, as Standard Webhooks has them (standardwebhooks.com, version 1): pure functions."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """Return a new secret of 256 bits, as it is shown to whoever checks the signatures."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def headers(
    secrets_: Iterable[str], message_id: str, timestamp_s: int, body: str
) -> dict[str, str]:
    """Return the three headers of a message.

    Parameters
    ----------
    secrets_
        Secrets to sign with; more than one while one takes the place of another.
    timestamp_s
        When it is sent, s since 1970; part of what is signed, so that an old message cannot be sent again.
    """
    signed = f"{message_id}.{timestamp_s}.{body}".encode()
    signatures = [f"v1,{_hmac(secret, signed)}" for secret in secrets_]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(signatures),
    }


def _hmac(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
