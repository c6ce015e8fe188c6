"""
Send the leads of a CSV file to LeadSquared, those that are new or have changed, and wait until the CRM has judged each.

It needs the connections `leadsquared_default` and `warehouse`, any SQL database with a `common.sql` hook; in that one
the ledger remembers what was sent. The file is read where the sync runs, so lead data passes through no XCom.
"""

# [START howto_csv_to_leadsquared]
from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.csv_to_leadsquared import CsvToLeadSquaredOperator

#: Each column's lead field, with what is done to the value on its way, from left to right.
MAPPING = {
    "Email": ["EmailAddress", "strip", "lower"],
    "First Name": ["FirstName", "strip"],
    "Phone": ["Phone", "strip"],
    "City": ["mx_City", "strip", "title"],
}

with DAG(
    "csv_to_leadsquared",
    schedule=None,
    # Two runs at once could overtake each other.
    max_active_runs=1,
    tags=["leadsquared"],
    params={
        "csv_file": Param(type="string", minLength=1, title="CSV file", description="Path as the worker sees it"),
        "allowed_rejects": Param(
            0, type="number", minimum=0, title="Rows that may fail", description="A count, or a share such as 0.05"
        ),
    },
):
    sync = CsvToLeadSquaredOperator(
        task_id="sync",
        path="{{ params.csv_file }}",
        row_key="ID",
        mapping=MAPPING,
        # LeadSquared's own exports write Select for a dropdown that nobody touched.
        null_values=["", "Select"],
        ledger_conn_id="warehouse",
        allowed_rejects="{{ params.allowed_rejects }}",
        retries=2,
    )
    LeadStatusSensor(task_id="wait", request_ids=sync.output, allowed_rejects="{{ params.allowed_rejects }}")
# [END howto_csv_to_leadsquared]
