"""The open requests of a sync on SQLite and Postgres: whose they are, and what is written about them."""

from __future__ import annotations

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from tests.unit.ledgers.syncs import NOW, last_of, remembered, run_named, sent


def test_open_requests_are_those_of_every_run(ledger, requests):
    sent(ledger("1"), "a", "A", State.OPEN)
    sent(ledger("2"), "b", "A", State.OPEN)
    sent(ledger("2"), "c", "A", State.CREATED)
    assert {entry.row_key for entry in requests("2").load().entries.values()} == {"a", "b"}


def test_open_requests_of_another_sync_are_not_seen(ledger, requests):
    sent(ledger("1"), "a", "A", State.OPEN)
    assert not requests("1", sync="another").load().entries


def test_it_is_known_which_run_a_request_belongs_to(ledger, requests):
    sent(ledger("1"), "a", "A", State.OPEN)
    sent(ledger("2"), "b", "A", State.OPEN)
    sent(ledger("2", run=run_named("2", map_index=7)), "c", "A", State.OPEN)
    seen = requests("2")
    entries = {entry.row_key: entry for entry in seen.load().entries.values()}
    assert [key for key in "abc" if seen.is_of_runs(entries[key])] == ["b"]
    assert [key for key in "abc" if seen.is_of_earlier(entries[key])] == ["a"]


def test_a_verdict_goes_into_the_line_of_its_own_run(ledger, requests):
    entry = sent(ledger("1"), "a", "A", State.OPEN)
    seen = requests("2")
    seen.load()
    seen.write([entry.moved(State.UPDATED, lead_id="lead", settled_at=NOW)])
    assert remembered(ledger("3"), "a").last == entry.moved(State.UPDATED, lead_id="lead", settled_at=NOW)


def test_a_verdict_once_written_is_not_overwritten(ledger, requests):
    entry = sent(ledger("1"), "a", "A", State.OPEN)
    seen = requests("1")
    seen.load()
    for state in (State.CREATED, State.FAILED, State.OPEN):
        seen.write([entry.moved(state)])
    assert last_of(remembered(ledger("2"), "a")).state is State.CREATED


def test_only_requests_of_the_runs_are_counted(ledger, requests):
    sent(ledger("1"), "a", "A", State.OPEN)
    sent(ledger("2"), "b", "A", State.CREATED)
    sent(ledger("2"), "c", "A", State.REJECTED, reason_class="MXA")
    ledger("2").write_not_sent([Entry(0, State.INVALID, "d")])
    seen = requests("2")
    assert seen.count() == {(State.CREATED, None): 1, (State.REJECTED, "MXA"): 1}
    assert [entry.row_key for entry in seen.refused()] == ["c"]


def test_the_time_of_the_last_poll_is_kept_by_run(ledger, requests):
    requests("1").write(metadata={"polled_at": 5})
    assert (requests("1").load().metadata, requests("2").load().metadata) == ({"polled_at": 5}, {})


def test_an_open_request_comes_with_the_name_of_its_api(ledger, requests):
    ledger("1").write([Entry(0, State.IN_DOUBT, "a", "A", api="another_api")])
    ledger("1").write([Entry(0, State.OPEN, "a", "A", request_id="r", accepted_at=NOW, api="another_api")])
    (entry,) = requests("2").load().entries.values()
    assert entry.api == "another_api"


def test_a_verdict_keeps_the_name_of_the_api(ledger, requests):
    entry = sent(ledger("1"), "a", "A", State.OPEN, api="another_api")
    seen = requests("1")
    seen.load()
    seen.write([entry.moved(State.REJECTED)])
    (refused,) = seen.refused()
    assert refused.api == "another_api"
