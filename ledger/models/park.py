"""What those who write records of a park need among themselves."""

from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import BEYOND, Base, options
from ledger.models.types import Varchar


class ParkTurn(Base):
    """The turn of whoever writes records of a park: a row to wait for."""

    __tablename__ = "park_turns"

    name: Mapped[str] = mapped_column(
        Varchar(20), primary_key=True, comment="Whose turn it is about."
    )

    __table_args__ = (
        options(
            "A row that whoever writes records of a park holds until the commit.",
            writer="ledger.park",
            origin=BEYOND,
        ),
    )
