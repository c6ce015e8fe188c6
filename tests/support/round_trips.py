"""Count how often a client waits for its database: a proxy for servers, and a counting driver for SQLite."""

from __future__ import annotations

import contextlib
import select
import socket
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

_CHUNK = 1 << 16


class RoundTrips:
    """A count that several threads add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.total = 0

    def add(self) -> None:
        """Count one."""
        with self._lock:
            self.total += 1

    @contextlib.contextmanager
    def counted(self) -> Iterator[SimpleNamespace]:
        """Yield an object whose ``count`` is set, at the end, to the round trips in between."""
        found, before = SimpleNamespace(count=0), self.total
        yield found
        found.count = self.total - before


@dataclass(eq=False)  # kept in a set
class _Link:
    """
    One connection of a client, with its own to the server.

    :param client: The client's end.
    :param server: The server's end.
    :param answers: What the server has sent, with the time at which the client gets it.
    :param is_asking: The client has sent something since it last got an answer.
    """

    client: socket.socket
    server: socket.socket
    answers: deque[tuple[float, bytes]] = field(default_factory=deque)
    is_asking: bool = False

    def close(self) -> None:
        for end in (self.client, self.server):
            end.close()


class Proxy:
    """
    A proxy on loopback, or on a Unix socket, in front of a database's Unix socket.

    One round trip is what a client sends until it gets an answer. Answers are held back for ``delay`` seconds, so that
    what a client sends without waiting is one round trip however the server answers.

    :param server: The server's socket.
    :param address: The path of the proxy's own socket; None for a free port of loopback.
    :param delay: Seconds that each answer takes; may be changed at any time.
    """

    def __init__(self, server: Path, address: Path | None = None, *, delay: float = 0.002) -> None:
        self._server = str(server)
        self.delay = delay
        self.trips = RoundTrips()
        self._links: set[_Link] = set()
        self._lock = threading.Lock()
        self._is_open = True
        #: The port of loopback, None on a Unix socket.
        self.port: int | None = None
        if address is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(address))
            self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        """Return the proxy, which is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the proxy and all connections."""
        self._is_open = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> int:
        """Cut all connections, as a network that fails does; return how many there were."""
        with self._lock:
            links = list(self._links)
        for link in links:
            for end in (link.client, link.server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        return len(links)

    def _accept(self) -> None:
        while self._is_open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._server)
            except OSError:
                client.close()
                continue
            link = _Link(client, server)
            with self._lock:
                self._links.add(link)
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: _Link) -> None:
        try:
            while self._pass_on(link):
                pass
        except OSError:
            pass
        finally:
            with self._lock:
                self._links.discard(link)
            link.close()

    def _pass_on(self, link: _Link) -> bool:
        """Pass on what there is; return whether the connection goes on."""
        wait = max(link.answers[0][0] - time.monotonic(), 0) if link.answers else None
        ready, _, _ = select.select([link.client, link.server], [], [], wait)
        if link.client in ready:
            data = link.client.recv(_CHUNK)
            if not data:
                return False
            link.is_asking = True
            link.server.sendall(data)
        if link.server in ready:
            data = link.server.recv(_CHUNK)
            if not data:
                self._answer(link, until=float("inf"))
                return False
            link.answers.append((time.monotonic() + self.delay, data))
        self._answer(link, until=time.monotonic())
        return True

    def _answer(self, link: _Link, until: float) -> None:
        while link.answers and link.answers[0][0] <= until:
            if link.is_asking:
                self.trips.add()
                link.is_asking = False
            link.client.sendall(link.answers.popleft()[1])


def count_sqlite(monkeypatch: pytest.MonkeyPatch) -> RoundTrips:
    """
    Let Airflow's SQLite hook open connections that count.

    SQLite has no server, so what counts is each call that runs statements; an ``executemany`` is one.
    """
    from airflow.providers.sqlite.hooks import sqlite as module

    trips = RoundTrips()

    class Cursor(sqlite3.Cursor):
        def execute(self, *arguments: Any) -> Self:
            trips.add()
            super().execute(*arguments)
            return self

        def executemany(self, *arguments: Any) -> Self:
            trips.add()
            super().executemany(*arguments)
            return self

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def execute(self, *arguments: Any) -> Any:
            return self.cursor().execute(*arguments)

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return sqlite3.connect(*arguments, **{"factory": Connection, **options})

    monkeypatch.setattr(module, "sqlite3", SimpleNamespace(connect=connect, dbapi2=sqlite3.dbapi2))
    return trips
