"""Reading a warehouse: rows one after another in flat memory, and failures that say all but what is in a row."""

from __future__ import annotations

import datetime as dt
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from types import ModuleType
from typing import Any

import psycopg2
import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.postgres.hooks import postgres as postgres_provider
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.providers.sqlite.hooks.sqlite import SqliteHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_leadsquared.exceptions import WarehouseError
from airflow_provider_leadsquared.tasks.row_sources.sql import read_query
from tests import canaries
from tests.integration.tasks import connect_postgres, connect_sqlite

ADDRESS = "meera@example.org"


class Connections:
    """The connections that a hook has opened."""

    def __init__(self, hook: DbApiHook, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[Any] = []
        opens = hook.get_conn

        def get_conn() -> Any:
            self.opened.append(opens())
            return self.opened[-1]

        monkeypatch.setattr(hook, "get_conn", get_conn)

    def all_closed(self) -> bool:
        assert self.opened
        return all(_is_closed(connection) for connection in self.opened)


def _is_closed(connection: Any) -> bool:
    if hasattr(connection, "closed"):
        return bool(connection.closed)
    with pytest.raises(Exception, match="closed"):
        connection.execute("SELECT 1")
    return True


@pytest.fixture(params=["psycopg2", "psycopg"])
def driver(request) -> str:
    return request.param


@pytest.fixture
def on_postgres(postgres, driver, monkeypatch) -> PostgresHook:
    return _postgres_hook(postgres, driver, monkeypatch)


@pytest.fixture
def on_sqlite(tmp_path, monkeypatch) -> SqliteHook:
    connect_sqlite(monkeypatch, "warehouse", tmp_path / "w.db")
    return SqliteHook("warehouse")


@pytest.fixture(params=["psycopg2", "psycopg", "sqlite"])
def hook(request, monkeypatch) -> DbApiHook:
    if request.param == "sqlite":
        return request.getfixturevalue("on_sqlite")
    return _postgres_hook(request.getfixturevalue("postgres"), request.param, monkeypatch)


def _postgres_hook(address: str, driver: str, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> PostgresHook:
    monkeypatch.setattr(postgres_provider, "USE_PSYCOPG3", driver == "psycopg")
    connect_postgres(monkeypatch, "warehouse", address, **changes)
    return PostgresHook("warehouse")


@pytest.fixture
def connections(hook, monkeypatch) -> Connections:
    return Connections(hook, monkeypatch)


@pytest.fixture
def execute(postgres) -> Iterator[Callable[..., list[Any]]]:
    """Return a function that runs a statement beside the task, for good."""
    with closing(psycopg2.connect(postgres)) as connection:
        connection.autocommit = True

        def run(sql: str, *parameters: Any) -> list[Any]:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                return cursor.fetchall() if cursor.description else []

        yield run


def _read(hook: DbApiHook, sql: str, parameters: Any = None, **options: Any) -> tuple[tuple[str, ...], list[Any]]:
    with read_query(hook, sql, parameters, **options) as rows:
        return rows.columns, [tuple(row) for row in rows]


def _failure(hook: DbApiHook, sql: str, parameters: Any = None, **options: Any) -> WarehouseError:
    with pytest.raises(WarehouseError) as caught:
        _read(hook, sql, parameters, **options)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT i, 'x' AS city FROM n"


# Rows


@pytest.mark.parametrize("fetch_rows", [1, 7, 100, 2_000])
def test_every_row_is_read_once_and_in_order_however_many_are_held(hook, connections, fetch_rows):
    columns, rows = _read(hook, NUMBERS, fetch_rows=fetch_rows)
    assert columns == ("i", "city")
    assert rows == [(i, "x") for i in range(1, 101)]
    assert connections.all_closed()


def test_the_columns_are_known_before_the_first_row_and_without_any(hook, connections):
    with read_query(hook, "SELECT 1 AS id, 2 AS city WHERE 1 = 0") as rows:
        assert rows.columns == ("id", "city")
        assert list(rows) == []
    assert connections.all_closed()


def test_doubled_columns_are_returned_as_they_are(hook):
    assert _read(hook, "SELECT 1 AS id, 2 AS id") == (("id", "id"), [(1, 2)])


def test_rows_are_read_once_only(hook):
    with read_query(hook, NUMBERS) as rows:
        assert next(iter(rows))[0] == 1
        assert next(iter(rows))[0] == 2
        assert len(list(rows)) == 98
        assert list(rows) == []


@pytest.mark.parametrize("ending", [";", " ; ", "\n-- the end; or not", " -- ;\n;"])
def test_a_statement_may_end_as_people_end_it(hook, ending):
    assert _read(hook, "SELECT 'a;b' AS x" + ending)[1] == [("a;b",)]


def test_parameters_are_given_to_postgres(on_postgres):
    assert _read(on_postgres, "SELECT %s::int, %s::text", [5, "100%"])[1] == [(5, "100%")]
    assert _read(on_postgres, "SELECT %(a)s::int", {"a": 5})[1] == [(5,)]


def test_parameters_are_given_to_sqlite(on_sqlite):
    assert _read(on_sqlite, "SELECT ?, ?", (5, "a"))[1] == [(5, "a")]


def test_a_percent_sign_means_itself_where_there_are_no_parameters(hook):
    assert _read(hook, "SELECT 'a' AS x WHERE 'Pune' LIKE 'P%'")[1] == [("a",)]


@pytest.mark.parametrize("cursor", ["dictcursor", "namedtuplecursor"])
def test_rows_are_sequences_also_where_the_connection_asks_for_dicts(postgres, driver, monkeypatch, cursor):
    hook = _postgres_hook(postgres, driver, monkeypatch, extra={"cursor": cursor})
    assert _read(hook, "SELECT 1 AS id, 2 AS id") == (("id", "id"), [(1, 2)])


def test_a_connection_that_commits_by_itself_is_read_all_the_same(on_postgres, postgres, monkeypatch):
    monkeypatch.setattr(on_postgres, "get_conn", _autocommitting(on_postgres.get_conn))
    assert len(_read(on_postgres, NUMBERS)[1]) == 100


def _autocommitting(opens: Callable[[], Any]) -> Callable[[], Any]:
    def get_conn() -> Any:
        connection = opens()
        connection.autocommit = True
        return connection

    return get_conn


# Of this very moment: the highest that the kernel knows of a process may be its parent's.
MEMORY = """
import psutil, sys
from airflow.providers.postgres.hooks import postgres
from airflow_provider_leadsquared.tasks.row_sources.sql import read_query

postgres.USE_PSYCOPG3 = sys.argv[1] == "psycopg"
hook = postgres.PostgresHook("warehouse")
SQL = "SELECT i, repeat('x', 300) FROM generate_series(1, {}) i"

def megabytes():
    return psutil.Process().memory_info().rss / 2**20

def read(count):
    with read_query(hook, SQL.format(count)) as rows:
        return max(megabytes() for number, _ in enumerate(rows) if number % 10_000 == 0)

before = read(10_001)
grown = read(300_000) - before
cursor = hook.get_conn().cursor()
cursor.execute(SQL.format(300_000))
print(grown, megabytes() - before)
"""


def test_memory_stays_flat_where_the_driver_would_have_loaded_all(on_postgres, driver):
    done = subprocess.run([sys.executable, "-c", MEMORY, driver], capture_output=True, text=True, check=True)  # noqa: S603 - our own script
    grown, loaded_at_once = map(float, done.stdout.split()[-2:])
    assert grown < 20 < 80 < loaded_at_once, "megabytes"


# The connection


def test_the_connection_is_closed_when_the_reader_stops_early(hook, connections):
    with read_query(hook, NUMBERS, fetch_rows=3) as rows:
        next(iter(rows))
    assert connections.all_closed()


def test_an_error_of_the_readers_own_is_passed_on_and_closes_the_connection(hook, connections):
    def read() -> None:
        with read_query(hook, NUMBERS, fetch_rows=3) as rows:
            for row in rows:
                row[0] / 0

    with pytest.raises(ZeroDivisionError):
        read()
    assert connections.all_closed()


@pytest.mark.parametrize("sql", ["SELECT * FROM nowhere", "CREATE TABLE made (a int)"])
def test_the_connection_is_closed_when_the_query_fails(hook, connections, sql):
    with pytest.raises((WarehouseError, ValueError)):
        _read(hook, sql)
    assert connections.all_closed()


def test_nothing_that_a_query_changes_is_kept(on_postgres, execute):
    execute("CREATE TABLE IF NOT EXISTS kept (a int)")
    execute("CREATE OR REPLACE FUNCTION keep() RETURNS int LANGUAGE sql AS 'INSERT INTO kept VALUES (1) RETURNING 1'")
    assert _read(on_postgres, "SELECT keep()")[1] == [(1,)]
    assert execute("SELECT count(*) FROM kept") == [(0,)]


def test_nothing_that_a_query_changes_is_kept_in_sqlite(on_sqlite):
    with closing(on_sqlite.get_conn()) as connection:
        connection.execute("CREATE TABLE kept (a int)")
    assert _read(on_sqlite, "INSERT INTO kept VALUES (1) RETURNING a")[1] == [(1,)]
    assert _read(on_sqlite, "SELECT count(*) FROM kept")[1] == [(0,)]


# Statements that are none


@pytest.mark.parametrize("sql", ["", " \n", None, ["SELECT 1"]])
def test_a_query_that_is_empty_or_no_text_is_refused_before_connecting(hook, connections, sql):
    with pytest.raises(ValueError, match="sql is empty"):
        _read(hook, sql)
    assert connections.opened == []


def test_a_statement_without_rows_is_refused(on_sqlite):
    with pytest.raises(ValueError, match="returns no rows; write one statement that does"):
        _read(on_sqlite, "CREATE TABLE made (a int)")


@pytest.mark.parametrize("sql", ["UPDATE pg_class SET relname = 'x'", "CREATE TABLE made (a int)", "SHOW timezone"])
def test_what_postgres_cannot_read_through_a_cursor_is_refused_with_what_it_takes(on_postgres, sql):
    message = str(_failure(on_postgres, sql))
    assert f'syntax error at or near "{sql.split()[0]}"' in message
    assert "takes one SELECT, WITH or VALUES" in message


def test_a_change_hidden_in_a_query_is_refused(on_postgres, execute):
    execute("CREATE TABLE IF NOT EXISTS kept (a int)")
    message = _failure(on_postgres, "WITH x AS (INSERT INTO kept VALUES (1) RETURNING a) SELECT * FROM x")
    assert "that changes nothing" in str(message)


def test_several_statements_are_refused(hook):
    # Left to itself, psycopg2 would commit here, and return the first statement's rows.
    with pytest.raises((ValueError, WarehouseError)) as caught:
        _read(hook, "SELECT 1; COMMIT")
    assert any(word in str(caught.value) for word in ("several statements", "multiple commands", "one statement"))


# Failures


def test_a_query_that_fails_half_way_says_after_how_many_rows(on_postgres, connections_of):
    error = _failure(on_postgres, "SELECT 1/(5000-i) AS x FROM generate_series(1,10000) i", fetch_rows=1_000)
    assert str(error) == (
        "warehouse: reading after 4,000 rows failed with DivisionByZero (SQLSTATE 22012): division by zero"
    )
    assert (error.sqlstate, error.rows_read) == ("22012", 4_000)
    assert connections_of.all_closed()


@pytest.fixture
def connections_of(on_postgres, monkeypatch) -> Connections:
    return Connections(on_postgres, monkeypatch)


def test_the_rows_before_a_failure_have_been_given(on_postgres):
    given = []

    def read() -> None:
        with read_query(on_postgres, "SELECT 10/(25-i) FROM generate_series(1,30) i", fetch_rows=10) as rows:
            for row in rows:
                given.append(row)

    with pytest.raises(WarehouseError):
        read()
    assert len(given) == 20


def test_a_warehouse_that_goes_away_in_the_middle(on_postgres, connections_of, execute):
    def read() -> None:
        sql = "SELECT pg_backend_pid(), i FROM generate_series(1,10000) i"
        with read_query(on_postgres, sql, fetch_rows=100) as rows:
            for pid, number in rows:
                if number == 250:
                    assert execute("SELECT pg_terminate_backend(%s, 10000)", pid) == [(True,)]

    with pytest.raises(WarehouseError, match=r"warehouse: reading after 300 rows failed with ") as caught:
        read()
    # Which of the two is in the message depends on what of the server's last words the client still hears.
    last_words = ("terminating connection due to administrator command", "server closed the connection unexpectedly")
    assert str(caught.value).endswith(last_words)
    assert caught.value.rows_read == 300
    assert connections_of.all_closed()


def test_a_warehouse_that_is_not_there(driver, monkeypatch, tmp_path):
    hook = _postgres_hook(f"postgresql:///postgres?host={tmp_path}", driver, monkeypatch)
    message = str(_failure(hook, "SELECT 1"))
    assert message.startswith("warehouse: connecting failed with OperationalError: ")
    assert "No such file or directory" in message


def test_a_connection_that_is_not_defined_is_named_by_airflow():
    with pytest.raises(AirflowNotFoundException, match="nowhere"):
        _read(PostgresHook("nowhere"), "SELECT 1")


def test_a_table_that_is_not_there_is_named_as_its_author_named_it(on_postgres):
    error = _failure(on_postgres, 'SELECT * FROM "Crm".customer_list')
    assert str(error) == (
        "warehouse: running the query failed with UndefinedTable (SQLSTATE 42P01): "
        'relation "Crm.customer_list" does not exist'
    )


def test_a_column_that_is_not_there_is_named_as_its_author_named_it(on_postgres):
    message = str(_failure(on_postgres, "SELECT emial FROM (SELECT 1 AS email) people"))
    assert message.endswith('(SQLSTATE 42703): column "emial" does not exist')


def test_a_table_that_is_not_there_in_sqlite(on_sqlite):
    message = str(_failure(on_sqlite, "SELECT * FROM customer_list"))
    assert message == "warehouse: running the query failed with OperationalError: no such table: customer_list"


@pytest.mark.parametrize(
    "value", [ADDRESS, "Meera Iyer", 'Meera "the boss" Iyer', "Meera\nIyer", "Meera's", "+91 90000 00001", 'x "int" y']
)
def test_a_value_in_what_the_driver_says_is_masked(on_postgres, execute, value):
    execute("CREATE TABLE IF NOT EXISTS people (contact text)")
    execute("TRUNCATE people")
    execute("INSERT INTO people VALUES (%s)", value)
    message = str(_failure(on_postgres, "SELECT contact::int FROM people"))
    assert message == (
        "warehouse: reading after 0 rows failed with InvalidTextRepresentation (SQLSTATE 22P02): "
        "invalid input syntax for type integer: ***"
    )


def test_a_parameter_in_what_the_driver_says_is_masked(on_postgres):
    message = str(_failure(on_postgres, "SELECT %s::text::int", ["Meera Iyer"]))
    assert "Meera" not in message
    assert "22P02" in message


def test_an_address_written_in_the_sql_is_masked_too(on_postgres):
    _failure(on_postgres, f"SELECT '{ADDRESS}'::int")


def test_what_a_row_holds_is_not_in_the_details_either(on_postgres, execute):
    execute("CREATE OR REPLACE FUNCTION complain() RETURNS int LANGUAGE plpgsql AS $$ BEGIN "
            f"RAISE EXCEPTION 'not found' USING DETAIL = '{ADDRESS}', HINT = '{ADDRESS}'; END $$")  # fmt: skip
    assert str(_failure(on_postgres, "SELECT complain()")).endswith("(SQLSTATE P0001): not found")


@pytest.mark.parametrize("value", ["'12345-01-01'::date", "'0044-03-15 BC'::date", "'12345-01-01'::timestamptz"])
def test_a_value_that_python_does_not_have_is_refused_with_the_remedy(on_postgres, value):
    message = str(_failure(on_postgres, f"SELECT 1 AS id, {value} AS born"))
    assert message.startswith("warehouse: reading after 0 rows failed with ")
    assert "cast it to text, or make it NULL" in message


@pytest.mark.parametrize("driver", ["psycopg"], indirect=True)
def test_infinity_is_such_a_value(on_postgres):
    assert "a date 'infinity'" in str(_failure(on_postgres, "SELECT 'infinity'::date"))


@pytest.mark.parametrize("driver", ["psycopg2"], indirect=True)
def test_infinity_is_the_end_of_the_calendar_to_psycopg2(on_postgres):
    assert _read(on_postgres, "SELECT 'infinity'::date::text, 'infinity'::date")[1] == [("infinity", dt.date.max)]


def test_text_that_is_not_utf8_is_not_shown(on_sqlite):
    message = str(_failure(on_sqlite, f"SELECT CAST(CAST('{ADDRESS}' AS BLOB) || x'ff' AS TEXT) AS city"))
    assert message.startswith("warehouse: reading after 0 rows failed with OperationalError: Could not decode to UTF-8")


# Drivers that are not installed here


class Said(Exception):
    pass


class Cursor:
    description = (("id",),)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def execute(self, sql: str) -> None:
        if self.connection.says is not None:
            raise self.connection.says

    def fetchmany(self, size: int) -> tuple[Any, ...]:
        return ((size,),)

    def close(self) -> None:
        self.connection.done.append("cursor closed")


class Connection:
    def __init__(self, says: Exception | None = None) -> None:
        self.done: list[Any] = []
        self.says = says

    def cursor(self, kind: Any = None) -> Cursor:
        self.done.append(f"cursor {kind}")
        return Cursor(self)

    def close(self) -> None:
        self.done.append("connection closed")


class AnyHook(DbApiHook):
    conn_name_attr = "any_conn_id"
    default_conn_name = "any"

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._opened = connection

    def get_conn(self) -> Connection:
        return self._opened


@pytest.mark.parametrize("driver_name", ["pymysql", "MySQLdb"])
def test_mysql_is_asked_not_to_load_all_and_is_not_read_to_the_end_when_left(monkeypatch, driver_name):
    cursors = ModuleType(f"{driver_name}.cursors")
    vars(cursors)["SSCursor"] = "unbuffered"
    monkeypatch.setitem(sys.modules, driver_name, ModuleType(driver_name))
    monkeypatch.setitem(sys.modules, cursors.__name__, cursors)
    connection = type("Connection", (Connection,), {"__module__": f"{driver_name}.connections"})()
    with read_query(AnyHook(connection), "SELECT 1") as rows:
        next(iter(rows))
    assert connection.done[:3] == ["cursor unbuffered", "connection closed", "cursor closed"]


def test_any_other_driver_is_asked_for_some_rows_at_a_time():
    connection = Connection()
    with read_query(AnyHook(connection), "SELECT 1", fetch_rows=17) as rows:
        assert next(iter(rows)) == (17,)
    assert connection.done == ["cursor None", "cursor closed", "connection closed"]


def _with(error: Exception, **attributes: Any) -> Exception:
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


SAID = {
    "snowflake": (
        _with(Said("…"), sqlstate="42000", raw_msg="SQL compilation error: error line 1 at position 7\n"
              "invalid identifier 'EMIAL'\nmore of it"),
        "(SQLSTATE 42000): SQL compilation error: error line 1 at position 7 "
        "invalid identifier 'EMIAL'",
    ),
    "snowflake_value": (Said("Numeric value 'Meera Iyer' is not recognized"), "Numeric value *** is not recognized"),
    "mysql": (Said(1146, "Table 'shop.people' doesn't exist"), "(1146): Table '***.people' doesn't exist"),
    "mysql_value": (Said(1366, "Incorrect integer value: 'Meera' for column"), "Incorrect integer value: ***"),
    "odbc": (Said("42S02", "[42S02] Invalid object name 'people'."), "(SQLSTATE 42S02): [42S02] Invalid object name"),
    "postgres_fields": (
        Said({"S": "ERROR", "C": "22P02", "M": 'invalid input: "Meera"', "D": "Meera"}),
        "(SQLSTATE 22P02): invalid input: ***",
    ),
    "bigquery_value": (Said("400 Bad int64 value: Meera Iyer"), "400 Bad int64 value: ***"),
    "oracle": (Said("ORA-00942: table or view does not exist\nHelp: …"), "ORA-00942: table or view does not exist"),
    "guillemets": (_with(Said("la relation « meera » n'existe pas"), sqlstate="42P01"), "la relation *** n'existe pas"),
    "a_value_over_two_lines": (Said('bad text "Meera" Iyer\nof Pune"'), "bad text ***"),
    "a_quote_in_a_word": (Said("can't adapt type 'dict'"), "can't adapt type ***"),
    "bare_in_front": (Said("Meera Iyer is not a valid integer"), "*** is not a valid integer"),
    "bare_in_the_middle": (
        _with(Said("cannot cast Meera Iyer of 411001 to date"), sqlstate="22007"),
        "cannot cast *** of *** to date",
    ),
    "bare_behind_a_colon": (Said("Could not parse: Meera Iyer, line 5"), "Could not parse: ***, line 5"),
    "own_words": (Said("column emial does not exist in people"), "column emial does not exist in people"),
    "no_code": (Said("Meera Iyer", "is not a number"), "failed with Said: ("),
    "nothing": (Said(), "failed with Said"),
    "odd": (Said(object(), None, 5), "failed with Said: "),
}  # fmt: skip


@pytest.mark.parametrize(("says", "shown"), SAID.values(), ids=SAID.keys())
def test_what_other_drivers_say_is_passed_on_masked(says, shown):
    message = str(_failure(AnyHook(Connection(says)), "SELECT emial FROM people"))
    assert message.startswith("any: running the query failed with Said")
    assert shown in message
    assert "Meera" not in message
    assert "Iyer" not in message
    assert not canaries.found_in(message)


@pytest.mark.parametrize("unit", ["'", "'a.", "value: ", "1- ", "Meera "])
def test_what_a_driver_says_in_megabytes_is_masked_at_once(unit):
    started = time.process_time()
    message = str(_failure(AnyHook(Connection(Said(unit * 1_000_000))), "SELECT 1"))
    assert time.process_time() - started < 1
    assert "Meera" not in message


def test_an_error_of_a_warehouse_keeps_its_facts_when_it_is_pickled():
    error = pickle.loads(pickle.dumps(WarehouseError("why", sqlstate="42703", rows_read=7)))  # noqa: S301 - our own
    assert (str(error), error.sqlstate, error.rows_read) == ("why", "42703", 7)
