"""The tables and charts that benchmarks write into ``docs/performance.md``, each between two comments of its own."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_LOAD = os.getloadavg()[0]


def conditions(command: str) -> str:
    """Return by which command, when and on what a benchmark was run; the load is that when its process began."""
    return (
        f"`{command}` on {dt.date.today().isoformat()}: {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}, load average {_LOAD:.1f} when it began."
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def is_met(verdict: bool | None) -> str:
    """Return the cell that says whether a goal is met; None where there is no goal."""
    return "" if verdict is None else "yes" if verdict else "**no**"


def publish(name: str, text: str, *, is_written: bool, page: Path = PAGE) -> None:
    """
    Print a section, and write it into the page if that is asked for.

    :param name: The section stands between ``<!-- name: begin -->`` and ``<!-- name: end -->``.
    :raises ValueError: The page has no such comments.
    """
    print(f"\n{text}", flush=True)
    if is_written:
        whole, begin, end = page.read_text(), f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, after = whole[: whole.index(begin)], whole[whole.index(end) :]
        page.write_text(f"{before}{begin}\n\n{text}\n\n{after}")


@contextmanager
def chart(name: str, *, page: Path = PAGE, height: float = 4.0) -> Iterator[Any]:
    """Yield axes, and save the chart beside the page as ``images/<name>.svg``: the same for the same figures."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = name
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, height))
    yield axes
    figure.tight_layout()
    folder = page.parent / "images"
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)


def dots(name: str, title: str, values: dict[str, float], *, unit: str, goals: dict[str, float]) -> None:
    """Draw a dot for each name, on a logarithmic scale, and a line where its goal is."""
    with chart(name, height=1.0 + 0.28 * len(values)) as axes:
        axes.plot(list(values.values()), list(values), "o")
        known = {label: goal for label, goal in goals.items() if label in values}
        axes.plot(list(known.values()), list(known), "|", color="black", markersize=14)
        axes.invert_yaxis()
        axes.grid(visible=True, axis="both", linewidth=0.4)
        axes.set(xscale="log", xlabel=unit, title=title)
