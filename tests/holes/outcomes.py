"""
Run tests of copies of the project, each time in a process of its own, and write down how each test ended.

Importing libraries is most of what a test costs, so this process imports them once, and then forks for each line that
it reads: a JSON object with ``folder`` (the copy), ``tests`` (node ids), ``needs`` (a mark, or null), ``timeout`` in
seconds, and the files ``log`` and ``outcomes``. It answers with a line: pytest's exit code, or null after the timeout.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest


class Recorder:
    """
    A pytest plugin that runs some tests of their files, and keeps how each ended.

    That is ``passed``, ``failed``, ``skipped``, or ``error`` where a fixture failed before the test.

    :param names: Node ids; one without a parameter means all parameters. One that does not exist is no error.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.tests: dict[str, str] = {}
        self.not_imported: list[str] = []
        self._names = set(names)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out the tests that are not named."""
        items[:] = [item for item in items if {item.nodeid, item.nodeid.partition("[")[0]} & self._names]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst of a test's three phases. A fixture that checks a test afterwards makes it fail."""
        if report.failed:
            self.tests[report.nodeid] = "error" if report.when == "setup" else "failed"
        elif report.when == "call" or report.skipped:
            self.tests.setdefault(report.nodeid, report.outcome)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep the files that could not be imported."""
        if report.failed:
            self.not_imported.append(report.nodeid)


#: What tests import besides the project; some of it is not installed everywhere.
LIBRARIES = (
    "_hypothesis_pytestplugin",
    "aiohttp",
    "anyio.pytest_plugin",
    "airflow.sdk",
    "airflow.providers.common.compat.sdk",
    "airflow.providers.common.sql.hooks.sql",
    "hypothesis",
    "jsonschema",
    "psycopg2",
    "requests",
    "sqlalchemy",
    "xdist.plugin",
    "xdist.scheduler",
)
#: Airflow imports it; here, each copy is to be imported.
PROJECT = "airflow_provider_leadsquared"


def run(job: Mapping[str, Any]) -> int:
    """Run the tests of a job in this process, and return pytest's exit code."""
    os.setsid()
    os.chdir(job["folder"])
    with open(os.devnull) as nothing, open(job["log"], "w") as log:
        for stream, descriptor in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(stream.fileno(), descriptor)
    sys.path.insert(0, job["folder"])
    os.environ["PYTHONPATH"] = job["folder"]
    os.environ["PYTEST_ADDOPTS"] = f"-m {job['needs']}" if job["needs"] else ""
    recorder = Recorder(job["tests"])
    paths = {test.partition("::")[0]: None for test in job["tests"]}
    # Libraries are imported already, so their assertions cannot be made to say more.
    options = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options += ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    code = pytest.main([*options, *filter(os.path.exists, paths)], plugins=[recorder])
    outcomes = {"tests": recorder.tests, "not_imported": recorder.not_imported}
    Path(job["outcomes"]).write_text(json.dumps(outcomes))
    return int(code)


def wait_for(process: int, timeout: float) -> int | None:
    """Return a process's exit code, None if it was killed because it took too long."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def main() -> int:
    """Serve jobs until there are no more."""
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    for name in [name for name in sys.modules if name.partition(".")[0] == PROJECT]:
        del sys.modules[name]
    gc.freeze()  # pytest collects garbage at its end, which would go through all that was imported
    for line in sys.stdin:
        job = json.loads(line)
        process = os.fork()
        if process == 0:
            return run(job)
        print(json.dumps(wait_for(process, job["timeout"])), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
