"""A notifier that says what became of leads, and lets any other notifier or function send it."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseNotifier
from asgiref.sync import sync_to_async

from airflow_provider_leadsquared.api.errors import LeadSquaredError
from airflow_provider_leadsquared.tasks.ledger_address import LEDGER_TABLE, LedgerAddress

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_leadsquared.reports.runs import Night
    from airflow_provider_leadsquared.tasks.alerts import Alert

#: What a target may be: another notifier, a function that takes the alert, or the import path of either's maker.
Target = BaseNotifier | Callable[..., Any] | str


class LeadSquaredNotifier(BaseNotifier):
    """
    Build text and counts from how a delivery ended, and hand them to whoever sends them.

    As ``on_failure_callback`` or ``on_success_callback`` of a capture, sync or sensor it takes counts, reasons and row
    keys from the task's error or XCom. Anywhere else, it reads them from the ledger of the run, if ``ledger_conn_id``
    is given: in a deadline alert, as a callback of a DAG, and after a task whose process was ended from outside, of
    which Airflow has no error. It never holds lead data or keys.

    A target that is away, or fails, is logged: nothing that happens here changes the colour of a task.

    :param to: Who sends it, one or several. A notifier: its templates may say ``{{ leadsquared.text }}``,
        ``{{ leadsquared.title }}``, ``{{ leadsquared.counts.rejected }}`` and so on. A function: it is called with the
        :class:`~airflow_provider_leadsquared.tasks.alerts.Alert`, may be asynchronous, and may return a notifier, which
        is then called. A text: the import path of such a function, which a deadline alert needs. Default: nobody, the
        alert is in the log.
    :param title: The first line; templated. Default: which task, or which run, and how it ended.
    :param ledger_conn_id: The connection of the ledger's database, where the outcome is read from it; templated.
    :param ledger_table: The ledger table; templated.
    :param context: Airflow's own argument.
    :raises ValueError: ``to`` is no target.
    """

    template_fields: Sequence[str] = ("title", "ledger_conn_id", "ledger_table")

    def __init__(
        self,
        *,
        to: Target | Sequence[Target] = (),
        title: str | None = None,
        ledger_conn_id: str | None = None,
        ledger_table: str = LEDGER_TABLE,
        context: Context | None = None,
    ) -> None:
        super().__init__(context)
        self.to: list[Target] = list(to) if isinstance(to, (list, tuple)) else [cast("Target", to)]
        if not all(isinstance(one, (BaseNotifier, str)) or callable(one) for one in self.to):
            raise ValueError("to must be a notifier, a function, the import path of a function, or a list of these")
        self.title = title
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table

    def notify(self, context: Context) -> None:
        """Send the alert; see the class."""
        alert = self._logged_alert(context)
        for target in self.to:
            try:
                sender = self._sender(target, alert, context)
                if _is_pending(sender):
                    sender = asyncio.run(_awaited(sender))
                if isinstance(sender, BaseNotifier):
                    prepared = _prepared(sender, alert, context)
                    prepared(prepared.context)
            except Exception as error:
                self._log_failure(target, error)

    async def async_notify(self, context: Context) -> None:
        """Send the alert from a triggerer; see the class."""
        alert = await sync_to_async(self._logged_alert)(context)
        for target in self.to:
            try:
                sender = await sync_to_async(self._sender)(target, alert, context)
                if _is_pending(sender):
                    sender = await sender
                if isinstance(sender, BaseNotifier):
                    await _notified(_prepared(sender, alert, context))
            except Exception as error:
                self._log_failure(target, error)

    def _logged_alert(self, context: Context) -> Alert:
        alert = self._alert(context)
        if not self.to:
            self.log.warning("%s", alert.text)
        return alert

    def _alert(self, context: Context) -> Alert:
        """Build the alert; whatever goes wrong, there is one."""
        from airflow_provider_leadsquared.tasks.alerts import Alert, alert_of_run, alert_of_task

        given = cast("Mapping[str, Any]", context)
        # A task's own process always sets this key; what ends a task or a run from outside does not.
        if "exception" in given:
            alert = alert_of_task(given)
        else:
            dag_id, run_id = _run_of(given)
            title = f"LeadSquared: {_what_happened(given, dag_id)} (run {run_id})"
            try:
                alert = alert_of_run(self._night(dag_id, run_id), title) if self.ledger_conn_id else Alert(title)
            except Exception as error:
                self.log.exception("The alert has no counts")
                shown = str(error) if isinstance(error, (LeadSquaredError, ValueError)) else type(error).__name__
                alert = Alert(title, error=f"the ledger could not be read: {shown}")
        return alert if self.title is None else replace(alert, title=self.title)

    def _night(self, dag_id: Any, run_id: Any) -> Night | None:
        """Return what the ledger holds of a run, None if it does not know it."""
        from airflow_provider_leadsquared.reports.runs import read_night
        from airflow_provider_leadsquared.tasks.ledgers import open_database

        database = open_database(LedgerAddress(str(self.ledger_conn_id), self.ledger_table))
        with database.existing() as connection:
            return read_night(connection, database.tables, dag_id, run_id)

    def _sender(self, target: Target, alert: Alert, context: Context) -> Any:
        """Return the notifier that sends the alert, or what a function has returned that was called with it."""
        if isinstance(target, str):
            module, _, name = target.rpartition(".")
            target = cast("Callable[..., Any]", getattr(import_module(module), name))
        return target if isinstance(target, BaseNotifier) else target(alert)

    def _log_failure(self, target: Target, error: BaseException) -> None:
        name = target if isinstance(target, str) else getattr(target, "__name__", type(target).__name__)
        # Not its text, which may hold the target's address with a token.
        self.log.error("The alert was not sent by %s: %s. The task is not affected", name, type(error).__name__)


def _prepared(notifier: BaseNotifier, alert: Alert, context: Context) -> BaseNotifier:
    """Return a notifier whose templates can name the alert; a copy, for rendering changes it."""
    prepared = copy.copy(notifier)
    prepared.context = cast("Context", {**context, "leadsquared": alert.as_dict()})
    return prepared


async def _notified(notifier: BaseNotifier) -> None:
    """Let a notifier send, in a thread if it cannot do so otherwise."""
    if type(notifier).async_notify is BaseNotifier.async_notify:
        await sync_to_async(notifier)(notifier.context)
    else:
        await notifier


def _is_pending(sender: Any) -> bool:
    """Tell whether an asynchronous function has returned this; notifiers can be awaited, too."""
    return inspect.isawaitable(sender) and not isinstance(sender, BaseNotifier)


async def _awaited(result: Any) -> Any:
    return await result


def _run_of(given: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the ids of DAG and run from whatever a callback is given: a task instance, a run, or a DAG alone."""
    holders = [one for one in (given.get("ti"), given.get("dag_run"), given.get("dag")) if one is not None]
    dag_id, run_id = (
        next((found for one in holders if (found := _field_of(one, name)) is not None), None)
        for name in ("dag_id", "run_id")
    )
    return dag_id, run_id or given.get("run_id")


def _what_happened(given: Mapping[str, Any], dag_id: Any) -> str:
    """Say what Airflow lets a callback know that no task's own process has called."""
    reason, ti = given.get("reason"), given.get("ti")
    if reason is not None:
        return f"{dag_id} succeeded" if reason == "success" else f"{dag_id} failed: {reason}"
    return f"{dag_id} needs attention" if ti is None else f"{dag_id}.{ti.task_id} was ended from outside"


def _field_of(holder: Any, name: str) -> Any:
    """Return a field of a task instance, DAG or DAG run; a deadline's context has the run as a dict."""
    if isinstance(holder, Mapping):
        return holder.get(name) or holder.get(f"dag_{name}")
    return getattr(holder, name, None)
