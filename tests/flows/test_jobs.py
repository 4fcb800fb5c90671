"""The periodic jobs: safe to run at any time, quiet when there is nothing to do, one line when it fails."""

import logging
from dataclasses import replace

import pytest

from ledger import jobs
from ledger.errors import DependencyDown
from ledger.models import ChainCursor
from ledger.settings import load_settings
from tests.support.park import Park


def test_a_local_chain_grows_only_while_something_waits(park: Park) -> None:
    settings = load_settings(None, {})
    client = park.node.client
    before = client.block_number()
    jobs.make_final(settings, park.chain)  # nothing is mirrored yet
    assert client.block_number() == before
    park.mirror.run_until("head")
    for _ in range(3):
        jobs.make_final(settings, park.chain)
        park.mirror.run_until("head")
    grown = client.block_number()
    assert grown == before + 2
    park.mirror.run_until("head")
    (cursor,) = park.rows(ChainCursor)
    assert cursor.final_number == before
    for _ in range(3):
        jobs.make_final(settings, park.chain)
    assert client.block_number() == grown
    park.node.issue(5, 0)
    park.mirror.run_until("head")
    jobs.make_final(settings, park.chain)
    assert client.block_number() == grown + 3


def test_a_chain_of_others_is_not_made_to_grow(park: Park) -> None:
    settings = replace(load_settings(None, {}), local_chain=False)
    park.mirror.run_until("head")
    before = park.node.client.block_number()
    jobs.make_final(settings, park.chain)
    assert park.node.client.block_number() == before
    local, other = (
        {str(job.trigger) for job in jobs.scheduler(given, park.chain).get_jobs()}
        for given in (load_settings(None, {}), settings)
    )
    assert len(local) == 4
    assert local - other == {"interval[0:00:02]"}


def test_a_job_that_fails_is_one_line_and_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def down() -> None:
        raise DependencyDown("no node\nanswers")

    with caplog.at_level(logging.WARNING):
        jobs._logged("settle", down)()
    assert [record.getMessage() for record in caplog.records] == ["job settle: no node answers"]
