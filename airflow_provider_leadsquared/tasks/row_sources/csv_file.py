"""
The rows of a CSV file. Every value is text, or None where the file holds a text that stands for NULL.

A row's values are personal data and the exceptions of Python's decoders quote them, so none of these is part of ours.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TextIO

from airflow_provider_leadsquared.exceptions import RowSourceError
from airflow_provider_leadsquared.sync.rows import Rows

#: How many rows are held at a time.
_BATCH_ROWS = 1_000


@contextmanager
def read_csv(
    path: str, *, encoding: str = "utf-8-sig", delimiter: str = ",", null_values: Sequence[str] = ("",)
) -> Iterator[Rows]:
    """
    Open a CSV file, and read its rows as they are asked for; the file is open until the block is left.

    :param path: The file. Its first line names the columns.
    :param encoding: Its encoding, a name that Python knows.
    :param delimiter: What separates the columns, one character.
    :param null_values: Texts that stand for NULL, blanks around them not counted.
    :raises ValueError: An argument is wrong.
    :raises RowSourceError: The file cannot be read, has no usable header, or has a line with too many or too few
        values; also while rows are read.
    """
    if not isinstance(path, str) or not path:
        raise ValueError("path is empty; name the CSV file as the worker sees it")
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '\r\n\0"':
        raise ValueError(f"delimiter is {delimiter!r}; write one character, such as ',' or ';'")
    if isinstance(null_values, str) or not all(isinstance(text, str) for text in null_values):
        raise ValueError("null_values must be a list of texts, such as ['', 'n/a']")
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise ValueError(f"encoding is {encoding!r}, which Python does not know; write for example 'cp1252'") from None
    try:
        file = open(path, encoding=encoding, newline="")  # noqa: SIM115 - closed below, after the rows are read
    except OSError as error:
        raise RowSourceError(f"{path} cannot be read: {error.strerror}. The worker must see this path") from None
    with file:
        source = _CsvFile(path, file, encoding, delimiter, frozenset(null_values))
        yield Rows(source.header(), source.batches())


class _CsvFile:
    """One file while it is read, and where in it an error is."""

    def __init__(self, path: str, file: TextIO, encoding: str, delimiter: str, null_values: frozenset[str]) -> None:
        self._path, self._encoding, self._null_values = path, encoding, null_values
        self._delimiter = delimiter
        self._reader = csv.reader(file, delimiter=delimiter, strict=True)
        self._columns: list[str] = []

    def header(self) -> list[str]:
        """Return the columns' names."""
        self._columns = [name.strip() for name in next(self._lines(), [])]
        if not any(self._columns):
            raise RowSourceError(f"{self._path} is empty; its first line must name the columns")
        if len(self._columns) == 1 and (other := re.search(r"[;,\t|]", self._columns[0])):
            raise RowSourceError(
                f"{self._path} has one column only, whose name holds {other.group()!r}; if that separates "
                f"the columns, set delimiter={other.group()!r}"
            )
        if nameless := [str(number) for number, name in enumerate(self._columns, 1) if not name]:
            raise RowSourceError(f"{self._path}: column {', '.join(nameless)} has no name in the first line")
        if doubled := [name for name, count in Counter(self._columns).items() if count > 1]:
            raise RowSourceError(f"{self._path} has columns of the same name: {', '.join(doubled)}")
        return self._columns

    def batches(self) -> Iterator[list[Sequence[Any]]]:
        """Yield rows, some at a time."""
        rows = self._rows()
        while batch := list(islice(rows, _BATCH_ROWS)):
            yield batch

    def _rows(self) -> Iterator[Sequence[Any]]:
        for cells in self._lines():
            if not cells:  # a blank line
                continue
            if len(cells) != len(self._columns):
                raise RowSourceError(
                    f"{self._path}, line {self._reader.line_num}: {len(cells)} values for {len(self._columns)} columns"
                )
            yield [None if cell.strip() in self._null_values else cell for cell in cells]

    def _lines(self) -> Iterator[list[str]]:
        while True:
            problem = None
            try:
                cells = next(self._reader, None)
            except UnicodeError:
                problem = f"is not {self._encoding}; set encoding to the file's own, or save it as UTF-8"
            except csv.Error as error:
                problem = f"is no CSV: {error}"
            except OSError as error:
                problem = f"cannot be read: {error.strerror}"
            if problem is not None:
                # Raised outside the except block: a decoder's exception holds part of the file.
                raise RowSourceError(f"{self._path}, after line {self._reader.line_num}: {problem}")
            if cells is None:
                return
            yield cells
