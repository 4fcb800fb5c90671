"""What a fault is: something that is done around a turn's work, and that says how often it really struck."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from scripts.chaos.scenario import Scenario

Work = Callable[[], None]


class Fault:
    """One fault of one scenario. Details are drawn from the scenario's chance.

    ``struck`` counts what was seen to happen, not what was tried. ``last_chance`` is above 0 in further turns,
    given to a fault that found nothing to strike: it should then take what there is.
    """

    name: ClassVar[str]

    def __init__(self, scenario: Scenario) -> None:
        self.on = scenario
        self.struck = 0
        self.last_chance = 0

    @property
    def chance(self) -> random.Random:
        """The scenario's chance."""
        return self.on.chance

    def strike(self, work: Work) -> None:
        """Do the work of a turn under this fault."""
        raise NotImplementedError

    def heal(self) -> None:
        """Put right what a world without this fault would not have; done once the turn is over."""

    def end(self) -> None:
        """Let go of what was opened."""
