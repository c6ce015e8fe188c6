"""Database servers that die: killed with SIGKILL, all their processes at once, and started again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from local_airflow.loopback import usable_port
from local_airflow.processes import Processes
from local_airflow.servers import Postgres

#: Seconds for which a database is left alone, and for which it is away: many absences are over within the quarter of a
#: minute for which a task that sends goes on trying to write, and many are not.
CALM, AWAY = (5.0, 40.0), (0.0, 25.0)
#: Seconds after which a server that has ended by itself is started again, as a supervisor does.
_STARTED_AGAIN_AFTER = 1.0
#: Seconds within which a server can be used, after it was killed too.
_READY_SECONDS = 60.0


@dataclass
class Database:
    """
    A database for ledgers.

    :param connection: The Airflow connection that leads to it.
    :param query: Runs a statement, and returns what it finds.
    """

    connection: dict[str, Any]
    query: Callable[[str], list[tuple[Any, ...]]]

    def as_connection(self, **changes: Any) -> str:
        """Return the connection as an environment variable has it, with changes."""
        return json.dumps({**self.connection, **changes})

    def wait_until_ready(self) -> None:
        """Return when it can be used."""


@dataclass
class Server(Database):
    """
    A database that is a server.

    :param processes: What starts it, and ends it with this process.
    :param name: Names its log.
    :param command: Runs it in the foreground.
    :param environment: Its environment.
    :param is_ready: Tells whether it can be used.
    :param process: Its main process, None if it does not run.
    :param ending: The signal by which it is asked to end when all is done.
    """

    processes: Processes
    name: str
    command: Sequence[str]
    environment: dict[str, str]
    is_ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None
    ending: signal.Signals = signal.SIGTERM

    def start(self) -> None:
        """Start it; it takes a moment until it can be used."""
        self.process = self.processes.start(self.name, self.command, self.environment, ending=self.ending)

    def wait_until_ready(self) -> None:
        """Start it if need be, and wait."""
        deadline = time.monotonic() + _READY_SECONDS
        while not self.is_running() or not self.is_ready():
            if time.monotonic() > deadline:
                raise self.processes.too_slow(self.name)
            if not self.is_running():
                self.start()
            time.sleep(0.2)

    def is_running(self) -> bool:
        """Tell whether its main process lives."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> bool:
        """
        Kill its main process and all that this one has started, before any of them can do anything more.

        :return: Whether there was anything to kill.
        """
        if self.process is None or self.process.poll() is not None:
            return False
        leader = psutil.Process(self.process.pid)
        leader.suspend()  # so that it starts no other
        family = leader.children(recursive=True)
        for process in (*family, leader):  # itself last: others would see that it is gone, and end in order
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(10)
        psutil.wait_procs(family, 10)
        return True


@dataclass
class Killings:
    """
    Kills a server again and again, at random instants.

    :param server: The server, which runs.
    :param chance: Draws the instants.
    :param calm: Seconds between its start and the next kill, at least and at most.
    :param away: Seconds until it is started again.
    """

    server: Server
    chance: random.Random
    calm: tuple[float, float] = CALM
    away: tuple[float, float] = AWAY
    kills: int = 0
    _kill_at: float = field(default=0.0)
    _start_at: float | None = None

    def __post_init__(self) -> None:
        """Draw the first instant."""
        self._kill_at = time.monotonic() + self.chance.uniform(*self.calm)

    def tick(self, now: float) -> None:
        """Do what is due: kill, or start again."""
        if self._start_at is not None:
            if now >= self._start_at:
                self.server.start()
                self._start_at, self._kill_at = None, now + self.chance.uniform(*self.calm)
        elif now >= self._kill_at:
            self.kills += self.server.kill()
            self._start_at = now + self.chance.uniform(*self.away)
        elif not self.server.is_running():  # by itself: a kill came while it started, and it left something behind
            self._start_at = now + _STARTED_AGAIN_AFTER

    def end(self) -> None:
        """Let the server run from now on."""
        self.server.wait_until_ready()

    def done(self) -> dict[str, int]:
        """Return what was done, for the table."""
        return {"kills": self.kills}


@contextmanager
def postgres(home: Path, *, data: Path | None = None, settings: dict[str, str] | None = None) -> Iterator[Server]:
    """
    Run a Postgres of one's own.

    :param home: A folder that is made here and removed at the end.
    :param data: Where its data go. Default: in ``home``.
    :param settings: Further settings.
    """
    import psycopg2

    processes = Processes(home)
    try:
        own = Postgres(data or home / "postgres", usable_port(0))
        deadline = time.monotonic() + _READY_SECONDS
        processes.run("initdb", own.creation(), dict(os.environ), deadline, ending=own.creation_ending)
        # As a server for real data has it: a kill must find what was committed.
        more = {"fsync": "on", "synchronous_commit": "on", **(settings or {})}
        command = [*own.command(), *(word for name, value in more.items() for word in ("-c", f"{name}={value}"))]

        def query(statement: str) -> list[tuple[Any, ...]]:
            with contextlib.closing(psycopg2.connect(own.url(), sslmode="disable")) as connection:
                cursor = connection.cursor()
                cursor.execute(statement)
                return list(cursor.fetchall())

        password = own.url().split("://postgres:")[1].split("@")[0]
        connection = {
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "port": own.port,
            "login": "postgres",
            "password": password,
            "schema": "postgres",
        }
        server = Server(
            connection, query, processes, "postgres", command, dict(os.environ), own.is_ready, ending=own.ending
        )
        server.wait_until_ready()
        yield server
    finally:
        processes.stop()


@contextmanager
def mariadb(home: Path) -> Iterator[Server]:
    """Run a MariaDB of one's own; ``home`` is a folder that is made here and removed at the end."""
    from tests.support.mariadb import MariaDB

    with MariaDB(home, "chaos", is_durable=True) as own:
        with contextlib.closing(own.connect()) as connected:
            connected.query("CREATE DATABASE ledger")

        def query(statement: str) -> list[tuple[Any, ...]]:
            with contextlib.closing(own.connect("ledger")) as connection:
                cursor = connection.cursor()
                cursor.execute(statement)
                return list(cursor.fetchall())

        connection = {
            "conn_type": "mysql",
            "login": own.user,
            "password": own.password,
            "schema": "ledger",
            "extra": {"unix_socket": str(own.socket)},
        }
        yield Server(
            connection, query, own.processes, "mariadbd", own.command, own.environment, own.is_ready, own.process
        )


def sqlite(path: Path) -> Database:
    """Return the database in a SQLite file."""

    def query(statement: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return connection.execute(statement).fetchall()

    return Database({"conn_type": "sqlite", "host": str(path)}, query)
