"""Ledgers: one contract for every store, and the shape of what goes into Airflow's."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from sqlite3 import connect
from threading import Barrier
from time import time
from typing import Any

import psycopg2
import pytest

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.base import Ledger
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError, LedgerUnavailableError, LedgerVersionError
from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger
from airflow_provider_leadsquared.ledgers.sql import RunOfTask, SqlLedger
from airflow_provider_leadsquared.ledgers.task_state import TaskStateLedger

LARGEST_VALUE = 65_535


class StrictStore:
    """A task state store that takes plain JSON only and hands out copies, as Airflow's does."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.sets_left: int | None = None

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any) -> None:
        if self.sets_left is not None:
            if not self.sets_left:
                raise ConnectionError("the store is away")
            self.sets_left -= 1
        assert value is not None
        _check_plain(value)
        self.values[key] = json.dumps(value, allow_nan=False)


def _check_plain(value: Any) -> None:
    if type(value) is dict:
        assert {type(name) for name in value} <= {str}
        for inner in value.values():
            _check_plain(inner)
    elif type(value) is list:
        for inner in value:
            _check_plain(inner)
    else:
        assert value is None or type(value) in (str, int, float, bool), f"{type(value)} is no plain JSON"


RUN = RunOfTask("sync", "2026-01-01", "capture")


@pytest.fixture
def sqlite(tmp_path) -> Callable[..., Ledger]:
    """Return a function that opens a ledger in one SQLite file."""
    options = {"placeholder": "?", "table": "ledger", "run": RUN, "clock": time}
    return lambda **changes: SqlLedger(partial(connect, tmp_path / "ledger.db"), **options | changes)


@pytest.fixture
def on_postgres(postgres) -> Callable[..., Ledger]:
    """Return a function that opens a ledger in a Postgres schema of the test's own."""
    schema = f"s{uuid.uuid4().hex}"
    with closing(psycopg2.connect(postgres)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}")
    options = {"placeholder": "%s", "table": f"{schema}.ledger", "run": RUN, "clock": time}
    return lambda **changes: SqlLedger(partial(psycopg2.connect, postgres), **options | changes)


@pytest.fixture
def task_state() -> Callable[..., Ledger]:
    """Return a function that opens a ledger in one task state store."""
    return partial(TaskStateLedger, StrictStore())


@pytest.fixture
def memory() -> Callable[..., Ledger]:
    """Return a function that returns the one ledger in memory."""
    ledger = InProcessLedger()
    return lambda: ledger


@pytest.fixture(params=["memory", "task_state", "sqlite", "on_postgres"])
def open_ledger(request) -> Callable[..., Ledger]:
    """Return a function that opens a fresh ledger on one store."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["task_state", "sqlite", "on_postgres"])
def open_shared_ledger(request) -> Callable[..., Ledger]:
    """Return a function as ``open_ledger`` does, on a store that several processes may reach."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["sqlite", "on_postgres"])
def open_sql_ledger(request) -> Callable[..., Ledger]:
    """Return a function as ``open_ledger`` does, on one database."""
    return request.getfixturevalue(request.param)


def _entry(row: int, state: State = State.OPEN, **changes: Any) -> Entry:
    return Entry(row, state, **{"fingerprint": f"{row:032x}", **changes})


def _by_identity(*entries: Entry) -> dict[Any, Entry]:
    return {entry.identity: entry for entry in entries}


FULL = Entry(
    row=7,
    state=State.REJECTED,
    row_key="A-7",
    fingerprint="f" * 32,
    copy=2,
    request_id="9d0f4b52-0000-4000-8000-00000000000c",
    accepted_at=1_700_000_000.123456,
    settled_at=1_700_000_030.5,
    lead_id="2c8e1f77-0000-4000-8000-00000000000b",
    reason_class="MXDuplicateEntryException",
    reason="Duplicate entry '***' — मीरा 😀",
)


def test_a_new_ledger_is_empty(open_ledger):
    records = open_ledger().load()
    assert (records.entries, records.metadata) == ({}, {})


def test_what_is_written_can_be_loaded(open_ledger):
    ledger = open_ledger()
    ledger.write([_entry(0), _entry(1)])
    assert ledger.load().entries == _by_identity(_entry(0), _entry(1))


def test_every_field_of_an_entry_comes_back(open_ledger):
    open_ledger().write([FULL])
    assert open_ledger().load().entries == {FULL.identity: FULL}


@pytest.mark.parametrize("state", State)
def test_every_state_comes_back(open_ledger, state):
    open_ledger().write([_entry(0, state)])
    (entry,) = open_ledger().load().entries.values()
    assert entry.state is state


def test_the_last_entry_of_a_row_wins(open_ledger):
    ledger = open_ledger()
    ledger.write([_entry(0, State.IN_DOUBT)])
    ledger.write([_entry(0, State.OPEN), _entry(0, State.CREATED)])
    assert ledger.load().entries == _by_identity(_entry(0, State.CREATED))


def test_a_row_that_moved_in_the_list_keeps_its_one_entry(open_ledger):
    ledger = open_ledger()
    ledger.write([_entry(0, fingerprint="f")])
    ledger.write([_entry(5, State.CREATED, fingerprint="f")])
    assert ledger.load().entries == _by_identity(_entry(5, State.CREATED, fingerprint="f"))


def test_rows_that_are_alike_are_kept_apart_by_their_copy(open_ledger):
    alike = [_entry(row, fingerprint="f", copy=row) for row in range(3)]
    open_ledger().write(alike)
    assert open_ledger().load().entries == _by_identity(*alike)


def test_a_fresh_ledger_sees_what_an_old_one_wrote(open_ledger):
    open_ledger().write([_entry(0)], metadata={"a": 1})
    records = open_ledger().load()
    assert (records.entries, records.metadata) == (_by_identity(_entry(0)), {"a": 1})


def test_a_fresh_ledger_adds_to_what_an_old_one_wrote(open_ledger):
    open_ledger().write([_entry(0)])
    open_ledger().write([_entry(1)])
    assert open_ledger().load().entries == _by_identity(_entry(0), _entry(1))


def test_marks_are_merged(open_ledger):
    ledger = open_ledger()
    ledger.write(metadata={"a": 1, "b": 1})
    ledger.write(metadata={"b": 2, "c": [1.5, None]})
    assert ledger.load().metadata == {"a": 1, "b": 2, "c": [1.5, None]}


def test_entries_and_marks_do_not_touch_each_other(open_ledger):
    ledger = open_ledger()
    ledger.write([_entry(0)])
    ledger.write(metadata={"a": 1})
    ledger.write([_entry(1)])
    records = ledger.load()
    assert (len(records.entries), records.metadata) == (2, {"a": 1})


def test_writing_nothing_changes_nothing(open_ledger):
    ledger = open_ledger()
    ledger.write([_entry(0)])
    ledger.write()
    ledger.write([], metadata={})
    assert ledger.load().entries == _by_identity(_entry(0))


def test_what_was_loaded_does_not_change_with_later_writes(open_ledger):
    ledger = open_ledger()
    ledger.write([_entry(0)])
    before = ledger.load()
    ledger.write([_entry(1)], metadata={"a": 1})
    assert (len(before.entries), dict(before.metadata)) == (1, {})


def test_entries_may_come_from_an_iterator(open_ledger):
    open_ledger().write(_entry(row) for row in range(3))
    assert len(open_ledger().load().entries) == 3


def test_a_ledger_that_starts_over_has_no_entries_and_keeps_its_marks(open_ledger):
    ledger = open_ledger()
    ledger.write([_entry(0)], metadata={"a": 1})
    ledger.start_over()
    records = open_ledger().load()
    assert (records.entries, records.metadata["a"]) == ({}, 1)


def test_entries_after_a_new_start_are_the_only_ones(open_ledger):
    ledger = open_ledger()
    ledger.write([_entry(0)])
    ledger.start_over()
    ledger.write([_entry(1)])
    assert open_ledger().load().entries == _by_identity(_entry(1))


def test_a_try_that_has_lost_its_claim_writes_no_entry(open_shared_ledger):
    zombie, retry = open_shared_ledger(), open_shared_ledger()
    zombie.claim("first try")
    zombie.write([_entry(0)])
    retry.claim("second try")
    with pytest.raises(LedgerTakenError):
        zombie.write([_entry(1)])
    assert retry.load().entries == _by_identity(_entry(0))


def test_the_try_that_holds_the_claim_goes_on(open_ledger):
    ledger = open_ledger()
    ledger.claim("first try")
    ledger.claim("second try")
    ledger.write([_entry(0)])
    assert len(ledger.load().entries) == 1


# --- SQL ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other", [RunOfTask("sync", "2026-01-02", "capture"), RunOfTask("sync", "2026-01-01", "capture", 0)]
)
def test_runs_and_mapped_tasks_share_a_table_but_no_entry(open_sql_ledger, other):
    open_sql_ledger().write([_entry(0)], metadata={"a": 1})
    records = open_sql_ledger(run=other).load()
    assert (records.entries, records.metadata) == ({}, {})


def test_a_change_that_fails_half_way_is_undone(open_sql_ledger):
    ledger = open_sql_ledger()
    ledger.write([_entry(0)])
    with pytest.raises(LedgerUnavailableError):
        ledger.write([_entry(1), _entry(2, reason=object())])
    assert ledger.load().entries == _by_identity(_entry(0))


@pytest.mark.parametrize("table", ["", "a b", "a;DROP TABLE x", "1a", "a.b.c", 'a"b', "é", "x" * 52])
def test_a_table_name_that_is_no_plain_name_is_refused(table):
    with pytest.raises(ValueError, match="no plain table name"):
        SqlLedger(connect, placeholder="?", table=table, run=RUN, clock=time)


def test_tables_of_another_version_are_refused_with_a_remedy(tmp_path, sqlite):
    sqlite().load()
    with closing(connect(tmp_path / "ledger.db")) as connection, connection:
        connection.execute("UPDATE ledger_metadata SET content = '0' WHERE name = 'version'")
    with pytest.raises(LedgerVersionError, match=r"version 0.*name another ledger_table"):
        sqlite().load()


def test_a_creation_that_was_killed_half_way_is_finished(tmp_path, sqlite):
    with closing(connect(tmp_path / "ledger.db")) as connection, connection:
        connection.execute("CREATE TABLE ledger_metadata (scope, name, content, PRIMARY KEY (scope, name))")
    sqlite().write([_entry(0)])
    assert len(sqlite().load().entries) == 1


@pytest.mark.parametrize("_", range(4))
def test_tasks_that_create_the_tables_at_the_same_moment_all_get_them(open_sql_ledger, _):
    together = Barrier(8, timeout=30)

    def write(map_index: int) -> int:
        ledger = open_sql_ledger(run=replace(RUN, map_index=map_index))
        together.wait()
        ledger.write([_entry(map_index)])
        return len(ledger.load().entries)

    with ThreadPoolExecutor(8) as tasks:
        assert list(tasks.map(write, range(8))) == [1] * 8


def test_a_database_that_cannot_be_written_is_named_with_its_own_words(tmp_path, sqlite):
    sqlite().load()
    readonly = partial(connect, f"file:{tmp_path}/ledger.db?mode=ro", uri=True)
    with pytest.raises(LedgerUnavailableError, match="readonly database"):
        SqlLedger(readonly, placeholder="?", table="ledger", run=RUN, clock=time).write([_entry(0)])


def test_a_database_that_is_away_is_found_again_when_it_is_back(tmp_path):
    folder = tmp_path / "db"
    ledger = SqlLedger(partial(connect, folder / "x.db"), placeholder="?", table="ledger", run=RUN, clock=time)
    with pytest.raises(LedgerUnavailableError, match="unable to open"):
        ledger.write([_entry(0)])
    folder.mkdir()
    ledger.write([_entry(0)])
    assert len(ledger.load().entries) == 1


# --- Airflow's store ----------------------------------------------------------------------------------------------


def _long(row: int) -> Entry:
    return _entry(row, State.FAILED, row_key=f"मीरा-{row}", request_id=f"r-{row}", reason="😀 " * 40, accepted_at=1.5)


def test_5000_entries_go_into_chunks_that_airflow_takes():
    store = StrictStore()
    TaskStateLedger(store).write([_long(row) for row in range(5_000)])
    assert max(len(value.encode()) for value in store.values.values()) < LARGEST_VALUE


def test_5000_entries_come_back():
    store = StrictStore()
    entries = [_long(row) for row in range(5_000)]
    TaskStateLedger(store).write(entries)
    assert TaskStateLedger(store).load().entries == _by_identity(*entries)


def test_chunks_are_filled_before_another_is_begun():
    store = StrictStore()
    TaskStateLedger(store).write([_long(row) for row in range(5_000)])
    sizes = [len(value) for value in list(store.values.values())[:-1]]
    assert min(sizes) > 55_000


def test_chunks_are_numbered_without_a_gap():
    store = StrictStore()
    for _ in range(2):
        TaskStateLedger(store).write([_long(row) for row in range(500)])
    assert sorted(store.values) == [f"ledger/entries/0/{chunk:04d}" for chunk in range(len(store.values))]


def test_a_store_that_fails_leaves_the_earlier_chunks_readable():
    store = StrictStore()
    store.sets_left = 2
    with pytest.raises(LedgerUnavailableError):
        TaskStateLedger(store).write([_long(row) for row in range(5_000)])
    rows = [entry.row for entry in TaskStateLedger(store).load().entries.values()]
    assert (rows, len(store.values)) == (list(range(len(rows))), 2)


def test_a_ledger_goes_on_where_its_store_failed():
    store = StrictStore()
    ledger = TaskStateLedger(store)
    ledger.write([_entry(0)])
    store.sets_left = 0
    with pytest.raises(LedgerUnavailableError):
        ledger.write([_entry(1)])
    store.sets_left = None
    ledger.write([_entry(2)])
    assert TaskStateLedger(store).load().entries == _by_identity(_entry(0), _entry(2))


def test_an_entry_holds_no_lead_data():
    assert set(Entry.__dataclass_fields__) == {
        "attempts",
        "doubted_at",
        "row",
        "state",
        "row_key",
        "api",
        "fingerprint",
        "copy",
        "request_id",
        "accepted_at",
        "settled_at",
        "lead_id",
        "reason_class",
        "reason",
    }


# --- entries ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (Entry(0, State.OPEN), "row 1"),
        (Entry(9, State.OPEN, row_key="A-1"), "A-1"),
        (Entry(9, State.OPEN, row_key=""), ""),
    ],
)
def test_a_row_is_named_by_its_key_or_by_its_position_counted_from_one(entry, name):
    assert entry.name == name


@pytest.mark.parametrize(
    ("entry", "identity"),
    [
        (Entry(3, State.OPEN, "A-1", "f", 1, "r"), ("A-1", "f", 1)),
        (Entry(3, State.OPEN, None, "", 0, "r"), (None, "r", 0)),
        (Entry(3, State.INVALID, "A-1", copy=3), ("A-1", "", 3)),
    ],
    ids=["by_fingerprint", "by_receipt", "never_sent"],
)
def test_a_row_is_recognised_by_what_it_is_not_where_it_stands(entry, identity):
    assert entry.identity == identity


def test_a_move_changes_only_what_it_says():
    entry = _entry(0, State.IN_DOUBT, row_key="A-1")
    assert entry.moved(State.OPEN, request_id="r") == _entry(0, State.OPEN, row_key="A-1", request_id="r")


# --- ledgers of an earlier version ----------------------------------------------------------------------------------

#: What version 2 created for its metadata, and wrote first.
TABLES_OF_VERSION_2 = (
    "CREATE TABLE {table}_marks (scope CHAR(32) NOT NULL, name VARCHAR(50) NOT NULL, mark VARCHAR(1000) NOT NULL)",
    "INSERT INTO {table}_marks (scope, name, mark) VALUES ('tables', 'version', '2')",
    "CREATE TABLE {table} (scope CHAR(32) NOT NULL, entry_id CHAR(32) NOT NULL, owner_key VARCHAR(250))",
)


def test_tables_of_version_2_are_refused_with_the_remedy_and_left_as_they_are(tmp_path, sqlite):
    with closing(connect(tmp_path / "ledger.db")) as connection, connection:
        for statement in TABLES_OF_VERSION_2:
            connection.execute(statement.format(table="ledger"))
    with pytest.raises(LedgerVersionError, match=r"is of version 2, .* reads version 3; name another ledger_table"):
        sqlite().write([_entry(0)])
    with closing(connect(tmp_path / "ledger.db")) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {"ledger", "ledger_marks"}


@pytest.mark.parametrize(
    ("key", "value"), [("ledger/marks", {"tries": 1}), ("ledger/0/0000", [[0, "open", "k", "f", 0, "r"]])]
)
def test_task_state_of_version_1_is_refused_with_the_remedy_and_left_as_it_is(key, value):
    store = StrictStore()
    store.set(key, value)
    with pytest.raises(
        LedgerVersionError, match=r"ledger has version 1; this one reads version 2\. Let the DAG run end"
    ):
        TaskStateLedger(store).load()
    with pytest.raises(LedgerVersionError):
        TaskStateLedger(store).claim("try 2")
    assert store.get(key) == value


def test_task_state_of_a_later_version_is_refused():
    store = StrictStore()
    store.set("ledger/metadata", {"version": 3})
    with pytest.raises(LedgerVersionError, match="ledger has version 3"):
        TaskStateLedger(store).load()


def test_the_api_is_kept(open_ledger):
    open_ledger().write([_entry(0, api="another_api")])
    (entry,) = open_ledger().load().entries.values()
    assert entry.api == "another_api"
