"""
The database of the ledger: SQLite in memory, as a server with latency, locks and faults that several workers reach.

One transaction is under way at a time, as on SQLite: who comes second waits, for five seconds at most. The server ends
a transaction that has been idle for a minute, as a worker that is paused leaves it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.ledgers.migrations import MIGRATIONS
from tests.simulation.timeline import Strand, Timeline, Worker

TABLE = "leadsquared_ledger"
LOCK_SECONDS, IDLE_SECONDS = 5.0, 60.0
#: A worker need not write what it has after more commits in a row of which it does not know how they ended.
LOST_COMMITS = 3
#: The day of 1970-01-01 in Julian days.
_EPOCH = 2440587.5


class LedgerServer:
    """
    The database of one simulation.

    :param timeline: The clock.
    :param fault_at: Returns the fault of the moment: ``away``, ``slow``, ``lost_commit`` or None.
    :param is_empty: Whether the tables are not there yet.
    """

    def __init__(self, timeline: Timeline, fault_at: Callable[[float], str | None], *, is_empty: bool) -> None:
        self.timeline, self.fault_at = timeline, fault_at
        self.holder: WorkerConnection | None = None
        self._waiting: list[Strand] = []
        #: Workers that met a fault of the database, or of another worker that was stopped in a transaction.
        self.refused: set[Worker] = set()
        self.commits = 0
        #: Commits in a row of which a worker was not told how they ended.
        self.lost_commits: Counter[Worker] = Counter()
        self._open(is_empty=is_empty)

    def _open(self, *, is_empty: bool) -> None:
        self.real = sqlite3.connect(":memory:", isolation_level=None, cached_statements=400)
        if not is_empty:
            self.real.deserialize(template())
        self.real.create_function("julianday", 1, lambda _: self.timeline.now / 86_400.0 + _EPOCH)

    def lose(self) -> None:
        """Lose all that was written: from now on there is another, empty database."""
        if self.holder is not None:
            self.holder.drop()
        self.real.close()
        self._open(is_empty=True)

    def exists(self) -> bool:
        """Tell whether the tables are there."""
        return bool(self.query("SELECT 1 FROM sqlite_master WHERE name = ?", TABLE))

    def query(self, sql: str, *values: Any) -> list[Any]:
        """Read as a person does, without a worker; the transaction under way is seen as it is, so none may be."""
        return self.real.execute(sql, values).fetchall()

    def acquire(self, connection: WorkerConnection) -> None:
        """Wait until no other transaction is under way."""
        until = self.timeline.now + LOCK_SECONDS
        strand = connection.worker.current
        while self.holder is not None:
            if self.timeline.now >= until:
                self.refused.add(connection.worker)
                raise sqlite3.OperationalError("database is locked")
            self._waiting.append(strand)
            strand.wait(until)
        self.holder = connection

    def release(self, connection: WorkerConnection) -> None:
        """Let the next one go on."""
        if self.holder is connection:
            self.holder = None
            waiting, self._waiting = self._waiting, []
            for strand in waiting:
                strand.wake()

    def end_if_idle(self, connection: WorkerConnection, used_at: float) -> None:
        """End a transaction in which nothing has happened since."""
        if self.holder is connection and connection.used_at == used_at:
            self.refused.add(connection.worker)
            connection.drop()


class WorkerConnection:
    """A worker's connection, as SQLAlchemy sees it."""

    def __init__(self, server: LedgerServer, worker: Worker) -> None:
        self._server, self.worker = server, worker
        self._is_lost = False
        self.used_at = 0.0
        self._in_transaction = False
        self.cursors: list[sqlite3.Cursor] = []
        worker.step("connect")
        if server.fault_at(server.timeline.now) == "away":
            server.refused.add(worker)
            raise sqlite3.OperationalError("unable to open database file")
        worker.on_death.append(self.drop)

    def cursor(self) -> WorkerCursor:
        return WorkerCursor(self)

    def create_function(self, *args: Any, **options: Any) -> None:
        """SQLAlchemy adds functions that the ledger does not use."""

    def execute(self, cursor: sqlite3.Cursor, act: Callable[..., Any], sql: str, values: Any) -> None:
        worker, server = self.worker, self._server
        worker.step("statement")
        slow = server.fault_at(server.timeline.now) == "slow"
        worker.sleep(worker.rng.random() * (3.0 if slow else 0.004))
        self._check()
        if sql.startswith("BEGIN"):
            server.acquire(self)
            self._in_transaction = True
        act(sql, values) if values is not None else act(sql)
        self.used_at = used_at = server.timeline.now
        if sql.startswith("BEGIN"):
            server.timeline.at(used_at + IDLE_SECONDS, lambda: server.end_if_idle(self, used_at))
        worker.step("statement done")

    def _check(self) -> None:
        if not self._is_lost and self._server.fault_at(self._server.timeline.now) == "away":
            self._server.refused.add(self.worker)
            self.drop()
        if self._is_lost:
            raise sqlite3.OperationalError("the server closed the connection")

    def commit(self) -> None:
        self.worker.step("commit")
        self._check()
        if not self._in_transaction:
            return
        server = self._server
        server.real.execute("COMMIT")
        server.commits += 1
        self._in_transaction = False
        server.release(self)
        if server.fault_at(server.timeline.now) == "lost_commit":
            server.lost_commits[self.worker] += 1
            if server.lost_commits[self.worker] > LOST_COMMITS:
                server.refused.add(self.worker)
            raise sqlite3.OperationalError("the server closed the connection")
        del server.lost_commits[self.worker]
        self.worker.step("commit done")

    def rollback(self) -> None:
        if self._in_transaction:
            self._in_transaction = False
            self._server.real.execute("ROLLBACK")
            self._server.release(self)

    def close(self) -> None:
        self.rollback()
        if not self.worker.is_dead:
            self.worker.on_death.remove(self.drop)

    def drop(self) -> None:
        """Lose the connection: the server undoes the transaction, and no result is read any more."""
        for cursor in self.cursors:
            cursor.close()
        self.rollback()
        self._is_lost = True


class WorkerCursor:
    """A cursor of such a connection."""

    def __init__(self, connection: WorkerConnection) -> None:
        self.connection = connection
        self._cursor = connection._server.real.cursor()
        connection.cursors.append(self._cursor)
        self.fetchone, self.fetchall, self.fetchmany = (
            self._cursor.fetchone,
            self._cursor.fetchall,
            self._cursor.fetchmany,
        )
        self.close = self._cursor.close

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> Any:
        return self._cursor.lastrowid

    def execute(self, sql: str, values: Any = None) -> None:
        self.connection.execute(self._cursor, self._cursor.execute, sql, values)

    def executemany(self, sql: str, values: Sequence[Any]) -> None:
        self.connection.execute(self._cursor, self._cursor.executemany, sql, values)


#: Who is asked for a connection: until a simulation runs, nobody's database.
connect: Callable[[], Any] = lambda: sqlite3.connect(":memory:", isolation_level=None)  # noqa: E731 - is replaced as a whole


def prepare() -> None:
    """Let SQLAlchemy do what it does at the first connection, under a lock that no strand may wait for."""
    template()
    with _engine().connect() as connection:
        connection.exec_driver_sql("SELECT 1")


def _no_simulation() -> WorkerConnection:
    raise RuntimeError("no simulation runs")


@cache
def _engine() -> Engine:
    """Return one engine for all workers: what SQLAlchemy has compiled is used again."""
    return create_engine(
        "sqlite+pysqlite://",
        creator=lambda: connect(),
        poolclass=NullPool,
        pool_reset_on_return=None,
        hide_parameters=True,
    )


class SimulatedDatabase(Database):
    """The ledger's database in a worker."""

    def __init__(self, *, table: str = TABLE) -> None:
        super().__init__(_no_simulation, table=table)

    def _engine(self) -> Engine:
        return _engine()


@cache
def template() -> bytes:
    """Return a database whose tables are there and empty."""
    real = sqlite3.connect(":memory:")
    database = Database(lambda: real, table=TABLE, migrations=MIGRATIONS)
    with database.reading():
        pass
    return real.serialize()
