"""What left the live tables for the archive, as far as the live tables must know. Ours."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import BEYOND, Base, created_at, options


class ArchivedDevice(Base):
    """A device with values in the archive: its key keeps the device from being deleted under them."""

    __tablename__ = "archived_devices"

    device_id: Mapped[int] = mapped_column(
        ForeignKey("devices.id"),
        primary_key=True,
        autoincrement=False,
        comment="Row number of the device (not its code).",
    )
    created_at: Mapped[datetime] = created_at("When values of it first went there, UTC.")

    __table_args__ = (
        options("A device with archived values.", writer="ledger.keeping", origin=BEYOND),
    )
