"""Rows of which it is known that they are unchanged are not compared again, and nothing that changed passes for one."""

from __future__ import annotations

from datetime import timedelta
from threading import Event

import pytest

from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.ledgers.unchanged_rows import UnchangedRows
from airflow_provider_leadsquared.sync import raw_digests, run
from airflow_provider_leadsquared.sync.run import SyncRun
from airflow_provider_leadsquared.tasks.ledgers import prune_ledger
from tests.integration.sync.nights import (
    MAPPING,
    Night,
    customer,
    leave_in_doubt,
    run_night,
    run_night_that_closes_early,
    sync,
    values_in_crm,
)
from tests.integration.tasks import wait_for

ADDRESS = "asha@example.org"
SUFFIX = {"text": " (old)"}


@pytest.fixture
def compared(monkeypatch):
    """Return the keys of the rows of which a lead is made, to be compared with what is known of it."""
    keys: list[int] = []
    encode = SyncRun._encode

    def noting(run, number, row, *more):
        keys.append(row[0])
        return encode(run, number, row, *more)

    monkeypatch.setattr(SyncRun, "_encode", noting)
    return keys


def let_be_unchanged(clock, warehouse, compared, **arguments):
    """Let a night send all rows, and a second night find them unchanged."""
    run_night(Night("1"), clock, warehouse, **arguments)
    run_night(Night("2"), clock, warehouse, **arguments)
    compared.clear()


def test_from_the_third_night_on_unchanged_rows_are_not_compared(sandbox, clock, warehouse, compared):
    warehouse.fill(3)
    let_be_unchanged(clock, warehouse, compared)
    for night in "34":
        assert run_night(Night(night), clock, warehouse) == {"read": 3, "unchanged": 3}
    assert compared == []


def test_the_one_changed_row_among_them_is_found(sandbox, clock, warehouse, compared):
    warehouse.fill(5)
    let_be_unchanged(clock, warehouse, compared)
    warehouse.put(customer(2, "Kochi"))
    assert run_night(Night("3"), clock, warehouse) == {"read": 5, "unchanged": 4, "open": 1}
    assert compared == [2]
    assert values_in_crm(sandbox)["customer2@example.org"] == ("Kochi", "Gold")


def test_a_row_that_changed_is_known_to_be_unchanged_two_nights_later(sandbox, clock, on_sqlite, compared):
    on_sqlite.fill(2)
    let_be_unchanged(clock, on_sqlite, compared)
    on_sqlite.put(customer(1, "Kochi"))
    for night in "345":
        run_night(Night(night), clock, on_sqlite)
    assert compared == [1, 1]


@pytest.fixture
def read_by_two(monkeypatch):
    """Let two rows be read at a time."""
    monkeypatch.setattr(run, "_CHUNK", 2)
    monkeypatch.setattr(run, "_MOST_ROWS", 2)


@pytest.mark.usefixtures("read_by_two")
def test_a_changed_row_is_found_wherever_it_stands(sandbox, clock, warehouse, compared):
    warehouse.fill(5)
    let_be_unchanged(clock, warehouse, compared)
    for number in range(5):
        warehouse.put(customer(number, "Kochi"))
        assert run_night(Night(f"changed {number}"), clock, warehouse) == {"read": 5, "unchanged": 4, "open": 1}
        assert values_in_crm(sandbox)[f"customer{number}@example.org"] == ("Kochi", "Gold")


@pytest.mark.usefixtures("read_by_two")
def test_rows_are_read_while_the_ledger_is_asked_for_those_before(sandbox, clock, warehouse, compared, monkeypatch):
    warehouse.fill(5)
    let_be_unchanged(clock, warehouse, compared)
    read, among = SyncRun.read, UnchangedRows.among
    third_is_read, waited = Event(), []

    def read_noting(self, rows, report_progress):
        def noted():
            for number, row in enumerate(rows):
                if number == 2:
                    third_is_read.set()
                yield row

        read(self, noted(), report_progress)

    def among_when_the_third_is_read(self, digests):
        waited.append(third_is_read.wait(10))
        return among(self, digests)

    monkeypatch.setattr(SyncRun, "read", read_noting)
    monkeypatch.setattr(UnchangedRows, "among", among_when_the_third_is_read)
    assert run_night(Night("3"), clock, warehouse) == {"read": 5, "unchanged": 5}
    assert waited == [True, True, True]


# --- what else decides what is sent --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"mapping": {**MAPPING, "city": ["mx_City", "upper"]}},
        {"mapping": {**MAPPING, "city": "FirstName"}},
        {"mapping": {**MAPPING, "plan": None}},
        {"constants": {"Source": "Warehouse"}},
        {"null_handling": "clear"},
        {"lead_update_behavior": "UpdateOnlyEmptyFields"},
        {"search_by": "EmailAddress"},
        {"policies": {"too_long": "warn"}},
        {"hash_row_keys": True},
    ],
    ids=lambda changed: "-".join(changed),
)
def test_a_change_of_the_task_has_all_rows_compared_anew(sandbox, clock, on_sqlite, compared, changed):
    on_sqlite.put(customer(1), customer(2, None))
    let_be_unchanged(clock, on_sqlite, compared)
    sync(Night("3"), on_sqlite, **changed)
    assert compared == [1, 2]


def test_what_another_mapping_makes_of_unchanged_values_is_sent(sandbox, clock, warehouse, compared):
    warehouse.fill(2)
    let_be_unchanged(clock, warehouse, compared)
    mapping = {**MAPPING, "city": ["mx_City", "upper"]}
    assert run_night(Night("3"), clock, warehouse, mapping=mapping) == {"read": 2, "open": 2}
    assert {city for city, _ in values_in_crm(sandbox).values()} == {"PUNE"}


def test_another_version_of_the_package_has_all_rows_compared_anew(sandbox, clock, on_sqlite, compared, monkeypatch):
    on_sqlite.fill(2)
    let_be_unchanged(clock, on_sqlite, compared)
    monkeypatch.setattr(raw_digests, "__version__", "99")
    run_night(Night("3"), clock, on_sqlite)
    assert compared == [0, 1]


def test_other_rules_of_the_account_have_all_rows_compared_anew(sandbox, clock, on_sqlite, compared, monkeypatch):
    on_sqlite.fill(2)
    let_be_unchanged(clock, on_sqlite, compared)
    get_lead_fields = LeadSquaredHook.get_lead_fields
    monkeypatch.setattr(LeadSquaredHook, "get_lead_fields", lambda hook: get_lead_fields(hook)[:-1])
    run_night(Night("3"), clock, on_sqlite)
    assert compared == [0, 1]


def test_what_a_function_returns_now_is_sent_though_the_column_is_unchanged(sandbox, clock, on_sqlite, compared):
    def with_suffix(city):
        return city + SUFFIX["text"]

    mapping = {**MAPPING, "city": ["mx_City", with_suffix]}
    on_sqlite.fill(2)
    let_be_unchanged(clock, on_sqlite, compared, mapping=mapping)
    assert run_night(Night("3"), clock, on_sqlite, mapping=mapping) == {"read": 2, "unchanged": 2}
    assert compared == []
    SUFFIX["text"] = " (new)"
    assert run_night(Night("4"), clock, on_sqlite, mapping=mapping) == {"read": 2, "open": 2}


def test_a_function_is_called_once_for_a_row_and_its_result_is_what_is_sent(sandbox, clock, on_sqlite):
    """A second call may return another value: one that takes it from what it is given, or that asks elsewhere."""
    calls: list[str] = []

    def numbered(city):
        calls.append(city)
        return f"{city} {len(calls)}"

    on_sqlite.fill(1)
    run_night(Night("1"), clock, on_sqlite, mapping={**MAPPING, "city": ["mx_City", numbered]})
    assert values_in_crm(sandbox) == {"customer0@example.org": ("Pune 1", "Gold")}


def test_a_function_that_fails_is_called_once_for_a_row_too(sandbox, clock, on_sqlite):
    answers = iter(["Pune"])
    on_sqlite.fill(2)
    mapping = {**MAPPING, "city": ["mx_City", lambda city: next(answers)]}
    counts = run_night(Night("1"), clock, on_sqlite, mapping=mapping, allowed_rejects=1)
    assert counts == {"read": 2, "invalid": 1, "open": 1}


# --- rules that compare rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("city", ["Pune", "Kochi"], ids=["alike", "another value"])
def test_rows_with_the_key_of_an_unchanged_row_are_refused_with_it(sandbox, clock, warehouse, compared, city):
    warehouse.fill(3)
    let_be_unchanged(clock, warehouse, compared)
    warehouse.run(f"INSERT INTO {warehouse.table} VALUES (?, ?, ?, ?)", customer(1, city))
    with pytest.raises(LeadsNotDelivered, match="2 of 4 rows were set aside .*doubled_key"):
        sync(Night("3"), warehouse)
    assert len(sandbox.posts()) == 3
    assert warehouse.lines("row_key, state", "run_id = '3'") == [("1", "invalid"), ("1", "invalid")]


def test_a_later_row_with_the_address_of_an_unchanged_row_takes_its_place(sandbox, clock, warehouse, compared):
    warehouse.put(customer(1, email=ADDRESS))
    let_be_unchanged(clock, warehouse, compared)
    warehouse.put(customer(2, "Delhi", email=ADDRESS))
    assert run_night(Night("3"), clock, warehouse) == {"read": 2, "superseded": 1, "open": 1}
    assert compared == [2]
    assert values_in_crm(sandbox) == {ADDRESS: ("Delhi", "Gold")}
    assert warehouse.lines("row_key, state", "run_id = '3'") == [("1", "superseded"), ("2", "updated")]


def test_an_earlier_row_with_the_address_of_an_unchanged_row_is_superseded(sandbox, clock, warehouse, compared):
    warehouse.put(customer(2, email=ADDRESS))
    let_be_unchanged(clock, warehouse, compared)
    warehouse.put(customer(1, "Delhi", email=ADDRESS))
    assert run_night(Night("3"), clock, warehouse) == {"read": 2, "superseded": 1, "unchanged": 1}
    assert values_in_crm(sandbox) == {ADDRESS: ("Pune", "Gold")}


def test_a_row_with_the_former_address_of_an_unchanged_row_goes(sandbox, clock, warehouse, compared):
    warehouse.put(customer(2, "Pune", email=ADDRESS))
    run_night(Night("0"), clock, warehouse)
    warehouse.put(customer(2, "Pune", email="moved@example.org"))
    let_be_unchanged(clock, warehouse, compared)
    warehouse.put(customer(1, "Delhi", email=ADDRESS))
    assert run_night(Night("3"), clock, warehouse) == {"read": 2, "unchanged": 1, "open": 1}
    assert values_in_crm(sandbox)[ADDRESS] == ("Delhi", "Gold")


def test_a_row_that_another_took_the_address_of_goes_again(sandbox, clock, warehouse, compared):
    warehouse.put(customer(1, email=ADDRESS))
    let_be_unchanged(clock, warehouse, compared)
    warehouse.put(customer(2, "Delhi", email=ADDRESS))
    run_night(Night("3"), clock, warehouse)
    warehouse.run(f"DELETE FROM {warehouse.table} WHERE customer_id = 2")
    assert run_night(Night("4"), clock, warehouse) == {"read": 1, "open": 1}
    assert values_in_crm(sandbox) == {ADDRESS: ("Pune", "Gold")}


# --- what others do ------------------------------------------------------------------------------------------------


def test_a_row_goes_again_after_another_sync_has_overwritten_its_lead(sandbox, clock, warehouse, compared):
    warehouse.fill(2)
    let_be_unchanged(clock, warehouse, compared)
    run_night(
        Night("3", task_id="other"), clock, warehouse, mapping={**MAPPING, "city": ["mx_City", "upper"]}, sync="o"
    )
    assert run_night(Night("4"), clock, warehouse) == {"read": 2, "open": 2}
    assert {city for city, _ in values_in_crm(sandbox).values()} == {"Pune"}


def test_a_row_waits_while_the_request_of_another_sync_for_its_lead_is_open(sandbox, clock, on_sqlite, compared):
    on_sqlite.fill(2)
    let_be_unchanged(clock, on_sqlite, compared)
    sandbox.fault("system_errors", count=3, attribute="EmailAddress", value="customer0@example.org")
    run_night_that_closes_early(Night("3", task_id="other"), clock, on_sqlite, sync="other")
    assert run_night(Night("4"), clock, on_sqlite)["waiting"] == 1


def test_a_row_whose_newer_values_are_in_doubt_is_compared(sandbox, clock, warehouse, compared):
    warehouse.fill(2)
    let_be_unchanged(clock, warehouse, compared)
    leave_in_doubt(Night("3"), warehouse, "1", EmailAddress="customer1@example.org", mx_City="Kochi")
    clock.advance(86_400)
    assert run_night(Night("4"), clock, warehouse) == {"read": 2, "unchanged": 1, "open": 1}
    assert compared == [1]


def test_after_a_task_of_the_version_before_has_written_all_rows_are_compared(sandbox, clock, warehouse, compared):
    warehouse.fill(2)
    let_be_unchanged(clock, warehouse, compared)
    warehouse.run(f"UPDATE {warehouse.ledger}_counters SET no = no + 1")
    run_night(Night("3"), clock, warehouse)
    assert compared == [0, 1]
    run_night(Night("4"), clock, warehouse)
    assert compared == [0, 1]


# --- other nights --------------------------------------------------------------------------------------------------


def test_a_full_refresh_sends_unchanged_rows_too(sandbox, clock, on_sqlite, compared):
    on_sqlite.fill(2)
    let_be_unchanged(clock, on_sqlite, compared)
    assert run_night(Night("3"), clock, on_sqlite, full_refresh=True) == {"read": 2, "open": 2}


def test_a_replay_sends_refused_rows_and_compares_no_unchanged_ones(sandbox, clock, on_sqlite, compared):
    sandbox.fault("reject", attribute="mx_City", value="Delhi", exception="MXDuplicateEntryException", calls=1)
    on_sqlite.put(customer(1), customer(2, "Delhi"))
    night = Night("0")
    with pytest.raises(LeadsNotDelivered):
        wait_for(night, clock, sync(night, on_sqlite))
    sync(Night("1"), on_sqlite, allowed_rejects=1)
    compared.clear()
    assert run_night(Night("2"), clock, on_sqlite, replay=True) == {"read": 2, "unchanged": 1, "open": 1}
    assert compared == [2]


def test_a_dry_run_counts_unchanged_rows_and_keeps_none(sandbox, clock, warehouse, compared):
    warehouse.fill(2)
    run_night(Night("1"), clock, warehouse)
    for _ in range(2):
        assert sync(Night("2"), warehouse, dry_run=True)["counts"] == {"read": 2, "unchanged": 2}
    assert warehouse.run(f"SELECT COUNT(*) FROM {warehouse.ledger}_unchanged") == [(0,)]
    run_night(Night("3"), clock, warehouse)
    compared.clear()
    assert sync(Night("4"), warehouse, dry_run=True)["counts"] == {"read": 2, "unchanged": 2}
    assert compared == []


def test_a_run_that_is_cleared_later_counts_what_it_had_sent(sandbox, clock, warehouse, compared):
    warehouse.fill(2)
    let_be_unchanged(clock, warehouse, compared)
    assert sync(Night("1"), warehouse)["counts"] == {"read": 2, "created": 2}
    assert compared == [0, 1]


def test_lines_that_are_deleted_from_the_result_table_change_nothing(sandbox, clock, warehouse, compared):
    warehouse.fill(2)
    let_be_unchanged(clock, warehouse, compared)
    warehouse.run(f"DELETE FROM {warehouse.ledger}")
    warehouse.put(customer(1, "Kochi"))
    assert run_night(Night("3"), clock, warehouse) == {"read": 2, "unchanged": 1, "open": 1}


def test_the_table_of_unchanged_rows_may_be_emptied(sandbox, clock, warehouse, compared):
    warehouse.fill(2)
    let_be_unchanged(clock, warehouse, compared)
    warehouse.run(f"DELETE FROM {warehouse.ledger}_unchanged")
    assert run_night(Night("3"), clock, warehouse) == {"read": 2, "unchanged": 2}
    assert compared == [0, 1]


def test_a_ledger_that_was_lost_sends_all(sandbox, clock, on_sqlite, compared):
    on_sqlite.fill(2)
    let_be_unchanged(clock, on_sqlite, compared)
    for name in on_sqlite.tables():
        if name.startswith("leadsquared_ledger"):
            kind = "VIEW" if name.endswith(("_last", "_rejects")) else "TABLE"
            on_sqlite.run(f"DROP {kind} {name}")
    assert run_night(Night("3"), clock, on_sqlite) == {"read": 2, "open": 2}


def test_a_ledger_is_pruned_by_its_connection(sandbox, clock, warehouse, compared):
    for night, city in enumerate(("Pune", "Kochi")):
        warehouse.put(customer(1, city))
        run_night(Night(str(night)), clock, warehouse)
    clock.advance(31 * 86_400)
    assert prune_ledger("warehouse", warehouse.ledger, retention=timedelta(days=30)) == 1
    assert warehouse.lines("run_id, state") == [("1", "updated")]
