"""Parks of hundreds of turbines with years of readings, made by the server itself, row by row as imports store them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import select

from ledger.db import Database
from ledger.models import Device, Meter
from ledger.models.readings import ImportFile
from ledger.models.series import MeterSeries
from ledger.models.sites import MeterSource
from ledger.reductions.quality import stored
from ledger.reductions.records import Quality
from ledger.sites import apply_site
from ledger.units import DAY_S

INTERVAL_S = 600
PER_SITE = 4
"""Meters of a site and its project, as many as La Haute Borne has turbines."""
LIVE_DAYS = 92
"""Days whose values stand in ``device_data``; what is older is in the archive."""
_END = datetime(2026, 11, 1, tzinfo=UTC)
_ABSENT, _OF = 3, 1_009
"""``_ABSENT`` of ``_OF`` slots have no row at all; one in sixty of the others has no value."""


@dataclass(frozen=True)
class Books:
    """What the books hold."""

    sites: Sequence[str]
    """Codes; each site has a project of the same code."""
    devices: Sequence[str]
    """Codes, in the order of the sites."""
    first_day: date
    last_day: date

    @property
    def days(self) -> int:
        """Days with readings."""
        return (self.last_day - self.first_day).days

    def site(self, chance: random.Random) -> str:
        """Return a site, and so a project, by chance."""
        return chance.choice(self.sites)

    def device(self, chance: random.Random) -> tuple[str, str]:
        """Return a device by chance: its site and its code."""
        place = chance.randrange(len(self.devices))
        return self.sites[place // PER_SITE], self.devices[place]

    def day(self, chance: random.Random) -> date:
        """Return a day by chance, with readings from its beginning to its end."""
        return self.first_day + timedelta(days=chance.randrange(1, self.days - 1))

    def month(self, chance: random.Random) -> tuple[date, date]:
        """Return a whole month by chance: its first day, and that of the next one."""
        months = sorted(
            {
                (self.first_day + timedelta(days=number)).replace(day=1)
                for number in range(31, self.days)
            }
        )
        start = chance.choice(months[:-1] or months)
        return start, (start + timedelta(days=32)).replace(day=1)


def fill(database: Database, readings: int, devices: int, say: Callable[[str], None]) -> Books:
    """Write parks with so many readings in all, every ten minutes up to a fixed day."""
    slots = readings // devices
    end_s = int(_END.timestamp())
    first_s = end_s - slots * INTERVAL_S
    sites = devices // PER_SITE
    with TemporaryDirectory() as folder:
        file = Path(folder) / "site.toml"
        for number in range(sites):
            file.write_text(_site(number, PER_SITE), encoding="utf-8")
            database.run(lambda session: apply_site(session, file))
    with database.write() as session:
        source = session.scalars(select(MeterSource).limit(1)).one()
        meters = session.execute(
            select(Meter.id, Device.id, Device.device_id)
            .join(Device, Device.id == Meter.device_id)
            .order_by(Meter.id)
        ).all()
        session.add(
            ImportFile(
                source_id=source.id,
                file_name="made by the benchmark",
                file_sha256="00" * 32,
                rows_read=readings,
                rows_new=readings,
                rows_unchanged=0,
                rows_conflict=0,
                rows_rejected=0,
                imported_at=datetime.now(UTC),
            )
        )
        session.flush()
        for meter_id, _, _ in meters:
            session.add(
                MeterSeries(
                    meter_id=meter_id,
                    source_id=source.id,
                    kind="power",
                    unit="kW",
                    interval_s=INTERVAL_S,
                )
            )
        file_id = session.scalars(select(ImportFile.id)).one()
    for number, (meter_id, device_id, code) in enumerate(meters, start=1):
        with database.write() as session:
            link = session.connection()
            # What is written is right: nobody else is here, and every parent is.
            link.exec_driver_sql("SET unique_checks=0, foreign_key_checks=0")
            link.exec_driver_sql(_readings(meter_id, file_id, first_s, slots))
            link.exec_driver_sql(
                _values(device_id, end_s, min(slots, LIVE_DAYS * DAY_S // INTERVAL_S))
            )
            link.exec_driver_sql(_hours(device_id, first_s, slots))
            link.exec_driver_sql("SET unique_checks=1, foreign_key_checks=1")
        if number % max(1, len(meters) // 10) == 0:
            say(f"{number * slots:,} readings written, the last of {code}")
    with database.write() as session:
        for table in ("meter_readings", "device_data", "energy_production"):
            session.connection().exec_driver_sql(f"ANALYZE TABLE {table}")
    return Books(
        [f"bench-{number}" for number in range(sites)],
        [code for _, _, code in meters],
        datetime.fromtimestamp(first_s, UTC).date(),
        _END.date(),
    )


def _value(meter: int) -> str:
    """Return hundredths of a kW, as SQL."""
    return f"MOD(seq * 7919 + {meter} * 104729, 205000)"


def _readings(meter_id: int, file_id: int, first_s: int, slots: int) -> str:
    value, none = _value(meter_id), "MOD(seq, 60) = 59"
    with_value, _ = stored(Quality.USED)
    without, why = stored(Quality.MISSING)
    return (
        "INSERT INTO meter_readings (meter_id, start_s, duration_s, kind, text, unit, value_digits, "
        "value_scale, quality, reason, conflict, file_id, line) "
        f"SELECT {meter_id}, {first_s} + seq * {INTERVAL_S}, {INTERVAL_S}, 'power', "
        f"IF({none}, '', CAST({value} / 100 AS DECIMAL(10, 2))), 'kW', IF({none}, NULL, {value}), "
        f"IF({none}, NULL, 2), IF({none}, '{without}', '{with_value}'), IF({none}, '{why}', NULL), FALSE, "
        f"{file_id}, seq + 2 "
        f"FROM seq_0_to_{slots - 1} WHERE MOD(seq, {_OF}) >= {_ABSENT}"
    )


def _values(device_id: int, end_s: int, slots: int) -> str:
    return (
        "INSERT INTO device_data (device_id, metric_name, value, unit, metadata, recorded_at, created_at) "
        f"SELECT {device_id}, 'power', {_value(device_id)} / 100, 'kW', NULL, "
        f"FROM_UNIXTIME({end_s} - (seq + 1) * {INTERVAL_S}), UTC_TIMESTAMP() "
        f"FROM seq_0_to_{slots - 1} ORDER BY seq DESC"
    )


def _hours(device_id: int, first_s: int, slots: int) -> str:
    per_hour = 3600 // INTERVAL_S
    return (
        "INSERT INTO energy_production (device_id, production, unit, recorded_at, created_at) "
        f"SELECT {device_id}, {_value(device_id)} / 100, 'kWh', "
        f"FROM_UNIXTIME({first_s - first_s % 3600} + seq * 3600), UTC_TIMESTAMP() "
        f"FROM seq_0_to_{max(1, slots // per_hour) - 1}"
    )


def _site(number: int, devices: int) -> str:
    """Return the file of one site: a project and its turbines."""
    turbines = "".join(
        f"""
[[device]]
code = "T{number:03d}-{place}"
type = "wind_turbine"
rated_kw = "2050"
meter_serial = "T{number:03d}-{place}"
role = "generation"
"""
        for place in range(devices)
    )
    return f"""
[site]
code = "bench-{number}"
name = "Benchmark"
time_zone = "Europe/Paris"
country = "FR"

[[factor]]
code = "bench-cm"
version = "1"
purpose = "crediting_cm"
value = "0.4329"
unit = "t/MWh"
source = "made for the benchmark"
verified = false

[project]
code = "bench-{number}"
methodology = "CCER-01-002"
methodology_version = "V01"
factor = "bench-cm"
program = "internal"
completeness_min = "0"

[[source]]
name = "scada"
kind = "power"
unit = "kW"
interval_minutes = {INTERVAL_S // 60}
label = "start"
device_column = "turbine"
time_column = "time"
value_column = "power_kw"
time_zone = "offset"
{turbines}"""
