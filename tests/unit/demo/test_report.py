from __future__ import annotations

import io
from typing import Any

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
