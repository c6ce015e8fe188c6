"""What a night asks its ledger: nothing reads a whole table, so that a night takes as long after years as at first."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import Engine, event

from tests.integration.sync.nights import MORNING, Night, customer, sync
from tests.integration.tasks import wait_for


@pytest.fixture
def asked():
    """Return the statements that ledgers are sent, each with parameters that it had."""
    statements = {}

    def note(connection, cursor, statement, parameters, context, executemany):
        statements[statement] = parameters[0] if executemany else parameters

    event.listen(Engine, "before_cursor_execute", note)
    yield statements
    event.remove(Engine, "before_cursor_execute", note)


def test_nothing_that_a_night_asks_of_its_ledger_reads_a_whole_table(sandbox, clock, on_sqlite, asked, tmp_path):
    sandbox.fault("reject", attribute="mx_City", value="Delhi", exception="MXDuplicateEntryException")
    on_sqlite.put(*[customer(number) for number in range(4)], customer(4, "Delhi"), (5, None, "Pune", "Gold"))
    for night, city in enumerate(("Pune", "Pune", "Kochi")):
        on_sqlite.put(customer(1, city), customer(10 + night, email="customer2@example.org"))
        run = Night(str(night))
        wait_for(run, clock, sync(run, on_sqlite, allowed_rejects=0.9), allowed_rejects=1)
        clock.advance(MORNING)
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as ledger:
        plans = {
            statement: [step for *_, step in ledger.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in asked.items()
            if statement.startswith(("SELECT", "DELETE", "UPDATE", "INSERT"))
        }
    assert len(plans) > 20
    assert not {one: plan for one, plan in plans.items() if any(_reads_a_whole_table(step) for step in plan)}


def _reads_a_whole_table(step: str) -> bool:
    return step.startswith("SCAN") and not step.startswith("SCAN asked VIRTUAL TABLE")  # that is what is asked for
