"""What every ledger does, whatever its store."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError
from tests.unit.ledgers.stores import by_identity, entry_of

FULL = Entry(
    row=7,
    state=State.REJECTED,
    row_key="A-7",
    fingerprint="f" * 32,
    copy=2,
    request_id="9d0f4b52-0000-4000-8000-00000000000c",
    accepted_at=1_700_000_000.123456,
    settled_at=1_700_000_030.5,
    lead_id="2c8e1f77-0000-4000-8000-00000000000b",
    reason_class="MXDuplicateEntryException",
    reason="Duplicate entry '***' — मीरा 😀",
)


def test_a_new_ledger_is_empty(open_ledger):
    records = open_ledger().load()
    assert (records.entries, records.metadata) == ({}, {})


def test_what_is_written_can_be_loaded(open_ledger):
    ledger = open_ledger()
    ledger.write([entry_of(0), entry_of(1)])
    assert ledger.load().entries == by_identity([entry_of(0), entry_of(1)])


def test_every_field_of_an_entry_comes_back(open_ledger):
    open_ledger().write([FULL])
    assert open_ledger().load().entries == {FULL.identity: FULL}


@pytest.mark.parametrize("state", State)
def test_every_state_comes_back(open_ledger, state):
    open_ledger().write([entry_of(0, state)])
    (entry,) = open_ledger().load().entries.values()
    assert entry.state is state


def test_the_last_entry_of_a_row_wins(open_ledger):
    ledger = open_ledger()
    ledger.write([entry_of(0, State.IN_DOUBT)])
    ledger.write([entry_of(0, State.OPEN), entry_of(0, State.CREATED)])
    assert ledger.load().entries == by_identity([entry_of(0, State.CREATED)])


def test_a_row_that_moved_in_the_list_keeps_its_one_entry(open_ledger):
    ledger = open_ledger()
    ledger.write([entry_of(0, fingerprint="f")])
    ledger.write([entry_of(5, State.CREATED, fingerprint="f")])
    assert ledger.load().entries == by_identity([entry_of(5, State.CREATED, fingerprint="f")])


def test_rows_that_are_alike_are_kept_apart_by_their_copy(open_ledger):
    alike = [entry_of(row, fingerprint="f", copy=row) for row in range(3)]
    open_ledger().write(alike)
    assert open_ledger().load().entries == by_identity(alike)


def test_a_fresh_ledger_sees_what_an_old_one_wrote(open_ledger):
    open_ledger().write([entry_of(0)], metadata={"a": 1})
    records = open_ledger().load()
    assert (records.entries, records.metadata) == (by_identity([entry_of(0)]), {"a": 1})


def test_a_fresh_ledger_adds_to_what_an_old_one_wrote(open_ledger):
    open_ledger().write([entry_of(0)])
    open_ledger().write([entry_of(1)])
    assert open_ledger().load().entries == by_identity([entry_of(0), entry_of(1)])


def test_metadata_are_merged(open_ledger):
    ledger = open_ledger()
    ledger.write(metadata={"a": 1, "b": 1})
    ledger.write(metadata={"b": 2, "c": [1.5, None]})
    assert ledger.load().metadata == {"a": 1, "b": 2, "c": [1.5, None]}


def test_entries_and_metadata_do_not_touch_each_other(open_ledger):
    ledger = open_ledger()
    ledger.write([entry_of(0)])
    ledger.write(metadata={"a": 1})
    ledger.write([entry_of(1)])
    records = ledger.load()
    assert (len(records.entries), records.metadata) == (2, {"a": 1})


def test_writing_nothing_changes_nothing(open_ledger):
    ledger = open_ledger()
    ledger.write([entry_of(0)])
    ledger.write()
    ledger.write([], metadata={})
    assert ledger.load().entries == by_identity([entry_of(0)])


def test_what_was_loaded_does_not_change_with_later_writes(open_ledger):
    ledger = open_ledger()
    ledger.write([entry_of(0)])
    before = ledger.load()
    ledger.write([entry_of(1)], metadata={"a": 1})
    assert (len(before.entries), dict(before.metadata)) == (1, {})


def test_entries_may_come_from_an_iterator(open_ledger):
    open_ledger().write(entry_of(row) for row in range(3))
    assert len(open_ledger().load().entries) == 3


def test_a_ledger_that_starts_over_has_no_entries_and_keeps_its_metadata(open_ledger):
    ledger = open_ledger()
    ledger.write([entry_of(0)], metadata={"a": 1})
    ledger.start_over()
    records = open_ledger().load()
    assert (records.entries, records.metadata["a"]) == ({}, 1)


def test_entries_after_a_new_start_are_the_only_ones(open_ledger):
    ledger = open_ledger()
    ledger.write([entry_of(0)])
    ledger.start_over()
    ledger.write([entry_of(1)])
    assert open_ledger().load().entries == by_identity([entry_of(1)])


def test_a_try_that_has_lost_its_claim_writes_no_entry(open_shared_ledger):
    first, second = open_shared_ledger(), open_shared_ledger()
    first.claim("first try")
    first.write([entry_of(0)])
    second.claim("second try")
    with pytest.raises(LedgerTakenError):
        first.write([entry_of(1)])
    assert second.load().entries == by_identity([entry_of(0)])


def test_the_try_that_holds_the_claim_goes_on(open_ledger):
    ledger = open_ledger()
    ledger.claim("first try")
    ledger.claim("second try")
    ledger.write([entry_of(0)])
    assert len(ledger.load().entries) == 1


def test_the_name_of_the_api_comes_back(open_ledger):
    open_ledger().write([entry_of(0, api="another_api")])
    (entry,) = open_ledger().load().entries.values()
    assert entry.api == "another_api"


def test_outcomes_are_written_as_entries_and_returned_in_order(open_ledger):
    outcomes = [entry_of(1, State.OPEN, request_id="b"), entry_of(0, State.UNSENT)]
    assert open_ledger().write_outcomes(outcomes) == outcomes
    assert open_ledger().load().entries == by_identity(outcomes)
