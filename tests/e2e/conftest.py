from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.local_airflow import LocalAirflow


@pytest.fixture(scope="session")
def local_airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """One Airflow for all tests: write DAG files into its `dags` and `wait_for_dags`; add connections by its `api`."""
    with LocalAirflow(tmp_path_factory.mktemp("dags of all tests")) as airflow:
        yield airflow


@pytest.fixture(scope="module")
def celery_airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """
    An Airflow with two Celery workers, used like the one above.

    Its `postgres` holds an empty database `warehouse`, which DAGs reach by the connection of that name. It ends with
    the module, so that tests of other modules need not share the machine with it.
    """
    dags = tmp_path_factory.mktemp("dags for celery")
    with LocalAirflow(dags, celery_workers=2, databases=["warehouse"]) as airflow:
        yield airflow
