"""What each account of MariaDB may do: tried out on a server, table by table, against what the models declare."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import pymysql
import pytest

from cli.books import bring_up_to_date
from ledger.db import Database
from ledger.db.grants import Account, missing, place_of, rights_of, statements, wanted
from ledger.errors import BadInput, DependencyDown
from ledger.models import Base
from ledger.settings import load_settings
from tests.support.accounts import made_account
from tests.support.backups import rows
from tests.support.mariadb import MariaDbServer

TABLES = sorted(Base.metadata.tables)
APPEND_ONLY = {
    "audit_chain",
    "audit_logs",
    "correction_readings",
    "correction_registers",
    "corrections",
    "emission_factors",
    "reading_restorations",
    "reading_withdrawals",
}
"""Tables whose rows nobody changes: by trigger, and by the rights of every account that works."""
DENIED = {1142, 1044, 1227}


def tried(link: pymysql.Connection, sql: str) -> bool:
    """Return whether the server lets an account do something; nothing is changed."""
    try:
        with link.cursor() as cursor:
            cursor.execute(sql)
    except pymysql.err.OperationalError as error:
        if error.args[0] in DENIED:
            return False
        raise
    return True


def probes(table: str) -> dict[str, str]:
    column = next(iter(Base.metadata.tables[table].columns)).name
    return {
        "SELECT": f"SELECT `{column}` FROM {table} WHERE 1 = 0",
        "INSERT": f"INSERT INTO {table} SELECT * FROM {table} WHERE 1 = 0",
        "UPDATE": f"UPDATE {table} SET `{column}` = `{column}` WHERE 1 = 0",
        "DELETE": f"DELETE FROM {table} WHERE 1 = 0",
    }


@pytest.fixture(params=[Account.WRITE, Account.API, Account.READ, Account.BACKUP])
def probe(
    request: pytest.FixtureRequest, mariadb_server: MariaDbServer, mariadb_db: Database
) -> Iterator[tuple[Account, pymysql.Connection]]:
    """A connection of each account."""
    account: Account = request.param
    with made_account(mariadb_server, account) as url:
        link = pymysql.connect(
            host="127.0.0.1", port=mariadb_server.port, user=url.username or "", password=url.password or "",
            database="truetonne",
        )  # fmt: skip
        yield account, link
        link.close()


@pytest.mark.mariadb
def test_an_account_may_do_what_the_models_declare_and_nothing_else(
    probe: tuple[Account, pymysql.Connection],
) -> None:
    account, link = probe
    found = {
        table: {verb for verb, sql in probes(table).items() if tried(link, sql)} for table in TABLES
    }
    rights = wanted(account)
    assert found == {table: {"SELECT", *rights.get(table, ())} for table in TABLES}
    # Written out, whatever the models say:
    writes = {table for table, verbs in found.items() if verbs != {"SELECT"}}
    if account in (Account.READ, Account.BACKUP):
        assert writes == set()
    else:
        assert all(found[table] <= {"SELECT", "INSERT"} for table in APPEND_ONLY)
    if account is Account.API:
        assert writes == {
            *("users", "user_contacts", "user_permissions", "user_sessions", "api_keys"),
            *("idempotency_keys", "sign_in_attempts", "webhook_endpoints", "webhook_deliveries"),
            *("audit_logs", "audit_chain", "audit_heads", "device_alerts"),
        }
        assert not writes & {"carbon_credits", "credit_batches", "issuances", "meter_readings"}
    if account is Account.WRITE:
        assert found["carbon_credits"] == {"SELECT", "INSERT", "UPDATE", "DELETE"}
        assert found["issuances"] == {"SELECT", "INSERT", "UPDATE"}
        # An issuance that is voided gives back readings and deficits.
        assert {"DELETE"} <= found["reading_claims"] & found["correction_carries"]
    for sql in (
        "DROP TABLE audit_logs",
        "TRUNCATE audit_logs",
        "TRUNCATE idempotency_keys",
        "ALTER TABLE users ADD COLUMN x INT",
        "CREATE TABLE x (id INT)",
        "CREATE INDEX x ON users (role)",
        "DROP TRIGGER audit_logs_no_update",
        "CREATE USER x",
        "GRANT SELECT ON truetonne.* TO CURRENT_USER()",
        "SET GLOBAL sql_mode = ''",
        "UPDATE alembic_version SET version_num = '0001'",
    ):
        assert not tried(link, sql), sql


@pytest.mark.mariadb
def test_what_is_append_only_by_trigger_is_so_by_rights(mariadb_db: Database) -> None:
    with mariadb_db.read() as session:
        triggers = session.connection().exec_driver_sql(
            "SELECT event_object_table FROM information_schema.triggers "
            "WHERE trigger_schema = DATABASE() AND trigger_name LIKE '%%_no_update'"
        )
        assert set(triggers.scalars()) == APPEND_ONLY
    declared = {n for n, t in Base.metadata.tables.items() if t.info["changes"] == ("insert",)}
    assert declared == APPEND_ONLY


@pytest.mark.mariadb
def test_the_account_that_migrates_builds_everything(mariadb_server: MariaDbServer) -> None:
    mariadb_server.execute("CREATE DATABASE `mi_grated`", "CREATE DATABASE `mixgrated`")
    with made_account(mariadb_server, Account.MIGRATE, "mi_grated") as url:
        given = url.render_as_string(hide_password=False)
        weak = url.set(username="nobody").render_as_string(hide_password=False)
        names = {"TRUETONNE_DATABASE_URL": weak, "TRUETONNE_DATABASE_ADMIN_URL": given}
        done = bring_up_to_date(load_settings(None, names))
        assert (done.before, len(done.applied) > 30, done.sealed) == (None, True, {})
        database = Database(given)
        with database.read() as session:
            assert missing(Account.MIGRATE, rights_of(session.connection())) == []
        # An underscore in the name of a database is no wildcard.
        with pytest.raises(DependencyDown, match="denied"), database.read() as session:
            session.connection().exec_driver_sql("SELECT * FROM mixgrated.x")
        database.close()
    mariadb_server.execute("DROP DATABASE `mi_grated`", "DROP DATABASE `mixgrated`")


@pytest.mark.mariadb
def test_the_account_for_backups_is_given_what_the_server_calls_these_rights(
    mariadb_server: MariaDbServer, mariadb_db: Database
) -> None:
    with made_account(mariadb_server, Account.BACKUP) as url:
        database = Database(url.render_as_string(hide_password=False))
        with database.read() as session:
            link = session.connection()
            assert missing(Account.BACKUP, rights_of(link)) == []
            assert link.exec_driver_sql("SHOW MASTER STATUS").all() == []  # none is written here
            assert not rights_of(link)("*", "INSERT")
        database.close()


@pytest.mark.mariadb
def test_a_right_that_is_not_there_is_said_in_a_line(
    mariadb_server: MariaDbServer, mariadb_db: Database
) -> None:
    with made_account(mariadb_server, Account.API) as url:
        database = Database(url.render_as_string(hide_password=False))
        with (
            pytest.raises(
                DependencyDown,
                match=r"UPDATE command denied.*this account lacks the right; .*db grants",
            ),
            database.write() as session,
        ):
            session.connection().exec_driver_sql("UPDATE carbon_credits SET issuer = 'x'")
        database.close()


@pytest.mark.mariadb
def test_statements_can_be_run_again_and_take_back_what_is_too_much(
    mariadb_server: MariaDbServer, mariadb_db: Database
) -> None:
    with made_account(mariadb_server, Account.READ) as url:
        who = f"'{url.username}'@'%'"
        mariadb_server.execute(f"GRANT DELETE ON truetonne.users TO {who}")
        mariadb_server.execute(
            *statements(
                Account.READ,
                "truetonne",
                user=url.username or "",
                tls=False,
                mysql=mariadb_server.is_mysql,
            )
        )
        database = Database(
            url.render_as_string(hide_password=False)
        )  # the password is still the same
        with database.read() as session:
            may = rights_of(session.connection())
            assert (may("*", "SELECT"), may("users", "DELETE")) == (True, False)
        database.close()


@pytest.mark.mariadb
def test_nobody_can_sign_in_before_a_password_is_set_and_tls_is_asked_for(
    mariadb_server: MariaDbServer,
) -> None:
    """Also where the server checks passwords, and refuses an account that has none."""
    run = partial(rows, mariadb_server.folder / "s")
    who = "'truetonne_checked'@'%'"
    made = statements(Account.READ, "truetonne", user="truetonne_checked")
    hashes: list[object] = []
    run("INSTALL SONAME 'simple_password_check'")
    try:
        for _ in range(2):
            hashes.append(run(*made, f"SHOW CREATE USER {who}"))
            for password in ("", "invalid", "truetonne_checked"):
                with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
                    pymysql.connect(
                        host="127.0.0.1",
                        port=mariadb_server.port,
                        user="truetonne_checked",
                        password=password,
                    )
        assert hashes[0] == hashes[1]  # the password is still the same
        assert "REQUIRE SSL" in str(hashes[0])
        anew = run(f"DROP USER {who}", *made, f"SHOW CREATE USER {who}")
        assert anew != hashes[0]  # and it is nobody else's
    finally:
        run(f"DROP USER IF EXISTS {who}", "UNINSTALL SONAME 'simple_password_check'")


@pytest.mark.parametrize(
    ("user", "host", "said"),
    [
        ("a'b", "%", r"cannot be the user"),
        ("", "10.0.0.1'; DROP", "cannot be the host"),
        ("", "", "cannot be the host"),
    ],
)
def test_names_that_cannot_be(user: str, host: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        statements(Account.READ, "books", user=user, host=host)


def test_a_name_is_quoted() -> None:
    assert place_of("a_b`c", "*") == "`a\\_b``c`.*"
    assert place_of("a_b", "users") == "`a_b`.`users`"


def test_every_verb_is_one_that_the_writer_may_do() -> None:
    for table in Base.metadata.tables.values():
        assert set(table.info["api"]) <= set(table.info["changes"]), table.name
        assert re.fullmatch("(insert)?(update)?(delete)?", "".join(table.info["changes"])), (
            table.name
        )


def test_a_database_whose_archive_would_have_a_name_that_is_too_long() -> None:
    made = statements(Account.MIGRATE, "n" * 56)[-1]
    assert "`" + "n" * 56 + "\\_archive`.*" in made
    with pytest.raises(BadInput, match="give the database a name of 56 at the most"):
        statements(Account.READ, "n" * 57)
