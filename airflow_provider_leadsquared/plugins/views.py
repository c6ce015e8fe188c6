"""What each page shows: read from the ledger by the same reports as the command line's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.plugins.charts import Chart, spread, stacked
from airflow_provider_leadsquared.plugins.problems import unknown_run
from airflow_provider_leadsquared.plugins.reading import Asked, open_place, row_place, run_place, text_of
from airflow_provider_leadsquared.reports.advice import next_step, standing_of
from airflow_provider_leadsquared.reports.formats import moment
from airflow_provider_leadsquared.reports.histories import read_history
from airflow_provider_leadsquared.reports.next_polls import next_polls
from airflow_provider_leadsquared.reports.nights import list_dags, list_nights
from airflow_provider_leadsquared.reports.open_rows import OpenRow, count_open, list_open
from airflow_provider_leadsquared.reports.places import OpenPlace, RowPlace
from airflow_provider_leadsquared.reports.runs import Night, Reject, Run, list_rejects, read_night, runs_of
from airflow_provider_leadsquared.reports.verdict_times import read_verdict_times

#: DAG runs on a page, rows on a page, and lines of a row key's history.
NIGHTS, ROWS, STEPS = 10, 50, 100
#: Rows that were not delivered, on the page of a DAG run.
_REJECTS = 20
#: Rows of each DAG run on the page of all that its time to verdict is taken from.
_SAMPLE = 100
#: From the bottom of a bar to its top: what was delivered, what is under way, what was not sent, what was refused.
#: Rows that had not changed have no part, for they would dwarf all others.
BAR_STATES = (
    State.CREATED,
    State.UPDATED,
    State.OPEN,
    State.UNSENT,
    State.IN_DOUBT,
    State.WAITING,
    State.SUPERSEDED,
    State.REJECTED,
    State.FAILED,
    State.INVALID,
)


@dataclass(frozen=True, slots=True)
class RunFilter:
    """
    A DAG run, or a part of it.

    :param dag_id: The DAG.
    :param run_id: The DAG run.
    :param task_id: One task of it, None for all.
    :param map_index: One instance of it, None for all.
    """

    dag_id: str
    run_id: str
    task_id: str | None = None
    map_index: int | None = None

    def as_query(self) -> dict[str, Any]:
        """Return it as a part of an address."""
        return {
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "task_id": self.task_id,
            "map_index": self.map_index,
        }


def nights_page(asked: Asked, dag_id: str | None, before: str | None) -> dict[str, Any]:
    """Return all DAG runs, newest first, and what is open."""
    place = run_place(before)
    with asked.reading() as (connection, tables):
        dags = [one for one in list_dags(connection, tables) if one in asked.readable]
        wanted = [one for one in dags if dag_id in (None, one)]
        page = list_nights(connection, tables, dag_ids=wanted, before=place, limit=NIGHTS)
        times = [
            read_verdict_times(connection, tables, [run.scope for run in night.runs], sample=_SAMPLE)
            for night in page.nights
        ]
        still_open = count_open(connection, tables, dag_ids=wanted)
    return {
        "dags": dags,
        "dag_id": dag_id,
        "nights": list(zip(page.nights, times, strict=True)),
        "chart": _chart(page.nights),
        "states": _states(page.nights),
        "older": None if page.older is None else text_of(page.older),
        "is_first": place is None,
        "still_open": still_open,
        "now": time.time(),
    }


def run_page(asked: Asked, which: RunFilter) -> dict[str, Any]:
    """
    Return a DAG run: what became of its rows, why, and how long it took.

    :raises PageError: It is not known, or not of a DAG that the user may read.
    """
    night, times = None, None
    rejects: list[tuple[RunOfTask, Reject]] = []
    if which.dag_id in asked.readable:
        with asked.reading() as (connection, tables):
            night = read_night(connection, tables, **which.as_query())
            if night is not None:
                times = read_verdict_times(connection, tables, [run.scope for run in night.runs])
                rejects = _first_rejects(connection, tables, night)
    if night is None or times is None:
        raise unknown_run(which.dag_id, which.run_id, which.task_id)
    classes = spread(times.seconds)
    return {
        "which": which,
        "night": night,
        "total": sum(night.counts.values()),
        "reasons": [(one, next_step(one.state, one.reason_class)) for one in night.reasons],
        "rejects": rejects,
        "most": max((one.count for one in night.reasons), default=0),
        "times": times,
        "classes": classes,
        "times_chart": stacked([(name, {"rows": count}) for name, count in classes]),
    }


def rows_page(
    asked: Asked, which: RunFilter, state: State, reason: str | None, after: str | None, from_key: str | None
) -> dict[str, Any]:
    """
    Return rows of a DAG run that are in one state, each with its reason.

    :param from_key: Only rows from this row key on, in the order of row keys.
    :raises PageError: As :func:`run_page`.
    """
    runs: list[Run] = []
    place = row_place(after)
    if which.dag_id in asked.readable:
        with asked.reading() as (connection, tables):
            runs = runs_of(connection, tables, **which.as_query())
            rows, older = _rows(connection, tables, runs, state, reason, place, from_key)
    if not runs:
        raise unknown_run(which.dag_id, which.run_id, which.task_id)
    return {
        "which": which,
        "state": state,
        "reason": reason,
        "rows": rows,
        "from_key": from_key,
        "step": next_step(state, reason),
        "older": older,
        "is_first": place is None,
    }


def open_page(asked: Asked, after: str | None) -> dict[str, Any]:
    """Return requests without a verdict, with the time of their next poll."""
    now = time.time()
    place = open_place(after)
    with asked.reading() as (connection, tables):
        dags = [one for one in list_dags(connection, tables) if one in asked.readable]
        rows = list_open(connection, tables, dag_ids=dags, after=place, limit=ROWS + 1)
        polls = next_polls(connection, tables, rows[:ROWS], now)
        still_open = count_open(connection, tables, dag_ids=dags)
    return {
        "rows": list(zip(rows[:ROWS], polls, strict=True)),
        "still_open": still_open,
        "older": _after(rows) if len(rows) > ROWS else None,
        "is_first": place is None,
        "now": now,
    }


def key_page(asked: Asked, key: str) -> dict[str, Any]:
    """Return where a row stands, and its history."""
    with asked.reading() as (connection, tables):
        # No ledger holds NUL: Postgres could not.
        history = read_history(connection, tables, key.replace("\0", ""), dag_ids=asked.readable)
    return {
        "key": key,
        "standing": standing_of(history),
        "steps": history.steps[: -STEPS - 1 : -1],
        "left_out": max(len(history.steps) - STEPS, 0),
        "unsettled": [since for one in history.remembered for since in one.unsettled],
        "now": time.time(),
    }


def _rows(
    connection: Any,
    tables: Any,
    runs: Sequence[Run],
    state: State,
    reason: str | None,
    place: tuple[str, RowPlace] | None,
    from_key: str | None,
) -> tuple[list[tuple[RunOfTask, Reject]], str | None]:
    """Return a page of rows, each with its task, and where the next page begins; the runs' rows follow each other."""
    scopes = [run.scope for run in runs]
    first = scopes.index(place[0]) if place is not None and place[0] in scopes else 0
    found: list[tuple[RunOfTask, Reject]] = []
    last: tuple[str, RowPlace] | None = None
    for run in runs[first:]:
        after = None if from_key is None else RowPlace(from_key, "")
        if place is not None and run.scope == place[0]:
            after = place[1]
        for row in list_rejects(
            connection, tables, run.scope, state, reason_class=reason, after=after, limit=ROWS + 1 - len(found)
        ):
            if len(found) == ROWS:
                return found, None if last is None else text_of(last)
            found.append((run.task, row))
            last = run.scope, RowPlace(row.row_key, row.entry_id)
    return found, None


def _first_rejects(connection: Any, tables: Any, night: Night) -> list[tuple[RunOfTask, Reject]]:
    found: list[tuple[RunOfTask, Reject]] = []
    for state in (state for state in State if state.is_reject and night.states.get(state)):
        rows, _ = _rows(connection, tables, night.runs, state, None, None, None)
        found += rows
    return found[:_REJECTS]


def _after(rows: list[OpenRow]) -> str:
    last = rows[ROWS - 1]
    return text_of(OpenPlace(last.written_at, last.entry_id))


def _chart(nights: tuple[Night, ...]) -> Chart:
    """Return the bars of DAG runs, the oldest on the left."""
    return stacked(
        [
            ((moment(night.began_at) or "")[5:10], {state.value: night.states.get(state, 0) for state in BAR_STATES})
            for night in reversed(nights)
        ]
    )


def _states(nights: tuple[Night, ...]) -> list[State]:
    """Return the states that rows of some DAG runs are in, in the order of the bars from the top."""
    total: Counter[State] = Counter()
    for night in nights:
        total.update(night.states)
    return [state for state in reversed(BAR_STATES) if total[state]]
