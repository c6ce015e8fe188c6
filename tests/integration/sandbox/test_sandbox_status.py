"""The exact responses of the status endpoint and of the metrics."""

from __future__ import annotations

import json

import pytest

LEAD = {"EmailAddress": "meera@example.org"}
UNKNOWN = "11111111-0000-4000-8000-000000000001"


@pytest.fixture
def captured(crm, sandbox):
    request_id = crm.submit(LEAD)
    sandbox.advance(1)
    return request_id


@pytest.fixture
def rejected(crm, sandbox):
    request_id = crm.submit({"mx_Nope": "1"})
    sandbox.advance(1)
    return request_id


def test_the_receipt_of_a_submission(crm, sandbox):
    response = crm.post("/lead/capture", LEAD)
    assert response.json() == {
        "Status": "Request accepted. Please use below request id to check the status",
        "RequestID": sandbox.requests()[0]["request_id"],
    }


def test_the_whole_response_about_a_captured_lead(crm, sandbox, captured):
    lead, activity = sandbox.leads()[0], sandbox.activities()[0]
    inner = {"Status": "Success", "Message": {"Id": activity["id"], "RelatedId": lead["id"], "IsCreated": True}}
    assert crm.poll(captured).json() == {
        "RequestId": captured,
        "TaskStatus": {
            "TaskType": "Lead Capture",
            "Status": "Success",
            "StatusReason": "Request was successfully completed",
            "TaskCurrentStep": None,
            "TaskLastStep": "In-Process-Queue",
            "RequestBody": '[{"Attribute": "EmailAddress", "Value": "meera@example.org"}]',
            "Message": json.dumps(inner, separators=(",", ":")),
        },
    }


def test_a_waiting_request_has_a_current_step_and_no_last_one(crm):
    task = crm.task(crm.submit(LEAD))
    assert (task["Status"], task["TaskCurrentStep"], task["TaskLastStep"], task["Message"]) == (
        "In-Queue",
        "In-Queue",
        None,
        None,
    )


def test_a_rejected_lead_has_a_reason_and_no_message(crm, rejected):
    task = crm.task(rejected)
    assert (task["Status"], task["StatusReason"], task["Message"]) == (
        "FAILURE",
        "MXUnknownAttributeException: Attribute(s) does not exist - mx_Nope.",
        None,
    )


def test_a_request_that_failed_after_all_retries(crm, sandbox):
    sandbox.fault("system_errors", count=11)
    request_id = crm.submit(LEAD)
    sandbox.advance(40000)
    task = crm.task(request_id)
    assert (task["Status"], task["TaskCurrentStep"], task["Message"]) == ("ERROR", None, None)
    assert "MX" not in task["StatusReason"]


def test_the_request_body_is_the_submitted_text_without_changes(crm, sandbox):
    text = '[\r\n\t{"Attribute": "FirstName",\t"Value": "Zoë \\u00eb"}\r\n]\n'
    url = sandbox.url + "/lead/capture"
    headers = crm.api_key | {"Content-Type": "application/json"}
    response = crm.http.post(url, params=crm.pair, data=text.encode(), headers=headers, timeout=10)
    assert crm.task(response.json()["RequestID"])["RequestBody"] == text


@pytest.mark.parametrize("spelling", ["RequestId", "RequestID", "requestid"])
def test_the_spelling_of_the_id_is_a_switch(crm, sandbox, captured, spelling):
    sandbox.switch(status_id_key=spelling)
    assert crm.poll(captured).json()[spelling] == captured


def test_the_message_is_an_object_by_switch(crm, sandbox, captured):
    sandbox.switch(status_message="object")
    assert crm.task(captured)["Message"]["Message"]["RelatedId"] == sandbox.leads()[0]["id"]


def test_a_rejection_shows_inside_a_success_by_switch(crm, sandbox, rejected):
    sandbox.switch(rejection_shape="inner")
    task = crm.task(rejected)
    assert (task["Status"], task["StatusReason"]) == ("Success", "Request was successfully completed")
    assert json.loads(task["Message"])["ExceptionType"] == "MXUnknownAttributeException"


@pytest.mark.parametrize(
    ("switch", "lead", "errors"),
    [
        ("status_queued", LEAD, 0),
        ("status_success", LEAD, 0),
        ("status_rejected", {"mx_Nope": "1"}, 0),
        ("status_failed", LEAD, 11),
    ],
)
def test_every_status_name_is_a_switch(crm, sandbox, switch, lead, errors):
    sandbox.switch(**{switch: "Otherwise"})
    sandbox.fault("system_errors", count=errors)
    request_id = crm.submit(lead)
    if switch != "status_queued":
        sandbox.advance(40000)
    assert crm.task(request_id)["Status"] == "Otherwise"


@pytest.mark.parametrize(("switch", "http"), [("404", 404), ("400", 400), ("200", 200)])
def test_an_unknown_request_id_by_switch(crm, sandbox, switch, http):
    sandbox.switch(unknown_request=switch)
    response = crm.poll(UNKNOWN)
    assert response.status_code == http
    assert "TaskStatus" not in response.json()


def test_a_poll_without_request_id_is_a_bad_request(crm):
    assert crm.get("/lead/status", keys=False).status_code == 400


def test_the_name_of_the_parameter_is_read_in_any_case(crm, captured):
    assert crm.get("/lead/status", keys=False, requestid=captured).status_code == 200


def test_a_request_is_known_by_its_id_in_any_case(crm, sandbox, captured):
    assert crm.poll(captured.upper()).json()["RequestId"] == captured
    assert sandbox.request(captured.upper())["polls"] == 1


# Metrics


@pytest.mark.parametrize("path", ["/lead/capture/metrics", "/lead/metrics"])
def test_metrics_show_pending_requests_and_delay(crm, sandbox, path):
    sandbox.switch(rate=6)
    for number in range(4):
        crm.submit({"FirstName": str(number)})
    sandbox.advance(1)
    assert crm.get(path, keys=False).json() == {
        "PendingMessages": 3,
        "MaxDelayInSeconds": 30,
        "ProcessingRatePerMinute": 0.1,
    }


def test_the_processing_rate_covers_the_last_ten_minutes(crm, sandbox):
    for number in range(20):
        crm.submit({"FirstName": str(number)})
    sandbox.advance(599)
    assert crm.get("/lead/metrics", keys=False).json()["ProcessingRatePerMinute"] == 2.0
    sandbox.advance(3)
    assert crm.get("/lead/metrics", keys=False).json()["ProcessingRatePerMinute"] == 0.0


def test_requests_that_wait_for_a_retry_are_not_pending(crm, sandbox):
    sandbox.fault("system_errors")
    crm.submit(LEAD)
    sandbox.advance(1)
    assert crm.get("/lead/metrics", keys=False).json()["PendingMessages"] == 0


def test_the_other_spelling_of_the_rate_is_a_switch(crm, sandbox):
    sandbox.switch(metrics_rate_key="ProcessingratePerMinute")
    assert "ProcessingratePerMinute" in crm.get("/lead/metrics", keys=False).json()


def test_an_account_without_metrics_does_not_know_the_path(crm, sandbox):
    sandbox.switch(metrics=False)
    response = crm.get("/lead/metrics", keys=False)
    assert (response.status_code, response.json()) == (403, {"message": "Missing Authentication Token"})


@pytest.mark.parametrize(("keys", "http"), [(False, 401), (True, 200)])
def test_metrics_want_the_key_pair_by_switch(crm, sandbox, keys, http):
    sandbox.switch(metrics_need_keys=True)
    assert crm.get("/lead/metrics", keys=keys).status_code == http
