"""Where a task keeps its ledger: the one place that knows which Airflow has a task state store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.delivery.ledger import Ledger, MemoryLedger, TaskStateLedger

if TYPE_CHECKING:
    from airflow.sdk import Context


def open_ledger(context: Context, log: Any, *, without_it: str) -> Ledger:
    """
    Return the ledger of the task that runs.

    :param context: The task's context. Airflow 3.3 and later has a task state store in it.
    :param log: Where to say loudly that there is none.
    :param without_it: What a retry does without a ledger.
    """
    store = context.get("task_state_store")
    if store is not None:
        return TaskStateLedger(store)
    log.warning("No task state store in this Airflow (3.3 and later have one): nothing is kept. %s", without_it)
    return MemoryLedger()
