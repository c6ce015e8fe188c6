"""Where a task keeps its SQL ledger, as plain JSON that another task can open it by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.ledgers.runs import RunOfTask

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

#: The name of the ledger table, where an author names none.
LEDGER_TABLE = "leadsquared_ledger"
_RUN = ("dag_id", "run_id", "task_id", "map_index")


def run_of(context: Context) -> RunOfTask:
    """Return which task instance of which DAG run it is that runs."""
    ti = context["ti"]
    return RunOfTask(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index)


@dataclass(frozen=True, slots=True)
class LedgerAddress:
    """
    The address of a SQL ledger.

    :param ledger_conn_id: The connection of its database.
    :param ledger_table: Its table.
    :param run: Whose entries are meant; None for a sync as a whole.
    :param sync: The name of the sync, None for a plain capture.
    :param sent_to: Scheme and async host of the account that the sync sent to, where that is known.
    :param sent_by: The LeadSquared connection that the sync sent by, where that is known.
    :param number: The number of the last intent or verdict when the sync ended, where that is known.
    :param receipts: How many receipts a capture's output leaves to the ledger, None if it lists them.
    """

    ledger_conn_id: str
    ledger_table: str = LEDGER_TABLE
    run: RunOfTask | None = None
    sync: str | None = None
    sent_to: str | None = None
    sent_by: str | None = None
    number: int | None = None
    receipts: int | None = None

    @classmethod
    def of_task(
        cls,
        context: Context,
        ledger_conn_id: str,
        ledger_table: str,
        *,
        sync: str | None = None,
        hook: LeadSquaredHook | None = None,
    ) -> LedgerAddress:
        """
        Return the address of the task that runs.

        :param sync: The name of the sync that the task runs, None for a plain capture.
        :param hook: What a sync sends by.
        """
        run = run_of(context)
        if hook is None:
            return cls(ledger_conn_id, ledger_table, run, sync)
        return cls(ledger_conn_id, ledger_table, run, sync, hook.account.async_url, hook.leadsquared_conn_id)

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> LedgerAddress:
        """
        Read what :meth:`as_json` wrote, or what an author wrote: ``{"ledger_conn_id": …, "sync": …}``.

        :raises ValueError: Something is missing.
        """
        if not isinstance(given, Mapping) or not given.get("ledger_conn_id"):
            raise ValueError('a ledger is named by its connection and its sync: {"ledger_conn_id": …, "sync": …}')
        names = ("ledger_conn_id", "ledger_table", "sync", "sent_to", "sent_by", "number", "receipts", *_RUN)
        if unknown := [str(name) for name in given if name not in names]:
            raise ValueError(f"the address of a ledger has no {', '.join(unknown)}; it has {', '.join(names)}")
        for name in set(names) & set(given) - {"map_index", "number", "receipts"}:
            if not (isinstance(given[name], str) and given[name]):
                raise ValueError(f"{name} in the address of a ledger must be a text; leave it out for the default")
        has_run = [name for name in _RUN if name in given]
        if "run_id" in has_run and len(has_run) < len(_RUN):
            raise ValueError(f"the address of a ledger names {', '.join(has_run)}, but not all of {', '.join(_RUN)}")
        return cls(
            given["ledger_conn_id"],
            given.get("ledger_table", LEDGER_TABLE),
            RunOfTask(**{name: given[name] for name in _RUN}) if "run_id" in has_run else None,
            given.get("sync"),
            given.get("sent_to"),
            given.get("sent_by"),
            given.get("number"),
            given.get("receipts"),
        )

    @property
    def table(self) -> tuple[str, str]:
        """The connection and the table, which several runs may share."""
        return self.ledger_conn_id, self.ledger_table

    def as_json(self) -> dict[str, Any]:
        """Return the address as plain JSON; what is None is left out."""
        address: dict[str, Any] = {"ledger_conn_id": self.ledger_conn_id, "ledger_table": self.ledger_table}
        if self.run is not None:
            address |= {name: getattr(self.run, name) for name in _RUN}
        for name in ("sync", "sent_to", "sent_by", "number", "receipts"):
            if getattr(self, name) is not None:
                address[name] = getattr(self, name)
        return address
