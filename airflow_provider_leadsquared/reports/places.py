"""Where a page of a list begins: after which line. Plain values, so that they can stand in an address."""

from __future__ import annotations

from typing import NamedTuple


class RunPlace(NamedTuple):
    """
    A run in the list of runs.

    :param began_at: When its first try began, seconds since the epoch.
    :param scope: What its entries are kept under.
    """

    began_at: float
    scope: str


class OpenPlace(NamedTuple):
    """
    A request in the list of open ones.

    :param written_at: When its line was last written, seconds since the epoch.
    :param entry_id: Its line in the run.
    """

    written_at: float
    entry_id: str


class RowPlace(NamedTuple):
    """
    A row in the list of a run's rows.

    :param row_key: Its row key, None where it has none.
    :param entry_id: Its line in the run.
    """

    row_key: str | None
    entry_id: str
