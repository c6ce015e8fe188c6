"""The counts of a task: how many of the rows that it read are in which state."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from airflow_provider_leadsquared.api.errors import LeadSquaredError
from airflow_provider_leadsquared.delivery.states import State

#: The reason of rejects that have none.
NO_REASON = "no reason given"


class CountsError(LeadSquaredError, AssertionError):
    """The states do not add up to the rows that were read: a fault of this package, never of the data."""


class HasState(Protocol):
    """Anything that is in a state for a reason."""

    @property
    def state(self) -> State:
        """The state."""

    @property
    def reason_class(self) -> str | None:
        """Why, in one word; None where there is nothing to explain."""


@dataclass(frozen=True, slots=True)
class Counts:
    """
    How many rows are in which state.

    :param read: Rows that were read.
    :param states: Rows per state; states without a row are absent.
    :param reasons: Rows per state and reason class, only for states that need a reason.
    """

    read: int
    states: Mapping[State, int]
    reasons: Mapping[tuple[State, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[HasState], *, read: int) -> Counts:
        """
        Count rows by state.

        :param rows: Every row, each once.
        :param read: How many rows were read, counted where they were read.
        :raises CountsError: The two differ.
        """
        return cls.from_totals(Counter((row.state, row.reason_class) for row in rows), read=read)

    @classmethod
    def from_totals(cls, totals: Mapping[tuple[State, str | None], int], *, read: int) -> Counts:
        """
        Take over totals by state and reason class.

        :param totals: Every row, each counted once.
        :param read: How many rows were read, counted where they were read.
        :raises CountsError: The two differ.
        """
        states: Counter[State] = Counter()
        reasons: Counter[tuple[State, str]] = Counter()
        for (state, reason_class), count in totals.items():
            states[state] += count
            if state.is_reject:
                reasons[state, reason_class or NO_REASON] += count
        if states.total() != read:
            raise CountsError(f"{read} rows were read, but {states.total()} are in a state: {_line(read, states)}")
        return cls(read, dict(states), dict(reasons))

    @property
    def rejects(self) -> int:
        """Rows that are not in the CRM, or of which nobody can tell: invalid, in doubt, rejected or failed."""
        return sum(count for state, count in self.states.items() if state.is_reject)

    def are_within(self, allowed: float) -> bool:
        """
        Tell whether there are no more rejects than allowed.

        :param allowed: A number of rows as an ``int``, or a share of the rows read as a ``float`` from 0.0 to 1.0.
        """
        if isinstance(allowed, float):  # divided, for 0.29 * 100 is less than 29
            return self.rejects == 0 or self.rejects / self.read <= allowed
        return self.rejects <= allowed

    def __str__(self) -> str:
        return _line(self.read, self.states)

    def reasons_text(self, most: int | None = None) -> str:
        """
        Return the rejects by state and reason, most frequent first: ``rejected: 3 MXDuplicateEntryException; …``.

        :param most: How many reasons to name; the rest is counted. Default: all.
        """
        ordered = self.ordered_reasons()
        named = [f"{state.value}: {count:,} {reason}" for (state, reason), count in ordered[:most]]
        left = sum(count for _, count in ordered[len(named) :])
        return "; ".join([*named, *([f"{left:,} for other reasons"] if left else [])])

    def ordered_reasons(self) -> list[tuple[tuple[State, str], int]]:
        """Return the rejects by state and reason, most frequent first."""
        return sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))

    def reasons_as_dict(self) -> dict[str, int]:
        """Return the rejects by state and reason: ``{"rejected: MXDuplicateEntryException": 3}``."""
        return {f"{state.value}: {reason}": count for (state, reason), count in self.reasons.items()}

    def as_dict(self) -> dict[str, int]:
        """Return plain counts, for XCom: ``{"read": 3, "created": 2, "rejected": 1}``."""
        return {"read": self.read, **{state.value: self.states[state] for state in State if state in self.states}}


def parse_allowed_rejects(allowed: object) -> float:
    """
    Parse an author's ``allowed_rejects``.

    :param allowed: A count (``int``), a share (``float``), or either as text, as a template renders it.
    :raises ValueError: It is neither.
    """
    value = allowed
    if isinstance(value, str) and re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
        value = float(value) if "." in value else int(value)
    count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    share = isinstance(value, float) and 0.0 <= value <= 1.0
    if not count and not share:
        raise ValueError(
            f"allowed_rejects is {allowed!r}; write a number of rows (int) or a share from 0.0 to 1.0 (float)"
        )
    return cast(float, value)


def _line(read: int, states: Mapping[State, int]) -> str:
    parts = [f"{state.value} {states[state]:,}" for state in State if states.get(state)]
    return f"read {read:,} = {' + '.join(parts) or '0'}"
