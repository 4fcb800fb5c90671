"""Keys that another process keeps: what it hands back is read again, and never believed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import rlp
from eth_account import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.chain.contracts.events import Claim
from ledger.chain.contracts.structs import claim_typed_data
from ledger.chain.fees import Fees
from ledger.chain.keys import signed
from ledger.chain.keys.remote_signer import SignerDown, SignerLied, SignerService
from ledger.chain.keys.signed import Unsigned
from ledger.chain.keys.signers import anvil_address, anvil_signer, load_keyring
from ledger.errors import BadInput
from ledger.settings import load_settings
from tests.support.forms import times
from tests.support.remote_signer import running_signer

ME = anvil_address(5)
ASKED = Unsigned(
    31337, 7, "0x" + "ab" * 20, "0x" + "00ff" * 40, 123_456, Fees(3_000_000_000, 1_000_000_000)
).as_mapping()
CLAIM = Claim(
    "0x" + "11" * 32, 1, 1, 1, 1000, 1, 2, 0, 0, "0x" + "22" * 32, 1000, "0x" + "33" * 32,
    "0x" + "44" * 32, ME, 2**63,
)  # fmt: skip
MESSAGE = claim_typed_data(CLAIM, 31337, "0x" + "ab" * 20)
KEY = anvil_signer(5)._account.key
SECP256K1_N = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""The order of the curve's group: SEC 2, 2.4.1."""


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    with running_signer() as url:
        yield url


def lying(place: str, lie: str, timeout_s: float = 10) -> Any:
    return SignerService(f"{place}/lie/{lie}", timeout_s).signer(ME)


def test_it_signs_what_a_key_of_our_own_would(place: str) -> None:
    service = SignerService(place)
    assert service.accounts() == tuple(anvil_address(number) for number in range(10))
    signer = service.signer(ME)
    assert signer.address == ME
    assert signer.sign_transaction(ASKED) == anvil_signer(5).sign_transaction(ASKED)
    assert signer.sign_typed_data(MESSAGE) == anvil_signer(5).sign_typed_data(MESSAGE)


@pytest.mark.parametrize("way", ["geth", "upper"])
def test_other_ways_to_say_it(place: str, way: str) -> None:
    assert lying(place, way).sign_transaction(ASKED) == anvil_signer(5).sign_transaction(ASKED)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("chainId=1", "chain id is 31338, not 31337"),
        ("nonce=1", "nonce is 8, not 7"),
        ("nonce=-1", "nonce is 6, not 7"),
        ("to=0x" + "cd" * 20, "to is 0x" + "cd" * 20),
        ("data=0x00", "data is 0x00, not 0x00ff00ff"),
        ("value=1", "value is 1, not 0"),
        ("gas=1", "gas is 123457, not 123456"),
        ("maxFeePerGas=1", "highest fee is 3000000001"),
        ("maxPriorityFeePerGas=1", "tip is 1000000001"),
        ("sender=4", f"sender is {anvil_address(4)}, not {ME}"),
        ("access", "access list is"),
        ("legacy", "it is no transaction of type 2"),
        ("short", "it is no list of fields"),
        ("text", "it is no hexadecimal text"),
        ("nothing", "it is no hexadecimal text"),
    ],
)
def test_a_lie_about_a_transaction(place: str, lie: str, said: str) -> None:
    with pytest.raises(SignerLied) as caught:
        lying(place, lie).sign_transaction(ASKED)
    assert said in caught.value.message
    assert "it was thrown away" in caught.value.message
    assert (caught.value.exit_code, caught.value.code) == (3, "signer-lied")


@settings(
    max_examples=times(12, 60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    field=st.sampled_from(
        ["chainId", "nonce", "value", "gas", "maxFeePerGas", "tip", "to", "data"]
    ),
    change=st.integers(min_value=1, max_value=2**60),
    address=st.binary(min_size=20, max_size=20),
    data=st.binary(max_size=300),
    key=st.integers(min_value=1, max_value=2**200),
)
def test_a_lie_in_any_field(field: str, change: int, address: bytes, data: bytes, key: int) -> None:
    """Whatever another transaction says, and whoever signed it, the difference is seen."""
    told = dict(ASKED)
    if field == "to":
        told["to"] = Unsigned(1, 1, "0x" + address.hex(), "0x", 1, Fees(1, 1)).as_mapping()["to"]
    elif field == "data":
        told["data"] = "0x" + data.hex()
    else:
        name = "maxPriorityFeePerGas" if field == "tip" else field
        told[name] += change
        told["maxFeePerGas"] = max(told["maxFeePerGas"], told["maxPriorityFeePerGas"])
    mine = "0x" + bytes(anvil_signer(5)._account.sign_transaction(told).raw_transaction).hex()
    same = {**told, "to": told["to"].lower()} == {**ASKED, "to": ASKED["to"].lower()}
    assert (signed.differences(mine, ASKED, ME) == []) is same
    theirs = Account.from_key(key.to_bytes(32, "big")).sign_transaction(ASKED).raw_transaction
    found = signed.differences("0x" + bytes(theirs).hex(), ASKED, ME)
    assert [item.split(" is ")[0] for item in found] == ["sender"]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_transaction(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        signed.read("0x02" + content.hex())


@pytest.mark.parametrize(
    ("place", "change", "said"),
    [
        (-1, lambda s: (SECP256K1_N - int.from_bytes(s)).to_bytes(32), "not the low one"),  # EIP-2
        (1, lambda nonce: b"\0" + nonce, "a number begins with zeros"),
        (5, lambda to: b"", "it calls no account"),  # it makes a contract
        (5, lambda to: to + b"\0", "it calls no account"),
        (7, lambda data: [data], "a field is a list"),
    ],
)
def test_a_transaction_that_is_written_otherwise(place: int, change: Any, said: str) -> None:
    """What no other tool writes, and chains refuse or take for something else."""
    fields = rlp.decode(bytes(Account.sign_transaction(ASKED, KEY).raw_transaction)[1:])
    fields[place] = change(fields[place])
    if place == -1:  # the twin of a signature, which names the same key
        fields[9] = b"" if fields[9] else b"\1"
    raw = "0x02" + rlp.encode(fields).hex()
    with pytest.raises(ValueError, match=said):
        raise ValueError(signed.differences(raw, ASKED, ME))


def test_a_transaction_of_one_field_more() -> None:
    fields = rlp.decode(bytes(Account.sign_transaction(ASKED, KEY).raw_transaction)[1:])
    with pytest.raises(ValueError, match="it does not have 12 fields"):
        signed.read("0x02" + rlp.encode([*fields, b""]).hex())


@pytest.mark.parametrize(
    ("lie", "said"),
    [("message", "signed by 0x"), ("sender=9", "signed by 0x"), ("short", "no signature of 65")],
)
def test_a_lie_about_a_message(place: str, lie: str, said: str) -> None:
    with pytest.raises(SignerLied, match=said):
        lying(place, lie).sign_typed_data(MESSAGE)


def test_one_that_refuses(place: str) -> None:
    with pytest.raises(SignerDown, match="refuses eth_signTransaction: request denied") as caught:
        lying(place, "refuse").sign_transaction(ASKED)
    assert (caught.value.exit_code, caught.value.code) == (3, "signer-refused")


def test_one_that_is_late(place: str) -> None:
    with pytest.raises(SignerDown, match="does not answer eth_signTransaction; nothing was signed"):
        lying(place, "late", 0.3).sign_transaction(ASKED)


def test_one_that_is_down() -> None:
    service = SignerService("http://user:secret@127.0.0.1:9")
    with pytest.raises(SignerDown, match="start it, or correct signer_url") as caught:
        service.accounts()
    assert "secret" not in caught.value.message
    assert caught.value.exit_code == 3


def test_a_place_that_is_no_signer(place: str) -> None:
    from ledger.chain.keys.remote_signer import RemoteSigner

    with pytest.raises(SignerDown, match="refuses"):
        SignerService(place).ask("eth_sign", [])
    assert isinstance(SignerService(place).signer(ME), RemoteSigner)


def test_the_keyring_asks_it_when_a_key_is_needed(place: str) -> None:
    base = load_settings(None, {})
    keyring = load_keyring(replace(base, signer_url=place), 11155111)
    assert keyring.signer(ME.upper().replace("0X", "0x"), "send").address == ME
    assert ME in keyring.addresses
    with pytest.raises(BadInput, match="or in the signer at"):
        keyring.signer("0x" + "9" * 40, "send")
    down = load_keyring(
        replace(base, signer_url="http://127.0.0.1:9"), 31337
    )  # nobody is asked yet
    with pytest.raises(SignerDown):
        down.signer(ME, "send")


def test_the_setting() -> None:
    assert load_settings(None, {"TRUETONNE_SIGNER_URL": "https://signer"}).signer_url
    with pytest.raises(BadInput, match="signer_url must begin with http"):
        load_settings(None, {"TRUETONNE_SIGNER_URL": "signer:9000"})
