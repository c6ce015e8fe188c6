"""``explain KEY``: where a row stands, why, and what to do next, with its whole history."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.cli.exit_codes import CommandError, ExitCode
from airflow_provider_leadsquared.cli.opening import open_ledger, row_key_of
from airflow_provider_leadsquared.reports.advice import standing_of
from airflow_provider_leadsquared.reports.formats import duration, moment
from airflow_provider_leadsquared.reports.histories import read_history

if TYPE_CHECKING:
    from airflow_provider_leadsquared.cli.output import Output
    from airflow_provider_leadsquared.reports.histories import History, Remembered, Step


def explain(arguments: Namespace, output: Output) -> ExitCode:
    """Tell a row's whole history."""
    database = open_ledger(arguments)
    row_key = row_key_of(arguments)
    with database.existing() as connection:
        history = read_history(connection, database.tables, row_key)
    standing = standing_of(history)
    if standing is None:
        raise CommandError(
            f"the ledger table {arguments.ledger_table} does not know the row key {row_key!r}: it was never sent or "
            "set aside there, or its lines were pruned. Check the key and --ledger-table; --hashed if the sync has "
            "hash_row_keys"
        )
    output.print_json(_document(history) | {"standing": asdict(standing)})
    output.print_line(f"{row_key} {standing.where}.", style="bold")
    if standing.why:
        output.print_line(f"Why: {standing.why}")
    output.print_line(f"Next: {standing.next_step}.")
    for known in history.remembered:
        for line in _remembered_lines(known, time.time()):
            output.print_line(line)
    output.print_table(
        ("Accepted or written (UTC)", "Settled", "Task", "Run", "State", "Reason", "RequestId", "Lead"),
        [_row(step) for step in history.steps],
    )
    output.print_line("Nights on which a sync found the row unchanged have no line.")
    return ExitCode.GOOD if standing.is_well else ExitCode.ATTENTION


def _remembered_lines(known: Remembered, now: float) -> list[str]:
    lines = []
    if known.unsettled:
        lines.append(
            f"Not settled: {len(known.unsettled)}, the oldest for {duration(now - known.unsettled[0])}. Other values "
            "of the row wait for that."
        )
    if known.refusal is not None:
        lines.append(
            f"Held since {moment(known.refusal.refused_at)} UTC: the sync does not send these values again until they "
            "change or the row is replayed."
        )
    return lines


def _row(step: Step) -> tuple[object, ...]:
    task = step.task
    name = f"{task.dag_id}.{task.task_id}" + (f" [{task.map_index}]" if task.map_index >= 0 else "")
    return (
        # A row that was not sent was accepted by nobody: when its line was written.
        moment(step.accepted_at or step.written_at),
        moment(step.settled_at),
        name,
        task.run_id,
        step.state.value,
        step.reason_class,
        step.request_id,
        step.lead_id,
    )


def _document(history: History) -> dict[str, Any]:
    document = asdict(history)
    for known in document["remembered"]:
        known["refusal"] = known["refusal"] and {
            name: known["refusal"][name] for name in ("refused_at", "reason_class", "reason")
        }
    return document
