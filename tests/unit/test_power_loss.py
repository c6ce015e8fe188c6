"""The disk that loses its power has the states that a real one may have, and no others; what survives is judged."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from benchmarks.power_loss.audit import Content, Crm, Line, Loss
from benchmarks.power_loss.disk import SECTOR, Disk, Event, Files

A, B = b"a" * SECTOR, b"b" * SECTOR
WRITTEN = Event("write", "f", 0, b"new")


def possible(files: Files, *events: Event, samples: int = 20) -> list[Files]:
    """Return the states after a power loss that comes when all of this was done."""
    disk = Disk(files)
    for event in events:
        disk.happen(event)
    return list(disk.after_power_loss(random.Random(1), samples))  # noqa: S311 - draws cases, guards nothing


def contents(files: Files, *events: Event) -> set[bytes | None]:
    return {state.get("f") for state in possible(files, *events)}


def test_what_was_synced_is_there():
    assert contents({"f": b"old"}, WRITTEN, Event("sync", "f")) == {b"new"}


def test_what_was_not_synced_may_be_there_or_not():
    assert contents({"f": b"old"}, WRITTEN) == {b"old", b"new"}


def test_each_sector_is_written_by_itself():
    assert contents({"f": A + A}, Event("write", "f", 0, B + B)) == {A + A, A + B, B + A, B + B}


def test_a_sector_may_hold_what_any_of_several_writes_left():
    assert contents({"f": b"0"}, Event("write", "f", 0, b"1"), Event("write", "f", 0, b"2")) == {b"0", b"1", b"2"}


def test_a_file_may_have_its_new_length_without_its_data():
    assert contents({"f": A}, Event("write", "f", SECTOR, B)) == {A, A + B, A + bytes(SECTOR)}


def test_a_file_that_was_cut_may_have_its_old_length():
    assert contents({"f": A}, Event("truncate", "f", 0)) == {A, b""}


def test_a_file_that_was_lengthened_is_filled_with_zeros():
    assert Disk({"f": b"1"}).now == {"f": b"1"}
    assert contents({"f": b"1"}, Event("truncate", "f", 3), Event("sync", "f")) == {b"1\0\0"}


def test_a_deleted_file_may_be_back_until_its_directory_is_synced():
    assert contents({"f": b"old"}, Event("delete", "f")) == {None, b"old"}
    assert contents({"f": b"old"}, Event("delete", "f"), Event("sync directory")) == {None}


def test_a_new_file_may_be_gone_until_its_directory_is_synced_whatever_of_it_was():
    new = (Event("create", "f"), WRITTEN, Event("sync", "f"))
    assert contents({}, *new) == {None, b"new"}
    assert contents({}, *new, Event("sync directory")) == {b"new"}


def test_a_name_may_stand_for_the_file_before():
    again = (Event("delete", "f"), Event("create", "f"), WRITTEN, Event("sync", "f"))
    assert contents({"f": b"old"}, *again) == {b"old", None, b"new"}


@pytest.mark.parametrize("done", [(), (WRITTEN,), (Event("create", "g"), Event("write", "g", 0, b"1"), WRITTEN)])
def test_while_there_is_power_all_is_there(done: Sequence[Event]):
    disk = Disk({"f": b"old"})
    for event in done:
        disk.happen(event)
    assert disk.now == {"f": b"new" if done else b"old"} | ({"g": b"1"} if len(done) > 1 else {})


def test_of_many_states_those_that_are_drawn_are_of_every_kind():
    writes = [Event("write", "f", number * SECTOR, B) for number in range(20)]
    states = possible({"f": A * 20}, *writes, Event("delete", "f"), samples=50)
    found = {state.get("f") for state in states}
    assert len(found) == len(states) > 50
    assert {None, A * 20, B * 20} <= found
    assert found & {B * done + A * (20 - done) for done in range(1, 20)}, "a beginning of what was done"
    assert found & {B * done + A + B * (19 - done) for done in range(20)}, "all but one thing"
    assert any(B + A in one and A + B in one and one.count(B) < 18 for one in found if one), "any of it"


def test_space_that_never_got_its_data_may_hold_anything():
    found = contents({"f": b""}, *[Event("write", "f", number * SECTOR, B) for number in range(8)])
    assert any(set(one) - {0, ord("b")} for one in found if one)


def test_a_write_to_a_file_that_is_not_there_is_an_error_of_the_recording():
    with pytest.raises(ValueError, match="f is written to and was never created"):
        possible({"f": b""}, Event("delete", "f"), WRITTEN)


# --- the audit ------------------------------------------------------------------------------------------------------


class Rows:
    """Two rows, the second without a match key."""

    def row_of(self, lead):
        return lead["FirstName"]

    def has_match_key(self, row_key):
        return row_key == "1"

    def wanted(self):
        return {"1": "1", "2": "2"}

    def held(self, lead):
        return lead["FirstName"]


def line(row: str, state: str, request_id: str | None = None) -> Line:
    return Line(("run", row), row, state, request_id)


def post(row: str) -> dict:
    return {"lead": {"FirstName": row}}


def request(row: str, state: str = "succeeded") -> dict:
    return {"request_id": f"r{row}", "lead": {"FirstName": row}, "state": state, "is_created": True}


def stored(row: str) -> dict:
    return {"values": {"FirstName": row}}


POSTS, REQUESTS, STORED = [post("1"), post("2")], [request("1"), request("2")], [stored("1"), stored("2")]
LINES = [line("1", "created", "r1"), line("2", "created", "r2")]


def problems(survived=(), *, before=2, posts=POSTS, requests=REQUESTS, leads=STORED, lines=LINES) -> set[str]:
    crm = Crm(list(posts), {one["request_id"]: one for one in requests}, list(leads))
    return set(Loss(Rows(), Content(lines=list(survived)), before, crm, Content(lines=list(lines))).problems())


def test_nothing_is_found_where_all_is_well():
    assert not problems()


def test_rows_in_doubt_are_sent_again_or_named():
    assert not problems(
        [line("1", "in_doubt"), line("2", "in_doubt")],
        posts=[*POSTS, post("1")],
        requests=[*REQUESTS, request("1") | {"request_id": "again"}],
        lines=[line("1", "created", "again"), line("2", "in_doubt")],
    )


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"posts": [*POSTS, post("2")]}, "a row without a match key was sent twice"),
        ({"survived": LINES, "posts": [*POSTS, post("1")]}, "a row with a receipt was sent again"),
        ({"lines": [LINES[0], line("2", "open", "r2")]}, "a request has another verdict, or none: open"),
        ({"requests": [REQUESTS[0], request("2", "rejected")]}, "a request has another verdict, or none: created"),
        ({"survived": LINES, "lines": [line("1", "created"), LINES[1]]}, "a receipt is gone in the end"),
        ({"lines": [line("1", "created"), LINES[1]]}, "an accepted row has no verdict in the end"),
        ({"lines": [LINES[0]]}, "an accepted row without a match key is not named as in doubt"),
        ({"survived": [line("1", "rejected", "r1")]}, "a verdict has changed"),
        ({"lines": [*LINES, line("1", "in_doubt")]}, "a row stays in_doubt"),
        ({"leads": [*STORED, stored("1")]}, "a lead is there twice"),
        ({"leads": STORED[1:]}, "a row is lost"),
    ],
)
def test_each_breach_of_the_promise_is_found(changes, found):
    assert found in problems(**changes)


def test_an_older_value_in_the_crm_is_found(monkeypatch):
    monkeypatch.setattr(Rows, "wanted", lambda _: {"1": "newer"})
    assert problems() == {"the CRM holds an older value"}


def test_a_ledger_that_cannot_be_read_in_the_end_is_found():
    loss = Loss(Rows(), Content(), 0, Crm([], {}, []), Content(problem="malformed"))
    assert list(loss.problems()) == ["the ledger cannot be read in the end: malformed"]
