"""What a state means for a person, and what to do next: one text for each, for the command line and for alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import UNKNOWN_REQUEST
from airflow_provider_leadsquared.reports.histories import History, Step

#: What to do about a row that LeadSquared rejected, by its name of the error.
_REJECTED = {
    "MXDuplicateEntryException": "another lead has this e-mail or phone: merge the two in the CRM, then replay the row",
    "MXDuplicateKeyException": "another lead has this e-mail or phone: merge the two in the CRM, then replay the row",
    "MXInvalidEntityReferenceException": "the lead is gone or was merged: correct the ProspectID in the source",
}
_NEXT: Mapping[State, str] = {
    State.INVALID: "correct the row in the source; the next run sends it",
    State.SUPERSEDED: "nothing, if the two rows are one person; else give each a match key of its own",
    State.UNCHANGED: "nothing",
    State.WAITING: "nothing: the next run sends its newest value",
    State.UNSENT: "nothing by hand: a retry of the task, or the next run, sends it",
    State.IN_DOUBT: "nothing by hand if the row has a match key: a retry or the next run settles it; else find the "
    "lead in the CRM, and do not send it again",
    State.OPEN: "wait: a sensor, or the sync's next run, asks for it. Do not send the lead again",
    State.CREATED: "nothing",
    State.UPDATED: "nothing",
    State.REJECTED: "correct the row in the source, or remove the cause in the CRM and replay it",
    State.FAILED: "nothing by hand in a sync: its next run sends it; of a capture, send the row again",
}
_WHERE: Mapping[State, str] = {
    State.INVALID: "was not sent: our own check refused it",
    State.SUPERSEDED: "was not sent: another row is the same person",
    State.UNCHANGED: "was not sent: the CRM has its values",
    State.WAITING: "was not sent: an earlier sending for its lead is not settled",
    State.UNSENT: "is not sent yet",
    State.IN_DOUBT: "was sent, or may have been, and no response came",
    State.OPEN: "is accepted by LeadSquared, and not decided yet",
    State.CREATED: "is in the CRM: a new lead",
    State.UPDATED: "is in the CRM: an existing lead was changed",
    State.REJECTED: "is not in the CRM as it was sent: LeadSquared rejected it and does not try again",
    State.FAILED: "is not in the CRM as it was sent: a system error outlasted LeadSquared's retries",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """
    Where a row stands.

    :param where: What became of it, without its name: ``is in the CRM: a new lead``.
    :param why: Why, None where there is nothing to explain.
    :param next_step: What to do.
    :param is_well: Whether nothing is left to do.
    """

    where: str
    why: str | None
    next_step: str
    is_well: bool


def next_step(state: State, reason_class: str | None = None) -> str:
    """Return what to do about rows in a state for a reason."""
    if state is State.REJECTED and reason_class in _REJECTED:
        return _REJECTED[reason_class]
    return _NEXT[state]


def tone_of(state: State) -> str:
    """Return how a state is shown: ``bad`` needs a person, ``wait`` is under way, ``good`` is delivered; ``rest``."""
    if state.is_reject:
        return "bad"
    return "good" if state.is_confirmed else "wait" if state.is_open or state.is_to_send else "rest"


def standing_of(history: History) -> Standing | None:
    """Return where a row stands by its last line, None if the ledger has none."""
    if not history.steps:
        return None
    last = history.steps[-1]
    if last.state is State.FAILED and last.reason_class == UNKNOWN_REQUEST:
        where = "is not in the CRM as it was sent: LeadSquared does not know the request any more"
    else:
        where = _WHERE[last.state]
    is_well = last.state.is_confirmed or last.state in (State.UNCHANGED, State.SUPERSEDED)
    return Standing(where, _why(last), next_step(last.state, last.reason_class), is_well)


def _why(step: Step) -> str | None:
    parts = [part for part in (step.reason_class, step.reason) if part]
    return ": ".join(parts) or None
