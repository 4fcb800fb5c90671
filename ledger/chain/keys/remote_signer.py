"""Keys that another process keeps: asked over JSON-RPC, and never believed.

Any service that answers ``eth_accounts``, ``eth_signTransaction`` and ``eth_signTypedData_v4`` serves, such as
web3signer, a geth with Clef behind it, or Anvil. The bytes that come back are read again, and compared with
what was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data

from ledger.chain.keys import signed
from ledger.chain.keys.typed_data import SIGNATURE_BYTES, as_contracts_take_it
from ledger.chain.node.client import ChainClient, RpcError
from ledger.errors import BadInput, DependencyDown
from ledger.settings import redacted

ANSWER_SECONDS_MAX = 15.0
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})+", re.ASCII)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


class SignerDown(DependencyDown):
    """The remote signer does not answer, or does not sign."""

    default_code = "signer-down"


class SignerLied(DependencyDown):
    """The remote signer handed back something else than what was asked for."""

    default_code = "signer-lied"


class SignerService:
    """One remote signer, with the accounts that it signs for.

    Parameters
    ----------
    url
        Its address.
    timeout_s
        Seconds to wait for an answer.
    """

    def __init__(self, url: str, timeout_s: float = ANSWER_SECONDS_MAX) -> None:
        self.place = redacted(url)
        self._client = ChainClient(url, timeout_s)
        self._accounts: tuple[str, ...] | None = None

    def accounts(self) -> tuple[str, ...]:
        """Return the accounts that it signs for, lower-case; it is asked once.

        Raises
        ------
        SignerDown
            If it does not answer.
        """
        if self._accounts is None:
            found = self.ask("eth_accounts", [])
            if not isinstance(found, list) or not all(_is(_ADDRESS, item) for item in found):
                raise SignerDown(
                    f"the signer at {self.place} lists no accounts; correct signer_url"
                )
            self._accounts = tuple(item.lower() for item in found)
        return self._accounts

    def signer(self, address: str) -> RemoteSigner:
        """Return the signer of one of its accounts."""
        return RemoteSigner(self, address.lower())

    def ask(self, method: str, params: Sequence[Any]) -> Any:
        """Ask it, and return the answer as it is.

        Raises
        ------
        SignerDown
            If it does not answer in time, or refuses.
        """
        try:
            return self._client.request(method, params)
        except RpcError as error:
            raise SignerDown(
                f"the signer at {self.place} refuses {method}: {error.rpc_message}; nothing was signed: "
                "see its log, then repeat the command",
                code="signer-refused",
            ) from error
        except (DependencyDown, BadInput) as error:
            raise SignerDown(
                f"the signer at {self.place} does not answer {method}; nothing was signed: start it, or correct "
                "signer_url"
            ) from error


class RemoteSigner:
    """An account whose key a remote signer keeps."""

    def __init__(self, service: SignerService, address: str) -> None:
        self._service = service
        self._address = address

    @property
    def address(self) -> str:
        """The account's address, lower-case."""
        return self._address

    def sign_transaction(self, transaction: Mapping[str, Any]) -> tuple[str, str]:
        """Return raw signed transaction and its hash.

        Raises
        ------
        SignerDown
            If the signer does not answer in time, or refuses.
        SignerLied
            If it signed another transaction, or as somebody else.
        """
        data = transaction["data"]
        asked = {
            "from": self._address,
            "to": transaction["to"],
            "data": data,
            # Some read one name, some the other; none minds both when they are equal.
            "input": data,
            **{
                name: hex(transaction[name])
                for name in (
                    "type",
                    "chainId",
                    "nonce",
                    "value",
                    "gas",
                    "maxFeePerGas",
                    "maxPriorityFeePerGas",
                )
            },
        }
        answer = self._service.ask("eth_signTransaction", [asked])
        raw = answer.get("raw") if isinstance(answer, dict) else answer  # geth says both ways
        if not isinstance(raw, str) or not _HEX.fullmatch(raw):
            raise self._lied("a transaction", "it is no hexadecimal text")
        try:
            wrong = signed.differences(raw, transaction, self._address)
        except ValueError as error:
            raise self._lied("a transaction", str(error)) from error
        if wrong:
            raise self._lied("a transaction", ", ".join(wrong))
        return raw.lower(), signed.hash_of(raw)

    def sign_typed_data(self, message: Mapping[str, Any]) -> bytes:
        """Return the 65-byte EIP-712 signature of a message.

        Raises
        ------
        SignerDown
            If the signer does not answer in time, or refuses.
        SignerLied
            If it is no signature of this message by this account.
        """
        answer = self._service.ask("eth_signTypedData_v4", [self._address, json_ready(message)])
        if not _is(_HEX, answer) or len(answer) != 2 + 2 * SIGNATURE_BYTES:
            raise self._lied("a message", "it is no signature of 65 bytes")
        signature = as_contracts_take_it(bytes.fromhex(answer[2:]))
        try:
            signed_by = Account.recover_message(
                encode_typed_data(full_message=dict(message)), signature=signature
            )
        except Exception as error:  # whatever the bytes make of it
            raise self._lied(
                "a message", f"its signature names nobody ({type(error).__name__})"
            ) from error
        if str(signed_by).lower() != self._address:
            raise self._lied(
                "a message", f"signed by {str(signed_by).lower()}, not {self._address}"
            )
        return signature

    def _lied(self, what: str, how: str) -> SignerLied:
        return SignerLied(
            f"the signer at {self._service.place} signed {what} that nobody asked for: {how}; it was thrown away: "
            "do not use this signer before you know why"
        )


def json_ready(value: Any) -> Any:
    """Return typed data as JSON can carry it: bytes as hexadecimal text, large integers as text."""
    if isinstance(value, Mapping):
        return {name: json_ready(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return "0x" + bytes(value).hex()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    return value


def _is(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
