"""Verdicts by 7 a.m.: whoever has to know is told if they are late, and when a task fails."""

# [START howto_verdicts_by_seven]
from __future__ import annotations

from datetime import timedelta

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG, AsyncCallback, CronTriggerTimetable, DeadlineAlert, DeadlineReference

from airflow_provider_leadsquared.notifications.leadsquared import LeadSquaredNotifier
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

#: Any other notifier will do; its templates name the alert.
MAIL = SmtpNotifier(
    to="crm-team@example.com",
    subject="{{ leadsquared.title }}",
    html_content="<pre>{{ leadsquared.text | e }}</pre>",
)

with DAG(
    "verdicts_by_seven",
    # Switched on at any hour, it waits for the coming night.
    schedule=CronTriggerTimetable("0 2 * * *", timezone="Asia/Kolkata", run_immediately=timedelta()),
    catchup=False,
    max_active_runs=1,
    tags=["leadsquared"],
    # Five hours after 2 a.m. the run has to be over. A triggerer sends the alert, with what the ledger holds by then.
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
        interval=timedelta(hours=5),
        callback=AsyncCallback(LeadSquaredNotifier, {"title": "Leads are late", "ledger_conn_id": "warehouse"}),
    ),
    default_args={"on_failure_callback": LeadSquaredNotifier(to=MAIL)},
):
    sync = SqlToLeadSquaredOperator(
        task_id="sync",
        conn_id="warehouse",
        sql="SELECT customer_id, email, city FROM customers ORDER BY updated_at",
        row_key="customer_id",
        mapping={"email": "EmailAddress", "city": "mx_City"},
        sync="customers",
        retries=3,
    )
    LeadStatusSensor(task_id="wait", request_ids=sync.output)
# [END howto_verdicts_by_seven]
