"""
Which planted faults the simulation finds: ``python -m tests.simulation.holes --write``.

Each patch of ``tests/holes`` that touches sending, memory or judging is applied to a copy of the project, where seeds
are run one after the other until a promise is broken. Names of patches may follow, with ``*``.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.holes.check import Hole

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "simulation.md"
BEGIN, END = "<!-- planted: begin -->", "<!-- planted: end -->"
#: Names of patches that touch sending, memory or judging.
CONCERNED = (
    "memory-*",
    "intent-*",
    "poll-own-run-only",
    "capture-*",
    "given-up-*",
    "late-receipts-*",
    "lost-ledger-*",
    "owner-*",
    "refused-row-*",
    "sync-*",
    "sql-late-*",
    "sql-claim-*",
    "two-receipts-*",
    "update-behavior-*",
    "verdict-*",
    "waiting-row-*",
    "calls-may-send-*",
    "fingerprint-*",
    "match-keys-first-only",
    "attempts-of-a-*",
)
_FOUND = re.compile(r"^seed (\d+): (\S+) .*after (\d+) nights", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What came of one planted fault: the seed and promise that showed it, and after how many nights."""

    hole: Hole
    seed: str
    promise: str
    nights: str

    def line(self) -> str:
        """Return the line of the table."""
        return f"| `{self.hole.name}` | {self.hole.point} | {self.promise} | {self.seed} | {self.nights} |"


def holes(names: Sequence[str]) -> list[Hole]:
    """Return the planted faults that a simulation has to find, or those of some names."""
    patches = sorted((PROJECT / "tests" / "holes").glob("*.patch"))
    wanted = names or CONCERNED
    return [Hole.read(path) for path in patches if any(fnmatchcase(path.stem, name) for name in wanted)]


def search(hole: Hole, nights: int) -> Result:
    """Plant a fault in a copy of the project and run seeds until it is found."""
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        copy = Path(folder)
        for name in ("airflow_provider_leadsquared", "tests/simulation", "tests/holes"):
            shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.patch"))
        applied = subprocess.run(
            ["git", "apply"], input=hole.diff, text=True, capture_output=True, cwd=folder, check=False
        )
        if applied.returncode:
            return Result(hole, "–", "does not apply", "–")
        run = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seeds", "1-", "--nights", str(nights)],
            cwd=folder,
            env={"PYTHONPATH": folder, "PATH": "/usr/bin:/bin", "HOME": folder, "PYTHONHASHSEED": "0"},
            text=True,
            capture_output=True,
            check=False,
        )
    found = _FOUND.search(run.stdout)
    if found is None:
        is_whole = run.returncode == 0 and run.stdout.endswith("findings: none\n")
        return Result(hole, "–", "not found" if is_whole else "error", f"> {nights:,}")
    return Result(hole, found[1], found[2], f"{int(found[3]):,}")


def results(names: Sequence[str], nights: int) -> Iterator[Result]:
    """Search for planted faults, two at a time; those found first come first."""
    with ThreadPoolExecutor(2) as threads:
        for searched in as_completed([threads.submit(search, hole, nights) for hole in holes(names)]):
            yield searched.result()


def main() -> None:
    """Print the table, or write it into the page."""
    ask = argparse.ArgumentParser(prog="python -m tests.simulation.holes", description=__doc__)
    ask.add_argument("names", nargs="*")
    ask.add_argument("--nights", type=int, default=10_000)
    ask.add_argument("--write", action="store_true")
    args = ask.parse_args()
    lines: list[str] = []
    for result in results(args.names, args.nights):
        lines.append(result.line())
        print(result.line(), flush=True)
    if args.write:
        lines = ["| Patch | What it plants | Promise broken | Seed | Nights |", "|---|---|---|---|---|", *sorted(lines)]
        text = PAGE.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
