"""
Which rows stay unchanged as long as their source returns the same values, and what ends that.

A row is *lasting* if all that could make it anything else than unchanged is written on a few lines, each of which leads
back to it: its own line, that of the lead which it wrote, and those of this lead's match keys. So whoever changes one
of these lines, for whatever reason, finds the rows of which a digest may be kept, and ends it in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from airflow_provider_leadsquared.ledgers.memory_lines import KeyLine, LeadLine, Line, MemoryRow, RowLine, Writer
from airflow_provider_leadsquared.ledgers.memory_routes import Route


def is_lasting(row: MemoryRow, known: RowLine, route: Route, writer: Writer | None) -> bool:
    """
    Tell whether an unchanged row stays so until one of its lines is changed.

    :param row: The row, which is unchanged now.
    :param known: The line of its row key.
    :param route: The lines that concern it, and its lead.
    :param writer: The newest confirmed sending of its sync to that lead.
    """
    lead = route.lead
    if lead is None or writer is None or known.success is None or known.success.lead != lead.line_id:
        return False
    # Of a contested lead each run has to note that its owner was seen.
    if writer.row_line != row.row_line or writer.is_contested:
        return False
    names = {name for names in lead.keys.values() for name in names}
    return all(not line.unsettled and _leads_back(line, lead, names) for line in route.lines)


def _leads_back(line: Line, lead: LeadLine, names: set[str]) -> bool:
    return not isinstance(line, KeyLine) or (line.lead == lead.line_id and line.line_id in names)


def lasting_lines(row_line: str, lines: Mapping[str, Line]) -> Iterator[str]:
    """
    Return the ids of the lines that concern a row which is lasting, found from its own line.

    :param row_line: The id of its own line.
    :param lines: The lines that are loaded.
    """
    yield row_line
    known = lines.get(row_line)
    if isinstance(known, RowLine) and known.success is not None:
        yield known.success.lead
        lead = lines.get(known.success.lead)
        if isinstance(lead, LeadLine):
            yield from sorted(name for names in lead.keys.values() for name in names)


def rows_ended_by(changed: Iterable[str], stored: Callable[[str], Line | None]) -> set[str]:
    """
    Return the lines of the rows of which no digest may be kept any more, because some lines are changed.

    None is kept while one of a row's lines has an unsettled sending; so most verdicts end nothing.

    :param changed: The ids of the lines that are changed.
    :param stored: Returns a line as it was before, None if there was none.
    """
    ended: set[str] = set()
    for line_id in changed:
        line = stored(line_id)
        if line is None or line.unsettled:
            continue
        if isinstance(line, RowLine):
            ended.add(line_id)
        if isinstance(line, KeyLine) and line.lead is not None:
            line = stored(line.lead)
        if isinstance(line, LeadLine):
            ended.update(writer.row_line for writer in line.writers.values())
    return ended
