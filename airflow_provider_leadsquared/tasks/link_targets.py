"""What a task notes for its extra links: a lead to look at, and the error that ended it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_leadsquared import exceptions

if TYPE_CHECKING:
    from airflow_provider_leadsquared.delivery.entry import Entry

#: Attributes of a task that hold what was noted. Airflow asks its links when it ends, in the same process.
LEAD_URL, ERROR_NAME = "leadsquared_lead_url", "leadsquared_error"


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
        setattr(task, LEAD_URL, f"{web_url}/LeadManagement/LeadDetails?LeadID={quote(str(first.lead_id), safe='')}")


@contextmanager
def noted_error(task: Any) -> Iterator[None]:
    """Note the public name of an error of this package that ends the task."""
    try:
        yield
    except exceptions.LeadSquaredError as error:
        names = [kind.__name__ for kind in type(error).__mro__ if kind.__name__ in exceptions.__all__]
        setattr(task, ERROR_NAME, names[0])
        raise
