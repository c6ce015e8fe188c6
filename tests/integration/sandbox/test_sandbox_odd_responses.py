"""Responses as servers in between, and LeadSquared itself, may send them although no document shows them."""

from __future__ import annotations

import json
import socket
import time
from email.utils import parsedate_to_datetime

import pytest
import requests

from airflow_provider_leadsquared.sandbox.alterations import number_of

LEAD = {"EmailAddress": "meera@example.org"}


def submit(crm, lead=LEAD):
    return crm.post("/lead/capture", lead)


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


# Retry-After


def retry_after(crm, sandbox, form):
    sandbox.fault("retry_after", form=form, seconds=40)
    sandbox.fault("unavailable")
    response = submit(crm)
    assert response.status_code == 503
    return response.headers["Retry-After"], response.headers["Date"]


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("seconds", "40"),
        ("zero", "0"),
        ("negative", "-40"),
        ("fraction", "40.5"),
        ("huge", "9" * 30),
        ("garbage", "soon"),
        ("far_date", "Fri, 31 Dec 9999 23:59:59 GMT"),
    ],
)
def test_retry_after_in_forms_of_a_fixed_text(crm, sandbox, form, value):
    assert retry_after(crm, sandbox, form)[0] == value


@pytest.mark.parametrize(("form", "seconds"), [("date", 40), ("past_date", -40)])
@pytest.mark.parametrize("offset", [0, -3600])
def test_retry_after_as_a_date_counts_from_the_date_header(crm, sandbox, form, seconds, offset):
    sandbox.switch(date_offset=offset)
    value, date = retry_after(crm, sandbox, form)
    assert (parsedate_to_datetime(value) - parsedate_to_datetime(date)).total_seconds() == pytest.approx(seconds, abs=1)


def test_times_that_no_header_can_hold_become_the_last_one_it_can(crm, sandbox):
    sandbox.switch(date_offset=1e20)
    sandbox.fault("retry_after", form="date", seconds=10**30)
    headers = submit(crm).headers
    assert (headers["Date"], headers["Retry-After"]) == ("Fri, 31 Dec 9999 23:59:59 GMT",) * 2


def test_retry_after_comes_with_the_accounts_own_call_limit_too(crm, sandbox):
    sandbox.switch(rate_limit=1, rate_limit_async=True)
    sandbox.fault("retry_after", skip=1)
    assert [submit(crm).headers.get("Retry-After") for _ in range(2)] == [None, "30"]


# The Date header


@pytest.mark.parametrize("offset", [3600, -3600])
def test_the_date_header_is_ahead_or_behind_by_switch(crm, sandbox, offset):
    sandbox.switch(date_offset=offset)
    date = parsedate_to_datetime(submit(crm).headers["Date"]).timestamp()
    assert date - time.time() == pytest.approx(offset, abs=5)


def test_the_date_header_shows_sandbox_time_by_switch(crm, sandbox):
    sandbox.switch(date_header="sandbox")
    sandbox.advance(40_000)
    assert parsedate_to_datetime(submit(crm).headers["Date"]).timestamp() == sandbox.now()


def test_there_is_no_date_header_by_switch(crm, sandbox):
    sandbox.switch(date_header="missing")
    assert "Date" not in submit(crm).headers


# Responses in LeadSquared's place


@pytest.mark.parametrize("http", [200, 202, 400, 404, 407, 413, 502])
def test_an_html_page_with_any_code(crm, sandbox, http):
    sandbox.fault("html_page", http=http)
    response = submit(crm)
    assert (response.status_code, response.headers["Content-Type"]) == (http, "text/html")
    assert f"<h1>{http} " in response.text
    assert sandbox.requests() == []


@pytest.mark.parametrize("http", [301, 302, 303, 307, 308])
def test_a_redirect(crm, sandbox, http):
    sandbox.fault("redirect", http=http, location="https://portal.example.org/")
    crm.http.max_redirects = 0
    with pytest.raises(requests.TooManyRedirects) as caught:
        submit(crm)
    response = caught.value.response
    assert response is not None
    assert (response.status_code, response.headers["Location"]) == (http, "https://portal.example.org/")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "html_page", "http": 404},
        {"kind": "html_page", "http": 413},
        {"kind": "gateway", "http": 400},
        {"kind": "gateway", "http": 404},
        {"kind": "gateway", "http": 413},
        {"kind": "error", "http": 500, "exception": "MXServiceException"},
        {"kind": "error", "http": 500, "exception": ""},
    ],
)
def test_status_calls_fail_as_a_whole_and_submissions_do_not(crm, sandbox, captured, fault):
    sandbox.fault(**fault, endpoint="status")
    assert submit(crm).status_code == 200
    response = crm.poll(captured)
    assert response.status_code == fault["http"]
    assert captured not in response.text


def test_an_error_without_a_type(crm, sandbox):
    sandbox.fault("error", exception="", message="Sorry")
    assert submit(crm).json() == {"Status": "Error", "ExceptionMessage": "Sorry"}


# One RequestId for several rows


@pytest.mark.parametrize(("accepted", "requests_made"), [(True, 3), (False, 1)])
def test_several_submissions_get_the_request_id_of_the_first(crm, sandbox, accepted, requests_made):
    sandbox.fault("repeated_request_id", accepted=accepted)
    ids = {crm.submit({"FirstName": str(number)}) for number in range(3)}
    assert ids == {sandbox.requests()[0]["request_id"]}
    assert len(sandbox.requests()) == requests_made


def test_one_submission_gets_the_request_id_of_the_one_before(crm, sandbox):
    sandbox.fault("repeated_request_id", skip=2, calls=1)
    ids = [crm.submit({"FirstName": str(number)}) for number in range(4)]
    assert [ids.index(one) for one in ids] == [0, 1, 1, 3]


# Other codes, other forms


@pytest.mark.parametrize(("body", "is_kept"), [("kept", True), ("empty", False)])
def test_an_accepted_submission_with_another_code(crm, sandbox, body, is_kept):
    sandbox.fault("other_code", http=202, body=body)
    response = submit(crm)
    assert response.status_code == 202
    assert bool(response.content) == is_kept
    assert len(sandbox.requests()) == 1


def test_another_code_does_not_hide_a_refusal(crm, sandbox):
    sandbox.fault("other_code")
    assert crm.post("/lead/capture", LEAD, secretKey="wrong").status_code == 401


@pytest.mark.parametrize(("form", "kind"), [("upper", str), ("number", int), ("text", str), ("uuid", str)])
def test_request_ids_have_the_form_of_the_switch_everywhere(crm, sandbox, form, kind):
    sandbox.switch(request_id_form=form)
    request_id = submit(crm).json()["RequestID"]
    assert type(request_id) is kind
    assert crm.poll(request_id).json()["RequestId"] == request_id
    assert sandbox.requests()[0]["request_id"] == str(request_id)
    assert (str(request_id).count("-") == 4) == (form in ("uuid", "upper"))


def test_a_request_id_that_is_a_text_needs_encoding_in_a_url(crm, sandbox):
    sandbox.switch(request_id_form="text")
    assert set("/+=") <= set(crm.submit(LEAD))


@pytest.mark.parametrize(
    ("shape", "keys"),
    [("bom", ["Status", "RequestID"]), ("other_id_key", ["Status", "RequestId"]), ("no_status", ["RequestID"])],
)
def test_a_receipt_in_another_form_still_has_the_id(crm, sandbox, shape, keys):
    sandbox.fault("odd_receipt", shapes=[shape])
    content = submit(crm).content
    assert content.startswith(b"\xef\xbb\xbf") == (shape == "bom")
    receipt = json.loads(content.decode("utf-8-sig"))
    assert list(receipt) == keys
    assert sandbox.requests()[0]["request_id"] in receipt.values()


def odd_task(crm, sandbox, request_id, *shapes):
    sandbox.fault("odd_status", shapes=list(shapes))
    content = crm.poll(request_id).content
    assert content.startswith(b"\xef\xbb\xbf") == ("bom" in shapes)
    return json.loads(content.decode("utf-8-sig"))["TaskStatus"]


def odd_details(crm, sandbox, request_id, *shapes):
    return json.loads(odd_task(crm, sandbox, request_id, *shapes)["Message"])["Message"]


@pytest.mark.parametrize(
    ("shape", "created", "updated"),
    [
        ("is_created_text", "true", "false"),
        ("is_created_capital", "True", "False"),
        ("is_created_digit", "1", "0"),
        ("is_created_number", 1, 0),
    ],
)
def test_is_created_in_other_types(crm, sandbox, captured, shape, created, updated):
    again = crm.submit(LEAD)
    sandbox.advance(1)
    shown = [odd_details(crm, sandbox, one, shape)["IsCreated"] for one in (captured, again)]
    assert shown == [created, updated]
    assert [type(one) for one in shown] == [type(created), type(updated)]


def test_ids_as_numbers(crm, sandbox, captured):
    details = odd_details(crm, sandbox, captured, "number_ids")
    assert details["RelatedId"] == number_of(sandbox.leads()[0]["id"])
    assert isinstance(details["Id"], int)


def test_a_message_that_is_encoded_twice(crm, sandbox, captured):
    message = odd_task(crm, sandbox, captured, "encoded_twice")["Message"]
    assert json.loads(json.loads(message))["Message"]["IsCreated"] is True


def test_a_message_with_a_byte_order_mark(crm, sandbox, captured):
    message = odd_task(crm, sandbox, captured, "message_bom")["Message"]
    assert json.loads(message.removeprefix("\ufeff"))["Status"] == "Success"
    assert message.startswith("\ufeff")


def test_shapes_combine(crm, sandbox, captured):
    message = odd_task(crm, sandbox, captured, "bom", "is_created_digit", "number_ids", "encoded_twice")["Message"]
    details = json.loads(json.loads(message))["Message"]
    assert (details["IsCreated"], type(details["RelatedId"])) == ("1", int)


def test_types_change_in_a_message_that_is_an_object_too(crm, sandbox, captured):
    sandbox.switch(status_message="object")
    assert odd_task(crm, sandbox, captured, "is_created_number")["Message"]["Message"]["IsCreated"] == 1


@pytest.mark.parametrize("shape", ["failure", "inner"])
def test_a_rejection_inside_a_success(crm, sandbox, rejected, shape):
    sandbox.switch(rejection_shape=shape)
    task = odd_task(crm, sandbox, rejected, "inner_failure")
    inner = json.loads(task["Message"])
    assert (task["Status"], inner["Status"], inner["ExceptionType"]) == (
        "Success",
        "Failure",
        "MXUnknownAttributeException",
    )


def test_shapes_of_a_rejection_combine_too(crm, sandbox, rejected):
    message = odd_task(crm, sandbox, rejected, "inner_failure", "encoded_twice", "message_bom")["Message"]
    assert json.loads(json.loads(message.removeprefix("\ufeff")))["Status"] == "Failure"


@pytest.mark.parametrize(
    ("shape", "begins"), [("reason_in_message", '{"Status":"Error"'), ("reason_as_text", "MXUnknownAttribute")]
)
def test_a_reason_that_is_in_the_message_only(crm, sandbox, rejected, shape, begins):
    task = odd_task(crm, sandbox, rejected, shape)
    assert (task["Status"], task["StatusReason"]) == ("FAILURE", None)
    assert task["Message"].startswith(begins)


@pytest.mark.parametrize("shape", ["inner_failure", "reason_in_message", "reason_as_text"])
def test_a_lead_that_was_created_is_never_shown_as_rejected(crm, sandbox, captured, shape):
    task = odd_task(crm, sandbox, captured, shape)
    assert json.loads(task["Message"])["Message"]["IsCreated"] is True


def test_a_rejection_keeps_its_reason_if_only_types_change(crm, sandbox, rejected):
    task = odd_task(crm, sandbox, rejected, "is_created_text")
    assert task["StatusReason"].startswith("MXUnknownAttributeException")


def test_an_unknown_request_has_no_odd_message(crm, sandbox):
    sandbox.fault("odd_status", shapes=["is_created_text"])
    assert crm.poll("nobody").status_code == 404


def test_a_request_that_is_not_settled_has_no_odd_message(crm, sandbox):
    task = odd_task(crm, sandbox, crm.submit(LEAD), "is_created_text", "inner_failure")
    assert (task["Status"], task["Message"]) == ("In-Queue", None)


def test_a_request_that_failed_after_all_retries_has_no_odd_message(crm, sandbox):
    sandbox.fault("system_errors", count=11)
    request_id = crm.submit(LEAD)
    sandbox.advance(40_000)
    task = odd_task(crm, sandbox, request_id, "is_created_text", "inner_failure", "encoded_twice")
    assert (task["Status"], task["Message"]) == ("ERROR", None)


def test_a_flapping_status_has_no_odd_message(crm, sandbox):
    sandbox.fault("flap", polls=1, statuses=["Success"])
    request_id = crm.submit(LEAD)
    sandbox.advance(1)
    assert odd_task(crm, sandbox, request_id, "is_created_text")["Message"] is None


# Connections


def connections(crm, number):
    """Return the local ports from which a number of calls were made one after another."""
    ports = []
    for _ in range(number):
        response = crm.http.post(
            crm.sandbox.url + "/lead/capture", params=crm.pair, json=[], headers=crm.api_key, stream=True, timeout=5
        )
        ports.append(response.raw.connection.sock.getsockname()[1])
        assert response.json()["RequestID"]
    return ports


def test_connections_stay_open_without_the_fault(crm):
    assert len(set(connections(crm, 3))) == 1


def test_a_connection_is_closed_after_each_response_without_a_word(sandbox):
    sandbox.fault("close_connection")
    call = f"GET /lead/metrics HTTP/1.1\r\nHost: x\r\nx-api-key: {sandbox.api_key}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=5) as client:
        client.sendall(call)
        received = b"".join(iter(lambda: client.recv(4096), b""))  # until the sandbox closes the connection
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b"PendingMessages" in received
    assert b"connection:" not in received.lower()


def test_a_connection_is_closed_after_a_response_that_says_so(crm, sandbox):
    sandbox.fault("close_connection", when="announced")
    assert [submit(crm).headers["Connection"] for _ in range(2)] == ["close", "close"]


def test_a_connection_is_reset_at_the_next_call_which_is_not_processed(crm, sandbox):
    sandbox.fault("close_connection", when="at_next_call", calls=1)
    assert submit(crm).status_code == 200
    with pytest.raises(requests.ConnectionError):
        submit(crm)
    assert submit(crm).status_code == 200
    assert [(post["http"], post["faults"]) for post in sandbox.posts()] == [
        (200, ["close_connection"]),
        (None, ["close_connection"]),
        (200, []),
    ]
    assert len(sandbox.requests()) == 2
