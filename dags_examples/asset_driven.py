"""Not by the clock: leads are sent when their table was loaded, and what follows runs when they are in the CRM."""

# [START howto_asset_driven]
from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_provider_leadsquared.assets import leads_asset
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

#: The task that loads the table has this among its `outlets`.
TRIALS = Asset(name="trials", uri="warehouse://trials")

with DAG("trials_to_leadsquared", schedule=[TRIALS], max_active_runs=1, tags=["leadsquared"]):
    sync = SqlToLeadSquaredOperator(
        task_id="sync",
        conn_id="warehouse",
        sql="SELECT trial_id, email, city FROM trials ORDER BY updated_at",
        row_key="trial_id",
        mapping={"email": ["EmailAddress", "strip", "lower"], "city": "mx_City"},
        sync="trials",
        retries=3,
    )
    # On the sensor, not on the sync: the sync's leads are accepted, the sensor's are in the CRM.
    LeadStatusSensor(task_id="wait", request_ids=sync.output, outlets=[leads_asset()])

with DAG("after_the_leads", schedule=[leads_asset()], tags=["leadsquared"]):

    @task
    def show_counts(triggering_asset_events: Any = None) -> dict[str, int]:
        """Log and return how many leads the sensor found created, updated and so on."""
        counts: dict[str, int] = triggering_asset_events[leads_asset()][-1].extra["counts"]
        logging.getLogger(__name__).info("In the CRM: %s", counts)
        return counts

    show_counts()
# [END howto_asset_driven]
