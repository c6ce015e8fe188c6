"""``airflow leadsquared`` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import airflow
import pytest
from packaging.version import Version

from airflow_provider_leadsquared.sandbox import Sandbox

BIN = Path(sys.executable).parent


@pytest.mark.skipif(Version(airflow.__version__) < Version("3.2"), reason="Airflow 3.1 takes no commands of providers")
def test_airflow_has_the_commands_and_they_find_the_connections_of_its_database(
    tmp_path: Path, leadsquared_sandbox_factory: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)  # noqa: S603 - our own

    shown = run("airflow", "leadsquared", "--help")
    assert shown.returncode == 0
    assert [name for name in ("report", "explain", "erase", "ledger") if name not in shown.stdout] == []

    connection = leadsquared_sandbox_factory().airflow_connection()
    run("airflow", "db", "migrate")
    run("airflow", "connections", "add", "of_the_database", "--conn-json", json.dumps(connection))
    checked = run("airflow", "leadsquared", "check", "--conn-id", "of_the_database", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["works"]) == (0, True), checked.stderr
