"""What a night leaves behind: the result table and its views, the figures of a dry run, and asset events."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_leadsquared.assets import leads_asset
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsStillOpen, LeadsUnsent
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.links.leadsquared import DeliveriesLink
from airflow_provider_leadsquared.tasks.ledger_address import LEDGER_TABLE
from tests.integration.sync.nights import (
    MORNING,
    Night,
    customer,
    operator_for,
    run_night,
    run_night_that_closes_early,
    sync,
)
from tests.integration.tasks import facts_of, wait_for


def mixed_night(sandbox, clock, warehouse):
    """Run a night whose rows end in every state that a run of its own can bring about."""
    sandbox.fault("system_errors", count=4, attribute="mx_City", value="Slow")
    warehouse.put(customer(1), customer(6, "Slow"))
    run_night_that_closes_early(Night("0"), clock, warehouse)
    sandbox.fault("reject", attribute="mx_City", value="Refused", exception="MXDuplicateEntryException")
    warehouse.put(
        customer(2, "Fresh"),
        customer(3, "Refused"),
        customer(4, plan="Platinum"),
        customer(5, email="customer7@example.org"),
        customer(6, "Newer"),
        customer(7),
    )
    night = Night("1")
    output = sync(night, warehouse, allowed_rejects=1)
    wait_for(night, clock, output, close_after=20, allowed_rejects=1)
    return output


def test_the_counts_of_a_mixed_night_add_up(sandbox, clock, on_sqlite):
    counts = mixed_night(sandbox, clock, on_sqlite)["counts"]
    assert counts == {"read": 7, "unchanged": 1, "invalid": 1, "superseded": 1, "waiting": 1, "open": 3}


def test_the_result_table_has_a_line_for_every_row_that_was_not_as_before(sandbox, clock, warehouse):
    mixed_night(sandbox, clock, warehouse)
    assert warehouse.lines("row_key, state, reason_class", "run_id = '1'") == [
        ("2", "created", None),
        ("3", "rejected", "MXDuplicateEntryException"),
        ("4", "invalid", "not_an_option"),
        ("5", "superseded", "same_match_key"),
        ("6", "waiting", "EarlierSendingOpen"),
        ("7", "created", None),
    ]


def test_a_line_says_who_sent_it_when_and_what_came_of_it(sandbox, clock, warehouse):
    warehouse.put(customer(1))
    run_night(Night("run 1"), clock, warehouse)
    [line] = warehouse.lines(
        "row_key, state, request_id, lead_id, attempts, dag_id, run_id, task_id, map_index, row_no"
    )
    [request], [lead] = sandbox.requests(), sandbox.leads()
    assert line == ("1", "created", request["request_id"], lead["id"], 1, "nightly", "run 1", "sync", -1, 0)
    [(accepted, settled)] = warehouse.lines("accepted_at, settled_at")
    assert str(accepted).startswith("2027-01-15 08:00:00")
    assert str(accepted) < str(settled)


def test_a_reason_that_leadsquared_gives_is_in_the_table_masked(sandbox, clock, on_sqlite):
    sandbox.fault(
        "reject", exception="MXDuplicateEntryException", message="A Lead customer1@example.org already exists"
    )
    on_sqlite.put(customer(1))
    output = sync(Night("1"), on_sqlite)
    wait_for(Night("1"), clock, output, allowed_rejects=1)
    [(kind, reason)] = on_sqlite.lines("reason_class, reason")
    assert kind == "MXDuplicateEntryException"
    assert "already exists" in reason


def test_the_view_of_last_states_has_one_line_for_each_key(sandbox, clock, warehouse):
    mixed_night(sandbox, clock, warehouse)
    last = warehouse.run(f"SELECT row_key, run_id, state FROM {warehouse.ledger}_last ORDER BY row_key")
    assert last == [
        ("1", "0", "created"),
        ("2", "1", "created"),
        ("3", "1", "rejected"),
        ("6", "0", "open"),
        ("7", "1", "created"),
    ]


def test_the_view_of_rejects_names_row_and_reason(sandbox, clock, warehouse):
    mixed_night(sandbox, clock, warehouse)
    columns = "run_id, row_in_run, row_key, state, reason_class"
    rejects = warehouse.run(f"SELECT {columns} FROM {warehouse.ledger}_rejects ORDER BY row_key")
    assert rejects == [
        ("1", 3, "3", "rejected", "MXDuplicateEntryException"),
        ("1", 4, "4", "invalid", "not_an_option"),
    ]


def test_a_retry_doubles_no_line(sandbox, clock, warehouse):
    mixed_night(sandbox, clock, warehouse)
    before = warehouse.lines("row_key, state, request_id, attempts")
    sync(Night("1"), warehouse, allowed_rejects=2)
    assert len(warehouse.lines("row_key")) == len(before)


def test_a_retry_takes_away_what_no_longer_holds_for_a_row_that_was_set_aside(sandbox, clock, on_sqlite):
    on_sqlite.put(customer(1, plan="Platinum"))
    night = Night("1")
    with pytest.raises(LeadsNotDelivered):
        sync(night, on_sqlite)
    on_sqlite.put(customer(1))
    sync(night, on_sqlite)
    assert on_sqlite.lines("row_key, state") == [("1", "open")]


# --- dry run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [True, "True"])
def test_a_dry_run_sends_nothing_and_creates_no_table(sandbox, clock, warehouse, dry_run):
    warehouse.fill(3)
    before = warehouse.tables()
    sync(Night("1"), warehouse, dry_run=dry_run)
    assert (sandbox.posts(), warehouse.tables()) == ([], before)


def test_a_dry_run_leaves_the_ledger_of_a_sync_as_it_is(sandbox, clock, warehouse):
    mixed_night(sandbox, clock, warehouse)
    before = warehouse.ledger_as_text()
    posts = len(sandbox.posts())
    warehouse.put(customer(1, "Agra"))
    sync(Night("2"), warehouse, dry_run=True, allowed_rejects=0)
    assert (len(sandbox.posts()), warehouse.ledger_as_text()) == (posts, before)


def test_a_dry_run_says_what_would_be_sent(sandbox, clock, on_sqlite, task_log):
    mixed_night(sandbox, clock, on_sqlite)
    on_sqlite.put(customer(1, "Agra"), customer(8))
    output = sync(Night("2"), on_sqlite, dry_run=True)
    # In the order that states have: 3 is held, 4 and 5 are set aside, 6 waits.
    counts = {"read": 8, "invalid": 1, "superseded": 1, "unchanged": 2, "waiting": 1, "unsent": 2, "rejected": 1}
    assert output["dry_run"] is True
    assert output["counts"] == counts
    assert (output["to_send"], output["estimated_calls"]) == (2, 4)
    assert output["set_aside"] == {"invalid: not_an_option": 1, "rejected: MXDuplicateEntryException": 1}
    assert "Dry run: nothing was sent or written" in task_log()


@pytest.mark.parametrize(("allowed", "colour"), [(1, "red"), (2, "green"), (0.2, "red"), (0.25, "green")])
def test_a_dry_run_says_whether_the_task_would_be_red_and_names_rows_by_rule(
    sandbox, clock, on_sqlite, task_log, allowed, colour
):
    on_sqlite.put(*(customer(n) for n in range(1, 7)), customer(7, plan="Platinum"), customer(8, "P" * 9_999))
    output = sync(Night("1"), on_sqlite, dry_run=True, allowed_rejects=allowed)
    assert output["would_fail"] is (colour == "red")
    assert f"Dry run: the task would be {colour}: 2 of 8 rows" in task_log()
    assert output["examples"] == ["1 invalid, not_an_option: 7", "1 invalid, too_long: 8"]
    assert "Dry run: 1 invalid, not_an_option: 7" in task_log()


def test_a_dry_run_estimates_the_minutes_that_the_queue_takes(sandbox, clock, on_sqlite):
    on_sqlite.fill(30)
    wait_for(Night("1"), clock, sync(Night("1"), on_sqlite))
    on_sqlite.fill(60)
    rate = LeadSquaredHook().get_queue_metrics().rate_per_minute
    assert sync(Night("2"), on_sqlite, dry_run=True)["estimated_minutes"] == round(30 / rate, 1) > 0


def test_a_dry_run_does_without_queue_metrics(sandbox, clock, on_sqlite, task_log):
    sandbox.switch(metrics=False)
    on_sqlite.fill(3)
    assert sync(Night("1"), on_sqlite, dry_run=True)["estimated_minutes"] is None
    assert "time unknown" in task_log()


def test_a_dry_run_previews_a_replay(sandbox, clock, on_sqlite):
    mixed_night(sandbox, clock, on_sqlite)
    output = sync(Night("2"), on_sqlite, dry_run=True, replay="MXDuplicateEntryException")
    assert (output["replayed"], output["to_send"]) == (1, 1)


def test_a_sensor_behind_a_dry_run_is_skipped(sandbox, clock, on_sqlite):
    on_sqlite.fill(3)
    output = sync(Night("1"), on_sqlite, dry_run=True)
    with pytest.raises(AirflowSkipException, match="dry run"):
        wait_for(Night("1"), clock, output)


# --- errors -------------------------------------------------------------------------------------------------------


def test_leads_not_delivered_from_a_sync_has_counts_reasons_and_examples(sandbox, clock, warehouse):
    warehouse.put(customer(1), customer(2, plan="Platinum"), (3, None, "Pune", "Gold"))
    with pytest.raises(LeadsNotDelivered) as raised:
        sync(Night("1"), warehouse)
    assert facts_of(raised.value) == {
        "counts": {"read": 3, "invalid": 2, "open": 1},
        "reasons": {"invalid: no_match_key": 1, "invalid: not_an_option": 1},
        "examples": ["2", "3"],
    }


def test_leads_unsent_from_a_sync_has_counts_reasons_and_examples(sandbox, clock, on_sqlite):
    on_sqlite.put(customer(1), customer(2), customer(3), customer(4, plan="Platinum"))
    sandbox.fault("keys_revoked", endpoint="capture", skip=1)
    with pytest.raises(LeadsUnsent) as raised:
        sync(Night("1"), on_sqlite, concurrency=1)
    assert facts_of(raised.value) == {
        "counts": {"read": 4, "invalid": 1, "unsent": 2, "open": 1},
        "reasons": {"invalid: not_an_option": 1},
        "examples": ["4"],
    }


def test_leads_not_delivered_from_a_sensor_behind_a_sync_has_counts_reasons_and_examples(sandbox, clock, on_sqlite):
    sandbox.fault("reject", attribute="mx_City", value="Refused", exception="MXDuplicateEntryException")
    on_sqlite.put(customer(1), customer(2, "Refused"))
    output = sync(Night("1"), on_sqlite)
    with pytest.raises(LeadsNotDelivered) as raised:
        wait_for(Night("1"), clock, output)
    assert facts_of(raised.value) == {
        "counts": {"read": 2, "created": 1, "rejected": 1},
        "reasons": {"rejected: MXDuplicateEntryException": 1},
        "examples": ["2"],
    }


def test_leads_still_open_from_a_sensor_behind_a_sync_has_counts_and_names_open_rows(sandbox, clock, on_sqlite):
    sandbox.fault("silent_loss", attribute="mx_City", value="Lost")
    on_sqlite.put(customer(1), customer(2, "Lost"))
    output = sync(Night("1"), on_sqlite)
    with pytest.raises(LeadsStillOpen) as raised:
        wait_for(Night("1"), clock, output, timeout=600)
    assert facts_of(raised.value) == {"counts": {"read": 2, "open": 1, "created": 1}, "reasons": {}, "examples": ["2"]}


# --- assets -------------------------------------------------------------------------------------------------------


def test_the_event_of_a_syncs_asset_has_its_counts(sandbox, clock, on_sqlite):
    on_sqlite.fill(3)
    night = Night("1")
    sync(night, on_sqlite, outlets=[leads_asset()])
    assert night.events[leads_asset()].extra == {"counts": {"read": 3, "open": 3}}


def test_the_event_of_the_asset_of_a_sensor_behind_a_sync_has_the_counts_by_verdict(sandbox, clock, on_sqlite):
    on_sqlite.fill(3)
    night = Night("1")
    wait_for(night, clock, sync(night, on_sqlite), outlets=[leads_asset()])
    assert night.events[leads_asset()].extra == {"counts": {"read": 3, "created": 3}}


def outlets_left(night, warehouse, **arguments):
    """Run a sync and return which outlets it leaves to Airflow, which updates them when the task succeeds."""
    operator = operator_for(warehouse, outlets=[leads_asset()], **arguments)
    operator.execute(night.context())
    return operator.outlets


def test_a_dry_run_updates_no_asset_and_says_so(sandbox, clock, on_sqlite, task_log):
    on_sqlite.fill(3)
    night = Night("1")
    assert (outlets_left(night, on_sqlite, dry_run=True), night.events) == ([], {})
    assert "No asset is updated: a dry run changes no lead" in task_log()


def test_a_night_without_a_changed_row_updates_no_asset_and_says_so(sandbox, clock, on_sqlite, task_log):
    on_sqlite.fill(3)
    assert outlets_left(Night("0"), on_sqlite) == [leads_asset()]
    clock.advance(MORNING)
    assert "No asset" not in task_log()
    night = Night("1")
    assert (outlets_left(night, on_sqlite), night.events) == ([], {})
    assert "No asset is updated: no lead was changed" in task_log()


@pytest.mark.parametrize("uri", ["leadsquared://", "leadsquared:///leads", "leadsquared://conn", "leadsquared://conn/"])
def test_an_asset_that_names_no_connection_or_nothing_of_it_is_refused(uri):
    from urllib.parse import urlsplit

    from airflow_provider_leadsquared.assets import sanitize_uri

    with pytest.raises(ValueError, match="leadsquared://<connection id>/leads"):
        sanitize_uri(urlsplit(uri))


@pytest.mark.parametrize("uri", ["leadsquared://me:secret@conn/leads", "leadsquared://conn/leads?secretKey=x"])
def test_an_asset_that_holds_a_key_is_refused(uri):
    from urllib.parse import urlsplit

    from airflow_provider_leadsquared.assets import sanitize_uri

    with pytest.raises(ValueError, match="holds no keys and no query"):
        sanitize_uri(urlsplit(uri))


def test_an_accounts_asset_is_named_by_its_connection():
    assert leads_asset("crm").uri == "leadsquared://crm/leads"


def test_a_sensor_says_that_a_backup_of_the_ledger_was_restored(sandbox, clock, on_sqlite, task_log):
    on_sqlite.put(customer(1))
    run_night(Night("1"), clock, on_sqlite)
    backup = on_sqlite.run("SELECT account_id, no FROM leadsquared_ledger_counters")
    on_sqlite.put(customer(1, "Kochi"))
    output = sync(Night("2"), on_sqlite)
    on_sqlite.run(
        "UPDATE leadsquared_ledger_counters SET no = ? WHERE account_id = ?", *[(no, key) for key, no in backup]
    )
    wait_for(Night("2"), clock, output)
    assert "a backup of it was restored" in task_log()


def test_a_sync_links_to_its_run_on_the_deliveries_page(sandbox, clock, on_sqlite):
    on_sqlite.fill(1)
    operator = operator_for(on_sqlite)
    operator.execute(Night("n1").context())
    link = DeliveriesLink().get_link(operator, ti_key=None)  # type: ignore[arg-type]  # it reads no key
    ledger = f"warehouse%3D{on_sqlite.ledger}" if on_sqlite.ledger != LEDGER_TABLE else "warehouse"
    assert link == f"/leadsquared/run?ledger={ledger}&dag_id=nightly&run_id=n1&task_id=sync"
