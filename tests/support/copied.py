"""A copy of a whole database, and its restoring: as an operator would, with nobody connected."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymysql
from pymysql.connections import Connection

from ledger.db import Database

Restore = Callable[[], None]


def back_up(db: Database, folder: Path) -> Restore:
    """Copy a database; what is returned puts the copy back."""
    return _file(db, folder) if db.dialect == "sqlite" else _server(db)


def _file(db: Database, folder: Path) -> Restore:
    file = Path(db.url.database or "")
    copy = folder / "backup.db"
    db.close()
    for suffix in ("", "-wal", "-shm"):
        part = Path(f"{file}{suffix}")
        if part.exists():
            shutil.copyfile(part, f"{copy}{suffix}")

    def restore() -> None:
        db.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{file}{suffix}").unlink(missing_ok=True)
            if Path(f"{copy}{suffix}").exists():
                shutil.copyfile(f"{copy}{suffix}", f"{file}{suffix}")

    return restore


def _server(db: Database) -> Restore:
    tables: dict[str, tuple[list[str], list[tuple[Any, ...]]]] = {}
    with _link(db) as link, link.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() "
            "AND table_type = 'BASE TABLE'"
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f"SELECT * FROM {name}")
            columns = [item[0] for item in cursor.description]
            tables[name] = columns, list(cursor.fetchall())

    def restore() -> None:
        db.close()
        with _link(db) as link, link.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            for name, (columns, rows) in tables.items():
                cursor.execute(f"TRUNCATE {name}")
                if rows:
                    names = ", ".join(f"`{column}`" for column in columns)
                    places = ", ".join(["%s"] * len(columns))
                    cursor.executemany(f"INSERT INTO {name} ({names}) VALUES ({places})", rows)

    return restore


def open_again(db: Database) -> None:
    """Open books of a server again that were closed, as they had been copied into others."""
    with _link(db) as link, link.cursor() as cursor:
        cursor.execute("UPDATE alembic_version SET version_num = %s", (db.head(),))


def _link(db: Database) -> "Connection[Any]":
    url = db.url
    return pymysql.connect(
        host=url.host or "127.0.0.1",
        port=url.port or 3306,
        user=url.username or "root",
        password=url.password or "",
        database=url.database,
        autocommit=True,
    )
