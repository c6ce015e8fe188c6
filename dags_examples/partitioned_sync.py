"""A large table, read and sent in four parts at a time: mapped tasks that share one memory."""

# [START howto_partitioned_sync]
from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

#: No row is in two parts. Split by something that all rows of one person share, so that the later one wins.
PARTS = [
    f"SELECT * FROM subscribers WHERE subscriber_id % 4 = {part} ORDER BY updated_at"  # noqa: S608 - our own numbers
    for part in range(4)
]

with DAG("partitioned_sync", schedule=None, max_active_runs=1, tags=["leadsquared"]):
    sync = SqlToLeadSquaredOperator.partial(
        task_id="sync",
        conn_id="warehouse",
        row_key="subscriber_id",
        mapping={"email": ["EmailAddress", "strip", "lower"], "city": "mx_City"},
        # One name, one memory: the number of parts may change from night to night.
        sync="subscribers",
        retries=3,
    ).expand(sql=PARTS)
    LeadStatusSensor(task_id="wait", request_ids=sync.output)
# [END howto_partitioned_sync]
