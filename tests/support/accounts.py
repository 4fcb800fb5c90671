"""Accounts of MariaDB with the rights that ``ledger.db.grants`` gives them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, make_url

from ledger.db.grants import Account, statements
from tests.support.mariadb import MariaDbServer

PASSWORD = "a long password"


@contextmanager
def made_account(
    server: MariaDbServer, account: Account, database: str = "truetonne"
) -> Iterator[URL]:
    """Make an account as the command prints it, with a password; drop it at the end."""
    user = f"test_{account}"
    given = f"SET PASSWORD FOR '{user}'@'%' = PASSWORD('{PASSWORD}')"
    if server.is_mysql:
        given = f"ALTER USER '{user}'@'%' IDENTIFIED BY '{PASSWORD}'"
    server.execute(
        *statements(account, database, user=user, tls=False, mysql=server.is_mysql), given
    )
    try:
        yield make_url(server.url(database)).set(username=user, password=PASSWORD)
    finally:
        server.execute(f"DROP USER '{user}'@'%'")
