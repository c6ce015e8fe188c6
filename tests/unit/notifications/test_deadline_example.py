"""The example with a deadline alert, on an Airflow that has them."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import pytest
import structlog

pytest.importorskip("airflow.sdk.definitions.callback", reason="Airflow 3.1 has deadline alerts elsewhere")

from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.callback import CallbackTrigger

from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
from tests.unit.notifications.test_leadsquared_notifier import RUN, ti


@pytest.fixture
def dag() -> Any:
    # By name, so that mypy does not read it: the types that Airflow ships for its SDK lack names that the example uses.
    verdicts_by_seven = import_module("dags_examples.verdicts_by_seven")

    return next(
        value for value in vars(verdicts_by_seven).values() if type(value).__name__ == "SqlToLeadSquaredOperator"
    ).dag


def test_airflow_can_store_the_example(dag):
    stored = DagSerialization.to_dict(dag)
    assert "LeadSquaredNotifier" in str(stored["dag"]["deadline"])


def test_the_triggerer_sends_what_the_ledger_holds(dag, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f'{{"conn_type": "sqlite", "host": "{tmp_path}/ledger.db"}}')
    [alert] = dag.deadline
    context = {"dag_run": {"dag_id": RUN.dag_id, "dag_run_id": RUN.run_id}, "deadline": {}}

    async def run() -> list[Any]:
        trigger = CallbackTrigger(alert.callback.path, {**alert.callback.kwargs, "context": context})
        return [event.payload async for event in trigger.run()]

    with structlog.testing.capture_logs() as logged:
        payloads = asyncio.run(run())
    assert [payload["state"] for payload in payloads] == ["running", "success"]
    assert "Leads are late" in str(logged)


def test_a_failed_task_of_the_example_is_mailed(dag, monkeypatch):
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    mailed: list[tuple[Any, Any]] = []
    monkeypatch.setattr(SmtpNotifier, "notify", lambda self, _: mailed.append((self.subject, self.html_content)))
    [callback] = dag.task_dict["sync"].on_failure_callback
    callback({"ti": ti(), "exception": LeadsNotDelivered("<b>", counts={"read": 1})})
    assert mailed == [
        (
            "LeadSquared: nightly.sync failed (run n1)",
            "<pre>LeadSquared: nightly.sync failed (run n1)\nRows: read 1\nError: &lt;b&gt;</pre>",
        )
    ]
