"""Tries of a capture that overlap, or find another list or no ledger: nothing is doubled, and all gets its verdict."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsUnsent
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError
from tests.integration.tasks import Task, TaskInstance, before_call, capture, connect_sqlite, leads, poke, wait_for

ROWS = 30
IN_SQL = {"ledger_conn_id": "ledger"}


@pytest.fixture(params=[{}, IN_SQL], ids=["task_state", "sql"])
def ledger(request, ledger_database):
    """Return the arguments of a capture with one kind of ledger."""
    return request.param


def times_sent(sandbox):
    return Counter(post["lead"].get("EmailAddress") or post["lead"]["FirstName"] for post in sandbox.posts())


# --- a list that moves on between two tries ------------------------------------------------------------------------


def stopped_after_four(sandbox, task, rows, **arguments):
    """Run a try whose keys are revoked after four rows."""
    sandbox.fault("keys_revoked", endpoint="capture", skip=4)
    with pytest.raises(LeadsUnsent):
        capture(task, rows, concurrency=1, **arguments)
    sandbox.clear_faults()


def test_rows_that_the_list_has_moved_on_from_are_part_of_the_run(sandbox, clock, no_waits, ledger):
    task = Task()
    stopped_after_four(sandbox, task, leads(10), **ledger)
    output = capture(task, leads(10)[6:], **ledger)
    assert output["counts"] == {"read": 8, "open": 8}
    assert [receipt["row_key"] for receipt in output["receipts"]] == ["k6", "k7", "k8", "k9", "k0", "k1", "k2", "k3"]
    assert wait_for(Task(), clock, output)["counts"] == {"read": 8, "created": 8}


def test_a_row_that_the_list_has_moved_on_from_and_leadsquared_refuses_makes_the_sensor_red(
    sandbox, clock, no_waits, ledger
):
    sandbox.fault("reject", attribute="EmailAddress", value="lead1@example.org", exception="MXInvalidInputException")
    task = Task()
    stopped_after_four(sandbox, task, leads(10), **ledger)
    output = capture(task, leads(10)[6:], **ledger)
    with pytest.raises(LeadsNotDelivered, match="rejected: 1 MXInvalidInputException"):
        wait_for(Task(), clock, output)


def test_a_row_refused_at_once_that_the_list_has_moved_on_from_keeps_the_capture_red(sandbox, clock, no_waits, ledger):
    sandbox.fault("error", http=500, exception="MXInvalidInputException", endpoint="capture", calls=1)
    task = Task()
    for rows in (leads(3), leads(3)[1:]):
        with pytest.raises(LeadsNotDelivered, match="rejected: 1 MXInvalidInputException"):
            capture(task, rows, concurrency=1, **ledger)
    assert task.pushed["counts"] == {"read": 3, "open": 2, "rejected": 1}


# --- a ledger that was lost ----------------------------------------------------------------------------------------


def test_after_a_lost_ledger_doubts_stay_at_the_second_clear_and_at_retries(sandbox, clock, no_waits):
    rows = [{"id": f"u{n}", "FirstName": f"N{n}"} for n in range(3)]
    task = Task()
    capture(task, rows, require_match_key=False)
    task.store.values.clear()
    for clears in (1, 1, 2, 2, 3):  # a retry follows each clear
        task.clears = clears
        with pytest.raises(LeadsNotDelivered, match="may have the rows in doubt"):
            capture(task, rows, require_match_key=False)
        assert task.pushed["counts"] == {"read": 3, "in_doubt": 3}
    assert set(times_sent(sandbox).values()) == {1}


def test_after_a_lost_ledger_rows_with_a_match_key_go_again_once(sandbox, clock, no_waits):
    task = Task()
    capture(task, leads(3))
    task.store.values.clear()
    for clears in (1, 1, 2):
        task.clears = clears
        assert capture(task, leads(3))["counts"] == {"read": 3, "open": 3}
    assert set(times_sent(sandbox).values()) == {2}


# --- a try that was given up and still gets receipts ----------------------------------------------------------------


def overtaken(monkeypatch, task, then=lambda: None, **arguments):
    """
    Run a try beside which the next one begins and ends.

    :param then: Called when the next try has ended, before the first one goes on.
    :return: What the next try returned.
    """
    arguments = IN_SQL | arguments

    def run_the_next():
        with ThreadPoolExecutor(1) as threads:
            threads.submit(lambda: capture(task, leads(ROWS), **arguments)).result()
        then()

    with monkeypatch.context() as changes:
        before_call(changes, 20, run_the_next)
        with pytest.raises(LedgerTakenError):
            capture(task, leads(ROWS), concurrency=4, **arguments)
    return task.returned


def overtaken_instances(monkeypatch, count=2):
    """Let the tries of all instances of a mapped capture be overtaken; return their outputs."""
    outputs = []
    for map_index in range(count):
        monkeypatch.setattr(TaskInstance, "map_index", map_index)
        outputs.append(overtaken(monkeypatch, Task()))
    monkeypatch.setattr(TaskInstance, "map_index", -1)
    return outputs


def states_in(database):
    """Return the states of all lines of a ledger by RequestId."""
    with closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute("SELECT request_id, state FROM leadsquared_ledger"))


def test_receipts_that_came_after_the_captures_output_get_their_verdicts(sandbox, clock, ledger_database, monkeypatch):
    output = overtaken(monkeypatch, Task())
    late = {request["request_id"] for request in sandbox.requests()} - {
        receipt["request_id"] for receipt in output["receipts"]
    }
    assert late
    ended = wait_for(Task(), clock, output)
    requests = len(sandbox.requests())
    assert ended["counts"]["read"] == requests
    assert late < {result["request_id"] for result in ended["results"]}
    found = states_in(ledger_database)
    assert len(found) == requests
    assert set(found.values()) <= {"created", "updated"}


@pytest.mark.parametrize("arguments", [{}, IN_SQL], ids=["", "own_ledger"])
def test_late_receipts_of_every_instance_of_a_mapped_capture_get_their_verdicts(
    sandbox, clock, ledger_database, monkeypatch, arguments
):
    outputs = overtaken_instances(monkeypatch)
    requests = {request["request_id"] for request in sandbox.requests()}
    assert len(requests) > 2 * ROWS
    ended = wait_for(Task(), clock, outputs, **arguments)
    assert ended["counts"]["read"] == len(requests)
    assert {result["request_id"] for result in ended["results"]} == requests
    found = states_in(ledger_database)
    assert found.keys() == requests
    assert set(found.values()) <= {"created", "updated"}


def test_late_receipts_are_found_whichever_way_outputs_are_put_into_lists(sandbox, clock, ledger_database, monkeypatch):
    first, second = overtaken_instances(monkeypatch)
    ended = wait_for(Task(), clock, [[first], [[second]]])
    assert ended["counts"]["read"] == len(sandbox.requests()) > 2 * ROWS


@pytest.mark.parametrize("arguments", [{}, IN_SQL], ids=["", "own_ledger"])
@pytest.mark.parametrize("in_list", [False, True])
def test_late_receipts_alone_that_leadsquared_refuses_make_the_sensor_red(
    sandbox, clock, ledger_database, monkeypatch, in_list, arguments
):
    output = overtaken(monkeypatch, Task(), lambda: sandbox.fault("reject", exception="MXInvalidInputException"))
    waiting = Task()
    with pytest.raises(LeadsNotDelivered, match=r"rejected: \d+ MXInvalidInputException"):
        wait_for(waiting, clock, [output] if in_list else output, **arguments)
    returned = {receipt["request_id"] for receipt in output["receipts"]}
    rejected = {one["request_id"] for one in waiting.pushed["results"] if one["verdict"] == "rejected"}
    assert not rejected & returned


def test_a_capture_that_returned_no_receipt_has_its_late_ones_polled(sandbox, clock, ledger_database, monkeypatch):
    output = overtaken(monkeypatch, Task()) | {"receipts": []}
    assert wait_for(Task(), clock, [output])["counts"]["read"] == len(sandbox.requests())


# --- which ledger a verdict is written into -------------------------------------------------------------------------


@pytest.fixture
def second_database(tmp_path, monkeypatch):
    """Return a SQLite database to which the connection ``second`` leads."""
    path = tmp_path / "second.db"
    connect_sqlite(monkeypatch, "second", path)
    return path


def captured_by_instances(monkeypatch, *parts, **arguments):
    """Run an instance of a mapped capture for each part of the leads; return their outputs."""
    outputs = []
    for map_index, part in enumerate(parts):
        monkeypatch.setattr(TaskInstance, "map_index", map_index)
        outputs.append(capture(Task(), part, **IN_SQL | arguments))
    monkeypatch.setattr(TaskInstance, "map_index", -1)
    return outputs


def lines_of(database, table="leadsquared_ledger"):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(
            f"SELECT map_index, row_key, state FROM {table} ORDER BY map_index, row_no, row_key"
        ).fetchall()


def test_behind_a_mapped_capture_each_verdict_is_written_into_its_row(sandbox, clock, ledger_database, monkeypatch):
    outputs = captured_by_instances(monkeypatch, leads(2), leads(3)[2:])
    assert wait_for(Task(), clock, outputs)["counts"] == {"read": 3, "created": 3}
    assert lines_of(ledger_database) == [(0, "k0", "created"), (0, "k1", "created"), (1, "k2", "created")]


def test_each_output_of_a_mapped_capture_is_fetched_once_a_poke(sandbox, clock, ledger_database, monkeypatch):
    outputs = captured_by_instances(monkeypatch, leads(1), leads(2)[1:])
    fetched = []

    class Fetched(Sequence):
        """Outputs as Airflow hands them over: each is fetched when it is read."""

        def __len__(self):
            return len(outputs)

        def __getitem__(self, index):
            output = outputs[index]
            fetched.append(index)
            return output

    clock.advance(10)
    assert poke(Task(), Fetched())
    assert fetched == [0, 1]


def test_equal_rows_of_two_instances_have_a_verdict_each(sandbox, clock, ledger_database, monkeypatch):
    outputs = captured_by_instances(monkeypatch, leads(1), leads(1))
    assert wait_for(Task(), clock, outputs)["counts"] == {"read": 2, "created": 1, "updated": 1}
    assert sorted(line[2] for line in lines_of(ledger_database)) == ["created", "updated"]


def test_captures_with_ledgers_of_their_own_get_each_its_verdicts(
    sandbox, clock, ledger_database, second_database, monkeypatch
):
    outputs = [capture(Task(), leads(1), **IN_SQL), capture(Task(), leads(3)[1:], ledger_conn_id="second")]
    assert wait_for(Task(), clock, outputs)["counts"] == {"read": 3, "created": 3}
    assert lines_of(ledger_database) == [(-1, "k0", "created")]
    assert lines_of(second_database) == [(-1, "k1", "created"), (-1, "k2", "created")]


def test_the_sensors_own_ledger_is_for_requests_of_captures_without_one(
    sandbox, clock, ledger_database, second_database
):
    given = [capture(Task(), leads(1), **IN_SQL), capture(Task(), leads(2)[1:])]
    assert wait_for(Task(), clock, given, ledger_conn_id="second")["counts"] == {"read": 2, "created": 2}
    assert lines_of(ledger_database) == [(-1, "k0", "created")]
    assert lines_of(second_database) == [(-1, "k1", "created")]


def test_beside_a_capture_with_a_ledger_verdicts_of_others_survive_in_the_task_state(sandbox, clock, ledger_database):
    sandbox.fault("system_errors", count=2, attribute="EmailAddress", value="lead0@example.org")
    others = capture(Task(), leads(2)[1:])
    assert wait_for(Task(), clock, [capture(Task(), leads(1), **IN_SQL), others])["counts"]["created"] == 2
    (asked_for,) = (receipt["request_id"] for receipt in others["receipts"])
    assert [poll["request_id"] for poll in sandbox.polls()].count(asked_for) == 1


def test_where_captures_have_ledgers_an_airflow_without_a_state_store_forgets_nothing(
    sandbox, clock, ledger_database, monkeypatch, task_log
):
    sandbox.fault("system_errors", count=2, attribute="EmailAddress", value="lead0@example.org")
    outputs = captured_by_instances(monkeypatch, leads(1), leads(3)[1:])
    assert wait_for(Task(has_store=False), clock, outputs)["counts"] == {"read": 3, "created": 3}
    quick = {receipt["request_id"] for receipt in outputs[1]["receipts"]}
    asked = Counter(poll["request_id"] for poll in sandbox.polls())
    assert [asked[request_id] for request_id in quick] == [1, 1]
    assert "nothing is kept" not in task_log()


def test_a_request_id_at_rows_of_two_captures_gives_one_verdict(sandbox, clock, ledger_database):
    sandbox.fault("repeated_request_id", endpoint="capture", skip=1)
    outputs = []
    for number, table in enumerate(("leadsquared_ledger", "other_ledger")):  # neither knows the RequestIds of the other
        row = {"EmailAddress": f"lead{number}@example.org"}
        outputs.append(capture(Task(), [row], **IN_SQL | {"row_key": None, "ledger_table": table}))
    task = Task()
    with pytest.raises(LeadsNotDelivered, match="failed: 1 RepeatedRequestId"):
        wait_for(task, clock, outputs)
    assert task.pushed["counts"] == {"read": 2, "created": 1, "failed": 1}
    states = [
        state for table in ("leadsquared_ledger", "other_ledger") for _, _, state in lines_of(ledger_database, table)
    ]
    assert sorted(states) == ["created", "failed"]


def test_a_request_id_of_another_instances_row_leaves_the_row_in_doubt(sandbox, clock, ledger_database, monkeypatch):
    sandbox.fault("repeated_request_id", endpoint="capture", skip=1)
    with pytest.raises(LeadsUnsent):
        captured_by_instances(monkeypatch, leads(1), leads(2)[1:])
    assert [state for _, _, state in lines_of(ledger_database)] == ["open", "in_doubt"]
