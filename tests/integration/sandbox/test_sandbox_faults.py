"""Faults on request: what the client gets from each, and what the sandbox records."""

from __future__ import annotations

import socket

import pytest
import requests

LEAD = {"EmailAddress": "meera@example.org"}
SYNC = "/v2/LeadManagement.svc/Lead.Capture"


def submit(crm, lead=LEAD):
    return crm.post("/lead/capture", lead)


# Connection


def test_a_refused_connection_gives_no_response_and_takes_nothing(crm, sandbox):
    sandbox.fault("refuse")
    with pytest.raises(requests.ConnectionError):
        submit(crm)
    assert sandbox.requests() == []
    assert sandbox.posts()[0]["body_sha256"] is None


def test_a_refused_connection_for_one_lead(crm, sandbox):
    sandbox.fault("refuse", attribute="EmailAddress", value="meera@example.org")
    assert submit(crm, {"FirstName": "Other"}).status_code == 200
    with pytest.raises(requests.ConnectionError):
        submit(crm)


def test_a_stopped_sandbox_is_an_outage_that_keeps_everything(crm, sandbox):
    request_id = crm.submit(LEAD)
    sandbox.stop()
    with pytest.raises(requests.ConnectionError):
        crm.poll(request_id)
    sandbox.advance(1)
    sandbox.start()
    assert crm.task(request_id)["Status"] == "Success"


def test_a_request_is_accepted_although_its_response_is_slower_than_the_clients_timeout(crm, sandbox):
    sandbox.fault("slow", seconds=30)
    crm.timeout = 0.1
    with pytest.raises(requests.ReadTimeout):
        submit(crm)
    assert len(sandbox.requests()) == 1


def test_a_slow_response_arrives(crm, sandbox):
    sandbox.fault("slow", seconds=0.02)
    response = submit(crm)
    assert response.status_code == 200
    assert response.elapsed.total_seconds() >= 0.02


# Replaced response


def test_unavailable(crm, sandbox):
    sandbox.fault("unavailable")
    response = submit(crm)
    assert (response.status_code, response.headers["Content-Type"]) == (503, "text/html")


@pytest.mark.parametrize("shape", [429, 403, 200])
def test_rate_limit_in_its_three_shapes(crm, sandbox, shape):
    sandbox.fault("rate_limit", shape=shape, limit=20)
    response = submit(crm)
    assert response.status_code == shape
    assert response.json()["ExceptionMessage"] == "API calls exceeded the limit of 20 in 5 second(s)"


@pytest.mark.parametrize(
    ("http", "exception"), [(500, "MXInvalidInputException"), (500, "NullReferenceException"), (200, "MXWhatever")]
)
def test_leadsquareds_own_errors(crm, sandbox, http, exception):
    sandbox.fault("error", http=http, exception=exception, message="Sorry")
    response = submit(crm)
    assert response.status_code == http
    assert response.json() == {"Status": "Error", "ExceptionType": exception, "ExceptionMessage": "Sorry"}


@pytest.mark.parametrize(
    ("http", "text"),
    [
        (429, "Too Many Requests"),
        (500, "Internal server error"),
        (502, "Internal server error"),
        (504, "Endpoint request timed out"),
    ],
)
def test_the_gateways_own_errors(crm, sandbox, http, text):
    sandbox.fault("gateway", http=http)
    response = submit(crm)
    assert (response.status_code, response.json()) == (http, {"message": text})


@pytest.mark.parametrize("shape", ["html", "broken_json", "empty"])
def test_garbage_that_is_no_json(crm, sandbox, shape):
    sandbox.fault("garbage", shape=shape)
    response = submit(crm)
    assert response.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        response.json()


def test_garbage_of_the_wrong_types(crm, sandbox):
    sandbox.fault("garbage", shape="wrong_types")
    assert not isinstance(submit(crm).json()["RequestID"], str)
    assert not isinstance(crm.poll("x").json()["TaskStatus"], dict)
    assert crm.get("/v2/LeadManagement.svc/LeadsMetaData.Get").json() == [None, 1, "Status"]


def test_garbage_without_request_id(crm, sandbox):
    sandbox.fault("garbage", shape="no_request_id")
    assert list(submit(crm).json()) == ["Status"]


def test_garbage_of_a_large_size(crm, sandbox):
    sandbox.fault("garbage", shape="huge", megabytes=3)
    assert len(submit(crm).content) > 3 * 1024 * 1024


def test_a_wrong_host_names_the_right_one(crm, sandbox):
    sandbox.fault("wrong_host", host="asyncapi-in21.leadsquared.com")
    response = submit(crm)
    assert response.status_code == 401
    assert "asyncapi-in21.leadsquared.com" in response.json()["ExceptionMessage"]


def test_keys_revoked_in_the_middle(crm, sandbox):
    sandbox.fault("keys_revoked", endpoint="capture", skip=2)
    assert [submit(crm).status_code for _ in range(4)] == [200, 200, 401, 401]


def test_revoked_keys_are_forbidden_where_only_the_api_key_counts(crm, sandbox):
    request_id = crm.submit(LEAD)
    sandbox.fault("keys_revoked")
    assert crm.poll(request_id).status_code == 403


def test_an_unknown_request_for_one_poll(crm, sandbox):
    request_id = crm.submit(LEAD)
    sandbox.fault("unknown_request", endpoint="status", calls=1)
    assert [crm.poll(request_id).status_code for _ in range(2)] == [404, 200]


@pytest.mark.parametrize("kind", ["unavailable", "error", "gateway", "garbage"])
@pytest.mark.parametrize("accepted", [False, True])
def test_a_replaced_response_hides_whether_the_lead_was_accepted(crm, sandbox, kind, accepted):
    sandbox.fault(kind, accepted=accepted)
    submit(crm)
    assert len(sandbox.requests()) == accepted
    assert (sandbox.posts()[0]["request_id"] is not None) == accepted


# Delivery


def test_a_lost_response_leaves_an_accepted_request(crm, sandbox):
    sandbox.fault("lost_response")
    with pytest.raises(requests.ConnectionError):
        submit(crm)
    post = sandbox.posts()[0]
    assert (post["http"], post["request_id"]) == (None, sandbox.requests()[0]["request_id"])


def test_a_response_that_never_comes_leaves_an_accepted_request(crm, sandbox):
    sandbox.fault("lost_response", how="hang")
    crm.timeout = 0.1
    with pytest.raises(requests.ReadTimeout):
        submit(crm)
    assert len(sandbox.requests()) == 1


def test_a_hung_call_does_not_hold_up_the_end(leadsquared_sandbox_factory, crm):
    crm.sandbox = leadsquared_sandbox_factory()
    crm.sandbox.fault("lost_response", how="hang")
    # The client is still there, waiting, when the sandbox ends.
    with socket.create_connection(("127.0.0.1", crm.sandbox.port)) as client:
        client.sendall(f"GET /lead/metrics HTTP/1.1\r\nHost: x\r\nx-api-key: {crm.sandbox.api_key}\r\n\r\n".encode())
        while not crm.sandbox.faults()[0]["affected"]:
            pass
        crm.sandbox.stop()
        assert client.recv(1) == b""


def test_a_reset_in_the_middle_of_the_response(crm, sandbox):
    sandbox.fault("reset")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        submit(crm)
    assert len(sandbox.requests()) == 1


# Queue


def test_system_errors_before_it_passes(crm, sandbox):
    sandbox.fault("system_errors", count=2)
    request_id = crm.submit(LEAD)
    sandbox.advance(1 + 30 + 119)
    assert sandbox.request(request_id)["state"] == "retrying"
    sandbox.advance(1)
    assert sandbox.request(request_id)["state"] == "succeeded"


def test_a_request_refused_when_processed(crm, sandbox):
    sandbox.fault("reject", exception="MXInvalidLeadException", message="No")
    request_id = crm.submit(LEAD)
    sandbox.advance(1)
    assert crm.task(request_id)["StatusReason"] == "MXInvalidLeadException: No"


def test_a_silently_lost_request_stays_in_the_queue_for_ever(crm, sandbox):
    sandbox.fault("silent_loss")
    request_id = crm.submit(LEAD)
    sandbox.advance(100_000)
    assert crm.task(request_id)["Status"] == "In-Queue"
    assert (sandbox.request(request_id)["state"], sandbox.leads()) == ("lost", [])


def test_a_silently_lost_request_becomes_unknown(crm, sandbox):
    sandbox.fault("silent_loss", status="unknown")
    request_id = crm.submit(LEAD)
    assert crm.task(request_id)["Status"] == "In-Queue"
    sandbox.advance(1)
    assert crm.poll(request_id).status_code == 404


# Status


def test_a_new_request_is_unknown_for_its_first_polls(crm, sandbox):
    sandbox.fault("hidden", polls=2)
    request_id = crm.submit(LEAD)
    assert [crm.poll(request_id).status_code for _ in range(3)] == [404, 404, 200]


def test_a_status_flaps_and_then_shows_the_real_one(crm, sandbox):
    sandbox.fault("flap", polls=3, statuses=["In-Queue", "ERROR"])
    request_id = crm.submit(LEAD)
    sandbox.advance(1)
    assert [crm.task(request_id)["Status"] for _ in range(4)] == ["In-Queue", "ERROR", "In-Queue", "Success"]


# Which calls a fault affects


def test_the_next_calls_only(crm, sandbox):
    sandbox.fault("gateway", calls=2)
    assert [submit(crm).status_code for _ in range(4)] == [504, 504, 200, 200]


def test_calls_on_one_endpoint_only(crm, sandbox):
    sandbox.fault("gateway", endpoint="sync_capture")
    assert submit(crm).status_code == 200
    assert crm.post(SYNC, LEAD).status_code == 504


def test_one_lead_only_and_the_polls_of_its_request(crm, sandbox):
    mine, other = crm.submit(LEAD), crm.submit({"EmailAddress": "other@example.org"})
    sandbox.fault("gateway", attribute="EmailAddress", value="meera@example.org")
    assert [crm.poll(mine).status_code, crm.poll(other).status_code] == [504, 200]


def test_a_share_of_calls_is_the_same_for_the_same_seed(crm, sandbox):
    runs = []
    for _ in range(2):
        fault = sandbox.fault("gateway", share=0.5, seed=7)
        runs.append([crm.get("/lead/metrics").status_code for _ in range(20)])
        sandbox.clear_faults(fault)
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 504}


def test_faults_of_different_stages_take_effect_together(crm, sandbox):
    for kind in ("system_errors", "hidden", "lost_response"):
        sandbox.fault(kind, calls=1)
    with pytest.raises(requests.ConnectionError):
        submit(crm)
    assert sandbox.posts()[0]["faults"] == ["system_errors", "hidden", "lost_response"]


def test_of_several_faults_of_one_stage_the_first_takes_effect(crm, sandbox):
    sandbox.fault("gateway", calls=1)
    sandbox.fault("unavailable", calls=1)
    assert [submit(crm).status_code for _ in range(3)] == [504, 503, 200]


def test_a_condition_of_null_is_no_condition(crm, sandbox):
    sandbox.fault("gateway", endpoint=None, attribute=None, value=None, skip=None, calls=None, share=None, seed=None)
    assert submit(crm).status_code == 504


def test_a_fault_counts_the_calls_it_affected(crm, sandbox):
    sandbox.fault("gateway", calls=5)
    submit(crm)
    assert [(fault["affected"], fault["calls"]) for fault in sandbox.faults()] == [(1, 4)]


def test_cleared_faults_have_no_effect(crm, sandbox):
    sandbox.fault("gateway")
    sandbox.clear_faults()
    assert submit(crm).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "nope"},
        {"kind": "gateway", "http": 418},
        {"kind": "error", "http": 9999},
        {"kind": "gateway", "nope": 1},
        {"kind": "gateway", "endpoint": "nope"},
        {"kind": "gateway", "calls": "two"},
        {"kind": "gateway", "calls": True},
        {"kind": "gateway", "attribute": "EmailAddress"},
        {"kind": "gateway", "share": 1.5},
        {"kind": "flap", "statuses": [1]},
        {"kind": "flap", "statuses": []},
        {"kind": "slow", "seconds": -1},
    ],
)
def test_a_wrong_fault_is_an_error(sandbox, wrong):
    with pytest.raises(ValueError):  # noqa: PT011 - each has another message
        sandbox.fault(**wrong)
