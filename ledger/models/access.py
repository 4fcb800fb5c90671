"""Access by programs: API keys, answers that are given once, attempts to sign in. Ours."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_id, created_at, int_id, options
from ledger.models.types import Hex, MediumText, Sha256, Varchar, json_array


class ApiKey(Base):
    """A key by which a program acts for a user, within its scopes."""

    __tablename__ = "api_keys"

    id: Mapped[int] = int_id()
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id"), comment="Row number of the user for whom it acts."
    )
    name: Mapped[str] = mapped_column(Varchar(100), comment="What it is for, in its user's words.")
    prefix: Mapped[str] = mapped_column(
        Varchar(12), unique=True, comment="First characters of the key, by which people name it."
    )
    key_hash: Mapped[str] = mapped_column(Sha256, comment="SHA-256 of the whole key.")
    scopes: Mapped[list[str]] = mapped_column(
        json_array(), comment="Rights that it carries, as far as its user has them."
    )
    created_at: Mapped[datetime] = created_at("When it was made, UTC.")
    expires_at: Mapped[datetime] = mapped_column(comment="When it ends by itself, UTC.")
    last_used_at: Mapped[datetime | None] = mapped_column(
        comment="When it was last used, UTC, to a few minutes; null: never."
    )
    revoked_at: Mapped[datetime | None] = mapped_column(
        comment="When it was revoked, UTC; null: it was not."
    )

    __table_args__ = (
        Index("idx_api_keys_user_id", "user_id"),
        options(
            "A key by which a program acts for a user.",
            writer="ledger.identity.keys",
            origin=BEYOND,
            api="insert, update",
        ),
    )


class IdempotencyKey(Base):
    """A request that carried an Idempotency-Key, and its answer, sealed; kept for a day."""

    __tablename__ = "idempotency_keys"

    key_hash: Mapped[str] = mapped_column(
        Sha256, primary_key=True, comment="SHA-256 of who asked, what was called, and the key."
    )
    salt: Mapped[str] = mapped_column(
        Hex(16, prefix=""), comment="Salt of what is made from key and request."
    )
    fingerprint: Mapped[str] = mapped_column(
        Sha256, comment="By which the same request is known again; scrypt."
    )
    claim: Mapped[str] = mapped_column(Varchar(32), comment="Number of the run that answers it.")
    claimed_at: Mapped[datetime] = mapped_column(comment="When that run began, UTC.")
    answer: Mapped[str | None] = mapped_column(
        MediumText, comment="The answer, encrypted, in base64; null: it is on its way."
    )

    __table_args__ = (
        Index("idx_idempotency_keys_claimed_at", "claimed_at"),
        options(
            "A request that is answered once, and its answer.",
            writer="ledger.identity.idempotency",
            origin=BEYOND,
            changes=ALL,
            api="insert, update, delete",
        ),
    )


class SignInAttempt(Base):
    """An attempt to sign in that did not succeed, or not yet; kept for as long as it counts."""

    __tablename__ = "sign_in_attempts"

    id: Mapped[int] = big_id()
    name_hash: Mapped[str] = mapped_column(
        Sha256, comment="SHA-256 of the name: people type passwords into the wrong field."
    )
    ip_address: Mapped[str] = mapped_column(Varchar(45), comment="Address of the client.")
    attempted_at: Mapped[datetime] = mapped_column(comment="When, UTC.")

    __table_args__ = (
        Index("idx_sign_in_attempts_name_hash_attempted_at", "name_hash", "attempted_at"),
        Index("idx_sign_in_attempts_ip_address_attempted_at", "ip_address", "attempted_at"),
        Index("idx_sign_in_attempts_attempted_at", "attempted_at"),
        options(
            "An attempt to sign in that did not succeed.",
            writer="ledger.identity.attempts",
            origin=BEYOND,
            changes=ALL,
            api="insert, delete",
        ),
    )
