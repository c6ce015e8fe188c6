"""What commands print: sentences and tables for people, or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

#: Columns of the output where it goes to no terminal: no line is folded.
_WIDTH = 1_000


class Output:
    """
    Where a command prints.

    :param as_json: Print one JSON document, and nothing for people.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._has_printed_json = False
        width = None if sys.stdout.isatty() else _WIDTH
        self._console = Console(width=width, highlight=False, markup=False)
        self._errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    def print_json(self, document: Any) -> None:
        """Print a document, if JSON is wanted."""
        if self.as_json and not self._has_printed_json:
            self._has_printed_json = True
            print(json.dumps(document, indent=2, ensure_ascii=False))

    def print_line(self, text: str = "", *, style: str | None = None) -> None:
        """Print a line for people; it is folded at the terminal's edge."""
        if not self.as_json:
            self._console.print(Text(text, style=style or ""))

    def print_table(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None
    ) -> None:
        """
        Print a table for people.

        :param columns: Their names; those that begin with ``#`` hold numbers.
        :param rows: The values of each row; None is shown as an empty cell.
        """
        if self.as_json:
            return
        table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
        for name in columns:
            is_number = name.startswith("#")
            table.add_column(name.removeprefix("#"), justify="right" if is_number else "left", overflow="fold")
        for row in rows:
            table.add_row(*[Text(_cell(value)) for value in row])
        with self._console.capture() as drawn:
            self._console.print(table)
        lines = [line.rstrip() for line in drawn.get().splitlines()]
        print("", *[line for line in lines if line], sep="\n")

    def print_error(self, message: str) -> None:
        """Print why a command could not do what was asked."""
        self._errors.print(Text(f"Error: {message}", style="red"))
        self.print_json({"error": message})

    def ask(self, question: str) -> bool:
        """Ask a person; anything but yes, and no terminal, is no."""
        if not sys.stdin.isatty():
            return False
        self._errors.print(Text(f"{question} [y/N] "), end="")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    @contextmanager
    def progress(self, name: str) -> Iterator[Progress]:
        """Yield a progress bar on the standard error; where that is no terminal, nothing is shown."""
        columns = TextColumn(name), BarColumn(), MofNCompleteColumn()
        if self.as_json or not self._errors.is_terminal:
            yield Progress(*columns, disable=True)  # not started: rich 13 ends with an empty line even so
            return
        with Progress(*columns, console=self._errors, transient=True) as progress:
            yield progress


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
