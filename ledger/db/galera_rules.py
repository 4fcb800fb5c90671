"""What a node of a Galera cluster must be like for the books, and the statement that mends it where it is not.

Rules as in ``ledger.db.server``; they say nothing of a server that is no node. One that is not of the majority answers
no question that touches a table: of it the doctor's first line tells, with the server's own words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from ledger.db.findings import Finding, Server, State
from ledger.models import Base

NODES_MIN = 3
"""With two, the loss of either stops the other: it cannot know which of them is cut off."""
SUSPECT_S_MAX = 5.0
"""Seconds after which the others go on without a silent node, so that work goes on within ten."""
PAUSED_MAX = 0.1
"""Share of the time in which writes stood still for a slow node."""
_STATES = {"1": "joins", "2": "gives a copy to another", "3": "catches up", "4": "has everything"}
_DYNAMIC = (
    ("binlog_format", "ROW", "a cluster replicates rows"),
    ("wsrep_sync_wait", "0", "every read waits for the cluster; connections of ours wait once"),
    ("wsrep_dirty_reads", "OFF", "a node that is cut off would answer with what was"),
    ("wsrep_osu_method", "TOI", "changes of tables reach one node alone"),
    (
        "wsrep_slave_threads",
        "1",
        "with more than one applier, a change of partitions may stop the node for good, and all commits with it",
    ),
    ("wsrep_certify_nonpk", "ON", "rows without a primary key would differ between nodes"),
)
_SECONDS = re.compile(r"evs\.suspect_timeout\s*=\s*PT(?:(\d+)M)?(?:([\d.]+)S)?")


def findings(server: Server) -> Iterator[Finding]:
    """Yield what each rule finds at a node; nothing where the server is none."""
    if not server.on("wsrep_on"):
        return
    rows = server.session.connection().exec_driver_sql("SHOW GLOBAL STATUS LIKE 'wsrep%%'")
    status = {str(name).lower(): str(value) for name, value in rows}
    for rule in RULES:
        yield rule(server, status)


def _ready(server: Server, status: Mapping[str, str]) -> Finding:
    name, state = "galera node", status.get("wsrep_local_state", "")
    who = server.globals["wsrep_node_name"]
    if status.get("wsrep_cluster_status") != "Primary" or status.get("wsrep_ready") != "ON":
        found = f"{who} is not of the cluster's majority, or not ready: it takes no writes"
        mend = "start the other nodes; if all of them say so, see docs/ha.md before you bootstrap"
        return Finding(name, State.BAD, found, mend)
    if state not in ("2", "4"):
        found = f"{who} {_STATES.get(state, 'is in an unknown state')}: it lacks what others have"
        return Finding(name, State.BAD, found, "SET GLOBAL wsrep_desync = 0; or wait until it has")
    return Finding(name, State.GOOD, f"{who} is of the majority, and {_STATES[state]}")


def _size(server: Server, status: Mapping[str, str]) -> Finding:
    size = int(status.get("wsrep_cluster_size", "0"))
    if size < NODES_MIN:
        found = f"{size} of {NODES_MIN} nodes: one more that is lost may stop all work"
        mend = f"start mariadbd on those of {server.globals['wsrep_cluster_address']} that lack"
        return Finding("galera size", State.BAD, found, mend)
    return Finding("galera size", State.GOOD, f"{size} nodes")


def _settings(server: Server, status: Mapping[str, str]) -> Finding:
    name = "galera settings"
    if server.globals["innodb_autoinc_lock_mode"] != "2":
        found = (
            "innodb_autoinc_lock_mode is not 2: bulk inserts of two nodes would wait for each other"
        )
        mend = "write innodb_autoinc_lock_mode = 2 into its configuration, and restart the node"
        return Finding(name, State.BAD, found, mend)
    given = {key.lower(): value for key, value in server.globals.items()}
    for variable, wanted, why in _DYNAMIC:
        said = given.get(variable)
        if said is not None and said.upper() != wanted:
            found = f"{variable} is {said}: {why}"
            value = wanted if wanted.isdigit() or wanted in ("ON", "OFF") else f"'{wanted}'"
            return Finding(name, State.BAD, found, f"SET GLOBAL {variable} = {value}")
    if server.globals["wsrep_sst_method"] == "rsync":
        found = "a node that gets a copy stops the one that gives it: wsrep_sst_method is rsync"
        return Finding(name, State.BAD, found, "SET GLOBAL wsrep_sst_method = 'mariabackup'")
    return Finding(name, State.GOOD, "as the books need them")


def _suspects(server: Server, status: Mapping[str, str]) -> Finding:
    variable = (
        "wsrep_provider_evs_suspect_timeout"  # with MariaDB's plugin for the library's options
    )
    found = _SECONDS.search(server.globals["wsrep_provider_options"])
    seconds = 60 * int(found[1] or 0) + float(found[2] or 0) if found else 0.0
    if seconds > SUSPECT_S_MAX:
        said = f"a node that is lost is waited for {seconds:g} s (evs.suspect_timeout)"
        mend = "SET GLOBAL wsrep_provider_options = 'evs.suspect_timeout=PT2S'"
        if variable in server.globals:
            mend = f"SET GLOBAL {variable} = 2"
        return Finding("galera failover", State.BAD, said, mend)
    return Finding(
        "galera failover", State.GOOD, f"a node that is lost is waited for {seconds:g} s"
    )


def _flow(server: Server, status: Mapping[str, str]) -> Finding:
    paused = float(status.get("wsrep_flow_control_paused", "0"))
    if paused > PAUSED_MAX:
        found = f"writes stood still for a slow node {paused:.0%} of the time"
        mend = (
            "find the node whose wsrep_local_recv_queue_avg is highest: its disk or processor is too "
            "slow, or a backup holds it up; then FLUSH STATUS"
        )
        return Finding("galera flow", State.BAD, found, mend)
    return Finding("galera flow", State.GOOD, f"writes stood still {paused:.1%} of the time")


def _keys(server: Server, status: Mapping[str, str]) -> Finding:
    """Find tables without a primary key: their rows are compared whole, and a DELETE of many stops the cluster."""
    names = [
        str(name)
        for (name,) in server.session.connection().exec_driver_sql(
            "SELECT t.table_name FROM information_schema.tables t WHERE t.table_schema = DATABASE() "
            "AND t.table_type = 'BASE TABLE' AND NOT EXISTS (SELECT 1 FROM information_schema.statistics s "
            "WHERE s.table_schema = t.table_schema AND s.table_name = t.table_name "
            "AND s.index_name = 'PRIMARY') ORDER BY t.table_name"
        )
    ]
    if not names:
        return Finding("galera keys", State.GOOD, "every table has a primary key")
    known = Base.metadata.tables.get(names[0])
    columns = ", ".join(known.primary_key.columns.keys()) if known is not None else ""
    what = (
        f"PRIMARY KEY ({columns})" if columns else "COLUMN row_id BIGINT AUTO_INCREMENT PRIMARY KEY"
    )
    more = f", and {len(names) - 1} more" if len(names) > 1 else ""
    found = f"{names[0]} has no primary key{more}"
    return Finding("galera keys", State.BAD, found, f"ALTER TABLE {names[0]} ADD {what}")


RULES: tuple[Callable[[Server, Mapping[str, str]], Finding], ...] = (
    _ready,
    _size,
    _settings,
    _suspects,
    _flow,
    _keys,
)
"""Every rule, in the order in which the doctor prints them."""
