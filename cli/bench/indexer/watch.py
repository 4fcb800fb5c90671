"""Runs a program and watches what it uses: seconds, CPU of it and of a server beside, memory.

Linux tells it all in ``/proc``; elsewhere the CPU of what ended is known, and the rest is nought.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ledger.errors import DependencyDown

POLL_S = 0.02
SAMPLE_S = 0.1
TREE_S = 2.0
STOP_S = 20.0
_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_ZERO = Decimal(0)


@dataclass(frozen=True)
class Spent:
    """What a run took."""

    wall_s: Decimal
    cpu_s: Decimal
    """Of the program and all that it started."""
    server_cpu_s: Decimal
    """Of the database's server in the same time; nought where there is none."""
    peak_mb: Decimal

    @property
    def all_cpu_s(self) -> Decimal:
        """CPU of program and server."""
        return self.cpu_s + self.server_cpu_s


def run(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str],
    folder: Path | None = None,
    done: Callable[[], bool] | None = None,
    server_pid: int | None = None,
    seconds_max: float = 1200.0,
    on_sample: Callable[[int], None] | None = None,
) -> Spent:
    """Run a program until it is done.

    Parameters
    ----------
    log
        File for all that it prints.
    folder
        Where it runs.
    done
        Says whether its work is done: then it is told to end. None: it ends by itself.
    server_pid
        The database's server.
    on_sample
        Called with the process's number about ten times a second while it runs.

    Raises
    ------
    DependencyDown
        If it fails, or is not done in time.
    """
    before = tree_cpu_s(server_pid)
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
        )
    try:
        cpu, peak = _until_done(process, log, (done, on_sample), started + seconds_max)
        wall = time.perf_counter() - started
        server = tree_cpu_s(server_pid) - before
    finally:
        _end(process)
    return Spent(_rounded(wall), _rounded(cpu), _rounded(server), _rounded(peak))


def _until_done(
    process: subprocess.Popen[bytes],
    log: Path,
    asked: tuple[Callable[[], bool] | None, Callable[[int], None] | None],
    until: float,
) -> tuple[Decimal, Decimal]:
    """Wait; return CPU seconds and most memory in MiB."""
    done, on_sample = asked
    cpu = peak = _ZERO
    sampled = 0.0
    while True:
        now = time.perf_counter()
        if now - sampled >= SAMPLE_S:
            cpu = max(cpu, tree_cpu_s(process.pid, fresh=False))
            peak = max(peak, _tree_peak_mb(process.pid))
            if on_sample is not None:
                on_sample(process.pid)
            sampled = now
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        if ended:
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0 or not (done is None or done()):
                raise DependencyDown(
                    f"{process.args!r} ended with {process.returncode}: {_tail(log)}"
                )
            return Decimal(str(used.ru_utime + used.ru_stime)), peak
        if done is not None and done():
            return max(cpu, tree_cpu_s(process.pid)), max(peak, _tree_peak_mb(process.pid))
        if now > until:
            raise DependencyDown(f"{process.args!r} is not done in time: {_tail(log)}")
        time.sleep(POLL_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is not None:
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)  # a session of its own, see above
            process.wait(STOP_S)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            process.wait(STOP_S)
            return


def tree_cpu_s(pid: int | None, *, fresh: bool = True) -> Decimal:
    """Return the CPU seconds of a process, of those below it, and of those that ended.

    ``fresh=False`` takes the processes that were below it a moment ago.
    """
    ticks = 0
    for one in _tree(pid, fresh=fresh):
        try:
            stat = (_PROC / str(one) / "stat").read_text(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        fields = stat.rsplit(")", 1)[1].split()
        ticks += sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return Decimal(ticks) / _TICKS


def _tree_peak_mb(pid: int) -> Decimal:
    total = 0
    for one in _tree(pid, fresh=False):
        try:
            status = (_PROC / str(one) / "status").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line[:6] == "VmHWM:")
    return Decimal(total) / 1024


_seen: dict[int, tuple[float, list[int]]] = {}


def _tree(pid: int | None, *, fresh: bool) -> list[int]:
    """Return a process and all below it.

    To look through all processes of a machine ten times a second would take a tenth of a core from what is
    measured, so what was found is good for a while.
    """
    if pid is None or not _PROC.is_dir():
        return []
    now = time.monotonic()
    if pid in _seen and not fresh and now < _seen[pid][0] + TREE_S:
        return _seen[pid][1]
    children: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text(errors="replace")
        except OSError:
            continue
        parent = int(stat.rsplit(")", 1)[1].split()[1])
        children.setdefault(parent, []).append(int(folder.name))
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += children.get(one, [])
    _seen[pid] = (now, found)
    return found


def _rounded(value: float | Decimal) -> Decimal:
    return Decimal(str(value)).quantize(Decimal("0.001"))


def _tail(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-800:]
