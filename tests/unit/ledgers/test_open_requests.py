"""The open requests of a sync on SQLite and Postgres: whose they are, and what is written about them."""

from __future__ import annotations

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import UNKNOWN_REQUEST, Verdict
from tests.unit.ledgers.syncs import NOW, accepted, begun, compared, judge, run_named, sent

A_WEEK = 7 * 86_400


def results(database):
    """Return key, state and lead of each line of the result table."""
    return sorted(database.select("SELECT row_key, state, lead_id FROM {table}"))


def test_open_requests_are_those_of_every_run(ledger, requests):
    accepted(begun(ledger("1")), "a")
    accepted(begun(ledger("2")), "b")
    assert {entry.row_key for entry in requests("2").load().entries.values()} == {"a", "b"}


def test_a_request_with_a_verdict_is_not_open(ledger, requests):
    sent(ledger("1"), requests, "a", "A", State.CREATED)
    assert not requests("1").load().entries


def test_open_requests_of_another_sync_are_not_seen(ledger, requests):
    accepted(begun(ledger("1")), "a")
    assert not requests("1", sync="another").load().entries


def test_it_is_known_which_run_a_request_belongs_to(ledger, requests):
    accepted(begun(ledger("1")), "a")
    accepted(begun(ledger("2")), "b")
    accepted(begun(ledger("2", run=run_named("2", map_index=7))), "c")
    seen = requests("2")
    entries = {entry.row_key: entry for entry in seen.load().entries.values()}
    assert [key for key in "abc" if seen.is_of_runs(entries[key])] == ["b"]
    assert [key for key in "abc" if seen.is_of_earlier(entries[key])] == ["a"]


def test_a_verdict_goes_into_the_line_of_its_own_run(ledger, requests, database):
    accepted(begun(ledger("1")), "a")
    judge(requests("2"), State.UPDATED)
    assert results(database) == [("a", "updated", "lead")]


def test_a_verdict_once_written_is_not_overwritten(ledger, requests, database):
    accepted(begun(ledger("1")), "a")
    seen = requests("1")
    [entry] = seen.load().entries.values()
    for state in (State.CREATED, State.FAILED, State.OPEN):
        seen.write([entry.moved(state, lead_id="lead" if state is State.CREATED else None)])
    assert results(database) == [("a", "created", "lead")]


def test_a_request_that_seems_lost_is_asked_for_again_for_a_week(ledger, requests, time):
    accepted(begun(ledger("1")), "a")
    judge(requests("1"), State.FAILED, reason_class=UNKNOWN_REQUEST)
    assert len(requests("1").load().entries) == 1
    time.now += A_WEEK + 1
    assert not requests("1").load().entries


def test_a_request_that_was_called_lost_gets_the_verdict_that_is_found_later(ledger, requests, database):
    accepted(begun(ledger("1")), "a")
    judge(requests("1"), State.FAILED, reason_class=UNKNOWN_REQUEST)
    seen = requests("1")
    [entry] = seen.load().entries.values()
    assert entry.is_lost
    seen.write([entry.judged(Verdict(State.CREATED, "lead"), NOW)])
    assert results(database) == [("a", "created", "lead")]
    assert not requests("1").load().entries


def test_a_verdict_that_is_no_loss_is_not_asked_for_again(ledger, requests):
    accepted(begun(ledger("1")), "a")
    judge(requests("1"), State.FAILED, reason_class="SystemError")
    assert not requests("1").load().entries


def test_what_a_poll_learnt_of_an_open_request_is_kept(ledger, requests):
    accepted(begun(ledger("1")), "a")
    seen = requests("1")
    [entry] = seen.load().entries.values()
    seen.write([entry.moved(State.OPEN, reason_class=UNKNOWN_REQUEST, unknown_since=NOW - 0.5)])
    [entry] = requests("1").load().entries.values()
    assert (entry.reason_class, entry.unknown_since) == (UNKNOWN_REQUEST, NOW - 0.5)


def test_a_verdict_is_remembered_although_its_line_in_the_result_table_was_deleted(ledger, requests, database):
    accepted(begun(ledger("1")), "a")
    database.run("DELETE FROM {table}")
    judge(requests("1"), State.CREATED)
    assert results(database) == []
    assert compared(ledger("2"), "a").state is State.UNCHANGED


def test_only_requests_of_the_runs_are_counted(ledger, requests):
    accepted(begun(ledger("1")), "a")
    sent(ledger("2"), requests, "b", "A", State.CREATED)
    accepted(begun(ledger("2")), "c")
    rejected = requests("2")
    [entry] = [entry for entry in rejected.load().entries.values() if entry.row_key == "c"]
    rejected.write([entry.moved(State.REJECTED, reason_class="MXA")])
    ledger("2").write_not_sent([Entry(0, State.INVALID, "d")])
    seen = requests("2")
    assert seen.count() == {(State.CREATED, None): 1, (State.REJECTED, "MXA"): 1}
    assert [entry.row_key for entry in seen.refused()] == ["c"]


def test_the_time_of_the_last_poll_is_kept_by_run(ledger, requests):
    requests("1").write(metadata={"polled_at": 5})
    assert (requests("1").load().metadata, requests("2").load().metadata) == ({"polled_at": 5}, {})


def test_an_open_request_comes_with_the_name_of_its_api_and_keeps_it(ledger, requests):
    accepted(begun(ledger("1")), "a", api="another_api")
    seen = requests("1")
    [entry] = seen.load().entries.values()
    assert entry.api == "another_api"
    seen.write([entry.moved(State.REJECTED)])
    [refused] = seen.refused()
    assert refused.api == "another_api"


def test_a_ledger_that_lacks_what_was_written_since_is_older(ledger, requests):
    one = begun(ledger("1"))
    accepted(one)
    number = one.last_number()
    assert not requests("1").is_older_than(number)
    assert requests("1").is_older_than(number + 1)
