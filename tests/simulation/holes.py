"""
Which planted faults the simulation finds: ``python -m tests.simulation.holes --write``.

Each patch of ``tests/holes`` that touches sending, memory or judging is applied to a copy of the project, where seeds
are run one after the other until a promise is broken. Names of patches may follow, with ``*``: then only their lines of
``HOLES.md`` are written anew.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tests.holes.check import Hole
from tests.simulation.not_simulated import NOT_CONCERNED, NOT_SHOWN

PROJECT = Path(__file__).parents[2]
PAGE = Path(__file__).parent / "HOLES.md"
BEGIN, END = "<!-- planted: begin -->", "<!-- planted: end -->"
HEAD = ["| Patch | What it plants | Promise broken | Theme | Seed | Nights |", "|---|---|---|---|---|---|"]
#: Where a search begins, by patterns of names; the others are searched for in all seeds.
BEST_THEMES = {
    "a phone of one household": (
        "memory-old-proof",
        "memory-owner-keeps-*",
        "memory-spelling-in-doubt",
        "memory-spelling-of-a*",
    ),
    "match keys stay in a household": ("memory-unmoved-keys-move", "update-behavior-*"),
    "a phone that many share": ("waiting-rows-*",),
    "captures that are given up in doubt": ("sql-late-receipt-later-doubt",),
    "two spellings of a phone": ("memory-spellings-do-*",),
    "spellings of a phone": ("memory-spelling*",),
    "match keys stay": ("memory-unmoved-*", "memory-waits-by-key-*"),
    "rows of one lead in two instances": (
        "memory-owner-*",
        "memory-no-owner",
        "memory-unchanged-*",
        "owner-*",
    ),
    "cleared match keys": ("memory-R4-*",),
    "leads of others": ("memory-unforeseen-*",),
    "slow calls": ("memory-doubt-*", "memory-repeated-*", "memory-young-*"),
    "doubts that stay": ("memory-given-up-*",),
    "backlogs": ("memory-late-*",),
    "long backlogs": ("unchanged-while-*", "unchanged-match-key-in-*"),
    "readers that sleep": ("memory-number-*",),
    "rows that are kept late": ("unchanged-changed-*",),
    "addresses that move": ("unchanged-former-*", "unchanged-same-*"),
    "unchanged rows": ("unchanged-*",),
    "phones that move": ("match-keys-*", "memory-lead-keeps-*", "memory-own-last-*"),
    "phones that leads share": ("memory-guesses-*", "memory-waits-behind-*"),
    "keys that were never proved": ("memory-loads-no-kin", "memory-no-kin"),
    "two keys of one lead": ("memory-other-keys-*", "memory-person-*", "memory-waits-*"),
    "refusals": ("memory-refused-*",),
    "refusals by chance": ("refused-*",),
    "late refusals": ("memory-older-refusal",),
    "sleepers": ("memory-began-*", "memory-intent-*", "intent-*", "calls-may-send-*"),
    "system errors": ("memory-failed-*", "verdict-failure-*"),
    "one lead, several rows": ("memory-*",),
    "another attribute to search by": ("fingerprint-with-search-*",),
    "other settings": ("fingerprint-*",),
    "lost ledgers": ("lost-ledger-*", "verdict-of-a-receipt-*"),
    "captures without match keys that are given up": ("late-receipts-behind-*", "late-receipts-of-an-*"),
    "captures that are given up": (
        "capture-forgets-further-*",
        "late-receipts-*",
        "sql-late-[!s]*",
        "two-receipts-*",
    ),
    "captures in doubt": ("capture-drops-*",),
    "captures that start over": ("sql-late-start-*", "poll-of-*", "verdict-in-a-later-*", "verdicts-in-another-*"),
    "captures that die": ("output-*",),
    "captures": ("capture-*",),
    "tries that are given up": ("given-up-*", "sync-late-*"),
    "cleared runs": ("sync-*",),
    "lost commits": ("request-id-of-a-repeated-*",),
    "replayed receipts of captures": (
        "request-id-repeated-in-a-retry",
        "request-id-repeated-in-receipts",
        "request-id-repeated-not-*",
    ),
    "replayed RequestIds": ("request-id-*", "poll-outage-at-*"),
    "requests of many runs": ("poll-asked-*",),
    "metrics that lie": ("poll-metrics-*",),
    "late attempts": ("verdict-ladder-*", "poll-*"),
    "requests that are unknown for hours": (
        "verdict-lost-by-*",
        "verdict-lost-stays-*",
        "verdict-cleared-*",
        "verdict-hours-*",
        "verdict-page-*",
    ),
    "lost requests": ("verdict-path-*", "verdict-lost-never"),
    "status calls fail": ("verdict-from-*", "verdict-lost-without-*", "verdict-trouble-*"),
    "a server in between": ("verdict-proxy-*", "verdict-foreign-page"),
    "in doubt": ("attempts-*",),
    "odd forms": ("reading-*",),
    "wrong clocks": ("verdict-workers-*", "deferred-again-*"),
    "triggers": ("deferred-*",),
}
#: Importing libraries takes longer than some searches, so it is done once, before a copy is run in a fork.
LIBRARIES = (
    "aiohttp",
    "airflow.providers.common.compat.sdk",
    "airflow.sdk",
    "airflow.triggers.base",
    "asgiref.sync",
    "pendulum",
    "requests",
    "sqlalchemy",
    "tenacity",
)
#: Seconds for one patch: a fault may be an endless loop.
PATCH_TIMEOUT = 3_600
_FOUND = re.compile(r"^seed (\d+): (\S+) .*?after (\d+) nights$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Result:
    """What came of one planted fault: the promise that was broken, by which seed, and after how many nights."""

    hole: Hole
    promise: str
    seed: str = "–"
    nights: str = "–"

    def line(self) -> str:
        """Return the line of the table."""
        cells = (
            f"`{self.hole.name}`",
            self.hole.point,
            self.promise,
            theme_of(self.hole) or "all",
            self.seed,
            self.nights,
        )
        return f"| {' | '.join(cells)} |"


def every_hole() -> list[Hole]:
    """Return all patches of ``tests/holes``."""
    return [Hole.read(path) for path in sorted((PROJECT / "tests" / "holes").glob("*.patch"))]


def is_concerned(name: str) -> bool:
    """Tell whether a patch touches sending, memory or judging."""
    return not any(fnmatchcase(name, pattern) for pattern in NOT_CONCERNED)


def holes(names: Sequence[str] = ()) -> list[Hole]:
    """Return the planted faults that a simulation has to find, or those of some names."""
    return [
        hole
        for hole in every_hole()
        if (any(fnmatchcase(hole.name, name) for name in names) if names else is_concerned(hole.name))
        and hole.name not in NOT_SHOWN
    ]


def theme_of(hole: Hole) -> str | None:
    """Return the theme whose stories show a fault best, None for all seeds."""
    found = (theme for theme, patterns in BEST_THEMES.items() if any(fnmatchcase(hole.name, one) for one in patterns))
    return next(found, None)


def search(hole: Hole, first: int, nights: int) -> Result:
    """
    Plant a fault in a copy of the project and run seeds until it is found.

    :param first: The first seed.
    :param nights: How many nights at most.
    """
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        copy = Path(folder)
        for name in ("airflow_provider_leadsquared", "tests/simulation"):
            shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        applied = subprocess.run(
            ["git", "apply", "--include=airflow_provider_leadsquared/*"],
            input=hole.diff,
            text=True,
            capture_output=True,
            cwd=folder,
            check=False,
        )
        if applied.returncode:
            return Result(hole, "does not apply")
        log = copy / "log"
        theme = theme_of(hole)
        chosen = [] if theme is None else ["--theme", theme]
        code = _run_in(copy, ["--seeds", f"{first}-", "--nights", str(nights), *chosen], log)
        told = log.read_text(encoding="utf-8")
    if found := _FOUND.search(told):
        return Result(hole, found[2], found[1], f"{int(found[3]):,}")
    is_whole = code == 0 and told.endswith("findings: none\n")
    return Result(hole, "not found" if is_whole else "error", nights=f"> {nights:,}")


def _run_in(folder: Path, arguments: Sequence[str], log: Path) -> int:
    """Run the simulation of a copy in a fork of this process, and return its exit code."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 70
    try:
        signal.alarm(PATCH_TIMEOUT)
        with log.open("w", encoding="utf-8") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        for name in [
            name for name in sys.modules if name.partition(".")[0] in ("tests", "airflow_provider_leadsquared")
        ]:
            del sys.modules[name]
        sys.path[:] = [str(folder), *(path for path in sys.path if Path(path or ".").resolve() != PROJECT)]
        sys.argv = ["simulate", *arguments]
        os.chdir(folder)
        importlib.import_module("tests.simulation.command").main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


def results(found: Sequence[Hole], first: int, nights: int) -> Iterator[Result]:
    """Search for planted faults one after the other."""
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="simulation-"))
    for library in LIBRARIES:
        importlib.import_module(library)
    for hole in found:
        yield search(hole, first, nights)


def written(page: str, lines: Sequence[str]) -> str:
    """Return the page with some lines of its table written anew; lines of patches that are gone are left out."""
    before, rest = page.split(BEGIN)
    table, after = rest.split(END)
    kept = {line.split("`")[1]: line for line in [*table.splitlines(), *lines] if line.startswith("| `")}
    concerned = [kept[hole.name] for hole in holes() if hole.name in kept]
    return before + "\n".join([BEGIN, "", *HEAD, *concerned, "", END]) + after


def main() -> None:
    """Print the table, or write it into the page."""
    ask = argparse.ArgumentParser(prog="python -m tests.simulation.holes", description=__doc__)
    ask.add_argument("names", nargs="*")
    ask.add_argument("--nights", type=int, default=10_000)
    ask.add_argument("--first", type=int, default=1, help="the first seed")
    ask.add_argument("--write", action="store_true")
    args = ask.parse_args()
    for result in results(holes(args.names), args.first, args.nights):
        print(result.line(), flush=True)
        if args.write:
            PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), [result.line()]), encoding="utf-8")


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation.holes", *sys.argv[1:]])  # noqa: S606 - itself
    main()
