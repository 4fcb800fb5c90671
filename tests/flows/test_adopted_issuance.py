"""An issuance that the chain has in a final block: books that forgot it take it over at once, or say what it is."""

from collections.abc import Iterator
from datetime import date

import pytest

import cli.main
from ledger.errors import Refused
from ledger.issuance import plan_issuance, submit_planned
from ledger.models import CreditBatch, Issuance
from tests.support.copied import back_up
from tests.support.forms import long
from tests.support.park import PROJECT, Park, day
from tests.support.sending import sent

ISSUE = ("credits", "issue", "--project", PROJECT, "--from")


@pytest.fixture
def environment(park: Park, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The one in which the commands find the park."""
    (park.folder / "deployment.json").write_text(park.node.deployment_text())
    for name, value in {
        "DATABASE_URL": park.db.url.render_as_string(hide_password=False),
        "RPC_URL": park.node.rpc_url,
        "DEPLOYMENT": str(park.folder / "deployment.json"),
        "HOME": str(park.folder / "home"),
        "NETWORK": park.node.deployment.network,
        "FINALITY": "0",
    }.items():
        monkeypatch.setenv(f"TRUETONNE_{name}", value)
    yield


def given(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Give a command; return its exit code and the last line that it says."""
    capsys.readouterr()
    code = cli.main.run(list(words))
    said = capsys.readouterr()
    return code, ((said.out + said.err).splitlines() or [""])[-1]


@pytest.mark.usefixtures("environment")
def test_what_a_final_block_has_is_issued_without_another_block(
    park: Park, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mirror had read it before it was planned, and waited for a block that never came: three minutes."""
    park.register()
    park.generate(date(2013, 12, 31), ["50", "100", "50"])
    restore = back_up(park.db, park.folder)
    period = (*ISSUE, "2013-12-31", "--to", "2014-01-03")
    assert given(capsys, *period)[0] == 0
    restore()
    assert park.count(Issuance) == 0  # the fault
    height = park.node.height()
    assert given(capsys, *period)[0] == 0
    assert park.node.height() == height
    assert [row.state.value for row in park.rows(Issuance)] == ["issued", "issued"]
    assert sent(park, "issuer") == park.count(CreditBatch) == 2
    assert park.differences() == []

    _, second = park.rows(CreditBatch)
    said = (
        "error: the period overlaps an issuance from 2014-01-01 to 2014-01-03 (issued as park-wind-2014-2, 1800 kg, in "
        f"transaction {second.tx_hash}); a reading counts once: "
    )
    show = "; truetonne credits show park-wind-2014-2 shows it"
    ways = {
        "2014-01-01": "of those very dates nothing is left to do",
        "2014-01-02": "give dates outside of it",
    }
    for start, way in ways.items():
        assert given(capsys, *ISSUE, start, "--to", "2014-01-03") == (1, f"{said}{way}{show}")


def refusal(park: Park, first: int, end: int, *, backfill: bool = False) -> str:
    with pytest.raises(Refused) as caught:
        plan_issuance(park.chain, PROJECT, day(first), day(end), backfill=backfill)
    assert caught.value.code == "period-already-issued"
    return caught.value.message


@long
def test_what_is_issued_and_forgotten_is_named_where_it_cannot_be_taken_over(park: Park) -> None:
    """`a backfill alone, if it was left out`, was said of days that are issued, or that nothing is known of them."""
    park.register()
    restore = back_up(park.db, park.folder)
    park.generate(day(1), ["100", "50"])
    plan_issuance(park.chain, PROJECT, day(1), day(3))
    submit_planned(park.chain)
    park.mirror_final()
    (batch,) = park.rows(CreditBatch)
    restore()
    park.mirror_final()
    begin = (
        f"park-wind is issued on chain from 2014-01-01 to 2014-01-03, as batch 1 (1800 kg, transaction {batch.tx_hash})"
        ", and these books have no such issuance: "
    )
    end = (
        "; if they have forgotten it, import again what they had by then, withdraw and restore again what was "
        "(`truetonne readings withdraw` and `restore`), and `truetonne credits issue --project park-wind --from "
        "2014-01-01 --to 2014-01-03` takes it over and sends nothing; if other books issue this project, "
        "take [project] out of the site file here"
    )
    said = refusal(park, 1, 3)
    assert said.startswith(begin) and said.endswith(end)
    assert "no reading" in said[len(begin) :]
    park.generate(day(1), ["100", "100", "100"])
    assert refusal(park, 1, 3) == f"{begin}they come to 2400 kg{end}"
    assert refusal(park, 2, 4) == f"{begin}it is not what is from 2014-01-02 to 2014-01-04{end}"
    assert refusal(park, 2, 3, backfill=True).startswith(begin)
    assert park.count(Issuance) == 0
    restore()
    park.mirror_final()
    park.generate(day(1), ["100", "50"])  # as the refusal advises
    (again,) = plan_issuance(park.chain, PROJECT, day(1), day(3))
    assert (again.key, submit_planned(park.chain)) == (batch.key, [])
    assert [row.state.value for row in park.rows(Issuance)] == ["issued"]
