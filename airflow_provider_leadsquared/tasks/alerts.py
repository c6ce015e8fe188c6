"""What an alert says: text and counts from how a task ended, or from what the ledger holds of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.errors import LeadSquaredError
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.exceptions import TaskError
from airflow_provider_leadsquared.reports.advice import next_step

if TYPE_CHECKING:
    from airflow_provider_leadsquared.reports.runs import Night

#: How many row keys an alert names.
_EXAMPLES = 5
#: How many reasons an alert names; the rest is in the log and in the ledger.
_REASONS = 5


@dataclass(frozen=True, slots=True)
class Alert:
    """
    What happened, for a person and for a program.

    :param title: One line: which task or run, and how it ended.
    :param counts: Rows by state: ``{"read": 3, "created": 2, "rejected": 1}``; empty where none were counted.
    :param reasons: Rows that were not delivered by state and reason: ``{"rejected: MXDuplicateEntryException": 1}``.
    :param examples: Names of some of these rows: row keys, or ``row 7`` where there are none.
    :param error: What the task's error says, None if it ended well.
    :param next_steps: What to do about the reasons, most frequent first.
    """

    title: str
    counts: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    examples: Sequence[str] = ()
    error: str | None = None
    next_steps: Sequence[str] = ()

    @property
    def text(self) -> str:
        """All of it as lines of plain text."""
        lines = [self.title]
        if self.counts:
            lines.append("Rows: " + ", ".join(f"{name} {count:,}" for name, count in self.counts.items()))
        if self.error is not None:
            lines.append(f"Error: {self.error}")
        lines += [f"- {count:,} {reason}" for reason, count in list(self.reasons.items())[:_REASONS]]
        if self.examples:
            lines.append("Such as: " + ", ".join(self.examples[:_EXAMPLES]))
        lines += [f"Next: {step}" for step in self.next_steps[:_REASONS]]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain JSON."""
        return {
            "title": self.title,
            "text": self.text,
            "counts": dict(self.counts),
            "reasons": dict(self.reasons),
            "examples": list(self.examples),
            "error": self.error,
            "next_steps": list(self.next_steps),
        }


def alert_of_task(context: Mapping[str, Any]) -> Alert:
    """
    Build an alert from how a task ended.

    Errors of others than this package are named by their class only: their texts may hold keys or lead data.

    :param context: The context that Airflow hands to a callback of a task.
    """
    error = context.get("exception")
    ti = context["ti"]
    ended = "succeeded" if error is None else "failed"
    title = f"LeadSquared: {ti.dag_id}.{ti.task_id} {ended} (run {ti.run_id})"
    if isinstance(error, TaskError):
        counts, reasons, examples = error.counts, error.reasons, error.examples
    else:
        counts, reasons, examples = _pushed_counts(ti), {}, []
    shown = None if error is None else str(error) if isinstance(error, LeadSquaredError) else type(error).__name__
    ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return Alert(title, counts, ordered, examples, shown, _next_steps(ordered))


def alert_of_run(night: Night | None, title: str) -> Alert:
    """
    Build an alert from what a ledger holds of a run.

    :param night: The run; None if the ledger does not know it.
    :param title: What happened.
    """
    if night is None:
        return Alert(title, error="the ledger does not know this run: nothing was sent yet")
    reasons = {
        f"{one.state.value}: {one.reason_class or 'no reason given'}": one.count
        for one in night.reasons
        if one.state.is_reject
    }
    examples = [name for one in night.reasons if one.state.is_reject for name in one.examples]
    counts = {state.value: count for state, count in night.counts.items()}
    return Alert(title, counts, reasons, examples, None, _next_steps(reasons))


def _pushed_counts(ti: Any) -> dict[str, int]:
    """Return the counts that the task put into its XCom; none if it did not get so far."""
    try:
        output = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)
    except Exception:  # Airflow's own errors: an alert without counts is better than none
        return {}
    counts = output.get("counts") if isinstance(output, Mapping) else None
    return dict(counts) if isinstance(counts, Mapping) else {}


def _next_steps(reasons: Mapping[str, int]) -> list[str]:
    """Return what to do about reasons, each step once."""
    steps: dict[str, None] = {}
    for reason in reasons:
        state, _, reason_class = reason.partition(": ")
        if state in {one.value for one in State}:
            steps[next_step(State(state), reason_class)] = None
    return list(steps)
