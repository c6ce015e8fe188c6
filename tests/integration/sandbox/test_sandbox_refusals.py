"""Calls that LeadSquared refuses before it reads the lead, and its responses."""

from __future__ import annotations

import pytest

LEAD = '[{"Attribute": "FirstName", "Value": "Meera"}]'
SYNC = "/v2/LeadManagement.svc/Lead.Capture"
FORBIDDEN = {"message": "Forbidden"}
NO_PATH = {"message": "Missing Authentication Token"}
WRONG_KEYS = {
    "Status": "Error",
    "ExceptionType": "MXInvalidAccessDetailsException",
    "ExceptionMessage": "Invalid Access Details provided.",
}


@pytest.fixture
def call(crm):
    """Make a call with proper keys, but for what the test says."""

    def make(path, method="POST", body=LEAD, params=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = crm.api_key | {"Content-Type": "application/json"} | named
        params = crm.pair if params is None else params
        return crm.http.request(method, crm.sandbox.url + path, params=params, data=body, headers=sent, timeout=10)

    return make


def lsq_headers(crm):
    return {"x_LSQ_AccessKey": crm.pair["accessKey"], "x_LSQ_SecretKey": crm.pair["secretKey"]}


@pytest.mark.parametrize("path", ["/lead/capture", "/lead/status", "/lead/metrics", "/lead/capture/metrics"])
@pytest.mark.parametrize("api_key", [None, "", "Wrong"])
def test_a_missing_or_wrong_api_key_is_forbidden_by_the_gateway(call, path, api_key):
    response = call(path, "POST" if path == "/lead/capture" else "GET", x_api_key=api_key)
    assert (response.status_code, response.json()) == (403, FORBIDDEN)
    assert response.headers["x-amzn-ErrorType"] == "ForbiddenException"


@pytest.mark.parametrize("path", ["/lead/capture", SYNC])
@pytest.mark.parametrize(
    "flaw", [{"accessKey": "wrong"}, {"secretKey": "wrong"}, {"accessKey": None}, {"secretKey": "ü"}]
)
def test_a_missing_or_wrong_key_of_the_pair_is_unauthorized(crm, call, path, flaw):
    response = call(path, params=crm.pair | flaw)
    assert (response.status_code, response.json()) == (401, WRONG_KEYS)


def test_the_gateway_checks_before_leadsquared_does(call):
    assert call("/lead/capture", params={}, x_api_key="Wrong").status_code == 403


def test_key_names_in_the_query_are_read_in_any_case(crm, call):
    params = {name.lower(): value for name, value in crm.pair.items()}
    assert call("/lead/capture", params=params).status_code == 200


def test_sync_calls_take_the_pair_in_headers(crm, call):
    assert call(SYNC, params={}, **lsq_headers(crm)).status_code == 200


def test_async_submissions_do_not_take_the_pair_in_headers(crm, call):
    assert call("/lead/capture", params={}, **lsq_headers(crm)).status_code == 401


def test_async_submissions_take_the_pair_in_headers_by_switch(crm, sandbox, call):
    sandbox.switch(async_header_keys=True)
    assert call("/lead/capture", params={}, **lsq_headers(crm)).status_code == 200


def test_sync_calls_need_no_api_key(call):
    assert call(SYNC, x_api_key=None).status_code == 200


@pytest.mark.parametrize("path", ["/lead/status", "/lead/metrics"])
def test_status_and_metrics_need_no_key_pair(call, path):
    assert call(path, "GET", params={"RequestID": "x"}).status_code != 401


BAD_BODIES = {
    "no JSON": b"Attribute=FirstName",
    "empty": b"",
    "object": b"{}",
    "string": b'"lead"',
    "several leads": b'[[{"Attribute": "FirstName", "Value": "A"}]]',
    "no attribute": b'[{"Value": "A"}]',
    "attribute is no text": b'[{"Attribute": 1, "Value": "A"}]',
    "value is an object": b'[{"Attribute": "FirstName", "Value": {}}]',
    "fields are no array": b'[{"Attribute": "mx_KYC", "Value": "", "Fields": {}}]',
    "broken UTF-8": b'[{"Attribute": "FirstName", "Value": "\xff"}]',
    "UTF-16": '[{"Attribute": "FirstName", "Value": "A"}]'.encode("utf-16"),
    "NaN": b'[{"Attribute": "mx_Age", "Value": NaN}]',
    "endless nesting": b"[" * 100_000,
}


@pytest.mark.parametrize("path", ["/lead/capture", SYNC])
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_body_that_is_not_one_array_of_pairs_is_a_bad_request(call, sandbox, path, body):
    assert call(path, body=body).status_code == 400
    assert sandbox.requests() == []
    assert sandbox.leads() == []


@pytest.mark.parametrize("path", ["/lead/capture", SYNC])
@pytest.mark.parametrize("content_type", ["text/plain", "application-json", None, "application/json; charset=latin-1"])
def test_a_wrong_content_type_is_a_bad_request(call, path, content_type):
    assert call(path, Content_Type=content_type).status_code == 400


def test_a_charset_of_utf_8_may_be_named(call):
    assert call("/lead/capture", Content_Type="Application/JSON; charset=UTF-8").status_code == 200


def test_each_host_has_its_own_response_to_a_bad_request(call):
    assert call("/lead/capture", body="{}").json() == {"message": "Invalid request body"}
    assert call(SYNC, body="{}").json()["ExceptionType"] == "SerializationException"


@pytest.mark.parametrize("path", ["/lead/capture", SYNC])
def test_a_body_over_10_megabytes_is_too_long(call, path):
    response = call(path, body=b" " * (10 * 1024 * 1024 + 1))
    assert (response.status_code, response.json()) == (413, {"message": "Request Too Long"})


def test_nothing_is_validated_on_acceptance(call):
    assert call("/lead/capture", body='[{"Attribute": "mx_Nope", "Value": "1"}]').status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/lead/capture"),
        ("POST", "/lead/status"),
        ("GET", "/lead/capture/status"),
        ("GET", "/nope"),
        ("HEAD", "/lead/status"),
    ],
)
def test_async_paths_that_do_not_exist(call, method, path):
    response = call(path, method)
    assert response.status_code == 403
    assert method == "HEAD" or response.json() == NO_PATH


@pytest.mark.parametrize(("method", "path"), [("GET", SYNC), ("POST", "/v2/LeadManagement.svc/Nope"), ("GET", "/v2/")])
def test_sync_paths_that_do_not_exist(call, method, path):
    assert call(path, method).status_code == 404


# Hosts


@pytest.mark.parametrize(
    ("switch", "path", "home"),
    [("async_host", "/lead/capture", "asyncapi-us11.leadsquared.com"), ("sync_host", SYNC, "api-us11.leadsquared.com")],
)
def test_a_wrong_host_is_unauthorized_and_names_the_right_one(call, sandbox, switch, path, home):
    sandbox.switch(**{switch: home})
    response = call(path)
    assert response.status_code == 401
    assert home in response.json()["ExceptionMessage"]


@pytest.mark.parametrize(("switch", "path"), [("async_host", "/lead/capture"), ("sync_host", SYNC)])
def test_the_right_host_by_name_is_served(call, sandbox, switch, path):
    sandbox.switch(**{switch: "api.sandbox.example"})
    assert call(path, Host="api.sandbox.example").status_code == 200


def test_the_user_endpoint_names_the_right_host_on_any_host(crm, sandbox):
    sandbox.switch(sync_host="api-us11.leadsquared.com")
    user = crm.get("/v2/Authentication.svc/UserByAccessKey.Get").json()
    assert user["LSQCommonServiceURLs"]["api"] == "api-us11.leadsquared.com"


# The call limit


@pytest.mark.parametrize("shape", ["429", "403", "200"])
def test_calls_over_the_limit_are_refused_in_each_shape(crm, sandbox, shape):
    sandbox.switch(rate_limit=2, rate_limit_shape=shape)
    responses = [crm.post(SYNC, {"FirstName": "A"}) for _ in range(3)]
    assert [response.status_code for response in responses] == [200, 200, int(shape)]
    assert responses[2].json() == {
        "Status": "Error",
        "ExceptionType": "MXAPIRateLimitExceededException",
        "ExceptionMessage": "API calls exceeded the limit of 2 in 5 second(s)",
    }


def test_the_limit_holds_for_any_five_seconds(crm, sandbox):
    sandbox.switch(rate_limit=2)
    codes = []
    for wait in (0, 3, 1.9, 0.1, 2.9, 0.1):
        sandbox.advance(wait)
        codes.append(crm.post(SYNC, {"FirstName": "A"}).status_code)
    assert codes == [200, 200, 429, 200, 429, 200]


@pytest.mark.parametrize(("counted", "http"), [(False, 200), (True, 429)])
def test_async_calls_count_by_switch(crm, sandbox, counted, http):
    sandbox.switch(rate_limit=1, rate_limit_async=counted)
    crm.submit({"FirstName": "A"})
    assert crm.post("/lead/capture", {"FirstName": "A"}).status_code == http


# Application errors on the sync host


@pytest.mark.parametrize("http", [500, 200])
def test_application_errors_come_as_500_or_200_by_switch(crm, sandbox, http):
    sandbox.switch(error_http=http)
    response = crm.post(SYNC, {"mx_Nope": "1"})
    assert (response.status_code, response.json()["ExceptionType"]) == (http, "MXUnknownAttributeException")
