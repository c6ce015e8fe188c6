"""DAG runs, newest first, with what became of their rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from airflow_provider_leadsquared.reports.places import RunPlace
from airflow_provider_leadsquared.reports.runs import Night, Run, count_nights, lines_of, list_runs, present_runs

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_provider_leadsquared.ledgers.schema import Tables

#: Lines of the table of runs that are read at a time, and for one page at most: a mapped task has many.
_LINES, _MOST_LINES = 100, 2_000


@dataclass(frozen=True, slots=True)
class Nights:
    """
    A page of DAG runs.

    :param nights: The DAG runs, newest first.
    :param older: Where the next page begins, None if there is none.
    """

    nights: tuple[Night, ...]
    older: RunPlace | None


def list_nights(
    connection: Connection,
    tables: Tables,
    *,
    dag_ids: Collection[str] | None = None,
    before: RunPlace | None = None,
    limit: int = 10,
) -> Nights:
    """
    Return DAG runs with what became of their rows, newest first; each is as old as the task of it that began last.

    :param dag_ids: Only those of these DAGs. Default: all.
    :param before: Where the page begins: after this line. Default: at the newest.
    :param limit: How many at most.
    """
    found: list[list[Run]] = []
    last: RunPlace | None = None
    is_end = True
    for number, line in enumerate(_lines(connection, tables, dag_ids, before)):
        if len(found) == limit or number == _MOST_LINES:
            is_end = False
            break
        last = RunPlace(line.began_at, line.scope)
        of_run = lines_of(connection, tables, line.task.dag_id, line.task.run_id)
        # A DAG run is on the page of its newest line, and on no other.
        if last == max(RunPlace(one.began_at, one.scope) for one in of_run):
            found.append(present_runs(of_run))
    return Nights(tuple(count_nights(connection, tables, found)), None if is_end else last)


def list_dags(connection: Connection, tables: Tables) -> list[str]:
    """Return the ids of the DAGs that the ledger knows, in order; one look at the index for each."""
    dag_id = tables.runs.c.dag_id
    found: list[str] = []
    while True:
        query = select(func.min(dag_id))
        following = connection.execute(query.where(dag_id > found[-1]) if found else query).scalar_one_or_none()
        if following is None:
            return found
        found.append(str(following))


def _lines(
    connection: Connection, tables: Tables, dag_ids: Collection[str] | None, before: RunPlace | None
) -> Iterator[Run]:
    while True:
        lines = list_runs(connection, tables, dag_ids=dag_ids, before=before, limit=_LINES)
        yield from lines
        if len(lines) < _LINES:
            return
        before = RunPlace(lines[-1].began_at, lines[-1].scope)
