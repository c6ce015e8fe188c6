"""Which runs there are, and small facts about a run, a sync or the tables, kept as JSON in the metadata table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, select

from airflow_provider_leadsquared.delivery.poll_learnt import LADDER_READING, fuller_reading
from airflow_provider_leadsquared.ledgers.column_values import digest
from airflow_provider_leadsquared.ledgers.statements import select_in, upsert


def read_metadata(connection: Connection, table: Table, scope: str, *, lock: bool = False) -> dict[str, Any]:
    """
    Return the metadata of a scope by name.

    :param lock: Let nobody else change them until the transaction ends.
    """
    query = select(table.c.name, table.c.content).where(table.c.scope == scope).order_by(table.c.name)
    found = connection.execute(query.with_for_update() if lock else query)
    return {name: json.loads(content) for name, content in found}


def read_from_scopes(connection: Connection, table: Table, name: str, scopes: Sequence[str]) -> dict[str, Any]:
    """Return one of the metadata of many scopes, by scope."""
    query = select(table.c.scope, table.c.content).where(table.c.name == name)
    return {scope: json.loads(content) for scope, content in select_in(connection, query, table.c.scope, scopes)}


def write_metadata(connection: Connection, table: Table, scope: str, metadata: Mapping[str, Any]) -> None:
    """Add or replace metadata of a scope."""
    rows = [{"scope": scope, "name": name, "content": json.dumps(content)} for name, content in metadata.items()]
    upsert(connection, table, rows)


class PollMetadata:
    """
    What polls of one task keep, and what they share with all that poll in the account.

    :param table: The metadata table.
    :param scope: Under what the task's own metadata are kept.
    :param account: Names the account and its retry ladder; None where that is not known.
    """

    def __init__(self, table: Table, scope: str, account: str | None) -> None:
        self._table, self._scope = table, scope
        self._account_scope = None if account is None else digest("account", account)

    def read(self, connection: Connection) -> dict[str, Any]:
        """Return the metadata by name."""
        table = self._table
        scopes = [scope for scope in (self._scope, self._account_scope) if scope is not None]
        query = select(table.c.scope, table.c.name, table.c.content).where(table.c.scope.in_(scopes))
        found = sorted(connection.execute(query), key=lambda line: scopes.index(line.scope))
        return {name: json.loads(content) for _, name, content in found}

    def write(self, connection: Connection, metadata: Mapping[str, Any], now: float) -> None:
        """
        Add or replace metadata.

        :param now: The time, seconds since the epoch.
        """
        own = dict(metadata)
        if self._account_scope is not None and LADDER_READING in own:
            shared = read_metadata(connection, self._table, self._account_scope, lock=True)
            reading = fuller_reading(shared.get(LADDER_READING), own.pop(LADDER_READING), now)
            write_metadata(connection, self._table, self._account_scope, {LADDER_READING: reading})
        write_metadata(connection, self._table, self._scope, own)


def note_run(connection: Connection, table: Table, line: Mapping[str, Any]) -> None:
    """Add a run to the table of runs, unless it is there: a run begins with its first try."""
    if connection.execute(select(table.c.scope).where(table.c.scope == line["scope"])).first() is None:
        upsert(connection, table, [line])
