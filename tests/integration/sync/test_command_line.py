"""The commands on a real ledger and a sandbox, in this process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_leadsquared.cli.main import main
from tests.integration.sync.nights import Night, customer, run_night, run_night_that_closes_early, sync

LEDGER = ["--ledger-conn-id", "warehouse"]


@pytest.fixture
def command(warehouse, capsys):
    """Return a function that runs a command on the warehouse's ledger: its exit code, and what it printed."""

    def run(*arguments: str, ledger: bool = True) -> tuple[int, str, str]:
        of_ledger = [*LEDGER, "--ledger-table", warehouse.ledger] if ledger else []
        capsys.readouterr()
        code = main([*arguments, *of_ledger])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_try(command, warehouse, sandbox, clock):
    warehouse.fill(5)
    run_night(Night("n1"), clock, warehouse)
    warehouse.put(customer(3, "Agra"), customer(9, email="broken"))
    with pytest.raises(Exception):
        run_night(Night("n2"), clock, warehouse)
    for args in (
        ["report"],
        ["report", "--list"],
        ["report", "--json"],
        ["explain", "3"],
        ["explain", "3", "--json"],
        ["ledger", "verify"],
        ["ledger", "migrate"],
        ["erase", "3"],
        ["erase", "3", "--yes"],
        ["explain", "3"],
        ["ledger", "verify"],
    ):
        code, out, err = command(*args)
        open("/tmp/h3/seen/out.txt", "a").write(f"$ {args} {code}\n{out}\n{err}\n")
    for args in (["check"], ["metrics"], ["status", "x"], ["check", "--conn-id", "nope"]):
        code, out, err = command(*args, ledger=False)
        open("/tmp/h3/seen/out.txt", "a").write(f"$ {args} {code}\n{out}\n{err}\n")
    assert 0
