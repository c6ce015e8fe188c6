"""The ledger of a sync on SQLite and Postgres: what runs remember of each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from airflow_provider_leadsquared.api.leads import encode_lead
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError
from airflow_provider_leadsquared.ledgers.memory import INTENT_TIMEOUT
from tests.unit.ledgers.syncs import NOW, SETTLE_TIMEOUT, accepted, begun, compared, intend, judge, payload, sent


def test_a_row_that_was_never_sent_is_to_be_sent(ledger):
    assert compared(ledger()).state is State.UNSENT


def test_a_row_is_unchanged_after_another_run_brought_its_lead_these_values(ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    assert compared(ledger("2")).state is State.UNCHANGED
    assert compared(ledger("2"), fingerprint="B").state is State.UNSENT


def test_after_a_rejection_the_lead_has_what_was_confirmed_before(ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    sent(ledger("2"), requests, "k", "B", State.REJECTED)
    sent(ledger("3"), requests, "k", "C", State.REJECTED)
    assert compared(ledger("4"), fingerprint="A").state is State.UNCHANGED


def test_a_rejection_is_remembered_with_its_reason(ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.REJECTED, reason_class="MXA", reason="no")
    refusal = compared(ledger("2")).refusal
    assert refusal is not None
    assert (refusal.reason_class, refusal.reason, refusal.refused_at) == ("MXA", "no", NOW)
    assert compared(ledger("2"), fingerprint="B").refusal is None


def test_a_refusal_at_the_submission_is_remembered_too(ledger):
    one = begun(ledger("1"))
    one.write([intend(one).moved(State.REJECTED, reason_class="MXA", settled_at=NOW)])
    assert compared(ledger("2")).refusal is not None


def test_a_row_that_was_certainly_not_taken_changes_nothing(ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    one = begun(ledger("2"))
    one.write([intend(one, fingerprint="B").moved(State.UNSENT)])
    assert compared(ledger("3")).state is State.UNCHANGED


def test_after_a_failure_the_lead_is_doubtful(ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    sent(ledger("2"), requests, "k", "B", State.FAILED)
    assert compared(ledger("3"), fingerprint="A").state is State.UNSENT


def test_a_sync_of_another_name_knows_nothing_of_what_a_lead_has(ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    assert compared(ledger("2", sync="another")).state is State.UNSENT


def test_a_sync_of_another_name_waits_for_an_open_request(ledger):
    accepted(begun(ledger("1")))
    assert compared(ledger("2", sync="another")).state is State.WAITING


def test_a_sync_into_another_account_waits_for_nothing(ledger):
    accepted(begun(ledger("1")))
    assert compared(ledger("2", account="another")).state is State.UNSENT


def test_what_is_known_outlives_lines_that_were_deleted_from_the_result_table(ledger, requests, database):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    database.run("DELETE FROM {table}")
    assert compared(ledger("2")).state is State.UNCHANGED


def test_thousands_of_rows_are_compared_at_once(ledger):
    rows = [(Entry(n, State.IN_DOUBT, f"k{n}", "A", attempts=1), payload(f"k{n}")) for n in range(2_500)]
    begun(ledger()).intend(rows)
    found = begun(ledger("2")).compare(rows)
    assert {one.state for one in found} == {State.WAITING}


def test_a_doubt_repeated_within_one_call_keeps_other_values_back(ledger, requests, time):
    accepted(begun(ledger("1")), doubted_at=NOW)
    for_all = requests()
    [entry] = for_all.load().entries.values()
    for_all.write([entry.moved(State.CREATED, lead_id="lead", settled_at=NOW)])
    time.now += INTENT_TIMEOUT + 1
    assert compared(ledger("2")).state is State.UNCHANGED
    assert compared(ledger("2"), fingerprint="B").state is State.WAITING
    time.now += SETTLE_TIMEOUT
    assert compared(ledger("2"), fingerprint="B").state is State.UNSENT


@pytest.mark.parametrize("fingerprint", ["A", "B"])
def test_a_row_that_another_run_intends_after_a_try_began_waits(ledger, fingerprint):
    first, second = begun(ledger("1")), begun(ledger("2"))
    intend(second, fingerprint=fingerprint)
    assert intend(first).state is State.WAITING


def test_a_doubt_of_an_aborted_run_is_sent_again_by_one_run_only(ledger, time):
    intend(begun(ledger("1")))
    time.now += INTENT_TIMEOUT + 1
    second, third = begun(ledger("2")), begun(ledger("3"))
    assert intend(second).state is State.IN_DOUBT
    assert intend(third).state is State.WAITING


def test_an_intent_may_be_written_twice_by_a_writer_that_did_not_hear_of_the_first_time(ledger, requests):
    one = begun(ledger("1"))
    intend(one)
    accepted(one)
    [entry] = (seen := requests()).load().entries.values()
    seen.write([entry.moved(State.CREATED, lead_id="lead")])
    assert compared(ledger("2")).state is State.UNCHANGED


def test_a_try_that_was_replaced_intends_nothing(ledger):
    first = begun(ledger())
    first.claim("first")
    ledger().claim("second")
    with pytest.raises(LedgerTakenError, match="another try"):
        intend(first)
    with pytest.raises(LedgerTakenError, match="another try"):
        first.write_not_sent([Entry(0, State.INVALID)])
    assert compared(ledger("2")).state is State.UNSENT


def test_a_try_that_was_replaced_still_writes_its_receipts(ledger, requests):
    first = begun(ledger())
    first.claim("first")
    intended = intend(first)
    ledger().claim("second")
    with pytest.raises(LedgerTakenError, match="another try"):
        first.write([intended.moved(State.OPEN, request_id="r", accepted_at=NOW)])
    assert [entry.request_id for entry in requests().load().entries.values()] == ["r"]


def test_of_a_row_that_two_tries_sent_both_receipts_get_a_verdict(ledger, requests):
    first = begun(ledger())
    first.claim("first")
    intended = intend(first)
    second = begun(ledger())
    second.claim("second")
    again = intend(second, attempts=2)
    with pytest.raises(LedgerTakenError):
        first.write([intended.moved(State.OPEN, request_id="r1", accepted_at=NOW)])
    second.write([again.moved(State.OPEN, request_id="r2", accepted_at=NOW)])
    (seen := requests("1")).load()
    for entry in seen.load().entries.values():
        seen.write([entry.moved(State.UPDATED, lead_id="lead", settled_at=NOW)])
    assert seen.count() == {(State.UPDATED, None): 2}


def test_rows_not_sent_replace_those_of_the_try_before(ledger):
    ledger().write_not_sent([Entry(n, State.INVALID, f"k{n}", copy=n) for n in range(3)])
    ledger().write_not_sent([Entry(1, State.WAITING, "k1", copy=1)])
    assert [(entry.row_key, entry.state) for entry in ledger().load().entries.values()] == [("k1", State.WAITING)]


def test_rows_not_sent_are_never_remembered(ledger):
    ledger().write_not_sent([Entry(0, State.WAITING, "k", copy=0)])
    assert compared(ledger("2")).state is State.UNSENT


def test_a_retry_knows_what_its_run_has_sent(ledger):
    entry = accepted(begun(ledger("1")))
    assert ledger("1").earlier_entries() == ({("k", "A"): entry}, [])
    assert ledger("2").earlier_entries() == ({}, [])


def test_match_keys_are_hashed_in_every_table(ledger, requests, database):
    accepted(begun(ledger("1")))
    tables = [name for name in database.names() if name.startswith("ledger_")]
    found = "".join(str(database.select(f"SELECT * FROM {{table}}{name.removeprefix('ledger')}")) for name in tables)
    assert found
    assert "example.org" not in found


def test_runs_that_create_the_tables_at_the_same_moment_all_remember(ledger):
    def begin(number: int) -> None:
        intend(begun(ledger(f"{number}")), f"k{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, range(8)))
    assert {compared(ledger("9"), f"k{n}", "B").state for n in range(8)} == {State.WAITING}


# --- several syncs that write the same attributes ------------------------------------------------------------------

LEAD = {"EmailAddress": "asha@example.org", "mx_City": "Pune", "mx_Set": {"mx_CustomObject_1": "a"}}


def let_send(open_ledger, requests, sync, lead, **identity):
    """Let a sync send a lead and hear that it was stored; return what it makes of it in the run after."""
    encoded = encode_lead(lead)
    one = begun(open_ledger(f"{sync} 1", sync=sync, **identity))
    entry = Entry(0, State.IN_DOUBT, "k", encoded.fingerprint, attempts=1)
    [intended] = one.intend([(entry, encoded)])
    receipt = intended.moved(State.OPEN, request_id=f"{sync} {encoded.fingerprint}", accepted_at=NOW)
    one.write_outcomes([receipt])
    judge(requests(sync=sync), State.UPDATED)
    [found] = begun(open_ledger(f"{sync} 2", sync=sync)).compare([(replace(entry, state=State.UNSENT), encoded)])
    return found.state


@pytest.mark.parametrize(
    ("other", "state"),
    [
        ({**LEAD, "mx_City": "Delhi"}, State.UNSENT),
        ({**LEAD, "mx_Set": {"mx_CustomObject_1": "b"}}, State.UNSENT),
        ({"EmailAddress": "asha@example.org", "mx_Plan": "Gold"}, State.UNCHANGED),
        ({"EmailAddress": "asha@example.org", "mx_Set": {"mx_CustomObject_2": "b"}}, State.UNCHANGED),
        ({"EmailAddress": "Asha@Example.org", "mx_City": "Pune"}, State.UNCHANGED),
        ({**LEAD, "SearchBy": "EmailAddress"}, State.UNCHANGED),
    ],
    ids=["other_value", "in_a_field_set", "other_attribute", "beside_it_in_the_set", "other_spelling", "search_by"],
)
def test_a_row_is_unchanged_unless_another_sync_has_overwritten_what_it_sends(ledger, requests, other, state):
    assert let_send(ledger, requests, "nightly", LEAD) is State.UNCHANGED
    assert let_send(ledger, requests, "backfill", other) is State.UNCHANGED
    encoded = encode_lead(LEAD)
    row = Entry(0, State.UNSENT, "k", encoded.fingerprint)
    [found] = begun(ledger("3", sync="nightly")).compare([(row, encoded)])
    assert found.state is state


def test_a_phone_that_another_sync_has_overwritten_is_sent_again(ledger, requests):
    one, two = {**LEAD, "Phone": "9000000001"}, {**LEAD, "Phone": "9000000002"}
    let_send(ledger, requests, "nightly", one)
    let_send(ledger, requests, "backfill", two)
    encoded = encode_lead(one)
    [found] = begun(ledger("3", sync="nightly")).compare([(Entry(0, State.UNSENT, "k", encoded.fingerprint), encoded)])
    assert found.state is State.UNSENT


def test_a_phone_that_another_sync_sends_and_no_lead_takes_is_not_overwritten(ledger, requests):
    one, two = {**LEAD, "Phone": "9000000001"}, {**LEAD, "Phone": "9000000002"}
    let_send(ledger, requests, "nightly", one)
    let_send(ledger, requests, "backfill", two, moves_keys=False)
    encoded = encode_lead(one)
    [found] = begun(ledger("3", sync="nightly")).compare([(Entry(0, State.UNSENT, "k", encoded.fingerprint), encoded)])
    assert found.state is State.UNCHANGED


def test_no_value_of_a_lead_stands_in_the_ledger(ledger, requests, database):
    for sync, city in (("nightly", "Pune"), ("backfill", "Delhi")):
        let_send(ledger, requests, sync, {**LEAD, "mx_City": city})
    lines = str(database.select("SELECT * FROM {table}_lines"))
    assert "mx_City" in lines
    assert not any(text in lines for text in ("Pune", "Delhi", "asha"))
