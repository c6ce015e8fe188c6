"""
Runs, and what became of their rows.

Each function takes a connection and the ledger's tables, and reads by indexes: no statement reads all of the result
table, whose lines are of all nights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select

from airflow_provider_leadsquared.delivery.states import State, names_of
from airflow_provider_leadsquared.ledgers.column_values import seconds_of, timestamp
from airflow_provider_leadsquared.ledgers.run_metadata import read_from_scopes
from airflow_provider_leadsquared.ledgers.runs import COUNTS, RunOfTask
from airflow_provider_leadsquared.ledgers.statements import select_in
from airflow_provider_leadsquared.reports.places import RowPlace, RunPlace

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from airflow_provider_leadsquared.ledgers.schema import Tables

#: How many row keys stand for all rows with one reason.
EXAMPLES = 3
#: So many runs are counted one by one; more take fewer round trips together.
_COUNTED_SINGLY = 50
#: States that a person wants to know the reason of.
_WITH_REASON = names_of(lambda state: state.needs_reason)


@dataclass(frozen=True, slots=True)
class Run:
    """
    One run of a task that sends.

    :param task: Whose run it is.
    :param began_at: When its first try began, seconds since the epoch.
    :param sync: The name of its sync with the account; None for a capture, or where it is not known.
    :param sync_id: What the sync's entries are kept under; None for a capture.
    :param generation: How often the task was cleared to send everything again.
    :param scope: What its entries are kept under.
    """

    task: RunOfTask
    began_at: float
    sync: str | None
    sync_id: str | None
    generation: int
    scope: str


@dataclass(frozen=True, slots=True)
class Reason:
    """
    Rows of a run that are in one state for one reason.

    :param state: The state.
    :param reason_class: The reason in one word; None where there is none.
    :param count: How many rows.
    :param examples: Names of some of them: row keys, or ``row 7`` where there are none.
    """

    state: State
    reason_class: str | None
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reject:
    """
    One row that was not delivered, or is not sent.

    :param name: Its row key, or ``row 7`` where it has none.
    :param row_key: Its row key.
    :param state: Its state.
    :param reason_class: Why, in one word.
    :param reason: Why, as a text without personal data.
    :param request_id: Its RequestId, if it was accepted.
    :param entry_id: Its line in the run.
    """

    name: str
    row_key: str | None
    state: State
    reason_class: str | None
    reason: str | None
    request_id: str | None
    entry_id: str


@dataclass(frozen=True, slots=True)
class Night:
    """
    One DAG run: what its tasks sent, and what became of it.

    :param dag_id: The DAG.
    :param run_id: The DAG run.
    :param began_at: When the first of its tasks began, seconds since the epoch.
    :param runs: Its tasks that send; of a cleared one the last generation.
    :param states: Rows in the ledger by state. Rows that had not changed have no line there.
    :param noted: What syncs counted at their end, added up: rows read and unchanged among them. Empty where none did.
    :param reasons: Rows that were not delivered, most frequent reason first.
    """

    dag_id: str
    run_id: str
    began_at: float
    runs: tuple[Run, ...]
    states: Mapping[State, int]
    noted: Mapping[str, int]
    reasons: tuple[Reason, ...]

    @property
    def unchanged(self) -> int:
        """Rows that the CRM had already, so that they were not sent."""
        return self.noted.get(State.UNCHANGED.value, 0)

    @property
    def held(self) -> int:
        """Rows that were rejected in an earlier run and have not changed since, so that they were not sent."""
        without_line = self.noted.get("read", 0) - self.unchanged - sum(self.states.values())
        return max(min(without_line, self.noted.get(State.REJECTED.value, 0)), 0)  # lines may have been pruned since

    @property
    def counts(self) -> dict[State, int]:
        """Rows by state, those that had not changed among them; in the order of the table of states."""
        every = {**self.states, State.UNCHANGED: self.unchanged}
        return {state: every[state] for state in State if every.get(state)}

    @property
    def delivered(self) -> int:
        """Rows that the CRM confirmed in this run."""
        return sum(count for state, count in self.states.items() if state.is_confirmed)

    @property
    def still_open(self) -> int:
        """Rows that LeadSquared has accepted and not decided yet."""
        return sum(count for state, count in self.states.items() if state.is_open)

    @property
    def rejects(self) -> int:
        """Rows that are not in the CRM, or of which nobody can tell."""
        return sum(count for state, count in self.states.items() if state.is_reject)


def list_runs(
    connection: Connection,
    tables: Tables,
    *,
    dag_ids: Collection[str] | None = None,
    before: Run | RunPlace | None = None,
    limit: int = 50,
) -> list[Run]:
    """
    Return runs, newest first.

    :param dag_ids: Only those of these DAGs. Default: all.
    :param before: The last run of the page before; None for the first page.
    :param limit: How many at most.
    """
    runs = tables.runs
    query = select(runs).order_by(runs.c.began_at.desc(), runs.c.scope.desc()).limit(limit)
    if dag_ids is not None:
        query = query.where(runs.c.dag_id.in_(sorted(dag_ids)))
    if before is not None:
        # In this form each database finds the place by its index.
        began = timestamp(before.began_at)
        query = query.where(runs.c.began_at <= began, or_(runs.c.began_at < began, runs.c.scope < before.scope))
    return [_run(line) for line in connection.execute(query)]


def lines_of(connection: Connection, tables: Tables, dag_id: str, run_id: str) -> list[Run]:
    """Return the lines of a DAG run in the table of runs: one for each task that sends, and each of its generations."""
    runs = tables.runs
    query = select(runs).where(runs.c.dag_id == dag_id, runs.c.run_id == run_id)
    return [_run(line) for line in connection.execute(query)]


def runs_of(
    connection: Connection,
    tables: Tables,
    dag_id: str,
    run_id: str,
    *,
    task_id: str | None = None,
    map_index: int | None = None,
) -> list[Run]:
    """
    Return the tasks of a DAG run that send, in the order of their ids; of a cleared one the last generation.

    :param task_id: Only those of one task. Default: all tasks.
    :param map_index: Only those of one instance of it. Default: all instances.
    """
    return [
        run
        for run in present_runs(lines_of(connection, tables, dag_id, run_id))
        if task_id in (None, run.task.task_id) and map_index in (None, run.task.map_index)
    ]


def present_runs(lines: Sequence[Run]) -> list[Run]:
    """Return the tasks of a DAG run in the order of their ids; of a cleared one the last generation."""
    newest: dict[RunOfTask, Run] = {}
    for run in sorted(lines, key=lambda one: one.generation):
        newest[run.task] = run
    return sorted(newest.values(), key=lambda one: (one.task.task_id, one.task.map_index))


def read_night(
    connection: Connection,
    tables: Tables,
    dag_id: str,
    run_id: str,
    *,
    task_id: str | None = None,
    map_index: int | None = None,
) -> Night | None:
    """Return what became of a DAG run's rows, None if the ledger does not know the run; see :func:`runs_of`."""
    runs = runs_of(connection, tables, dag_id, run_id, task_id=task_id, map_index=map_index)
    if not runs:
        return None
    [night] = count_nights(connection, tables, [runs])
    return replace(night, reasons=tuple(list_reasons(connection, tables, [run.scope for run in runs])))


def count_nights(connection: Connection, tables: Tables, nights: Sequence[Sequence[Run]]) -> Iterator[Night]:
    """Yield DAG runs, each given by its tasks, with the counts of their rows and without reasons."""
    runs = [run for night in nights for run in night]
    states = count_states(connection, tables, [run.scope for run in runs])
    noted = read_from_scopes(connection, tables.metadata, COUNTS, [run.task.scope for run in runs])
    for night in nights:
        counts: Counter[str] = Counter()
        of_night: Counter[State] = Counter()
        for run in night:
            counts.update(noted.get(run.task.scope, {}))
            of_night.update(states[run.scope])
        began_at = min(run.began_at for run in night)
        yield Night(night[0].task.dag_id, night[0].task.run_id, began_at, tuple(night), of_night, dict(counts), ())


def count_states(connection: Connection, tables: Tables, scopes: Sequence[str]) -> dict[str, Counter[State]]:
    """Count the entries of some runs by state, each run's for itself."""
    entries = tables.entries
    scope = entries.c.scope
    # Of few runs each for itself: the index has its states in order, which takes half the time of grouping by both.
    parts = [[one] for one in scopes] if len(scopes) <= _COUNTED_SINGLY else [list(scopes)]
    query = select(scope, entries.c.state, func.count()).group_by(scope, entries.c.state)
    counts: dict[str, Counter[State]] = {one: Counter() for one in scopes}
    for part in parts:
        for one, state, count in select_in(connection, query, scope, part):
            counts[one][State(state)] += count
    return counts


def list_reasons(connection: Connection, tables: Tables, scopes: Sequence[str]) -> list[Reason]:
    """Return why rows of some runs were not delivered or not sent, most frequent first, each with some row keys."""
    entries = tables.entries
    query = (
        select(entries.c.state, entries.c.reason_class, func.count())
        .where(entries.c.state.in_(_WITH_REASON))
        .group_by(entries.c.state, entries.c.reason_class)
    )
    counts: Counter[tuple[State, str | None]] = Counter()
    for state, reason_class, count in select_in(connection, query, entries.c.scope, scopes):
        counts[State(state), reason_class] += count
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0][0], item[0][1] or ""))
    return [
        Reason(state, reason_class, count, _examples(connection, tables, scopes, state, reason_class))
        for (state, reason_class), count in ordered
    ]


def list_rejects(
    connection: Connection,
    tables: Tables,
    scope: str,
    state: State,
    *,
    reason_class: str | None = None,
    after: Reject | RowPlace | None = None,
    limit: int = 50,
) -> list[Reject]:
    """
    Return rows of a run that are in one state, in the order of their row keys; those without one come last.

    :param scope: The run.
    :param reason_class: Only those with this reason. Default: all.
    :param after: The last row of the page before; None for the first page.
    :param limit: How many at most.
    """
    entries = tables.entries
    query = select(entries).where(entries.c.scope == scope, entries.c.state == state.value)
    if reason_class is not None:
        query = query.where(entries.c.reason_class == reason_class)
    key, entry_id = entries.c.row_key, entries.c.entry_id
    found: list[Any] = []
    if after is None or after.row_key is not None:
        with_key = query.where(key.is_not(None))
        if after is not None:
            with_key = with_key.where(key >= after.row_key, or_(key > after.row_key, entry_id > after.entry_id))
        found += connection.execute(with_key.order_by(key, entry_id).limit(limit))
        after = None
    if len(found) < limit:
        without = query.where(key.is_(None), *([entry_id > after.entry_id] if after is not None else []))
        found += connection.execute(without.order_by(entry_id).limit(limit - len(found)))
    return [_reject(line) for line in found]


def name_of(row_key: str | None, row_no: int) -> str:
    """Return how a row is named to people: by its key, or by its place in the run, from 1."""
    return row_key if row_key is not None else f"row {row_no + 1}"


def _examples(
    connection: Connection, tables: Tables, scopes: Sequence[str], state: State, reason_class: str | None
) -> tuple[str, ...]:
    entries = tables.entries
    reason = entries.c.reason_class.is_(None) if reason_class is None else entries.c.reason_class == reason_class
    for scope in scopes:
        mine = and_(entries.c.scope == scope, entries.c.state == state.value, reason)
        query = select(entries.c.row_key, entries.c.row_no).where(mine).order_by(entries.c.row_key).limit(EXAMPLES)
        if found := connection.execute(query).all():
            return tuple(name_of(*line) for line in found)
    return ()


def _run(line: Row[Any]) -> Run:
    task = RunOfTask(line.dag_id, line.run_id, line.task_id, line.map_index)
    return Run(task, seconds_of(line.began_at), line.sync, line.sync_id, line.generation, line.scope)


def _reject(line: Row[Any]) -> Reject:
    name = name_of(line.row_key, line.row_no)
    state = State(line.state)
    return Reject(name, line.row_key, state, line.reason_class, line.reason, line.request_id, line.entry_id)
