"""Where a task keeps its ledger: the one place that knows which Airflow has a task state store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.delivery.ledger import Ledger, MemoryLedger
from airflow_provider_leadsquared.delivery.task_state_ledger import TaskStateLedger

if TYPE_CHECKING:
    from airflow.sdk import Context

#: The name of the ledger table, where an author names none.
LEDGER_TABLE = "leadsquared_ledger"


def open_ledger(
    context: Context, log: Any, *, ledger_conn_id: str | None, ledger_table: str, without_it: str
) -> Ledger:
    """
    Return the ledger of the task that runs.

    :param context: The task's context. Airflow 3.3 and later has a task state store in it.
    :param log: Where to say loudly that there is no lasting ledger.
    :param ledger_conn_id: A connection to a database with a ``common.sql`` hook, None for the task state store.
    :param ledger_table: The table in that database.
    :param without_it: What a retry does without a ledger.
    :raises ValueError: The connection has no ``common.sql`` hook, or the table's name is none.
    """
    if ledger_conn_id is not None:
        return _sql_ledger(context, ledger_conn_id, ledger_table)
    store = context.get("task_state_store")
    if store is not None:
        return TaskStateLedger(store)
    log.warning(
        "No task state store in this Airflow (3.3 and later have one), and no ledger_conn_id: nothing is kept. %s",
        without_it,
    )
    return MemoryLedger()


def _sql_ledger(context: Context, ledger_conn_id: str, ledger_table: str) -> Ledger:
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import BaseHook

    from airflow_provider_leadsquared.delivery.sql_ledger import RunOfTask, SqlLedger

    hook = BaseHook.get_hook(ledger_conn_id)
    if not isinstance(hook, DbApiHook):
        raise ValueError(
            f"ledger_conn_id {ledger_conn_id!r} leads to a {type(hook).__name__}, which is no common.sql hook; name a "
            "connection to a SQL database"
        )
    ti = context["ti"]
    run = RunOfTask(ti.dag_id, ti.run_id, ti.task_id, ti.map_index if ti.map_index is not None else -1)
    return SqlLedger(hook.get_conn, placeholder=hook.placeholder, table=ledger_table, run=run)
