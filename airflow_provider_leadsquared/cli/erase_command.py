"""``erase KEY``: delete all that a ledger keeps of a row key."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from airflow_provider_leadsquared.cli.exit_codes import CommandError, ExitCode
from airflow_provider_leadsquared.cli.opening import open_account, open_ledger, row_key_of
from airflow_provider_leadsquared.ledgers.erasure import Erasure
from airflow_provider_leadsquared.reports.formats import duration

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_provider_leadsquared.cli.output import Output
    from airflow_provider_leadsquared.ledgers.erasure import Kept

_MEANING = (
    "After that the ledger does not know the row: a sync that still finds it in its source sends it as new. LeadSquared"
    " matches it by e-mail, phone or id, so no lead is doubled. Not touched: the lead in the CRM, the source, and what "
    "Airflow keeps (logs, XCom, task state), where row keys may stand."
)


def erase(arguments: Namespace, output: Output) -> ExitCode:
    """Delete all that is kept of a row key, after a confirmation."""
    database, row_key = open_ledger(arguments), row_key_of(arguments)
    settle_timeout = open_account(arguments).account.settle_timeout

    def opened(connection: Connection) -> Erasure:
        return Erasure(connection, database.tables, row_key, now=time.time(), settle_timeout=settle_timeout)

    with database.existing() as connection:
        kept = opened(connection).kept
    _refuse_if_needed(kept, row_key, arguments.ledger_table)
    output.print_line(f"Of {row_key} the ledger table {arguments.ledger_table} keeps, and this deletes:")
    for line in _lines(kept):
        output.print_line(f"- {line}")
    output.print_line(_MEANING)
    if kept.other_rows:
        output.print_line(
            f"The same lead was reached by {', '.join(kept.other_rows)}: what is known of the lead goes, so these rows "
            "are sent once more. Erase them, too, if they are the same person."
        )
    if not arguments.yes and not output.ask("Delete it?"):
        raise CommandError("nothing was deleted: not confirmed; --yes confirms without a question", ExitCode.USAGE)
    with database.existing(writes=True) as connection:
        erasure = opened(connection)
        kept = erasure.kept
        if not kept.under_way:
            erasure.erase()
    _refuse_if_needed(kept, row_key, arguments.ledger_table)  # meanwhile it may have been sent
    output.print_json({"row_key": row_key, "deleted": asdict(kept)})
    output.print_line("Deleted.")
    return ExitCode.GOOD


def _refuse_if_needed(kept: Kept, row_key: str, table: str) -> None:
    if kept.is_empty:
        raise CommandError(
            f"the ledger table {table} keeps nothing of the row key {row_key!r}; check the key and --ledger-table, and "
            "--hashed if the sync has hash_row_keys"
        )
    if kept.under_way:
        age = duration(time.time() - kept.under_way[-1])
        raise CommandError(
            f"nothing was deleted: LeadSquared may still be at work on {len(kept.under_way)} sending(s) of {row_key} "
            f"or its lead, the oldest of {age} ago, and nobody would ask for the verdict. Let a sensor or the sync's "
            "next run settle it (explain shows the RequestId, status asks for it), and erase the row then",
            ExitCode.ATTENTION,
        )


def _lines(kept: Kept) -> list[str]:
    found = (
        (kept.entries, "line(s) of its runs: row key, states, RequestIds, lead ids, reasons"),
        (kept.rows, "line(s) that syncs remember under the row key"),
        (kept.leads, "line(s) of leads that it reached"),
        (kept.match_keys, "line(s) of match keys, which are hashes"),
        (kept.sendings, "sending(s) without a verdict that are too old to be settled"),
    )
    return [f"{count} {what}" for count, what in found if count]
