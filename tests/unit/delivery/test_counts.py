"""Counts: every row in exactly one state, and how many may be refused."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.delivery.counts import Counts, CountsError, parse_allowed_rejects
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State


def _rows(**counts: int) -> list[Entry]:
    return [Entry(0, State(name), reason_class="Why") for name, count in counts.items() for _ in range(count)]


def _counts(**counts: int) -> Counts:
    return Counts.of(_rows(**counts), read=sum(counts.values()))


def test_counts_count_rows_by_state():
    assert _counts(created=2, open=1).states == {State.CREATED: 2, State.OPEN: 1}


@pytest.mark.parametrize("read", [0, 2, 4])
def test_counts_that_do_not_balance_are_refused(read):
    with pytest.raises(CountsError, match=f"{read} rows were read, but 3 are in a state"):
        Counts.of(_rows(created=3), read=read)


def test_rows_may_be_read_from_an_iterator():
    assert Counts.of(iter(_rows(created=3)), read=3).states == {State.CREATED: 3}


def test_counts_are_one_line_in_the_order_of_a_rows_life():
    assert str(_counts(failed=1, created=1_200, invalid=2)) == "read 1,203 = invalid 2 + created 1,200 + failed 1"


def test_counts_of_nothing_balance():
    assert str(_counts()) == "read 0 = 0"


@pytest.mark.parametrize("state", State)
def test_a_row_counts_as_a_reject_if_its_state_does(state):
    assert _counts(**{state.value: 3}).rejects == (3 if state.is_reject else 0)


@pytest.mark.parametrize(
    ("rejected", "allowed", "tolerated"),
    [
        (0, 0, True),
        (1, 0, False),
        (1, 1, True),
        (2, 1, False),
        (0, 0.0, True),
        (1, 0.0, False),
        (1, 0.01, True),
        (2, 0.01, False),
        (29, 0.29, True),
        (57, 0.57, True),
        (58, 0.57, False),
        (100, 1.0, True),
        (2, 1.0, True),
        (100, 100, True),
    ],
)
def test_of_100_rows_so_many_rejects_are_tolerated(rejected, allowed, tolerated):
    assert _counts(rejected=rejected, created=100 - rejected).are_within(allowed) is tolerated


@pytest.mark.parametrize("allowed", [0, 5, 0.0, 1.0])
def test_no_rows_have_no_rejects(allowed):
    assert _counts().are_within(allowed)


def test_rejects_are_explained_by_state_and_reason_the_most_frequent_first():
    rows = [
        Entry(0, State.FAILED, reason_class="B"),
        *[Entry(0, State.REJECTED, reason_class="A")] * 3,
        Entry(0, State.REJECTED, reason_class="C"),
        Entry(0, State.IN_DOUBT),
    ]
    expected = "rejected: 3 A; failed: 1 B; in_doubt: 1 no reason given; rejected: 1 C"
    assert Counts.of(rows, read=6).reasons_text() == expected


@pytest.mark.parametrize("state", [state for state in State if not state.is_reject])
def test_what_is_no_reject_needs_no_explanation(state):
    assert Counts.of([Entry(0, state, reason_class="Why")], read=1).reasons_text() == ""


def test_counts_go_to_others_as_plain_counts():
    assert _counts(rejected=1, created=2).as_dict() == {"read": 3, "created": 2, "rejected": 1}


def test_plain_counts_have_plain_names():
    assert {type(name) for name in _counts(rejected=1, created=2).as_dict()} == {str}


@pytest.mark.parametrize("allowed", [0, 1, 10**9, 0.0, 0.5, 1.0])
def test_a_count_or_a_share_may_be_allowed(allowed):
    assert parse_allowed_rejects(allowed) == allowed


@pytest.mark.parametrize(("text", "value"), [("0", 0), (" 12 ", 12), ("0.05", 0.05), ("1.0", 1.0)])
def test_a_count_or_a_share_may_be_text_from_a_template(text, value):
    read = parse_allowed_rejects(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    "allowed", [-1, -0.1, 1.1, 5.0, float("nan"), float("inf"), True, False, "", "-1", "1.5", "5%", None, [1]], ids=repr
)
def test_anything_else_is_refused_with_the_remedy(allowed):
    with pytest.raises(ValueError, match=r"write a number of rows \(int\) or a share from 0.0 to 1.0 \(float\)"):
        parse_allowed_rejects(allowed)
