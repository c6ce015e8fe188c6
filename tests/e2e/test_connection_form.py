"""The connection form's Test button: what Airflow's page sends, to Airflow's own API server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_leadsquared.sandbox import Sandbox
from local_airflow import LocalAirflow


def as_the_page_sends(shown: dict[str, Any]) -> dict[str, Any]:
    """Return the body of Test: the connection as the list of connections has it, keys masked, no port as 0."""
    names = ("conn_type", "connection_id", "description", "extra", "host", "login", "password", "schema")
    return {name: shown[name] or "" for name in names} | {"port": shown["port"] or 0}


@pytest.mark.parametrize("port", [0, None], ids=["stored", "in_the_host"])
def test_the_test_button_works_for_a_connection_with_a_port(
    local_airflow: LocalAirflow, leadsquared_sandbox: Sandbox, port: int | None
) -> None:
    connection = leadsquared_sandbox.airflow_connection()
    if port is None:
        connection["host"], _, own = connection["host"].rpartition(":")
        port = int(own)
    name = f"leadsquared_{'zero' if port == 0 else 'port'}"
    stored = connection | {"connection_id": name, "port": port, "extra": json.dumps(connection["extra"])}
    shown = local_airflow.api("POST", "connections", json=stored)
    body = as_the_page_sends(shown)

    assert body["password"] == json.loads(body["extra"])["async_api_key"] == "***"
    result = local_airflow.api("POST", "connections/test", json=body)
    assert result["status"] is True, result
    assert "Account: Sandbox (90001)" in result["message"]
