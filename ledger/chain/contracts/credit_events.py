"""The events of ``CarbonCredit`` that change a row, as frozen structs.

Names are those of the contract in snake case; hashes and addresses are lower-case text; amounts of
credits are kilograms of CO2e, ``*_start``/``*_end`` and times are seconds since
1970 (UTC).
"""

from __future__ import annotations

import msgspec


class ClassRegistered(msgspec.Struct, frozen=True, gc=False):
    """A credit class: what is credited, by which methodology, up to which cap in kg; its buffer share."""

    class_id: int
    code: str
    methodology_hash: str
    cap: int
    buffer_bps: int
    seq: int
    head: str


class ClassCapChanged(msgspec.Struct, frozen=True, gc=False):
    """The cap of a class, in kg, before and after."""

    class_id: int
    old_cap: int
    new_cap: int
    seq: int
    head: str


class ClassBufferChanged(msgspec.Struct, frozen=True, gc=False):
    """The buffer share of a class, in hundredths of a percent, before and after."""

    class_id: int
    old_buffer_bps: int
    new_buffer_bps: int
    seq: int
    head: str


class ProjectRegistered(msgspec.Struct, frozen=True, gc=False):
    """A project of a class, and its owner."""

    project_id: int
    class_id: int
    owner: str
    code: str
    seq: int
    head: str


class SiteRegistered(msgspec.Struct, frozen=True, gc=False):
    """A metered site of a project; its code begins every serial."""

    site_id: int
    project_id: int
    code: str
    seq: int
    head: str


class Claim(msgspec.Struct, frozen=True, gc=False):
    """What the verifier signed: amount and evidence total in kg, period in epoch seconds.

    ``expires_at`` is 0 for never; ``backfill_before`` is 0 for a period after the site's last one, else
    the ordinal of the site's batch that comes next in time.
    """

    key: str
    class_id: int
    project_id: int
    site_id: int
    amount: int
    period_start: int
    period_end: int
    expires_at: int
    backfill_before: int
    evidence_root: str
    evidence_total: int
    manifest_hash: str
    methodology_hash: str
    recipient: str
    deadline: int


class Issued(msgspec.Struct, frozen=True, gc=False):
    """A batch came into being: ``buffered`` went to the buffer, the rest to the recipient."""

    key: str
    batch_id: int
    recipient: str
    claim: Claim
    issuer: str
    verifier: str
    buffered: int
    seq: int
    head: str


class RetirementDetails(msgspec.Struct, frozen=True, gc=False):
    """For whom and why; consumption period in epoch seconds."""

    beneficiary: str
    reason: str
    country: str
    consumption_start: int
    consumption_end: int
    document_hash: str


class Retired(msgspec.Struct, frozen=True, gc=False):
    """Serials ``first_serial`` to ``first_serial + amount - 1`` were used up, for ever."""

    key: str
    batch_id: int
    holder: str
    retirement_id: int
    first_serial: int
    amount: int
    retired_total: int
    details: RetirementDetails
    seq: int
    head: str


class Cancelled(msgspec.Struct, frozen=True, gc=False):
    """Serials ``first_serial`` to ``first_serial + amount - 1`` were withdrawn by their holder."""

    key: str
    batch_id: int
    holder: str
    first_serial: int
    amount: int
    cancelled_total: int
    reason: str
    seq: int
    head: str


class Replaced(msgspec.Struct, frozen=True, gc=False):
    """Units of the buffer were used up for what was retired of an invalidated batch."""

    key: str
    batch_id: int
    replaced_batch_id: int
    retirement_id: int
    first_serial: int
    amount: int
    retired_total: int
    deficit_left: int
    seq: int
    head: str


class Reading(msgspec.Struct, frozen=True, gc=False):
    """A leaf of the evidence: a value of ``digits / 10^scale`` between two epoch seconds."""

    meter: str
    start: int
    end: int
    digits: int
    scale: int
    kind: int
    quality: int
    text: str


class OverlapProven(msgspec.Struct, frozen=True, gc=False):
    """A reading of one meter counts in two batches."""

    first_batch_id: int
    second_batch_id: int
    challenger: str
    first: Reading
    second: Reading
    seq: int
    head: str


class InvalidationProposed(msgspec.Struct, frozen=True, gc=False):
    """Somebody wants a batch cancelled as a whole."""

    batch_id: int
    proposer: str
    executable_at: int
    reason: str
    seq: int
    head: str


class InvalidationDropped(msgspec.Struct, frozen=True, gc=False):
    """The proposal to cancel a batch is off."""

    batch_id: int
    seq: int
    head: str


class Invalidated(msgspec.Struct, frozen=True, gc=False):
    """A batch is cancelled: what is held is frozen, what was retired is a deficit, both in kg."""

    batch_id: int
    executor: str
    frozen: int
    deficit: int
    seq: int
    head: str


class StatusChanged(msgspec.Struct, frozen=True, gc=False):
    """The status of a batch, as the contract numbers them, before and after."""

    batch_id: int
    old_status: int
    new_status: int
    seq: int
    head: str


class TransferSingle(msgspec.Struct, frozen=True, gc=False):
    """ERC-1155: units of one batch moved."""

    operator: str
    from_: str = msgspec.field(name="from")
    to: str
    id: int
    value: int


class TransferBatch(msgspec.Struct, frozen=True, gc=False):
    """ERC-1155: units of several batches moved."""

    operator: str
    from_: str = msgspec.field(name="from")
    to: str
    ids: tuple[int, ...]
    values: tuple[int, ...]


EVENTS = (
    ClassRegistered,
    ClassCapChanged,
    ClassBufferChanged,
    ProjectRegistered,
    SiteRegistered,
    Issued,
    Retired,
    Cancelled,
    Replaced,
    OverlapProven,
    InvalidationProposed,
    InvalidationDropped,
    Invalidated,
    StatusChanged,
    TransferSingle,
    TransferBatch,
)
"""Every event above."""
