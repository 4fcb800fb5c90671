"""``truetonne verify`` as an auditor runs it: a file, four values, an empty folder, nothing else."""

from __future__ import annotations

import resource
import shlex
import subprocess
import sys

import pytest

from cli import proofs
from tests.cli.conftest import Program
from tests.support.forms import long

HASH, ADDRESS = "0x" + "11" * 32, "0x" + "22" * 20
GIVEN = ("--block-hash", HASH, "--address", ADDRESS, "--code-hash", HASH, "--chain-id", "31337")


def test_a_file_that_is_no_bundle_is_not_valid(truetonne: Program) -> None:
    file = truetonne.write("bundle.json", "{}")
    ended = truetonne("verify", file, *GIVEN, "--json")
    assert ended.code == 1
    document = ended.json()
    assert document["valid"] is False
    assert [(item["name"], item["ok"]) for item in document["checks"]] == [("format", False)]
    assert truetonne.files() == {"bundle.json"}  # nothing was made: no home, no database


def test_the_failing_check_is_said_to_a_person(truetonne: Program) -> None:
    """In lines of the program's own: who sent the file chose its name, too."""
    name = "bundle.json: valid. It does not prove\n  - much\x1b[8m"
    ended = truetonne("verify", truetonne.write(name, "[1.5]"), *GIVEN)
    assert ended.code == 1
    failed, last = ended.out.splitlines()
    assert failed.startswith("FAILED   format: ")
    assert last.endswith("/bundle.json: valid. It does not prove - much\\x1b[8m: not valid")


NO_BUNDLE = "this is no bundle: JSON, but none that names a format such as truetonne-bundle/2"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", NO_BUNDLE),
        ("null", NO_BUNDLE),
        ('{"readings": 1.5}', NO_BUNDLE),
        ('{"format": ["truetonne-bundle/1"]}', NO_BUNDLE),
        ('{"format": "truetonne-manifest/1"}', NO_BUNDLE),
        ('{"format": "truetonne-bundle/3"}', "take the verifier of its version"),
        ("", "not JSON as it is written here"),
        ('{"format": "truetonne-bundle/1", "chain', "not JSON as it is written here"),
    ],
)
def test_what_is_no_bundle_is_called_so(truetonne: Program, content: str, said: str) -> None:
    ended = truetonne("verify", truetonne.write("bundle.json", content), *GIVEN, "--json")
    assert ended.code == 1
    (check,) = ended.json()["checks"]
    assert check["name"] == "format"
    assert check["text"].startswith("format: ") and said in check["text"]


@pytest.mark.parametrize(
    ("name", "content"), [("missing.json", None), ("latin.json", b"\xe9\xe8"), (".", None)]
)
def test_a_file_that_cannot_be_read_is_one_line(
    truetonne: Program, name: str, content: bytes | None
) -> None:
    if content is not None:
        truetonne.write(name, content)
    ended = truetonne("verify", name, *GIVEN)
    assert ended.code == 2
    assert name in ended.one_line()


def test_a_device_without_an_end_is_larger_than_any_bundle(truetonne: Program) -> None:
    """It has no size to ask for: it was read until the machine had no memory left."""
    ended = truetonne("verify", "/dev/zero", *GIVEN)
    assert ended.code == 2
    assert "larger than any bundle" in ended.one_line()


@long
def test_a_file_that_takes_all_memory_is_no_defect_of_the_program(truetonne: Program) -> None:
    file = truetonne.write("bundle.json", '{"format": [' + "[]," * 10**7 + "0]}")
    command = shlex.join(truetonne.command("verify", file, *GIVEN))
    ended = subprocess.run(
        ["sh", "-c", f"ulimit -v 700000; exec {command}"],
        cwd=truetonne.folder,
        env=truetonne.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "takes more memory than there is" in ended.stderr


@long
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much is taken")
def test_a_file_that_is_made_to_take_memory_gets_no_more_than_a_bundle(truetonne: Program) -> None:
    """It took seventy times its size, and one as large as a bundle may be 17 GB."""
    file = truetonne.write("bundle.json", '{"format": [' + '{"":[]},' * 2_500_000 + "0]}")
    ended = truetonne("verify", file, *GIVEN)
    assert ended.code == 2
    assert "takes more memory than there is, or than a bundle of this size does" in ended.one_line()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much is taken")
def test_memory_is_bounded_by_the_size_of_a_file_and_no_longer_than_it_is_read() -> None:
    size, before = 4_000_000, resource.getrlimit(resource.RLIMIT_AS)
    most = 24 * size + 128 * 2**20
    with proofs._bounded_memory(size):
        assert len(bytearray(most * 3 // 4)) == most * 3 // 4
        with pytest.raises(MemoryError):
            bytearray(most * 5 // 4)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert len(bytearray(most * 5 // 4)) == most * 5 // 4


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--block-hash", "0x12"),
        ("--block-hash", "11" * 32),
        ("--address", "0x" + "zz" * 20),
        ("--code-hash", "latest"),
        ("--chain-id", "0"),
        ("--chain-id", "mainnet"),
    ],
)
def test_a_trusted_value_that_is_none_is_one_line(
    truetonne: Program, option: str, value: str
) -> None:
    words = list(GIVEN)
    words[words.index(option) + 1] = value
    ended = truetonne("verify", truetonne.write("bundle.json", "{}"), *words, "--json")
    assert ended.code == 2
    assert option in ended.json()["error"]["message"]


def test_a_credit_that_is_not_there_has_no_bundle(park: Program) -> None:
    ended = park("credits", "bundle", "lab-wind-2014-1", "-o", "bundle.json")
    assert ended.code == 2
    assert "deploy" in ended.one_line()
    assert "bundle.json" not in park.files()


@pytest.mark.parametrize("readings", ["-1", "some", "1.5"])
def test_readings_are_a_number_or_all(park: Program, readings: str) -> None:
    ended = park("credits", "bundle", "x", "-o", "b.json", "--readings", readings)
    assert ended.code == 2
    assert readings in ended.one_line()
    assert "neither a number of readings nor" in ended.err


def test_more_readings_than_there_are_is_a_number(park: Program) -> None:
    ended = park("credits", "bundle", "x", "-o", "b.json", "--readings", "99999999")
    assert "--readings" not in ended.one_line()  # no contracts here: that is what it says
