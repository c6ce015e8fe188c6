"""What a night sends: rows that differ from what LeadSquared last confirmed, and no other."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
from tests.integration.sync.nights import (
    MORNING,
    Night,
    cities_sent,
    customer,
    run_night,
    run_night_that_closes_early,
    sync,
)
from tests.integration.tasks import connect, wait_for


def refuse_city(sandbox, city):
    """Let the CRM refuse every lead in a city, when it comes to judge it."""
    sandbox.fault("reject", attribute="mx_City", value=city, exception="MXDuplicateEntryException")


def night_with_a_refused_row(night, clock, warehouse, **arguments):
    output = sync(night, warehouse, **arguments)
    with pytest.raises(LeadsNotDelivered, match="The CRM did not confirm 1 of 1 requests"):
        wait_for(night, clock, output)
    clock.advance(MORNING)


def test_the_first_night_sends_all_and_the_second_what_changed(sandbox, clock, warehouse):
    warehouse.fill(30)
    assert run_night(Night("1"), clock, warehouse) == {"read": 30, "open": 30}
    assert set(warehouse.states().values()) == {"created"}
    warehouse.put(customer(3, "Kochi"), customer(30, "Agra"))
    assert run_night(Night("2"), clock, warehouse) == {"read": 31, "unchanged": 29, "open": 2}
    assert warehouse.states()["3"] == "updated"
    assert len(sandbox.posts()) == 32


def test_a_value_that_changes_and_changes_back_is_sent_each_time(sandbox, clock, warehouse):
    for night, city in enumerate(["Pune", "Kochi", "Pune"]):
        warehouse.put(customer(1, city))
        assert run_night(Night(f"{night}"), clock, warehouse) == {"read": 1, "open": 1}
    assert cities_sent(sandbox) == ["Pune", "Kochi", "Pune"]


def test_the_next_night_sends_all_again_with_another_update_behavior(sandbox, clock, on_sqlite):
    on_sqlite.fill(2)
    run_night(Night("1"), clock, on_sqlite, lead_update_behavior="UpdateOnlyEmptyFields")
    assert run_night(Night("2"), clock, on_sqlite) == {"read": 2, "open": 2}


def test_the_next_night_sends_nothing_again_for_another_search_by(sandbox, clock, on_sqlite):
    on_sqlite.fill(2)
    run_night(Night("1"), clock, on_sqlite)
    assert run_night(Night("2"), clock, on_sqlite, search_by="EmailAddress") == {"read": 2, "unchanged": 2}


def test_a_row_that_left_the_query_is_left_as_it_is_in_the_crm(sandbox, clock, on_sqlite):
    on_sqlite.fill(2)
    run_night(Night("1"), clock, on_sqlite)
    on_sqlite.run(f"DELETE FROM {on_sqlite.table} WHERE customer_id = 0")
    assert run_night(Night("2"), clock, on_sqlite) == {"read": 1, "unchanged": 1}
    assert len(sandbox.leads()) == 2


def night_with_a_failed_row(sandbox, clock, warehouse):
    """Let LeadSquared lose the night's only row, and say so."""
    sandbox.switch(unknown_request="200")
    sandbox.fault("silent_loss", status="unknown", calls=1)
    output = sync(Night("1"), warehouse)
    with pytest.raises(LeadsNotDelivered, match="The CRM did not confirm 1 of 1 requests .failed: 1 UnknownRequest"):
        wait_for(Night("1"), clock, output)
    clock.advance(MORNING)


def test_a_row_that_failed_goes_again_the_next_night(sandbox, clock, warehouse):
    warehouse.put(customer(1))
    night_with_a_failed_row(sandbox, clock, warehouse)
    assert warehouse.states() == {"1": "failed"}
    assert run_night(Night("2"), clock, warehouse) == {"read": 1, "open": 1}
    assert warehouse.states() == {"1": "created"}


def test_a_row_that_failed_goes_with_its_newest_value(sandbox, clock, on_sqlite):
    on_sqlite.put(customer(1))
    night_with_a_failed_row(sandbox, clock, on_sqlite)
    on_sqlite.put(customer(1, "Kochi"))
    run_night(Night("2"), clock, on_sqlite)
    assert cities_sent(sandbox) == ["Pune", "Kochi"]


def test_a_rejected_row_is_held_and_keeps_the_task_red_until_it_changes(sandbox, clock, warehouse):
    refuse_city(sandbox, "Pune")
    warehouse.put(customer(1))
    night_with_a_refused_row(Night("1"), clock, warehouse)
    night = Night("2")
    with pytest.raises(LeadsNotDelivered, match=r"1 of 1 rows .*rejected: 1 MXDuplicateEntryException"):
        sync(night, warehouse)
    assert night.pushed["counts"] == {"read": 1, "rejected": 1}
    assert len(sandbox.posts()) == 1
    warehouse.put(customer(1, "Kochi"))
    assert run_night(Night("3"), clock, warehouse) == {"read": 1, "open": 1}


def test_a_held_row_is_green_where_rejects_are_allowed(sandbox, clock, warehouse):
    refuse_city(sandbox, "Pune")
    warehouse.put(customer(1))
    night_with_a_refused_row(Night("1"), clock, warehouse)
    assert sync(Night("2"), warehouse, allowed_rejects=1)["counts"] == {"read": 1, "rejected": 1}


def test_a_row_that_changes_back_after_a_reject_to_what_was_confirmed_is_unchanged(sandbox, clock, warehouse):
    warehouse.put(customer(1))
    run_night(Night("1"), clock, warehouse)
    refuse_city(sandbox, "Kochi")
    warehouse.put(customer(1, "Kochi"))
    night_with_a_refused_row(Night("2"), clock, warehouse)
    warehouse.put(customer(1))
    assert run_night(Night("3"), clock, warehouse) == {"read": 1, "unchanged": 1}


def test_a_row_refused_at_the_door_is_rejected_and_held(sandbox, clock, no_waits, on_sqlite):
    sandbox.fault("error", http=500, exception="MXInvalidInputException", endpoint="capture", calls=1)
    on_sqlite.put(customer(1))
    for night in ("1", "2"):
        with pytest.raises(LeadsNotDelivered, match="rejected: 1 MXInvalidInputException"):
            sync(Night(night), on_sqlite)
    assert len(sandbox.posts()) == 1


@pytest.mark.parametrize("full_refresh", [True, "True", "true"])
def test_a_full_refresh_sends_all(sandbox, clock, on_sqlite, full_refresh):
    on_sqlite.fill(5)
    run_night(Night("1"), clock, on_sqlite)
    assert run_night(Night("2"), clock, on_sqlite, full_refresh=full_refresh) == {"read": 5, "open": 5}
    assert len(sandbox.posts()) == 10


def test_a_full_refresh_sends_a_rejected_row_too(sandbox, clock, on_sqlite):
    refuse_city(sandbox, "Pune")
    on_sqlite.put(customer(1))
    night_with_a_refused_row(Night("1"), clock, on_sqlite)
    sandbox.clear_faults()
    assert run_night(Night("2"), clock, on_sqlite, full_refresh=True) == {"read": 1, "open": 1}


def test_a_full_refresh_that_is_tried_again_sends_nothing_twice(sandbox, clock, warehouse):
    warehouse.fill(5)
    run_night(Night("1"), clock, warehouse)
    night = Night("2")
    sync(night, warehouse, full_refresh=True)
    assert sync(night, warehouse, full_refresh=True)["counts"] == {"read": 5, "open": 5}
    assert len(sandbox.posts()) == 10


def test_text_that_is_neither_true_nor_false_is_refused_as_full_refresh(sandbox, clock, on_sqlite):
    with pytest.raises(ValueError, match="full_refresh is 'yes please'; write True or False"):
        sync(Night("1"), on_sqlite, full_refresh="yes please")


def test_another_leadsquared_host_has_a_memory_of_its_own(
    sandbox, clock, on_sqlite, leadsquared_sandbox_factory, monkeypatch
):
    on_sqlite.fill(3)
    run_night(Night("1"), clock, on_sqlite, sync="customers")
    other = leadsquared_sandbox_factory(speed=0)
    connect(monkeypatch, other)
    assert sync(Night("2"), on_sqlite, sync="customers")["counts"] == {"read": 3, "open": 3}
    assert len(other.posts()) == 3


def test_another_sync_name_has_a_memory_of_its_own(sandbox, clock, on_sqlite):
    on_sqlite.fill(3)
    run_night(Night("1"), clock, on_sqlite, sync="one")
    assert sync(Night("2"), on_sqlite, sync="another")["counts"] == {"read": 3, "open": 3}


def test_dags_that_share_a_sync_name_share_its_memory(sandbox, clock, warehouse):
    warehouse.fill(3)
    run_night(Night("1", dag_id="nightly"), clock, warehouse, sync="customers")
    assert run_night(Night("1", dag_id="hourly"), clock, warehouse, sync="customers") == {"read": 3, "unchanged": 3}


def test_a_key_is_the_same_whatever_number_type_the_warehouse_gives_it(sandbox, clock, on_sqlite):
    on_sqlite.fill(3)
    run_night(Night("1"), clock, on_sqlite)
    as_float = on_sqlite.query.replace("customer_id,", "CAST(customer_id AS REAL) AS customer_id,", 1)
    assert sync(Night("2"), on_sqlite, sql=as_float)["counts"] == {"read": 3, "unchanged": 3}


# --- refused rows that go again -----------------------------------------------------------------------------------


def refused_earlier(sandbox, clock, warehouse, **cities):
    """Bring about a night in which rows were refused, each for the reason named for its city."""
    for city, exception in cities.items():
        sandbox.fault("reject", attribute="mx_City", value=city, exception=exception)
    warehouse.put(*[customer(number, city) for number, city in enumerate(cities)], customer(9, "Pune"))
    output = sync(Night("1"), warehouse)
    wait_for(Night("1"), clock, output, allowed_rejects=len(cities))
    sandbox.clear_faults()
    clock.advance(MORNING)


TWO_REASONS = {"Kochi": "MXDuplicateEntryException", "Agra": "MXInvalidInputException"}


@pytest.mark.parametrize("replay", [True, "True", "true"])
def test_a_replay_sends_rejected_rows_again_and_no_unchanged_one(sandbox, clock, on_sqlite, replay):
    refused_earlier(sandbox, clock, on_sqlite, **TWO_REASONS)
    assert run_night(Night("2"), clock, on_sqlite, replay=replay) == {"read": 3, "unchanged": 1, "open": 2}
    assert set(on_sqlite.states().values()) == {"created"}


@pytest.mark.parametrize("replay", ["MXDuplicateEntryException", {"reason_class": "MXDuplicateEntryException"}])
def test_a_replay_by_reason_takes_just_those_refused_for_it(sandbox, clock, on_sqlite, replay):
    refused_earlier(sandbox, clock, on_sqlite, **TWO_REASONS)
    counts = run_night(Night("2"), clock, on_sqlite, replay=replay, allowed_rejects=1)
    assert counts == {"read": 3, "unchanged": 1, "open": 1, "rejected": 1}
    assert on_sqlite.states() == {"0": "created", "1": "rejected", "9": "created"}


@pytest.mark.parametrize(
    ("window", "replayed"),
    [
        ({"since": "2027-01-15T08:00:00+00:00"}, True),
        ({"since": "2027-01-15T13:30:00+05:30", "until": "2027-01-15T09:00:00"}, True),
        ({"until": "2027-01-15T08:00:00"}, False),
        ({"since": "2027-01-15T09:00:00"}, False),
    ],
)
def test_a_replay_by_time_takes_just_those_refused_then(sandbox, clock, on_sqlite, window, replayed):
    refused_earlier(sandbox, clock, on_sqlite, Kochi="MXDuplicateEntryException")
    counts = sync(Night("2"), on_sqlite, replay=window, allowed_rejects=1)["counts"]
    assert counts == {"read": 2, "unchanged": 1, "open" if replayed else "rejected": 1}


@pytest.mark.parametrize("replay", [False, None, "False", "None", ""])
def test_no_replay_holds_rejected_rows(sandbox, clock, on_sqlite, replay):
    refused_earlier(sandbox, clock, on_sqlite, Kochi="MXDuplicateEntryException")
    counts = sync(Night("2"), on_sqlite, replay=replay, allowed_rejects=1)["counts"]
    assert counts == {"read": 2, "unchanged": 1, "rejected": 1}


def test_a_replay_that_is_tried_again_sends_nothing_twice(sandbox, clock, warehouse):
    refused_earlier(sandbox, clock, warehouse, Kochi="MXDuplicateEntryException")
    night = Night("2")
    sync(night, warehouse, replay=True)
    assert sync(night, warehouse, replay=True)["counts"] == {"read": 2, "unchanged": 1, "open": 1}
    assert len(sandbox.posts()) == 3


@pytest.mark.parametrize(
    "replay", [7, {"reason": "x"}, {"since": "yesterday"}, "{'reason_class': 'MXDuplicateEntryException'}", ["a"]]
)
def test_a_replay_that_cannot_be_read_is_refused_before_anything_else(sandbox, clock, on_sqlite, replay):
    with pytest.raises(ValueError, match="replay"):
        sync(Night("1"), on_sqlite, replay=replay)
    assert on_sqlite.tables() == {"customers"}


# --- mapped tasks -------------------------------------------------------------------------------------------------


def part(warehouse, remainder):
    return f"SELECT * FROM {warehouse.table} WHERE customer_id % 2 = {remainder}"  # one statement for each instance


def test_mapped_instances_share_one_memory(sandbox, clock, warehouse):
    warehouse.fill(6)
    for night in ("1", "2"):
        outputs = [sync(Night(night, map_index=n), warehouse, sql=part(warehouse, n)) for n in (0, 1)]
        counts = wait_for(Night(night), clock, outputs)["counts"]
    assert counts == {"read": 0}
    assert len(sandbox.posts()) == 6


def test_a_mapped_instance_does_not_ask_for_its_siblings_requests(sandbox, clock, on_sqlite):
    on_sqlite.fill(6)
    sync(Night("1", map_index=0), on_sqlite, sql=part(on_sqlite, 0))
    clock.advance(60)
    sync(Night("1", map_index=1), on_sqlite, sql=part(on_sqlite, 1))
    assert sandbox.polls() == []


def test_mapped_outputs_are_counted_together(sandbox, clock, on_sqlite):
    on_sqlite.fill(6)
    outputs = [sync(Night("1", map_index=n), on_sqlite, sql=part(on_sqlite, n)) for n in (0, 1)]
    assert wait_for(Night("1"), clock, outputs)["counts"] == {"read": 6, "created": 6}


def test_requests_that_are_open_are_no_reason_to_send_again(sandbox, clock, on_sqlite):
    sandbox.fault("system_errors", count=3)
    on_sqlite.fill(2)
    run_night_that_closes_early(Night("1"), clock, on_sqlite)
    assert sync(Night("2"), on_sqlite)["counts"] == {"read": 2, "waiting": 2}
    assert len(sandbox.posts()) == 2
