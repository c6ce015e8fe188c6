"""
The tables of a SQL ledger: their columns, indexes and views.

Texts are compared byte by byte on every database, and moments are UTC without a time zone, with microseconds. A change
here needs a step in ``migrations.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CHAR,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Text,
    and_,
    select,
)
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.sql.elements import quoted_name

from airflow_provider_leadsquared.delivery.states import names_of

#: The kind of a line by row key.
ROW_LINE = "r"
#: An id made by ``digest``.
_ID = CHAR(32)
#: MySQL keeps whole seconds otherwise.
_MOMENT = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
#: MySQL's default compares without regard to case, and its default engine may know no transactions.
_ON_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


@dataclass(frozen=True)
class Tables:
    """
    The tables and views of one ledger.

    :param all: Holds all tables of the ledger.
    :param entries: One line for each row of each run that was sent or set aside: the result table.
    :param metadata: Small facts about a run, a sync or the tables, as JSON.
    :param counters: The number of the last intent or verdict of each account.
    :param lines: What is known under a row key, a match key or a lead id.
    :param unsettled: Sendings that have no verdict.
    :param unchanged: Digests of rows that are known to be unchanged as long as their source returns the same values.
    :param runs: One line for each run of a task that sends, and for each time that it began anew.
    :param views: Views by name: the query of each.
    """

    all: MetaData
    entries: Table
    metadata: Table
    counters: Table
    lines: Table
    unsettled: Table
    unchanged: Table
    runs: Table
    views: dict[str, Select[Any]]

    @classmethod
    @lru_cache(maxsize=16)  # a triggerer opens a ledger for each poll; what is written for its tables is kept, too
    def named(cls, table: str, schema: str | None) -> Tables:
        """
        Return the tables of one ledger; the same object each time, which nobody changes.

        :param table: The name of the result table; the names of the others begin with it.
        :param schema: The database schema that they are in, None for the connection's own.
        """
        every = MetaData(schema=_unquoted(schema) if schema else None)
        entries, lines = _entries(every, table), _lines(every, table)
        return cls(
            all=every,
            entries=entries,
            metadata=_metadata(every, table),
            counters=_counters(every, table),
            lines=lines,
            unsettled=_unsettled(every, table),
            unchanged=_unchanged(every, table),
            runs=_runs(every, table),
            views={f"{table}_last": _last(entries, lines), f"{table}_rejects": _rejects(entries)},
        )

    @property
    def name(self) -> str:
        """The name of the result table, with its schema if it was given one."""
        return str(self.entries.fullname)


def catalogue_name(dialect: Dialect, name: str) -> str:
    """Return a name as the database's catalogue holds it if it was created without quotes."""
    return name.lower() if dialect.name == "postgresql" else name


def _unquoted(name: str) -> quoted_name:
    """Return a name that is never put into quotes, so that users need none either, whatever its case."""
    return quoted_name(name, quote=False)


def _table(every: MetaData, name: str, *parts: Any) -> Table:
    return Table(_unquoted(name), every, *parts, **_ON_MYSQL)


def _id(name: str, *, null: bool = False, key: bool = False) -> Column[str]:
    return Column(name, _ID, nullable=null, primary_key=key)


def _text(name: str, length: int, *, null: bool = False) -> Column[str]:
    return Column(name, String(length), nullable=null)


def _moment(name: str, *, null: bool = True) -> Column[Any]:
    return Column(name, _MOMENT, nullable=null)


def _number(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


def _big(name: str, *, default: str | None = None) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=default)


def _index(name: str, *columns: str) -> Index:
    return Index(_unquoted(name), *columns)


def _entries(every: MetaData, table: str) -> Table:
    return _table(
        every,
        table,
        _id("scope", key=True),
        _id("entry_id", key=True),
        _id("sync_id", null=True),
        _text("dag_id", 250),
        _text("run_id", 250),
        _text("task_id", 250),
        _number("map_index"),
        _number("generation"),
        _number("row_no"),
        _text("state", 20),
        _text("row_key", 250, null=True),
        _text("fingerprint", 40),
        _number("copy_no"),
        _text("request_id", 100, null=True),
        _moment("accepted_at"),
        _moment("settled_at"),
        _text("lead_id", 100, null=True),
        _text("reason_class", 250, null=True),
        _text("reason", 1000, null=True),
        _number("attempts"),
        _moment("doubted_at"),
        _text("api", 50),
        _moment("unknown_since"),
        _moment("asked_at"),
        _moment("attempted_by"),
        _moment("written_at", null=False),
        # Open requests and rejects of a run (by row key), of a sync, of all; the newest run of a DAG; whose RequestId
        # one is; all lines of a row key.
        _index(f"{table}_by_outcome", "scope", "state", "row_key"),
        _index(f"{table}_by_sync", "sync_id", "state"),
        _index(f"{table}_by_state", "state", "written_at"),
        _index(f"{table}_by_dag", "dag_id", "written_at"),
        _index(f"{table}_by_request", "request_id"),
        _index(f"{table}_by_key", "row_key"),
    )


def _metadata(every: MetaData, table: str) -> Table:
    return _table(
        every,
        f"{table}_metadata",
        _id("scope", key=True),
        Column("name", String(50), primary_key=True),
        Column("content", Text, nullable=False),
    )


def _counters(every: MetaData, table: str) -> Table:
    return _table(
        every,
        f"{table}_counters",
        _id("account_id", key=True),
        _big("no"),
        # Tasks of version 5 do not write these two, and so are found out (``statements.next_numbers``).
        _big("noted", default="0"),
        _big("void", default="0"),
    )


def _lines(every: MetaData, table: str) -> Table:
    return _table(
        every,
        f"{table}_lines",
        _id("account_id", key=True),
        _id("line_id", key=True),
        Column("kind", CHAR(1), nullable=False),
        _big("no"),
        _big("dirty"),
        _big("touched"),
        _big("moved"),
        _big("proved"),
        _id("lead_line", null=True),
        # No rule reads these two: they tell people whose line it is, which is known by a hash otherwise.
        _id("sync_id", null=True),
        _text("row_key", 250, null=True),
        _id("last_scope", null=True),
        _id("last_entry", null=True),
        Column("details", Text, nullable=False),
        _moment("written_at", null=False),
    )


def _unsettled(every: MetaData, table: str) -> Table:
    return _table(
        every,
        f"{table}_unsettled",
        _id("sending_id", key=True),
        _id("sync_id"),
        _id("scope"),
        _id("entry_id"),
        _id("row_line"),
        _big("no"),
        _text("state", 20),
        _text("fingerprint", 40),
        _text("try_id", 40),
        _id("partition_id", null=True),
        _number("row_no"),
        _text("row_key", 250, null=True),
        _text("api", 50),
        _text("request_id", 100, null=True),
        _moment("intended_at", null=False),
        _moment("accepted_at"),
        _number("attempts"),
        _text("reason_class", 250, null=True),
        _text("reason", 1000, null=True),
        _moment("unknown_since"),
        _moment("asked_at"),
        _moment("attempted_by"),
        Column("details", Text, nullable=False),
        _index(f"{table}_uns_sync", "sync_id", "state"),
    )


def _unchanged(every: MetaData, table: str) -> Table:
    return _table(
        every,
        f"{table}_unchanged",
        _id("row_line", key=True),
        _id("digest"),
        _big("no"),
        # Holds all that is asked for, so that the table itself is not read.
        _index(f"{table}_unc_digest", "digest", "no"),
    )


def _runs(every: MetaData, table: str) -> Table:
    return _table(
        every,
        f"{table}_runs",
        _id("scope", key=True),
        _text("dag_id", 250),
        _text("run_id", 250),
        _text("task_id", 250),
        _number("map_index"),
        _number("generation"),
        _id("sync_id", null=True),
        _text("sync", 250, null=True),
        _moment("began_at", null=False),
        # All runs, or those of a DAG, newest first; the tasks of one run.
        _index(f"{table}_runs_time", "began_at"),
        _index(f"{table}_runs_dag", "dag_id", "began_at"),
        _index(f"{table}_runs_run", "dag_id", "run_id"),
    )


def _last(entries: Table, lines: Table) -> Select[Any]:
    before = ("sync_id", "row_key", "api", "state", "reason_class", "reason", "request_id", "lead_id", "attempts")
    after = ("accepted_at", "settled_at", "dag_id", "run_id", "task_id", "map_index")
    is_last = and_(entries.c.scope == lines.c.last_scope, entries.c.entry_id == lines.c.last_entry)
    shown = select(*[entries.c[name] for name in (*before, *after)])
    return shown.select_from(lines.join(entries, is_last)).where(lines.c.kind == ROW_LINE)


def _rejects(entries: Table) -> Select[Any]:
    before, after = ("dag_id", "run_id", "task_id", "map_index"), ("row_key", "state", "reason_class", "reason")
    return select(
        *[entries.c[name] for name in before],
        (entries.c.row_no + 1).label("row_in_run"),
        *[entries.c[name] for name in (*after, "request_id", "written_at")],
    ).where(entries.c.state.in_(names_of(lambda state: state.is_reject)))
