"""Ledgers: one contract for every store, and the shape of what goes into Airflow's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_leadsquared.delivery.ledger import Entry, Ledger, MemoryLedger, TaskStateLedger
from airflow_provider_leadsquared.delivery.verdicts import State

LARGEST_VALUE = 65_535


class StrictStore:
    """A task state store that takes plain JSON only and hands out copies, as Airflow's does."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.sets_left: int | None = None

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any) -> None:
        if self.sets_left is not None:
            if not self.sets_left:
                raise ConnectionError("the store is away")
            self.sets_left -= 1
        assert value is not None
        _check_plain(value)
        self.values[key] = json.dumps(value, allow_nan=False)


def _check_plain(value: Any) -> None:
    if type(value) is dict:
        assert {type(name) for name in value} <= {str}
        for inner in value.values():
            _check_plain(inner)
    elif type(value) is list:
        for inner in value:
            _check_plain(inner)
    else:
        assert value is None or type(value) in (str, int, float, bool), f"{type(value)} is no plain JSON"


class Shelf:
    """Where a ledger is kept, and a fresh ledger on it at each call."""

    def __init__(self, kind: str) -> None:
        self._store, self._memory = StrictStore(), MemoryLedger()
        self._kind = kind

    def open(self) -> Ledger:
        return TaskStateLedger(self._store) if self._kind == "task_state" else self._memory


@pytest.fixture(params=["memory", "task_state"])
def shelf(request):
    return Shelf(request.param)


def _entry(row: int, state: State = State.OPEN, **changes: Any) -> Entry:
    return Entry(row, state, **{"fingerprint": f"{row:032x}", **changes})


def _by_identity(*entries: Entry) -> dict[Any, Entry]:
    return {entry.identity: entry for entry in entries}


FULL = Entry(
    row=7,
    state=State.REJECTED,
    key="A-7",
    fingerprint="f" * 32,
    copy=2,
    request_id="9d0f4b52-0000-4000-8000-00000000000c",
    accepted_at=1_700_000_000.123456,
    settled_at=1_700_000_030.5,
    lead_id="2c8e1f77-0000-4000-8000-00000000000b",
    reason_class="MXDuplicateEntryException",
    reason="Duplicate entry '***' — मीरा 😀",
)


def test_a_new_ledger_is_empty(shelf):
    records = shelf.open().load()
    assert (records.entries, records.marks) == ({}, {})


def test_what_is_written_can_be_loaded(shelf):
    ledger = shelf.open()
    ledger.write([_entry(0), _entry(1)])
    assert ledger.load().entries == _by_identity(_entry(0), _entry(1))


def test_every_field_of_an_entry_comes_back(shelf):
    shelf.open().write([FULL])
    assert shelf.open().load().entries == {FULL.identity: FULL}


@pytest.mark.parametrize("state", State)
def test_every_state_comes_back(shelf, state):
    shelf.open().write([_entry(0, state)])
    (entry,) = shelf.open().load().entries.values()
    assert entry.state is state


def test_the_last_entry_of_a_row_wins(shelf):
    ledger = shelf.open()
    ledger.write([_entry(0, State.IN_DOUBT)])
    ledger.write([_entry(0, State.OPEN), _entry(0, State.CREATED)])
    assert ledger.load().entries == _by_identity(_entry(0, State.CREATED))


def test_a_row_that_moved_in_the_list_keeps_its_one_entry(shelf):
    ledger = shelf.open()
    ledger.write([_entry(0, fingerprint="f")])
    ledger.write([_entry(5, State.CREATED, fingerprint="f")])
    assert ledger.load().entries == _by_identity(_entry(5, State.CREATED, fingerprint="f"))


def test_rows_that_are_alike_are_kept_apart_by_their_copy(shelf):
    alike = [_entry(row, fingerprint="f", copy=row) for row in range(3)]
    shelf.open().write(alike)
    assert shelf.open().load().entries == _by_identity(*alike)


def test_a_fresh_ledger_sees_what_an_old_one_wrote(shelf):
    shelf.open().write([_entry(0)], marks={"a": 1})
    records = shelf.open().load()
    assert (records.entries, records.marks) == (_by_identity(_entry(0)), {"a": 1})


def test_a_fresh_ledger_adds_to_what_an_old_one_wrote(shelf):
    shelf.open().write([_entry(0)])
    shelf.open().write([_entry(1)])
    assert shelf.open().load().entries == _by_identity(_entry(0), _entry(1))


def test_marks_are_merged(shelf):
    ledger = shelf.open()
    ledger.write(marks={"a": 1, "b": 1})
    ledger.write(marks={"b": 2, "c": [1.5, None]})
    assert ledger.load().marks == {"a": 1, "b": 2, "c": [1.5, None]}


def test_entries_and_marks_do_not_touch_each_other(shelf):
    ledger = shelf.open()
    ledger.write([_entry(0)])
    ledger.write(marks={"a": 1})
    ledger.write([_entry(1)])
    records = ledger.load()
    assert (len(records.entries), records.marks) == (2, {"a": 1})


def test_writing_nothing_changes_nothing(shelf):
    ledger = shelf.open()
    ledger.write([_entry(0)])
    ledger.write()
    ledger.write([], marks={})
    assert ledger.load().entries == _by_identity(_entry(0))


def test_what_was_loaded_does_not_change_with_later_writes(shelf):
    ledger = shelf.open()
    ledger.write([_entry(0)])
    before = ledger.load()
    ledger.write([_entry(1)], marks={"a": 1})
    assert (len(before.entries), dict(before.marks)) == (1, {})


def test_entries_may_come_from_an_iterator(shelf):
    shelf.open().write(_entry(row) for row in range(3))
    assert len(shelf.open().load().entries) == 3


# --- Airflow's store ----------------------------------------------------------------------------------------------


def _long(row: int) -> Entry:
    return _entry(row, State.FAILED, key=f"मीरा-{row}", request_id=f"r-{row}", reason="😀 " * 40, accepted_at=1.5)


def test_5000_entries_go_into_chunks_that_airflow_takes():
    store = StrictStore()
    TaskStateLedger(store).write([_long(row) for row in range(5_000)])
    assert max(len(value.encode()) for value in store.values.values()) < LARGEST_VALUE


def test_5000_entries_come_back():
    store = StrictStore()
    entries = [_long(row) for row in range(5_000)]
    TaskStateLedger(store).write(entries)
    assert TaskStateLedger(store).load().entries == _by_identity(*entries)


def test_chunks_are_filled_before_another_is_begun():
    store = StrictStore()
    TaskStateLedger(store).write([_long(row) for row in range(5_000)])
    sizes = [len(value) for value in list(store.values.values())[:-1]]
    assert min(sizes) > 55_000


def test_chunks_are_numbered_without_a_gap():
    store = StrictStore()
    for _ in range(2):
        TaskStateLedger(store).write([_long(row) for row in range(500)])
    assert sorted(store.values) == [f"ledger/{chunk:04d}" for chunk in range(len(store.values))]


def test_a_store_that_fails_leaves_the_earlier_chunks_readable():
    store = StrictStore()
    store.sets_left = 2
    with pytest.raises(ConnectionError):
        TaskStateLedger(store).write([_long(row) for row in range(5_000)])
    rows = [entry.row for entry in TaskStateLedger(store).load().entries.values()]
    assert (rows, len(store.values)) == (list(range(len(rows))), 2)


def test_a_ledger_goes_on_where_its_store_failed():
    store = StrictStore()
    ledger = TaskStateLedger(store)
    ledger.write([_entry(0)])
    store.sets_left = 0
    with pytest.raises(ConnectionError):
        ledger.write([_entry(1)])
    store.sets_left = None
    ledger.write([_entry(2)])
    assert TaskStateLedger(store).load().entries == _by_identity(_entry(0), _entry(2))


def test_an_entry_holds_no_lead_data():
    assert set(Entry.__dataclass_fields__) == {
        "row",
        "state",
        "key",
        "fingerprint",
        "copy",
        "request_id",
        "accepted_at",
        "settled_at",
        "lead_id",
        "reason_class",
        "reason",
    }


# --- entries ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "name"),
    [(Entry(0, State.OPEN), "row 1"), (Entry(9, State.OPEN, key="A-1"), "A-1"), (Entry(9, State.OPEN, key=""), "")],
)
def test_a_row_is_named_by_its_key_or_by_its_position_counted_from_one(entry, name):
    assert entry.name == name


@pytest.mark.parametrize(
    ("entry", "identity"),
    [
        (Entry(3, State.OPEN, "A-1", "f", 1, "r"), ("A-1", "f", 1)),
        (Entry(3, State.OPEN, None, "", 0, "r"), (None, "r", 0)),
        (Entry(3, State.INVALID, "A-1", copy=3), ("A-1", "", 3)),
    ],
    ids=["by_fingerprint", "by_receipt", "never_sent"],
)
def test_a_row_is_recognised_by_what_it_is_not_where_it_stands(entry, identity):
    assert entry.identity == identity


def test_a_move_changes_only_what_it_says():
    entry = _entry(0, State.IN_DOUBT, key="A-1")
    assert entry.moved(State.OPEN, request_id="r") == _entry(0, State.OPEN, key="A-1", request_id="r")
