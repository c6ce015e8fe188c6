"""The smallest DAG: send a few leads, wait until the CRM has judged each."""

# [START howto_capture_and_wait]
from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor

with DAG("capture_and_wait", schedule=None, tags=["leadsquared"]):
    capture = LeadCaptureOperator(
        task_id="capture",
        leads=[
            {"id": 1, "EmailAddress": "meera@example.org", "FirstName": "Meera", "mx_City": "Pune"},
            {"id": 2, "EmailAddress": "arjun@example.org", "FirstName": "Arjun", "mx_City": "Kochi"},
        ],
        row_key="id",
        retries=2,
    )
    LeadStatusSensor(task_id="wait", request_ids=capture.output)
# [END howto_capture_and_wait]
