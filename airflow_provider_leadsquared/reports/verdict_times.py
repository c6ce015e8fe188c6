"""How long LeadSquared took from acceptance to verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from airflow_provider_leadsquared.ledgers.column_values import seconds_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_provider_leadsquared.ledgers.schema import Tables

#: Rows that are read for it at most. They are taken in the order of their ids, which are hashes: a fair sample.
SAMPLE = 2_000
#: Runs of which some are read at most.
_RUNS = 50


@dataclass(frozen=True, slots=True)
class VerdictTimes:
    """
    Seconds from acceptance to verdict.

    :param seconds: Those of each row that was looked at, the shortest first.
    :param is_sample: Whether there may be other rows.
    """

    seconds: tuple[float, ...]
    is_sample: bool

    def share(self, share: float) -> float | None:
        """Return after how many seconds such a share of the rows had its verdict; None where no row has one."""
        if not self.seconds:
            return None
        return self.seconds[max(math.ceil(share * len(self.seconds)) - 1, 0)]


def read_verdict_times(
    connection: Connection, tables: Tables, scopes: Sequence[str], *, sample: int = SAMPLE
) -> VerdictTimes:
    """
    Return how long LeadSquared took for rows of some runs.

    :param scopes: The runs.
    :param sample: Rows that are read at most.
    """
    entries = tables.entries
    step = math.ceil(len(scopes) / _RUNS) or 1
    chosen = scopes[::step]
    limit = math.ceil(sample / max(len(chosen), 1))
    seconds: list[float] = []
    is_sample = step > 1
    for scope in chosen:
        query = select(entries.c.accepted_at, entries.c.settled_at).where(entries.c.scope == scope)
        lines = connection.execute(query.order_by(entries.c.entry_id).limit(limit)).all()
        is_sample = is_sample or len(lines) == limit
        seconds += [
            max(seconds_of(settled) - seconds_of(accepted), 0.0)
            for accepted, settled in lines
            if accepted is not None and settled is not None
        ]
    return VerdictTimes(tuple(sorted(seconds)), is_sample)
