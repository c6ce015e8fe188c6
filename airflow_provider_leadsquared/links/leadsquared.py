"""Extra links of tasks: from a task to what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

from airflow_provider_leadsquared.links.documentation import page_of_error
from airflow_provider_leadsquared.tasks.link_targets import DELIVERIES_URL, ERROR_NAME, LEAD_URL

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class DeliveriesLink(BaseOperatorLink):
    """
    What became of the task's rows: their page in Airflow's UI, filtered to the run.

    Of a capture that keeps its ledger in Airflow it is the XCom of the sensor behind it, which has each row's result.
    """

    name = "Deliveries"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the page; nothing where the task ended before it knew its ledger."""
        return str(getattr(operator, DELIVERIES_URL, ""))


class LeadLink(BaseOperatorLink):
    """A lead of the task in LeadSquared's web application: the first not delivered, else the first delivered."""

    name = "Lead in LeadSquared"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the lead's page; nothing where the task knows of no lead, or not of its web application."""
        return str(getattr(operator, LEAD_URL, ""))


class ErrorLink(BaseOperatorLink):
    """What the documentation says of the error that ended the task."""

    name = "About this error"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the error's section of the documentation; nothing where no error of this package ended the task."""
        name = getattr(operator, ERROR_NAME, None)
        return "" if name is None else page_of_error(name)
