"""Where a task keeps its ledger: the one place that knows which Airflow has a task state store."""

from __future__ import annotations

from collections.abc import Mapping
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
    Return the task's own ledger.

    :param context: The task's context. Airflow 3.3 and later has a task state store in it.
    :param log: Where to say loudly that there is no lasting ledger.
    :param ledger_conn_id: A connection to a database with a ``common.sql`` hook, None for the task state store.
    :param ledger_table: The table in that database.
    :param without_it: What a retry does without a ledger.
    :raises ValueError: The connection has no ``common.sql`` hook, or the table's name is none.
    """
    if ledger_conn_id is not None:
        return open_shared_ledger(where_is_ledger(context, ledger_conn_id, ledger_table))
    store = context.get("task_state_store")
    if store is not None:
        return TaskStateLedger(store)
    log.warning(
        "No task state store in this Airflow (3.3 and later have one), and no ledger_conn_id: nothing is kept. %s",
        without_it,
    )
    return MemoryLedger()


def where_is_ledger(context: Context, ledger_conn_id: str, ledger_table: str) -> dict[str, Any]:
    """Tell in plain JSON where a task keeps its SQL ledger, so that another task can open it."""
    ti = context["ti"]
    return {
        "ledger_conn_id": ledger_conn_id,
        "ledger_table": ledger_table,
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": -1 if ti.map_index is None else ti.map_index,
    }


def open_shared_ledger(place: Mapping[str, Any]) -> Ledger:
    """
    Open a SQL ledger.

    :param place: What :func:`where_is_ledger` told.
    :raises ValueError: The connection has no ``common.sql`` hook, or the table's name is none.
    """
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import BaseHook

    from airflow_provider_leadsquared.delivery.sql_ledger import RunOfTask, SqlLedger

    hook = BaseHook.get_hook(place["ledger_conn_id"])
    if not isinstance(hook, DbApiHook):
        raise ValueError(
            f"ledger_conn_id {place['ledger_conn_id']!r} leads to a {type(hook).__name__}, which is no common.sql "
            "hook; name a connection to a SQL database"
        )
    run = RunOfTask(place["dag_id"], place["run_id"], place["task_id"], place["map_index"])
    return SqlLedger(hook.get_conn, placeholder=hook.placeholder, table=place["ledger_table"], run=run)
