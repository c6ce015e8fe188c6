"""A sandbox in a process of its own: for benchmarks, and for proofs that compare with what it received."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

#: The sandbox judges a lead in a moment at this speed, so the sensor's polls come in a moment too.
SPEED = 3_000


@contextmanager
def sandbox(folder: Path, *, speed: int = SPEED) -> Iterator[str]:
    """
    Run a sandbox as a process of its own and return its address.

    :param folder: Where it writes its port.
    :param speed: How many of its seconds pass in one.
    :raises RuntimeError: It did not start.
    """
    port_file = folder / "port"
    command = [sys.executable, "-m", "airflow_provider_leadsquared.sandbox", "--port", "0", "--speed", str(speed)]
    process = subprocess.Popen([*command, "--port-file", str(port_file)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not port_file.exists() or not port_file.read_text().strip():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port_file.read_text().strip()}"
    finally:
        process.terminate()
        process.wait(10)


def truth(url: str, what: str) -> list[dict[str, Any]]:
    """Return one of the sandbox's lists, whole."""
    items: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = requests.get(f"{url}/sandbox/{what}", params={"after": after, "limit": 10_000}, timeout=60).json()
        items += page["items"]
        after = page["next"]
    return items


def reset(url: str) -> None:
    """Let the sandbox forget all that it received."""
    requests.post(f"{url}/sandbox/reset", json={}, timeout=30).raise_for_status()


def connect_to(url: str, *, speed: int = SPEED, through: str | None = None) -> None:
    """
    Point Airflow's default LeadSquared connection at a sandbox, by environment.

    :param speed: How many of its seconds pass in one.
    :param through: The address by which tasks reach it. Default: its own.
    """
    settings = requests.get(f"{url}/sandbox/switches", timeout=30).json()
    os.environ["AIRFLOW_CONN_LEADSQUARED_DEFAULT"] = json.dumps(
        {
            "conn_type": "leadsquared",
            "host": through or url,
            "login": settings["access_key"],
            "password": settings["secret_key"],
            "extra": {"async_api_key": settings["api_key"], "sandbox_speed": speed},
        }
    )
