"""MySQL in MariaDB's place: ``TEST_MYSQLD`` names the program of its server, see docs/mysql.md.

Then whatever runs on MariaDB runs on it, but for what is about something that MySQL does not have, or has other
words for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

PROGRAM = "TEST_MYSQLD"

FILES: dict[str, str] = {
    "tests/cli/test_backup.py": "backups",
    "tests/cli/test_promote.py": "replicas",
    "tests/flows/test_failing_over.py": "replicas",
    "tests/ledger/test_arrays.py": "arrays of rows",
    "tests/ledger/test_backup.py": "backups",
    "tests/ledger/test_galera.py": "clusters",
    "tests/ledger/test_replica.py": "replicas",
    "tests/ledger/test_silence.py": "statements that take long, by a table of a sequence",
}
"""What is of MariaDB alone as a whole, and what it is about."""

TESTS: dict[str, dict[str, str]] = {
    "tests/api/test_list_plans.py": {
        "test_a_page_begins_with_its_own_table": "its plans",
    },
    "tests/api/test_quick_server.py": {
        "test_no_retirement_is_sought_in_a_whole_batch": "its plans",
    },
    "tests/cli/test_bench.py": {
        "test_import_into_mariadb": "files that a client loads",
    },
    "tests/cli/test_guarding.py": {
        "test_the_doctor_prints_what_is_wrong_with_a_server": "accounts in its words",
    },
    "tests/flows/test_reindex.py": {
        "test_values_of_no_column_are_found_and_mended_on_both_databases": "words that MySQL does not have",
    },
    "tests/flows/test_settled_elsewhere.py": {
        "test_a_trade_without_a_side_under_a_number_of_others": "words that MySQL does not have",
    },
    "tests/flows/test_settlement.py": {
        "test_a_plan_that_saw_old_rows_looks_again": (
            "it waits for itself: what one unit of work has read, a second one inside of it is to change"
        ),
    },
    "tests/flows/test_settling.py": {
        "test_a_trade_that_cannot_be_settled_holds_up_no_other": "words that MySQL does not have",
    },
    "tests/ledger/test_archive.py": {
        "test_an_archive_of_another_shape_is_said": "the text of its error",
    },
    "tests/ledger/test_audit_chain.py": {
        "test_processes_at_once_make_one_chain": "that nobody begins anew for what another one did before",
    },
    "tests/ledger/test_db.py": {
        "test_who_stands_still_in_a_unit_of_work_keeps_its_rows_for_a_while": "words that MySQL does not have",
        "test_how_long_who_writes_may_stand_still_costs_no_statement": "words that MySQL does not have",
        "test_a_statement_that_the_server_ended_is_no_defect": (
            "statements that take long, by a table of a sequence"
        ),
        "test_a_row_that_changed_since_the_snapshot_is_tried_again": (
            "it waits for itself: what one unit of work has read, a second one inside of it is to change"
        ),
        "test_an_account_that_may_not_go_on_is_one_clear_line": "its plugins, and the numbers of its errors",
        "test_a_server_without_a_log_is_not_backed_up": "backups",
        "test_an_upgrade_on_a_full_disk_is_run_again_when_there_is_room": "how much room its server needs",
    },
    "tests/ledger/test_grants.py": {
        "test_the_account_for_backups_is_given_what_the_server_calls_these_rights": "backups",
        "test_an_account_may_do_what_the_models_declare_and_nothing_else[backup]": "backups",
        "test_nobody_can_sign_in_before_a_password_is_set_and_tls_is_asked_for": (
            "its plugin that checks passwords"
        ),
    },
    "tests/ledger/test_identity.py": {
        "test_what_others_did_since_a_unit_of_work_began_is_counted": (
            "it waits for itself: what one unit of work has read, a second one inside of it is to change"
        ),
    },
    "tests/ledger/test_park_plans.py": {
        "test_no_question_of_an_operator_reads_a_table_whole": "its plans",
    },
    "tests/ledger/test_migrations.py": {
        "test_four_at_once_build_one_schema": "that all wait; of MySQL one may be told to try again",
    },
    "tests/ledger/test_on_call.py": {
        "test_what_is_said_while_the_job_looks_is_kept": (
            "it waits for itself: what one unit of work has read, a second one inside of it is to change"
        ),
    },
    "tests/ledger/test_server.py": {
        "test_sessions_that_are_not_as_we_set_them_are_found"
        "[innodb_snapshot_isolation-0-1-is not told that a row has changed]": "words that MySQL does not have",
        "test_a_checksum_of_a_table_is_the_same_by_every_rule_of_the_server": "words that MySQL does not have",
        "test_a_snapshot_outlives_a_server_that_closes_idle_connections"
        "[idle_transaction_timeout-0]": "words that MySQL does not have",
        "test_a_snapshot_outlives_a_server_that_closes_idle_connections"
        "[idle_readonly_transaction_timeout-0]": "words that MySQL does not have",
        "test_a_change_of_tables_takes_as_long_as_it_takes": "words that MySQL does not have",
        "test_a_reader_of_rows_may_pause_for_longer_than_the_server_has_it": "a table of a sequence",
        "test_where_the_disk_is_not_seen_the_doctor_says_how_it_could_be": "words that MySQL does not have",
        "test_old_versions_are_named": "a version that a server is told to have",
        "test_how_a_connection_is_encrypted": "which cipher is agreed on",
        "test_a_server_without_tls_is_refused_where_it_must_prove_its_name": "words that MySQL does not have",
    },
    "tests/ledger/test_tables.py": {
        "test_rows_are_those_of_sqlalchemy": "arrays of rows",
        "test_long_lists_go_into_mariadb_as_arrays": "arrays of rows",
    },
    "tests/ledger/test_types.py": {
        "test_what_another_program_wrote_without_the_strict_mode_is_one_line": (
            "words that MySQL does not have"
        ),
    },
}
"""The same of single tests, or of one set of parameters."""


def leave_out(items: Sequence[pytest.Item]) -> None:
    """Skip what is of MariaDB alone, where the tests run on MySQL."""
    if not os.environ.get(PROGRAM):
        return
    for item in items:
        if reason := why(item.nodeid):
            item.add_marker(pytest.mark.skip(reason=f"of MariaDB alone: {reason}"))


def why(nodeid: str) -> str | None:
    """Return why a test is of MariaDB alone; None where it is not."""
    file, _, name = nodeid.partition("::")
    tests = TESTS.get(file, {})
    return FILES.get(file) or tests.get(name) or tests.get(name.partition("[")[0])
