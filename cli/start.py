"""Where the program begins, and what Ctrl-C, SIGTERM and a lost terminal do to it.

Each of them interrupts a command alike: it tidies up, says so, and ends with 130. Python itself hears Ctrl-C alone, and
answers by a traceback while it imports; by the others it would die, and leave a restored database in a temporary
folder. What the caller has had ignored (``nohup``) stays so.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from ledger.errors import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_SECONDS = 1.0
"""From when on a signal is a second one, in seconds: a terminal and a wrapper may both hand on the same."""
_ONCE_MORE_SECONDS = 0.01
"""After how many seconds an interruption that was lost is raised again."""
_asked_s: list[float] = []
"""When we were told to end, by a clock that nobody sets."""


def main() -> None:
    """Run the program. What comes while it is imported is told to the command."""
    note_interruptions()
    from cli.main import main as program

    program()


def note_interruptions() -> None:
    """Keep in mind that we are told to end; a Ctrl-C a second later ends the process at once."""
    _answer(_note)


def hear_interruptions() -> None:
    """Raise a KeyboardInterrupt from now on when we are told to end."""
    _answer(_raise)
    signal.signal(signal.SIGALRM, _raise_again)
    sys.unraisablehook = _not_raised


def check_not_interrupted() -> None:
    """Look whether we were told to end before we could be interrupted.

    Raises
    ------
    KeyboardInterrupt
        We were.
    """
    if _asked_s:
        raise KeyboardInterrupt


def end_at_once(code: int) -> None:
    """Have nothing that we are told from now on change the exit code: all is said, and a thread may still wait."""

    def end(number: int, frame: FrameType | None) -> None:
        os._exit(code)

    _answer(end)
    signal.signal(signal.SIGALRM, end)
    # Python's last steps answer as if nobody had asked: by then no thread is waited for any more.
    atexit.register(_answer, signal.SIG_IGN)


def _answer(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _note(number: int, frame: FrameType | None) -> None:
    _asked_s.append(time.monotonic())
    if _asked_s[-1] - _asked_s[0] > AGAIN_SECONDS:
        os._exit(INTERRUPTED)


def _not_raised(lost: sys.UnraisableHookArgs) -> None:
    """Raise an interruption once more that came where nothing can be raised, as while an object is taken apart."""
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
    else:
        signal.setitimer(signal.ITIMER_REAL, _ONCE_MORE_SECONDS)


def _raise_again(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _raise(number: int, frame: FrameType | None) -> None:
    _asked_s.append(time.monotonic())
    if len(_asked_s) == 1 or _asked_s[-1] - _asked_s[0] > AGAIN_SECONDS:
        raise KeyboardInterrupt
