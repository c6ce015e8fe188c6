"""What a ledger does on every database and through every driver, whatever stands in the connection."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import pytest
from airflow.sdk import BaseHook

from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers import database as database_module
from airflow_provider_leadsquared.ledgers import migrations
from airflow_provider_leadsquared.ledgers.base import Ledger
from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.ledgers.errors import LedgerError, LedgerTakenError, LedgerUnavailableError
from airflow_provider_leadsquared.ledgers.server_clock import database_time
from tests.support.ledger_databases import CONN_ID, RUN, LedgerDatabase, with_every_connection

FULL = Entry(
    row=7,
    state=State.REJECTED,
    row_key="A-7",
    fingerprint="f" * 32,
    copy=2,
    request_id="9d0f4b52-0000-4000-8000-00000000000c",
    accepted_at=1_700_000_000.123456,
    settled_at=1_700_000_030.000001,
    lead_id="2c8e1f77-0000-4000-8000-00000000000b",
    reason_class="MXDuplicateEntryException",
    reason="Duplicate entry '***'",
    attempts=3,
    doubted_at=1_699_999_999.999999,
    api="another_api",
)


def entry_of(row: int, state: State = State.OPEN, **changes: Any) -> Entry:
    return Entry(row, state, **{"fingerprint": f"{row:032x}", **changes})


def by_identity(*entries: Entry) -> dict[Identity, Entry]:
    return {entry.identity: entry for entry in entries}


def intend(ledger: Ledger, *entries: Entry) -> None:
    ledger.intend([(entry, Payload(b"{}", (), entry.fingerprint)) for entry in entries])


def together(*acts: Callable[[], object]) -> list[object]:
    """Run all at the same moment, each in a thread; return what each returned or raised."""
    barrier = threading.Barrier(len(acts), timeout=60)

    def run(act: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return act()
        except LedgerError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(run, acts))


# --- what is written comes back -----------------------------------------------------------------------------------


def test_a_new_ledger_is_empty(ledger_database: LedgerDatabase):
    records = ledger_database.ledger().load()
    assert (records.entries, records.metadata) == ({}, {})


@with_every_connection
def test_every_field_of_an_entry_comes_back_to_the_microsecond(ledger_database: LedgerDatabase):
    ledger_database.ledger().write([FULL])
    assert ledger_database.ledger().load().entries == by_identity(FULL)


def test_the_last_entry_of_a_row_wins(ledger_database: LedgerDatabase):
    ledger = ledger_database.ledger()
    ledger.write([entry_of(0, State.IN_DOUBT), entry_of(1)])
    ledger.write([entry_of(0, State.OPEN), entry_of(0, State.CREATED)])
    assert ledger.load().entries == by_identity(entry_of(0, State.CREATED), entry_of(1))


@with_every_connection
def test_the_same_entry_can_be_written_again(ledger_database: LedgerDatabase):
    for _ in range(2):
        ledger_database.ledger().write([FULL], metadata={"a": 1})
    assert ledger_database.ledger().load().entries == by_identity(FULL)


def test_metadata_are_merged(ledger_database: LedgerDatabase):
    ledger = ledger_database.ledger()
    ledger.write(metadata={"a": 1, "b": 1})
    ledger.write(metadata={"b": 2, "c": [1.5, None, "मीरा 😀"]})
    assert ledger.load().metadata == {"a": 1, "b": 2, "c": [1.5, None, "मीरा 😀"]}


@with_every_connection
def test_thousands_of_entries_come_back(ledger_database: LedgerDatabase):
    entries = [entry_of(row, row_key=f"k{row}", reason="r" * 100) for row in range(3_000)]
    ledger_database.ledger().write(entries)
    assert ledger_database.ledger().load().entries == by_identity(*entries)


def test_a_ledger_that_starts_over_has_no_entries_and_keeps_its_metadata(ledger_database: LedgerDatabase):
    ledger = ledger_database.ledger()
    ledger.write([entry_of(0)], metadata={"a": 1})
    ledger.start_over()
    ledger.write([entry_of(1)])
    records = ledger_database.ledger().load()
    assert (records.entries, records.metadata["a"]) == (by_identity(entry_of(1)), 1)


def test_runs_and_mapped_tasks_share_a_table_but_no_entry(ledger_database: LedgerDatabase):
    ledger_database.ledger().write([entry_of(0)], metadata={"a": 1})
    for other in (replace(RUN, run_id="2026-01-02"), replace(RUN, map_index=0)):
        assert ledger_database.ledger(other).load().entries == {}


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["मीरा", "😀 𝔘𝔫𝔦", "back\\slash 100% 'quoted' \"twice\" {0} :name ?", "two\nlines\t", "é"]
)
def test_text_comes_back_as_it_is(ledger_database: LedgerDatabase, text: str):
    entry = entry_of(0, row_key=text, reason=text, reason_class=text)
    ledger_database.ledger().write([entry])
    assert ledger_database.ledger().load().entries == by_identity(entry)


@pytest.mark.parametrize("character", ["x", "म", "😀"])
def test_a_reason_of_1000_characters_and_a_key_of_250_come_back(ledger_database: LedgerDatabase, character: str):
    entry = entry_of(0, row_key=character * 250, reason=character * 1_000)
    ledger_database.ledger().write([entry])
    assert ledger_database.ledger().load().entries == by_identity(entry)


KEYS_THAT_DATABASES_TAKE_FOR_EQUAL = ["a", "A", "a ", "á", "ａ", "a\u200b", "ss", "ß", " a", "1", "1.0", "01", ""]


def test_row_keys_that_a_database_takes_for_equal_are_kept_apart(ledger_database: LedgerDatabase):
    entries = [entry_of(0, row_key=key) for key in KEYS_THAT_DATABASES_TAKE_FOR_EQUAL]
    ledger_database.ledger().write(entries)
    assert ledger_database.ledger().load().entries == by_identity(*entries)


def test_runs_whose_names_a_database_takes_for_equal_are_kept_apart(ledger_database: LedgerDatabase):
    runs = [replace(RUN, run_id=name) for name in ("a", "A", "a ", "á")]
    for row, run in enumerate(runs):
        ledger_database.ledger(run).write([entry_of(row)])
    assert [list(ledger_database.ledger(run).load().entries.values()) for run in runs] == [
        [entry_of(row)] for row in range(len(runs))
    ]


@pytest.mark.parametrize(
    "moment", [0.0, 1.000001, 1_774_747_800.5, 2_147_483_648.25, 4_102_444_800.999999], ids=lambda moment: f"{moment:f}"
)
def test_a_moment_is_no_other_whatever_the_time_zone(ledger_database: LedgerDatabase, moment: float):
    entry = entry_of(0, accepted_at=moment, settled_at=moment, doubted_at=moment)
    ledger_database.ledger().write([entry])
    assert ledger_database.ledger().load().entries == by_identity(entry)


def test_what_was_not_delivered_can_be_read_with_plain_sql(ledger_database: LedgerDatabase):
    ledger_database.ledger().write([FULL, entry_of(8, State.CREATED, row_key="A-8")])
    found = ledger_database.select("SELECT row_key, state, reason FROM {table}_rejects")
    assert found == [(FULL.row_key, "rejected", FULL.reason)]


def test_the_shared_clock_has_fractions_of_a_second(ledger_database: LedgerDatabase):
    database = Database(BaseHook.get_hook(CONN_ID).get_conn, table=ledger_database.table)
    before = time.time()
    with database.reading() as connection:
        moments = [database_time(connection) for _ in range(3)]
    assert before - 1 < moments[0] <= moments[2] < time.time() + 1
    assert {round(moment % 1, 6) for moment in moments} != {0.0}


# --- the claim ----------------------------------------------------------------------------------------------------


@with_every_connection
def test_the_try_that_holds_the_claim_can_write_again_and_again(ledger_database: LedgerDatabase):
    ledger = ledger_database.ledger()
    ledger.claim("try")
    for row in range(3):
        ledger.write([entry_of(row)])
    assert len(ledger.load().entries) == 3


def test_a_try_that_claims_again_can_write(ledger_database: LedgerDatabase):
    ledger = ledger_database.ledger()
    ledger.claim("try")
    ledger.claim("try")
    ledger.write([entry_of(0)])
    assert len(ledger.load().entries) == 1


@with_every_connection
def test_a_try_that_has_lost_its_claim_writes_no_intent(ledger_database: LedgerDatabase):
    first, second = ledger_database.ledger(), ledger_database.ledger()
    first.claim("first try")
    first.write([entry_of(0)])
    second.claim("second try")
    with pytest.raises(LedgerTakenError):
        intend(first, entry_of(1, State.IN_DOUBT))
    assert second.load().entries == by_identity(entry_of(0))


@with_every_connection
def test_a_try_that_has_lost_its_claim_writes_the_receipts_that_it_still_gets(ledger_database: LedgerDatabase):
    first, second = ledger_database.ledger(), ledger_database.ledger()
    first.claim("first try")
    intend(first, entry_of(0, State.IN_DOUBT), entry_of(1, State.IN_DOUBT))
    second.claim("second try")
    receipt = entry_of(0, request_id="r1", accepted_at=1.5)
    with pytest.raises(LedgerTakenError):
        first.write([receipt], metadata={"a": 1})
    records = second.load()
    assert records.entries == by_identity(receipt, entry_of(1, State.IN_DOUBT))
    assert "a" not in records.metadata


@with_every_connection
def test_of_tries_that_claim_at_the_same_moment_one_can_write(ledger_database: LedgerDatabase):
    ledger_database.ledger().load()
    ledgers = [ledger_database.ledger() for _ in range(4)]
    claimed = together(*[lambda n=n: ledgers[n].claim(f"try {n}") for n in range(4)])
    assert claimed == [None] * 4
    written = together(*[lambda n=n: intend(ledgers[n], entry_of(n, State.IN_DOUBT)) for n in range(4)])
    winners = [number for number, outcome in enumerate(written) if outcome is None]
    assert len(winners) == 1
    assert [type(outcome) for outcome in written if outcome is not None] == [LedgerTakenError] * 3
    assert ledger_database.ledger().load().entries == by_identity(entry_of(winners[0], State.IN_DOUBT))


def test_whoever_writes_while_another_claims_writes_all_or_nothing(ledger_database: LedgerDatabase):
    first, second = ledger_database.ledger(), ledger_database.ledger()
    first.claim("first try")
    written, _ = together(
        lambda: intend(first, *(entry_of(row, State.IN_DOUBT) for row in range(200))),
        lambda: second.claim("second try"),
    )
    assert written is None or isinstance(written, LedgerTakenError)
    assert len(second.load().entries) == (200 if written is None else 0)


def test_runs_that_write_at_the_same_moment_do_not_stop_each_other(ledger_database: LedgerDatabase):
    ledger_database.ledger().load()

    def send(index: int) -> int:
        ledger = ledger_database.ledger(replace(RUN, map_index=index))
        ledger.claim(f"try of {index}")
        for row in range(5):
            intend(ledger, entry_of(row, State.IN_DOUBT))
            ledger.write([entry_of(row, State.OPEN)])
        return len(ledger.load().entries)

    assert together(*[lambda n=n: send(n) for n in range(6)]) == [5] * 6


# --- creation -----------------------------------------------------------------------------------------------------


def write_first(database: LedgerDatabase, index: int) -> int:
    ledger = database.ledger(replace(RUN, map_index=index))
    ledger.claim("try")
    ledger.write([entry_of(index)])
    return len(ledger.load().entries)


@with_every_connection
def test_threads_that_create_the_tables_at_the_same_moment_all_get_them(ledger_database: LedgerDatabase):
    assert together(*[lambda n=n: write_first(ledger_database, n) for n in range(6)]) == [1] * 6


def test_a_task_waits_while_another_creates_the_tables(ledger_database: LedgerDatabase, monkeypatch):
    first_has_begun, second_has_come, second_has_begun = threading.Event(), threading.Event(), threading.Event()
    create, bring_up_to_date = migrations._create, migrations.bring_up_to_date

    def come(*arguments: Any) -> None:
        if first_has_begun.is_set():
            second_has_come.set()
        bring_up_to_date(*arguments)

    def begin(*arguments: Any) -> None:
        if first_has_begun.is_set():
            second_has_begun.set()
        else:
            first_has_begun.set()
            second_has_come.wait(0.2 if ledger_database.kind == "sqlite" else 30)  # on SQLite it waits before
            second_has_begun.wait(1)
        create(*arguments)

    monkeypatch.setattr(database_module, "bring_up_to_date", come)
    monkeypatch.setattr(migrations, "_create", begin)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(write_first, ledger_database, 1)
        assert first_has_begun.wait(30)
        second = threads.submit(write_first, ledger_database, 2)
        assert (first.result(), second.result()) == (1, 1)
    assert not second_has_begun.is_set()


def test_processes_that_create_the_tables_at_the_same_moment_all_get_them(ledger_database: LedgerDatabase):
    context = multiprocessing.get_context("fork")
    barrier, outcomes = context.Barrier(3), context.SimpleQueue()

    def run(index: int) -> None:
        barrier.wait(60)
        try:
            outcomes.put(write_first(ledger_database, index))
        except BaseException as error:
            outcomes.put(repr(error))

    processes = [context.Process(target=run, args=(index,)) for index in range(3)]
    for process in processes:
        process.start()
    found = [outcomes.get() for _ in processes]
    for process in processes:
        process.join()
    assert found == [1] * 3


def test_tables_are_created_once(ledger_database: LedgerDatabase):
    write_first(ledger_database, 0)
    write_first(ledger_database, 1)
    assert ledger_database.select("SELECT COUNT(*) FROM {table}") == [(2,)]


# --- errors -------------------------------------------------------------------------------------------------------

NO_DATABASE_TAKES: dict[str, Any] = {"attempts": 2**70}


@with_every_connection
def test_a_write_that_fails_leaves_nothing_behind(ledger_database: LedgerDatabase):
    ledger = ledger_database.ledger()
    ledger.write([entry_of(1_000)], metadata={"a": 1})
    with pytest.raises(LedgerError):
        ledger.write([*(entry_of(row) for row in range(500)), entry_of(500, **NO_DATABASE_TAKES)], metadata={"a": 2})
    records = ledger_database.ledger().load()
    assert (records.entries, records.metadata["a"]) == (by_identity(entry_of(1_000)), 1)


@with_every_connection
def test_metadata_that_cannot_be_written_leave_no_entry_behind(ledger_database: LedgerDatabase):
    ledger = ledger_database.ledger()
    ledger.load()
    with pytest.raises(LedgerError):
        ledger.write([entry_of(0)], metadata={"a": object()})
    assert ledger_database.ledger().load().entries == {}


def test_after_a_write_that_failed_the_ledger_goes_on(ledger_database: LedgerDatabase):
    ledger = ledger_database.ledger()
    with suppress(LedgerError):
        ledger.write([entry_of(0, **NO_DATABASE_TAKES)])
    ledger.write([entry_of(1)])
    assert ledger.load().entries == by_identity(entry_of(1))


@pytest.mark.parametrize("changes", [{"reason": "r" * 1_001}, {"row_key": "k" * 251}, {"reason_class": "c" * 251}])
def test_a_text_that_is_too_long_is_refused_or_kept_and_never_cut(ledger_database: LedgerDatabase, changes: dict):
    entry = entry_of(0, **changes)
    ledger = ledger_database.ledger()
    try:
        ledger.write([entry])
    except LedgerError:
        assert ledger.load().entries == {}
    else:
        assert ledger.load().entries == by_identity(entry)


@with_every_connection
def test_no_transaction_is_left_open_between_two_calls(ledger_database: LedgerDatabase):
    ledger = ledger_database.ledger()
    ledger.claim("try")
    ledger.write([entry_of(0)])
    ledger.load()
    queries = {
        "sqlite": "SELECT 0",
        "psycopg": "SELECT COUNT(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'",
        "mysql": "SELECT COUNT(*) FROM information_schema.innodb_trx",
    }
    (query,) = [query for name, query in queries.items() if ledger_database.kind.startswith(name)]
    assert ledger_database.select(query) == [(0,)]
    with closing(ledger_database.connect()) as connection:  # SQLite has no such list, but waits for its lock
        connection.cursor().execute(f"DELETE FROM {ledger_database.table}")


@with_every_connection
def test_what_another_wrote_meanwhile_is_seen(ledger_database: LedgerDatabase):
    first, second = ledger_database.ledger(), ledger_database.ledger()
    first.load()
    second.write([entry_of(0)], metadata={"a": 1})
    records = first.load()
    assert (records.entries, records.metadata) == (by_identity(entry_of(0)), {"a": 1})


# --- connections --------------------------------------------------------------------------------------------------


@with_every_connection
def test_a_connection_that_was_cut_is_opened_anew(ledger_database: LedgerDatabase):
    ledger = ledger_database.ledger()
    ledger.claim("try")
    ledger.write([entry_of(0)])
    if ledger_database.proxy is not None:
        ledger_database.proxy.cut()
    with suppress(LedgerUnavailableError):
        ledger.write([entry_of(1)])
    ledger.write([entry_of(1), entry_of(2)])
    assert ledger.load().entries == by_identity(entry_of(0), entry_of(1), entry_of(2))


def test_a_connection_that_is_cut_during_a_write_leaves_all_or_nothing(ledger_database: LedgerDatabase):
    if (proxy := ledger_database.proxy) is None:
        return
    ledger = ledger_database.ledger()
    ledger.load()
    proxy.delay = 0.2
    cut = threading.Timer(0.3, proxy.cut)
    cut.start()
    with suppress(LedgerUnavailableError):
        ledger.write([entry_of(row) for row in range(500)])
    cut.join()
    proxy.delay = 0
    assert len(ledger.load().entries) in (0, 500)


def test_a_database_that_is_away_is_unavailable_and_the_error_names_the_table(
    ledger_database: LedgerDatabase, monkeypatch: pytest.MonkeyPatch
):
    if ledger_database.proxy is None:
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER_DATABASE", '{"conn_type": "sqlite", "host": "/no/such/folder/x.db"}')
    else:
        ledger_database.proxy.__exit__()
    with pytest.raises(LedgerUnavailableError, match="leadsquared_ledger"):
        ledger_database.ledger().load()


@pytest.mark.parametrize(("default", "used"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")])
@pytest.mark.parametrize("ledger_database", ["psycopg3", "psycopg3_autocommit", "psycopg2"], indirect=True)
def test_a_commit_is_durable_when_postgres_confirms_it(ledger_database: LedgerDatabase, default: str, used: str):
    hook: Any = BaseHook.get_hook(CONN_ID)

    def connect() -> Any:
        connection = hook.get_conn()
        connection.cursor().execute(f"SET SESSION synchronous_commit TO {default}")
        connection.commit()
        return connection

    database = Database(connect, table=ledger_database.table)
    with database.writing() as connection:
        found = connection.exec_driver_sql("SHOW synchronous_commit").scalar()
    database.close()
    assert found == used


def test_each_thread_may_use_the_ledger(ledger_database: LedgerDatabase):
    ledger = ledger_database.ledger()
    ledger.claim("try")
    assert together(*[lambda n=n: ledger.write([entry_of(n)]) for n in range(4)]) == [None] * 4
    assert len(ledger.load().entries) == 4
