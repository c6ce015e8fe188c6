"""A MariaDB of the tests' own, from the programs that the system's package ``mariadb-server`` brings."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Any, Self

from local_airflow.processes import Processes

#: Seconds within which a server has started.
TIMEOUT = 60


class MariaDB:
    """
    A server that runs within a ``with`` statement. It listens on a Unix socket only, and asks for a password.

    :param folder: Where its data and its socket go, which is made here and removed at the end. The path must be short:
        a socket's may have 107 characters.
    :param password: The password of its one user; no quotes in it.
    :param is_durable: What was committed is there after the server was killed.
    """

    user = "root"

    def __init__(self, folder: Path, password: str, *, is_durable: bool = False) -> None:
        self._folder = folder
        self.socket = folder / "mariadb.sock"
        self.password = password
        self._is_durable = is_durable

    def __enter__(self) -> Self:
        """
        Make its data folder, and start it.

        :raises FileNotFoundError: The programs are not installed.
        :raises LocalAirflowError: It does not start.
        """
        install, server = _program("mariadb-install-db"), _program("mariadbd")
        deadline = time.monotonic() + TIMEOUT
        self.processes = Processes(self._folder)
        try:
            # At its start a server deletes the temporary files of others.
            own = self._folder / "tmp"
            own.mkdir()
            self.environment = {**os.environ, "HOME": str(self._folder), "TMPDIR": str(own)}
            # It refuses to be root unless it is asked to; what is in the folder is then root's anyway.
            common = [
                "--no-defaults",
                f"--datadir={self._folder}/data",
                *(["--user=root"] if os.geteuid() == 0 else []),
            ]
            options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
            self.processes.run("mariadb-install-db", [install, *common, *options], self.environment, deadline)
            self.command = [server, *common, *self._options()]
            self.process = self.processes.start("mariadbd", self.command, self.environment)
            self.processes.wait_until("mariadbd", self.is_ready, deadline)
        except BaseException:
            self.processes.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and remove its folder."""
        self.processes.stop()

    def connect(self, database: str = "") -> Any:
        """Return a connection of mysqlclient, in autocommit."""
        import MySQLdb

        options = {"user": self.user, "passwd": self.password, "unix_socket": str(self.socket)}
        return MySQLdb.connect(**options, db=database, charset="utf8mb4", autocommit=True)

    def _options(self) -> list[str]:
        first_statements = self._folder / "init.sql"
        first_statements.touch(0o600)
        first_statements.write_text(f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{self.password}';\n")
        options = {
            "socket": self.socket,
            "pid-file": self._folder / "mariadb.pid",
            "init-file": first_statements,
            "innodb-flush-log-at-trx-commit": int(self._is_durable),
            "innodb-buffer-pool-size": "32M",
        }
        return ["--skip-networking", "--skip-log-bin", *(f"--{name}={value}" for name, value in options.items())]

    def is_ready(self) -> bool:
        """Tell whether it can be used."""
        import MySQLdb

        with contextlib.suppress(MySQLdb.Error), contextlib.closing(self.connect()):
            return True
        return False


def _program(name: str) -> str:
    """
    Find a program, also where only root has its folder in the path.

    :raises FileNotFoundError: It is not installed.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/usr/libexec")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed; on Debian and Ubuntu: apt-get install mariadb-server")
    return found
