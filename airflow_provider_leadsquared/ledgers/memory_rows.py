"""Lines of the memory, and unsettled sendings, as rows of the ledger's tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.column_values import seconds_of
from airflow_provider_leadsquared.ledgers.memory_lines import (
    Intent,
    KeyLine,
    LeadLine,
    Line,
    MatchKey,
    MemoryRow,
    Refusal,
    RowLine,
    Sending,
    Success,
    Writer,
)
from airflow_provider_leadsquared.ledgers.schema import ROW_LINE

if TYPE_CHECKING:
    from sqlalchemy import Row

#: The columns of a line, in the order in which they are read and written.
LINE_COLUMNS = (
    "line_id",
    "kind",
    "no",
    "dirty",
    "touched",
    "moved",
    "proved",
    "lead_line",
    "sync_id",
    "row_key",
    "last_scope",
    "last_entry",
    "details",
)
#: What the other kinds of lines are called in the table.
_KEY, _LEAD = "k", "l"


def line_values(line: Line) -> tuple[Any, ...]:
    """Return a line as the values of its columns."""
    kind, moved, proved, lead = _LEAD, 0, 0, None
    row: tuple[str | None, ...] = (None, None, None, None)
    details: dict[str, Any] = {"unsettled": line.unsettled, "last": line.last and _in_order(line.last)}
    if isinstance(line, RowLine):
        # Null until it was sent: some databases fill an empty id up with blanks.
        kind, row = ROW_LINE, (line.sync_id, line.row_key, line.last_scope or None, line.last_entry or None)
        details["success"] = line.success and [line.success.no, line.success.match_keys, line.success.lead]
        details["refusal"] = line.refusal and _in_order(line.refusal)
        details["sent"] = line.sent
        details["waits_since"] = line.waits_since
    elif isinstance(line, KeyLine):
        kind, moved, proved, lead = _KEY, line.moved, line.proved, line.lead
        details["kin"] = sorted(line.kin)
    elif isinstance(line, LeadLine):
        details["keys"] = line.keys
        details["values"] = line.values
        details["writers"] = {sync: _in_order(one) for sync, one in line.writers.items()}
    text = json.dumps({name: value for name, value in details.items() if value})
    return line.line_id, kind, line.no, line.dirty, line.touched, moved, proved, lead, *row, text


def read_line(values: Sequence[Any]) -> Line:
    """Return the line that a row holds."""
    line_id, kind, no, dirty, touched, moved, proved, lead, sync_id, row_key, last_scope, last_entry, text = values
    details = json.loads(text)
    get = details.get
    last = get("last")
    common = line_id, no, dirty, touched, last and Intent(*last), get("unsettled") or []
    if kind == ROW_LINE:
        success, refusal = get("success"), get("refusal")
        return RowLine(
            *common,
            sync_id,
            row_key,
            last_scope or "",
            last_entry or "",
            success and Success(success[0], _match_keys(success[1]), success[2]),
            refusal and Refusal(*refusal),
            get("sent"),
            get("waits_since") or 0,
        )
    if kind == _KEY:
        return KeyLine(*common, lead, proved, moved, set(get("kin") or ()))
    writers = {sync: Writer(*one) for sync, one in (get("writers") or {}).items()}
    return LeadLine(*common, get("keys") or {}, writers, get("values") or {})


def sending_details(sending: Sending) -> str:
    """Return what of a sending has no column of its own."""
    row = sending.row
    return json.dumps([row.match_keys, row.moves_keys, row.cleared, sending.lines, sending.leads, sending.values])


def read_sending(line: Row[Any]) -> Sending:
    """Return the sending that a row of the table of unsettled sendings holds."""
    match_keys, moves_keys, cleared, lines, leads, values = json.loads(line.details)
    row = MemoryRow(line.row_line, line.row_key, _match_keys(match_keys), line.fingerprint, moves_keys, tuple(cleared))
    return Sending(
        line.sending_id,
        line.no,
        line.sync_id,
        row,
        line.try_id,
        line.scope,
        line.entry_id,
        line.partition_id,
        seconds_of(line.intended_at) or 0.0,
        tuple(lines),
        tuple(leads),
        State(line.state),
        values,
    )


def _in_order(part: Intent | Refusal | Writer) -> list[Any]:
    """Return the fields of a part of a line; ``dataclasses.astuple`` copies each of them, which takes long."""
    return [getattr(part, name) for name in part.__slots__]


def _match_keys(pairs: Iterable[Sequence[str]]) -> tuple[MatchKey, ...]:
    return tuple((name, key) for name, key in pairs)
