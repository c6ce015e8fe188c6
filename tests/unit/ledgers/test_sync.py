"""The ledger of a sync on SQLite and Postgres: what runs remember of each other."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from sqlite3 import connect
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError, LedgerUnavailableError
from airflow_provider_leadsquared.ledgers.memory import LeadMemory
from airflow_provider_leadsquared.ledgers.open_requests import OpenRequests
from airflow_provider_leadsquared.ledgers.sql import RunOfTask
from airflow_provider_leadsquared.ledgers.sync import SyncLedger

NOW, PATIENCE = 1_700_000_000.0, 1_000.0


def run(name: str, map_index: int = -1) -> RunOfTask:
    return RunOfTask("nightly", name, "sync", map_index)


@pytest.fixture
def on_sqlite(tmp_path) -> dict[str, Any]:
    return {"connect": partial(connect, tmp_path / "ledger.db"), "placeholder": "?", "table": "ledger"}


@pytest.fixture
def on_postgres(postgres) -> dict[str, Any]:
    schema = f"s{uuid.uuid4().hex}"
    with closing(psycopg2.connect(postgres)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}")
    return {"connect": partial(psycopg2.connect, postgres), "placeholder": "%s", "table": f"{schema}.ledger"}


@pytest.fixture(params=["on_sqlite", "on_postgres"])
def database(request) -> dict[str, Any]:
    return request.getfixturevalue(request.param)


@pytest.fixture
def time() -> SimpleNamespace:
    return SimpleNamespace(now=NOW)


@pytest.fixture
def ledger(database, time) -> Callable[..., SyncLedger]:
    """Return a function that opens the ledger of a run."""
    options = {**database, "sync": "sync", "settle_timeout": PATIENCE, "clock": lambda: time.now}
    return lambda name="1", **changes: SyncLedger(**{**options, "run": run(name), **changes})


@pytest.fixture
def requests(database, time) -> Callable[..., OpenRequests]:
    """Return a function that opens the open requests, as seen by some runs."""
    return lambda *names, sync="sync": OpenRequests(
        **database, sync=sync, runs=[run(name) for name in names], clock=lambda: time.now
    )


def intent(key: str = "k", fingerprint: str = "A") -> Entry:
    return Entry(0, State.IN_DOUBT, key, fingerprint, attempts=1)


def sent(ledger: SyncLedger, key: str, fingerprint: str, state: State, **more: Any) -> Entry:
    """Write intent and outcome of a row."""
    ledger.write([intent(key, fingerprint)])
    entry = Entry(0, state, key, fingerprint, **{"request_id": f"r-{key}-{fingerprint}", "accepted_at": NOW, **more})
    ledger.write([entry])
    return entry


def remembered(ledger: SyncLedger, key: str = "k") -> LeadMemory:
    return ledger.recall([key])[key]


def test_nothing_is_known_of_a_key_that_was_never_sent(ledger):
    assert ledger().recall(["k"]) == {}


def test_a_run_remembers_what_another_has_sent(ledger):
    entry = sent(ledger("1"), "k", "A", State.CREATED)
    known = remembered(ledger("2"))
    assert (known.last, known.own, known.written_at) == (entry, False, NOW)


def test_a_run_knows_its_own_entries(ledger):
    sent(ledger("1"), "k", "A", State.OPEN)
    assert remembered(ledger("1")).own


def test_what_was_confirmed_before_is_kept_beside_the_last(ledger):
    sent(ledger("1"), "k", "A", State.CREATED)
    sent(ledger("2"), "k", "B", State.REJECTED)
    known = remembered(ledger("3"))
    assert (known.last.fingerprint, known.confirmed) == ("B", "A")


def test_what_was_confirmed_stays_so_through_several_rejects(ledger):
    sent(ledger("1"), "k", "A", State.CREATED)
    sent(ledger("2"), "k", "B", State.REJECTED)
    sent(ledger("3"), "k", "C", State.REJECTED)
    assert remembered(ledger("4")).confirmed == "A"


def test_a_row_withdrawn_and_sent_by_the_next_try_keeps_what_was_confirmed_before(ledger):
    sent(ledger("1"), "k", "A", State.CREATED)
    sent(ledger("2"), "k", "B", State.UNSENT, request_id=None)
    sent(ledger("2"), "k", "B", State.REJECTED)
    assert remembered(ledger("3")).confirmed == "A"


def test_a_sending_in_doubt_makes_forget_what_was_confirmed(ledger):
    sent(ledger("1"), "k", "A", State.CREATED)
    ledger("2").write([intent("k", "B")])
    ledger("2").write([intent("k", "B")])
    sent(ledger("2"), "k", "B", State.REJECTED)
    assert remembered(ledger("3")).confirmed is None


def test_another_sync_knows_nothing(ledger):
    sent(ledger("1"), "k", "A", State.CREATED)
    assert ledger("2", sync="another").recall(["k"]) == {}


def test_a_line_that_was_deleted_from_the_result_table_is_forgotten(ledger, database):
    sent(ledger("1"), "k", "A", State.CREATED)
    with closing(database["connect"]()) as connection, connection:
        connection.cursor().execute(f"DELETE FROM {database['table']}")
    assert remembered(ledger("2")) == LeadMemory(None, confirmed_before=None)
    sent(ledger("2"), "k", "A", State.CREATED)
    assert remembered(ledger("3")).confirmed == "A"


def test_thousands_of_keys_are_remembered_at_once(ledger):
    keys = [f"k{n}" for n in range(2_500)]
    ledger().write([intent(key) for key in keys])
    assert ledger("2").recall(keys).keys() == set(keys)


def test_the_moment_of_a_doubt_comes_back_as_it_was(ledger):
    entry = sent(ledger(), "k", "A", State.CREATED, doubted_at=NOW - 0.25)
    assert remembered(ledger()).last == entry


@pytest.mark.parametrize("fingerprint", ["A", "B"])
def test_a_row_that_another_run_takes_between_compare_and_send_is_refused(ledger, fingerprint):
    first, second = ledger("1"), ledger("2")
    first.recall(["k"])
    second.write([intent("k", fingerprint)])
    with pytest.raises(LedgerTakenError, match="max_active_runs=1"):
        first.write([intent("k", "A")])
    assert remembered(first).last.fingerprint == fingerprint


def test_a_doubt_that_the_compare_saw_is_no_other_run(ledger):
    ledger("1").write([intent()])
    second = ledger("2")
    second.recall(["k"])
    second.write([intent()])
    assert remembered(second).own


def test_of_two_runs_that_saw_the_same_doubt_only_one_sends(ledger, time):
    ledger("1").write([intent()])
    second, third = ledger("2"), ledger("3")
    for one in (second, third):
        one.recall(["k"])
    time.now += 1
    second.write([intent()])
    with pytest.raises(LedgerTakenError):
        third.write([intent()])


def test_receipts_in_a_group_with_a_row_that_was_taken_are_kept(ledger):
    first = ledger("1")
    first.write([intent("a")])
    ledger("2").write([intent("b")])
    receipt = Entry(0, State.OPEN, "a", "A", request_id="r", accepted_at=NOW)
    with pytest.raises(LedgerTakenError):
        first.write([receipt, intent("b")])
    assert remembered(first, "a").last == receipt


def test_a_try_that_was_replaced_writes_nothing(ledger):
    first = ledger()
    first.claim("first")
    ledger().claim("second")
    with pytest.raises(LedgerTakenError, match="another try"):
        first.write([intent()])
    with pytest.raises(LedgerTakenError, match="another try"):
        first.write_not_sent([Entry(0, State.INVALID)])
    assert ledger().recall(["k"]) == {}


def test_rows_not_sent_replace_those_of_the_try_before(ledger):
    ledger().write_not_sent([Entry(n, State.INVALID, f"k{n}", copy=n) for n in range(3)])
    ledger().write_not_sent([Entry(1, State.WAITING, "k1", copy=1)])
    assert [(entry.row_key, entry.state) for entry in ledger().load().entries.values()] == [("k1", State.WAITING)]


def test_rows_not_sent_are_never_remembered(ledger):
    ledger().write_not_sent([Entry(0, State.WAITING, "k", copy=0)])
    assert ledger("2").recall(["k"]) == {}


# --- open requests ------------------------------------------------------------------------------------------------


def test_open_requests_are_those_of_every_run(ledger, requests):
    sent(ledger("1"), "a", "A", State.OPEN)
    sent(ledger("2"), "b", "A", State.OPEN)
    sent(ledger("2"), "c", "A", State.CREATED)
    assert {entry.row_key for entry in requests("2").load().entries.values()} == {"a", "b"}


def test_open_requests_of_another_sync_are_not_seen(ledger, requests):
    sent(ledger("1"), "a", "A", State.OPEN)
    assert not requests("1", sync="another").load().entries


def test_whose_a_request_is_can_be_told(ledger, requests):
    sent(ledger("1"), "a", "A", State.OPEN)
    sent(ledger("2"), "b", "A", State.OPEN)
    sent(ledger("2", run=run("2", map_index=7)), "c", "A", State.OPEN)
    seen = requests("2")
    entries = {entry.row_key: entry for entry in seen.load().entries.values()}
    assert [key for key in "abc" if seen.is_of_runs(entries[key])] == ["b"]
    assert [key for key in "abc" if seen.is_of_earlier(entries[key])] == ["a"]


def test_a_verdict_goes_into_the_line_of_its_own_run(ledger, requests):
    entry = sent(ledger("1"), "a", "A", State.OPEN)
    seen = requests("2")
    seen.load()
    seen.write([entry.moved(State.UPDATED, lead_id="lead", settled_at=NOW)])
    assert remembered(ledger("3"), "a").last == entry.moved(State.UPDATED, lead_id="lead", settled_at=NOW)


def test_a_verdict_once_written_is_not_overwritten(ledger, requests):
    entry = sent(ledger("1"), "a", "A", State.OPEN)
    seen = requests("1")
    seen.load()
    for state in (State.CREATED, State.FAILED, State.OPEN):
        seen.write([entry.moved(state)])
    assert remembered(ledger("2"), "a").last.state is State.CREATED


def test_only_requests_of_the_runs_are_counted(ledger, requests):
    sent(ledger("1"), "a", "A", State.OPEN)
    sent(ledger("2"), "b", "A", State.CREATED)
    sent(ledger("2"), "c", "A", State.REJECTED, reason_class="MXA")
    ledger("2").write_not_sent([Entry(0, State.INVALID, "d")])
    seen = requests("2")
    assert seen.count() == {(State.CREATED, None): 1, (State.REJECTED, "MXA"): 1}
    assert [entry.row_key for entry in seen.refused()] == ["c"]


def test_the_time_of_the_last_look_is_kept_by_run(ledger, requests):
    requests("1").write(metadata={"polled_at": 5})
    assert (requests("1").load().metadata, requests("2").load().metadata) == ({"polled_at": 5}, {})


# --- tables -------------------------------------------------------------------------------------------------------


def test_tasks_that_create_the_tables_at_the_same_moment_all_get_them(ledger):
    def begin(number: int) -> None:
        ledger(f"{number}").write([intent(f"k{number}")])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, range(8)))
    assert len(ledger("9").recall([f"k{n}" for n in range(8)])) == 8


def test_asking_whether_there_is_a_ledger_creates_none(ledger):
    assert not ledger().exists()
    assert not ledger().exists()
    ledger().claim("x")
    assert ledger().exists()


def test_a_database_that_cannot_be_reached_is_not_an_empty_one(ledger):
    def away() -> None:
        raise OSError("no route")

    with pytest.raises(LedgerUnavailableError, match="no route"):
        ledger(connect=away).exists()
