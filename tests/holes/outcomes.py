"""
Run tests in a process of their own, and write down how each ended.

``python -m tests.holes.outcomes FILE TEST …`` writes a JSON object into the file: how each test ended, by its node id,
and which files could not be imported.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest


class Recorder:
    """
    A pytest plugin that runs some tests of their files, and keeps how each ended.

    That is ``passed``, ``failed``, ``skipped``, or ``error`` where a fixture failed before the test.

    :param names: Node ids; one without a parameter means all parameters. One that does not exist is no error.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.tests: dict[str, str] = {}
        self.not_imported: list[str] = []
        self._names = set(names)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out the tests that are not named."""
        items[:] = [item for item in items if {item.nodeid, item.nodeid.partition("[")[0]} & self._names]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst of a test's three phases. A fixture that checks a test afterwards makes it fail."""
        if report.failed:
            self.tests[report.nodeid] = "error" if report.when == "setup" else "failed"
        elif report.when == "call" or report.skipped:
            self.tests.setdefault(report.nodeid, report.outcome)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep the files that could not be imported."""
        if report.failed:
            self.not_imported.append(report.nodeid)


def main(file: str, *names: str) -> int:
    """Run the tests and return pytest's exit code."""
    recorder = Recorder(names)
    paths = {name.partition("::")[0]: None for name in names}
    options = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    code = pytest.main([*options, *filter(lambda path: Path(path).exists(), paths)], plugins=[recorder])
    Path(file).write_text(json.dumps({"tests": recorder.tests, "not_imported": recorder.not_imported}))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
