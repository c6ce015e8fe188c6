"""Which databases a ledger is opened in, and which are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import BaseHook

from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress
from airflow_provider_leadsquared.tasks.ledgers import open_requests_of_captures, open_sql_ledger, open_sync_ledger

ADDRESS = LedgerAddress("warehouse", run=RunOfTask("dag", "run", "task"))


def _hook(conn_type: str) -> type[DbApiHook]:
    return type("Hook", (DbApiHook,), {"conn_name_attr": "conn_id", "conn_type": conn_type})


def _lead_to(monkeypatch: pytest.MonkeyPatch, hook: DbApiHook) -> None:
    monkeypatch.setattr(BaseHook, "get_hook", lambda *_, **__: hook)


@pytest.mark.parametrize(
    ("conn_type", "name"),
    [
        ("snowflake", "Snowflake"),
        ("gcpbigquery", "BigQuery"),
        ("redshift", "Redshift"),
        ("databricks", "Databricks"),
    ],
)
def test_a_column_store_is_refused_as_ledger_with_the_remedy(monkeypatch, conn_type, name):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": conn_type}))
    own = type("Own", (_hook(conn_type),), {})
    for hook in (_hook(conn_type), own):
        _lead_to(monkeypatch, hook(conn_id="warehouse"))
        with pytest.raises(ValueError, match=rf"'warehouse' leads to {name}, .* a row store as ledger_conn_id: Post"):
            open_sql_ledger(ADDRESS)


@pytest.mark.parametrize("extra", [{"redshift": True}, {"redshift-serverless": True, "iam": True}])
def test_redshift_by_the_postgres_hook_is_refused_as_ledger(monkeypatch, extra):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "postgres", "extra": extra}))
    _lead_to(monkeypatch, PostgresHook("warehouse"))
    with pytest.raises(ValueError, match="leads to Redshift"):
        open_sql_ledger(ADDRESS)


@pytest.mark.parametrize("fields", [{"conn_type": "postgres"}, {"conn_type": "sqlite", "host": "/tmp/x.db"}])  # noqa: S108 - a name that is never opened
def test_a_row_store_is_opened_as_ledger(monkeypatch, fields: dict[str, Any]):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(fields))
    assert open_sql_ledger(ADDRESS)


@pytest.mark.parametrize(
    "open_ledger",
    [
        open_sql_ledger,
        lambda address: open_requests_of_captures([address], LeadSquaredHook(), polled_by=RunOfTask("d", "r", "wait")),
        lambda address: open_sync_ledger(address, LeadSquaredHook()),
    ],
)
def test_an_address_that_names_no_run_is_refused_with_the_remedy(open_ledger):
    with pytest.raises(ValueError, match="must name its run; pass the .* output as it is"):
        open_ledger(LedgerAddress("warehouse", sync="customers"))
