"""Many leads, and a wait that takes no worker slot: a triggerer polls until the CRM has judged each."""

# [START howto_deferred_wait]
from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor

with DAG("deferred_wait", schedule=None, tags=["leadsquared"]):
    capture = LeadCaptureOperator(
        task_id="capture",
        leads=[
            {"id": 1, "EmailAddress": "meera@example.org", "FirstName": "Meera", "mx_City": "Pune"},
            {"id": 2, "EmailAddress": "arjun@example.org", "FirstName": "Arjun", "mx_City": "Kochi"},
        ],
        row_key="id",
        ledger_conn_id="ledger",  # the triggerer reads the RequestIds there, however many there are
        retries=2,
    )
    LeadStatusSensor(task_id="wait", request_ids=capture.output, deferrable=True)
# [END howto_deferred_wait]
