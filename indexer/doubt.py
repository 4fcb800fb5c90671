"""Raised when a node contradicts itself, or answers as of two moments."""


class Doubt(Exception):
    """The node's answers do not fit together; reading again may help, writing them would not."""


class Apart(Doubt):
    """The answers are of two moments or of two forks.

    Nodes index a little later what they announced, and of several behind one address one may lag. For new blocks that
    passes; a node that lacks old ones will not get them.
    """
