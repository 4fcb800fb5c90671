"""Raised when a node contradicts itself."""


class Doubt(Exception):
    """The node's answers do not fit together; reading again may help, writing them would not."""
