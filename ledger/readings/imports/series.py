"""The unit, kind and interval of a meter's readings: fixed by its first file, required of every later one.

Two units, kinds or steps on one meter would count the same energy twice.
"""

from __future__ import annotations

from datetime import UTC, datetime

from ledger.db import Behind
from ledger.errors import BadInput
from ledger.models import MeterSeries, MeterSource
from ledger.models.sites import SourceKind
from ledger.readings.files.formats import Format
from ledger.readings.files.sources import Source
from ledger.readings.rows.meter_state import MeterState
from ledger.reductions.records import Role


class Series:
    """The series of the meters that one import writes to.

    Parameters
    ----------
    later
        The writes of the unit of work.
    source, source_id
        What is imported, and its row number.
    """

    def __init__(self, later: Behind, source: Source, source_id: int) -> None:
        self._later = later
        self._source = source
        self._source_id = source_id
        self._kind = SourceKind.COUNTER.value if source.counter else source.kind.name.lower()
        self._checked: set[int] = set()

    def require(self, meter: MeterState, where: str) -> None:
        """Refuse readings that are unlike those of the meter, or no such as it can have.

        The first ones say what it has.

        Parameters
        ----------
        where
            What a message begins with: file and line.

        Raises
        ------
        BadInput
            The meter has another unit, kind or step; or it counts fuel and these do not, or the other way round.
        """
        if meter.id in self._checked:
            return
        self._checked.add(meter.id)
        source, device_code = self._source, meter.device_code
        session = self._later.session
        if source.kind.is_fuel != (meter.role is Role.FUEL):
            raise BadInput(
                f"{where}: source {source.name}: device {device_code} has the role {meter.role}, this file brings "
                f"{self._kind} in {source.unit}; a source of kind fuel feeds the role fuel, and no other: declare "
                "another device for it",
                code="wrong-kind",
            )
        known = session.get(MeterSeries, meter.id)
        if known is None:
            session.add(
                MeterSeries(
                    meter_id=meter.id,
                    source_id=self._source_id,
                    kind=self._kind,
                    unit=source.unit,
                    interval_s=source.interval_s,
                    created_at=datetime.now(UTC),
                )
            )
            return
        mine = (self._kind, source.unit, source.interval_s)
        if (known.kind, known.unit, known.interval_s) != mine:
            raise BadInput(
                f"{where}: source {source.name}: meter {device_code} has readings of {known.kind} in "
                f"{known.unit} every {known.interval_s // 60} minutes, this file brings {mine[0]} in "
                f"{mine[1]} every {mine[2] // 60}; one meter keeps one unit and interval: declare "
                "another device",
                code="mixed-readings",
            )
        first = session.get_one(MeterSource, known.source_id)
        width = Format.of(first.format_options).rollover
        if width != source.file_format.rollover:
            raise BadInput(
                f"{where}: source {source.name}: rollover is {source.file_format.rollover}, and meter "
                f"{device_code} has it from source {first.name} as {width}; one register has one width",
                code="mixed-readings",
            )
