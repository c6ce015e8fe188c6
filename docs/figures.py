"""Whether each picture and each table of figures of the documentation has a command that makes it, and is there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

RECORD = "docs/figures.toml"
BY_HAND = "drawn by hand"
#: Of the cells right of a table's first column, so many at least begin with a digit if it is one of figures.
_CELLS, _SHARE = 4, 0.25


def faults(project: Path) -> list[str]:
    """
    Return what has no command, and each command or figure that is gone, with file and line.

    :param project: The repository's folder.
    """
    text = (project / RECORD).read_text()
    record = tomllib.loads(text)
    tables = dict(_tables(project))
    pictures = {path.name: f"docs/images/{path.name}:1" for path in sorted((project / "docs" / "images").iterdir())}
    found = []
    for kind, there in (("pictures", pictures), ("tables", tables)):
        recorded = {name: command for command, names in record[kind].items() for name in names}
        found += [f"{place}: no command of {name} in {RECORD}" for name, place in there.items() if name not in recorded]
        for name, command in recorded.items():
            if name not in there:
                found.append(f"{RECORD}:{_line(text, name)}: there is no {name}")
            if command != BY_HAND and not _is_there(project, command):
                found.append(f"{RECORD}:{_line(text, command)}: {command}, which makes {name}, is gone")
    return found


def _line(text: str, words: str) -> int:
    return text[: text.index(f'"{words}"')].count("\n") + 1


def _is_there(project: Path, command: str) -> bool:
    program, *words = command.split()
    if program == "make":
        return re.search(rf"^{words[0]}:", (project / "Makefile").read_text(), re.M) is not None
    path = project / (words[1].replace(".", "/") if words[0] == "-m" else words[0])
    return any(one.is_file() for one in (path, path.with_suffix(".py"), path / "__main__.py"))


def _tables(project: Path) -> Iterator[tuple[str, str]]:
    """Yield each table of figures and each part of a page that a command writes: its name, and where it is."""
    for page in (project / "README.md", *sorted((project / "docs").glob("*.md"))):
        name, heading, part = str(page.relative_to(project)), "", ""
        lines = enumerate(page.read_text().splitlines(), 1)
        for is_table, rows in groupby(lines, key=lambda line: line[1].startswith("|")):
            block = list(rows)
            if is_table and not part and _has_figures([row for _, row in block]):
                yield f"{name}: {heading}", f"{name}:{block[0][0]}"
            for number, line in () if is_table else block:
                if comment := re.fullmatch(r"<!-- (.+): (begin|end) -->", line):
                    part = comment[1] if comment[2] == "begin" else ""
                    if part:
                        yield f"{name}: {part}", f"{name}:{number}"
                elif line.startswith("#"):
                    heading = line.lstrip("# ")


def _has_figures(rows: list[str]) -> bool:
    cells = [cell.strip() for row in rows[2:] for cell in row.strip("|").split("|")[1:]]
    figures = sum(re.match(r"[~≈<≤*]*\d", cell) is not None for cell in cells)
    return figures >= _CELLS and figures >= _SHARE * len(cells)
