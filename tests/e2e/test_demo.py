"""The whole demonstration, as a newcomer runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import MARK, left_running

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Any]:
    """
    Start a demonstration, by default with few customers.

    All that it starts inherits the mark, and all its files lie in `tmp_path`; leads.csv is a file of the user's own.
    """
    own = tmp_path_factory.mktemp("of the user")
    rows = [f"{n},lead{n}@example.org,{('Pune', 'Kochi', 'Agra')[n % 3]}" for n in range(59)]
    (own / "leads.csv").write_text("\n".join(["ID,Email,City", *rows, "59,,Pune", ""]))
    options = [
        str(own / word) if word == "leads.csv" else word for word in getattr(request, "param", ["--count", "40"])
    ]
    inherited = {name: value for name, value in os.environ.items() if name not in ("LEADS", "MAPPING", "KEEP")}
    process = subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-m", "demo", *options],
        cwd=PROJECT,
        env={**inherited, MARK: str(tmp_path), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        yield process
        process.kill()


def test_it_tells_the_truth_of_both_nights_and_leaves_nothing_behind(demo: subprocess.Popen[str], tmp_path: Path):
    shown, _ = demo.communicate(timeout=300)

    assert demo.returncode == 0, shown
    counts = re.findall(r"^(?:sync|wait) +\d+ = .*$", shown, re.MULTILINE)
    assert counts == [
        "sync     40 = invalid 3 + superseded 1 + open 36",
        "wait     36 = created 30 + updated 4 + rejected 2",
        "sync     40 = invalid 2 + superseded 1 + unchanged 32 + open 4 + rejected 1",
        "wait      4 = created 2 + updated 2",
    ]
    for reason in ("MXDuplicateEntryException", "same_match_key", "no_match_key", "not_an_option", "too_long"):
        assert re.search(rf"^ +\d  \w+ +{reason} +\d+$", shown, re.MULTILINE), shown
    assert "email → EmailAddress" in shown
    assert "LeadSquared finds a lead that it has: EmailAddress, else Phone" in " ".join(shown.split())
    assert "make demo LEADS=leads.csv" in shown
    assert "The first night took 36 POSTs, the second 4" in " ".join(shown.split()), shown
    assert "@example.org" not in shown
    # Airflow 3.1 logs lines of its own among them.
    assert max(len(line) for line in shown.splitlines() if not re.match(r"\d{4}-\d\d-\d\dT", line)) <= 100
    assert left_running(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("demo", [["--leads", "leads.csv"]], indirect=True)
def test_a_file_of_ones_own_goes_the_same_way(demo: subprocess.Popen[str]):
    shown, _ = demo.communicate(timeout=300)

    assert demo.returncode == 0, shown
    assert "the 60 leads of leads.csv" in " ".join(shown.split())
    assert re.search(r"^sync +60 = invalid 1 \+ open 59$", shown, re.MULTILINE), shown
    assert re.search(r"^sync +60 = invalid 1 \+ unchanged \d\d \+ open \d( \+ rejected 1)?$", shown, re.MULTILINE), (
        shown
    )


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
    assert left_running(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
