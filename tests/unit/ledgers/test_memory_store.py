"""Lines and sendings in a SQLite file: they come back as they were, and show nobody's data."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers import memory_store
from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.ledgers.memory import RunOfSync
from airflow_provider_leadsquared.ledgers.memory_lines import (
    Intent,
    KeyLine,
    LeadLine,
    Line,
    MemoryRow,
    Refusal,
    RowLine,
    Sending,
    Success,
    Writer,
    may_be_one,
)
from airflow_provider_leadsquared.ledgers.memory_store import MemoryStore

NOW = 1_700_000_000.0
EMAIL, PHONE = ("EmailAddress", "asha@example.org"), ("Phone", "9000000001")


@pytest.fixture
def open_store(tmp_path: Path) -> Callable[..., MemoryStore]:
    def open_store(name: str = "ledger", account: str = "https://crm.example") -> MemoryStore:
        database = Database(lambda: sqlite3.connect(tmp_path / f"{name}.db"), table="ledger")
        return MemoryStore(database, account=account, settle_timeout=1_000.0, clock=lambda _: NOW)

    return open_store


@pytest.fixture
def store(open_store) -> MemoryStore:
    return open_store()


def save(store: MemoryStore, *lines: Line) -> None:
    with store._database.writing() as connection:
        loaded = store.load(connection, [line.line_id for line in lines], numbers=())
        loaded.memory.lines.update({line.line_id: line for line in lines})
        store.save(connection, loaded)


def load(store: MemoryStore, *ids: str) -> dict[str, Line]:
    with store._database.reading() as connection:
        return store.load(connection, ids).memory.lines


INTENT = Intent("try", "row", "fingerprint")
KEYS = (("EmailAddress", "e"), ("Phone", "p"))


@pytest.mark.parametrize(
    "line",
    [
        RowLine("r"),
        RowLine(
            "r",
            no=5,
            dirty=4,
            touched=6,
            last=INTENT,
            sync_id="sync",
            row_key="17",
            last_scope="scope",
            last_entry="entry",
            success=Success(3, KEYS, "l"),
            refusal=Refusal(4, "f", NOW, "MXFooException", "why"),
            sent="f",
            waits_since=2,
        ),
        RowLine("r", refusal=Refusal(4, "f", NOW, None, None)),
        KeyLine("k"),
        KeyLine("k", no=5, dirty=4, touched=6, last=INTENT, lead="l", proved=3, moved=2, kin={"k2", "k3"}),
        LeadLine("l"),
        LeadLine(
            "l",
            no=5,
            dirty=4,
            touched=6,
            last=INTENT,
            keys={"EmailAddress": ["e"], "Phone": ["p", "p2"]},
            values={"mx_City": "c"},
            writers={"sync": Writer(3, "f", "r", NOW + 0.25, "p", True), "other": Writer(2, "g", "r2", NOW, "p")},
        ),
    ],
    ids=["new_row", "row", "refusal_without_reason", "new_key", "key", "new_lead", "lead"],
)
def test_a_line_comes_back_as_it_was(open_store, line):
    save(open_store(), line)
    assert load(open_store(), line.line_id)[line.line_id] == line


def sending(number: int, **changes: object) -> Sending:
    one = MemoryRow("r", "17", KEYS, "f", moves_keys=False)
    values = {"sending_id": f"s{number}", "no": 5, "sync_id": "sync", "row": one, "try_id": "try", "scope": "scope"}
    values |= {"entry_id": "entry", "partition": "p", "intended_at": NOW + 0.5, "lines": ("r", "e"), "leads": ("l",)}
    return Sending(**{**values, **changes})  # type: ignore[arg-type]  # values of many types by name


UNSETTLED = {
    "row_no": 0,
    "api": "lead_capture",
    "request_id": None,
    "accepted_at": None,
    "attempts": 1,
    "reason_class": None,
    "reason": None,
    "unknown_since": None,
}


def add(store: MemoryStore, *sendings: Sending) -> None:
    with store._database.writing() as connection:
        store.add_sendings(connection, [{**store.sending_values(one), **UNSETTLED} for one in sendings])


@pytest.mark.parametrize("state", [State.IN_DOUBT, State.OPEN])
def test_a_sending_comes_back_as_it_was(open_store, state):
    one = sending(1, state=state, values={"mx_City": "c"})
    add(open_store(), one)
    save(open_store(), RowLine("r", unsettled=["s1"]))
    store = open_store()
    with store._database.reading() as connection:
        assert store.load(connection, ["r"]).memory.sendings == {"s1": one}


def test_lines_to_which_others_lead_are_loaded_with_them(store):
    add(store, sending(1))
    save(
        store,
        RowLine("r", success=Success(3, KEYS, "l1"), unsettled=["s1"]),
        LeadLine("l1", keys={"Phone": ["p", "p3"]}),
    )
    save(store, KeyLine("p", kin={"p2"}, lead="l2"), LeadLine("l2"), KeyLine("p2"), KeyLine("p3"), KeyLine("e"))
    assert load(store, "r").keys() == {"r", "l1", "p", "l2", "p2", "p3", "e"}


def test_a_line_that_was_not_looked_up_is_an_error_and_not_taken_for_new(store):
    with store._database.reading() as connection:
        memory = store.load(connection, ["r"]).memory
    with pytest.raises(LookupError, match="was not loaded"):
        memory.compare(MemoryRow("r", "17", KEYS, "f"), RunOfSync("sync", "scope", "try", "p", 1))


def test_a_line_that_was_looked_up_and_is_not_there_is_new(store):
    with store._database.reading() as connection:
        memory = store.load(connection, ["r", "e", "p"]).memory
    found = memory.compare(MemoryRow("r", "17", KEYS, "f"), RunOfSync("sync", "scope", "try", "p", 1))
    assert found.state is State.UNSENT


def test_only_lines_that_have_changed_are_written(store, monkeypatch):
    save(store, KeyLine("a"), KeyLine("b"))
    with store._database.writing() as connection:
        loaded = store.load(connection, ["a", "b"], numbers=())
        loaded.memory.lines["a"].no = 7
        written: list[dict[str, object]] = []
        monkeypatch.setattr(memory_store, "upsert", lambda _, __, rows: written.extend(rows))
        store.save(connection, loaded)
    assert [line["line_id"] for line in written] == ["a"]


def test_accounts_do_not_see_each_others_lines(open_store):
    save(open_store(), KeyLine("k", no=5))
    assert load(open_store(account="https://other.example"), "k") == {}


# --- what a reader of the tables learns ----------------------------------------------------------------------------


def test_the_same_match_key_has_the_same_line_in_every_run(open_store):
    assert open_store().key_lines([EMAIL, PHONE]) == open_store().key_lines([EMAIL, PHONE])


def test_the_line_of_a_match_key_differs_between_ledgers(open_store):
    first, second = open_store("one").key_lines([EMAIL]), open_store("two").key_lines([EMAIL])
    assert first[0][1] != second[0][1]


def test_the_line_of_a_match_key_follows_from_its_attribute_too(store):
    ids = {key for _, key in store.key_lines([("Phone", "1"), ("Mobile", "1"), ("mx_Id", "1")])}
    assert len(ids) == 3


@pytest.mark.parametrize("other", ["Asha@example.org", "asha@example.org ", "åsha@example.org"])
def test_match_keys_are_compared_as_they_are(store, other):
    """How they are written the same way is decided before, where the API's documents say how."""
    assert store.key_lines([EMAIL]) != store.key_lines([("EmailAddress", other)])


@pytest.mark.parametrize("other", ["+919000000001", "09000000001", "+449000000001"])
def test_phones_with_the_same_last_digits_have_ids_that_look_alike_and_are_not_the_same(store, other):
    (_, one), (_, two) = store.key_lines([PHONE, ("Phone", other)])
    assert may_be_one(one, two)
    assert (one != two, len(one), len(two)) == (True, 32, 32)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (PHONE, ("Phone", "9000000002")),
        (PHONE, ("Mobile", "9000000001")),
        (("Phone", "900001"), ("Phone", "91900001")),
        (("Phone", "none"), ("Phone", "no")),
        (("mx_Id", "9000000001"), ("mx_Id", "919000000001")),
    ],
    ids=["other_digits", "other_attribute", "too_short", "no_digits", "no_phone"],
)
def test_other_match_keys_have_ids_that_do_not_look_alike(store, one, other):
    (_, first), (_, second) = store.key_lines([one, other])
    assert not may_be_one(first, second)


def test_the_same_value_has_the_same_hash_under_each_attribute_of_its_own(open_store):
    values = {"mx_City": "Pune", "mx_Town": "Pune"}
    hashes = open_store().value_hashes(values)
    assert hashes == open_store().value_hashes(values)
    assert len(set(hashes.values())) == 2
    assert open_store("two").value_hashes(values) != hashes


def test_ids_of_leads_are_compared_without_regard_to_case(store):
    assert store.lead_line("ABC-1") == store.lead_line("abc-1")


def test_no_match_key_stands_in_the_file(store, tmp_path):
    keys = store.key_lines([EMAIL, PHONE])
    add(store, sending(1, row=MemoryRow("r", "17", keys, "f")))
    save(store, *[KeyLine(key) for _, key in keys], RowLine("r", success=Success(1, keys, "l"), unsettled=["s1"]))
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert keys[0][1].encode() in stored
    assert not any(text.encode() in stored for _, text in (EMAIL, PHONE))
