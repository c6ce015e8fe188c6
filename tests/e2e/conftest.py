from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.local_airflow import LocalAirflow


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests with a real Airflow run one after another, beside all others."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.xdist_group("e2e"))


@pytest.fixture(scope="session")
def local_airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """One Airflow for all tests: write DAG files into its `dags` and `wait_for_dags`; add connections by its `api`."""
    with LocalAirflow(tmp_path_factory.mktemp("dags of all tests")) as airflow:
        yield airflow
