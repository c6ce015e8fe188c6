"""The CRM knows leads by match key, the warehouse rows by its own key: several rows may lead to one lead."""

from __future__ import annotations

from contextlib import suppress

import pytest

from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
from airflow_provider_leadsquared.ledgers.memory import OWNER_TIMEOUT
from tests.integration.sync.nights import (
    Night,
    cities_sent,
    customer,
    run_night,
    run_night_that_closes_early,
    sync,
    values_in_crm,
)
from tests.integration.tasks import wait_for

ADDRESS = "asha@example.org"
WITH_PHONE = {"email": "EmailAddress", "city": "mx_City", "plan": "Phone"}
DAY = 86_400


def only(warehouse, *customers):
    """Let the warehouse have these customers and no others."""
    warehouse.run(f"DELETE FROM {warehouse.table}")
    warehouse.put(*customers)


# --- over several nights -------------------------------------------------------------------------------------------


def test_a_row_is_not_unchanged_after_another_row_wrote_its_lead(sandbox, clock, warehouse):
    only(warehouse, customer(1, "Pune", email=ADDRESS))
    run_night(Night("1"), clock, warehouse)
    only(warehouse, customer(2, "Delhi", email=ADDRESS))
    run_night(Night("2"), clock, warehouse)
    only(warehouse, customer(1, "Pune", email=ADDRESS))
    assert run_night(Night("3"), clock, warehouse) == {"read": 1, "open": 1}
    assert values_in_crm(sandbox) == {ADDRESS: ("Pune", "Gold")}


def test_a_row_is_not_unchanged_after_it_lost_its_match_key_to_another_row(sandbox, clock, warehouse):
    only(warehouse, customer(1, "Pune", email=ADDRESS))
    run_night(Night("1"), clock, warehouse)
    only(warehouse, (1, None, "Pune", "Gold"), customer(2, "Delhi", email=ADDRESS))
    run_night(Night("2"), clock, warehouse, allowed_rejects=1)
    only(warehouse, customer(1, "Pune", email=ADDRESS))
    run_night(Night("3"), clock, warehouse)
    assert values_in_crm(sandbox) == {ADDRESS: ("Pune", "Gold")}


def test_a_row_is_unchanged_if_another_row_brought_its_lead_the_same_values(sandbox, clock, warehouse):
    only(warehouse, customer(1, "Pune", email=ADDRESS))
    run_night(Night("1"), clock, warehouse)
    only(warehouse, customer(2, "Pune", email=ADDRESS))
    assert run_night(Night("2"), clock, warehouse) == {"read": 1, "unchanged": 1}


def test_a_row_waits_while_another_rows_request_for_its_lead_is_open(sandbox, clock, warehouse):
    sandbox.fault("system_errors", count=3, calls=1)
    only(warehouse, customer(1, "Pune", email=ADDRESS))
    run_night_that_closes_early(Night("1"), clock, warehouse)
    only(warehouse, customer(2, "Delhi", email=ADDRESS))
    assert sync(Night("2"), warehouse)["counts"] == {"read": 1, "waiting": 1}
    clock.advance(3_600)
    run_night(Night("3"), clock, warehouse)
    assert cities_sent(sandbox) == ["Pune", "Delhi"]
    assert values_in_crm(sandbox) == {ADDRESS: ("Delhi", "Gold")}


def test_a_row_is_not_kept_back_every_night_by_one_that_has_its_phone_and_goes_first(sandbox, clock, on_sqlite):
    """The phone is that of row 2's lead, so the CRM refuses row 1 whenever it changes; row 2 goes every other night."""
    phone = "+91-9000000001"
    only(on_sqlite, customer(1, "Pune", email=ADDRESS, plan=None), customer(2, "Pune", plan=phone))
    run_night(Night("0"), clock, on_sqlite, mapping=WITH_PHONE)
    cities = []
    for night in "1234":
        only(on_sqlite, customer(1, night, email=ADDRESS, plan=phone), customer(2, night, plan=phone))
        with suppress(LeadsNotDelivered):
            run_night(Night(night), clock, on_sqlite, mapping=WITH_PHONE)
        clock.advance(DAY)
        cities.append(values_in_crm(sandbox)["customer2@example.org"][0])
    assert cities == ["Pune", "2", "2", "4"]


@pytest.mark.xfail(strict=True, reason="rows with one phone wait for each other, though their leads are other ones")
def test_rows_of_several_leads_that_have_one_phone_go_in_one_run(sandbox, clock, on_sqlite):
    sandbox.switch(unique_fields=["EmailAddress"], phone_match="alone")
    for night in "12":
        only(on_sqlite, *[customer(number, night, plan="+91-9000000001") for number in range(3)])
        run_night(Night(night), clock, on_sqlite, mapping=WITH_PHONE)
    assert [lead["values"]["mx_City"] for lead in sandbox.leads()] == ["2", "2", "2"]


def test_a_row_waits_while_a_request_for_its_lead_by_another_match_key_is_open(sandbox, clock, on_sqlite):
    only(on_sqlite, customer(1, "Pune", "9000000001", email=ADDRESS))
    run_night(Night("1"), clock, on_sqlite, mapping=WITH_PHONE)
    sandbox.fault("system_errors", count=3, calls=1)
    only(on_sqlite, (2, None, "Delhi", "9000000001"))
    run_night_that_closes_early(Night("2"), clock, on_sqlite, mapping=WITH_PHONE)
    only(on_sqlite, (1, ADDRESS, "Kochi", None))
    assert sync(Night("3"), on_sqlite, mapping=WITH_PHONE)["counts"] == {"read": 1, "waiting": 1}


@pytest.mark.parametrize("row", [(9, ADDRESS, "Pune", None), (9, None, "Pune", "9000000001")], ids=["phone", "email"])
def test_a_match_key_that_was_cleared_does_not_lead_to_its_former_lead(sandbox, clock, warehouse, row):
    clearing = {"mapping": WITH_PHONE, "null_handling": "clear"}
    only(warehouse, customer(9, "Pune", "9000000001", email=ADDRESS))
    run_night(Night("1"), clock, warehouse, **clearing)
    only(warehouse, row)
    run_night(Night("2"), clock, warehouse, **clearing)
    gone = (1, None, "Delhi", "9000000001") if row[1] else customer(1, "Delhi", None, email=ADDRESS)
    only(warehouse, gone, row)
    assert run_night(Night("3"), clock, warehouse, **clearing) == {"read": 2, "unchanged": 1, "open": 1}
    assert {lead["values"]["mx_City"] for lead in sandbox.leads()} == {"Pune", "Delhi"}


# --- in one run ----------------------------------------------------------------------------------------------------


def test_a_loser_that_would_wait_is_superseded_and_the_winner_waits(sandbox, clock, warehouse):
    sandbox.fault("system_errors", count=3, calls=1)
    only(warehouse, customer(1, "Pune", email=ADDRESS))
    run_night_that_closes_early(Night("1"), clock, warehouse)
    only(warehouse, customer(1, "Pune", email=ADDRESS), customer(2, "Delhi", email=ADDRESS))
    assert sync(Night("2"), warehouse)["counts"] == {"read": 2, "superseded": 1, "waiting": 1}


def test_rows_that_lead_to_one_lead_by_different_match_keys_are_one_person(sandbox, clock, warehouse):
    only(warehouse, customer(1, "Pune", "9000000001", email=ADDRESS))
    run_night(Night("1"), clock, warehouse, mapping=WITH_PHONE)
    warehouse.put((2, None, "Delhi", "9000000001"))
    for night in ("2", "3", "4"):
        counts = run_night(Night(night), clock, warehouse, mapping=WITH_PHONE)
        assert counts == {"read": 2, "superseded": 1, "open" if night == "2" else "unchanged": 1}
    assert [post["lead"]["mx_City"] for post in sandbox.posts()] == ["Pune", "Delhi"]


def test_rows_that_reach_one_lead_by_two_spellings_of_its_phone_do_not_take_turns(sandbox, clock, warehouse):
    only(warehouse, (1, None, "Pune", "9000000001"), (2, None, "Delhi", "+91-9000000001"))
    for night in ("1", "2", "3", "4"):
        counts = run_night(Night(night), clock, warehouse, mapping=WITH_PHONE)
    assert counts == {"read": 2, "superseded": 1, "unchanged": 1}
    assert [lead["values"]["mx_City"] for lead in sandbox.leads()] == ["Delhi"]


def test_rows_with_two_spellings_of_a_phone_do_not_take_turns_if_leads_keep_their_match_keys(sandbox, clock, on_sqlite):
    only(on_sqlite, (1, None, "Pune", "9000000001"), (2, ADDRESS, "Delhi", "+91-9000000001"))
    as_it_is = {"mapping": WITH_PHONE, "lead_update_behavior": "DoNotUpdateUniqueFields"}
    for night in ("1", "2", "3", "4"):
        counts = run_night(Night(night), clock, on_sqlite, **as_it_is)
    assert counts == {"read": 2, "superseded": 1, "unchanged": 1}


def test_where_an_account_tells_spellings_of_a_phone_apart_they_are_two_leads(sandbox, clock, on_sqlite):
    sandbox.switch(phone_spelling="keep")
    only(on_sqlite, (1, None, "Pune", "9000000001"), (2, None, "Delhi", "+91-9000000001"))
    run_night(Night("1"), clock, on_sqlite, mapping=WITH_PHONE)
    assert run_night(Night("2"), clock, on_sqlite, mapping=WITH_PHONE) == {"read": 2, "unchanged": 2}
    assert {lead["values"]["mx_City"] for lead in sandbox.leads()} == {"Pune", "Delhi"}


def test_a_phone_that_only_looks_like_the_one_before_makes_no_other_row_the_same_person(sandbox, clock, on_sqlite):
    """The lead was found by its e-mail address, and has another number now; the former one is nobody's."""
    for night, phone in (("1", "9000000001"), ("2", "+44-9000000001")):
        only(on_sqlite, customer(1, "Pune", phone, email=ADDRESS))
        run_night(Night(night), clock, on_sqlite, mapping=WITH_PHONE)
    on_sqlite.put((2, None, "Delhi", "9000000001"))
    assert run_night(Night("3"), clock, on_sqlite, mapping=WITH_PHONE) == {"read": 2, "unchanged": 1, "open": 1}
    assert len(sandbox.leads()) == 2


def test_a_phone_that_a_lead_did_not_take_makes_no_other_row_the_same_person(sandbox, clock, on_sqlite):
    options = {"mapping": WITH_PHONE, "lead_update_behavior": "DoNotUpdateUniqueFields"}
    only(on_sqlite, (1, ADDRESS, "Pune", None))
    run_night(Night("1"), clock, on_sqlite, **options)
    only(on_sqlite, (1, ADDRESS, "Pune", "9000000001"))
    run_night(Night("2"), clock, on_sqlite, **options)
    on_sqlite.put((2, None, "Delhi", "9000000001"))
    assert sync(Night("3"), on_sqlite, **options)["counts"] == {"read": 2, "unchanged": 1, "open": 1}


def test_rows_of_one_person_are_superseded_every_night_and_nothing_is_sent_again(sandbox, clock, warehouse):
    only(warehouse, customer(1, "Pune", email=ADDRESS), customer(2, "Delhi", email=ADDRESS))
    run_night(Night("1"), clock, warehouse)
    for night in ("2", "3"):
        assert run_night(Night(night), clock, warehouse) == {"read": 2, "superseded": 1, "unchanged": 1}
    assert cities_sent(sandbox) == ["Delhi"]


def test_a_refused_row_supersedes_no_other(sandbox, clock, warehouse):
    sandbox.fault("reject", attribute="mx_City", value="Delhi", exception="MXInvalidInputException")
    only(warehouse, customer(1, "Pune", email=ADDRESS), customer(2, "Delhi", email=ADDRESS))
    wait_for(Night("1"), clock, sync(Night("1"), warehouse), allowed_rejects=1)
    clock.advance(DAY)
    run_night(Night("2"), clock, warehouse, allowed_rejects=1)
    assert values_in_crm(sandbox) == {ADDRESS: ("Pune", "Gold")}


@pytest.mark.parametrize("other", ["strasse@example.org", "ſtraße@example.org"])
def test_match_keys_that_only_look_alike_are_two_people(sandbox, clock, on_sqlite, other):
    only(on_sqlite, customer(1, email="straße@example.org"), customer(2, email=other))
    assert run_night(Night("1"), clock, on_sqlite) == {"read": 2, "open": 2}
    assert len(sandbox.leads()) == 2


# --- in several partitions, and in several syncs -------------------------------------------------------------------


def partition(number, clock, warehouse, run_id, *customers):
    """Run one instance of a mapped sync over these customers, and return its counts."""
    only(warehouse, *customers)
    night = Night(run_id, map_index=number)
    output = sync(night, warehouse)
    wait_for(night, clock, output)
    return output["counts"]


def test_rows_of_one_person_in_two_partitions_do_not_take_turns_every_night(sandbox, clock, warehouse):
    pune, delhi = customer(1, "Pune", email=ADDRESS), customer(2, "Delhi", email=ADDRESS)
    for night in range(6):
        partition(0, clock, warehouse, f"{night}", pune)
        partition(1, clock, warehouse, f"{night}", delhi)
        clock.advance(DAY - 600)
    assert len(sandbox.posts()) <= 4
    before = len(sandbox.posts())
    counts = [partition(0, clock, warehouse, "7", pune), partition(1, clock, warehouse, "7", delhi)]
    assert len(sandbox.posts()) == before
    assert sorted(map(str, counts)) == ["{'read': 1, 'superseded': 1}", "{'read': 1, 'unchanged': 1}"]


def test_changed_values_always_go_also_from_a_partition_that_does_not_write_the_lead(sandbox, clock, warehouse):
    for night in range(3):
        partition(0, clock, warehouse, f"{night}", customer(1, "Pune", email=ADDRESS))
        partition(1, clock, warehouse, f"{night}", customer(2, "Delhi", email=ADDRESS))
        clock.advance(DAY)
    partition(0, clock, warehouse, "4", customer(1, "Agra", email=ADDRESS))
    assert values_in_crm(sandbox) == {ADDRESS: ("Agra", "Gold")}


def test_a_row_goes_again_once_the_one_that_wrote_its_lead_is_gone(sandbox, clock, warehouse):
    for night in range(3):
        partition(0, clock, warehouse, f"{night}", customer(1, "Pune", email=ADDRESS))
        partition(1, clock, warehouse, f"{night}", customer(2, "Delhi", email=ADDRESS))
        clock.advance(DAY)
    clock.advance(OWNER_TIMEOUT)
    partition(0, clock, warehouse, "4", customer(1, "Pune", email=ADDRESS))
    assert values_in_crm(sandbox) == {ADDRESS: ("Pune", "Gold")}


def test_two_syncs_that_send_different_attributes_do_not_send_each_others_rows_again(sandbox, clock, warehouse):
    only(warehouse, customer(1, "Pune", "Gold", email=ADDRESS))
    cities = {"sync": "cities", "mapping": {"email": "EmailAddress", "city": "mx_City"}}
    plans = {"sync": "plans", "mapping": {"email": "EmailAddress", "plan": "mx_Plan"}}
    run_night(Night("1"), clock, warehouse, **cities)
    run_night(Night("other 1"), clock, warehouse, **plans)
    assert run_night(Night("2"), clock, warehouse, **cities) == {"read": 1, "unchanged": 1}
    assert run_night(Night("other 2"), clock, warehouse, **plans) == {"read": 1, "unchanged": 1}


def nights_of_two_syncs(clock, warehouse, *, second=None):
    """Let one sync send Pune, and another Delhi for the same row; then return what the first counts for Pune."""
    only(warehouse, customer(1, "Pune", email=ADDRESS))
    run_night(Night("1"), clock, warehouse, sync="nightly")
    only(warehouse, customer(1, "Delhi", email=ADDRESS))
    run_night(Night("2"), clock, warehouse, sync="backfill", **(second or {}))
    only(warehouse, customer(1, "Pune", email=ADDRESS))
    return run_night(Night("3"), clock, warehouse, sync="nightly")


def test_a_row_is_not_unchanged_after_another_sync_wrote_the_same_attribute(sandbox, clock, warehouse):
    assert nights_of_two_syncs(clock, warehouse) == {"read": 1, "open": 1}
    assert values_in_crm(sandbox) == {ADDRESS: ("Pune", "Gold")}
    assert run_night(Night("4"), clock, warehouse, sync="nightly") == {"read": 1, "unchanged": 1}


@pytest.mark.parametrize("behavior", ["DoNotUpdate", "UpdateOnlyEmptyFields"])
def test_a_sync_that_overwrites_nothing_makes_no_other_sync_send_again(sandbox, clock, on_sqlite, behavior):
    counts = nights_of_two_syncs(clock, on_sqlite, second={"lead_update_behavior": behavior})
    assert counts == {"read": 1, "unchanged": 1}
    assert values_in_crm(sandbox) == {ADDRESS: ("Pune", "Gold")}


@pytest.mark.parametrize(("attribute", "value"), [("mx_City", "Delhi"), ("Phone", "+91-9000000001")])
def test_a_row_is_not_unchanged_after_another_sync_filled_what_it_had_cleared(
    sandbox, clock, on_sqlite, attribute, value
):
    only(on_sqlite, customer(1, None, value, email=ADDRESS))
    clearing = {"sync": "nightly", "mapping": {"email": "EmailAddress", "city": attribute}, "null_handling": "clear"}
    filling = {
        "sync": "backfill",
        "mapping": {"email": "EmailAddress", "plan": attribute},
        "lead_update_behavior": "UpdateOnlyEmptyFields",
    }
    run_night(Night("1"), clock, on_sqlite, **clearing)
    run_night(Night("2"), clock, on_sqlite, **filling)
    assert sandbox.leads()[0]["values"][attribute] == value
    assert run_night(Night("3"), clock, on_sqlite, **clearing) == {"read": 1, "open": 1}
    assert not sandbox.leads()[0]["values"].get(attribute)
    for night, each in (("4", filling), ("5", clearing)):
        assert run_night(Night(night), clock, on_sqlite, **each) == {"read": 1, "unchanged": 1}


def test_a_sync_that_updates_nothing_fills_nothing(sandbox, clock, on_sqlite):
    only(on_sqlite, customer(1, None, "Gold", email=ADDRESS))
    clearing = {"sync": "nightly", "mapping": {"email": "EmailAddress", "city": "mx_City"}, "null_handling": "clear"}
    run_night(Night("1"), clock, on_sqlite, **clearing)
    idle = {"mapping": {"email": "EmailAddress", "plan": "mx_City"}, "lead_update_behavior": "DoNotUpdate"}
    run_night(Night("2"), clock, on_sqlite, sync="backfill", **idle)
    assert run_night(Night("3"), clock, on_sqlite, **clearing) == {"read": 1, "unchanged": 1}


def test_a_sync_that_leaves_unique_fields_alone_overwrites_the_others(sandbox, clock, on_sqlite):
    counts = nights_of_two_syncs(clock, on_sqlite, second={"lead_update_behavior": "DoNotUpdateUniqueFields"})
    assert counts == {"read": 1, "open": 1}


def test_a_row_waits_while_a_request_of_another_sync_for_its_lead_is_open(sandbox, clock, warehouse):
    sandbox.fault("system_errors", count=3, calls=1)
    only(warehouse, customer(1, "Pune", "Gold", email=ADDRESS))
    run_night_that_closes_early(Night("1"), clock, warehouse, sync="cities")
    assert sync(Night("other"), warehouse, sync="plans")["counts"] == {"read": 1, "waiting": 1}
