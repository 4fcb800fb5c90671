"""What a proof costs: built from a block of a hundred transactions, and checked.

Building asks the node for block, receipts and state and makes two tries; checking has the text alone.
Medians of several runs, in milliseconds, beside the limits that the design set: of CPU for checking, which
waits for nobody; of the clock for building, which waits for the node.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from statistics import median

from cli.bench.park import Park
from cli.bench.report import Result, share_of_limit
from ledger.bundles import Place, Subject, prove
from ledger.chain.node.client import ChainClient
from ledger.proofs.verifier import verify

TRANSACTIONS = 100
RUNS = 15
VERIFY_MS_MAX, BUILD_MS_MAX = Decimal(5), Decimal(50)


def measure(rpc_url: str) -> list[Result]:
    """Issue a batch, retire from it in a full block, and return what its proof costs.

    Raises
    ------
    DependencyDown
        If the node refuses a transaction or does not mine it.
    """
    with closing(ChainClient(rpc_url)) as client:
        park = Park(client)
        batch, issued = park.issue(1_000_000)
        retired = park.retire_among(batch, TRANSACTIONS)
        places = [
            Place(kind, receipt.block_number, receipt.tx_hash, receipt.logs[log].log_index)
            for kind, receipt, log in (("issued", issued, 0), ("retired", retired, 1))
        ]
        subject = Subject(batch, (1, 1000), places)
        deployment = park.address_book()
        built = prove(client, deployment, subject, "latest")
        build_ms = _median_ms(
            lambda: prove(client, deployment, subject, "latest"), time.perf_counter_ns
        )
        verify_ms = _median_ms(lambda: verify(built.text, built.trusted), time.process_time_ns)
    return [
        share_of_limit("verify_ms", verify_ms, "ms", "limit", VERIFY_MS_MAX),
        share_of_limit("build_ms", build_ms, "ms", "limit", BUILD_MS_MAX),
    ]


def _median_ms(work: Callable[[], object], now_ns: Callable[[], int]) -> Decimal:
    times = []
    for _ in range(RUNS):
        begun = now_ns()
        work()
        times.append(now_ns() - begun)
    return (Decimal(median(times)) / 10**6).quantize(Decimal("0.01"))
