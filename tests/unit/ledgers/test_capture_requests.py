"""The requests of several captures in one table, as the sensor behind them reads and judges them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.poll_learnt import LADDER_READING
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.base import Records
from airflow_provider_leadsquared.ledgers.capture_requests import CaptureRequests
from airflow_provider_leadsquared.ledgers.errors import LedgerUnavailableError
from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.ledgers.several import SeveralLedgers
from tests.unit.ledgers.stores import entry_of

FIRST, SECOND, OTHER = (RunOfTask("sync", "2026-01-01", "capture", index) for index in range(3))
SENSOR = RunOfTask("sync", "2026-01-01", "wait")


def accepted(row: int, request_id: str) -> Entry:
    return entry_of(row, row_key=f"k{row}", request_id=request_id, accepted_at=1.5)


def read(entry: Entry) -> Entry:
    """Return a request as it is read: in one table its RequestId says enough."""
    return replace(entry, fingerprint="")


def created(entry: Entry) -> Entry:
    return entry.moved(State.CREATED, lead_id="lead")


def returned(entry: Entry) -> Entry:
    """Return a request as a capture's output has it."""
    return Entry(entry.row, State.OPEN, entry.row_key, request_id=entry.request_id, accepted_at=entry.accepted_at)


@pytest.fixture
def requests(database):
    """Return a function that opens the requests of captures."""
    return lambda *runs, polled_by=SENSOR, account=None: CaptureRequests(
        database.open(), runs=runs, polled_by=polled_by, clock=lambda: 5.0, account=account
    )


A, B, C = accepted(0, "a"), accepted(1, "b"), accepted(0, "c")


@pytest.fixture
def filled(database):
    """Return a database in which three instances of a capture have a request each."""
    for run, entry in ((FIRST, A), (SECOND, B), (OTHER, C)):
        database.ledger(run=run).write([entry], metadata={"generation": 0})
    return database


def test_the_requests_of_the_named_runs_are_read_and_no_others(filled, requests):
    assert requests(FIRST, SECOND).load().all_entries == [read(A), read(B)]


def test_rows_without_a_receipt_are_no_requests(filled, requests):
    filled.ledger(run=FIRST).write([entry_of(5, State.IN_DOUBT), entry_of(6, State.INVALID)])
    assert requests(FIRST).load().all_entries == [read(A)]


def test_equal_rows_of_two_runs_are_both_read(filled, requests):
    assert {entry.request_id for entry in requests(FIRST, OTHER).load().all_entries} == {"a", "c"}


def test_a_verdict_is_written_into_the_line_of_its_run(filled, requests):
    ledger = requests(FIRST, SECOND, OTHER)
    ledger.load()
    ledger.write([created(read(A)), created(read(C))])
    lines = sorted(filled.select("SELECT map_index, request_id, state FROM {table}"))
    assert lines == [(0, "a", "created"), (1, "b", "open"), (2, "c", "created")]


def test_a_receipt_without_a_line_gets_one_in_the_run_that_returned_it(filled, requests):
    lost = returned(accepted(7, "z"))
    ledger = requests(SECOND)
    ledger.load()
    ledger.add_receipt(SECOND, lost)
    ledger.write([created(lost)])
    assert filled.select("SELECT map_index, state FROM {table} WHERE request_id = 'z'") == [(1, "created")]
    assert created(lost) in requests(SECOND).load().all_entries


def test_after_a_capture_has_started_over_its_new_requests_count(filled, requests):
    capture, again = filled.ledger(run=FIRST), accepted(0, "again")
    capture.start_over()
    capture.write([again])
    ledger = requests(FIRST)
    assert ledger.load().all_entries == [read(again)]
    ledger.write([created(read(again))])
    assert filled.select("SELECT state, generation FROM {table} WHERE request_id = 'again'") == [("created", 1)]


def test_a_capture_that_starts_over_while_it_is_polled_finds_no_verdict_of_before(filled, requests):
    ledger = requests(FIRST)
    ledger.load()
    filled.ledger(run=FIRST).start_over()
    ledger.load()
    ledger.write([created(read(A))])
    assert filled.ledger(run=FIRST).load().entries == {}


def test_tasks_that_poll_the_same_requests_share_verdicts_but_no_time_of_a_poll(filled, requests):
    first = requests(FIRST)
    first.load()
    first.write([created(read(A))], metadata={"polled_at": 5})
    second = requests(FIRST, polled_by=replace(SENSOR, task_id="other")).load()
    assert (second.all_entries, second.metadata) == ([created(read(A))], {})
    assert requests(FIRST).load().metadata == {"polled_at": 5}


# --- several ledgers as one -----------------------------------------------------------------------------------------


def test_verdicts_go_where_the_requests_are_and_all_others_into_the_own_ledger(filled, requests):
    own, plain = InProcessLedger(), Entry(0, State.OPEN, request_id="plain")
    ledger = SeveralLedgers([requests(FIRST), requests(SECOND)], own)
    ledger.load()
    ledger.write([created(A), created(B), created(plain)], metadata={"polled_at": 5})
    assert sorted(filled.select("SELECT request_id, state FROM {table}")) == [
        ("a", "created"),
        ("b", "created"),
        ("c", "open"),
    ]
    assert own.load() == Records({plain.identity: created(plain)})
    assert ledger.load().metadata == {"polled_at": 5}
    assert {entry.request_id for entry in ledger.load().all_entries} == {"a", "b", "plain"}


def test_a_poll_whose_verdicts_could_not_all_be_written_counts_as_not_made():
    def fail(*_: object, **__: object) -> None:
        raise LedgerUnavailableError("away")

    written: list[object] = []
    first = SimpleNamespace(has_line_of=lambda entry: entry is A, write=lambda *a, **more: written.append(more))
    away = SimpleNamespace(has_line_of=lambda entry: entry is B, write=fail)
    with pytest.raises(LedgerUnavailableError):
        SeveralLedgers([first, away], None).write([A, B], metadata={"polled_at": 5})  # type: ignore[list-item]  # ledgers for the test
    assert written == []


def test_a_ledger_that_nothing_was_received_for_is_not_written_to():
    written: list[object] = []
    ledgers = [
        SimpleNamespace(has_line_of=lambda entry, own=own: entry is own, write=lambda part, **_: written.append(part))
        for own in (A, B)
    ]
    SeveralLedgers(ledgers, None).write([B])  # type: ignore[arg-type]  # ledgers for the test
    assert written == [[B]]


# --- what was learnt of the account ----------------------------------------------------------------------------------

READING = {"gaps": [4, 9], "offsets": [0, 20], "since": 2.0}


def test_what_was_learnt_of_the_retry_ladder_is_there_for_all_tasks_of_the_account(filled, requests):
    requests(FIRST, account="a").write(metadata={LADDER_READING: READING, "polled_at": 5})
    other = requests(SECOND, polled_by=replace(SENSOR, run_id="2026-01-02"), account="a")
    assert other.load().metadata == {LADDER_READING: READING}


def test_what_was_learnt_of_another_account_does_not_count(filled, requests):
    requests(FIRST, account="a").write(metadata={LADDER_READING: READING})
    assert requests(SECOND, polled_by=replace(SENSOR, task_id="other"), account="b").load().metadata == {}


def test_of_two_tasks_that_poll_at_a_time_the_one_that_has_learnt_less_does_not_count(filled, requests):
    requests(FIRST, account="a").write(metadata={LADDER_READING: READING})
    requests(SECOND, account="a").write(metadata={LADDER_READING: {**READING, "gaps": [1, 2]}})
    assert requests(FIRST, account="a").load().metadata == {LADDER_READING: READING}


# --- which lines are found again ------------------------------------------------------------------------------------


def test_a_line_that_a_person_has_deleted_is_not_written_again(filled, requests):
    ledger = requests(FIRST)
    (entry,) = ledger.load().all_entries
    filled.run("DELETE FROM {table}")
    ledger.write([created(entry)])
    assert filled.select("SELECT 1 FROM {table}") == []


def test_of_several_ledgers_each_knows_its_lines_by_what_was_sent(filled, requests):
    ledger = requests(FIRST)
    SeveralLedgers([ledger, requests(SECOND)], None)
    (entry,) = ledger.load().all_entries
    other = replace(entry, fingerprint="other")
    assert (ledger.has_line_of(entry), ledger.has_line_of(other)) == (True, False)


def test_two_rows_with_one_request_id_are_both_known_by_what_was_sent(filled, requests):
    filled.ledger(run=FIRST).write([replace(A, row=3, fingerprint="other")])
    ledger = requests(FIRST)
    SeveralLedgers([ledger, requests(SECOND)], None)
    found = ledger.load().all_entries
    assert [ledger.has_line_of(entry) for entry in found] == [True, True]
