"""What happens on the benchmark's chain: some years of a market of forty accounts, always the same.

A model of holdings and balances is kept beside, so that every act is known to succeed, or to fail, before
it is sent, and so is how many of our events it leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cli.bench.indexer.acts import Act, World
from cli.bench.indexer.credits import Credits
from cli.bench.indexer.trades import Trading
from cli.bench.park import PARTY, Park

VERSION = 4
"""Raise it when another story is told: chains that are kept tell the old one."""
BLOCK_ACTS = 30
ASSET_KG = 10**11
FIRST_BATCHES = 4


def blocks(park: Park, events: int) -> Iterator[list[Act]]:
    """Yield the acts of one block after the other, in their order.

    Parameters
    ----------
    park
        The contracts, deployed: addresses, and the messages that verifier and members sign.
    events
        The story ends with the block that brings as many events of our contracts.
    """
    world = World(park)
    credit, trading = Credits(world), Trading(world)
    so_far = 0
    for acts in _opening(world, credit, trading):
        so_far += sum(act.logs for act in acts)
        yield acts
    usual = _usual(credit, trading)
    while so_far < events:
        world.block += 1
        acts = [*credit.due(), *trading.due()]
        makers = world.dice.choices(
            [maker for _, maker in usual], [weight for weight, _ in usual], k=BLOCK_ACTS - len(acts)
        )
        acts += [maker() for maker in makers]
        so_far += sum(act.logs for act in acts)
        yield acts


def _opening(world: World, credit: Credits, trading: Trading) -> Iterator[list[Act]]:
    """Sites, money, some batches for every member, and a batch of credits that is traded."""
    yield credit.opening()
    yield from trading.opening()
    for _ in range(FIRST_BATCHES):
        yield [credit.issue(to=member) for member in world.members]
    yield [credit.issue(to=PARTY["owner"], kg=ASSET_KG)]
    trading.asset = credit.last_batch()
    yield credit.give_to_all(trading.asset, PARTY["owner"], 10**9)


def _usual(credit: Credits, trading: Trading) -> list[tuple[int, Callable[[], Act]]]:
    """Return what happens in any block, in parts of a thousand, more or less."""
    return [
        (175, credit.retire_batch),
        (235, credit.retire),
        (170, credit.transfer),
        (80, credit.transfer_batch),
        (60, credit.deposit),
        (30, credit.withdraw),
        (55, credit.issue),
        (40, credit.cancel),
        (5, credit.suspend),
        (4, credit.approve),
        (1, credit.cap),
        (10, credit.failure),
        (35, trading.deposit),
        (30, trading.withdraw),
        (35, trading.single),
        (8, trading.propose),
        (4, trading.cosign),
        (4, trading.role),
        (1, trading.cap),
        (10, trading.failure),
    ]
