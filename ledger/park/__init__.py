"""Records of a park and its virtual power plants: devices, resources, plants, trading, models, alerts, configuration.

The one writer of their tables. A site file writes some of them through here; everything else comes as files of
records, by ``park import``, or one at a time.
"""

from ledger.park.alerts import AlertTally, follow
from ledger.park.catalogue import KINDS, kind_named
from ledger.park.files import RecordFile, read_file
from ledger.park.importing import import_records, set_record
from ledger.park.kinds import Kind
from ledger.park.records import Record, put_row
from ledger.park.rows import ImportReport
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
