"""The commands and the environment of Airflow's components."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from local_airflow.loopback import LOOPBACK
from local_airflow.servers import Postgres, Redis

AIRFLOW = (sys.executable, "-P", "-m", "airflow")
#: What Airflow consists of, with the words of each command.
COMPONENTS = {
    "api-server": ("api-server",),
    # Log servers would listen on all interfaces, and have nobody to serve here.
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
CELERY_WORKER = ("celery", "worker", "--skip-serve-logs", "--without-mingle", "--without-gossip", "--celery-hostname")
#: All workers share a machine: this module lets each tell its own name as the host name of the tasks that it runs.
WORKER_NAME = """
import os


def own():
    return os.environ["LOCAL_AIRFLOW_WORKER"]
"""
AIRFLOW_DATABASE = "airflow"


def inherited() -> dict[str, str]:
    """
    Return the user's environment without what it says to Airflow, Celery and Postgres.

    Proxies are left out too, as the components talk to each other over loopback, and so is the measurement of coverage,
    which would slow all of Airflow down.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "_AIRFLOW", "CELERY", "COVERAGE_", "PG"))
        and not name.lower().endswith("_proxy")
    }


def for_airflow(home: Path, dags: Path, url: str, port: int, secret: str) -> dict[str, str]:
    """Return the settings of all components."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__DATABASE__CHECK_MIGRATIONS": "False",  # done before they start
        # New DAG files are looked for every second instead of every five minutes.
        "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",
        "TMPDIR": str(home / "tmp"),  # tasks that are killed leave temporary files
    }


def for_celery(postgres: Postgres, redis: Redis, databases: Iterable[str]) -> dict[str, str]:
    """Return the settings that Celery workers need of all components."""
    connections = {f"AIRFLOW_CONN_{name.upper()}": postgres.url(name) for name in databases}
    return {
        **connections,
        "AIRFLOW__CELERY__BROKER_URL": redis.url(),
        "AIRFLOW__CELERY__RESULT_BACKEND": postgres.url(AIRFLOW_DATABASE, scheme="db+postgresql+psycopg2"),
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url(AIRFLOW_DATABASE, scheme="postgresql+psycopg2"),
        "AIRFLOW__LOGGING__CELERY_LOGGING_LEVEL": "INFO",  # a worker's log is where it says that it is ready
    }
