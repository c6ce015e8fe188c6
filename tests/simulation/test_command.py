"""The command with several processes: a finding in one ends the others, and none outlives the command."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Any

import pytest

from tests.simulation import command

#: So many nights that no run gets through them.
FOR_EVER = 10**9


@pytest.fixture
def empty_nights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a simulation be a moment in which nothing happens."""
    monkeypatch.setattr(command, "seams", SimpleNamespace(install=lambda: None))
    monkeypatch.setattr(command.plans, "draw", lambda seed, theme: SimpleNamespace(seed=seed, theme="nothing"))

    def simulation(plan: Any, kept: Any, *, tells: bool) -> Any:
        time.sleep(0.001)
        return SimpleNamespace(plan=plan, nights=1)

    monkeypatch.setattr(command, "Simulation", simulation)
    monkeypatch.setattr(command, "_failure", lambda simulation: None)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in two processes."""
    monkeypatch.setattr(sys, "argv", ["simulate", "--processes", "2", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return int(ended.value.code or 0)


def test_a_finding_in_one_process_ends_the_others(empty_nights, monkeypatch, capfd):
    monkeypatch.setattr(command, "_failure", lambda simulation: "A0 x" if simulation.plan.seed == 20 else None)
    assert run(monkeypatch, "--nights", "20000") == 1
    [(found, nights)] = re.findall(r"seed (\d+): A0 x.*\n([\d,]+) nights", capfd.readouterr().out)
    assert found == "20"
    assert int(nights.replace(",", "")) < 10_000


def test_all_processes_go_on_after_a_finding_if_all_are_wanted(empty_nights, monkeypatch, capfd):
    monkeypatch.setattr(command, "_failure", lambda simulation: "A0 x" if simulation.plan.seed % 10 == 0 else None)
    assert run(monkeypatch, "--seeds", "1-40", "--all") == 1
    assert "40 nights of 40 seeds" in capfd.readouterr().out


def test_the_processes_end_with_the_command_when_it_is_killed(empty_nights, monkeypatch):
    reading, writing = os.pipe()
    simulation = command.Simulation

    def telling(*given: Any, **options: Any) -> Any:
        os.write(writing, b"%d " % os.getpid())
        return simulation(*given, **options)

    monkeypatch.setattr(command, "Simulation", telling)
    process = get_context("fork").Process(target=run, args=(monkeypatch, "--nights", str(FOR_EVER)))
    process.start()
    os.close(writing)
    told = os.read(reading, 65_536)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    until = time.monotonic() + 10
    # The pipe is at its end when nobody is left who could write to it.
    while (more := os.read(reading, 65_536)) and time.monotonic() < until:
        told += more
    os.close(reading)
    if more:
        for pid in set(told.split()[1:-1]):
            os.kill(int(pid), signal.SIGKILL)
    assert not more, "a process has outlived the command"
