"""The ledger of a sync on SQLite and Postgres: what runs remember of each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError
from airflow_provider_leadsquared.ledgers.memory import LeadMemory
from tests.unit.ledgers.syncs import NOW, intent, last_of, remembered, sent


def test_nothing_is_known_of_a_key_that_was_never_sent(ledger):
    assert ledger().recall(["k"]) == {}


def test_a_run_remembers_what_another_has_sent(ledger):
    entry = sent(ledger("1"), "k", "A", State.CREATED)
    known = remembered(ledger("2"))
    assert (known.last, known.own, known.written_at) == (entry, False, NOW)


def test_a_run_knows_its_own_entries(ledger):
    sent(ledger("1"), "k", "A", State.OPEN)
    assert remembered(ledger("1")).own


def test_what_was_confirmed_before_is_kept_beside_the_last(ledger):
    sent(ledger("1"), "k", "A", State.CREATED)
    sent(ledger("2"), "k", "B", State.REJECTED)
    known = remembered(ledger("3"))
    assert (last_of(known).fingerprint, known.confirmed) == ("B", "A")


def test_what_was_confirmed_stays_so_through_several_rejects(ledger):
    sent(ledger("1"), "k", "A", State.CREATED)
    sent(ledger("2"), "k", "B", State.REJECTED)
    sent(ledger("3"), "k", "C", State.REJECTED)
    assert remembered(ledger("4")).confirmed == "A"


def test_a_row_withdrawn_and_sent_by_the_next_try_keeps_what_was_confirmed_before(ledger):
    sent(ledger("1"), "k", "A", State.CREATED)
    sent(ledger("2"), "k", "B", State.UNSENT, request_id=None)
    sent(ledger("2"), "k", "B", State.REJECTED)
    assert remembered(ledger("3")).confirmed == "A"


def test_after_a_sending_in_doubt_nothing_counts_as_confirmed(ledger):
    sent(ledger("1"), "k", "A", State.CREATED)
    ledger("2").write([intent("k", "B")])
    ledger("2").write([intent("k", "B")])
    sent(ledger("2"), "k", "B", State.REJECTED)
    assert remembered(ledger("3")).confirmed is None


def test_a_sync_of_another_name_remembers_nothing(ledger):
    sent(ledger("1"), "k", "A", State.CREATED)
    assert ledger("2", sync="another").recall(["k"]) == {}


def test_a_line_that_was_deleted_from_the_result_table_is_forgotten(ledger, database):
    sent(ledger("1"), "k", "A", State.CREATED)
    database.run("DELETE FROM {table}")
    assert remembered(ledger("2")) == LeadMemory(None, confirmed_before=None)
    sent(ledger("2"), "k", "A", State.CREATED)
    assert remembered(ledger("3")).confirmed == "A"


def test_thousands_of_keys_are_remembered_at_once(ledger):
    keys = [f"k{n}" for n in range(2_500)]
    ledger().write([intent(key) for key in keys])
    assert ledger("2").recall(keys).keys() == set(keys)


def test_the_moment_of_a_doubt_comes_back_as_it_was(ledger):
    entry = sent(ledger(), "k", "A", State.CREATED, doubted_at=NOW - 0.25)
    assert remembered(ledger()).last == entry


@pytest.mark.parametrize("fingerprint", ["A", "B"])
def test_a_row_that_another_run_takes_between_comparing_and_sending_is_refused(ledger, fingerprint):
    first, second = ledger("1"), ledger("2")
    first.recall(["k"])
    second.write([intent("k", fingerprint)])
    with pytest.raises(LedgerTakenError, match="max_active_runs=1"):
        first.write([intent("k", "A")])
    assert last_of(remembered(first)).fingerprint == fingerprint


def test_a_doubt_that_was_there_at_the_comparison_is_not_another_run(ledger):
    ledger("1").write([intent()])
    second = ledger("2")
    second.recall(["k"])
    second.write([intent()])
    assert remembered(second).own


def test_of_two_runs_that_saw_the_same_doubt_only_one_sends(ledger, time):
    ledger("1").write([intent()])
    second, third = ledger("2"), ledger("3")
    for one in (second, third):
        one.recall(["k"])
    time.now += 1
    second.write([intent()])
    with pytest.raises(LedgerTakenError):
        third.write([intent()])


def test_receipts_in_a_group_with_a_row_that_was_taken_are_kept(ledger):
    first = ledger("1")
    first.write([intent("a")])
    ledger("2").write([intent("b")])
    receipt = Entry(0, State.OPEN, "a", "A", request_id="r", accepted_at=NOW)
    with pytest.raises(LedgerTakenError):
        first.write([receipt, intent("b")])
    assert remembered(first, "a").last == receipt


def test_a_try_that_was_replaced_writes_nothing(ledger):
    first = ledger()
    first.claim("first")
    ledger().claim("second")
    with pytest.raises(LedgerTakenError, match="another try"):
        first.write([intent()])
    with pytest.raises(LedgerTakenError, match="another try"):
        first.write_not_sent([Entry(0, State.INVALID)])
    assert ledger().recall(["k"]) == {}


def test_rows_not_sent_replace_those_of_the_try_before(ledger):
    ledger().write_not_sent([Entry(n, State.INVALID, f"k{n}", copy=n) for n in range(3)])
    ledger().write_not_sent([Entry(1, State.WAITING, "k1", copy=1)])
    assert [(entry.row_key, entry.state) for entry in ledger().load().entries.values()] == [("k1", State.WAITING)]


def test_rows_not_sent_are_never_remembered(ledger):
    ledger().write_not_sent([Entry(0, State.WAITING, "k", copy=0)])
    assert ledger("2").recall(["k"]) == {}


def test_the_name_of_the_api_is_remembered(ledger):
    ledger("1").write([Entry(0, State.IN_DOUBT, "k", "A", api="another_api")])
    assert last_of(remembered(ledger("2"))).api == "another_api"


def test_runs_that_create_the_tables_at_the_same_moment_all_remember(ledger):
    def begin(number: int) -> None:
        ledger(f"{number}").write([intent(f"k{number}")])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, range(8)))
    assert len(ledger("9").recall([f"k{n}" for n in range(8)])) == 8
