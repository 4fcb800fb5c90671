"""What a scenario may end with, other than that all is right."""


class Wrong(AssertionError):
    """Chain, books and model differ."""


class Stuck(AssertionError):
    """Something does not come to an end, in a world without faults."""


class DidNotStrike(AssertionError):
    """An error of the harness: a fault of the plan struck nothing."""
