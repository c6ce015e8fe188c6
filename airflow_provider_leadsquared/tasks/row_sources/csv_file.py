"""
The rows of a CSV file. Every value is text, or None where the file holds a text that means NULL.

A row's values are personal data and the exceptions of Python's decoders quote them, so none of these is part of ours.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TextIO

from airflow_provider_leadsquared.exceptions import RowSourceError, UnusableFileError
from airflow_provider_leadsquared.sync.rows import Rows

#: How many rows are held at a time.
_BATCH_ROWS = 1_000
#: An e-mail address, a telephone number or a lead id: a file that has one in its first line has no header, and the
#: line's values would be shown as if they were columns' names.
_VALUE = re.compile(
    r"[^\s@]+@[^\s@]+\.[^\s@.]+|\+?(?:[ ().-]*\d){9,}|[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}", re.IGNORECASE
)


@contextmanager
def read_csv(
    path: str, *, encoding: str = "utf-8-sig", delimiter: str = ",", null_values: Collection[str] = ("",)
) -> Iterator[Rows]:
    """
    Open a CSV file, and read its rows as they are asked for; the file is open until the block is left.

    :param path: The file. Its first line names the columns.
    :param encoding: Its encoding, a name that Python knows. A byte order mark of UTF-8 is no part of the text.
    :param delimiter: What separates the columns, one character.
    :param null_values: Texts that mean NULL, blanks around them not counted.
    :raises ValueError: An argument is wrong.
    :raises UnusableFileError: The file has no usable header, is not in this encoding, or has a line with too many or
        too few values; also while rows are read.
    :raises RowSourceError: The file cannot be read at all, such as one that is not there.
    """
    if not isinstance(path, str) or not path:
        raise ValueError("path is empty; name the CSV file as the worker sees it")
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '\r\n\0"':
        raise ValueError(f"delimiter is {delimiter!r}; write one character, such as ',' or ';'")
    is_list = isinstance(null_values, Collection) and not isinstance(null_values, str)
    if not is_list or not all(isinstance(text, str) for text in null_values):
        raise ValueError("null_values must be a list of texts, such as ['', 'n/a']")
    if not isinstance(encoding, str) or not encoding:
        raise ValueError(f"encoding is {encoding!r}; write a name that Python knows, such as 'utf-8' or 'cp1252'")
    if encoding.lower().replace("_", "-") in {"utf-8", "utf8"}:
        encoding = "utf-8-sig"
    try:
        file = open(path, encoding=encoding, newline="")  # noqa: SIM115 - closed below, after the rows are read
    except LookupError:
        raise ValueError(f"encoding is {encoding!r}, which Python does not know; write for example 'cp1252'") from None
    except OSError as error:
        raise RowSourceError(f"{path} cannot be read: {error.strerror}. The worker must see this path") from None
    with file:
        source = _CsvFile(path, file, encoding, delimiter, frozenset(text.strip() for text in null_values))
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
        _, cells = next(self._lines(), (1, []))
        columns = [name.strip() for name in cells]
        if not any(columns):
            raise UnusableFileError(f"{self._path}, line 1 is empty; it must name the columns")
        if any("\0" in name for name in columns):
            raise UnusableFileError(f"{self._path}, line 1 {self._not_in_encoding}")
        if values := [str(number) for number, name in enumerate(columns, 1) if _VALUE.fullmatch(name)]:
            raise UnusableFileError(
                f"{self._path}, line 1 has a value of a lead in column {', '.join(values)}; put a line above it that "
                "names the columns"
            )
        if len(columns) == 1 and (other := re.search(r"[,;\t|]", columns[0])):
            raise UnusableFileError(
                f"{self._path}, line 1 has one column only, whose name holds {other.group()!r}; if that separates "
                f"the columns, set delimiter={other.group()!r}"
            )
        if nameless := [str(number) for number, name in enumerate(columns, 1) if not name]:
            raise UnusableFileError(f"{self._path}, line 1 has no name for column {', '.join(nameless)}; write one")
        if doubled := [name for name, count in Counter(columns).items() if count > 1]:
            raise UnusableFileError(
                f"{self._path}, line 1 has columns of the same name: {', '.join(doubled)}; rename all but one"
            )
        self._columns = columns
        return columns

    def batches(self) -> Iterator[list[Sequence[Any]]]:
        """Yield rows, some at a time."""
        rows = self._rows()
        while batch := list(islice(rows, _BATCH_ROWS)):
            yield batch

    def _rows(self) -> Iterator[Sequence[Any]]:
        for line, cells in self._lines():
            if not cells:  # a blank line
                continue
            if len(cells) != len(self._columns):
                raise UnusableFileError(
                    f"{self._path}, line {line}: {len(cells)} values for {len(self._columns)} columns; correct the "
                    f"line, and put a value that holds {self._delimiter!r} in double quotes"
                )
            yield [None if cell.strip() in self._null_values else cell for cell in cells]

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """Yield what the file holds, each with the line on which it begins."""
        while True:
            line = self._reader.line_num + 1
            problem: str | None = None
            kind: type[RowSourceError] = UnusableFileError
            try:
                cells = next(self._reader, None)
            except UnicodeError as error:
                line = self._reader.line_num + 1 + _lines_before(error)
                problem = self._not_in_encoding
            except csv.Error as error:
                problem = f"is no CSV: {error}; look for a double quote that is not closed, or not doubled in a value"
            except OSError as error:
                problem, kind = f"cannot be read: {error.strerror}", RowSourceError  # another try may do better
            if problem is not None:
                # Raised outside the except block: a decoder's exception holds part of the file.
                raise kind(f"{self._path}, line {line} {problem}")
            if cells is None:
                return
            yield line, cells

    @property
    def _not_in_encoding(self) -> str:
        name = "UTF-8" if self._encoding == "utf-8-sig" else self._encoding
        return f"is not {name}; set encoding to the file's own, such as 'cp1252', or save it as UTF-8"


def _lines_before(error: UnicodeError) -> int:
    """Count the lines that end in the part that could not be decoded, before the place where it fails."""
    if not isinstance(error, UnicodeDecodeError):
        return 0
    text = error.object[: error.start].decode(error.encoding, "ignore")
    return text.count("\n") or text.count("\r")
