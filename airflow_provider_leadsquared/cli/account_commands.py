"""Commands that ask LeadSquared: is the connection right, what became of requests, how busy is the queue."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from airflow_provider_leadsquared.api.errors import ConfigurationError, NoSuchPathError, UnknownRequestError
from airflow_provider_leadsquared.api.request_ids import parse_request_id
from airflow_provider_leadsquared.cli.exit_codes import CommandError, ExitCode
from airflow_provider_leadsquared.cli.opening import open_account
from airflow_provider_leadsquared.delivery.status_judging import judge
from airflow_provider_leadsquared.reports.formats import duration

if TYPE_CHECKING:
    from airflow_provider_leadsquared.cli.output import Output


def check(arguments: Namespace, output: Output) -> ExitCode:
    """Check a connection, as Airflow's own test does."""
    try:
        works, found = open_account(arguments).test_connection()
    except ConfigurationError as error:
        works, found = False, str(error)
    output.print_json({"conn_id": arguments.conn_id, "works": works, "found": found})
    output.print_line(f"Connection {arguments.conn_id}: {'works' if works else 'does not work'}")
    output.print_line(found)
    return ExitCode.GOOD if works else ExitCode.ATTENTION


def status(arguments: Namespace, output: Output) -> ExitCode:
    """Ask what became of requests. Nothing is written; a sensor or the sync's next run does that."""
    for request_id in arguments.request_ids:
        if parse_request_id(request_id) is None:
            raise CommandError(f"{request_id!r} is no RequestId: pass it as a receipt has it", ExitCode.USAGE)
    hook = open_account(arguments)
    hook.account.api(arguments.api)
    lines, unknown = [], []
    for request_id in arguments.request_ids:
        try:
            verdict = judge(hook.get_request_status(request_id, api=arguments.api), ladder_ended=False)
        except UnknownRequestError:
            unknown.append(request_id)
            continue
        lines.append((request_id, verdict.state, verdict.lead_id, verdict.reason_class, verdict.reason))
    names = ("request_id", "state", "lead_id", "reason_class", "reason")
    output.print_json({"requests": [dict(zip(names, line, strict=True)) for line in lines], "unknown": unknown})
    if lines:
        output.print_table(("RequestId", "State", "Lead", "Reason", "LeadSquared says"), lines)
    if unknown:
        raise CommandError(
            f"LeadSquared does not know {', '.join(unknown)}: check the RequestId, and that it is of the account of "
            f"connection {arguments.conn_id!r} and of the API {arguments.api}; it forgets old ones"
        )
    return ExitCode.ATTENTION if any(state.is_refused for _, state, *_ in lines) else ExitCode.GOOD


def metrics(arguments: Namespace, output: Output) -> ExitCode:
    """Ask how busy LeadSquared's queue is; an estimate of its own."""
    try:
        found = open_account(arguments).get_queue_metrics(api=arguments.api)
    except NoSuchPathError:
        raise CommandError(
            f"the account of connection {arguments.conn_id!r} has no queue metrics, or has them at another path (the "
            "connection's extra paths names it). Deliveries do not need them"
        ) from None
    output.print_json(
        {
            "api": arguments.api,
            "pending": found.pending,
            "rate_per_minute": found.rate_per_minute,
            "max_delay_seconds": found.max_delay,
        }
    )
    output.print_table(
        ("API", "#Pending", "#Handled a minute", "#Worked off in, at the longest"),
        [(arguments.api, found.pending, f"{found.rate_per_minute:g}", duration(found.max_delay))],
    )
    return ExitCode.GOOD
