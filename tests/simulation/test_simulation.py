"""A share of the simulation, and the machine's own tests."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from tests.simulation import plan
from tests.simulation.loop import VirtualLoop
from tests.simulation.shrinking import smallest
from tests.simulation.stories import THEMES
from tests.simulation.timeline import START, Timeline, Worker
from tests.simulation.wire import random_of

PROJECT = Path(__file__).parents[2]
#: Nights in each run of the tests: half a minute at most.
NIGHTS = 150


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own: it replaces clocks and chance for good."""
    # Coverage does not measure it: that costs more than the simulation itself.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "AIRFLOW"))}
    environment = {**kept, "PYTHONPATH": str(PROJECT), "PYTHONHASHSEED": "0"}
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=PROJECT,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )


def test_nights_of_some_seeds_keep_every_promise():
    run = simulate("--seeds", "1-", "--nights", str(NIGHTS))
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.match(r"1\d\d nights of \d+ seeds .*; findings: none\n", run.stdout)


def test_two_runs_of_one_seed_are_equal_byte_for_byte():
    first, second = (simulate("--seeds", "2", "--story") for _ in range(2))
    story = first.stdout.splitlines()[:-1]  # the last line has the time that it took
    assert story == second.stdout.splitlines()[:-1]
    assert len(story) > 30
    assert re.fullmatch("[0-9a-f]{64}", story[-1])


def test_a_failing_plan_is_shortened_to_what_it_needs():
    assert smallest(list(range(40)), lambda kept: {7, 23} <= set(kept)) == [7, 23]


@pytest.mark.parametrize("needed", [{0}, {39}, set(range(40))])
def test_no_needed_event_is_left_out(needed):
    assert set(smallest(list(range(40)), lambda kept: needed <= set(kept))) == needed


def test_a_worker_that_is_killed_before_it_begins_ends_nothing_else():
    timeline, done = Timeline(random_of(1)), []
    worker = Worker(timeline, "send", random_of(1))
    worker.start(lambda: done.append("begun"))
    worker.kill()
    timeline.at(START + 1, lambda: done.append("later"))
    timeline.run(START + 2)
    assert done == ["later"]


def test_what_a_killed_process_had_not_begun_is_no_warning():
    timeline = Timeline(random_of(1))
    worker = Worker(timeline, "send", random_of(1))
    worker.at_step["await", 1] = Worker.kill

    async def calls() -> None:
        pytest.fail("nothing of a killed process runs")

    def act() -> None:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(timeline)) as runner:
            runner.run(calls())

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        worker.start(act)
        timeline.run(START + 1)
        gc.collect()
    assert worker.is_dead
    assert not warned


def test_every_theme_is_drawn():
    assert {plan.theme_of(seed) for seed in range(1, 1_000)} == {"everything", *THEMES}


def test_a_theme_can_be_given_to_any_seed_and_its_own_theme_changes_nothing():
    own = plan.theme_of(18)
    assert plan.draw(18, own) == plan.draw(18)
    assert plan.draw(18, "sleepers").theme == "sleepers"
