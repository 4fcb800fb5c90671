"""Backups of the database: taken, kept, restored, and proven by drills; and books copied to another database.

A backup folder holds items, a folder each: a *full* copy, an *incremental* one that needs the one before
it, a *binlog* with what MariaDB committed since. Each is compressed and sealed (``stream``) on its way, and has a
``manifest`` that is written last (``store``, in a ``folder`` with locks): what has none is no backup.

``taking`` takes them, by ``sqlite`` or ``mariadb`` with the server's own ``tools`` and its ``binlog``. ``restoring``
puts them together to any moment, in the order of ``planning``; ``drill`` does that into a ``server`` of its own and
compares every table by its ``checks``. ``overview`` shows how they stand.

``copying`` takes books to another database, row for row, on SQLite or MariaDB.
"""
