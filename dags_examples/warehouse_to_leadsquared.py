"""
Bring the customers of a warehouse into LeadSquared every night: only those that are new or have changed.

It needs two connections, `warehouse` (any database with a `common.sql` hook) and `leadsquared_default`, and in the
warehouse a table `customers`. docs/nightly-sync.md says where it runs out of the box, and what to change for a
warehouse of one's own.
"""

# [START howto_warehouse_to_leadsquared]
from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.sdk import DAG, BaseHook, Param, task
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_provider_leadsquared.assets import leads_asset
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

WAREHOUSE = "warehouse"

# [START howto_extract]
#: The customers of tonight: what is compared, sent and looked up in the morning is one and the same table.
PRESENT_CUSTOMERS = [
    "DROP TABLE IF EXISTS present_customers",
    """
    CREATE TABLE present_customers AS
    SELECT customer_id, first_name, last_name, email, phone, city, plan, signed_up_on, updated_at
    FROM customers
    WHERE closed_on IS NULL
    """,
]
# [END howto_extract]

# [START howto_mapping]
#: Where two rows are one person, the later wins.
SELECT = "SELECT * FROM present_customers ORDER BY updated_at, customer_id"
#: Each column's lead field, with what is done to the value on its way, from left to right.
MAPPING = {
    "customer_id": "mx_Customer_Id",
    "first_name": ["FirstName", "strip"],
    "last_name": ["LastName", "strip"],
    "email": ["EmailAddress", "strip", "lower", "null_if_blank"],
    "phone": ["Phone", "strip", "null_if_blank"],
    "city": ["mx_City", "strip", "title"],
    "plan": "mx_Plan",
    "signed_up_on": ["mx_Signed_Up_On", "date"],
}
#: What every lead has.
CONSTANTS = {"Source": "Warehouse"}
# [END howto_mapping]


# [START howto_report]
SENT = """
SELECT state, COUNT(*) FROM leadsquared_ledger
WHERE dag_id = ? AND run_id = ? AND request_id IS NOT NULL GROUP BY state ORDER BY state
"""
NOT_TAKEN = """
SELECT state, reason_class, COUNT(*), MIN(row_key) FROM leadsquared_ledger_rejects
WHERE dag_id = ? AND run_id = ? GROUP BY state, reason_class ORDER BY COUNT(*) DESC
"""
STILL_OPEN = "SELECT COUNT(*), MIN(accepted_at) FROM leadsquared_ledger_last WHERE dag_id = ? AND state = 'open'"


@task
def report(synced: Any, dag_run: Any = None) -> None:
    """Log what became of the rows, as the ledger in the warehouse has it: counts, reasons and keys, no lead data."""
    log = logging.getLogger("warehouse_to_leadsquared")
    if not synced:
        log.info("The sync ended before it had read all rows; its log says why")
        return
    log.info("Rows: %s", ", ".join(f"{state} {count:,}" for state, count in synced["counts"].items()))
    if synced.get("dry_run"):
        log.info("Dry run: %s would be sent; set aside: %s", f"{synced['to_send']:,}", synced["set_aside"])
        return
    hook: Any = BaseHook.get_hook(WAREHOUSE)

    def ask(sql: str, *values: str) -> Any:
        return hook.get_records(sql.replace("?", hook.placeholder), parameters=values)

    run = (dag_run.dag_id, dag_run.run_id)
    for state, count in ask(SENT, *run):
        log.info("Sent: %s %s", f"{count:,}", state)
    for state, reason, count, key in ask(NOT_TAKEN, *run):
        log.info("Not taken: %s %s, %s, such as customer %s", f"{count:,}", state, reason, key)
    for count, since in ask(STILL_OPEN, dag_run.dag_id):
        log.info("Without a verdict yet, of all nights: %s%s", f"{count:,}", f", since {since}" if count else "")


# [END howto_report]


# [START howto_dag]
with DAG(
    "warehouse_to_leadsquared",
    # Switched on at any hour, it waits for the coming night. With a start_date in the past it would run at once, and
    # without this timedelta it would do so until 4:24 a.m., for a tenth of the time between two nights.
    schedule=CronTriggerTimetable("0 2 * * *", timezone="Asia/Kolkata", run_immediately=timedelta()),
    catchup=False,
    # Two nights at once could overtake each other.
    max_active_runs=1,
    tags=["leadsquared"],
    params={
        "dry_run": Param(False, type="boolean", title="Dry run", description="Read and check, send nothing"),
        "full_refresh": Param(False, type="boolean", title="Full refresh", description="Send unchanged rows too"),
        "replay": Param(
            None,
            type=["null", "string"],
            title="Replay",
            description="Send refused rows again though they have not changed: True for all, or a reason class",
        ),
        "allowed_rejects": Param(
            0.01, type="number", minimum=0, title="Rows that may fail", description="A count, or a share such as 0.01"
        ),
    },
):
    extract = SQLExecuteQueryOperator(task_id="extract", conn_id=WAREHOUSE, sql=PRESENT_CUSTOMERS)
    sync = SqlToLeadSquaredOperator(
        task_id="sync",
        conn_id=WAREHOUSE,
        sql=SELECT,
        row_key="customer_id",
        mapping=MAPPING,
        constants=CONSTANTS,
        sync="customers",
        dry_run="{{ params.dry_run }}",
        full_refresh="{{ params.full_refresh }}",
        replay="{{ params.replay }}",
        allowed_rejects="{{ params.allowed_rejects }}",
        retries=3,
        retry_delay=timedelta(minutes=5),
    )
    wait = LeadStatusSensor(
        task_id="wait",
        request_ids=sync.output,
        allowed_rejects="{{ params.allowed_rejects }}",
        # Whoever comes at 7 finds a report; what LeadSquared has not judged by then, the next night settles.
        close_after=4 * 60 * 60,
        # Not the sync's: its leads are accepted, these are in the CRM.
        outlets=[leads_asset()],
    )
    reported = report(sync.output)
    extract >> sync >> wait >> reported
    # A teardown runs whatever happened before it, and leaves the run's colour to the others.
    reported.as_teardown()
# [END howto_dag]
# [END howto_warehouse_to_leadsquared]
