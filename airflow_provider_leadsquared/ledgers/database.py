"""
The database of a SQL ledger: its connections, transactions, and errors.

SQLAlchemy gets its connections from Airflow's hook, so that all that the hook knows (tokens, TLS files, sockets) holds
here too.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DataError, StatementError
from sqlalchemy.pool import SingletonThreadPool

from airflow_provider_leadsquared.ledgers import drivers, statements
from airflow_provider_leadsquared.ledgers.errors import (
    LedgerDataError,
    LedgerError,
    LedgerMissingError,
    LedgerUnavailableError,
    LedgerVersionError,
)
from airflow_provider_leadsquared.ledgers.migrations import (
    FIRST_VERSION,
    MIGRATIONS,
    TABLES,
    Migration,
    bring_up_to_date,
    check_version,
    version_in,
)
from airflow_provider_leadsquared.ledgers.run_metadata import read_metadata
from airflow_provider_leadsquared.ledgers.schema import Tables

_TABLE_NAME = re.compile(r"(?:([A-Za-z_][A-Za-z0-9_]{0,62})\.)?([A-Za-z_][A-Za-z0-9_]{0,50})")
#: Seconds after which a connection is opened anew: idle ones are dropped by servers and proxies, tokens run out.
_RECYCLE_SECONDS = 60
#: Threads that keep a connection, far more than a task has: SQLAlchemy closes connections beyond that.
_THREADS = 1_000
#: Part of the names of SQLAlchemy's loggers, which are kept silent: they write addresses, statements and rows.
_LOGGERS = "leadsquared_ledger"

_log = logging.getLogger(__name__)


class Database:
    """
    The database of one ledger.

    Its tables are created, or brought up to date, on first use. Each thread has a connection of its own, which is
    opened when it is needed, and anew after an error or a minute.

    :param connect: Opens a DB-API connection.
    :param table: The ledger table, with its schema if need be; the names of others begin with it.
    :param migrations: The steps from the first version of the tables to the newest.
    :raises ValueError: ``table`` is no plain name.
    """

    def __init__(self, connect: Callable[[], Any], *, table: str, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        name = _TABLE_NAME.fullmatch(table)
        if not name:
            raise ValueError(
                f"ledger_table {table!r} is no plain table name: letters, digits and underscores, 51 characters at "
                "most, after a schema and a dot if need be"
            )
        self.tables = Tables.named(name[2], name[1])
        self._connect = connect
        self._migrations = migrations
        self._opening = threading.Lock()
        self._engine_or_none: Engine | None = None
        self._is_up_to_date = False
        self._salt: str | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """
        Yield a connection in a transaction that reads.

        :raises LedgerUnavailableError: The database cannot be reached, or refuses the work.
        :raises LedgerDataError: The database cannot take a value.
        :raises LedgerVersionError: The tables are of another version.
        """
        with self._in_tables(writes=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """
        Yield a connection in a transaction that writes; it is durable at the end, or undone.

        :raises LedgerUnavailableError: The database cannot be reached, or refuses the work.
        :raises LedgerDataError: The database cannot take a value.
        :raises LedgerVersionError: The tables are of another version.
        """
        with self._in_tables(writes=True) as connection:
            yield connection

    @contextmanager
    def existing(self, *, writes: bool = False) -> Iterator[Connection]:
        """
        Yield a connection in a transaction on tables that are there; it creates none and migrates none.

        :param writes: The transaction writes.
        :raises LedgerMissingError: There are none.
        :raises LedgerVersionError: They are of another version, or of one that has to be brought up to date first.
        :raises LedgerUnavailableError: The database cannot be reached, or refuses the work.
        """
        with self._named_errors(), self._transaction(writes=writes) as connection:
            version = self._version(connection)
            if version is None:
                raise LedgerMissingError(
                    f"there is no ledger table {self.tables.name} in this database; the first run of a capture or sync "
                    "with a ledger_conn_id creates it"
                )
            if version != self._newest:
                raise LedgerVersionError(
                    f"the ledger table {self.tables.name} is of version {version}, this package reads version "
                    f"{self._newest}; bring it up to date (ledger migrate), as the next task does by itself"
                )
            yield connection

    def version(self) -> int | None:
        """
        Return the version of the tables, None where there are none.

        :raises LedgerUnavailableError: The database cannot be reached.
        :raises LedgerVersionError: It is one that this package cannot read.
        """
        with self._named_errors(), self._transaction(writes=False) as connection:
            return self._version(connection)

    def exists(self) -> bool:
        """
        Tell whether the tables are there, and create none.

        :raises LedgerUnavailableError: The database cannot be reached.
        :raises LedgerVersionError: The tables are of a version that this package cannot read.
        """
        return self.version() is not None

    def close(self) -> None:
        """Close its connections. It may be used again, and then opens new ones."""
        with self._opening:
            engine, self._engine_or_none = self._engine_or_none, None
        if engine is not None:
            engine.dispose()

    def salt(self) -> str:
        """Return the random text that belongs to these tables; hashes of match keys are made with it."""
        if self._salt is None:
            with self.reading() as connection:
                self._salt = str(read_metadata(connection, self.tables.metadata, TABLES)["salt"])
        return self._salt

    @contextmanager
    def _in_tables(self, *, writes: bool) -> Iterator[Connection]:
        """Yield a connection in a transaction on tables that are there and up to date."""
        with self._named_errors(), ExitStack() as stack:
            connection = stack.enter_context(self._transaction(writes=writes))
            # Asked in the same transaction: each one takes up to three round trips.
            if not self._is_up_to_date and self._version(connection) != self._newest:
                stack.close()
                with self._transaction(writes=True) as changing:
                    bring_up_to_date(changing, self.tables, self._migrations)
                connection = stack.enter_context(self._transaction(writes=writes))
            self._is_up_to_date = True
            yield connection

    def _version(self, connection: Connection) -> int | None:
        """Return the version of the tables if they can be used, None if there are none."""
        version = version_in(connection, self.tables)
        if version is not None:
            check_version(version, self.tables, self._migrations)
        return version

    @property
    def _newest(self) -> int:
        return FIRST_VERSION + len(self._migrations)

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        with self._engine().connect() as connection:
            try:
                if connection.dialect.name == "sqlite":
                    # One that reads first and writes later could not wait for another writer.
                    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
                yield connection
                connection.commit()
            except BaseException:
                # Closed rather than rolled back: whatever state it is in, the server undoes the work.
                connection.invalidate()
                raise

    def _engine(self) -> Engine:
        with self._opening:
            if self._engine_or_none is None:
                self._engine_or_none = self._open()
            return self._engine_or_none

    def _open(self) -> Engine:
        """Return an engine for the driver of the hook's connections, whose first connection is opened for that."""
        dialect, first = drivers.driver_of(self._connect())
        drivers.prepare(dialect, first)
        unused = {threading.get_ident(): first}

        def connect() -> Any:
            connection = unused.pop(threading.get_ident(), None)
            if connection is None:
                _, connection = drivers.driver_of(self._connect())
                drivers.prepare(dialect, connection)
            return connection

        for kind in ("sqlalchemy.engine.Engine", "sqlalchemy.pool.impl.SingletonThreadPool"):
            logging.getLogger(f"{kind}.{_LOGGERS}").setLevel(logging.CRITICAL + 1)
        engine = create_engine(
            f"{dialect}://",
            creator=connect,
            poolclass=SingletonThreadPool,
            pool_size=_THREADS,
            pool_recycle=_RECYCLE_SECONDS,
            pool_reset_on_return=None,  # each transaction is ended, or its connection closed
            hide_parameters=True,
            logging_name=_LOGGERS,
            pool_logging_name=_LOGGERS,
            **_OPTIONS.get(dialect, {}),
        )
        if not statements.is_proven(engine.dialect):
            _log.warning(
                "The ledger %s is in a database (%s) on which this package is not tested; Postgres, MySQL, MariaDB and "
                "SQLite are",
                self.tables.name,
                engine.dialect.name,
            )
        return engine

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except LedgerError:
            raise
        except Exception as error:
            cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
            is_data = isinstance(error, DataError) or isinstance(cause, (ValueError, TypeError, OverflowError))
            kind = LedgerDataError if is_data else LedgerUnavailableError
            raise kind(f"ledger table {self.tables.name}: {_first_line(cause)}") from None


#: The same for both drivers of Postgres: a transaction that waited for another sees what that one has committed, and
#: one look-up less when a connection is opened.
_POSTGRES: dict[str, Any] = {"isolation_level": "READ COMMITTED", "use_native_hstore": False}
#: What engines are created with, by driver.
_OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql+psycopg": _POSTGRES,
    "postgresql+psycopg2": _POSTGRES,
}


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{': ' + lines[0][:200] if lines else ''}"
