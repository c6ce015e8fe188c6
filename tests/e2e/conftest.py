from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_airflow import LocalAirflow


@pytest.fixture(scope="package", autouse=True)
def unmeasured_processes() -> Iterator[None]:
    """Start Airflow's processes without coverage, which would make them twice as slow."""
    config = os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    yield
    if config is not None:
        os.environ["COVERAGE_PROCESS_CONFIG"] = config


@pytest.fixture(scope="package")
def openlineage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which OpenLineage writes each event of that Airflow, as a file."""
    return tmp_path_factory.mktemp("events of OpenLineage")


@pytest.fixture(scope="package")
def local_airflow(tmp_path_factory: pytest.TempPathFactory, openlineage: Path) -> Iterator[LocalAirflow]:
    """One Airflow for all tests: write DAG files into its `dags` and `wait_for_dags`; add connections by its `api`."""
    env = {
        # More at once are not faster on two cores, and wait for each other at Airflow's SQLite.
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(openlineage / "event")}),
    }
    with LocalAirflow(tmp_path_factory.mktemp("dags of all tests"), env=env, has_triggerer=True) as airflow:
        yield airflow
