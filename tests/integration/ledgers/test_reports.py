"""Reports, the runs' migration and erasing on each database, through Airflow's hooks."""

from __future__ import annotations

import time

import pytest

from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.poll_learnt import LEARNT, Learnt
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.ledgers.erasure import Erasure
from airflow_provider_leadsquared.ledgers.migrations import MIGRATIONS
from airflow_provider_leadsquared.ledgers.run_metadata import write_metadata
from airflow_provider_leadsquared.reports import (
    facts,
    histories,
    next_polls,
    nights,
    open_rows,
    runs,
    verdict_times,
    verification,
)
from airflow_provider_leadsquared.reports.places import RunPlace
from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress
from airflow_provider_leadsquared.tasks.ledgers import open_database
from tests.support.ledger_databases import CONN_ID, RUN, LedgerDatabase


@pytest.fixture
def opened(ledger_database: LedgerDatabase) -> Database:
    """Return the database of a ledger with a sync's run: a row in the CRM, one that was rejected, one that is open."""
    ledger = ledger_database.sync_ledger()
    ledger.claim("try")
    ledger.begin()
    now = time.time()
    rows = [Entry(n, State.IN_DOUBT, f"k{n}", f"{n:032x}", attempts=1) for n in range(3)]
    keys = [(("EmailAddress", f"lead{n}@example.com"),) for n in range(3)]
    written = ledger.intend([(row, Payload(b"{}", key, row.fingerprint)) for row, key in zip(rows, keys, strict=True)])
    ledger.write([row.moved(State.OPEN, request_id=f"r{row.row}", accepted_at=now) for row in written])
    requests = ledger_database.open_requests()
    first, second, _ = sorted(requests.load().entries.values(), key=lambda entry: entry.row)
    requests.write(
        [
            first.moved(State.CREATED, lead_id="lead", settled_at=now),
            second.moved(State.REJECTED, reason_class="MXDuplicateEntryException", settled_at=now),
        ]
    )
    return open_database(LedgerAddress(CONN_ID, ledger_database.table))


def test_reports_say_the_same_on_each_database(opened: Database):
    tables = opened.tables
    with opened.existing() as connection:
        [run] = runs.list_runs(connection, tables)
        night = runs.read_night(connection, tables, RUN.dag_id, RUN.run_id)
        [rejected] = runs.list_rejects(connection, tables, run.scope, State.REJECTED)
        [still_open] = open_rows.list_open(connection, tables)
        history = histories.read_history(connection, tables, "k1")
        found = facts.read_facts(connection, tables)
        dags = nights.list_dags(connection, tables)
        page = nights.list_nights(connection, tables, dag_ids=dags)
        times = verdict_times.read_verdict_times(connection, tables, [run.scope])
        [poll] = next_polls.next_polls(connection, tables, [still_open], time.time())
        learnt = {LEARNT: Learnt(polled_at=time.time() - 1).as_json()}
        write_metadata(connection, tables.metadata, RUN.scope, learnt)
        [later] = next_polls.next_polls(connection, tables, [still_open], time.time())
        problems = [*verification.verify_tables(connection, tables)]
        problems += [one for _, some in verification.verify_lines(connection, tables) for one in some]
        after = [
            *runs.list_runs(connection, tables, before=run),
            *runs.list_rejects(connection, tables, run.scope, State.REJECTED, after=rejected),
            *open_rows.list_open(connection, tables, after=still_open),
            *nights.list_nights(connection, tables, before=RunPlace(run.began_at, run.scope)).nights,
        ]
    assert night is not None
    assert night.states == {State.CREATED: 1, State.REJECTED: 1, State.OPEN: 1}
    assert [(one.reason_class, one.examples) for one in night.reasons] == [("MXDuplicateEntryException", ("k1",))]
    assert (rejected.name, still_open.name, history.steps[0].state) == ("k1", "k2", State.REJECTED)
    assert history.remembered[0].refusal is not None
    assert found.size is not None
    assert found.size > 10_000
    assert (problems, after) == ([], [])
    assert (dags, [one.states for one in page.nights], page.older) == ([RUN.dag_id], [night.states], None)
    assert len(times.seconds) == 2
    assert poll is not None
    assert later is not None
    assert later > poll  # a task that has just polled does not do so again at once


def test_a_row_is_erased_on_each_database(ledger_database: LedgerDatabase, opened: Database):
    with opened.existing(writes=True) as connection:
        erasure = Erasure(connection, opened.tables, "k1", now=time.time(), settle_timeout=60)
        assert (erasure.kept.entries, erasure.kept.rows, erasure.kept.match_keys) == (1, 1, 1)
        erasure.erase()
    assert ledger_database.select("SELECT row_key FROM {table} ORDER BY row_key") == [("k0",), ("k2",)]
    assert ledger_database.select("SELECT COUNT(*) FROM {table}_lines WHERE row_key = 'k1'") == [(0,)]


def test_the_runs_are_known_after_the_migration_on_each_database(ledger_database: LedgerDatabase, opened: Database):
    [step] = [one for one in MIGRATIONS if one.apply.__name__ == "_add_runs"]
    with opened.writing() as connection:
        connection.exec_driver_sql(f"DROP TABLE {ledger_database.table}_runs")
        connection.exec_driver_sql(
            f"CREATE INDEX {opened.tables.entries.name}_by_scope ON {ledger_database.table} (scope, state)"
        )
        connection.exec_driver_sql(
            f"UPDATE {ledger_database.table}_metadata SET content = '{step.version - 1}' WHERE name = 'version'"
        )
    ledger_database.ledger().load()
    with opened.existing() as connection:
        assert [run.task for run in runs.list_runs(connection, opened.tables)] == [RUN]
        assert list(verification.verify_tables(connection, opened.tables)) == []
