"""Opening a task's ledger: the one place that knows which Airflow has a task state store."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.async_apis import KEEPING_BEHAVIORS
from airflow_provider_leadsquared.ledgers.base import Ledger
from airflow_provider_leadsquared.ledgers.in_process import InProcessLedger
from airflow_provider_leadsquared.ledgers.task_state import TaskStateLedger
from airflow_provider_leadsquared.tasks.ledger_address import LEDGER_TABLE, LedgerAddress

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk import Context

    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.ledgers.capture_requests import CaptureRequests
    from airflow_provider_leadsquared.ledgers.database import Database
    from airflow_provider_leadsquared.ledgers.open_requests import OpenRequests
    from airflow_provider_leadsquared.ledgers.runs import RunOfTask
    from airflow_provider_leadsquared.ledgers.sync import SyncIdentity, SyncLedger

#: Databases that no ledger is kept in, by the connection type of their hook.
_COLUMN_STORES = {
    "snowflake": "Snowflake",
    "gcpbigquery": "BigQuery",
    "redshift": "Redshift",
    "databricks": "Databricks",
}


def open_ledger(
    context: Context, log: Any, *, ledger_conn_id: str | None, ledger_table: str, without_it: str
) -> Ledger:
    """
    Return the task's own ledger.

    :param context: The task's context. Airflow 3.3 and later has a task state store in it.
    :param log: Where to warn that nothing is kept.
    :param ledger_conn_id: A connection to a database with a ``common.sql`` hook, None for the task state store.
    :param ledger_table: The table in that database.
    :param without_it: What a retry does without a ledger.
    :raises ValueError: The connection has no ``common.sql`` hook or leads to a column store, or the table is no name.
    """
    if ledger_conn_id is not None:
        return open_sql_ledger(LedgerAddress.of_task(context, ledger_conn_id, ledger_table))
    store = context.get("task_state_store")
    if store is not None:
        return TaskStateLedger(store)
    log.warning(
        "No task state store in this Airflow (3.3 and later have one), and no ledger_conn_id: nothing is kept. %s",
        without_it,
    )
    return InProcessLedger()


def open_sql_ledger(address: LedgerAddress) -> Ledger:
    """
    Open the SQL ledger of a capture.

    :raises ValueError: The connection has no ``common.sql`` hook or leads to a column store, the table is no name, or
        no run is named.
    """
    from airflow_provider_leadsquared.ledgers.sql import SqlLedger

    run = _run_of_capture(address)
    return SqlLedger(_database(address), run=run, clock=_now)


def open_requests_of_captures(
    addresses: Iterable[LedgerAddress], hook: LeadSquaredHook, *, polled_by: RunOfTask
) -> dict[tuple[str, str], CaptureRequests]:
    """
    Open the requests of captures that keep them in SQL, whichever of their tries sent them.

    :param addresses: The addresses of the captures' ledgers.
    :param hook: Leads to the account that the requests were sent to.
    :param polled_by: The task that polls.
    :return: One for each table, by :attr:`LedgerAddress.table`.
    :raises ValueError: As for :func:`open_sql_ledger`.
    """
    from airflow_provider_leadsquared.ledgers.capture_requests import CaptureRequests

    tables: dict[tuple[str, str], list[RunOfTask]] = {}
    for address in addresses:
        tables.setdefault(address.table, []).append(_run_of_capture(address))
    return {
        table: CaptureRequests(
            _database(LedgerAddress(*table)),
            runs=runs,
            polled_by=polled_by,
            clock=_now,
            account=_account_and_ladder(hook),
        )
        for table, runs in tables.items()
    }


def open_sync_ledger(
    address: LedgerAddress, hook: LeadSquaredHook, *, lead_update_behavior: str | None = None
) -> SyncLedger:
    """
    Open the ledger of a sync's run.

    :param address: Names the sync and the run.
    :param hook: What the sync sends by: a sync into another account has a memory of its own.
    :param lead_update_behavior: What becomes of the values of an existing lead; None: all that is sent replaces them.
    :raises ValueError: As for :func:`open_sql_ledger`.
    """
    from airflow_provider_leadsquared.ledgers.server_clock import database_time
    from airflow_provider_leadsquared.ledgers.sync import SyncLedger

    if address.run is None:
        raise ValueError("the address of a sync's ledger must name its run; pass the sync's output as it is")
    return SyncLedger(
        _database(address),
        run=address.run,
        identity=_identity(address, hook, lead_update_behavior),
        settle_timeout=hook.account.settle_timeout,
        clock=_now,
        shared_clock=database_time,
    )


def open_requests_of_sync(addresses: Sequence[LedgerAddress], hook: LeadSquaredHook) -> OpenRequests:
    """
    Open the unsettled requests of a sync, of whichever run.

    :param addresses: The runs whose verdicts are counted; for the sync as a whole one address without a run.
    :param hook: Leads to the account that the leads were sent to.
    :raises ValueError: As for :func:`open_sql_ledger`, or the addresses are not of one sync into this account.
    """
    from airflow_provider_leadsquared.ledgers.open_requests import OpenRequests
    from airflow_provider_leadsquared.ledgers.server_clock import database_time

    account = hook.account
    others = {address.sent_to for address in addresses if address.sent_to is not None} - {account.async_url}
    if others:
        raise ValueError(
            f"the sync sent to {', '.join(sorted(others))}, but leadsquared_conn_id leads to {account.async_url}; "
            "name the sync's connection"
        )
    if len({(one.ledger_conn_id, one.ledger_table, one.sync, one.sent_by) for one in addresses}) != 1:
        raise ValueError("request_ids holds outputs of several syncs; let a sensor wait for each")
    return OpenRequests(
        _database(addresses[0]),
        identity=_identity(addresses[0], hook),
        runs=[address.run for address in addresses if address.run is not None],
        settle_timeout=account.settle_timeout,
        clock=_now,
        shared_clock=database_time,
        account=_account_and_ladder(hook, addresses[0].sent_by),
    )


def prune_ledger(ledger_conn_id: str, ledger_table: str = LEDGER_TABLE, *, retention: timedelta) -> int:
    """
    Delete lines of a ledger's result table that are older than some time, but for those that its memory needs.

    May run while syncs and captures do.

    :param ledger_conn_id: The connection of the ledger's database.
    :param ledger_table: The ledger's table.
    :param retention: How long lines are kept, 8 days at least: as long as runs may be cleared and run again, and as
        somebody may ask what became of a row.
    :return: How many lines were deleted.
    :raises ValueError: ``retention`` is too short, the connection has no ``common.sql`` hook or leads to a column
        store, or the table is no name.
    """
    from airflow_provider_leadsquared.ledgers.pruning import prune

    database = _database(LedgerAddress(ledger_conn_id, ledger_table))
    return prune(database, retention=retention.total_seconds(), now=_now())


def open_database(address: LedgerAddress) -> Database:
    """
    Open the database of a ledger, whichever tasks wrote it.

    :raises ValueError: The connection has no ``common.sql`` hook or leads to a column store, or the table is no name.
    """
    return _database(address)


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


def _run_of_capture(address: LedgerAddress) -> RunOfTask:
    if address.run is None:
        raise ValueError("the address of a capture's ledger must name its run; pass the capture's output as it is")
    return address.run


def _database(address: LedgerAddress) -> Database:
    # Imported when a ledger is opened: SQLAlchemy would slow down the parsing of every DAG file.
    from airflow_provider_leadsquared.tasks.timed_database import TimedDatabase

    hook = sql_hook(address.ledger_conn_id, "ledger_conn_id")
    if (store := _column_store(hook)) is not None:
        raise ValueError(
            f"ledger_conn_id {address.ledger_conn_id!r} leads to {store}, a column store, which is slow at single rows "
            "and has no locks for two writers. Name a connection to a row store as ledger_conn_id: Postgres, MySQL or "
            "SQLite. The rows to send may come from any database"
        )
    return TimedDatabase(hook.get_conn, table=address.ledger_table)


def _column_store(hook: DbApiHook) -> str | None:
    """Return the name of the column store that a hook leads to, None for other databases."""
    for base in type(hook).__mro__:
        if (conn_type := getattr(base, "conn_type", None)) in _COLUMN_STORES:
            return _COLUMN_STORES[conn_type]
    connection = getattr(hook, "connection", None)  # the Postgres hook reaches Redshift too
    extra = connection.extra_dejson if connection is not None else {}
    is_redshift = bool(extra.get("redshift") or extra.get("redshift-serverless"))
    return _COLUMN_STORES["redshift"] if is_redshift else None


def _identity(address: LedgerAddress, hook: LeadSquaredHook, behavior: str | None = None) -> SyncIdentity:
    """Return which sync it is. An account is known by its connection and host, for several accounts share a host."""
    from airflow_provider_leadsquared.ledgers.sync import SyncIdentity

    account = account_name(hook, address.sent_by)
    return SyncIdentity(
        sync=f"{address.sync} of {account}",
        account=account,
        moves_keys=behavior is None,
        overwrites=behavior not in KEEPING_BEHAVIORS,
        fills=behavior != "DoNotUpdate",
    )


def account_name(hook: LeadSquaredHook, sent_by: str | None = None) -> str:
    """Return by what the syncs of a ledger tell accounts apart: the connection, and the host to which it leads."""
    return f"{sent_by or hook.leadsquared_conn_id} to {hook.account.async_url}"


def _account_and_ladder(hook: LeadSquaredHook, sent_by: str | None = None) -> str:
    """Name the account and its retries: what was learnt of others counts for nothing."""
    return f"{account_name(hook, sent_by)}, retries {hook.account.ladder.as_offsets()}"


def _now() -> float:
    return time.time()
