"""All kinds of fault by name, and what is special about some."""

from __future__ import annotations

from scripts.chaos import chain_faults, line_faults, place_faults, process_faults
from scripts.chaos.strikes import Fault

_ALL: tuple[type[Fault], ...] = (
    place_faults.Kill,
    line_faults.ErrorBefore,
    line_faults.ErrorAfter,
    line_faults.TimeOut,
    chain_faults.WipedPool,
    chain_faults.Spike,
    chain_faults.Reorganisation,
    chain_faults.StolenNonce,
    place_faults.Restored,
    place_faults.TwoAtOnce,
    line_faults.LateReceipts,
    line_faults.OrphanedReceipts,
    line_faults.OlderHead,
    chain_faults.Insolvent,
    place_faults.FullDisk,
    place_faults.ClockJumps,
    process_faults.KilledProcess,
    process_faults.TwoSchedulers,
)
KINDS: dict[str, type[Fault]] = {kind.name: kind for kind in _ALL}
ALONE = (process_faults.KilledProcess.name, process_faults.TwoSchedulers.name)
"""Kinds that have their scenario to themselves: they take seconds."""
CHEAP = tuple(name for name in KINDS if name not in ALONE)
ON_SQLITE = (place_faults.FullDisk.name,)
ON_MARIADB = (process_faults.TwoSchedulers.name,)
