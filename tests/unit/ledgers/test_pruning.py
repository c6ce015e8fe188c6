"""Pruning a ledger: what is old and needed by nobody goes, in short transactions."""

from __future__ import annotations

from contextlib import closing

import pytest

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers import pruning
from airflow_provider_leadsquared.ledgers.column_values import timestamp
from airflow_provider_leadsquared.ledgers.pruning import LEAST_RETENTION, prune
from airflow_provider_leadsquared.ledgers.sql import SqlLedger
from tests.unit.ledgers.stores import RUN, entry_of
from tests.unit.ledgers.syncs import accepted, begun, compared, sent

DAY = 86_400.0
RETENTION = 30 * DAY


def pruned(database, time, **changes):
    return prune(database.open(), **{"retention": RETENTION, "now": time.now, **changes})


def left(database):
    return sorted(database.select("SELECT run_id, row_key, state FROM {table}"))


@pytest.fixture
def nights(ledger, requests, time):
    """Let three nights, 20 days apart, send each of two rows another value."""
    for night in ("1", "2", "3"):
        for key in ("a", "b"):
            sent(ledger(night), requests, key, night, State.UPDATED)
        time.now += 20 * DAY


def test_lines_older_than_the_retention_go_and_newer_ones_stay(database, time, nights):
    assert pruned(database, time) == 4
    assert left(database) == [("3", "a", "updated"), ("3", "b", "updated")]


def test_pruning_again_deletes_nothing(database, time, nights):
    pruned(database, time)
    assert pruned(database, time) == 0


def test_the_last_line_of_each_row_stays_however_old_it_is(database, time, nights):
    time.now += 1_000 * DAY
    before = sorted(database.select("SELECT * FROM {table}_last"), key=repr)
    assert pruned(database, time) == 4
    assert sorted(database.select("SELECT * FROM {table}_last"), key=repr) == before


def test_what_is_known_of_leads_is_as_it_was(database, time, nights, ledger):
    pruned(database, time)
    assert compared(ledger("4"), "a", "3").state is State.UNCHANGED


def test_a_line_of_an_open_request_stays(database, time, ledger):
    accepted(begun(ledger("1")), "a", "1")
    time.now += 100 * DAY
    assert pruned(database, time) == 0
    assert left(database) == [("1", "a", "open")]


def test_a_line_whose_request_is_lost_and_still_asked_for_stays(database, time, ledger, requests):
    accepted(begun(ledger("1")), "a", "1")
    [lost] = requests().load().entries.values()
    requests_of_sync = requests()
    requests_of_sync.load()
    requests_of_sync.write([lost.moved(State.FAILED, unknown_since=1.0, reason_class="UnknownRequest")])
    database.run("UPDATE {table}_lines SET last_entry = NULL")
    kept = database.select("SELECT COUNT(*) FROM {table}_unsettled")
    time.now += 100 * DAY
    assert (kept, pruned(database, time)) == ([(1,)], 0)


def test_lines_of_captures_go_once_they_have_a_verdict(database, time):
    capture = SqlLedger(database.open(), run=RUN, clock=lambda: time.now)
    capture.write([entry_of(0, State.CREATED), entry_of(1, State.OPEN), entry_of(2, State.IN_DOUBT)])
    time.now += 31 * DAY
    assert pruned(database, time) == 1
    assert sorted(state for _, _, state in left(database)) == ["in_doubt", "open"]


def test_each_line_is_looked_at_once_also_if_most_are_kept(database, time, nights, monkeypatch):
    monkeypatch.setattr(pruning, "_BATCH", 2)
    examined: list = []
    needed = pruning._needed

    def noting(connection, tables, lines):
        examined.extend((line.scope, line.entry_id) for line in lines)
        return needed(connection, tables, lines)

    monkeypatch.setattr(pruning, "_needed", noting)
    time.now += 1_000 * DAY
    assert pruned(database, time) == 4
    assert len(examined) == len(set(examined)) == 6


def test_a_line_that_a_run_writes_anew_meanwhile_stays(on_postgres, monkeypatch):
    """A run that was cleared sends its row again, just when its old line was found."""
    database, now = on_postgres, 1_700_000_000.0
    capture = SqlLedger(database.open(), run=RUN, clock=lambda: now)
    capture.write([entry_of(0, State.CREATED), entry_of(1, State.CREATED)])
    needed = pruning._needed

    def writing_meanwhile(connection, tables, lines):
        if lines:
            with closing(database.connect()) as other, other, other.cursor() as cursor:
                anew = timestamp(now + 31 * DAY)
                cursor.execute(f"UPDATE {database.table} SET written_at = %s WHERE row_no = 0", (anew,))
        return needed(connection, tables, lines)

    monkeypatch.setattr(pruning, "_needed", writing_meanwhile)
    assert prune(database.open(), retention=RETENTION, now=now + 31 * DAY) == 1
    assert database.select("SELECT row_no FROM {table}") == [(0,)]


def test_a_retention_shorter_than_requests_are_asked_for_is_refused(database, time):
    with pytest.raises(ValueError, match=r"retention is 691,199 seconds; keep lines for 691,200 at least .8 days."):
        pruned(database, time, retention=LEAST_RETENTION - 1)


def test_where_there_is_no_ledger_nothing_is_pruned_or_created(database, time):
    assert pruned(database, time) == 0
    assert database.names() == set()
