"""Where a task keeps its ledger: the one place that knows which Airflow has a task state store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.retries import RetryLadder
from airflow_provider_leadsquared.delivery.ledger import Ledger, MemoryLedger
from airflow_provider_leadsquared.delivery.poll_plan import BACKLOG
from airflow_provider_leadsquared.delivery.task_state_ledger import TaskStateLedger

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import Context

    from airflow_provider_leadsquared.api.account import Account
    from airflow_provider_leadsquared.delivery.sql_ledger import RunOfTask
    from airflow_provider_leadsquared.delivery.sync_ledger import OpenRequests, SyncLedger

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


def where_is_ledger(
    context: Context, ledger_conn_id: str, ledger_table: str, *, sync: str | None = None, account: Account | None = None
) -> dict[str, Any]:
    """
    Tell in plain JSON where a task keeps its SQL ledger, so that another task can open it.

    :param sync: The name of the sync that the task runs, None for a plain capture.
    :param account: Where a sync sends to.
    """
    ti = context["ti"]
    return {
        "ledger_conn_id": ledger_conn_id,
        "ledger_table": ledger_table,
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": -1 if ti.map_index is None else ti.map_index,
    } | ({} if sync is None or account is None else {"sync": sync, "sent_to": account.async_url})


def may_skip(context: Context) -> bool:
    """
    Tell whether a task that has nothing to send may skip.

    One of a mapped task's instances may not: the sensor behind them would be skipped with it, and nobody would wait for
    what the others have sent.
    """
    map_index = context["ti"].map_index
    return map_index is None or map_index < 0


def open_shared_ledger(place: Mapping[str, Any]) -> Ledger:
    """
    Open the SQL ledger of a capture.

    :param place: What :func:`where_is_ledger` told.
    :raises ValueError: The connection has no ``common.sql`` hook, or the table's name is none.
    """
    from airflow_provider_leadsquared.delivery.sql_ledger import SqlLedger

    return SqlLedger(**_database(place), run=_run(place))


def open_sync_ledger(place: Mapping[str, Any], account: Account) -> SyncLedger:
    """
    Open the ledger of a sync's run.

    :param place: What :func:`where_is_ledger` told, with a ``sync``.
    :param account: Where the leads go: a sync into another account has a memory of its own.
    :raises ValueError: As for :func:`open_shared_ledger`.
    """
    from airflow_provider_leadsquared.delivery.sync_ledger import SyncLedger

    return SyncLedger(
        **_database(place), run=_run(place), sync=_memory(place, account), patience=patience_with(account)
    )


def open_requests_of_sync(places: Sequence[Mapping[str, Any]], account: Account) -> OpenRequests:
    """
    Open what is unsettled of a sync, of whatever run.

    :param places: The runs whose verdicts are counted, as :func:`where_is_ledger` told; for the sync as a whole one
        place with ``ledger_conn_id`` and ``sync`` alone.
    :param account: Where the leads went.
    :raises ValueError: As for :func:`open_shared_ledger`, or the places are not of one sync into this account.
    """
    from airflow_provider_leadsquared.delivery.sync_ledger import OpenRequests

    sent_to = {place["sent_to"] for place in places if "sent_to" in place}
    if sent_to - {account.async_url}:
        raise ValueError(
            f"the sync sent to {', '.join(sorted(sent_to))}, but leadsquared_conn_id leads to {account.async_url}; "
            "name the sync's connection"
        )
    if len({(place["ledger_conn_id"], place.get("ledger_table"), place["sync"]) for place in places}) != 1:
        raise ValueError("request_ids holds outputs of several syncs; let a sensor wait for each")
    runs = [_run(place) for place in places if "run_id" in place]
    return OpenRequests(**_database(places[0]), sync=_memory(places[0], account), runs=runs)


def patience_with(account: Account) -> float:
    """Tell for how many seconds LeadSquared may still work off what it was sent: its longest ladder and a backlog."""
    return RetryLadder().faster(account.sandbox_speed).longest + BACKLOG / account.sandbox_speed


def sql_hook(conn_id: str, argument: str) -> DbApiHook:
    """
    Return the hook of a SQL database.

    :param argument: The argument that names the connection, for the message.
    :raises ValueError: The connection has no ``common.sql`` hook.
    """
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import BaseHook

    hook = BaseHook.get_hook(conn_id)
    if not isinstance(hook, DbApiHook):
        raise ValueError(
            f"{argument} {conn_id!r} leads to a {type(hook).__name__}, which is no common.sql hook; name a connection "
            "to a SQL database"
        )
    return hook


def _database(place: Mapping[str, Any]) -> dict[str, Any]:
    hook = sql_hook(place["ledger_conn_id"], "ledger_conn_id")
    table = place.get("ledger_table", LEDGER_TABLE)
    return {"connect": hook.get_conn, "placeholder": hook.placeholder, "table": table, "clock": _now}


def _run(place: Mapping[str, Any]) -> RunOfTask:
    from airflow_provider_leadsquared.delivery.sql_ledger import RunOfTask

    return RunOfTask(place["dag_id"], place["run_id"], place["task_id"], place["map_index"])


def _memory(place: Mapping[str, Any], account: Account) -> str:
    return f"{place['sync']} to {account.async_url}"


def _now() -> float:
    return time.time()
