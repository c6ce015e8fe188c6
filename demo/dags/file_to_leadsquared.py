"""The demonstration's DAG for a file of one's own, whose rows it has loaded into its warehouse under fields' names."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

with DAG("file_to_leadsquared", schedule=None, max_active_runs=1, params={"allowed_rejects": Param(0, type="number")}):
    allowed = "{{ params.allowed_rejects }}"
    sync = SqlToLeadSquaredOperator(
        task_id="sync",
        conn_id="warehouse",
        sql="SELECT * FROM file ORDER BY rowid",
        row_key="csv_key",
        mapping="*",
        allowed_rejects=allowed,
    )
    LeadStatusSensor(task_id="wait", request_ids=sync.output, allowed_rejects=allowed)
