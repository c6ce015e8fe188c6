"""
What a task tells OpenLineage: what it read, and what became of the rows in the account's leads.

Nothing of OpenLineage is imported where Airflow's provider for it is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_leadsquared.delivery.counts import Counts

#: The attribute of a task that holds its counts. OpenLineage asks in the task's process, when it has ended.
COUNTS_ATTRIBUTE = "leadsquared_counts"
#: The facet with the rows by state.
ROWS_FACET = "leadsquared_rows"


def lineage_of(task: Any, inputs: Callable[[], Sequence[Any]] = list) -> Any:
    """
    Return an ``OperatorLineage`` for a task that has ended; None where OpenLineage is not installed.

    :param task: The task.
    :param inputs: Returns the datasets that it read; called only where OpenLineage is installed.
    """
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage
    except ImportError:
        return None
    from airflow.providers.common.compat.openlineage.facet import OutputDataset

    output = OutputDataset(
        namespace=f"leadsquared://{task.leadsquared_conn_id}",
        name="leads",
        outputFacets=_facets(getattr(task, COUNTS_ATTRIBUTE, None)),
    )
    return OperatorLineage(inputs=list(inputs()), outputs=[output])


def tables_read(task: Any) -> Sequence[Any]:
    """
    Return the tables that a query reads, as Airflow's own SQL operator tells them.

    :param task: A task with ``sql`` and ``conn_id``.
    """
    from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

    query = SQLExecuteQueryOperator(task_id=task.task_id, sql=task.sql, conn_id=task.conn_id)
    try:
        lineage = query.get_openlineage_facets_on_start()
    except Exception as error:
        # The database or its driver may say anything; what was written is told all the same.
        task.log.info("The tables that the query reads are not told to OpenLineage: %s", type(error).__name__)
        return []
    return [] if lineage is None else lineage.inputs


def file_read(path: str) -> Sequence[Any]:
    """Return a file as a dataset."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    return [Dataset(namespace="file", name=path)]


def _facets(counts: Counts | None) -> dict[str, Any]:
    """Return the rows by state, and how many are confirmed to be in the CRM."""
    if counts is None:
        return {}
    from airflow.providers.common.compat.openlineage.facet import OutputStatisticsOutputDatasetFacet
    from openlineage.client.facet_v2 import OutputDatasetFacet

    facets: dict[str, Any] = {ROWS_FACET: OutputDatasetFacet().with_additional_properties(**counts.as_dict())}
    confirmed = sum(count for state, count in counts.states.items() if state.is_confirmed)
    if confirmed:
        facets["outputStatistics"] = OutputStatisticsOutputDatasetFacet(rowCount=confirmed)
    return facets
