"""The ledger in Airflow's task state store: what goes into it, and what another version left there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.errors import LedgerDataError, LedgerUnavailableError, LedgerVersionError
from airflow_provider_leadsquared.ledgers.task_state import TaskStateLedger
from tests.unit.ledgers.stores import StrictStore, by_identity, entry_of

LARGEST_VALUE = 65_535


def _long(row: int) -> Entry:
    return entry_of(row, State.FAILED, row_key=f"मीरा-{row}", request_id=f"r-{row}", reason="😀 " * 40, accepted_at=1.5)


def test_5000_entries_go_into_chunks_that_airflow_takes(store):
    TaskStateLedger(store).write([_long(row) for row in range(5_000)])
    assert max(len(value.encode()) for value in store.values.values()) < LARGEST_VALUE


def test_5000_entries_come_back(store):
    entries = [_long(row) for row in range(5_000)]
    TaskStateLedger(store).write(entries)
    assert TaskStateLedger(store).load().entries == by_identity(entries)


def test_chunks_are_filled_before_another_is_begun(store):
    TaskStateLedger(store).write([_long(row) for row in range(5_000)])
    sizes = [len(value) for value in list(store.values.values())[:-1]]
    assert min(sizes) > 55_000


def test_chunks_are_numbered_without_a_gap(store):
    for _ in range(2):
        TaskStateLedger(store).write([_long(row) for row in range(500)])
    assert sorted(store.values) == [f"ledger/entries/0/{chunk:04d}" for chunk in range(len(store.values))]


def test_a_store_that_fails_leaves_the_earlier_chunks_readable(store):
    store.sets_left = 2
    with pytest.raises(LedgerUnavailableError):
        TaskStateLedger(store).write([_long(row) for row in range(5_000)])
    rows = [entry.row for entry in TaskStateLedger(store).load().entries.values()]
    assert (rows, len(store.values)) == (list(range(len(rows))), 2)


def test_a_ledger_goes_on_where_its_store_failed(store):
    ledger = TaskStateLedger(store)
    ledger.write([entry_of(0)])
    store.sets_left = 0
    with pytest.raises(LedgerUnavailableError):
        ledger.write([entry_of(1)])
    store.sets_left = None
    ledger.write([entry_of(2)])
    assert TaskStateLedger(store).load().entries == by_identity([entry_of(0), entry_of(2)])


# --- state of another version -------------------------------------------------------------------------------------

#: What version 1 kept: metadata under a key, which is written at the claim, and chunks of entries without an API.
METADATA_OF_VERSION_1 = {"ledger/marks": {"holder": "try 1", "tries": 1}}
ENTRIES_OF_VERSION_1 = {
    "ledger/0/0000": [[0, "open", "k", "f" * 32, 0, "r", 1.5, None, None, None, None, 1, None]],
}

USES: dict[str, Callable[[TaskStateLedger], object]] = {
    "load": lambda ledger: ledger.load(),
    "claim": lambda ledger: ledger.claim("try 2"),
    "start_over": lambda ledger: ledger.start_over(),
    "write": lambda ledger: ledger.write([entry_of(0)], metadata={"a": 1}),
    "write_metadata": lambda ledger: ledger.write(metadata={"a": 1}),
}


@pytest.fixture(
    params=[METADATA_OF_VERSION_1, ENTRIES_OF_VERSION_1, METADATA_OF_VERSION_1 | ENTRIES_OF_VERSION_1],
    ids=["metadata", "entries", "both"],
)
def store_of_version_1(request, store):
    for key, value in request.param.items():
        store.set(key, value)
    return store


def test_task_state_of_version_1_is_refused_with_the_remedy(store_of_version_1):
    with pytest.raises(LedgerVersionError) as caught:
        TaskStateLedger(store_of_version_1).load()
    assert str(caught.value) == (
        "this task's state was written by a version of this package whose ledger has version 1; this one reads version "
        "2. Let the DAG run end with that version, or start a new DAG run: its tasks begin with an empty ledger"
    )


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_no_use_of_task_state_of_version_1_writes_anything(store_of_version_1, use):
    before = dict(store_of_version_1.values)
    with pytest.raises(LedgerVersionError, match="start a new DAG run"):
        use(TaskStateLedger(store_of_version_1))
    assert store_of_version_1.values == before


def test_task_state_of_a_later_version_is_refused(store):
    store.set("ledger/metadata", {"version": 3})
    with pytest.raises(LedgerVersionError, match="ledger has version 3"):
        TaskStateLedger(store).load()


def test_a_value_that_the_store_refuses_is_an_error_of_the_data_which_no_retry_cures():
    class Refusing(StrictStore):
        """A store that takes no value, as Airflow's takes none that is too long."""

        def set(self, key: str, value: object) -> None:
            raise ValueError("value too long")

    with pytest.raises(LedgerDataError, match="task state store: ValueError"):
        TaskStateLedger(Refusing()).write([entry_of(0)])
