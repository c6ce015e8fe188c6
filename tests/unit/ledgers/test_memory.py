"""
The rules by which syncs remember leads, each with the nights that go wrong without it.

``docs/architecture.md`` lists the rules as R1 to R10.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory import INTENT_TIMEOUT, OWNER_TIMEOUT
from airflow_provider_leadsquared.ledgers.memory_lines import KeyLine, LeadLine, Line
from airflow_provider_leadsquared.ledgers.memory_routes import lines_to_load
from tests.unit.ledgers.memories import SETTLE_TIMEOUT, Memory, row


@pytest.fixture
def memory() -> Memory:
    return Memory()


# --- R1: an intent is refused if anything that concerns the row was intended since the try began -------------------


def test_a_row_that_another_run_sent_since_this_try_began_is_not_intended(memory):
    slow = memory.begin("slow")
    memory.deliver(row("1", "a", value="Delhi"), "next")
    assert memory.intend(row("1", "a", value="Pune"), slow) is None


def test_a_row_whose_intent_was_refused_is_known_to_wait_until_it_is_sent(memory):
    slow, later = memory.begin("slow"), row("1", "a", value="Delhi")
    memory.deliver(row("2", "a", value="Pune"), "next")
    before = memory.compare(later, slow).waits_since
    for _ in range(2):
        memory.intend(later, slow, no=7)
    memory.intend(later, slow, no=8)
    waiting = memory.compare(later, "third").waits_since
    memory.deliver(later, "third")
    assert (before, waiting, memory.compare(later, "fourth").waits_since) == (0, 7, 0)


def test_a_run_that_compares_after_the_other_has_sent_sends_no_older_value_either(memory):
    """Rows were read before; what was compared later says nothing about their age."""
    slow = memory.begin("slow")
    memory.deliver(row("1", "a", value="Delhi"), "next")
    assert memory.state(row("1", "a", value="Pune"), slow) == "unsent"
    assert memory.intend(row("1", "a", value="Pune"), slow) is None


def test_the_number_of_an_intent_counts_and_not_that_of_its_run(memory):
    first, second = memory.begin("first"), memory.begin("second")
    memory.deliver(row("1", "a", value="Delhi"), first)
    assert memory.intend(row("1", "a", value="Pune"), second) is None


@pytest.mark.parametrize(
    ("sent", "other"),
    [
        (row("2", "a"), row("1", "a")),
        (row("2", None, "x"), row("1", "a")),
        (row("2", "a"), row("1", None, "x")),
        (row("1", "b"), row("1", "c")),
    ],
    ids=["one_match_key", "its_leads_other_key", "the_other_way_round", "its_row_key"],
)
def test_whatever_concerns_the_row_counts(memory, sent, other):
    memory.deliver(row("0", "a", "x"), "before")
    slow = memory.begin("slow")
    memory.accept(sent, "next")
    assert memory.intend(other, slow) is None


def test_a_row_concerns_its_key_its_match_keys_their_leads_and_the_other_match_keys_of_these(memory):
    memory.deliver(row("0", "a", "x"), "1", "A")
    memory.settle(memory.accept(row("1", "b", "x"), "2"), State.FAILED)
    lines = memory.accept(row("2", None, "x"), "3").lines
    assert set(lines) == {"row 2", "Phone=x", "lead A", "EmailAddress=a", "EmailAddress=b"}


def test_a_row_that_has_nothing_to_do_with_what_was_sent_is_intended(memory):
    slow = memory.begin("slow")
    memory.accept(row("2", "b", "y"), "next")
    assert memory.intend(row("1", "a", "x"), slow) is not None


def test_a_try_may_repeat_its_own_intent(memory):
    run = memory.begin("1")
    memory.intend(row("1", "a"), run)
    assert memory.intend(row("1", "a"), run) is not None


def test_another_try_of_the_same_run_is_another_run(memory):
    first, second = memory.begin("1"), memory.begin("1")
    memory.intend(row("1", "a"), second)
    assert memory.intend(row("1", "a"), first) is None


# --- R2: an intent that no receipt followed is another run's for a while, and a doubt after it ----------------------


def test_another_runs_young_intent_is_waited_for(memory):
    memory.intend(row("1", "a"), "living")
    memory.now += INTENT_TIMEOUT
    assert memory.state(row("1", "a"), "2") == "waiting"


def test_another_runs_old_intent_is_a_doubt_and_the_same_values_go_again(memory):
    memory.intend(row("1", "a"), "dead")
    memory.now += INTENT_TIMEOUT + 1
    assert memory.state(row("1", "a"), "2") == "unsent"


def test_the_next_try_of_the_same_run_repeats_a_doubt_at_once(memory):
    memory.intend(row("1", "a"), "1")
    assert memory.state(row("1", "a"), "1") == "unsent"


def test_an_intent_that_was_withdrawn_leaves_nothing_behind(memory):
    memory.deliver(row("1", "a"), "1")
    sending = memory.intend(row("1", "a", value="Delhi"), "2")
    memory.settle(sending, State.UNSENT)
    assert memory.state(row("1", "a"), "3") == "unchanged"


# --- R3: a row waits while any sending that may concern its lead is not settled -------------------------------------


@pytest.mark.parametrize(
    ("sent", "other"),
    [
        (row("1", "a", value="Delhi"), row("1", "a")),
        (row("2", "a"), row("1", "a")),
        (row("2", None, "x"), row("1", "a")),
        (row("2", "a"), row("1", None, "x")),
        (row("1", "b"), row("1", "c")),
    ],
    ids=["other_values", "one_match_key", "its_leads_other_key", "the_other_way_round", "its_row_key"],
)
def test_a_row_waits_for_what_is_open(memory, sent, other):
    memory.deliver(row("0", "a", "x"), "before")
    memory.accept(sent, "1")
    assert memory.state(other, "2") == "waiting"


def test_a_row_waits_for_an_open_request_of_its_own_values(memory):
    memory.accept(row("1", "a"), "1")
    assert memory.state(row("1", "a"), "2") == "waiting"


def test_other_values_wait_for_a_doubt(memory):
    memory.intend(row("1", "a"), "1")
    memory.now += INTENT_TIMEOUT + 1
    assert memory.state(row("1", "a", value="Delhi"), "2") == "waiting"


def test_another_row_of_the_lead_waits_for_a_doubt(memory):
    memory.intend(row("2", "a"), "1")
    memory.now += INTENT_TIMEOUT + 1
    assert memory.state(row("1", "a"), "2") == "waiting"


def test_a_row_waits_for_a_sending_of_another_sync(memory):
    memory.accept(row("1", "a"), memory.begin("1", sync="another"))
    assert memory.state(row("1", "a"), "2") == "waiting"


def test_a_row_waits_while_its_former_match_key_is_on_its_way_with_another(memory):
    """A request in the retries knows the lead by the phone that it had; it may still overwrite it."""
    memory.deliver(row("1", "a", "x"), "1")
    memory.accept(row("2", None, "x", "Delhi"), "2")
    assert memory.state(row("1", "a", None, "Kochi"), "3") == "waiting"


def test_after_the_settle_timeout_nothing_is_waited_for(memory):
    memory.accept(row("1", "a", value="Delhi"), "1")
    memory.now += SETTLE_TIMEOUT
    assert memory.state(row("1", "a"), "2") == "unsent"


# --- R4: which lead a row is known to reach ------------------------------------------------------------------------


def test_a_row_reaches_the_lead_that_has_its_first_match_key(memory):
    memory.deliver(row("1", "a", "x"), "1", "A")
    memory.deliver(row("2", "b", "y"), "1", "B")
    assert memory.compare(row("3", "a", "y"), "2").lead == "lead A"


def test_a_row_without_the_first_match_key_reaches_its_lead_by_the_next(memory):
    memory.deliver(row("1", "a", "x"), "1", "A")
    assert memory.compare(row("2", None, "x"), "2").lead == "lead A"


def test_a_phone_does_not_make_an_unknown_email_that_leads(memory):
    """Another row has the phone: LeadSquared may know the e-mail of a lead that nobody told of."""
    memory.deliver(row("1", "a", "x"), "1", "A")
    assert memory.compare(row("2", "b", "x"), "2").lead is None


def test_a_row_whose_lead_has_another_email_now_reaches_it_by_the_phone_with_which_it_reached_it_before(memory):
    memory.deliver(row("1", "a", "x"), "1", "A")
    memory.deliver(row("2", "b", "x"), "2", "A")
    found = memory.compare(row("1", "a", "x"), "3")
    assert (found.lead, found.state) == ("lead A", State.UNSENT)


def test_a_row_does_not_reach_its_lead_by_phone_once_its_email_is_doubtful(memory):
    """A lead of that e-mail may have come into being meanwhile."""
    memory.deliver(row("1", "a", "x"), "1", "A")
    memory.deliver(row("2", "b", "x"), "2", "A")
    memory.settle(memory.accept(row("3", "a"), "3"), State.FAILED)
    memory.deliver(row("2", "b", "x"), "4", "A")
    assert memory.compare(row("1", "a", "x"), "5").lead is None


def test_the_lead_that_a_row_last_reached_counts_no_more_once_its_keys_have_left(memory):
    memory.deliver(row("1", None, "x"), "1", "A")
    memory.deliver(row("2", "b", "x"), "2", "B")
    memory.deliver(row("2", "b", "y"), "3", "B")
    assert memory.compare(row("1", None, "x"), "4").lead is None


def test_a_match_key_that_a_lead_had_before_leads_nowhere(memory):
    memory.deliver(row("1", "a", "x"), "1", "A")
    memory.deliver(row("1", "a", "y"), "2", "A")
    assert memory.compare(row("2", None, "x"), "3").lead is None
    assert memory.state(row("2", None, "x"), "3") == "unsent"


def test_a_match_key_goes_over_to_the_lead_that_was_reached_by_it(memory):
    memory.deliver(row("1", "a", "x"), "1", "A")
    memory.deliver(row("2", "b", "x"), "2", "B")
    assert memory.compare(row("3", None, "x"), "3").lead == "lead B"
    assert "Phone" not in memory.lines["lead A"].keys


def test_a_proof_from_before_a_doubt_counts_no_more(memory):
    memory.deliver(row("1", "a"), "1", "A")
    failed = memory.accept(row("1", "a", value="Delhi"), "2")
    memory.settle(failed, State.FAILED)
    assert memory.compare(row("1", "a"), "3").lead is None


# --- R5: doubt -----------------------------------------------------------------------------------------------------


def test_after_a_failed_sending_the_values_before_it_go_again(memory):
    memory.deliver(row("1", "a"), "1")
    memory.settle(memory.accept(row("1", "a", value="Delhi"), "2"), State.FAILED)
    assert memory.state(row("1", "a"), "3") == "unsent"


def test_after_a_sending_that_was_given_up_the_values_before_it_go_again(memory):
    memory.deliver(row("1", "a"), "1")
    memory.accept(row("1", "a", value="Delhi"), "2")
    memory.now += SETTLE_TIMEOUT
    assert memory.state(row("1", "a"), "3") == "unsent"


def test_a_rejected_sending_changes_nothing(memory):
    memory.deliver(row("1", "a"), "1")
    memory.settle(memory.accept(row("1", "a", value="Delhi"), "2"), State.REJECTED)
    assert memory.state(row("1", "a"), "3") == "unchanged"


@pytest.mark.parametrize("is_failed", [True, False], ids=["failed", "given_up"])
def test_match_keys_that_were_sent_together_without_a_verdict_may_be_one_leads(memory, is_failed):
    sending = memory.accept(row("1", "a", "x"), "1")
    if is_failed:
        memory.settle(sending, State.FAILED)
    else:
        memory.now += SETTLE_TIMEOUT
    memory.compare(row("1", "a", "x"), "2")
    memory.accept(row("2", None, "x"), "2")
    assert memory.state(row("3", "a"), "3") == "waiting"


@pytest.mark.parametrize("is_foreseen", [True, False])
def test_a_verdict_that_comes_after_a_newer_sending_makes_the_newer_one_go_once_more(memory, is_foreseen):
    if is_foreseen:
        memory.deliver(row("1", "a"), "0")
    late = memory.accept(row("1", "a", value="Delhi"), "1")
    memory.now += SETTLE_TIMEOUT
    memory.deliver(row("1", "a"), "2")
    assert memory.state(row("1", "a"), "3") == "unchanged"
    memory.settle(late, State.UPDATED, "A")
    assert memory.state(row("1", "a"), "4") == "unsent"
    memory.deliver(row("1", "a"), "5")
    assert memory.state(row("1", "a"), "6") == "unchanged"


def test_a_late_verdict_of_the_same_values_changes_nothing(memory):
    late = memory.accept(row("1", "a"), "1")
    memory.now += SETTLE_TIMEOUT
    memory.deliver(row("1", "a"), "2")
    memory.settle(late, State.UPDATED, "A")
    assert memory.state(row("1", "a"), "3") == "unchanged"


def test_a_late_failure_makes_the_newer_values_doubtful_too(memory):
    late = memory.accept(row("1", "a", value="Delhi"), "1")
    memory.now += SETTLE_TIMEOUT
    memory.deliver(row("1", "a"), "2")
    memory.settle(late, State.FAILED)
    assert memory.state(row("1", "a"), "3") == "unsent"


def test_a_lead_that_joins_two_rows_unforeseen_is_written_once_more(memory):
    """A lead of others' has the e-mail of one row and the phone of another: nobody knew that the two meet."""
    first, second = memory.accept(row("1", "a"), "1"), memory.accept(row("2", None, "x", "Delhi"), "1")
    memory.settle(second, State.UPDATED, "A")
    memory.settle(first, State.UPDATED, "A")
    assert {memory.state(row("1", "a"), "2"), memory.state(row("2", None, "x", "Delhi"), "2")} == {"unsent"}


def test_a_sending_that_was_repeated_within_one_call_is_waited_for(memory):
    """The call had no response and was made once more: the first may still be under way beside the one accepted."""
    memory.deliver(row("1", "a"), "1")
    run = memory.begin("2")
    no = memory.draw()
    sending = memory.intend(row("1", "a", value="Delhi"), run, no=memory.draw())
    memory.rules().add(replace(sending, sending_id="doubt", no=no, state=State.IN_DOUBT))
    memory.settle(sending, State.UPDATED, "A")
    assert memory.state(row("1", "a", value="Kochi"), "3") == "waiting"


def test_the_values_that_were_confirmed_are_unchanged_beside_their_own_doubt(memory):
    run = memory.begin("1")
    no = memory.draw()
    sending = memory.intend(row("1", "a"), run, no=memory.draw())
    memory.rules().add(replace(sending, sending_id="doubt", no=no, state=State.IN_DOUBT))
    memory.settle(sending, State.UPDATED, "A")
    memory.now += INTENT_TIMEOUT + 1
    assert memory.state(row("1", "a"), "2") == "unchanged"


# --- R6: unchanged -------------------------------------------------------------------------------------------------


def test_a_row_is_unchanged_if_its_lead_has_its_values(memory):
    memory.deliver(row("1", "a"), "1")
    assert memory.state(row("1", "a"), "2") == "unchanged"


def test_a_row_is_unchanged_if_another_row_brought_its_lead_the_same_values(memory):
    memory.deliver(row("1", "a"), "1")
    assert memory.state(row("2", "a"), "2") == "unchanged"


def test_a_row_is_not_unchanged_after_another_row_wrote_its_lead(memory):
    memory.deliver(row("1", "a", value="Pune"), "1")
    memory.deliver(row("2", "a", value="Delhi"), "2")
    assert memory.state(row("1", "a", value="Pune"), "3") == "unsent"


def test_a_row_that_comes_back_to_a_lead_that_nobody_wrote_since_is_unchanged(memory):
    memory.deliver(row("1", "a"), "1", "A")
    memory.deliver(row("1", "b"), "2", "B")
    assert memory.state(row("1", "a"), "3") == "unchanged"


def test_a_lead_that_was_merged_into_another_is_found_under_its_new_id(memory):
    memory.deliver(row("1", "a"), "1", "A")
    memory.deliver(row("1", "a", value="Delhi"), "2", "B")
    assert (memory.compare(row("1", "a"), "3").lead, memory.state(row("1", "a", value="Delhi"), "3")) == (
        "lead B",
        "unchanged",
    )


def test_two_syncs_that_send_different_attributes_of_one_lead_do_not_undo_each_other(memory):
    cities, plans = row("1", "a", value="Pune"), row("1", "a", value="Gold")
    memory.deliver(cities, memory.begin("1", sync="cities"))
    memory.deliver(plans, memory.begin("1", sync="plans"))
    assert memory.state(cities, memory.begin("2", sync="cities")) == "unchanged"
    assert memory.state(plans, memory.begin("2", sync="plans")) == "unchanged"


# --- R6: several syncs that write the same attributes of a lead ----------------------------------------------------


def night_of(memory, sync, **values):
    """Let a sync send a row with these values to lead A, and return its state in the run after."""
    one = row("1", "a", value=repr(values))
    memory.deliver(one, memory.begin("1", sync=sync), **values)
    return lambda: memory.state(one, memory.begin("2", sync=sync), **values)


def test_a_row_is_not_unchanged_after_another_sync_wrote_another_value(memory):
    first, second = night_of(memory, "nightly", city="Pune"), night_of(memory, "backfill", city="Delhi")
    assert (first(), second()) == ("unsent", "unchanged")


def test_a_row_is_unchanged_after_another_sync_wrote_the_same_value(memory):
    first, second = night_of(memory, "nightly", city="Pune"), night_of(memory, "backfill", city="Pune", plan="Gold")
    assert (first(), second()) == ("unchanged", "unchanged")


def test_a_row_is_unchanged_again_once_it_has_been_sent_again(memory):
    night_of(memory, "nightly", city="Pune")
    second = night_of(memory, "backfill", city="Delhi")
    assert night_of(memory, "nightly", city="Pune")() == "unchanged"
    assert second() == "unsent"


def test_a_value_that_another_sync_wrote_stays_overwritten_when_that_sync_sends_it_no_more(memory):
    first = night_of(memory, "nightly", city="Pune")
    night_of(memory, "backfill", city="Delhi")
    night_of(memory, "backfill", plan="Gold")
    assert first() == "unsent"


def test_of_several_syncs_the_value_that_came_last_counts(memory):
    first = night_of(memory, "nightly", city="Pune")
    night_of(memory, "backfill", city="Delhi")
    night_of(memory, "repair", city="Pune")
    assert first() == "unchanged"


def test_values_are_not_asked_for_unless_another_sync_has_written_since(memory):
    one = row("1", "a")
    night_of(memory, "backfill", city="Delhi")
    memory.deliver(one, memory.begin("1", sync="nightly"), city="Pune")
    run = memory.begin("2", sync="nightly")
    assert memory.rules().compare(one, run, lambda: pytest.fail("asked")).state is State.UNCHANGED


def test_a_lead_of_one_sync_keeps_no_values(memory):
    night_of(memory, "nightly", city="Pune")
    night_of(memory, "nightly", city="Delhi")
    assert memory.lines["lead A"].values == {}


# --- R7: one person in a run ---------------------------------------------------------------------------------------


def test_rows_of_one_lead_are_one_person_whatever_match_keys_they_have(memory):
    memory.deliver(row("1", "a", "x"), "1")
    run = memory.begin("2")
    persons = {memory.compare(one, run).person for one in (row("1", "a", "x"), row("2", None, "x"), row("3", "a"))}
    assert persons == {"lead A"}


def test_rows_of_an_unknown_lead_are_one_person_if_they_have_one_first_match_key(memory):
    run = memory.begin("1")
    rows = [row("1", "a", "x"), row("2", "a", "y"), row("3", None, "x")]
    assert [memory.compare(one, run).person for one in rows] == ["EmailAddress=a", "EmailAddress=a", "Phone=x"]


# --- R8: rows of one lead in several partitions ---------------------------------------------------------------------


def contested(memory: Memory) -> None:
    """Let two rows of one lead be sent by two partitions."""
    memory.deliver(row("1", "a", value="Pune"), memory.begin("1", partition="0"))
    memory.deliver(row("2", "a", value="Delhi"), memory.begin("1", partition="1"))


def test_a_row_whose_lead_another_partition_writes_is_superseded_if_its_values_are_those_it_last_sent(memory):
    contested(memory)
    found = memory.compare(row("1", "a", value="Pune"), memory.begin("2", partition="0"))
    assert (found.state, found.owner) == (State.SUPERSEDED, "row 2")


def test_the_row_that_writes_a_contested_lead_is_unchanged_and_says_so(memory):
    contested(memory)
    found = memory.compare(row("2", "a", value="Delhi"), memory.begin("2", partition="1"))
    assert (found.state, found.is_owner_here) == (State.UNCHANGED, True)


def test_a_row_that_nobody_contests_need_not_be_seen_each_night(memory):
    memory.deliver(row("1", "a"), "1")
    assert not memory.compare(row("1", "a"), "2").is_owner_here


def test_changed_values_always_go(memory):
    contested(memory)
    assert memory.state(row("1", "a", value="Agra"), memory.begin("2", partition="0")) == "unsent"


def test_a_row_that_never_was_sent_goes(memory):
    memory.deliver(row("2", "a", value="Delhi"), memory.begin("1", partition="1"))
    assert memory.state(row("1", "a", value="Pune"), memory.begin("2", partition="0")) == "unsent"


def test_a_row_of_the_same_partition_is_not_superseded_by_one_that_is_gone(memory):
    memory.deliver(row("1", "a", value="Pune"), "1")
    memory.deliver(row("2", "a", value="Delhi"), "2")
    assert memory.state(row("1", "a", value="Pune"), "3") == "unsent"


def test_an_owner_that_was_not_seen_for_long_keeps_no_other_row_back(memory):
    contested(memory)
    memory.now += OWNER_TIMEOUT
    assert memory.state(row("1", "a", value="Pune"), memory.begin("2", partition="0")) == "unsent"


def test_an_owner_that_is_seen_stays_owner(memory):
    contested(memory)
    memory.now += OWNER_TIMEOUT - 1
    memory.rules().see_owner("lead A", memory.begin("2", partition="1"))
    memory.now += OWNER_TIMEOUT - 1
    assert memory.state(row("1", "a", value="Pune"), memory.begin("3", partition="0")) == "superseded"


# --- R9: refused ---------------------------------------------------------------------------------------------------


def refused(memory: Memory) -> None:
    memory.deliver(row("2", "b", "x"), "1", "B")
    memory.settle(memory.accept(row("1", "a", "x"), "2"), State.REJECTED)


def test_a_refused_row_stays_so(memory):
    refused(memory)
    refusal = memory.compare(row("1", "a", "x"), "3").refusal
    assert refusal is not None
    assert refusal.reason_class == "MXInvalidInputException"


def test_a_refused_row_goes_once_its_values_change(memory):
    refused(memory)
    assert memory.compare(row("1", "a", "x", "Delhi"), "3").refusal is None


def test_a_refused_row_goes_once_one_of_its_match_keys_has_left_the_lead_that_had_it(memory):
    refused(memory)
    memory.deliver(row("2", "b", "y"), "3", "B")
    assert memory.compare(row("1", "a", "x"), "4").refusal is None


def test_a_refusal_ends_with_a_later_success_of_the_same_row(memory):
    refused(memory)
    memory.deliver(row("1", "a", "x", "Delhi"), "3", "A")
    assert memory.compare(row("1", "a", "x"), "4").refusal is None


def test_an_older_refusal_does_not_replace_a_newer_one(memory):
    late = memory.accept(row("1", "a"), "1")
    memory.now += SETTLE_TIMEOUT
    newer = memory.accept(row("1", "a", value="Delhi"), "2")
    memory.settle(newer, State.REJECTED)
    memory.settle(late, State.REJECTED)
    assert memory.compare(row("1", "a", value="Delhi"), "3").refusal is not None


# --- R10: verdicts -------------------------------------------------------------------------------------------------


def test_two_receipts_of_one_row_are_both_waited_for_until_both_have_a_verdict(memory):
    one = memory.intend(row("1", "a"), memory.begin("1"))
    two = memory.intend(row("1", "a"), memory.begin("1"))
    one.state = two.state = State.OPEN
    memory.settle(two, State.UPDATED, "A")
    assert memory.state(row("1", "a"), "2") == "waiting"
    memory.settle(one, State.UPDATED, "A")
    assert memory.state(row("1", "a"), "2") == "unchanged"


def test_a_receipt_that_comes_after_the_settle_timeout_still_gets_its_verdict(memory):
    late = memory.intend(row("1", "a"), "1")
    memory.now += SETTLE_TIMEOUT
    memory.compare(row("1", "a"), "2")
    late.state = State.OPEN
    memory.settle(late, State.CREATED, "A")
    assert memory.compare(row("1", "a"), "3").lead == "lead A"


# --- sendings that leave the match keys of an existing lead alone ---------------------------------------------------


def test_match_keys_that_an_existing_lead_did_not_take_lead_nowhere(memory):
    memory.deliver(row("1", "a"), "1", "A")
    memory.deliver(row("1", "a", "x", moves_keys=False), "2", "A")
    assert memory.compare(row("2", None, "x"), "3").lead is None


def test_a_row_that_leaves_match_keys_alone_is_unchanged_in_the_next_night(memory):
    memory.deliver(row("1", "a", "x", moves_keys=False), "1", "A")
    assert memory.state(row("1", "a", "x", moves_keys=False), "2") == "unchanged"


def test_a_row_that_leaves_match_keys_alone_is_unchanged_once_it_has_reached_the_lead_that_its_own_was_merged_into(
    memory,
):
    memory.deliver(row("1", "a", "x", "Pune", moves_keys=False), "1", "A", State.CREATED)
    memory.deliver(row("1", "a", "x", "Delhi", moves_keys=False), "2", "B")
    assert memory.state(row("1", "a", "x", "Delhi", moves_keys=False), "3") == "unchanged"


def test_a_new_lead_takes_all_match_keys(memory):
    memory.deliver(row("1", "a", "x", moves_keys=False), "1", "A", State.CREATED)
    assert memory.compare(row("2", None, "x", moves_keys=False), "2").lead == "lead A"


def test_a_row_that_leaves_match_keys_alone_goes_again_once_one_of_them_has_moved(memory):
    memory.deliver(row("1", "a", "x", moves_keys=False), "1", "A")
    memory.deliver(row("2", "b", "x"), "2", "B")
    assert memory.compare(row("1", "a", "x", moves_keys=False), "3").state is State.UNSENT


def test_a_row_that_leaves_match_keys_alone_waits_for_a_sending_to_the_lead_that_it_reached(memory):
    """LeadSquared took the phones of both for one, and the lead kept the first one's."""
    memory.deliver(row("1", None, "0-x", moves_keys=False), "1", "A", State.CREATED)
    memory.deliver(row("2", "a", "91-x", moves_keys=False), "2", "A")
    memory.accept(row("1", None, "0-x", "Delhi", moves_keys=False), "3")
    assert memory.state(row("2", "a", "91-x", "Kochi", moves_keys=False), "4") == "waiting"


# --- match keys of one's own --------------------------------------------------------------------------------------


def test_a_row_with_a_search_key_reaches_its_lead_by_that_key_first(memory):
    memory.deliver(row("1", "a", own_id="7"), "1", "A")
    memory.deliver(row("2", "b", own_id="8"), "1", "B")
    assert memory.compare(row("3", "a", own_id="8"), "2").lead == "lead B"


def test_ids_that_differ_in_case_only_are_two_leads(memory):
    memory.deliver(row("1", own_id="ab"), "1", "A")
    assert memory.compare(row("2", own_id="AB"), "2").lead is None


def test_a_row_waits_for_a_sending_that_has_only_its_email_in_common(memory):
    memory.accept(row("1", "a", own_id="7"), "1")
    assert memory.state(row("2", "a", own_id="8"), "2") == "waiting"


# --- lines that were not looked up ---------------------------------------------------------------------------------


def test_a_line_of_another_kind_is_an_error(memory):
    memory.deliver(row("1", "a"), "1", "A")
    with pytest.raises(TypeError, match="is a LeadLine, not a KeyLine"):
        memory.compare(replace(row("1"), match_keys=(("EmailAddress", "lead A"),)), "2")


def test_a_memory_that_was_loaded_to_be_read_writes_nothing(memory):
    sending = memory.accept(row("1", "a"), "1")
    rules = memory.rules()
    rules._draw = None
    with pytest.raises(RuntimeError, match="to be read"):
        rules.settle(sending, State.UPDATED, lead="lead A")


def test_every_line_that_the_rules_use_is_one_that_they_ask_to_load(memory):
    """Else a ledger would take what it did not look up for what was never written."""
    memory.settle(memory.accept(row("1", "a", "x"), "1"), State.FAILED)
    memory.deliver(row("2", "b", "x"), "2", "B")
    memory.accept(row("3", "b", "z"), "3")
    asked = row("4", "a", "y")
    loaded: dict[str, Line] = {}
    wanted = {asked.row_line, *(key for _, key in asked.match_keys)}
    while wanted:
        new = [memory.lines[one] for one in wanted if one in memory.lines]
        loaded.update({line.line_id: line for line in new})
        sendings = [memory.sendings[one] for line in new for one in line.unsettled]
        wanted = set(lines_to_load(new, sendings)) - loaded.keys()
    used = memory.rules()._route(asked).lines
    assert {line.line_id for line in used if line.touched} <= loaded.keys()
    assert {type(line) for line in loaded.values()} >= {KeyLine, LeadLine}
