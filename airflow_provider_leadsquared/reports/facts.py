"""Facts about a ledger as a whole: its version, how large it is, and from when to when it reaches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, text

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.column_values import seconds_of
from airflow_provider_leadsquared.ledgers.migrations import version_in

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_provider_leadsquared.ledgers.schema import Tables


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What a ledger is.

    :param table: The name of its result table.
    :param version: The version of its tables.
    :param size: Bytes that its tables and indexes take, of SQLite those of the whole file; None if the database does
        not say.
    :param runs: How many runs of tasks it knows.
    :param oldest: When the line was written that was not written to for the longest time, seconds since the epoch.
    :param newest: When a line was last written, seconds since the epoch.
    """

    table: str
    version: int | None
    size: int | None
    runs: int
    oldest: float | None
    newest: float | None


def read_facts(connection: Connection, tables: Tables) -> Facts:
    """Return facts about the ledger, without reading its lines."""
    entries = tables.entries
    # By state, for the index that has the time begins with it.
    moments: list[Any] = []
    for state in State:
        for end in (func.min(entries.c.written_at), func.max(entries.c.written_at)):
            moments.append(select(end).where(entries.c.state == state.value).scalar_subquery())
    written = [moment for moment in connection.execute(select(*moments)).one() if moment is not None]
    size = _SIZES.get(connection.dialect.name)
    return Facts(
        tables.name,
        version_in(connection, tables),
        None if size is None else size(connection, tables),
        connection.execute(select(func.count()).select_from(tables.runs)).scalar_one(),
        seconds_of(min(written, default=None)),
        seconds_of(max(written, default=None)),
    )


def _size_on_sqlite(connection: Connection, tables: Tables) -> int:
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def _size_on_postgres(connection: Connection, tables: Tables) -> int:
    size = text("SELECT pg_total_relation_size(CAST(:name AS regclass))")
    names = [str(table.fullname) for table in tables.all.sorted_tables]
    return sum(int(connection.execute(size, {"name": name}).scalar_one()) for name in names)


def _size_on_mysql(connection: Connection, tables: Tables) -> int:
    size = text(
        "SELECT data_length + index_length FROM information_schema.tables "
        "WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name"
    )
    schema = tables.all.schema
    named = [{"schema": schema and str(schema), "name": str(table.name)} for table in tables.all.sorted_tables]
    return sum(int(connection.execute(size, one).scalar_one_or_none() or 0) for one in named)


_SIZES: dict[str, Callable[[Connection, Tables], int]] = {
    "sqlite": _size_on_sqlite,
    "postgresql": _size_on_postgres,
    "mysql": _size_on_mysql,
}
