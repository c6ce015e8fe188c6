from __future__ import annotations

from collections.abc import Iterator

import pytest

from local_airflow import LocalAirflow


@pytest.fixture(scope="session")
def local_airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """One Airflow for all tests: write DAG files into its `dags` and `wait_for_dags`; add connections by its `api`."""
    with LocalAirflow(tmp_path_factory.mktemp("dags of all tests")) as airflow:
        yield airflow
