"""The SQL ledger: what tasks that share a table see of each other, and what is left of a write that fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.errors import LedgerDataError, LedgerTakenError, LedgerUnavailableError
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from tests.unit.ledgers.stores import RUN, by_identity, entry_of


@pytest.mark.parametrize(
    "other", [RunOfTask("sync", "2026-01-02", "capture"), RunOfTask("sync", "2026-01-01", "capture", 0)]
)
def test_runs_and_mapped_tasks_share_a_table_but_no_entry(database, other):
    database.ledger().write([entry_of(0)], metadata={"a": 1})
    records = database.ledger(run=other).load()
    assert (records.entries, records.metadata) == ({}, {})


def test_a_change_that_fails_half_way_is_undone(database):
    ledger = database.ledger()
    ledger.write([entry_of(0)])
    with pytest.raises(LedgerUnavailableError):
        ledger.write([entry_of(1), entry_of(2, reason=object())])
    assert ledger.load().entries == by_identity([entry_of(0)])


@pytest.mark.parametrize("reason", ["half of a pair: \ud800"])
def test_a_value_that_the_database_cannot_take_is_no_reason_to_try_again(database, reason):
    with pytest.raises(LedgerDataError):
        database.ledger().write([entry_of(0, reason=reason)])


# --- a RequestId that the ledger has for another sending ----------------------------------------------------------

NEXT_RUN = RunOfTask("sync", "2026-01-02", "capture")


def accepted_as(request_id, row=0, **changes):
    return entry_of(row, request_id=request_id, accepted_at=1.5, attempts=1, row_key=f"k{row}", **changes)


@pytest.mark.parametrize(
    ("run", "entry"),
    [
        (NEXT_RUN, accepted_as("first")),
        (RUN, accepted_as("first", row=1)),
        (RUN, accepted_as("first", fingerprint="f")),
        (RUN, accepted_as("first", copy=1)),
        (RUN, replace(accepted_as("first"), attempts=2)),
    ],
    ids=["another_run", "another_row", "other_values", "an_equal_row", "an_earlier_sending_of_the_row"],
)
def test_a_receipt_whose_request_id_another_sending_has_is_a_doubt(database, run, entry):
    database.ledger().write_outcomes([accepted_as("first")])
    [written] = database.ledger(run=run).write_outcomes([entry])
    assert (written.state, written.request_id, written.accepted_at) == (State.IN_DOUBT, None, None)
    assert (written.reason_class, written.identity) == ("UnexpectedResponseError", entry.identity)
    stored = database.ledger(run=run).load().entries
    assert stored[entry.identity] == written


def test_other_receipts_of_the_group_are_written_as_they_are(database):
    database.ledger().write_outcomes([accepted_as("first")])
    outcomes = [accepted_as("second", row=1), accepted_as("first"), entry_of(2, State.UNSENT)]
    written = database.ledger(run=NEXT_RUN).write_outcomes(outcomes)
    assert [entry.state.value for entry in written] == ["open", "in_doubt", "unsent"]
    assert [written[0], written[2]] == [outcomes[0], outcomes[2]]


def test_outcomes_that_are_written_twice_are_the_same(database):
    """A task repeats a transaction if it did not hear whether it ended."""
    for _ in range(2):
        assert database.ledger().write_outcomes([accepted_as("first")]) == [accepted_as("first")]


def test_a_request_id_that_a_sensor_has_noted_under_its_own_task_is_no_other_sending(database):
    database.ledger().write([accepted_as("first")])
    database.ledger(run=RunOfTask("sync", "2026-01-01", "sensor")).write([accepted_as("first")])
    assert database.select("SELECT state FROM {table}") == [("open",), ("open",)]


def test_a_late_receipt_whose_request_id_another_sending_has_is_not_kept(database, given_up):
    database.ledger(run=NEXT_RUN).write_outcomes([accepted_as("first", row=7)])
    with pytest.raises(LedgerTakenError):
        given_up[0].write_outcomes([RECEIPT])
    assert database.ledger().load().entries == by_identity([INTENT])


# --- outcomes -----------------------------------------------------------------------------------------------------


def test_outcomes_of_different_kinds_come_back_as_they_were_written(database):
    ledger = database.ledger()
    ledger.claim("a try")
    intents = [entry_of(row, State.IN_DOUBT, row_key=f"k{row}", attempts=1, fingerprint="f") for row in range(4)]
    ledger.intend([(intent, PAYLOAD) for intent in intents])
    outcomes = [
        replace(intents[0], state=State.OPEN, request_id="r0", accepted_at=1.5, doubted_at=1.25, attempts=3),
        replace(intents[1], state=State.OPEN, request_id="r1", accepted_at=2.5),
        replace(intents[2], state=State.REJECTED, settled_at=3.5, reason_class="MXException", reason="no"),
        replace(intents[3], state=State.UNSENT, reason_class="Stopped", attempts=0),
    ]
    assert ledger.write_outcomes(outcomes) == outcomes
    assert database.ledger().load().entries == by_identity(outcomes)


def test_outcomes_of_which_one_has_no_line_are_all_written(database):
    ledger = database.ledger()
    ledger.claim("a try")
    ledger.intend([(INTENT, PAYLOAD)])
    outcomes = [RECEIPT, entry_of(1, request_id="r1", accepted_at=2.5)]
    ledger.write_outcomes(outcomes)
    assert database.ledger().load().entries == by_identity(outcomes)


# --- receipts of a try that was given up --------------------------------------------------------------------------

INTENT = entry_of(0, State.IN_DOUBT, row_key="k", attempts=1)
RECEIPT = replace(INTENT, state=State.OPEN, request_id="first", accepted_at=1.5)
SECOND_INTENT = replace(INTENT, attempts=2)
SECOND_RECEIPT = replace(SECOND_INTENT, state=State.OPEN, request_id="second", accepted_at=2.5)
PAYLOAD = Payload(b"{}", (), "f")


@pytest.fixture
def given_up(database):
    """Return the ledger of a try that has written an intent, and that of the try that has taken over."""
    first, second = database.ledger(), database.ledger()
    first.claim("first try")
    first.intend([(INTENT, PAYLOAD)])
    second.claim("second try")
    second.load()
    return first, second


def _write_late(ledger, *entries):
    with pytest.raises(LedgerTakenError):
        ledger.write(entries, metadata={"late": True})


def test_a_try_that_was_given_up_may_write_its_receipts(database, given_up):
    _write_late(given_up[0], RECEIPT)
    records = database.ledger().load()
    assert (records.entries, list(records.others)) == (by_identity([RECEIPT]), [])


def test_a_late_receipt_ends_the_doubt_that_it_answers(database, given_up):
    _write_late(given_up[0], RECEIPT)
    assert database.select("SELECT state FROM {table}") == [("open",)]


@pytest.mark.parametrize("state", [State.REJECTED, State.CREATED, State.UPDATED, State.FAILED])
def test_a_late_verdict_counts_as_a_receipt(database, given_up, state):
    late = replace(INTENT, state=state, settled_at=3.5)
    _write_late(given_up[0], late)
    assert database.ledger().load().entries == by_identity([late])


def test_a_late_receipt_does_not_replace_that_of_the_next_try(database, given_up):
    first, second = given_up
    second.intend([(SECOND_INTENT, PAYLOAD)])
    second.write([SECOND_RECEIPT])
    _write_late(first, RECEIPT)
    records = database.ledger().load()
    assert (records.entries, list(records.others)) == (by_identity([SECOND_RECEIPT]), [RECEIPT])


def test_the_receipt_of_the_next_try_does_not_replace_a_late_one(database, given_up):
    first, second = given_up
    second.intend([(SECOND_INTENT, PAYLOAD)])
    _write_late(first, RECEIPT)
    second.write([SECOND_RECEIPT])
    records = database.ledger().load()
    assert (records.entries, list(records.others)) == (by_identity([SECOND_RECEIPT]), [RECEIPT])


def test_a_late_receipt_leaves_the_doubt_of_a_later_sending(database, given_up):
    first, second = given_up
    second.intend([(SECOND_INTENT, PAYLOAD)])
    _write_late(first, RECEIPT)
    assert sorted(database.select("SELECT state, attempts FROM {table}")) == [("in_doubt", 2), ("open", 1)]
    assert database.ledger().load().entries == by_identity([RECEIPT])


def test_verdicts_go_to_the_receipt_that_they_are_of(database, given_up):
    first, second = given_up
    second.intend([(SECOND_INTENT, PAYLOAD)])
    second.write([SECOND_RECEIPT])
    _write_late(first, RECEIPT)
    polling = database.ledger()
    polling.load()
    verdicts = [RECEIPT.moved(State.CREATED, lead_id="a"), SECOND_RECEIPT.moved(State.UPDATED, lead_id="a")]
    polling.write(verdicts)
    records = database.ledger().load()
    assert [*records.others, *records.entries.values()] == verdicts


def test_a_try_that_was_given_up_writes_no_intent_no_withdrawal_and_no_metadata(database, given_up):
    first, second = given_up
    before = second.load()
    with pytest.raises(LedgerTakenError):
        first.intend([(entry_of(1, State.IN_DOUBT), PAYLOAD)])
    _write_late(first, replace(INTENT, state=State.UNSENT), entry_of(1, State.IN_DOUBT), entry_of(2, State.WAITING))
    assert second.load() == before


def test_a_try_that_was_given_up_cannot_start_over(database, given_up):
    first, second = given_up
    with pytest.raises(LedgerTakenError):
        first.start_over()
    assert second.load().entries == by_identity([INTENT])


def test_several_late_receipts_of_a_row_are_all_kept(database, given_up):
    first, second = given_up
    second.intend([(SECOND_INTENT, PAYLOAD)])
    third = database.ledger()
    third.claim("third try")
    _write_late(first, RECEIPT)
    _write_late(second, SECOND_RECEIPT)
    records = database.ledger().load()
    found = {entry.request_id for entry in (*records.entries.values(), *records.others)}
    assert (found, len(records.entries)) == ({"first", "second"}, 1)


def test_a_thousand_late_receipts_are_kept(database):
    first, second = database.ledger(), database.ledger()
    first.claim("first try")
    intents = [entry_of(row, State.IN_DOUBT, attempts=1) for row in range(1_200)]
    first.intend([(intent, PAYLOAD) for intent in intents])
    second.claim("second try")
    receipts = [replace(intent, state=State.OPEN, request_id=f"r{intent.row}") for intent in intents]
    _write_late(first, *receipts)
    assert database.ledger().load().entries == by_identity(receipts)
    assert database.select("SELECT COUNT(*) FROM {table}") == [(1_200,)]


def test_verdicts_of_a_poll_stay_with_the_rows_that_it_has_loaded(database):
    sending, polling = database.ledger(), database.ledger()
    sending.claim("first try")
    sending.write([RECEIPT])
    polling.load()
    sending.start_over()
    polling.write([RECEIPT.moved(State.CREATED)])
    assert database.ledger().load().entries == {}
    assert database.select("SELECT state, generation FROM {table}") == [("created", 0)]


def test_a_claim_waits_for_the_write_under_way(database):
    first, second = database.ledger(), database.ledger()
    first.claim("first try")
    second.load()
    with ThreadPoolExecutor(1) as thread:
        with first._database.writing() as connection:
            first._confirm_claim(connection)
            claiming = thread.submit(second.claim, "second try")
            with pytest.raises(TimeoutError):
                claiming.result(timeout=1)
        claiming.result(timeout=30)
