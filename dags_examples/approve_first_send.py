"""Before the first full send: a dry run, a person who reads what it says and approves it, and only then the sending."""

# [START howto_approve_first_send]
from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG

from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

#: The nightly DAG has the same arguments. It shares the name in `sync`, so it does not send again what this DAG sent.
SYNC: dict[str, Any] = {
    "conn_id": "warehouse",
    "sql": "SELECT member_id, email, city FROM members ORDER BY updated_at",
    "row_key": "member_id",
    "mapping": {"email": ["EmailAddress", "strip", "lower"], "city": "mx_City"},
    "sync": "members",
    "allowed_rejects": 0.01,
}
EXPECTED = """
{% set expected = ti.xcom_pull(task_ids="dry_run") %}
{{ expected.counts.read }} rows were read. The run would be {{ "red" if expected.would_fail else "green" }}.
LeadSquared needs about {{ expected.estimated_minutes or "an unknown number of" }} minutes.

Not sent, with some of their row keys:
{% for line in expected.examples %}
- {{ line }}
{% else %}
- none
{% endfor %}
"""

with DAG("approve_first_send", schedule=None, max_active_runs=1, tags=["leadsquared"]):
    dry_run = SqlToLeadSquaredOperator(task_id="dry_run", dry_run=True, **SYNC)
    # The question waits under "Required Actions". Whoever rejects it skips the tasks behind it.
    approve = ApprovalOperator(
        task_id="approve",
        subject='Send {{ ti.xcom_pull(task_ids="dry_run").to_send }} leads to LeadSquared?',
        body=EXPECTED,
    )
    sync = SqlToLeadSquaredOperator(task_id="sync", retries=3, **SYNC)
    wait = LeadStatusSensor(task_id="wait", request_ids=sync.output, allowed_rejects=0.01)
    dry_run >> approve >> sync >> wait
# [END howto_approve_first_send]
