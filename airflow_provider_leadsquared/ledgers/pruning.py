"""
Deleting what nobody needs any more from a ledger's result table.

Each row that is sent, and each that is set aside, adds a line a night. Lines with a verdict go when they are older than
the retention, but for those that the memory points to: the last line of each row of a sync, and those of sendings that
are not settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, or_, select

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.column_values import digest, timestamp
from airflow_provider_leadsquared.ledgers.statements import select_in

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from airflow_provider_leadsquared.ledgers.database import Database
    from airflow_provider_leadsquared.ledgers.schema import Tables

#: Seconds for which every line is kept: requests that LeadSquared seems to have lost are asked for a week.
LEAST_RETENTION = 8 * 86_400.0
#: Lines that one transaction examines: others wait for it.
_BATCH = 1_000


def prune(database: Database, *, retention: float, now: float) -> int:
    """
    Delete lines of the result table that are older than some time and that nobody needs.

    May run beside syncs and captures: it works in short transactions, and looks at each line once.

    :param database: The ledger's database.
    :param retention: Seconds for which lines are kept: at least as long as runs may be cleared and run again.
    :param now: The time in seconds since the epoch.
    :return: How many were deleted.
    :raises ValueError: ``retention`` is less than ``LEAST_RETENTION``.
    """
    if retention < LEAST_RETENTION:
        raise ValueError(
            f"retention is {retention:,.0f} seconds; keep lines for {LEAST_RETENTION:,.0f} at least (8 days), since "
            "requests may be asked for that long"
        )
    if not database.exists():
        return 0
    before = timestamp(now - retention)
    return sum(_prune_state(database, state, before) for state in State if state.is_final)


def _prune_state(database: Database, state: State, before: Any) -> int:
    table = database.tables.entries
    names = ("written_at", "scope", "entry_id", "sync_id", "row_key")
    order = [table.c[name] for name in names[:3]]
    # In the order of an index, so that no batch reads again what one before it has kept.
    old = select(*[table.c[name] for name in names]).where(table.c.state == state.value, table.c.written_at < before)
    pruned, last = 0, None
    while True:
        batch = old if last is None else old.where(_after(order, last))
        with database.writing() as connection:
            lines = connection.execute(batch.order_by(*order).limit(_BATCH)).all()
            gone = {(line.scope, line.entry_id) for line in lines} - _needed(connection, database.tables, lines)
            for scope in sorted({scope for scope, _ in gone}):
                entries = sorted(entry_id for of_scope, entry_id in gone if of_scope == scope)
                # The time is asked for once more: a run that was cleared may have written its line anew.
                deletion = delete(table).where(table.c.scope == scope, table.c.written_at < before)
                pruned += connection.execute(deletion.where(table.c.entry_id.in_(entries))).rowcount
        if len(lines) < _BATCH:
            return pruned
        last = tuple(lines[-1])[:3]


def _after(columns: Sequence[Any], values: tuple[Any, ...]) -> Any:
    """Return the condition that a line comes after another in an order; not every database compares rows as one."""
    first, second, third = columns
    return or_(
        first > values[0],
        and_(first == values[0], second > values[1]),
        and_(first == values[0], second == values[1], third > values[2]),
    )


def _needed(connection: Connection, tables: Tables, lines: Sequence[Row[Any]]) -> set[tuple[str, str]]:
    """Return the lines that the memory points to, of some lines of the result table, and perhaps others."""
    rows = sorted({digest(line.sync_id, line.row_key) for line in lines if line.sync_id and line.row_key})
    accounts = list(connection.execute(select(tables.counters.c.account_id)).scalars())
    memory = tables.lines
    last = select(memory.c.last_scope, memory.c.last_entry).where(memory.c.account_id.in_(accounts))
    found = {(line.last_scope, line.last_entry) for line in select_in(connection, last, memory.c.line_id, rows)}
    unsettled = tables.unsettled
    scopes = sorted({line.scope for line in lines})
    sendings = select_in(connection, select(unsettled.c.scope, unsettled.c.entry_id), unsettled.c.scope, scopes)
    return found | {(sending.scope, sending.entry_id) for sending in sendings}
