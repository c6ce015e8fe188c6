"""The proxies of a bad network in a process of their own; ``benchmarks/chaos_network.py`` is what runs there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_airflow.loopback import usable_port
from local_airflow.processes import Processes


@dataclass
class BadNetwork:
    """The proxies, which run by themselves in a process of their own."""

    ports: dict[str, int]
    notes: Path
    processes: Processes
    process: subprocess.Popen[bytes]

    def tick(self, now: float) -> None:
        """Make sure that they run."""
        self.processes.check()

    def end(self) -> None:
        """Let all pass as it is."""
        self.process.send_signal(signal.SIGUSR1)

    def done(self) -> dict[str, int]:
        """Return what was done, for the table."""
        total: Counter[str] = Counter()
        for done in json.loads(self.notes.read_text()).values():
            total += Counter(done)
        return dict(total)


@contextmanager
def bad_network(folder: Path, url: str, database_port: int, seed: int) -> Iterator[BadNetwork]:
    """
    Run proxies in front of LeadSquared and of a database.

    :param folder: Where they keep their notes.
    :param url: LeadSquared's address.
    :param database_port: The database's port on loopback.
    :param seed: Of what happens when.
    """
    targets = {"http": int(url.rpartition(":")[2]), "database": database_port}
    ports = {kind: usable_port(0) for kind in targets}
    notes = folder / "network.json"
    processes = Processes(folder / "network")
    try:
        ways = [f"{ports[kind]}:{target}={kind}" for kind, target in targets.items()]
        command = [sys.executable, "-m", "benchmarks.chaos_network", "--seed", str(seed), "--notes", str(notes), *ways]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        process = processes.start("network", command, environment, ending=signal.SIGKILL)
        processes.wait_until("network", notes.exists, time.monotonic() + 30)
        yield BadNetwork(ports, notes, processes, process)
    finally:
        processes.stop()
