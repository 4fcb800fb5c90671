"""``truetonne certificate`` writes what the page hands out, byte for byte; and says what it cannot."""

import hashlib
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import h66
from tests.cli.conftest import Program

LONG_ON_MARIADB = ("test_it_is_the_file_of_the_page",)


@pytest.fixture
def truetonne(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_it_is_the_file_of_the_page(truetonne: Program, client: TestClient, books: str) -> None:
    given = {"database_url": books, "finality": "8"}
    ended = truetonne("certificate", "2", "-o", "c.pdf", "--json", **given)
    assert ended.code == 0, ended.err
    data = (truetonne.folder / "c.pdf").read_bytes()
    assert data == client.get("/retirements/2/certificate.pdf").content
    assert ended.json() == {
        "file": "c.pdf",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "retirement_id": "2",
        "serials": "park-a-2015-3-1-10",
        "amount_kg": "10",
        "url": "http://127.0.0.1:8600/retirements/2",
    }
    again = truetonne("certificate", h66(0xDE, 2), "-o", "again.pdf", **given)
    assert again.code == 0 and ended.json()["sha256"] in again.out
    assert (truetonne.folder / "again.pdf").read_bytes() == data


@pytest.mark.parametrize(
    ("name", "file", "code", "said"),
    [
        ("31", "c.pdf", 1, "not final yet"),
        ("999", "c.pdf", 2, "there is no retirement"),
        ("../2", "c.pdf", 2, "there is no retirement"),
        ("2", "no/such/folder/c.pdf", 2, "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    truetonne: Program, books: str, name: str, file: str, code: int, said: str
) -> None:
    ended = truetonne("certificate", name, "-o", file, database_url=books, finality="8")
    assert ended.code == code and said in ended.one_line()
    assert "c.pdf" not in truetonne.files()
