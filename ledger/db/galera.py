"""Connections to a node of a Galera cluster: they begin with all that the cluster has, and die when they are no use.

Only one node is written to (docs/ha.md). When it is lost, another is, and that one may still have before it what the
lost one had committed: it has received it, and not yet applied it. A connection waits for that when it is opened, and
never again, as nothing is committed elsewhere while it lives.
"""

from __future__ import annotations

import socket
from typing import Any

from pymysql.connections import Connection
from pymysql.err import OperationalError
from sqlalchemy import Connection as Engaged
from sqlalchemy.exc import OperationalError as StatementFailed

from ledger.errors import Refused

NOT_READY = 1047
"""The node is not of the majority, or has not yet what the others have."""
UNDECIDED = 1180
"""The node was lost to the others while it committed: whether the others have it is not known."""
_WAITED_LONG = 1205
"""What a node says whose wait for the cluster ended without success: the number of a lock that was not had."""
NODE = "node"
"""Under this ``info`` of a connection has the name of the node, where its server is one."""
_NODE = "SHOW GLOBAL VARIABLES WHERE variable_name IN ('wsrep_on', 'wsrep_node_name')"
_KEEPALIVE = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3))
"""Seconds of silence, seconds between questions, and questions, after which a machine that is gone is known to be."""


def node_of(link: Connection[Any]) -> str:
    """Return the name of the node that a new connection has come to; empty where the server is of no cluster."""
    keep_alive(link)
    with link.cursor() as cursor:
        cursor.execute(_NODE)
        found = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
    return found["wsrep_node_name"] if found.get("wsrep_on") == "ON" else ""


def wait_for_cluster(link: Connection[Any]) -> None:
    """Wait until the node of a new connection has what the cluster has.

    Raises
    ------
    pymysql.err.OperationalError
        The node is not ready, or did not come so far in time.
    """
    with link.cursor() as cursor:
        cursor.execute("SET SESSION wsrep_sync_wait = 1")
        try:
            cursor.execute("SELECT 1")
        except OperationalError as error:
            if not _is_wait(error):
                raise
            said = "WSREP has not yet what the cluster has, or has lost the cluster"
            raise OperationalError(NOT_READY, said) from error
        cursor.execute("SET SESSION wsrep_sync_wait = @@GLOBAL.wsrep_sync_wait")


def require_none(connection: Engaged, place: str) -> None:
    """Require that a server is no node of a cluster, which is neither promoted nor made to follow.

    Raises
    ------
    Refused
        It is one.
    """
    node = connection.info.get(NODE)
    if node:
        raise Refused(
            f"{place} is {node}, a node of a Galera cluster: it takes over, and gets what it lacks, by itself; see "
            "docs/ha.md",
            code="cluster-node",
        )


def cluster_of(connection: Engaged) -> str:
    """Return the identity of the cluster that the server of a connection is a node of; empty when it is of none."""
    query = "SHOW GLOBAL STATUS LIKE 'wsrep_cluster_state_uuid'"
    row = connection.exec_driver_sql(query).one_or_none()
    return "" if row is None else str(row[1])


def catch_up(connection: Engaged) -> bool:
    """Wait until a node has all that was committed on any node before now; return whether it has.

    Raises
    ------
    sqlalchemy.exc.OperationalError
        The node is not ready.
    """
    connection.exec_driver_sql("SET SESSION wsrep_sync_wait = 1")
    try:
        connection.exec_driver_sql("SELECT 1")
    except StatementFailed as error:
        if _is_wait(error.orig):
            return False
        raise
    connection.exec_driver_sql("SET SESSION wsrep_sync_wait = @@GLOBAL.wsrep_sync_wait")
    return True


def _is_wait(error: BaseException | None) -> bool:
    """Return whether a node did not come so far in the time that it gives itself, or that it was given here."""
    waited = isinstance(error, OperationalError) and error.args[0] == _WAITED_LONG
    return waited or (error is not None and isinstance(error.__context__, TimeoutError))


def keep_alive(link: Connection[Any]) -> None:
    """Have the kernel ask whether the other machine is there while nothing is said: a dead one sends no farewell."""
    line = getattr(link, "_sock", None)
    if line is None or line.family == getattr(socket, "AF_UNIX", None):
        return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):  # not everywhere
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
