"""Records of a park and its virtual power plants: devices, resources, plants, trading, models, alerts, configuration.

The one writer of their tables. A site file writes some of them through here; everything else comes as files of
records, by ``park import``, or one at a time.

- **Kinds.** ``catalogue`` declares them by ``kinds`` and ``fields``; ``rules`` holds what a row must satisfy by
  itself, ``together`` what it must with others, ``states`` which state may follow which.
- **In and out.** ``files`` and ``reading`` read, ``importing`` brings ``rows`` into the books in ``turn``,
  ``records`` reads them there, ``writing`` writes them as a file.
- **Alerts.** ``alert_rules`` and the ``series`` of a device give ``episodes``, which ``alerts`` brings into the
  books and ``watching`` by the clock, of the devices that ``waiting`` names; ``standing`` is what becomes of one
  there, ``handling`` what a person says of it; ``unwatched`` names the rules that no value can break.
- **Settings in the database.** ``configuration``, with its ``secrets``.
"""

from ledger.park.alerts import follow
from ledger.park.catalogue import KINDS, kind_named
from ledger.park.files import RecordFile, read_file
from ledger.park.importing import import_records, set_record
from ledger.park.kinds import Kind
from ledger.park.records import Record, put_row
from ledger.park.rows import ImportReport
from ledger.park.standing import AlertTally
from ledger.park.together import require_shares
from ledger.park.turn import take_turn

__all__ = [
    "KINDS",
    "AlertTally",
    "ImportReport",
    "Kind",
    "Record",
    "RecordFile",
    "follow",
    "import_records",
    "kind_named",
    "put_row",
    "read_file",
    "require_shares",
    "set_record",
    "take_turn",
]
