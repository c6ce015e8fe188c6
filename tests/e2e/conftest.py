from __future__ import annotations

import os
from collections.abc import Iterator

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
def local_airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """One Airflow for all tests: write DAG files into its `dags` and `wait_for_dags`; add connections by its `api`."""
    # More at once are not faster on two cores, and wait for each other at Airflow's SQLite.
    few = {"AIRFLOW__CORE__PARALLELISM": "4"}
    with LocalAirflow(tmp_path_factory.mktemp("dags of all tests"), env=few, has_triggerer=True) as airflow:
        yield airflow
