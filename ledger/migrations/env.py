"""Alembic's entry: runs on the connection that ``runner`` hands over, never on one of its own."""

from __future__ import annotations

from alembic import context

from ledger.models import Base

connection = context.config.attributes["connection"]
assert connection is not None, "run migrations with `truetonne db upgrade`"

context.configure(
    connection=connection,
    target_metadata=Base.metadata,  # for its names of constraints
    transaction_per_migration=connection.dialect.name != "sqlite",
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
