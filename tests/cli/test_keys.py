"""``truetonne keys``: a key is made once, opens with its password, and never becomes another file's end."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest
from eth_account import Account

from ledger.chain.keys.keystore import new_key
from ledger.errors import BadInput
from tests.cli.conftest import Program
from tests.support.forms import long

PASSWORD = "correct horse battery"


@pytest.fixture
def house(truetonne: Program) -> Program:
    truetonne.write("pw", PASSWORD + "\n").chmod(0o600)
    return truetonne


def kept(house: Program, folder: str = "键 s") -> dict[str, str]:
    return {
        "keystore": str(house.folder / folder),
        "keystore_password_file": str(house.folder / "pw"),
    }


def test_a_new_key_opens_with_the_password_and_is_listed(house: Program) -> None:
    settings = kept(house)
    made = house("keys", "new", "--json", **settings)
    assert (made.code, made.err) == (0, "")
    document = made.json()
    assert document.keys() == {"address", "file", "dry_run"}
    file = Path(document["file"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    key = Account.decrypt(json.loads(file.read_text()), PASSWORD)
    assert Account.from_key(key).address.lower() == document["address"]
    listed = house("keys", "list", "--json", **settings)
    assert (listed.code, listed.err) == (0, "")
    assert listed.json() == {
        "keys": [
            {
                "address": document["address"],
                "kind": "keystore",
                "file": str(file),
                "problem": None,
                "roles": [],
            }
        ]
    }
    other = house("keys", "new", "--json", **settings).json()
    assert other["address"] != document["address"]
    assert {
        item["address"] for item in house("keys", "list", "--json", **settings).json()["keys"]
    } == {
        document["address"],
        other["address"],
    }


def test_a_dry_run_makes_nothing(house: Program) -> None:
    before = house.files()
    tried = house("keys", "new", "--dry-run", "--json", **kept(house, "no/such/yet"))
    assert tried.json() == {"address": None, "file": None, "dry_run": True}
    assert house.files() == before


@pytest.mark.parametrize(
    ("folder", "password", "said"),
    [
        (None, PASSWORD, "keystore is not set: name the folder"),
        ("keys", None, "keystore_password_file is not"),
        ("keys", "", "the password is empty"),
        ("pw", PASSWORD, "is not a folder"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_what_no_key_can_be_made_of(
    house: Program, folder: str | None, password: str | None, said: str, more: list[str]
) -> None:
    settings = kept(house, folder or "")
    if folder is None:
        del settings["keystore"]
    if password is None:
        del settings["keystore_password_file"]
    else:
        house.write("pw", password + "\n")
    before = house.files()
    ended = house("keys", "new", *more, **settings)
    assert ended.code == 2 and said in ended.one_line()
    assert house.files() == before


@long
def test_a_key_whose_name_the_disk_does_not_keep_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told its address: nobody may find it either."""
    synced = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(BadInput, match=r"cannot be written \(Input/output error\)"):
        new_key(tmp_path / "keys", "password")
    assert list((tmp_path / "keys").iterdir()) == []


def test_a_password_that_others_may_read_makes_no_key(house: Program) -> None:
    (house.folder / "pw").chmod(0o644)
    ended = house("keys", "new", **kept(house))
    assert ended.code == 2 and "chmod 600" in ended.one_line()


def test_files_that_must_not_stay_as_they_are(house: Program) -> None:
    folder = house.folder / "keys"
    folder.mkdir()
    (folder / "a").write_text(json.dumps({"address": "AB" * 20}))
    (folder / "a").chmod(0o640)
    for name, text in (
        ("b", "[]"),
        ("c", '{"address": 1}'),
        ("d", "\0"),
        ("e", '{"address": "0x12"}'),
        ("ee", "[" * 5000 + "]" * 5000),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    (folder / "f").symlink_to("/proc/self/mem")  # which nobody can read from its begin
    (folder / ".hidden").write_text("half of one")
    ended = house("keys", "list", "--json", **kept(house, "keys"))
    assert ended.code == 1
    found = [(item["address"], item["problem"]) for item in ended.json()["keys"]]
    assert found[0] == ("0x" + "ab" * 20, f"is open to others; chmod 600 {folder / 'a'}")
    assert found[1:6] == [(None, "names no account; take it out of the folder")] * 5
    assert found[6:] == [(None, "cannot be read (Input/output error); give it to this user")]


def test_on_a_local_chain_anvil_s_accounts_sign(truetonne: Program) -> None:
    ended = truetonne("keys", "list", "--json")
    found = ended.json()["keys"]
    assert ended.code == 0 and {item["kind"] for item in found} == {"anvil"}
    assert found[0]["address"] == "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    # elsewhere nobody does, until keys are there
    assert truetonne("keys", "list", "--json", rpc_url="http://127.0.0.1:1").json() == {"keys": []}


@long
def test_roles_are_those_of_the_deployment(house: Program) -> None:
    address = house("keys", "new", "--json", **kept(house)).json()["address"]
    house.write(
        "sepolia.json",
        json.dumps(
            {
                "network": "sepolia",
                "chain_id": 11155111,
                "genesis_hash": "0x" + "00" * 32,
                "deployed_block": 1,
                "contracts": {},
                "accounts": {"issuer": address, "operator": address, "admin": "0x" + "11" * 20},
                "class": {"id": 1, "code": "x"},
            }
        ),
    )
    (item,) = house("keys", "list", "--json", deployment="sepolia.json", **kept(house)).json()[
        "keys"
    ]
    assert item["roles"] == ["issuer", "operator"]
