"""Asynchronous APIs: the row of lead capture, the paths of an account, and what a row refuses."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_leadsquared.api.account import Account
from airflow_provider_leadsquared.api.async_apis import (
    ASYNC_APIS,
    LEAD_CAPTURE,
    LEAD_UPDATE_BEHAVIORS,
    async_api,
    follow_up,
    submission,
)
from airflow_provider_leadsquared.api.confirmations import Confirmation
from airflow_provider_leadsquared.api.endpoints import Endpoint, Host, KeyPair
from airflow_provider_leadsquared.api.leads import encode_lead
from airflow_provider_leadsquared.api.requests import check_parameters


def account(**extra: Any) -> Account:
    return Account.from_settings(
        host=None, access_key="access", secret_key="secret", extra={"region": "in21", "async_api_key": "key", **extra}
    )


# ---- the row of lead capture -------------------------------------------------------------------------------------


def test_every_row_is_listed_under_its_name():
    assert {name: row.name for name, row in ASYNC_APIS.items()} == {"lead_capture": "lead_capture"}


def test_lead_capture_is_found_by_its_name():
    assert async_api("lead_capture") is LEAD_CAPTURE


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (LEAD_CAPTURE.submit, Endpoint("POST", "/lead/capture", Host.ASYNCHRONOUS, KeyPair.QUERY)),
        (LEAD_CAPTURE.status, Endpoint("GET", "/lead/status", Host.ASYNCHRONOUS, KeyPair.ABSENT)),
        (LEAD_CAPTURE.metrics, Endpoint("GET", "/lead/capture/metrics", Host.ASYNCHRONOUS, KeyPair.ABSENT)),
    ],
    ids=["submit", "status", "metrics"],
)
def test_the_calls_of_lead_capture_are_the_documented_ones(endpoint, expected):
    assert endpoint == expected


def test_a_record_of_lead_capture_is_called_a_lead():
    assert LEAD_CAPTURE.record == "lead"


def test_lead_capture_takes_the_documented_update_behaviors():
    assert LEAD_CAPTURE.parameters == {"LeadUpdateBehavior": LEAD_UPDATE_BEHAVIORS}


def test_lead_capture_writes_a_record_as_a_lead():
    record = {"EmailAddress": "meera@example.org"}
    assert LEAD_CAPTURE.encode(record) == encode_lead(record)


@pytest.mark.parametrize(
    ("record", "may_repeat"), [({"EmailAddress": "meera@example.org"}, True), ({"FirstName": "Meera"}, False)]
)
def test_a_lead_may_be_repeated_if_leadsquared_finds_it_again(record, may_repeat):
    assert LEAD_CAPTURE.may_repeat(LEAD_CAPTURE.encode(record)) is may_repeat


def test_lead_capture_reads_the_lead_that_was_captured():
    inner = {
        "status": "Success",
        "message": {"id": "activity-1", "relatedid": "lead-1", "iscreated": True},
    }
    assert LEAD_CAPTURE.read_confirmation(inner) == Confirmation("lead-1", "activity-1", is_created=True)


@pytest.mark.parametrize("inner", [{}, {"status": "Success"}, {"status": "Success", "message": {"iscreated": True}}])
def test_lead_capture_takes_nothing_else_for_a_confirmation(inner):
    assert LEAD_CAPTURE.read_confirmation(inner) is None


# ---- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["widget", "", "Lead_Capture", " lead_capture"])
def test_an_unknown_name_is_refused_with_the_names_of_those_there_are(name):
    with pytest.raises(ValueError, match=f"there is no asynchronous API '{name}'; there is lead_capture$"):
        async_api(name)


def test_the_names_of_those_there_are_follow_the_table(monkeypatch):
    monkeypatch.setitem(ASYNC_APIS, "note", LEAD_CAPTURE)
    with pytest.raises(ValueError, match="there is lead_capture, note$"):
        async_api("widget")


# ---- paths of an account -----------------------------------------------------------------------------------------


def test_an_account_without_paths_of_its_own_has_the_documented_ones():
    assert account().api("lead_capture") == LEAD_CAPTURE


@pytest.mark.parametrize("name", ["submit", "status", "metrics"])
def test_an_account_may_replace_one_path_and_keeps_the_others(name):
    row = account(paths={"lead_capture": {name: "/other/way"}}).api("lead_capture")
    paths = {each: getattr(row, each).path for each in ("submit", "status", "metrics")}
    assert paths == {
        "submit": "/lead/capture",
        "status": "/lead/status",
        "metrics": "/lead/capture/metrics",
        name: "/other/way",
    }


def test_an_accounts_path_changes_no_other_account():
    account(paths={"lead_capture": {"status": "/other/way"}}).api("lead_capture")
    assert account().api("lead_capture").status.path == "/lead/status"


def test_the_paths_of_one_api_are_not_those_of_another(monkeypatch):
    monkeypatch.setitem(ASYNC_APIS, "note", LEAD_CAPTURE)
    paths = {"lead_capture": {"status": "/other/way"}}
    assert account(paths=paths).api("note").status.path == "/lead/status"


# ---- parameters --------------------------------------------------------------------------------------------------


def test_parameters_that_an_api_takes_are_passed_on():
    assert check_parameters(LEAD_CAPTURE, {"LeadUpdateBehavior": "DoNotUpdate"}) == {
        "LeadUpdateBehavior": "DoNotUpdate"
    }


@pytest.mark.parametrize("name", ["Color", "leadupdatebehavior", "accessKey", ""])
def test_a_parameter_that_an_api_does_not_take_is_refused_with_those_that_it_takes(name):
    with pytest.raises(ValueError, match="takes no parameter") as caught:
        check_parameters(LEAD_CAPTURE, {name: "x"})
    assert str(caught.value) == (
        f"the API lead_capture takes no parameter '{name}'; those that it takes: LeadUpdateBehavior"
    )


def test_an_api_without_parameters_says_that_it_takes_none():
    row = type(LEAD_CAPTURE)(
        name="note",
        record="note",
        records="notes",
        match_keys="Name",
        submit=submission("/note"),
        status=follow_up("/note/status"),
        metrics=follow_up("/note/metrics"),
        encode=encode_lead,
        read_confirmation=lambda _: None,
    )
    with pytest.raises(ValueError, match="the API note takes no parameter 'Color'; those that it takes: none"):
        check_parameters(row, {"Color": "red"})


def test_a_value_that_a_parameter_does_not_have_is_refused_with_those_that_it_has():
    with pytest.raises(ValueError, match=f"LeadUpdateBehavior must be one of {', '.join(LEAD_UPDATE_BEHAVIORS)}"):
        check_parameters(LEAD_CAPTURE, {"LeadUpdateBehavior": "Overwrite"})
