"""What a history raises when the mirror is not what the chain is."""


class HistoryDiffers(AssertionError):
    """A mirror that is not what the chain is, or a fault that did not strike."""
