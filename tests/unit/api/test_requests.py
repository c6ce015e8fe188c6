"""Requests as data: what is sent for each call."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from airflow_provider_leadsquared.api import requests
from airflow_provider_leadsquared.api.account import Account
from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE, LEAD_UPDATE_BEHAVIORS
from airflow_provider_leadsquared.api.leads import encode_lead

ACCESS, SECRET, ASYNC_KEY = "u$r" + "a1" * 16, "b2" * 20, "C3" * 20
ACCOUNT = Account.from_settings(
    host=None, access_key=ACCESS, secret_key=SECRET, extra={"region": "in21", "async_api_key": ASYNC_KEY}
)
ASYNC, SYNC = "https://asyncapi-in21.leadsquared.com", "https://api-in21.leadsquared.com"
BODY = b'[{"Attribute": "EmailAddress", "Value": "meera@example.org"}]'
REQUEST_ID = "9d0f4b52-0000-4000-8000-00000000000c"

JSON = {"Accept": "application/json", "Cache-Control": "no-cache"}
JSON_BODY = {**JSON, "Content-Type": "application/json"}
WITH_ASYNC_KEY = {"x-api-key": ASYNC_KEY}
PAIR_IN_HEADERS = {"x-LSQ-AccessKey": ACCESS, "x-LSQ-SecretKey": SECRET}
PAIR_IN_QUERY = [("accessKey", ACCESS), ("secretKey", SECRET)]

CALLS = {
    "submit": (
        requests.submit(ACCOUNT, LEAD_CAPTURE, BODY),
        ("POST", f"{ASYNC}/lead/capture", PAIR_IN_QUERY, {**JSON_BODY, **WITH_ASYNC_KEY}, BODY),
    ),
    "submit_do_not_update": (
        requests.submit(ACCOUNT, LEAD_CAPTURE, BODY, {"LeadUpdateBehavior": "DoNotUpdate"}),
        (
            "POST",
            f"{ASYNC}/lead/capture",
            [*PAIR_IN_QUERY, ("LeadUpdateBehavior", "DoNotUpdate")],
            {**JSON_BODY, **WITH_ASYNC_KEY},
            BODY,
        ),
    ),
    "get_status": (
        requests.get_status(ACCOUNT, LEAD_CAPTURE, REQUEST_ID),
        ("GET", f"{ASYNC}/lead/status", [("RequestID", REQUEST_ID)], {**JSON, **WITH_ASYNC_KEY}, None),
    ),
    "get_metrics": (
        requests.get_metrics(ACCOUNT, LEAD_CAPTURE),
        ("GET", f"{ASYNC}/lead/capture/metrics", [], {**JSON, **WITH_ASYNC_KEY}, None),
    ),
    "get_metrics_with_key_pair": (
        requests.get_metrics(ACCOUNT, LEAD_CAPTURE, with_key_pair=True),
        ("GET", f"{ASYNC}/lead/capture/metrics", PAIR_IN_QUERY, {**JSON, **WITH_ASYNC_KEY}, None),
    ),
    "capture_lead": (
        requests.capture_lead(ACCOUNT, BODY),
        ("POST", f"{SYNC}/v2/LeadManagement.svc/Lead.Capture", [], {**JSON_BODY, **PAIR_IN_HEADERS}, BODY),
    ),
    "capture_lead_only_empty": (
        requests.capture_lead(ACCOUNT, BODY, {"LeadUpdateBehavior": "UpdateOnlyEmptyFields"}),
        (
            "POST",
            f"{SYNC}/v2/LeadManagement.svc/Lead.Capture",
            [("LeadUpdateBehavior", "UpdateOnlyEmptyFields")],
            {**JSON_BODY, **PAIR_IN_HEADERS},
            BODY,
        ),
    ),
    "list_lead_fields": (
        requests.list_lead_fields(ACCOUNT),
        ("GET", f"{SYNC}/v2/LeadManagement.svc/LeadsMetaData.Get", [], {**JSON, **PAIR_IN_HEADERS}, None),
    ),
    "list_lead_fields_without_options": (
        requests.list_lead_fields(ACCOUNT, with_options=False),
        (
            "GET",
            f"{SYNC}/v2/LeadManagement.svc/LeadsMetaData.Get",
            [("excludeOptionSets", "1")],
            {**JSON, **PAIR_IN_HEADERS},
            None,
        ),
    ),
    "identify_user": (
        requests.identify_user(ACCOUNT),
        ("GET", f"{SYNC}/v2/Authentication.svc/UserByAccessKey.Get", PAIR_IN_QUERY, JSON, None),
    ),
}


@pytest.mark.parametrize(("request_", "expected"), CALLS.values(), ids=CALLS.keys())
def test_a_call_is_exactly_as_documented(request_, expected):
    parts = urlsplit(request_.url)
    url = f"{parts.scheme}://{parts.netloc}{parts.path}"
    sent = (request_.endpoint.method, url, parse_qsl(parts.query), dict(request_.headers), request_.body)
    assert sent == expected


@pytest.mark.parametrize("request_", [call[0] for call in CALLS.values()], ids=CALLS.keys())
def test_a_url_never_holds_a_bare_dollar_sign(request_):
    assert "$" not in request_.url


def test_the_dollar_sign_of_an_access_key_is_percent_encoded():
    assert f"accessKey=u%24r{'a1' * 16}&" in requests.submit(ACCOUNT, LEAD_CAPTURE, BODY).url


def test_a_call_without_parameters_has_no_question_mark():
    assert requests.get_metrics(ACCOUNT, LEAD_CAPTURE).url == f"{ASYNC}/lead/capture/metrics"


def test_a_request_id_cannot_add_a_parameter():
    url = requests.get_status(ACCOUNT, LEAD_CAPTURE, "1&accessKey=x#y/z").url
    assert parse_qsl(urlsplit(url).query) == [("RequestID", "1&accessKey=x#y/z")]


def submit(account, body, parameters):
    return requests.submit(account, LEAD_CAPTURE, body, parameters)


@pytest.mark.parametrize("behavior", LEAD_UPDATE_BEHAVIORS)
@pytest.mark.parametrize("call", [submit, requests.capture_lead])
def test_every_documented_update_behavior_is_passed_on(call, behavior):
    assert ("LeadUpdateBehavior", behavior) in parse_qsl(
        urlsplit(call(ACCOUNT, BODY, {"LeadUpdateBehavior": behavior}).url).query
    )


@pytest.mark.parametrize("behavior", ["donotupdate", "", "Overwrite", "DoNotUpdate&x=1"])
@pytest.mark.parametrize("call", [submit, requests.capture_lead])
def test_another_update_behavior_is_refused_and_the_right_ones_named(call, behavior):
    with pytest.raises(ValueError, match="DoNotUpdate, UpdateOnlyEmptyFields, DoNotUpdateUniqueFields, or None"):
        call(ACCOUNT, BODY, {"LeadUpdateBehavior": behavior})


@pytest.mark.parametrize(
    "shown",
    [
        ACCOUNT,
        *(call[0] for call in CALLS.values()),
        requests.Response(200, BODY, "application/json"),
        encode_lead({"EmailAddress": "meera@example.org"}),
    ],
    ids=["account", *CALLS, "response", "payload"],
)
@pytest.mark.parametrize("text", [repr, str], ids=["repr", "str"])
def test_nothing_shows_a_key_or_a_lead(text, shown):
    secrets = (ACCESS, ACCESS.replace("$", "%24"), SECRET, ASYNC_KEY, "meera")
    assert [secret for secret in secrets if secret in text(shown)] == []


@pytest.mark.parametrize(("request_", "expected"), CALLS.values(), ids=CALLS.keys())
def test_a_label_names_method_and_path_only(request_, expected):
    assert request_.label == f"{expected[0]} {urlsplit(expected[1]).path}"


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("submit", lambda account: requests.submit(account, account.api("lead_capture"), BODY)),
        ("status", lambda account: requests.get_status(account, account.api("lead_capture"), REQUEST_ID)),
        ("metrics", lambda account: requests.get_metrics(account, account.api("lead_capture"))),
    ],
)
def test_an_account_may_have_another_path(name, call):
    account = Account.from_settings(
        host=None,
        access_key=ACCESS,
        secret_key=SECRET,
        extra={"region": "in21", "async_api_key": ASYNC_KEY, "paths": {"lead_capture": {name: "/other/way"}}},
    )
    assert urlsplit(call(account).url).path == "/other/way"


def test_replacing_a_path_changes_nothing_else():
    status = replace(LEAD_CAPTURE.status, path="/x")
    assert LEAD_CAPTURE.with_paths({"status": "/x"}) == replace(LEAD_CAPTURE, status=status)


@pytest.mark.parametrize(
    ("paths", "problem"),
    [
        ({"statuses": "/lead/status"}, "unknown path name 'statuses'; write submit, status or metrics"),
        ({"status": "lead/status"}, "the status path must begin with '/'"),
        ({"status": ""}, "the status path must begin with '/'"),
        ({"status": "/lead/status?x=1"}, "the status path must begin with '/'"),
        ({"submit": "/lead#"}, "the submit path must begin with '/'"),
        ({"submit": "/lead capture"}, "the submit path must begin with '/'"),
        ({"submit": "/lead\n"}, "the submit path must begin with '/'"),
        ({"metrics": None}, "the metrics path must begin with '/'"),
        ({"metrics": 5}, "the metrics path must begin with '/'"),
    ],
)
def test_a_wrong_path_is_refused_by_name(paths, problem):
    with pytest.raises(ValueError, match="path") as caught:
        LEAD_CAPTURE.with_paths(paths)
    assert problem in str(caught.value)
