"""Whose entries a ledger holds: one task instance of one DAG run."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_leadsquared.ledgers.column_values import digest

#: The name under which a sync keeps the counts of its end among the metadata of its run, for reports.
COUNTS = "counts"


@dataclass(frozen=True, slots=True)
class RunOfTask:
    """
    Whose entries these are.

    :param dag_id: The DAG.
    :param run_id: The DAG run.
    :param task_id: The task that sends.
    :param map_index: Which of a mapped task's instances, -1 for a task that is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @property
    def scope(self) -> str:
        """What the run's metadata are kept under."""
        return digest(self.dag_id, self.run_id, self.task_id, self.map_index)

    def scope_of_entries(self, generation: int = 0) -> str:
        """Return what the entries of a generation are kept under."""
        return digest(self.scope, generation)
