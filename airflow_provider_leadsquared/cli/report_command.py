"""``report``: a night, for the terminal, as JSON, or as an HTML file."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.cli.exit_codes import CommandError, ExitCode
from airflow_provider_leadsquared.cli.opening import open_ledger
from airflow_provider_leadsquared.reports.advice import next_step
from airflow_provider_leadsquared.reports.formats import duration, moment
from airflow_provider_leadsquared.reports.open_rows import count_open
from airflow_provider_leadsquared.reports.runs import Night, list_runs, read_night

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_provider_leadsquared.cli.output import Output
    from airflow_provider_leadsquared.ledgers.database import Database
    from airflow_provider_leadsquared.reports.open_rows import OpenOfTask
    from airflow_provider_leadsquared.reports.runs import Run

#: How many runs are listed.
_RUNS = 50


def report(arguments: Namespace, output: Output) -> ExitCode:
    """Show a night, or list the newest runs."""
    database = open_ledger(arguments)
    if arguments.run_id is not None and arguments.dag_id is None:
        raise CommandError("--run-id needs --dag-id: run ids are only of one DAG", ExitCode.USAGE)
    with database.existing() as connection:
        if arguments.list_runs:
            return _list(list_runs(connection, database.tables, dag_ids=_dags(arguments.dag_id), limit=_RUNS), output)
        night = _night(connection, database, arguments)
        still_open = count_open(connection, database.tables)
    if arguments.out is not None:
        _write(night, still_open, arguments.out)
    output.print_json(_document(night, still_open))
    _print(night, still_open, output)
    if arguments.out is not None:
        output.print_line(f"Written to {arguments.out}")
    return ExitCode.ATTENTION if night.rejects or night.held else ExitCode.GOOD


def _night(connection: Connection, database: Database, arguments: Namespace) -> Night:
    dag_id, run_id, tables = arguments.dag_id, arguments.run_id, database.tables
    if run_id is None:
        newest = list_runs(connection, tables, dag_ids=_dags(dag_id), limit=1)
        if not newest:
            of_dag = "" if dag_id is None else f" of the DAG {dag_id!r}"
            raise CommandError(f"the ledger table {tables.name} knows no run{of_dag}; --list shows those that it knows")
        dag_id, run_id = newest[0].task.dag_id, newest[0].task.run_id
    night = read_night(connection, tables, dag_id, run_id)
    if night is None:
        raise CommandError(
            f"the ledger table {tables.name} knows no run {run_id!r} of the DAG {dag_id!r}; --list shows those that it "
            "knows"
        )
    return night


def _dags(dag_id: str | None) -> list[str] | None:
    return None if dag_id is None else [dag_id]


def _list(runs: list[Run], output: Output) -> ExitCode:
    output.print_json({"runs": [asdict(run) for run in runs]})
    output.print_table(
        ("Began (UTC)", "DAG", "Run", "Task", "#Map index", "Sync"),
        [
            (
                moment(run.began_at),
                run.task.dag_id,
                run.task.run_id,
                run.task.task_id,
                run.task.map_index if run.task.map_index >= 0 else None,
                run.sync,
            )
            for run in runs
        ],
    )
    return ExitCode.GOOD


def _print(night: Night, still_open: list[OpenOfTask], output: Output) -> None:
    output.print_line(f"{night.dag_id}, run {night.run_id}", style="bold")
    output.print_line(f"Began {moment(night.began_at)} UTC")
    output.print_table(
        ("State", "#Rows", "Means"),
        [(state.value, count, state.description.meaning) for state, count in night.counts.items()],
    )
    if night.held:
        output.print_line(
            f"Beside these {night.held:,} rows that were rejected in an earlier run and have not changed since: they "
            "are not sent again until they change or are replayed."
        )
    if night.reasons:
        output.print_table(
            ("State", "Reason", "#Rows", "Such as", "What to do"),
            [
                (
                    one.state.value,
                    one.reason_class,
                    one.count,
                    ", ".join(one.examples),
                    next_step(one.state, one.reason_class),
                )
                for one in night.reasons
            ],
            title="Not delivered, or not sent",
        )
    if still_open:
        output.print_table(
            ("DAG", "Task", "#Open", "Oldest"),
            [(one.dag_id, one.task_id, one.count, _age(one.oldest)) for one in still_open],
            title="Without a verdict, of all runs",
        )


def _age(since: float | None) -> str | None:
    return None if since is None else duration(time.time() - since)


def _document(night: Night, still_open: list[OpenOfTask]) -> dict[str, Any]:
    return {
        "dag_id": night.dag_id,
        "run_id": night.run_id,
        "began_at": night.began_at,
        "tasks": [asdict(run) for run in night.runs],
        "counts": {state.value: count for state, count in night.counts.items()},
        "held": night.held,
        "reasons": [asdict(one) | {"next_step": next_step(one.state, one.reason_class)} for one in night.reasons],
        "open": [asdict(one) for one in still_open],
    }


def _write(night: Night, still_open: list[OpenOfTask], out: str) -> None:
    from airflow_provider_leadsquared.cli.report_page import page_of

    try:
        Path(out).write_text(page_of(night, still_open, now=time.time()), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"the report could not be written to {out}: {error.strerror}; name another --out") from None
