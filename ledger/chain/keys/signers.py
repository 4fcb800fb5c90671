"""Keys, behind one interface: an account that can sign transactions and typed data.

On a local Anvil the well-known development keys serve; elsewhere keys come from keystore files
(version 3) whose password stands in a file. Nothing here sends anything.

eth_account is imported where a key is used, and not before: it takes a third of a second, and most of who opens
a chain only reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tiny_keccak import keccak256

from ledger.chain.fees import TRANSACTION_GAS_MAX
from ledger.chain.keys.keystore import files_of, is_open
from ledger.errors import BadInput
from ledger.settings import LOCAL_CHAIN_ID, Settings

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from ledger.chain.keys.remote_signer import SignerService

# The accounts that every Anvil and Hardhat node starts with: published development keys
# (mnemonic "test test test test test test test test test test test junk"). They guard nothing.
_ANVIL_KEYS = (
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "0x4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
)
NO_KEY = "no-key"
"""Code of the error that no key of an account is at hand."""
ANVIL_ROLES = {
    "admin": 0,
    "registrar": 1,
    "issuer": 2,
    "verifier": 3,
    "owner": 4,
    "buyer": 5,
    "market": 6,
    "operator": 7,
    "pauser": 8,
    "reverser": 9,
    "spare": 9,
}
"""Which well-known account plays which part on a local chain."""


class Signer(Protocol):
    """An account that signs."""

    @property
    def address(self) -> str:
        """The account's address, lower-case."""

    def sign_transaction(self, transaction: Mapping[str, Any]) -> tuple[str, str]:
        """Return raw signed transaction and its hash, both hexadecimal text with ``0x``."""

    def sign_typed_data(self, message: Mapping[str, Any]) -> bytes:
        """Return the 65-byte EIP-712 signature of a message."""


class LocalSigner:
    """A signer whose key is in this process's memory."""

    def __init__(self, account: LocalAccount) -> None:
        self._account = account

    @property
    def address(self) -> str:
        """The account's address, lower-case."""
        return str(self._account.address).lower()

    def sign_transaction(self, transaction: Mapping[str, Any]) -> tuple[str, str]:
        """Return raw signed transaction and its hash."""
        signed = self._account.sign_transaction(dict(transaction))
        return "0x" + bytes(signed.raw_transaction).hex(), "0x" + bytes(signed.hash).hex()

    def sign_typed_data(self, message: Mapping[str, Any]) -> bytes:
        """Return the 65-byte EIP-712 signature of a message."""
        from eth_account.messages import encode_typed_data

        signed = self._account.sign_message(encode_typed_data(full_message=dict(message)))
        return bytes(signed.signature)


class Keyring:
    """The signers at hand, by address: keys of this process, and those that a service keeps."""

    def __init__(self, signers: Mapping[str, Signer], service: SignerService | None = None) -> None:
        self._signers = {address.lower(): signer for address, signer in signers.items()}
        self._service = service

    @property
    def gas_max(self) -> int:
        """The most gas for which its signers sign a transaction."""
        return TRANSACTION_GAS_MAX

    def signer(self, address: str, purpose: str) -> Signer:
        """Return the signer of an address.

        Raises
        ------
        BadInput
            If no key for the address is at hand.
        DependencyDown
            If a remote signer is to be asked, and does not answer.
        """
        wanted = address.lower()
        if wanted in self._signers:
            return self._signers[wanted]
        if self._service is not None and wanted in self._service.accounts():
            return self._service.signer(wanted)
        where = f" or in the signer at {self._service.place}" if self._service else ""
        raise BadInput(
            f"no key for {address}, which is needed to {purpose}; put its keystore file into the "
            f"keystore folder{where}, or name an account whose key is there",
            code=NO_KEY,
        )

    def check_transaction(self, address: str, asked: Mapping[str, Any]) -> None:
        """Refuse what would be refused at signing, before anything is signed; here nothing is.

        Parameters
        ----------
        address
            The account that shall sign.
        asked
            The transaction, with the names of JSON-RPC.
        """

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that can sign."""
        remote = self._service.accounts() if self._service is not None else ()
        return tuple(dict.fromkeys((*self._signers, *remote)))


def anvil_address(index: int) -> str:
    """Return the address of one of Anvil's well-known accounts, lower-case.

    Raises
    ------
    BadInput
        If there is no such account.
    """
    return anvil_signer(index).address


def anvil_signer(index: int) -> LocalSigner:
    """Return the signer of one of Anvil's well-known accounts.

    Raises
    ------
    BadInput
        If there is no such account.
    """
    if not 0 <= index < len(_ANVIL_KEYS):
        raise BadInput(f"Anvil's well-known accounts are numbered 0 to 9, found {index}")
    return _signer_of(_ANVIL_KEYS[index])


def _signer_of(key: str | bytes) -> LocalSigner:
    from eth_account import Account

    return LocalSigner(Account.from_key(key))


def resolve_account(text: str, chain_id: int) -> str:
    """Return an account as an address: ``0x...`` as it is, ``anvil:N`` on a local chain.

    Raises
    ------
    BadInput
        If the text is neither, or names a well-known account on a chain that is not local.
    """
    if text.startswith("anvil:"):
        number = text.removeprefix("anvil:")
        if chain_id != LOCAL_CHAIN_ID:
            raise BadInput(
                f"{text}: Anvil's accounts are public keys and serve on chain {LOCAL_CHAIN_ID} alone"
            )
        if not number.isascii() or not number.isdigit():
            raise BadInput(f"{text}: write anvil:0 to anvil:9")
        return anvil_address(int(number))
    body = text.removeprefix("0x")
    if not text.startswith("0x") or len(body) != 40 or set(body) - set("0123456789abcdefABCDEF"):
        here = ", or anvil:0 to anvil:9 on this local chain" if chain_id == LOCAL_CHAIN_ID else ""
        raise BadInput(f"{text!r} is not an account; write 0x and 40 hexadecimal digits{here}")
    if body not in (body.lower(), body.upper()) and not _has_checksum(text):
        raise BadInput(
            f"{text}: its capitals are not the account's checksum (EIP-55); look for a typing error"
        )
    return text.lower()


def _has_checksum(address: str) -> bool:
    from eth_utils.address import to_checksum_address

    return address == to_checksum_address(address)


def load_keyring(settings: Settings, chain_id: int) -> Keyring:
    """Return the keys that the settings give.

    Anvil's well-known keys are taken on the local chain id alone, and only when neither a keystore nor a
    remote signer is set. A remote signer is asked when one of its keys is needed, and not before.

    Raises
    ------
    BadInput
        If the keystore or its password cannot be read, or the password file is open to others.
    """
    service = _service(settings.signer_url) if settings.signer_url else None
    if settings.keystore is None:
        if service is not None or chain_id != LOCAL_CHAIN_ID:
            return Keyring({}, service)
        signers = [anvil_signer(index) for index in range(len(_ANVIL_KEYS))]
        return Keyring({signer.address: signer for signer in signers})
    password = keystore_password(settings.keystore_password_file)
    found: dict[str, Signer] = {}
    for file in files_of(settings.keystore):
        signer = _unlock(file, password)
        found[signer.address] = signer
    return Keyring(found, service)


def _service(url: str) -> SignerService:
    from ledger.chain.keys.remote_signer import SignerService

    return SignerService(url)


def keystore_password(file: Path | None) -> str:
    """Return the password of the keystore files, as its file has it, without the line's end.

    Raises
    ------
    BadInput
        If no file is set, or it cannot be read, is no text, or is open to others.
    """
    if file is None:
        raise BadInput(
            "keystore is set, but keystore_password_file is not; name the file that has the password"
        )
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"keystore_password_file: {file} cannot be read ({error.strerror}); name a file that this user may read"
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"keystore_password_file: {file} is not text in UTF-8") from error
    if is_open(mode):
        raise BadInput(f"keystore_password_file: {file} is open to others; chmod 600 {file}")
    return text.rstrip("\r\n")


def _unlock(file: Path, password: str) -> LocalSigner:
    from eth_account import Account

    try:
        key = Account.decrypt(json.loads(file.read_text(encoding="utf-8")), password)
        return _signer_of(key)
    # A keystore is whatever somebody put into the folder: eth-keyfile looks up what it likes in it.
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        NotImplementedError,
    ) as error:
        raise BadInput(
            f"keystore: {file} cannot be unlocked ({type(error).__name__}: {error}); correct the password, "
            "or take the file out of the folder"
        ) from error


def new_signer() -> LocalSigner:
    """Return the signer of a new random key, which is kept nowhere: for measurements."""
    from eth_account import Account

    return LocalSigner(Account.create())


def derived_signer(name: str) -> LocalSigner:
    """Return the signer of a key that everybody can compute from its name: for measurements."""
    return _signer_of(keccak256(f"truetonne {name}".encode()))
