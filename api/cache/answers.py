"""What is kept of an answer, and the shelf of this process: full, it drops what was used least recently."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

Header = tuple[bytes, bytes]
Stamp = tuple[str | int | bool | None, ...]
"""The state of the books, see ``api.cache.stamps``; two equal ones are one state."""

_ENTRY_BYTES, _HEADER_BYTES = 380, 130
"""What a shelf spends on an answer, and on each of its headers, beside text: about, Python's objects included."""


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """An answer with status 200: its headers, the strong ``ETag`` among them, and its body."""

    headers: tuple[Header, ...]
    body: bytes


class Shelf:
    """Answers of one state of the books, in memory; all of them go when it changes.

    Parameters
    ----------
    bytes_max
        What the answers may take, in bytes.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._stamp: Stamp | None = None
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._bytes = 0

    def get(self, stamp: Stamp, call: str) -> Answer | None:
        """Return the answer to a call in that state of the books, if it is here."""
        if stamp != self._stamp:
            return None
        found = self._answers.get(call)
        if found is not None:
            self._answers.move_to_end(call)
        return found

    def put(self, stamp: Stamp, call: str, answer: Answer) -> None:
        """Keep an answer; one that would fill a tenth of the shelf is not kept."""
        if stamp != self._stamp:
            self._stamp = stamp
            self._answers.clear()
            self._bytes = 0
        if _size(call, answer) > self._bytes_max // 10:
            return
        before = self._answers.pop(call, None)
        self._bytes += _size(call, answer) - (0 if before is None else _size(call, before))
        self._answers[call] = answer
        while self._bytes > self._bytes_max:
            other, gone = self._answers.popitem(last=False)
            self._bytes -= _size(other, gone)

    def __len__(self) -> int:
        return len(self._answers)


def _size(call: str, answer: Answer) -> int:
    headers = sum([_HEADER_BYTES + len(name) + len(value) for name, value in answer.headers])
    return _ENTRY_BYTES + len(call) + headers + len(answer.body)
