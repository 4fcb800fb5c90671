"""What stands in the way of a promotion: rules that change nothing, each with a line that says what to do."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from ledger.db.database import Database
from ledger.db.following import Following, Primary, place_of
from ledger.db.gtid import gaps, gtids, position_text
from ledger.errors import BadInput, Refused


@dataclass(frozen=True)
class Ask:
    """How a replica is to be promoted.

    Parameters
    ----------
    fenced
        Whether somebody has seen to it that the old primary is reached by nobody.
    switchover
        Whether the old primary lives, and is to be made read-only first.
    accept_loss
        Whether to go on where nothing proves that every transaction is here.
    timeout_s
        How long it is waited until all is applied.
    dry_run
        Whether to check, and to change nothing.
    """

    fenced: bool = False
    switchover: bool = False
    accept_loss: bool = False
    timeout_s: float = 300
    dry_run: bool = False


def require_words(link: Connection, replica: Database) -> None:
    """Require a server that knows what it is asked, before anything is begun.

    Raises
    ------
    Refused
        If it is older than MariaDB 11.6.
    """
    known = link.exec_driver_sql(
        "SELECT COUNT(*) FROM information_schema.tables "
        "WHERE table_schema = 'information_schema' AND table_name = 'SLAVE_STATUS'"
    ).scalar_one()
    if not known:
        version = link.exec_driver_sql("SELECT VERSION()").scalar_one()
        raise Refused(
            f"{place_of(replica)} is {version}; a promotion needs MariaDB 11.6 or newer",
            code="server-too-old",
        )


def require_sound(follows: Following) -> None:
    """Require that what was received can be applied.

    Raises
    ------
    Refused
        If its SQL thread has stopped with an error, or it does not follow by GTID.
    """
    if follows.sql_error:
        raise Refused(
            f"the replica's SQL thread stopped with error {follows.sql_error}; mend that and START REPLICA SQL_THREAD "
            "(never STOP REPLICA: what is received would be thrown away)",
            code="replica-stopped",
        )
    if not follows.by_gtid and not follows.received:
        raise Refused(
            "the replica follows by places in files, so that nothing tells what it has received; "
            "CHANGE MASTER TO MASTER_USE_GTID = slave_pos while the primary lives",
            code="not-by-gtid",
        )


def require_the_same(link: Connection, follows: Following, old: Primary) -> None:
    """Require that the server of ``database_url`` is the one that the replica follows.

    Raises
    ------
    BadInput
        If both settings name one server, or the replica follows another one.
    """
    if not old.server_id:
        return
    own = int(link.exec_driver_sql("SELECT @@GLOBAL.server_id").scalar_one())
    if old.server_id == own:
        raise BadInput(
            f"database_url ({old.place}) and database_read_url name one server (server_id {own}); name the old "
            "primary and its replica"
        )
    if follows.primary_id and old.server_id != follows.primary_id:
        raise BadInput(
            f"database_url ({old.place}) is server {old.server_id}, and the replica follows server "
            f"{follows.primary_id} ({follows.primary}); name that one"
        )


def require_out_of_the_way(follows: Following, old: Primary, ask: Ask) -> None:
    """Require that nobody writes to the old primary, as far as can be seen, or that somebody answers for it.

    Raises
    ------
    Refused
        If the old primary lives, or may live and nobody has said that it cannot be reached; or if it is to hand over
        and does not answer.
    """
    if ask.switchover:
        if not old.position:
            raise Refused(
                f"a switchover needs the primary, and {old.place} does not answer as one: {old.why or 'no binary log'}",
                code="primary-unreachable",
            )
        return
    if ask.fenced or (old.position and not old.writable):
        return
    if old.answers and not old.why:
        raise Refused(
            f"the primary {old.place} answers and takes writes: two primaries would be two sets of books; "
            "a planned change is `db promote --switchover`; if nobody can reach it any more, say --fenced",
            code="primary-alive",
        )
    if old.answers or follows.io == "Yes":
        why = old.why if old.answers else f"the replica has a connection to it still; {old.why}"
        raise Refused(
            f"the primary {old.place} seems to live ({why}); make sure that nobody can write there, then say --fenced",
            code="primary-alive",
        )
    if not old.ended:
        raise Refused(
            f"the primary {old.place} does not answer from here, which does not prove that it is off ({old.why}); "
            "make sure of it, then say --fenced",
            code="primary-unreachable",
        )


def doubt_about(link: Connection, follows: Following, old: Primary) -> str:
    """Return why transactions could be missing that the primary had acknowledged; empty when none can."""
    here = follows.received_position
    if old.position:  # it can be asked
        missing = gaps(here, gtids(old.position))
        if not missing or follows.receiving:
            return ""
        count = sum(gap.count for gap in missing)
        return (
            f"the replica's IO thread is stopped, and {count} transactions of {old.place} are not here "
            f"({', '.join(map(str, missing))}); START REPLICA IO_THREAD fetches them"
        )
    names = ("rpl_semi_sync_slave_enabled", "Rpl_semi_sync_slave_send_ack")
    enabled = link.exec_driver_sql(f"SELECT @@GLOBAL.{names[0]}").scalar_one()
    acknowledged = int(link.exec_driver_sql(f"SHOW GLOBAL STATUS LIKE '{names[1]}'").one()[1])
    if not enabled:
        why = f"it was no semi-sync replica ({names[0]} is off)"
    elif not follows.primary_id:
        why = "it was started again after the primary was gone, which throws away what is received and not applied"
    elif not follows.receiving:
        why = f"its IO thread is stopped ({follows.io_error or 'by hand'})"
    elif not acknowledged:
        why = "the primary never asked it to acknowledge anything on its last connection"
    else:
        return ""
    written = f", written {follows.written_at} by the primary's clock" if follows.written_at else ""
    return (
        f"nothing proves that the replica has all that {follows.primary} acknowledged: {why}; "
        f"whatever came after {position_text(here) or 'the beginning'}{written} may be missing"
    )
