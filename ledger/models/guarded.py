"""What guards other tables: the chain over the audit log, and what is known of users and sealed. Ours."""

from sqlalchemy import BigInteger, ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import BEYOND, Base, big_key, options
from ledger.models.types import BigInt, Sha256

AUDIT_CHAIN = "ledger.audit_chain"


class AuditLink(Base):
    """The place of an audit entry in the chain: its hash has the one before in it. Append-only by trigger."""

    __tablename__ = "audit_chain"

    position: Mapped[int] = big_key("Place in the chain, from 1 on without a gap.")
    audit_id: Mapped[int] = mapped_column(
        BigInt, ForeignKey("audit_logs.id"), unique=True, comment="Row number of the entry."
    )
    previous_hash: Mapped[str] = mapped_column(
        Sha256, comment="Hash of the place before; zeros: this is the first."
    )
    entry_hash: Mapped[str] = mapped_column(
        Sha256, comment="SHA-256 of place, hash before and entry."
    )

    __table_args__ = (
        options(
            "The place of an audit entry in the chain; append-only.",
            writer=AUDIT_CHAIN,
            origin=BEYOND,
            changes="insert",
            api="insert",
        ),
    )


class AuditHead(Base):
    """The end of the chain: whoever adds to it locks this one row first."""

    __tablename__ = "audit_heads"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="1, always.")
    position: Mapped[int] = mapped_column(BigInteger, comment="The last place; 0: none yet.")
    entry_hash: Mapped[str] = mapped_column(Sha256, comment="Hash of the last place.")

    __table_args__ = (
        options(
            "The end of the audit chain.",
            writer=AUDIT_CHAIN,
            origin=BEYOND,
            api="insert, update",
        ),
    )


class UserContact(Base):
    """The mail address of a user, sealed; ``users.email`` has the blind index of it."""

    __tablename__ = "user_contacts"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id"),
        primary_key=True,
        autoincrement=False,
        comment="Row number of the user.",
    )
    email_sealed: Mapped[str] = mapped_column(
        Text, comment="Mail address, AES-256-GCM, with the number of its key."
    )

    __table_args__ = (
        options(
            "The mail address of a user, sealed.",
            writer="ledger.identity.contacts",
            origin=BEYOND,
            api="insert, update",
        ),
    )
