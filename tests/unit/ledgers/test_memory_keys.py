"""Which spellings of a phone number are one lead's: only LeadSquared knows, so only what it found by them counts."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory_lines import KeyLine, LeadLine, may_be_one
from tests.unit.ledgers.memories import Memory, row

#: Two spellings of one number, and another number.
PHONE, SPELLED, OTHER = "0-x", "91-x", "0-y"


@pytest.fixture
def memory() -> Memory:
    return Memory()


def phones_of(memory: Memory, lead: str = "A") -> set[str]:
    """Return the phones that lead to a lead, as its line and theirs say."""
    line = memory.lines[f"lead {lead}"]
    assert isinstance(line, LeadLine)
    names = line.keys.get("Phone", [])
    lines = [memory.lines[name] for name in names]
    assert all(isinstance(one, KeyLine) and one.lead == line.line_id for one in lines)
    return {name.removeprefix("Phone=") for name in names}


# --- one lead, found by each ---------------------------------------------------------------------------------------


def test_a_lead_that_is_found_by_another_spelling_of_its_phone_has_both(memory):
    memory.deliver(row("1", None, PHONE), "1")
    memory.deliver(row("2", None, SPELLED), "2")
    assert phones_of(memory) == {PHONE, SPELLED}


def test_rows_with_two_spellings_of_a_phone_do_not_take_turns(memory):
    one, two = row("1", None, PHONE, "Pune"), row("2", None, SPELLED, "Delhi")
    for night in ("1", "2"):
        memory.deliver(one, night)
        memory.deliver(two, night)
    found = [memory.compare(row, "3") for row in (one, two)]
    assert [one.person for one in found] == ["lead A", "lead A"]
    assert found[1].state is State.UNCHANGED


@pytest.mark.parametrize("first", [0, 1], ids=["its_verdict_first", "its_verdict_last"])
def test_a_lead_that_one_row_makes_and_another_finds_has_both(memory, first):
    """Both rows go in the first night; the poll reads their verdicts in any order."""
    sendings = [memory.accept(row("1", None, PHONE), "1"), memory.accept(row("2", None, SPELLED), "1")]
    verdicts = [(sendings[0], State.CREATED), (sendings[1], State.UPDATED)]
    for sending, state in (verdicts[first], verdicts[1 - first]):
        memory.settle(sending, state, "A")
    assert phones_of(memory) == {PHONE, SPELLED}


def test_a_lead_that_has_another_email_was_found_by_its_phone(memory):
    memory.deliver(row("1", "a", PHONE), "1")
    memory.deliver(row("2", "b", SPELLED), "2")
    assert phones_of(memory) == {PHONE, SPELLED}


def test_a_phone_that_is_searched_by_first_finds_the_lead_whatever_else_is_sent(memory):
    one = row("2", "a", SPELLED)
    memory.deliver(row("1", "a", PHONE), "1")
    memory.deliver(type(one)(one.row_line, one.row_key, one.match_keys[::-1], one.fingerprint), "2")
    assert phones_of(memory) == {PHONE, SPELLED}


def test_sending_one_spelling_again_drops_no_other(memory):
    memory.deliver(row("1", "a", PHONE), "1")
    memory.deliver(row("2", None, SPELLED), "2")
    memory.deliver(row("1", "a", PHONE, "Kochi"), "3")
    assert phones_of(memory) == {PHONE, SPELLED}


# --- no proof that it is one number --------------------------------------------------------------------------------


def test_a_phone_that_was_sent_to_a_lead_found_by_email_takes_the_place_of_one_that_looks_alike(memory):
    memory.deliver(row("1", "a", PHONE), "1")
    memory.deliver(row("1", "a", SPELLED), "2")
    assert phones_of(memory) == {SPELLED}
    assert memory.compare(row("2", None, PHONE), "3").lead is None


def test_a_phone_that_ends_in_other_digits_is_no_other_spelling(memory):
    """Somebody changed the lead's phone in the CRM: the former one finds it no more."""
    memory.deliver(row("1", None, PHONE), "1")
    memory.deliver(row("2", None, OTHER), "2")
    assert phones_of(memory) == {OTHER}


def test_a_lead_whose_email_is_not_known_may_have_been_found_by_it(memory):
    memory.deliver(row("1", None, PHONE), "1")
    memory.deliver(row("2", "b", SPELLED), "2")
    assert phones_of(memory) == {SPELLED}


def test_a_lead_that_a_row_makes_with_the_email_of_another_may_have_been_found_by_it(memory):
    made, found = memory.accept(row("1", "a", PHONE), "1"), memory.accept(row("2", "a", SPELLED), "1")
    memory.settle(found, State.UPDATED, "A")
    memory.settle(made, State.CREATED, "A")
    assert phones_of(memory) == {SPELLED}


def test_what_was_proved_before_a_doubt_does_not_say_which_phone_a_lead_has(memory):
    """The failed sending may have been stored: then the lead has the other number, and was found by that."""
    memory.deliver(row("1", "a", PHONE), "1")
    memory.settle(memory.accept(row("1", "a", SPELLED), "2"), State.FAILED)
    memory.deliver(row("2", None, SPELLED), "3")
    assert phones_of(memory) == {SPELLED}


def test_a_phone_that_is_on_its_way_to_the_lead_may_be_there_already(memory):
    memory.deliver(row("1", "a", PHONE), "1")
    memory.accept(row("1", "a", SPELLED), "2")
    memory.deliver(row("2", None, SPELLED), "3")
    assert phones_of(memory) == {SPELLED}


def test_another_sending_of_the_leads_own_phone_on_its_way_is_no_doubt(memory):
    memory.deliver(row("1", "a", PHONE), "1")
    memory.accept(row("1", "a", PHONE, "Kochi"), "2")
    memory.deliver(row("2", None, SPELLED), "3")
    assert phones_of(memory) == {PHONE, SPELLED}


def test_a_sending_that_a_newer_one_overtook_proves_nothing(memory):
    late = memory.accept(row("2", None, SPELLED), memory.begin("1", sync="another"))
    memory.now += 1_000.0  # it is not waited for any more
    memory.deliver(row("2", None, SPELLED, "Kochi"), "2", "B")
    memory.deliver(row("1", None, PHONE), "2", "A")
    memory.settle(late, State.UPDATED, "A")
    assert phones_of(memory) == {SPELLED}


def test_until_it_is_certain_one_spelling_waits_for_the_other(memory):
    """Else both are sent in each night, and which of them is proved depends on whose verdict is read first."""
    memory.deliver(row("1", None, PHONE), "1")
    memory.settle(memory.accept(row("1", None, PHONE, "Delhi"), "2"), State.FAILED)
    memory.deliver(row("2", None, SPELLED), "3")
    memory.accept(row("1", None, PHONE, "Delhi"), "4")
    assert memory.state(row("2", None, SPELLED, "Kochi"), "4") == "waiting"


# --- leaving a lead ------------------------------------------------------------------------------------------------


def with_both(memory: Memory) -> None:
    memory.deliver(row("1", "a", PHONE), "1")
    memory.deliver(row("2", None, SPELLED), "2")
    assert phones_of(memory) == {PHONE, SPELLED}


def test_another_number_takes_the_place_of_all_spellings(memory):
    with_both(memory)
    memory.deliver(row("1", "a", OTHER), "3")
    assert phones_of(memory) == {OTHER}
    assert [memory.lines[f"Phone={phone}"].lead for phone in (PHONE, SPELLED)] == [None, None]


def test_a_spelling_that_goes_over_to_another_lead_leaves_no_other_behind(memory):
    with_both(memory)
    memory.deliver(row("3", "b", SPELLED), "3", "B")
    assert (phones_of(memory), phones_of(memory, "B")) == (set(), {SPELLED})
    assert memory.lines[f"Phone={PHONE}"].lead is None


def test_a_phone_that_is_cleared_takes_all_spellings_with_it(memory):
    with_both(memory)
    one = row("1", "a")
    memory.deliver(type(one)(one.row_line, one.row_key, one.match_keys, "f", cleared=("Phone",)), "3")
    assert phones_of(memory) == set()
    assert [memory.lines[f"Phone={phone}"].lead for phone in (PHONE, SPELLED)] == [None, None]


def test_a_row_concerns_all_spellings_of_its_leads_phone(memory):
    with_both(memory)
    lines = memory.accept(row("3", "a"), "3").lines
    assert set(lines) == {"row 3", "EmailAddress=a", "lead A", f"Phone={PHONE}", f"Phone={SPELLED}"}


# --- ids that look alike -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "other"), [("1", "1"), ("1-x", "1"), ("1-x", "1-y"), ("1-", "2-")])
def test_match_keys_without_the_same_last_digits_are_not_one(key, other):
    assert not may_be_one(key, other)


def test_match_keys_with_the_same_last_digits_may_be_one():
    assert may_be_one("1-x", "2-x")
