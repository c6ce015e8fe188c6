"""Where the deliveries page is in Airflow's UI, and how a run of it is addressed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow_provider_leadsquared.tasks.ledger_address import LEDGER_TABLE

if TYPE_CHECKING:
    from airflow_provider_leadsquared.ledgers.runs import RunOfTask

#: The path of the page below that of Airflow's UI.
PAGE = "leadsquared"


def ledger_name(ledger_conn_id: str, ledger_table: str = LEDGER_TABLE) -> str:
    """Return how a ledger is named in Airflow's configuration and on the page: ``conn_id``, or ``conn_id=table``."""
    return ledger_conn_id if ledger_table == LEDGER_TABLE else f"{ledger_conn_id}={ledger_table}"


def run_path(ledger: str, run: RunOfTask | None, *, is_whole: bool = False) -> str:
    """
    Return the path of a run's page below that of Airflow's UI.

    :param ledger: The ledger's name.
    :param run: The task; None for the page with all runs.
    :param is_whole: Show all tasks of its DAG run.
    """
    if run is None:
        return f"{PAGE}/?{urlencode({'ledger': ledger})}"
    asked = {"ledger": ledger, "dag_id": run.dag_id, "run_id": run.run_id}
    if not is_whole:
        asked["task_id"] = run.task_id
        if run.map_index >= 0:
            asked["map_index"] = str(run.map_index)
    return f"{PAGE}/run?{urlencode(asked)}"
