"""Which runs there are, and small facts about a run, a sync or the tables, kept as JSON in the metadata table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, select

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


def note_run(connection: Connection, table: Table, line: Mapping[str, Any]) -> None:
    """Add a run to the table of runs, unless it is there: a run begins with its first try."""
    if connection.execute(select(table.c.scope).where(table.c.scope == line["scope"])).first() is None:
        upsert(connection, table, [line])
