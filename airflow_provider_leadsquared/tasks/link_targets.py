"""What a task notes for its extra links: its deliveries, a lead to look at, and the error that ended it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.configuration import conf

from airflow_provider_leadsquared import exceptions
from airflow_provider_leadsquared.tasks.deliveries_page import ledger_name, run_path

if TYPE_CHECKING:
    from airflow_provider_leadsquared.delivery.entry import Entry
    from airflow_provider_leadsquared.ledgers.runs import RunOfTask
    from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress

#: Attributes of a task that hold what was noted. Airflow asks its links when it ends, in the same process.
LEAD_URL, ERROR_NAME, DELIVERIES_URL = "leadsquared_lead_url", "leadsquared_error", "leadsquared_deliveries_url"


def note_deliveries(task: Any, run: RunOfTask, ledgers: Sequence[LedgerAddress]) -> None:
    """
    Note where is shown what became of the task's rows.

    That is the page in Airflow's UI, filtered to the run; where no SQL ledger has the rows, the XCom of the sensor,
    which returns each row's result.

    :param task: The task.
    :param run: Its run.
    :param ledgers: The SQL ledgers, each with the run that is meant; of several the page shows the first one's DAG run.
    """
    if ledgers:
        first = ledgers[0]
        path = run_path(ledger_name(*first.table), first.run, is_whole=len(ledgers) > 1)
    else:
        path = _results_path(task, run)
    setattr(task, DELIVERIES_URL, f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/{path}")


def note_lead(task: Any, entries: Sequence[Entry], web_url: str | None) -> None:
    """
    Note the page of a lead in LeadSquared's web application: the first that was not delivered, else the first that was.

    :param task: The task.
    :param entries: Its rows; those without a lead id do not count.
    :param web_url: The web application, None if it is not known: then there is no page.
    """
    known = [entry for entry in entries if entry.lead_id is not None]
    first = min(known, key=lambda entry: not entry.state.is_reject, default=None)
    if first is not None and web_url is not None:
        setattr(task, LEAD_URL, f"{web_url}/LeadManagement/LeadDetails?LeadID={_quoted(str(first.lead_id))}")


@contextmanager
def noted_error(task: Any) -> Iterator[None]:
    """Note the public name of an error of this package that ends the task."""
    try:
        yield
    except exceptions.LeadSquaredError as error:
        names = [kind.__name__ for kind in type(error).__mro__ if kind.__name__ in exceptions.__all__]
        setattr(task, ERROR_NAME, names[0])
        raise


def _results_path(task: Any, run: RunOfTask) -> str:
    """Return the path of the XCom of a sensor: of the task, or of the one right behind it; else of the task itself."""
    path = f"dags/{_quoted(run.dag_id)}/runs/{_quoted(run.run_id)}/tasks"
    has_others = bool(task.downstream_task_ids) and not _returns_results(task)
    for one in task.downstream_list if has_others else ():
        if _returns_results(one):
            return f"{path}/{_quoted(one.task_id)}/{'mapped' if one.is_mapped else 'xcom'}"
    instance = f"/mapped/{run.map_index}" if run.map_index >= 0 else ""
    return f"{path}/{_quoted(run.task_id)}{instance}/xcom"


def _returns_results(task: Any) -> bool:
    """Tell whether a task, mapped or not, is a sensor that returns each row's result: known by its argument."""
    return "request_ids" in task.template_fields


def _quoted(text: str) -> str:
    return quote(text, safe="")
