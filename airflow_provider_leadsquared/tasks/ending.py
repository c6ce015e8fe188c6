"""How a task ends: the counts in its log, its XCom, its asset events, and the error that makes it fail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import Asset, AssetAlias
from airflow.sdk.definitions.asset import BaseAsset

from airflow_provider_leadsquared.delivery.counts import NO_REASON, Counts
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsUnsent, LedgerError, TaskError
from airflow_provider_leadsquared.ledgers.runs import COUNTS
from airflow_provider_leadsquared.tasks.lineage import COUNTS_ATTRIBUTE
from airflow_provider_leadsquared.tasks.link_targets import note_lead
from airflow_provider_leadsquared.tasks.metrics import count_rows

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import Logger

    from airflow_provider_leadsquared.api.errors import ApiError
    from airflow_provider_leadsquared.delivery.entry import Entry
    from airflow_provider_leadsquared.ledgers.base import Ledger

#: How many rows an error or a log names one by one.
NAMED_ROWS = 20
#: How many reasons an error names; the log has all.
NAMED_REASONS = 3
#: How many rows the list at the end of a log names for each reason.
_NAMED_FOR_EACH = 5
#: States of rows whose lead the task has changed in the CRM, or may have changed.
_CHANGING = (State.IN_DOUBT, State.OPEN, State.CREATED, State.UPDATED, State.FAILED)


@dataclass(slots=True)
class TaskEnd:
    """
    The end of a task.

    :param task: The task.
    :param context: Its context.
    :param counts: Its rows by state.
    :param output: What it returns besides the counts.
    :param shown: Some of its rows: those that were not delivered are named in error and log, one is linked to.
    :param web_url: LeadSquared's web application, None if it is not known.
    """

    task: BaseOperator
    context: Context
    counts: Counts
    output: dict[str, Any]
    shown: Sequence[Entry] = field(default=())
    web_url: str | None = None

    def __post_init__(self) -> None:
        """Log the counts, and let all around have them: metrics, lineage, links."""
        self.task.log.info("Counts: %s", self.counts)
        note_lead(self.task, self.shown, self.web_url)
        setattr(self.task, COUNTS_ATTRIBUTE, self.counts)
        ti = self.context["ti"]
        count_rows(self.counts, dag_id=ti.dag_id, task_id=ti.task_id)

    def succeed(self) -> dict[str, Any]:
        """Put the counts into the events of the task's assets, if it may have changed a lead, and return its output."""
        output = self._output()
        if not any(self.counts.states.get(state) for state in _CHANGING):
            update_no_asset(self.task, "no lead was changed")
        for outlet in self.task.outlets:
            if isinstance(outlet, Asset):
                self.context["outlet_events"][outlet].extra["counts"] = dict(output["counts"])
        return output

    def fail_if_stopped(self, error: BaseException | None) -> None:
        """
        Push the output and raise what Airflow raised to stop the task.

        :param error: Airflow's own exception, None if there is none.
        """
        if error is not None:
            self._push()
            raise error

    def fail_if_unsent(self, unsent: int, records: str, stopped_by: ApiError | None, *, is_stopped: bool) -> None:
        """
        Fail if rows are left to send; the next try sends them.

        :param unsent: How many are left.
        :param records: What they are called, in the plural.
        :param stopped_by: What ended the sending, None if it came to its end.
        :param is_stopped: Whether Airflow stopped the task.
        :raises LeadsUnsent: There are.
        """
        if unsent:
            why = stopped_by or (
                "the task was stopped" if is_stopped else "LeadSquared has not confirmed that it accepted them"
            )
            self.fail(LeadsUnsent, f"{unsent:,} {records} are not sent or in doubt: {why}", "A retry sends just these")

    def fail_above(self, allowed_rejects: float, problem: str, next_step: str) -> None:
        """
        Fail if there are more rejects than allowed.

        :param allowed_rejects: A number of rows (``int``) or a share of the rows read (``float``).
        :param problem: What to say then.
        :param next_step: What to do then.
        :raises LeadsNotDelivered: There are.
        """
        if not self.counts.are_within(allowed_rejects):
            self.fail(LeadsNotDelivered, problem, next_step)

    def fail(
        self, kind: type[TaskError], problem: str, next_step: str, *, rows: Sequence[Entry] | None = None
    ) -> NoReturn:
        """
        Push the output, end the log with a short list of what failed, and raise an error with the counts.

        :param kind: The error.
        :param problem: What failed, the most important first: Airflow's pages show the beginning of a line.
        :param next_step: What a person does about it.
        :param rows: The rows that it is about. Default: those shown that were not delivered.
        """
        self._push()
        if rows is None:
            rows = [entry for entry in self.shown if entry.state.is_reject]
        self._log_list(problem, next_step, rows)
        raise kind(
            f"{problem}. {next_step}",
            counts=self.counts.as_dict(),
            reasons=self.counts.reasons_as_dict(),
            examples=[entry.name for entry in rows[:NAMED_ROWS]],
        )

    def _log_list(self, problem: str, next_step: str, rows: Sequence[Entry]) -> None:
        """Log what failed, how many rows for which reason with some of their names, and what to do next."""
        parts = named_by_reason(self.counts, rows)
        if not parts and rows:
            parts.append(some_of([entry.name for entry in rows], len(rows)))
        log_failure(self.task.log, problem, parts, next_step)

    def _push(self) -> None:
        """Push the output. Airflow does so only for a task that succeeds, but what was accepted must be waited for."""
        self.context["ti"].xcom_push(key="return_value", value=self._output())

    def _output(self) -> dict[str, Any]:
        return {"counts": self.counts.as_dict(), **self.output}


def note_counts(ledger: Ledger, counts: Counts, log: Any) -> None:
    """Keep the counts of a sync for reports. They are no part of the delivery, so a task does not fail for them."""
    try:
        ledger.write(metadata={COUNTS: counts.as_dict()})
    except LedgerError as error:
        log.warning("The counts are not kept for reports: %s", error)


def named_by_reason(counts: Counts, rows: Sequence[Entry]) -> list[str]:
    """
    Return the rejects by state and reason, most frequent first, each with some names of rows.

    :param counts: All rows by state.
    :param rows: Some of them, of every reason a few.
    """
    parts = []
    for (state, reason), count in counts.ordered_reasons():
        names = [entry.name for entry in rows if (entry.state, entry.reason_class or NO_REASON) == (state, reason)]
        parts.append(f"{count:,} {state.value}, {reason}: {some_of(names, count)}")
    return parts


def log_failure(log: Logger, problem: str, parts: Iterable[str], next_step: str) -> None:
    """
    End a log with a short list, for a person who opens it at its end.

    :param problem: What failed.
    :param parts: The parts of it, each with how many rows and some of their names.
    :param next_step: What to do next.
    """
    log.error("Failed: %s", problem)
    for part in parts:
        log.error("- %s", part)
    log.error("Next: %s", next_step)


def some_of(names: Sequence[str], count: int) -> str:
    """
    Return some names, and how many there are besides.

    :param names: Names of some rows.
    :param count: How many rows there are.
    """
    named = names[:_NAMED_FOR_EACH]
    left = count - len(named)
    return ", ".join([*named, *([f"{left:,} more" if named else "not named here"] if left > 0 else [])])


def update_no_asset(task: BaseOperator, why: str) -> None:
    """
    Let a task that succeeds update no asset. Airflow updates all that are among the task's outlets when it ends.

    :param why: The reason, for the log.
    """
    kept = [outlet for outlet in task.outlets if not isinstance(outlet, BaseAsset) or isinstance(outlet, AssetAlias)]
    if len(kept) < len(task.outlets):
        task.log.info("No asset is updated: %s", why)
        task.outlets = kept


def may_skip(context: Context) -> bool:
    """
    Tell whether a task that has nothing to send may skip.

    An instance of a mapped task may not: the sensor behind them would be skipped with it, and nobody would wait for
    what the other instances have sent.
    """
    map_index = context["ti"].map_index
    return map_index is None or map_index < 0


def failed_upstream(task: BaseOperator, context: Context) -> list[str]:
    """
    Return the tasks right before this one that failed.

    A DAG run has the state of its last tasks, so a task that runs after a failure and succeeds makes the run succeed.
    """
    states = _states_upstream(task, context)
    return sorted(name for name, state in states.items() if state in ("failed", "upstream_failed"))


def skipped_upstream(task: BaseOperator, context: Context) -> list[str]:
    """Return the tasks right before this one that were skipped."""
    return sorted(name for name, state in _states_upstream(task, context).items() if state == "skipped")


def _states_upstream(task: BaseOperator, context: Context) -> dict[str, str | None]:
    if not task.upstream_task_ids:
        return {}
    ti: Any = context["ti"]
    upstream = sorted(task.upstream_task_ids)
    states: dict[str, str | None] = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=upstream).get(
        ti.run_id, {}
    )
    # Instances of a mapped task are named task_0, task_1 and so on. Behind the instance of the same number, only that
    # one counts.
    own = {f"{task_id}_{ti.map_index}" for task_id in upstream} & states.keys()
    return {name: states[name] for name in own or states}
