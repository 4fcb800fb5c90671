"""Keys: Anvil's on a local chain alone, keystore files elsewhere, and what is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account
from eth_keys import keys
from eth_keys.backends.coincurve import CoinCurveECCBackend
from eth_keys.backends.native import NativeECCBackend
from tiny_keccak import keccak256

from ledger.chain.keys import signed
from ledger.chain.keys.signers import (
    ANVIL_ROLES,
    Keyring,
    anvil_address,
    anvil_signer,
    load_keyring,
    resolve_account,
)
from ledger.chain.node.records import Authorization
from ledger.errors import BadInput
from ledger.settings import Settings, load_settings

FIRST = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
FIRST_CHECKED = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
KEY = "0x" + "11" * 32
KEY_ADDRESS = "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a"


def settings_with(keystore: Path | None, password_file: Path | None) -> Settings:
    base = load_settings(None, {})
    return replace(base, keystore=keystore, keystore_password_file=password_file)


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("correct horse\n", encoding="utf-8")
    file.chmod(0o600)
    return file


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    content = Account.encrypt(bytes.fromhex(KEY[2:]), "correct horse", kdf="pbkdf2", iterations=2)
    (folder / "sender.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "sender.json").chmod(0o600)
    (folder / ".DS_Store").write_bytes(b"\xff")
    (folder / "old").mkdir()
    return folder


def test_signatures_are_those_of_the_curve_in_python() -> None:
    """Keys sign by libsecp256k1; nonces are those of RFC 6979, so that a second implementation says the same."""
    assert isinstance(keys.backend, CoinCurveECCBackend)
    python = NativeECCBackend()
    for number in range(1, 9):
        key = keys.PrivateKey(keccak256(b"key %d" % number))
        message = keccak256(b"message %d" % number)
        signature = key.sign_msg_hash(message)
        assert signature == python.ecdsa_sign(message, key)
        assert python.ecdsa_recover(message, signature) == key.public_key
        assert signature.recover_public_key_from_msg_hash(message) == key.public_key


def test_anvil_s_accounts_are_those_of_its_mnemonic() -> None:
    Account.enable_unaudited_hdwallet_features()
    words = "test " * 11 + "junk"
    for number in range(10):
        expected = Account.from_mnemonic(words, account_path=f"m/44'/60'/0'/0/{number}").address
        assert anvil_address(number) == expected.lower()
    assert set(ANVIL_ROLES.values()) == set(range(10))


@pytest.mark.parametrize("number", [-1, 10])
def test_there_are_ten_of_them(number: int) -> None:
    with pytest.raises(BadInput, match="0 to 9"):
        anvil_signer(number)


@pytest.mark.parametrize(
    "text", [FIRST, FIRST_CHECKED, "0x" + FIRST[2:].upper(), "anvil:0", "anvil:00"]
)
def test_accounts_as_people_write_them(text: str) -> None:
    assert resolve_account(text, 31337) == FIRST


@pytest.mark.parametrize(
    ("text", "chain_id", "said"),
    [
        ("anvil:0", 1, "chain 31337 alone"),
        ("anvil:", 31337, "write anvil:0 to anvil:9"),
        ("anvil:x", 31337, "write anvil:0 to anvil:9"),
        ("anvil:10", 31337, "0 to 9"),
        ("anvil:-1", 31337, "write anvil:0"),
        ("", 1, "not an account"),
        ("VPP-1", 31337, "hexadecimal digits, or anvil:0 to anvil:9 on this local chain"),
        (FIRST[2:], 1, "not an account"),
        (FIRST[:-1], 1, "not an account"),
        (FIRST + "0", 1, "not an account"),
        (FIRST[:-1] + "g", 1, "not an account"),
        (" " + FIRST, 1, "not an account"),
        (FIRST_CHECKED.replace("Fd6", "fd6"), 1, "checksum"),
        (FIRST_CHECKED[:-1] + "5", 1, "checksum"),
    ],
)
def test_accounts_that_are_refused(text: str, chain_id: int, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        resolve_account(text, chain_id)


def test_published_keys_serve_on_the_local_chain_alone() -> None:
    settings = settings_with(None, None)
    assert len(load_keyring(settings, 31337).addresses) == 10
    assert load_keyring(settings, 1).addresses == ()


def test_a_key_from_a_keystore(keystore: Path, password_file: Path) -> None:
    for chain_id in (1, 31337):  # never the published ones beside it
        keyring = load_keyring(settings_with(keystore, password_file), chain_id)
        assert keyring.addresses == (KEY_ADDRESS,)
    signer = keyring.signer(KEY_ADDRESS.upper().replace("0X", "0x"), "test")
    raw, tx_hash = signer.sign_transaction(
        {
            "type": 2,
            "chainId": 7,
            "nonce": 3,
            "to": FIRST_CHECKED,
            "value": 0,
            "data": "0x",
            "gas": 21000,
            "maxFeePerGas": 2,
            "maxPriorityFeePerGas": 1,
        }
    )
    assert Account.recover_transaction(raw).lower() == KEY_ADDRESS
    assert re.fullmatch("0x[0-9a-f]{64}", tx_hash)


def test_no_key_names_what_it_is_needed_for() -> None:
    with pytest.raises(BadInput, match="no key for 0x00, which is needed to send issue") as caught:
        Keyring({}).signer("0x00", "send issue")
    assert caught.value.code == "no-key"


def test_a_password_file_that_others_can_read(keystore: Path, password_file: Path) -> None:
    password_file.chmod(0o640)
    with pytest.raises(BadInput, match="open to others; chmod 600"):
        load_keyring(settings_with(keystore, password_file), 1)


def test_a_key_file_that_others_can_read_signs(keystore: Path, password_file: Path) -> None:
    """It is encrypted: `keys list` and `doctor` tell of it, and the key signs."""
    (keystore / "sender.json").chmod(0o644)
    assert load_keyring(settings_with(keystore, password_file), 1).addresses


def test_a_keystore_without_a_password(keystore: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="keystore_password_file is not"):
        load_keyring(settings_with(keystore, None), 1)
    with pytest.raises(BadInput, match="cannot be read"):
        load_keyring(settings_with(keystore, tmp_path / "none"), 1)


def test_a_keystore_that_is_no_folder(password_file: Path) -> None:
    with pytest.raises(BadInput, match="Not a directory"):
        load_keyring(settings_with(password_file, password_file), 1)


def test_a_password_that_is_no_text(keystore: Path, password_file: Path) -> None:
    password_file.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="is not text in UTF-8"):
        load_keyring(settings_with(keystore, password_file), 1)


def test_a_wrong_password_does_not_show(keystore: Path, password_file: Path) -> None:
    password_file.write_text("battery staple", encoding="utf-8")
    with pytest.raises(BadInput, match=r"sender\.json cannot be unlocked") as caught:
        load_keyring(settings_with(keystore, password_file), 1)
    assert "battery" not in caught.value.message


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "null", "7", "not json", '{"version": 1}', '{"version": 3}', "{" * 40],
    ids=range(9),
)
def test_a_file_that_is_no_keystore(keystore: Path, password_file: Path, content: str) -> None:
    (keystore / "stray").write_text(content, encoding="utf-8")
    with pytest.raises(BadInput, match="stray cannot be unlocked"):
        load_keyring(settings_with(keystore, password_file), 1)


def test_who_signed_to_take_on_code_is_found_and_a_malleable_signature_names_nobody() -> None:
    """EIP-7702 counts a nonce as used only where ``s`` is in the lower half; eth_account signs."""
    account = Account.from_key(KEY)
    target = "0x" + "12" * 20
    made = account.sign_authorization({"chainId": 5, "address": target, "nonce": 7})
    found = Authorization(5, target, 7, made.y_parity, made.r, made.s)
    assert signed.authority_of(found) == account.address.lower()
    other = Authorization(5, target, 7, 1 - made.y_parity, made.r, signed.CURVE_ORDER - made.s)
    assert signed.authority_of(other) is None
    assert signed.authority_of(Authorization(5, target, 7, made.y_parity, 0, made.s)) is None
    assert signed.authority_of(Authorization(5, target, 8, made.y_parity, made.r, made.s)) != (
        account.address.lower()
    )
