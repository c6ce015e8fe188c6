"""
Check that the tests notice each fault that a patch in this folder plants.

``python -m tests.holes.check`` runs the tests that the patches name: they must pass as the project is, and each must
fail when its patch is applied to a copy of it. Names of patches may follow, without ``.patch``, and with ``*``.
``--table`` prints the table of points, tests and patches, ``--write`` puts it into ``README.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Self

FOLDER = Path(__file__).parent
PROJECT = FOLDER.parents[1]
PAGE = FOLDER / "README.md"
BEGIN, END = "<!-- holes: begin -->", "<!-- holes: end -->"
_HEADERS = ("Point", "Test", "Needs")
#: The copies that are tested at the same time.
AT_ONCE = 2
#: Seconds for the tests of one patch, and for all tests without a patch. A fault may make a test wait for ever.
PATCH_TIMEOUT, PLAIN_TIMEOUT = 180, 900
#: What would let tests import the project from elsewhere, or compile it each time.
LEFT_OUT = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
#: The end of pytest's output that is shown for a patch that went wrong.
TAIL_LINES = 15


class PatchError(ValueError):
    """A patch file is not as it must be."""


@dataclass(frozen=True)
class Hole:
    """
    A fault that a patch plants, and the tests that must notice it.

    :param path: The patch.
    :param point: What would go wrong, in one sentence.
    :param tests: pytest's node ids; without a parameter one of all parameters has to fail.
    :param diff: The patch without its header.
    :param needs: The mark of tests that are left out by default, such as ``mariadb``.
    """

    path: Path
    point: str
    tests: tuple[str, ...]
    diff: str
    needs: str | None = None

    @property
    def name(self) -> str:
        """Name the hole by its file."""
        return self.path.stem

    @property
    def changed(self) -> list[str]:
        """Return the files that the patch changes."""
        return re.findall(r"^diff --git a/(\S+) b/", self.diff, re.MULTILINE)

    @classmethod
    def read(cls, path: Path) -> Hole:
        """
        Read a patch file.

        :raises PatchError: A header is missing, or no diff follows.
        """
        header, separator, diff = path.read_text(encoding="utf-8").partition("\n---\n")
        lines = [line.partition(": ")[::2] for line in header.splitlines() if line.strip()]
        points, tests, needs = ([text.strip() for word, text in lines if word == name] for name in _HEADERS)
        if not separator or not diff.startswith("diff --git a/"):
            raise PatchError(f"{path.name}: after the header there must be a line --- and a diff of git diff -U1")
        if (
            len(points) != 1
            or not points[0]
            or not tests
            or len(needs) > 1
            or len(points + tests + needs) != len(lines)
        ):
            raise PatchError(
                f"{path.name}: the header must have one line 'Point: …', then 'Test: …' lines, nothing else"
            )
        return cls(path, points[0], tuple(tests), diff, *needs)


@dataclass(frozen=True)
class Run:
    """
    What a run of tests showed.

    :param code: pytest's exit code, None if it was stopped.
    :param tests: How each test ended, by node id.
    :param not_imported: Files that could not be imported.
    :param output: What pytest printed.
    """

    code: int | None
    tests: dict[str, str]
    not_imported: list[str]
    output: str

    def outcomes_of(self, test: str) -> set[str]:
        """Return how a test ended, with each of its parameters if none is named."""
        return {outcome for id_, outcome in self.tests.items() if id_ == test or id_.startswith(f"{test}[")}


def holes(names: Sequence[str] = (), folder: Path = FOLDER) -> list[Hole]:
    """
    Read the patches.

    :param names: Only these, which may have a ``*``; all by default.
    :raises PatchError: A patch is not as it must be, or a name fits none.
    """
    found = [Hole.read(path) for path in sorted(folder.glob("*.patch"))]
    for name in names:
        if not any(fnmatchcase(hole.name, name) for hole in found):
            raise PatchError(f"no patch is called {name}")
    return [hole for hole in found if not names or any(fnmatchcase(hole.name, name) for name in names)]


class Runners:
    """
    Processes that run tests, as many as work at the same time: see ``outcomes.py``.

    :param project: A copy of the project.
    """

    def __init__(self, project: Path) -> None:
        self._program = project / "tests" / "holes" / "outcomes.py"
        self._folder = project.parent
        self._all: list[subprocess.Popen[str]] = []
        self._free: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        """Start them. They must not find the project, for they import it from copies."""
        environment = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        environment["AIRFLOW_HOME"] = str(self._folder / "airflow")
        for _ in range(AT_ONCE):
            process = subprocess.Popen(
                [sys.executable, "-P", str(self._program)],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._all.append(process)
            self._free.put(process)
        return self

    def __exit__(self, *_: object) -> None:
        """End them."""
        for process in self._all:
            process.communicate()

    def run(self, copy: Path, tests: Iterable[str], *, timeout: float, needs: str | None) -> Run:
        """Run tests in a copy of the project, those with one mark if there is one."""
        files = {name: self._folder / f"{name}-{uuid.uuid4().hex}" for name in ("log", "outcomes")}
        job = {"folder": str(copy), "tests": list(tests), "timeout": timeout, "needs": needs}
        process = self._free.get()
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps({**job, **{name: str(file) for name, file in files.items()}}), file=process.stdin, flush=True)
        code = json.loads(process.stdout.readline())
        self._free.put(process)
        output = files["log"].read_text(errors="replace") if files["log"].exists() else ""
        if code is None or not files["outcomes"].exists():
            return Run(code, {}, [], output)
        return Run(code, **json.loads(files["outcomes"].read_text()), output=output)


# --- checking -----------------------------------------------------------------------------------------------------


def check(found: Sequence[Hole], project: Path = PROJECT) -> dict[str, str]:
    """
    Check holes, and print a line for each.

    :param found: Holes whose tests need the same.
    :param project: What the patches are applied to; itself it is left as it is.
    :return: What is wrong, by the name of the hole.
    """
    with tempfile.TemporaryDirectory(prefix="holes-") as folder:
        plain = Path(folder) / "plain"
        _copy(project, plain)
        with Runners(plain) as runners, ThreadPoolExecutor(AT_ONCE) as pool:
            wrong = _check_plain(found, plain, runners, pool)
            left = [hole for hole in found if hole.name not in wrong]
            # Copies are made of the one that has run, with its compiled modules.
            for hole, error in zip(left, pool.map(partial(_check_one, plain, runners), left), strict=True):
                if error is not None:
                    wrong[hole.name] = error
    return wrong


def _check_plain(found: Sequence[Hole], plain: Path, runners: Runners, pool: ThreadPoolExecutor) -> dict[str, str]:
    """Run all named tests without a patch, and return what is wrong with them by the name of the hole."""
    tests: dict[str, list[str]] = {}
    for name in sorted({test for hole in found for test in hole.tests}):
        tests.setdefault(name.partition("::")[0], []).append(name)
    files = list(tests.values())
    parts = [[name for file in files[part::AT_ONCE] for name in file] for part in range(min(AT_ONCE, len(files)))]
    runs = list(pool.map(partial(runners.run, plain, timeout=PLAIN_TIMEOUT, needs=found[0].needs), parts))
    errors = {name: _error_of_plain(run, name) for run, part in zip(runs, parts, strict=True) for name in part}
    wrong = {}
    for hole in found:
        if own := [error for test in hole.tests if (error := errors[test]) is not None]:
            wrong[hole.name] = "; ".join(own)
            _tell(hole, wrong[hole.name])
    if wrong:
        print("\n".join(_tail(run.output) for run in runs))
    return wrong


def _error_of_plain(run: Run, test: str) -> str | None:
    outcomes = run.outcomes_of(test)
    if outcomes == {"passed"}:
        return None
    if run.code is None:
        return f"the tests did not end within {PLAIN_TIMEOUT} s without a patch"
    return f"{test} {'does not pass' if outcomes else 'is not found'} without the patch"


def _check_one(plain: Path, runners: Runners, hole: Hole) -> str | None:
    """Return what is wrong with a hole, and print a line about it."""
    start = time.monotonic()
    copy = plain.with_name(hole.name)
    shutil.copytree(plain, copy, symlinks=True)
    try:
        error, output = _try_patch(copy, runners, hole)
    finally:
        shutil.rmtree(copy)
    _tell(hole, error, time.monotonic() - start, output)
    return error


def _try_patch(copy: Path, runners: Runners, hole: Hole) -> tuple[str | None, str]:
    """Apply a patch and run its tests; return what is wrong, and the output that shows it."""
    # Told that the copy's folder is in no repository, git applies the patch to files as they are.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)}
    applied = subprocess.run(
        ["git", "apply", str(hole.path.resolve())],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if applied.returncode != 0:
        return "the patch does not apply", applied.stderr
    for changed in hole.changed:
        # Python takes what it compiled of a file of the same size and second for what it would compile now.
        for compiled in (copy / changed).parent.glob(f"__pycache__/{Path(changed).stem}.*.pyc"):
            compiled.unlink()
    run = runners.run(copy, hole.tests, timeout=PATCH_TIMEOUT, needs=hole.needs)
    if run.code is None:
        return f"the tests did not end within {PATCH_TIMEOUT} s with the patch", run.output
    if run.not_imported:
        return f"{', '.join(run.not_imported)} cannot be imported with the patch", run.output
    unnoticed = [test for test in hole.tests if "failed" not in run.outcomes_of(test)]
    if not unnoticed:
        return None, ""
    outcomes = set().union(*map(run.outcomes_of, unnoticed)) or {"not run"}
    return f"not noticed by {', '.join(unnoticed)} ({', '.join(sorted(outcomes))})", run.output


def _copy(project: Path, target: Path) -> None:
    """Copy the project's files as they are, also those that are not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (project / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, target / name)


def _tell(hole: Hole, error: str | None, seconds: float = 0, output: str = "") -> None:
    text = f"ok    {hole.name} ({seconds:.1f} s)" if error is None else f"WRONG {hole.name}: {error}"
    print("\n".join([text, *([_tail(output)] if output else [])]), flush=True)


def _tail(output: str) -> str:
    return "\n".join(f"      {line}" for line in output.splitlines()[-TAIL_LINES:])


# --- the table ----------------------------------------------------------------------------------------------------


def table(found: Iterable[Hole]) -> str:
    """Return the table of points, tests and patches in Markdown."""
    lines = ["| What would go wrong | Test that notices it | Patch that plants it |", "|---|---|---|"]
    for hole in found:
        tests = "<br>".join(f"[`{test.rpartition('::')[2]}`](../../{test.partition('::')[0]})" for test in hole.tests)
        cells = (hole.point, tests, f"[`{hole.name}`]({hole.path.name})")
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


def page_with_table(page: str, found: Iterable[Hole]) -> str:
    """Return the text of a page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{after}"


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands; 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.holes.check", description=__doc__)
    parser.add_argument("patch", nargs="*", help="names of patches, which may have a *; all by default")
    parser.add_argument("--needs", help="only the patches with this header; by default those without any")
    parser.add_argument("--table", action="store_true", help="print the table instead")
    parser.add_argument("--write", action="store_true", help="put the table into README.md instead")
    options = parser.parse_args(arguments)
    try:
        found = holes(options.patch)
    except PatchError as error:
        print(error, file=sys.stderr)
        return 1
    if options.write:
        PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8"), holes()), encoding="utf-8")
        return 0
    if options.table:
        print(table(found))
        return 0
    found = [hole for hole in found if hole.needs == options.needs]
    start = time.monotonic()
    wrong = check(found) if found else {}
    print(f"{len(found)} patches in {time.monotonic() - start:.0f} s, {len(wrong)} of them wrong{':' * bool(wrong)}")
    for name, what in wrong.items():
        print(f"  {name}: {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
