from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from demo import report
from demo.progress import Progress
from demo.truth import Mismatch, Night, Record
from local_airflow import TaskInstance


def _record(polls: list[dict[str, Any]]) -> Record:
    attempts = [{"at_real": 100.2}, {"at_real": 105.2}, {"at_real": 125.2}]
    requests = [
        {"accepted_real": 99.0, "attempts": attempts[:1]},
        {"accepted_real": 100.0, "attempts": attempts},
    ]
    return Record(requests=requests, leads=[], polls=polls)


def test_status_calls_that_fall_together_are_one_poll_of_the_sensor():
    polls = [
        {"at_real": 107.0, "status": "Success"},
        {"at_real": 107.4, "status": "In-Queue"},
        {"at_real": 127.3, "status": "FAILURE"},
    ]

    shown = "\n".join(report.polls(_record(polls), speed=6))

    assert [line.split()[:5] for line in shown.splitlines() if " s " in line][:2] == [
        ["7.0", "s", "2", "1", "1"],
        ["27.3", "s", "1", "1", "0"],
    ]
    assert "2   2 min          25 s           20 s" in shown
    assert "0.2, 5.2, 25.2 s" in " ".join(shown.split())


def test_counts_are_shown_by_task():
    night = Night([], {"read": 1200, "unchanged": 1199, "open": 1}, {"read": 1, "created": 1}, [], [])

    assert list(report.counts(night)) == ["sync  1,200 = unchanged 1,199 + open 1", "wait      1 = created 1"]


def test_reasons_come_with_their_number_and_one_key():
    lines: list[dict[str, Any]] = [
        {"row_key": "a", "state": "created", "reason_class": None},
        {"row_key": "b", "state": "rejected", "reason_class": "MXDuplicateEntryException"},
        {"row_key": "c", "state": "rejected", "reason_class": "MXDuplicateEntryException"},
        {"row_key": None, "state": "invalid", "reason_class": "no_key", "row_no": 3},
    ]

    shown = list(report.reasons(lines))

    assert "   2  rejected  MXDuplicateEntryException  b" in shown
    assert "   1  invalid   no_key                     row 4" in shown


def test_each_reason_has_one_message_where_they_are_wanted():
    lines: list[dict[str, Any]] = [
        {"row_key": "b", "state": "rejected", "reason_class": "MXDuplicateEntryException", "reason": "Taken  already."},
        {"row_key": "c", "state": "rejected", "reason_class": "MXDuplicateEntryException", "reason": "Taken too."},
        {"row_key": "d", "state": "failed", "reason_class": "UnknownRequest", "reason": None},
    ]

    assert list(report.reasons(lines, with_messages=True))[1:] == [
        "   2  rejected  MXDuplicateEntryException  b",
        "      Taken already.",
        "   1  failed    UnknownRequest             d",
    ]


def test_columns_are_shown_with_their_fields_and_the_match_keys_in_leadsquareds_order():
    shown = list(
        report.fields({"ID": None, "Notes": None, "Tel": "Phone", "Mail": "EmailAddress", "City": "mx_City"}, "ID")
    )

    assert shown == [
        "   Columns become lead fields: Tel → Phone, Mail → EmailAddress, City → mx_City",
        "   Not sent: Notes",
        "   Row key, which names a row in logs and ledger: ID (not sent)",
        "   Match key, by which LeadSquared finds a lead that it has: EmailAddress, else Phone",
    ]


def test_of_many_columns_the_first_are_shown():
    shown = " ".join("\n".join(report.fields({f"c{n}": f"mx_c{n}" for n in range(15)}, None)).split())

    assert "c11 → mx_c11, and 3 more" in shown
    assert "ledger: its number in the file" in shown


def test_a_file_without_a_match_key_is_told_how_to_name_one():
    shown = " ".join("\n".join(report.fields({"City": "mx_City"}, None)).split())

    assert "No column is a match key (ProspectID, EmailAddress, Phone), so no row will be sent" in shown
    assert "MAPPING=mapping.json" in shown


@pytest.mark.parametrize("warehouse", [None, Path("/tmp/warehouse.db")])  # noqa: S108 - only shown
def test_commands_to_run_next_are_named(warehouse: Path | None):
    shown = "\n".join(report.commands(warehouse))

    assert ("make demo KEEP=1" in shown) == (warehouse is None)
    assert ("sqlite3 /tmp/warehouse.db" in shown) == (warehouse is not None)
    assert "make demo LEADS=leads.csv MAPPING=mapping.json" in shown


def test_red_tasks_are_named():
    assert "red: sync, wait." in " ".join(report.colours(0.2, ["sync", "wait"]))
    assert "The tasks are green" in " ".join(report.colours(0.2, []))


def test_mismatches_are_named_up_to_a_number():
    found = [Mismatch(f"L-{number}", "is reported as created; in truth rejected") for number in range(25)]

    shown = list(report.truth([Night([], {}, {}, [], [])], _record([]), found))

    assert "  L-0: is reported as created; in truth rejected" in shown
    assert "  … and 5 more" in shown


def test_progress_shows_the_task_that_the_run_has_come_to():
    out = io.StringIO()
    states = {"report": None, "extract": "success", "sync": "success", "wait": "up_for_reschedule"}
    tasks = [TaskInstance(task_id, -1, state, 1, None, None) for task_id, state in states.items()]
    counts = {"requests": 1234, "states": {"succeeded": 1000, "rejected": 30, "failed": 4, "retrying": 200}}

    progress = Progress(out)
    progress.tell(tasks, counts)
    progress.tell(tasks, counts)  # too soon for another line
    progress.end()

    assert out.getvalue() == (
        "     0 s  wait: asleep until its next poll | accepted 1,234, judged 1,034, waiting for a retry 200\n"
    )
