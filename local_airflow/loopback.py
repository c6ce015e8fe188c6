"""The address that everything listens on, which no other machine reaches."""

from __future__ import annotations

import socket

from local_airflow.errors import LocalAirflowError

LOOPBACK = "127.0.0.1"


def usable_port(port: int) -> int:
    """Make sure that a port of loopback is free; 0 picks one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left by a server counts as free
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise LocalAirflowError(
                f"Port {port} on {LOOPBACK} is taken; name another, or none to get a free one."
            ) from error
        return int(probe.getsockname()[1])
