"""The whole demonstration, as a newcomer runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

PROJECT = Path(__file__).parents[2]
MARK = "LEADSQUARED_DEMO_UNDER_TEST"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a demonstration with few leads; all that it starts inherits the mark, all its files lie in `tmp_path`."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("LEADS", "MAPPING", "KEEP")}
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", "--count", "40"],
        cwd=PROJECT,
        env={**inherited, MARK: str(tmp_path), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        yield process
        process.kill()


def left_running(tmp_path: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _environment(process).get(MARK) == str(tmp_path)]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def test_it_tells_the_truth_and_leaves_nothing_behind(demo: subprocess.Popen[str], tmp_path: Path):
    shown, _ = demo.communicate(timeout=180)

    assert demo.returncode == 0, shown
    assert re.search(r"^capture +40 = invalid 1 \+ superseded 1 \+ open 38$", shown, re.MULTILINE), shown
    assert re.search(r"^wait +38 = created 30 \+ updated 4 \+ rejected 4$", shown, re.MULTILINE), shown
    for reason in ("MXInvalidInputException", "MXDuplicateEntryException", "MXUnknownAttributeException"):
        assert re.search(rf"^ +\d  rejected +{reason} +L-\d+$", shown, re.MULTILINE), shown
    assert "Each of the 40 rows has exactly one verdict" in " ".join(shown.split()), shown
    assert "@example.org" not in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert left_running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_interrupted_it_leaves_nothing_behind(demo: subprocess.Popen[str], tmp_path: Path):
    assert demo.stdout
    for line in demo.stdout:
        if "Airflow starts" in line:
            break
    demo.send_signal(signal.SIGINT)
    shown, _ = demo.communicate(timeout=60)

    assert demo.returncode == 130, shown
    assert "nothing is left running" in shown
    assert "Traceback" not in shown
    assert left_running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
