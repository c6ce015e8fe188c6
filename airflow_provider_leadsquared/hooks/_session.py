"""The ``requests`` session for one call: it follows no redirect, knows whether it sent, and can be ended."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection


class SingleCallSession(requests.Session):
    """
    A session that can be ended from another thread.

    A timeout of ``requests`` starts anew with every byte that comes, so a server that sends a byte now and then holds a
    call for ever. Even when set to follow no redirect, ``requests`` reads its whole body to work out where it leads;
    so redirects are hidden from it.
    """

    def __init__(self) -> None:
        super().__init__()
        #: A connection was established, so that something may have been sent.
        self.connected = False
        #: The call was ended from outside.
        self.is_cut_off = False
        self._connections: list[HTTPConnection] = []
        # A connection forgets its socket when the response ends with the connection.
        self._sockets: list[socket.socket | None] = []
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter(self))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return None: no response is a redirect."""
        return None

    def cut_off(self) -> None:
        """End the call that is under way; from any thread."""
        self.is_cut_off = True
        for connection in [*self._sockets, *(connecting.sock for connecting in self._connections)]:
            if connection is not None:
                # The plain socket's shutdown: a TLS socket would change state while another thread reads from it.
                with suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def watch(self, connection: HTTPConnection) -> None:
        """Record when a connection is established."""
        connect = connection.connect

        def watched() -> None:
            connect()
            self._sockets.append(connection.sock)
            if self.is_cut_off:
                connection.close()
                raise TimeoutError
            self.connected = True

        self._connections.append(connection)
        # urllib3 has no hook for "connected", so the one connection is wrapped, not the class.
        connection.connect = watched  # type: ignore[method-assign]  # that is the wrapping


class _Adapter(HTTPAdapter):
    """Makes the session watch every connection that is made for it, through a proxy or not."""

    def __init__(self, session: SingleCallSession) -> None:
        super().__init__()
        self._session = session

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return a pool whose connections the session watches."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        make, session = type(pool).ConnectionCls, self._session

        def watched(*of: Any, **options: Any) -> Any:
            connection = make(*of, **options)
            session.watch(connection)
            return connection

        pool.ConnectionCls = watched
        return pool
