"""What tasks tell OpenLineage."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers_manager import ProvidersManager

from airflow_provider_leadsquared.assets import leads_asset, to_openlineage
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.csv_to_leadsquared import CsvToLeadSquaredOperator
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator
from tests.integration.tasks import Task, capture, leads

EXTRACTORS = "airflow.providers.openlineage.extractors"
LEADS = ("leadsquared://leadsquared_default", "leads")


def told_by(task: Any) -> Any:
    return task.get_openlineage_facets_on_complete(None)


def rows_told(output: Any) -> dict[str, int]:
    shown = vars(output.outputFacets["leadsquared_rows"]) if output.outputFacets else {}
    return {name: value for name, value in shown.items() if not name.startswith("_")}


def sync(**arguments: Any) -> SqlToLeadSquaredOperator:
    return SqlToLeadSquaredOperator(task_id="sync", sql="SELECT 1", conn_id="nowhere", row_key="id", **arguments)


def test_a_capture_tells_its_rows_by_state(sandbox, clock):
    rows = [*leads(2), {"id": "bad", "mx_City": "Pune"}]
    task = LeadCaptureOperator(task_id="capture", leads=rows, row_key="id", allowed_rejects=1)
    task.execute(Task().context())
    lineage = told_by(task)
    (output,) = lineage.outputs
    assert (lineage.inputs, (output.namespace, output.name)) == ([], LEADS)
    assert rows_told(output) == {"read": 3, "invalid": 1, "open": 2}
    assert "outputStatistics" not in output.outputFacets


def test_a_sensor_tells_its_rows_by_verdict_also_when_it_fails(sandbox, clock):
    sandbox.fault("reject", attribute="EmailAddress", value="lead1@example.org")
    receipts = capture(Task(), leads(3))
    clock.advance(60)
    task = LeadStatusSensor(task_id="wait", request_ids=receipts)
    with pytest.raises(LeadsNotDelivered):
        task.execute(Task().context())
    (output,) = told_by(task).outputs
    assert rows_told(output) == {"read": 3, "created": 2, "rejected": 1}
    assert output.outputFacets["outputStatistics"].rowCount == 2


def test_a_task_that_counted_nothing_tells_where_it_writes(sandbox):
    (output,) = told_by(LeadCaptureOperator(task_id="capture", leads=leads(1))).outputs
    assert ((output.namespace, output.name), output.outputFacets) == (LEADS, {})


def test_a_sync_tells_the_tables_that_its_query_reads(monkeypatch):
    tables = [SimpleNamespace(namespace="postgres://h:5432", name="crm.customers")]
    asked = []

    def facets(self):
        asked.append((self.sql, self.conn_id))
        return SimpleNamespace(inputs=tables)

    monkeypatch.setattr(SQLExecuteQueryOperator, "get_openlineage_facets_on_start", facets)
    assert told_by(sync()).inputs == tables
    assert asked == [("SELECT 1", "nowhere")]


@pytest.mark.parametrize("answer", [lambda _: None, lambda _: 1 / 0], ids=["not_told", "failed"])
def test_what_cannot_be_told_of_the_tables_hides_nothing_else(monkeypatch, answer):
    monkeypatch.setattr(SQLExecuteQueryOperator, "get_openlineage_facets_on_start", answer)
    lineage = told_by(sync())
    assert (lineage.inputs, len(lineage.outputs)) == ([], 1)


def test_a_sync_of_a_file_tells_the_file():
    task = CsvToLeadSquaredOperator(task_id="sync", path="/data/leads.csv", ledger_conn_id="ledger", row_key="id")
    (read,) = told_by(task).inputs
    assert (read.namespace, read.name) == ("file", "/data/leads.csv")


def test_without_openlineage_nothing_is_told_and_nothing_of_it_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, EXTRACTORS, None)
    before = set(sys.modules)
    monkeypatch.setattr(SQLExecuteQueryOperator, "get_openlineage_facets_on_start", lambda _: 1 / 0)
    assert told_by(sync()) is None
    assert not [name for name in set(sys.modules) - before if "openlineage" in name]


def test_an_asset_is_the_dataset_that_tasks_tell():
    dataset = to_openlineage(leads_asset(), lineage_context=None)
    assert (dataset.namespace, dataset.name) == LEADS


def test_airflow_knows_how_to_make_the_asset_and_what_it_is_to_openlineage():
    manager = ProvidersManager()
    assert manager.asset_factories["leadsquared"] is leads_asset
    assert manager.asset_to_openlineage_converters["leadsquared"] is to_openlineage
