"""Stores for ledgers: a task state store in memory, databases, and entries to write into them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from time import time
from typing import Any

from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.database import Database as LedgerDatabase
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.ledgers.sql import SqlLedger

RUN = RunOfTask("sync", "2026-01-01", "capture")


@dataclass(frozen=True)
class Database:
    """
    A database with room for one set of ledger tables.

    :param connect: Opens a connection.
    :param table: The ledger table, with its schema if it has one.
    :param catalog: A query for the names of all tables and views beside the ledger.
    """

    connect: Callable[[], Any]
    table: str
    catalog: str

    def run(self, *statements: str) -> None:
        """Run statements in one transaction; ``{table}`` is the ledger table."""
        with closing(self.connect()) as connection, connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement.replace("{table}", self.table))

    def select(self, query: str) -> list[Any]:
        """Return what a query finds."""
        with closing(self.connect()) as connection, connection:
            cursor = connection.cursor()
            cursor.execute(query.replace("{table}", self.table))
            return cursor.fetchall()

    def names(self) -> set[str]:
        """Return the names of all tables and views."""
        return {name for (name,) in self.select(self.catalog)}

    def open(self, **changes: Any) -> LedgerDatabase:
        """Return the database of the ledger, as a task opens it."""
        return LedgerDatabase(**{"connect": self.connect, "table": self.table, **changes})

    def ledger(self, *, run: RunOfTask = RUN, **changes: Any) -> SqlLedger:
        """Open the ledger of a run."""
        return SqlLedger(self.open(**changes), run=run, clock=time)


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


def entry_of(row: int, state: State = State.OPEN, **changes: Any) -> Entry:
    """Return an entry whose fingerprint follows from its row."""
    return Entry(row, state, **{"fingerprint": f"{row:032x}", **changes})


def by_identity(entries: Iterable[Entry]) -> dict[Identity, Entry]:
    """Return entries as a ledger returns them."""
    return {entry.identity: entry for entry in entries}
