"""Commands that keep a ledger's tables: bring them up to date, check that they are whole."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from airflow_provider_leadsquared.cli.exit_codes import CommandError, ExitCode
from airflow_provider_leadsquared.cli.opening import open_ledger
from airflow_provider_leadsquared.ledgers import pruning
from airflow_provider_leadsquared.reports.facts import read_facts
from airflow_provider_leadsquared.reports.formats import moment
from airflow_provider_leadsquared.reports.verification import count_lines, verify_lines, verify_tables

if TYPE_CHECKING:
    from airflow_provider_leadsquared.cli.output import Output
    from airflow_provider_leadsquared.reports.facts import Facts


def migrate(arguments: Namespace, output: Output) -> ExitCode:
    """Bring a ledger's tables up to date; other tasks wait meanwhile."""
    database = open_ledger(arguments)
    before = database.version()
    if before is None:
        raise CommandError(
            f"there is no ledger table {arguments.ledger_table} in this database; the first run of a capture or sync "
            "with a ledger_conn_id creates it"
        )
    with database.writing():
        pass  # what opens the tables to write brings them up to date
    after = database.version()
    output.print_json({"ledger_table": arguments.ledger_table, "before": before, "after": after})
    if before == after:
        output.print_line(f"{arguments.ledger_table} is of version {after}: nothing to do.")
    else:
        output.print_line(f"{arguments.ledger_table} was of version {before}, and is of version {after} now.")
    return ExitCode.GOOD


def prune(arguments: Namespace, output: Output) -> ExitCode:
    """Delete lines of old runs that nothing refers to any more; syncs may run meanwhile."""
    database = open_ledger(arguments)
    with database.existing():
        pass  # neither created nor brought up to date by this
    deleted = pruning.prune(database, retention=arguments.days * 86_400.0, now=time.time())
    output.print_json({"ledger_table": arguments.ledger_table, "days": arguments.days, "deleted": deleted})
    output.print_line(
        f"{deleted:,} lines were deleted that are older than {arguments.days} days. The last line of each row of a "
        "sync stays, and so does what has no verdict."
    )
    return ExitCode.GOOD


def verify(arguments: Namespace, output: Output) -> ExitCode:
    """Read all lines of a ledger and check what they refer to; nothing is changed."""
    database = open_ledger(arguments)
    with database.existing() as connection, output.progress("Lines") as progress:
        facts = read_facts(connection, database.tables)
        problems = list(verify_tables(connection, database.tables))
        task = progress.add_task("Lines", total=count_lines(connection, database.tables))
        for checked, found in verify_lines(connection, database.tables):
            problems += found
            progress.update(task, advance=checked)
    output.print_json({"facts": asdict(facts), "problems": problems})
    _print_facts(facts, output)
    for problem in problems:
        output.print_line(f"- {problem}")
    output.print_line(f"{len(problems)} problems." if problems else "No problem found.")
    return ExitCode.ATTENTION if problems else ExitCode.GOOD


def _print_facts(facts: Facts, output: Output) -> None:
    size = None if facts.size is None else f"{facts.size / 1e6:,.1f} MB"
    output.print_table(
        ("Ledger", "#Version", "#Size", "#Runs", "First line (UTC)", "Last line (UTC)"),
        [(facts.table, facts.version, size, facts.runs, moment(facts.oldest), moment(facts.newest))],
    )
