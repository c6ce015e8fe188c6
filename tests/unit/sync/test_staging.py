"""The staging table: rows of a run on disk, and the rules that compare them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.batch import Batch
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.row_keys import DOUBLED_KEY
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory import Finding
from airflow_provider_leadsquared.sync.staging import StagedRow, StagingError, StagingTable


@pytest.fixture
def staging():
    staging = StagingTable()
    yield staging
    staging.close()


def row(
    number: int, key: str | None = None, state: State = State.UNSENT, person: str | None = None, **found: Any
) -> StagedRow:
    payload = Payload(b"body", (("EmailAddress", f"a{number}"),), f"f{number}")
    entry = Entry(number, state, key or f"k{number}", payload.fingerprint)
    return StagedRow(entry, payload, Finding(person or f"person {number}", state, **found))


def sent(staging: StagingTable) -> list[int]:
    return [one.entry.row for part in staging.to_send(9) for one in part]


def states(staging: StagingTable) -> Counter[State]:
    counts: Counter[State] = Counter()
    for (state, _), count in staging.counts().items():
        counts[state] += count
    return counts


def test_rows_come_back_as_they_were_added(staging):
    payload = Payload(b"\x00body", (("Phone", "+91-1"),), "f")
    entry = Entry(0, State.IN_DOUBT, "k", "f", reason_class="NoResponse", reason="why", attempts=2)
    staging.add([StagedRow(entry, payload)])
    assert list(staging.to_send(10)) == [[StagedRow(entry, payload)]]


def test_rows_that_had_to_wait_for_others_come_first_the_longest_waiting_before_all(staging):
    waits = {1: 30, 3: 10, 4: 20}
    staging.add(row(number, waits_since=waits.get(number, 0)) for number in range(6))
    parts = [[one.entry.row for one in part] for part in staging.to_send(2)]
    assert parts == [[3, 4], [1], [0, 2], [5]]


def test_rows_to_send_come_in_order_and_in_parts(staging):
    staging.add(row(number, state=State.UNCHANGED if number % 3 == 0 else State.UNSENT) for number in range(10))
    parts = [[one.entry.row for one in part] for part in staging.to_send(4)]
    assert parts == [[1, 2, 4, 5], [7, 8]]


def test_rows_may_move_while_they_are_gone_through(staging):
    staging.add(row(number) for number in range(10))
    seen = []
    for part in staging.to_send(3):
        seen += [one.entry.row for one in part]
        staging.update([Entry(one.entry.row, State.OPEN) for one in part])
    assert seen == list(range(10))
    assert states(staging) == {State.OPEN: 10}


def test_every_row_with_a_doubled_key_is_refused(staging):
    staging.add([row(0, "a"), row(1, "b"), row(2, "a"), row(3, "a", State.UNCHANGED)])
    staging.refuse_doubled_keys()
    refused = list(staging.not_sent())
    assert [(one.row, one.reason_class) for one in refused] == [
        (0, "doubled_key"),
        (2, "doubled_key"),
        (3, "doubled_key"),
    ]
    assert refused[0].reason == f"3 {DOUBLED_KEY}"


@pytest.mark.parametrize(
    "rows",
    [
        [("7", 1), ("7", 2)],
        [("7", 1), ("8", 2), ("7", 3), ("7", 4)],
        [("7", 1), ("7", 1), ("8", 1)],
        [("7", 1), ("7", None), ("8", 2)],
        [("7", None), ("7", None)],
        [(None, 1), (None, 2), ("7", 3)],
    ],
    ids=["twice", "thrice", "with_one_match_key", "one_is_invalid", "all_are_invalid", "without_a_key"],
)
def test_rows_with_a_doubled_key_are_refused_as_a_batch_refuses_them(staging, rows):
    leads = [
        {"id": key, **({"mx_A": [1]} if address is None else {"EmailAddress": f"a{address}@example.org"})}
        for key, address in rows
    ]
    staging.add(_checked(leads))
    staging.refuse_doubled_keys()
    staging.supersede(str)
    expected = [one for one in Batch.read(leads, row_key="id", api=LEAD_CAPTURE).entries if one.state.is_not_sent]
    assert [_outcome(one) for one in staging.not_sent()] == [_outcome(one) for one in expected]


def _checked(leads: list[dict[str, Any]]) -> Iterator[StagedRow]:
    """Return leads as a sync stages them: each checked for itself."""
    for number, lead in enumerate(leads):
        alone = Batch.read([lead], row_key="id", api=LEAD_CAPTURE)
        yield StagedRow(replace(alone.entries[0], row=number), alone.payloads.get(0))


def _outcome(entry: Entry) -> tuple[object, ...]:
    return entry.row, entry.row_key, entry.state, entry.reason_class, entry.reason


def test_a_request_of_an_earlier_try_stays_open_although_its_key_is_doubled(staging):
    staging.add([row(0, "a", State.OPEN), row(1, "a")])
    staging.refuse_doubled_keys()
    assert states(staging) == {State.OPEN: 1, State.INVALID: 1}


def test_rows_without_a_key_are_not_doubles_of_each_other(staging):
    staging.add(StagedRow(Entry(number, State.INVALID, reason_class="no_key"), None) for number in range(3))
    staging.refuse_doubled_keys()
    assert {one.reason_class for one in staging.not_sent()} == {"no_key"}


# --- one person ---------------------------------------------------------------------------------------------------


def test_the_last_of_several_rows_of_a_person_wins(staging):
    staging.add([row(0, person="x"), row(1), row(2, person="x", state=State.IN_DOUBT), row(3, person="x")])
    staging.supersede(str)
    assert sent(staging) == [1, 3]
    assert {one.reason for one in staging.not_sent()} == {"row 4 is the same person"}


@pytest.mark.parametrize("state", [State.INVALID, State.REJECTED])
def test_a_row_that_is_refused_supersedes_none(staging, state):
    staging.add([row(0, person="x"), row(1, person="x", state=state)])
    staging.supersede(str)
    assert states(staging) == {State.UNSENT: 1, state: 1}


@pytest.mark.parametrize("state", [State.UNCHANGED, State.WAITING, State.OPEN, State.UPDATED, State.SUPERSEDED])
def test_a_row_that_is_not_sent_now_wins_over_earlier_ones(staging, state):
    staging.add([row(0, person="x"), row(1, person="x", state=state)])
    staging.supersede(str)
    assert states(staging) == Counter([State.SUPERSEDED, state])


@pytest.mark.parametrize("state", [State.UNCHANGED, State.WAITING, State.IN_DOUBT, State.SUPERSEDED])
def test_an_earlier_row_is_superseded_whatever_it_would_be_by_itself(staging, state):
    staging.add([row(0, person="x", state=state), row(1, person="x")])
    staging.supersede(str)
    assert states(staging) == {State.SUPERSEDED: 1, State.UNSENT: 1}


@pytest.mark.parametrize("state", [State.OPEN, State.UPDATED, State.REJECTED, State.INVALID])
def test_an_earlier_row_that_was_sent_or_refused_stays_what_it_is(staging, state):
    staging.add([row(0, person="x", state=state), row(1, person="x")])
    staging.supersede(str)
    assert states(staging) == {state: 1, State.UNSENT: 1}


def test_a_row_that_another_instances_row_replaces_is_sent_if_that_one_is_in_this_run_too(staging):
    staging.add([row(0, state=State.SUPERSEDED, owner="line of k1"), row(1, person="y")])
    staging.supersede(lambda key: f"line of {key}")
    assert sent(staging) == [0, 1]


def test_a_row_that_another_instances_row_replaces_stays_superseded_if_that_one_is_not_here(staging):
    staging.add([row(0, state=State.SUPERSEDED, owner="line of k9"), row(1)])
    staging.supersede(lambda key: f"line of {key}")
    assert sent(staging) == [1]


def test_contested_leads_are_named_of_rows_that_write_them_and_were_not_superseded(staging):
    staging.add(
        [
            row(0, person="x", state=State.UNCHANGED, lead="a", is_owner_here=True),
            row(1, person="x"),
            row(2, state=State.UNCHANGED, lead="b", is_owner_here=True),
            row(3, state=State.UNCHANGED, lead="c"),
        ]
    )
    staging.supersede(str)
    assert staging.owned_leads() == ["b"]


def test_some_rows_of_each_kind_serve_as_examples(staging):
    staging.add([row(number, state=State.WAITING) for number in range(5)] + [row(9), row(10, state=State.UNCHANGED)])
    assert [one.row for one in staging.first_of_each(2)] == [0, 1]


def test_a_staging_table_leaves_no_file_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    staging = StagingTable()
    staging.add(
        StagedRow(Entry(n, State.UNSENT, f"k{n}", "f"), Payload(b"x" * 4_000, (("Phone", str(n)),), "f"))
        for n in range(9_000)
    )
    assert list(tmp_path.iterdir()) == []
    staging.close()


def test_a_failure_while_rows_are_read_is_named_with_the_remedy_too(staging):
    staging.close()
    with pytest.raises(StagingError, match="TMPDIR"):
        list(staging.to_send(1))


def test_a_full_disk_is_named_with_the_remedy_and_without_a_value(staging):
    staging._database.execute("PRAGMA max_page_count = 5")
    payload = Payload(b"secret" * 200, (("EmailAddress", "secret"),), "f" * 32)
    with pytest.raises(StagingError, match=r"disk is full.*TMPDIR") as caught:
        staging.add(StagedRow(Entry(row, State.UNSENT, f"k{row}", "f" * 32), payload) for row in range(1_000))
    assert "secret" not in str(caught.value)


# --- rows that are known to be unchanged ---------------------------------------------------------------------------


def numbers_of(staging: StagingTable, state: State) -> list[int]:
    return [entry.row for entry in staging.first_of_each(9) if entry.state is state]


def none_wrote(row_lines: Any) -> dict[str, tuple[str, str]]:
    return {}


def test_rows_that_are_known_to_be_unchanged_are_counted(staging):
    staging.add([row(0), row(1, state=State.UNCHANGED)])
    staging.add_unchanged([(2, "k2"), (3, "k3")])
    staging.stage_unchanged(none_wrote)
    assert states(staging) == Counter({State.UNCHANGED: 3, State.UNSENT: 1})
    assert sent(staging) == [0]


def test_of_unchanged_rows_with_one_key_all_are_refused(staging):
    staging.add_unchanged([(0, "a"), (1, "b"), (2, "a")])
    staging.stage_unchanged(none_wrote)
    staging.refuse_doubled_keys()
    assert states(staging) == Counter({State.INVALID: 2, State.UNCHANGED: 1})
    assert numbers_of(staging, State.INVALID) == [0, 2]


def test_an_unchanged_row_with_the_key_of_another_row_is_refused_with_it(staging):
    staging.add([row(1, key="a")])
    staging.add_unchanged([(0, "a"), (2, "b")])
    staging.stage_unchanged(none_wrote)
    staging.refuse_doubled_keys()
    assert numbers_of(staging, State.INVALID) == [0, 1]
    assert sent(staging) == []


@pytest.mark.parametrize(("number", "superseded"), [(0, [0]), (2, [1])], ids=["earlier", "later"])
def test_an_unchanged_row_takes_part_in_choosing_the_row_of_its_lead(staging, number, superseded):
    staging.add([row(1, person="lead", writer="line of a")])
    staging.add_unchanged([(number, "a"), (5, "b")])
    staging.stage_unchanged(lambda lines: {"line of a": ("a", "lead")} if lines == ["line of a"] else {})
    staging.supersede(str)
    assert numbers_of(staging, State.SUPERSEDED) == superseded


def test_an_unchanged_row_that_has_moved_to_another_lead_takes_no_part(staging):
    staging.add([row(1, person="former lead", writer="line of a")])
    staging.add_unchanged([(2, "a")])
    staging.stage_unchanged(lambda _: {"line of a": ("a", "lead")})
    staging.supersede(str)
    assert sent(staging) == [1]


def test_an_unchanged_row_that_writes_the_lead_of_another_is_in_this_run(staging):
    """Superseded by it while it was in another task instance, the other is judged by the order of rows here."""
    elsewhere = row(3, state=State.SUPERSEDED, person="lead", writer="line of a", owner="line of a")
    staging.add([elsewhere])
    staging.add_unchanged([(1, "a")])
    staging.stage_unchanged(lambda _: {"line of a": ("a", "lead")})
    staging.supersede(lambda key: f"line of {key}")
    assert sent(staging) == [3]


def test_the_digests_of_rows_that_last_may_be_kept(staging):
    lasting: dict = {"state": State.UNCHANGED, "is_lasting": True, "lines_digest": "l"}
    staging.add([replace(row(number, **lasting), digest=f"d{number}") for number in range(3)])
    staging.add([replace(row(3, state=State.UNCHANGED), digest="d3"), replace(row(4), digest="d4")])
    staging.add([replace(row(5, key="k2", **lasting), digest="d5"), row(6, **lasting)])
    staging.refuse_doubled_keys()
    assert list(staging.lasting()) == [("k0", "d0", "l"), ("k1", "d1", "l")]
