"""Which lines concern a row, and which lead it is known to reach: rule R4 of the memory, and what is waited for."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from airflow_provider_leadsquared.ledgers.memory_lines import (
    KeyLine,
    LeadLine,
    Line,
    MemoryRow,
    RowLine,
    Sending,
    Success,
)

_Line = TypeVar("_Line", bound=Line)


@dataclass(slots=True)
class Route:
    """The lines that a row concerns, the leads that its match keys have, and the lead that it is known to reach."""

    lines: list[Line]
    leads: tuple[str, ...]
    lead: LeadLine | None


class Routes:
    """
    The lines that are loaded, and the ways from rows to leads over them.

    :param lines: The lines by id.
    :param sendings: The unsettled sendings by id.
    :param looked_up: The ids that were looked up: those without a line were never written.
    :param now: The time in seconds since the epoch, on the clock that all writers share.
    :param settle_timeout: Seconds after which a sending without a verdict is not waited for any more.
    :param draw: Returns the next number of the account's counter; not needed where nothing is written.
    """

    def __init__(
        self,
        lines: dict[str, Line],
        sendings: dict[str, Sending],
        looked_up: Container[str],
        *,
        now: float,
        settle_timeout: float,
        draw: Callable[[], int] | None = None,
    ) -> None:
        self.lines, self.sendings, self._looked_up = lines, sendings, looked_up
        self._now, self._settle_timeout, self._draw = now, settle_timeout, draw

    def _route(self, row: MemoryRow) -> Route:
        """Find the lines of a row, and the lead that it is known to reach (R4)."""
        known = self._row(row.row_line)
        keys = [self._key(key) for _, key in row.match_keys]
        for line in (known, *keys):
            self._sweep(line)
        found = [key.lead for key in keys if key.lead is not None]
        if not row.moves_keys and known.success is not None and known.success.match_keys == row.match_keys:
            found.append(known.success.lead)  # its match keys need not lead there
        leads = [self._lead(lead) for lead in dict.fromkeys(found)]
        for lead in leads:
            self._sweep(lead)
        lines: list[Line] = [known, *leads]
        own = {key.line_id for key in keys}
        all_keys = dict.fromkeys((*own, *(one for lead in leads for names in lead.keys.values() for one in names)))
        for key in list(all_keys):
            self._sweep(self._key(key))
        for key in list(all_keys):
            all_keys.update(dict.fromkeys(sorted(self._key(key).kin)))
        lines += [self._sweep(self._key(key)) for key in all_keys]
        return Route(lines, tuple(lead.line_id for lead in leads), self._known_lead(row, keys, known.success))

    def _known_lead(self, row: MemoryRow, keys: list[KeyLine], success: Success | None) -> LeadLine | None:
        """
        Return the lead that a row reaches, if that is certain.

        LeadSquared searches by the first match key, then by the next. Where no lead is known to have the first, the
        next counts only if this row reached that lead by these very keys, and nothing was doubtful since.
        """
        if not row.moves_keys and success is not None and success.match_keys == row.match_keys:
            # Sendings that leave the match keys of a lead alone do not say which of them it has; its own success does.
            lead = self._lead(success.lead)
            if lead.dirty < success.no and all(max(key.dirty, key.moved) < success.no for key in keys):
                return lead
        for position, key in enumerate(keys):
            if key.lead is None:
                continue
            lead = self._lead(key.lead)
            if key.proved <= lead.dirty:
                return None
            if position and not (
                success is not None
                and success.match_keys == row.match_keys
                and success.lead == key.lead
                and all(success.no > before.dirty for before in keys[:position])
            ):
                return None
            return lead
        return None

    def _sweep(self, line: Line) -> Line:
        """Stop waiting for sendings that are over time: they may have been applied, so the line is doubtful (R5)."""
        for sending_id in list(line.unsettled):
            sending = self.sendings.get(sending_id)
            if sending is None:  # deleted with its verdict, or by a person
                line.unsettled.remove(sending_id)
            elif self._is_over(sending):
                line.unsettled.remove(sending_id)
                line.dirty = max(line.dirty, sending.no)
                self._doubt(sending)
        return line

    def _unsettled(self, line: Line) -> Iterator[Sending]:
        return (self.sendings[one] for one in line.unsettled)

    def _is_over(self, sending: Sending) -> bool:
        return self._now - sending.intended_at >= self._settle_timeout

    def _doubt(self, sending: Sending) -> None:
        """Note that one lead may have all match keys of a sending."""
        keys = [key for _, key in sending.row.match_keys]
        for key in keys:
            self._key(key).kin.update(other for other in keys if other != key)

    def _next(self) -> int:
        if self._draw is None:
            raise RuntimeError("this memory was loaded to be read, not to be written")
        return self._draw()

    def _row(self, line_id: str) -> RowLine:
        return self._line(line_id, RowLine)

    def _key(self, line_id: str) -> KeyLine:
        return self._line(line_id, KeyLine)

    def _lead(self, line_id: str) -> LeadLine:
        return self._line(line_id, LeadLine)

    def _line(self, line_id: str, kind: type[_Line]) -> _Line:
        line = self.lines.get(line_id)
        if line is None:
            if line_id not in self._looked_up:
                raise LookupError(f"the line {line_id} was not loaded")
            line = self.lines[line_id] = kind(line_id)
        if not isinstance(line, kind):
            raise TypeError(f"the line {line_id} is a {type(line).__name__}, not a {kind.__name__}")
        return line


def lines_to_load(lines: Iterable[Line], sendings: Iterable[Sending]) -> Iterator[str]:
    """Return the ids of the lines that the rules need beside those that are loaded."""
    for line in lines:
        if isinstance(line, KeyLine):
            yield from line.kin
            if line.lead is not None:
                yield line.lead
        elif isinstance(line, LeadLine):
            for names in line.keys.values():
                yield from names
        elif isinstance(line, RowLine) and line.success is not None:
            yield line.success.lead
    for sending in sendings:
        yield from (key for _, key in sending.row.match_keys)
