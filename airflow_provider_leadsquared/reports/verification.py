"""
Checking that a ledger is whole: its tables, indexes and views, and what its lines refer to.

All lines are read, in groups by their primary key; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, and_, func, inspect, or_, select

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory_rows import LINE_COLUMNS, read_line
from airflow_provider_leadsquared.ledgers.schema import ROW_LINE, catalogue_name
from airflow_provider_leadsquared.ledgers.statements import select_in

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_provider_leadsquared.ledgers.schema import Tables

#: Lines that are read at a time.
_GROUP = 2_000
#: How many problems of one kind are named; a ledger that was damaged may have as many as it has lines.
_NAMED = 20


def verify_tables(connection: Connection, tables: Tables) -> Iterator[str]:
    """Yield which tables, indexes and views are missing."""
    inspector, dialect = inspect(connection), connection.dialect
    schema = tables.all.schema and catalogue_name(dialect, tables.all.schema)
    for table in tables.all.sorted_tables:
        name = catalogue_name(dialect, table.name)
        if not inspector.has_table(name, schema):
            yield f"the table {table.fullname} is missing"
            continue
        there = {index["name"] for index in inspector.get_indexes(name, schema)}
        names = sorted(str(index.name) for index in table.indexes)
        for index in (one for one in names if catalogue_name(dialect, one) not in there):
            yield f"the index {index} is missing: what it serves takes long"
    for view in tables.views:
        if not inspector.has_table(catalogue_name(dialect, view), schema):
            yield f"the view {view} is missing"


def count_lines(connection: Connection, tables: Tables) -> int:
    """Return how many lines :func:`verify_lines` reads."""
    each = (tables.entries, tables.lines, tables.unsettled)
    return sum(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in each)


def verify_lines(connection: Connection, tables: Tables) -> Iterator[tuple[int, list[str]]]:
    """Yield how many lines were read, and what is wrong with them, group by group."""
    left = {kind: _NAMED for kind in ("state", "line", "last", "sending", "receipt")}

    def named(kind: str, problem: str) -> list[str]:
        left[kind] -= 1
        if left[kind] < 0:
            return []
        return [problem if left[kind] else f"{problem} (further ones of this kind are not named)"]

    for group in _groups(connection, tables.entries):
        known = {state.value for state in State}
        wrong = [line for line in group if line.state not in known]
        yield (
            len(group),
            [one for line in wrong for one in named("state", f"{line.row_key}: the state {line.state!r} is unknown")],
        )
    for group in _groups(connection, tables.lines):
        yield (
            len(group),
            [one for kind, problem in _problems_of_lines(connection, tables, group) for one in named(kind, problem)],
        )
    for group in _groups(connection, tables.unsettled):
        without = [line for line in group if line.state == State.OPEN.value and line.request_id is None]
        yield (
            len(group),
            [
                one
                for line in without
                for one in named(
                    "receipt", f"{line.row_key}: a sending is open and has no RequestId, so nobody can ask"
                )
            ],
        )


def _problems_of_lines(connection: Connection, tables: Tables, group: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with lines of the memory, each with its kind."""
    lines = []
    for row in group:
        try:
            lines.append(read_line([row._mapping[name] for name in LINE_COLUMNS]))
        except (ValueError, TypeError, LookupError):
            yield "line", f"the line {row.line_id} of the memory cannot be read"
    wanted = sorted({one for line in lines for one in line.unsettled})
    unsettled = tables.unsettled
    query = select(unsettled.c.sending_id)
    there = {one for (one,) in select_in(connection, query, unsettled.c.sending_id, wanted)}
    for line in lines:
        if missing := set(line.unsettled) - there:
            yield "sending", f"the line {line.line_id} waits for {len(missing)} sending(s) that are gone"
    rows = [row for row in group if row.kind == ROW_LINE and row.last_entry]
    found = _entries_of(connection, tables, rows)
    for row in rows:
        if (row.last_scope, row.last_entry) not in found:
            yield "last", f"{row.row_key}: the line of its last sending is gone, so the view of last states lacks it"


def _entries_of(connection: Connection, tables: Tables, rows: Sequence[Any]) -> set[tuple[str, str]]:
    """Return which of the lines that the memory calls rows' last ones are in the result table."""
    entries = tables.entries
    ids: dict[str, list[str]] = {}
    for row in rows:
        ids.setdefault(row.last_scope, []).append(row.last_entry)
    found: set[tuple[str, str]] = set()
    for scope, of_scope in ids.items():
        query = select(entries.c.entry_id).where(entries.c.scope == scope)
        found |= {(scope, one) for (one,) in select_in(connection, query, entries.c.entry_id, sorted(of_scope))}
    return found


def _groups(connection: Connection, table: Table) -> Iterator[Sequence[Any]]:
    """Yield the lines of a table in the order of its primary key, group by group."""
    keys = list(table.primary_key)
    after: tuple[Any, ...] | None = None
    while True:
        query = select(table).order_by(*keys).limit(_GROUP)
        if after is not None:
            query = query.where(_later(keys, after))
        group = connection.execute(query).all()
        if not group:
            return
        yield group
        after = tuple(group[-1]._mapping[key.name] for key in keys)


def _later(keys: Sequence[Any], after: Sequence[Any]) -> Any:
    """Return the condition that a primary key comes later, in a form in which each database uses its index."""
    if len(keys) == 1:
        return keys[0] > after[0]
    return and_(keys[0] >= after[0], or_(keys[0] > after[0], _later(keys[1:], after[1:])))
