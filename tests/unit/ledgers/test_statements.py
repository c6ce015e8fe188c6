"""Replacing rows, reading rows by ids and drawing numbers, on every database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from sqlalchemy import Table, delete, select
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateIndex, CreateTable

from airflow_provider_leadsquared.ledgers import statements
from airflow_provider_leadsquared.ledgers.schema import Tables
from airflow_provider_leadsquared.ledgers.statements import delete_in

ACCOUNT, OTHER_ACCOUNT = "a" * 32, "b" * 32


def _rows(count: int, no: int = 1) -> list[dict]:
    return [{"account_id": f"{number:032x}", "no": no, "noted": no, "void": 0} for number in range(count)]


def _stored(ledger, table: Table) -> dict[str, int]:
    with ledger.reading() as connection:
        return {line.account_id: line.no for line in connection.execute(select(table))}


def test_rows_are_inserted_or_take_the_place_of_those_with_their_key(database):
    ledger = database.open()
    table = ledger.tables.counters
    with ledger.writing() as connection:
        statements.upsert(connection, table, _rows(3, no=1))
        statements.upsert(connection, table, _rows(2, no=2))
        statements.upsert(connection, table, [])
    assert sorted(_stored(ledger, table).values()) == [1, 2, 2]


def test_thousands_of_rows_are_read_and_deleted_by_their_ids(database, monkeypatch):
    monkeypatch.setattr(statements, "_IDS", 1_000)
    ledger = database.open()
    table = ledger.tables.counters
    ids = [row["account_id"] for row in _rows(2_500)]
    with ledger.writing() as connection:
        statements.upsert(connection, table, _rows(2_600))
        found = statements.select_in(connection, select(table), table.c.account_id, ids)
        delete_in(connection, delete(table), table.c.account_id, ids)
    assert len(found) == 2_500
    assert len(_stored(ledger, table)) == 100


def test_no_ids_select_nothing(database):
    ledger = database.open()
    with ledger.reading() as connection:
        assert statements.select_in(connection, select(ledger.tables.lines), ledger.tables.lines.c.line_id, []) == []


def test_numbers_of_an_account_begin_with_1_and_go_on(database):
    ledger = database.open()
    counters = ledger.tables.counters
    with ledger.writing() as connection:
        assert [statements.next_numbers(connection, counters, ACCOUNT, count) for count in (3, 1)] == [1, 4]
    with database.open().writing() as connection:
        assert statements.next_numbers(connection, counters, ACCOUNT, 1) == 5
        assert statements.next_numbers(connection, counters, OTHER_ACCOUNT, 1) == 1


def test_numbers_that_are_drawn_at_the_same_moment_differ(database):
    ledger = database.open()

    def draw(_: int) -> int:
        with ledger.writing() as connection:
            return statements.next_numbers(connection, ledger.tables.counters, ACCOUNT, 1)

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(draw, range(40))) == list(range(1, 41))


def test_numbers_of_a_transaction_that_is_undone_are_drawn_again(database):
    ledger = database.open()

    def draw_and_stop() -> None:
        with ledger.writing() as connection:
            statements.next_numbers(connection, ledger.tables.counters, ACCOUNT, 5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_and_stop()
    with ledger.writing() as connection:
        assert statements.next_numbers(connection, ledger.tables.counters, ACCOUNT, 1) == 1


def test_who_draws_a_number_waits_until_the_transaction_before_has_ended(database):
    ledger = database.open()
    ledger.salt()

    has_begun = Event()

    def draw() -> int:
        has_begun.set()
        with ledger.writing() as other:
            return statements.next_numbers(other, ledger.tables.counters, ACCOUNT, 1)

    with ThreadPoolExecutor(1) as thread:
        with ledger.writing() as connection:
            statements.next_numbers(connection, ledger.tables.counters, ACCOUNT, 1)
            waiting = thread.submit(draw)
            assert has_begun.wait(30)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=1)
        assert waiting.result(timeout=30) == 2


# --- the tables as they are created -------------------------------------------------------------------------------

TABLES = Tables.named("ledger", None)


def test_on_mysql_every_table_compares_bytes_and_knows_transactions():
    for table in TABLES.all.sorted_tables:
        created = str(CreateTable(table).compile(dialect=mysql.dialect()))
        for option in ("ENGINE=InnoDB", "CHARSET=utf8mb4", "COLLATE utf8mb4_bin"):
            assert option in created


def test_on_mysql_moments_keep_their_microseconds():
    for table in TABLES.all.sorted_tables:
        created = str(CreateTable(table).compile(dialect=mysql.dialect()))
        assert created.count("DATETIME") == created.count("DATETIME(6)")


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (
            "entries",
            {
                "scope, state, row_key",
                "sync_id, state",
                "state, written_at",
                "dag_id, written_at",
                "request_id",
                "row_key",
            },
        ),
        ("unsettled", {"sync_id, state"}),
        ("runs", {"began_at", "dag_id, began_at", "dag_id, run_id"}),
    ],
)
def test_what_is_asked_each_night_has_an_index(table, columns):
    created = {str(CreateIndex(index)).partition("(")[2].rstrip(")") for index in getattr(TABLES, table).indexes}
    assert created == columns


def test_the_indexes_are_in_the_database(sqlite):
    sqlite.ledger().load()
    found = sqlite.select("SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'ledger_%'")
    assert len(found) == sum(len(table.indexes) for table in TABLES.all.sorted_tables)
