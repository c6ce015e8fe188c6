"""Rows as a sync takes them, whatever source they come from: columns and an iterator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any


class Rows:
    """
    The rows of a source, to be read once.

    :param columns: The columns' names as the source gives them, in order; a name may be there twice.
    :param batches: The rows, some at a time, each with its values in the order of the columns.
    """

    def __init__(self, columns: Sequence[str], batches: Iterable[Sequence[Sequence[Any]]]) -> None:
        self.columns = tuple(columns)
        self._rows = (row for batch in batches for row in batch)

    def __iter__(self) -> Iterator[Sequence[Any]]:
        return self._rows
