"""What a piece of work used of the machine, of this process and those that it started."""

from __future__ import annotations

import resource
import sys
from decimal import Decimal
from pathlib import Path


def cpu_s() -> Decimal:
    """Return the CPU seconds used so far, user and system, ended children included."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum((Decimal(str(used.ru_utime + used.ru_stime)) for used in spent), Decimal(0))


def peak_mb() -> Decimal:
    """Return the most memory that this process has held so far, in MiB.

    Linux counts the memory of the process that it was forked from in ``ru_maxrss``: there the
    process's own mark is read.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return Decimal(line.split()[1]) / 2**10
    except OSError:
        pass
    peak = Decimal(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
