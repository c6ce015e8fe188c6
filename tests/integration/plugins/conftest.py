"""The deliveries page in an application as Airflow's API server has it, with its auth manager and database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow import settings
from airflow.api_fastapi.app import create_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_provider_leadsquared.plugins.deliveries import DeliveriesPlugin
from tests.integration.tasks import connect_sqlite
from tests.support.page_users import AuthManagerByDag
from tests.unit.ledgers.stores import Database

DAGS = ("nightly", "weekly")


@pytest.fixture(scope="package")
def airflow_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give Airflow a database with tables and two DAGs, of this process alone: others may share the Airflow home."""
    import_all_models()
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("airflow") / "airflow.db"
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{path}")
        _connect_airflow()
        _fill()
        yield
    _connect_airflow()


def _connect_airflow() -> None:
    """Let Airflow connect to the database of its settings anew."""
    settings.dispose_orm()
    settings.configure_vars()
    settings.configure_orm()


def _fill() -> None:
    assert settings.engine is not None
    assert settings.Session is not None
    Base.metadata.create_all(settings.engine)
    with settings.Session() as session:
        session.add(DagBundleModel(name="dags-folder"))
        session.flush()
        session.add_all([DagModel(dag_id=dag_id, bundle_name="dags-folder", fileloc="x") for dag_id in DAGS])
        session.commit()


@pytest.fixture(scope="package")
def served(airflow_database: None) -> Iterator[FastAPI]:
    """Return an application that plugins are mounted into as Airflow does it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__AUTH_MANAGER", f"{AuthManagerByDag.__module__}.{AuthManagerByDag.__name__}")
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "an invented secret that is long enough for a signature" * 2)
        purge_cached_app()
        create_auth_manager()
        app = FastAPI()
        for one in DeliveriesPlugin.fastapi_apps:
            app.mount(one["url_prefix"], one["app"])
        yield app
        purge_cached_app()


def token_of(user: str) -> str:
    """Return what Airflow's login would give a user."""
    return create_auth_manager().generate_jwt(SimpleAuthManagerUser(username=user, role="viewer"))


@pytest.fixture
def browse(served: FastAPI) -> Callable[..., TestClient]:
    """Return a function that returns a client for a user; None: nobody is logged in."""

    def client(user: str | None = "all", **more: Any) -> TestClient:
        return TestClient(served, cookies={} if user is None else {"_token": token_of(user)}, **more)

    return client


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Return an empty database to which the connection ``ledger`` leads, and which the page shows."""
    path = tmp_path / "ledger.db"
    connect_sqlite(monkeypatch, "ledger", path)
    monkeypatch.setenv("AIRFLOW__LEADSQUARED__LEDGERS", "ledger")
    return Database(
        partial(sqlite3.connect, path), "leadsquared_ledger", "SELECT name FROM sqlite_master WHERE type = 'table'"
    )
