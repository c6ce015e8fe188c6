"""Responses: every spelling and shape that LeadSquared is known to send, or may send."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_leadsquared.api import requests, responses
from airflow_provider_leadsquared.api.account import Account
from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.confirmations import Confirmation
from airflow_provider_leadsquared.api.errors import (
    ApiError,
    AuthenticationError,
    NoSuchPathError,
    RateLimitError,
    RejectedError,
    ServerError,
    UnexpectedResponseError,
    UnknownRequestError,
    WrongRegionError,
)
from airflow_provider_leadsquared.api.leads import encode_lead
from airflow_provider_leadsquared.api.requests import Response
from airflow_provider_leadsquared.api.responses import LeadField, QueueMetrics, RequestState, RequestStatus

ACCOUNT = Account.from_settings(
    host=None,
    access_key="u$r" + "a1" * 16,
    secret_key="b2" * 20,
    extra={"region": "in21", "async_api_key": "C3" * 20},
)
LEAD = encode_lead({"EmailAddress": "meera.iyer@example.org", "FirstName": "Meera", "mx_City": "Pune"})
ID = "9d0f4b52-0000-4000-8000-00000000000c"
LEAD_ID, ACTIVITY_ID = "2c8e1f77-0000-4000-8000-00000000000b", "0b5a6d9e-0000-4000-8000-00000000000a"

SUBMIT, CAPTURE = requests.submit(ACCOUNT, LEAD_CAPTURE, LEAD.body), requests.capture_lead(ACCOUNT, LEAD.body)
STATUS, METRICS = requests.get_status(ACCOUNT, LEAD_CAPTURE, ID), requests.get_metrics(ACCOUNT, LEAD_CAPTURE)
FIELDS, USER = requests.list_lead_fields(ACCOUNT), requests.identify_user(ACCOUNT)


def _response(body: Any, code: int = 200) -> Response:
    return Response(code, body if isinstance(body, bytes) else json.dumps(body).encode(), "application/json")


def _read_receipt(body: Any, code: int = 200) -> Any:
    return responses.read_receipt(SUBMIT, _response(body, code))


def _read_capture(body: Any, code: int = 200) -> Any:
    return responses.read_capture(CAPTURE, _response(body, code))


def _read_status(body: Any, code: int = 200) -> RequestStatus:
    return responses.read_status(STATUS, _response(body, code), ID, LEAD_CAPTURE)


def _read_metrics(body: Any, code: int = 200) -> Any:
    return responses.read_metrics(METRICS, _response(body, code))


def _read_fields(body: Any, code: int = 200) -> Any:
    return responses.read_lead_fields(FIELDS, _response(body, code))


def _read_facts(body: Any, code: int = 200) -> responses.AccountFacts:
    return responses.read_account_facts(USER, _response(body, code))


def _read_host(body: Any, code: int = 200) -> Any:
    return _read_facts(body, code).host


READERS = [_read_receipt, _read_capture, _read_status, _read_metrics, _read_fields, _read_host]
CALL_READERS = [reader for reader in READERS if reader is not _read_status]

CAPTURED: dict[str, Any] = {
    "Status": "Success",
    "Message": {"Id": ACTIVITY_ID, "RelatedId": LEAD_ID, "IsCreated": True},
}
DUPLICATE = {
    "Status": "Error",
    "ExceptionType": "MXDuplicateEntryException",
    "ExceptionMessage": "Duplicate entry 'meera.iyer@example.org' for key 'UQ_Prospect_Base_EmailAddress'",
}


def _task(status: Any = "Success", *, id_name: str = "RequestId", **changes: Any) -> dict[str, Any]:
    """Write a status response as LeadSquared's page has it."""
    task = {
        "TaskType": "Lead Capture",
        "Status": status,
        "StatusReason": "Request was successfully completed",
        "TaskCurrentStep": None,
        "TaskLastStep": "In-Process-Queue",
        "RequestBody": LEAD.body.decode(),
        "Message": json.dumps(CAPTURED) if status == "Success" else None,
        **changes,
    }
    return {id_name: ID, "TaskStatus": task}


# --- acceptance ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["RequestID", "RequestId", "requestid", "REQUESTID"])
def test_a_request_id_is_an_acceptance_however_its_name_is_spelled(name):
    body = {"Status": "Request accepted. Please use below request id to check the status", name: ID}
    assert _read_receipt(body).request_id == ID


def test_the_sentence_beside_a_request_id_decides_nothing():
    assert _read_receipt({"RequestID": ID, "Status": "anything"}).request_id == ID


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Status": "Request accepted"},
        {"RequestID": None},
        {"RequestID": ""},
        {"RequestID": " "},
        {"RequestID": True},
        {"RequestID": 5.5},
        {"RequestID": [ID]},
        {"RequestID": f"{ID}\n"},
        {"RequestID": "\x00"},
        {"RequestID": "\ud800"},
        {"RequestID": "x" * 101},
        [ID],
        ID,
        None,
    ],
)
def test_a_200_without_a_request_id_is_no_acceptance(body):
    with pytest.raises(UnexpectedResponseError, match="without a RequestId"):
        _read_receipt(body)


@pytest.mark.parametrize("request_id", ["two words", "AB/12#é?&", "x" * 100, "5", ID.upper()])
def test_any_printable_text_is_a_request_id(request_id):
    assert _read_receipt({"RequestID": request_id}).request_id == request_id


def test_a_request_id_may_be_a_number():
    assert _read_receipt({"RequestID": 12345}).request_id == "12345"


@pytest.mark.parametrize("code", [200, 201, 202])
def test_a_request_id_is_an_acceptance_with_any_code_that_says_yes(code):
    assert _read_receipt({"RequestID": ID}, code).request_id == ID


@pytest.mark.parametrize("code", [202, 204])
def test_a_code_that_says_yes_without_a_request_id_is_no_acceptance(code):
    with pytest.raises(UnexpectedResponseError):
        _read_receipt(b"", code)


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + json.dumps({"RequestID": ID}).encode(),
        json.dumps(json.dumps({"RequestID": ID})).encode(),
        json.dumps({"RequestID": ID}).encode("utf-16"),
    ],
    ids=["BOM", "encoded twice", "UTF-16"],
)
def test_an_acceptance_is_read_in_other_encodings(body):
    assert _read_receipt(body).request_id == ID


# --- capture ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("created", [True, False])
def test_a_capture_tells_lead_activity_and_whether_it_is_new(created):
    body = {"Status": "Success", "Message": {"Id": ACTIVITY_ID, "RelatedId": LEAD_ID, "IsCreated": created}}
    assert _read_capture(body) == Confirmation(LEAD_ID, ACTIVITY_ID, created)


@pytest.mark.parametrize("activity", [{}, {"Id": None}, {"Id": ""}])
def test_a_capture_without_an_activity_is_a_capture(activity):
    body = {"Status": "Success", "Message": {"RelatedId": LEAD_ID, "IsCreated": True, **activity}}
    assert _read_capture(body) == Confirmation(LEAD_ID, None, True)


def test_the_message_of_a_capture_may_be_json_inside_a_string():
    assert _read_capture({**CAPTURED, "Message": json.dumps(CAPTURED["Message"])}).lead_id == LEAD_ID


@pytest.mark.parametrize(
    "body",
    [
        {"Status": "Success"},
        {"Status": "Success", "Message": None},
        {"Status": "Success", "Message": "done"},
        {"Status": "Success", "Message": {"Id": ACTIVITY_ID}},
        {"Status": "Success", "Message": {"RelatedId": "", "IsCreated": True}},
        {"Status": "Success", "Message": {"RelatedId": LEAD_ID, "IsCreated": "yes"}},
        {"Status": "Maybe", "Message": CAPTURED["Message"]},
        [],
        None,
    ],
)
def test_a_200_that_names_no_lead_is_no_capture(body):
    with pytest.raises(UnexpectedResponseError, match="without the captured lead"):
        _read_capture(body)


# --- status: what is read -----------------------------------------------------------------------------------------

SUCCEEDED = RequestStatus(ID, RequestState.SUCCEEDED, Confirmation(LEAD_ID, ACTIVITY_ID, True))


@pytest.mark.parametrize("name", ["RequestId", "RequestID", "requestId"])
def test_a_status_is_read_however_its_id_is_spelled(name):
    assert _read_status(_task(id_name=name)) == SUCCEEDED


def test_a_status_may_leave_its_id_out():
    assert _read_status({"TaskStatus": _task()["TaskStatus"]}) == SUCCEEDED


def test_a_status_may_echo_its_id_in_capitals():
    assert _read_status({**_task(), "RequestId": ID.upper()}) == SUCCEEDED


def test_names_inside_a_status_are_read_in_any_case():
    lowered = {name.lower(): value for name, value in _task()["TaskStatus"].items()}
    assert _read_status({"taskstatus": lowered}) == SUCCEEDED


@pytest.mark.parametrize(
    "message", [json.dumps(CAPTURED), CAPTURED, {**CAPTURED, "Message": json.dumps(CAPTURED["Message"])}]
)
def test_the_message_may_be_a_string_an_object_or_a_string_inside(message):
    assert _read_status(_task(Message=message)) == SUCCEEDED


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("In-Queue", RequestState.QUEUED),
        ("IN-QUEUE", RequestState.QUEUED),
        (" in-queue ", RequestState.QUEUED),
        ("Queued", RequestState.QUEUED),
        ("FAILURE", RequestState.FAILED),
        ("Failure", RequestState.FAILED),
        ("failed", RequestState.FAILED),
        ("ERROR", RequestState.ERROR),
        ("Error ", RequestState.ERROR),
        ("In-Process-Queue", RequestState.UNKNOWN),
        ("Processing", RequestState.UNKNOWN),
        ("UNKNOWN", RequestState.UNKNOWN),
        ("", RequestState.UNKNOWN),
        (None, RequestState.UNKNOWN),
    ],
)
def test_a_status_word_is_read_in_any_case_and_by_its_aliases(word, state):
    assert _read_status(_task(word)).state is state


@pytest.mark.parametrize("word", ["Success", "SUCCESS", " success", "Completed", "COMPLETED"])
def test_a_success_is_read_in_any_case_and_by_its_alias(word):
    assert _read_status(_task(word, Message=json.dumps(CAPTURED))) == SUCCEEDED


def test_a_status_without_its_word_is_not_taken_for_an_end():
    assert _read_status({"RequestId": ID, "TaskStatus": {}}).state is RequestState.UNKNOWN


@pytest.mark.parametrize(
    "message", [None, "", "done", "[]", "5", "null", {}, {"Status": "Success"}, {"Status": "Success", "Message": {}}]
)
def test_an_outer_success_alone_is_no_success(message):
    status = _read_status(_task(Message=message))
    assert (status.state, status.confirmation, bool(status.reason)) == (RequestState.UNKNOWN, None, True)


@pytest.mark.parametrize("wrap", [json.dumps, dict], ids=["string", "object"])
def test_an_inner_error_outranks_the_outer_success(wrap):
    status = _read_status(_task(Message=wrap(DUPLICATE)))
    assert (status.state, status.confirmation, status.exception_type) == (
        RequestState.FAILED,
        None,
        "MXDuplicateEntryException",
    )


@pytest.mark.parametrize(
    "inner",
    [
        {"Status": "Error", "Message": CAPTURED["Message"]},
        {"Status": " error ", "Message": "no"},
        {**CAPTURED, "ExceptionType": "MXDuplicateEntryException"},
        {"ExceptionType": "NullReferenceException"},
    ],
)
def test_every_sign_of_an_inner_error_is_one(inner):
    assert _read_status(_task(Message=json.dumps(inner))).state is RequestState.FAILED


def test_the_reason_of_an_inner_error_is_masked():
    assert (
        _read_status(_task(Message=json.dumps(DUPLICATE))).reason
        == "Duplicate entry '***' for key 'UQ_Prospect_Base_EmailAddress'"
    )


@pytest.mark.parametrize("status", ["FAILURE", "ERROR"])
@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        (
            "MXUnknownAttributeException: Attribute(s) does not exist - mx_Nope.",
            "MXUnknownAttributeException",
            "Attribute(s) does not exist - mx_Nope.",
        ),
        (
            "Request failed with MXInvalidInputException",
            "MXInvalidInputException",
            "Request failed with MXInvalidInputException",
        ),
        ("NullReferenceException: Object reference", "NullReferenceException", "Object reference"),
        (
            "System.NullReferenceException: Object",
            "NullReferenceException",
            "System.NullReferenceException: Object",
        ),
        (
            "TargetInvocationException, inner MXDuplicateEntryException: taken",
            "MXDuplicateEntryException",
            "TargetInvocationException, inner MXDuplicateEntryException: taken",
        ),
        ("The database could not be reached", None, "The database could not be reached"),
        ("", None, ""),
        (None, None, ""),
    ],
)
def test_class_and_reason_of_a_failure_come_from_its_text(status, text, kind, reason):
    status = _read_status(_task(status, StatusReason=text))
    assert (status.exception_type, status.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("kind", "is_application_error"),
    [("MXDuplicateEntryException", True), ("NullReferenceException", False), (None, False)],
)
def test_an_exception_that_begins_with_mx_is_an_application_error(kind, is_application_error):
    assert RequestStatus(ID, RequestState.FAILED, exception_type=kind).is_application_error is is_application_error


@pytest.mark.parametrize("message", ["[]", "true", "12", "no json", "{"])
def test_a_failure_is_read_whatever_its_message_holds(message):
    assert _read_status(_task("FAILURE", Message=message)).state is RequestState.FAILED


@pytest.mark.parametrize(
    ("value", "created"),
    [(True, True), (False, False), (1, True), (0, False), (1.0, True)]
    + [(text, True) for text in ("true", "True", "TRUE", " true ", "1")]
    + [(text, False) for text in ("false", "False", "0")],
)
def test_is_created_may_be_a_text_or_a_number(value, created):
    message = {**CAPTURED, "Message": {**CAPTURED["Message"], "IsCreated": value}}
    assert _read_status(_task(Message=json.dumps(message))).confirmation == Confirmation(LEAD_ID, ACTIVITY_ID, created)


@pytest.mark.parametrize("value", ["yes", "", None, 2, [], {}])
def test_another_is_created_is_no_yes(value):
    message = {**CAPTURED, "Message": {**CAPTURED["Message"], "IsCreated": value}}
    assert _read_status(_task(Message=json.dumps(message))).state is RequestState.UNKNOWN


@pytest.mark.parametrize(("lead", "activity"), [(4711, 7), (4711.0, 7.0)])
def test_ids_may_be_numbers(lead, activity):
    message = {"Status": "Success", "Message": {"Id": activity, "RelatedId": lead, "IsCreated": True}}
    assert _read_status(_task(Message=message)).confirmation == Confirmation("4711", "7", True)


@pytest.mark.parametrize("activity", [[], {}, True, "x" * 200])
def test_an_odd_activity_id_is_no_reason_to_doubt_the_lead(activity):
    message = {"Status": "Success", "Message": {"Id": activity, "RelatedId": LEAD_ID, "IsCreated": True}}
    confirmation = _read_status(_task(Message=message)).confirmation
    assert confirmation is not None
    assert confirmation.lead_id == LEAD_ID


@pytest.mark.parametrize("lead_id", [True, "", " ", None, "x" * 101, 10**101])
def test_without_a_lead_id_there_is_no_yes(lead_id):
    message = {"Status": "Success", "Message": {"Id": 7, "RelatedId": lead_id, "IsCreated": True}}
    assert _read_status(_task(Message=message)).state is RequestState.UNKNOWN


@pytest.mark.parametrize(
    "encode",
    [
        lambda message: json.dumps(json.dumps(message)),
        lambda message: "\ufeff" + json.dumps(message),
        lambda message: json.dumps({**message, "Message": json.dumps(json.dumps(message["Message"]))}),
    ],
    ids=["twice", "BOM", "twice inside"],
)
def test_the_message_may_be_encoded_once_more_or_begin_with_a_bom(encode):
    assert _read_status(_task(Message=encode(CAPTURED))) == SUCCEEDED


def test_a_message_that_is_encoded_without_end_is_no_confirmation():
    text = json.dumps(CAPTURED)
    for _ in range(5):
        text = json.dumps(text)
    assert _read_status(_task(Message=text)).confirmation is None


def test_the_task_may_be_json_inside_a_string():
    task = _task()
    assert _read_status({**task, "TaskStatus": json.dumps(task["TaskStatus"])}) == SUCCEEDED


def test_the_whole_status_may_be_json_inside_a_string_and_begin_with_a_bom():
    assert _read_status(b"\xef\xbb\xbf" + json.dumps(json.dumps(_task())).encode()) == SUCCEEDED


def test_a_status_may_come_with_another_code_that_says_yes():
    assert _read_status(_task(), 202) == SUCCEEDED


@pytest.mark.parametrize("word", ["Failure", "FAILED", "failure "])
def test_an_inner_failure_is_a_failure(word):
    inner = {"Status": word, "Message": "MXInvalidInputException: no such owner"}
    status = _read_status(_task(Message=json.dumps(inner)))
    assert (status.state, status.exception_type, status.reason) == (
        RequestState.FAILED,
        "MXInvalidInputException",
        "no such owner",
    )


@pytest.mark.parametrize("reason", [None, "", " ", {}, [], 5])
@pytest.mark.parametrize(
    "message",
    [
        "MXInvalidInputException: no such owner",
        {"Status": "Error", "ExceptionType": "MXInvalidInputException", "ExceptionMessage": "no such owner"},
        json.dumps({"ExceptionType": "MXInvalidInputException", "ExceptionMessage": "no such owner"}),
        {"Status": "Error", "Message": {"Message": "MXInvalidInputException: no such owner"}},
    ],
)
def test_a_reason_that_stands_in_the_message_only_is_kept(reason, message):
    status = _read_status(_task("FAILURE", StatusReason=reason, Message=message))
    assert (status.state, status.exception_type, status.reason) == (
        RequestState.FAILED,
        "MXInvalidInputException",
        "no such owner",
    )


def test_a_reason_may_be_an_object():
    reason = {"ExceptionMessage": "MXInvalidInputException: no such owner"}
    assert _read_status(_task("FAILURE", StatusReason=reason)).exception_type == "MXInvalidInputException"


@pytest.mark.parametrize("message", [5, [], True, [{"Status": "Success"}]])
def test_a_message_of_an_odd_type_hides_no_failure(message):
    assert _read_status(_task("FAILURE", StatusReason="refused", Message=message)).reason == "refused"


def test_a_request_id_that_is_a_number_is_echoed_as_one():
    response = _response({**_task(), "RequestId": 12345})
    assert responses.read_status(STATUS, response, "12345", LEAD_CAPTURE).state is RequestState.SUCCEEDED


# --- texts are fit to be kept -------------------------------------------------------------------------------------

UNFIT = "\x00\x07\x1b\x85\udfff\ud800"


@pytest.mark.parametrize("shape", ["reason", "message", "inner"])
def test_a_reason_holds_nothing_that_a_database_or_a_log_cannot_hold(shape):
    text = f"refused{UNFIT}\nforged line"
    task = {
        "reason": _task("FAILURE", StatusReason=text),
        "message": _task("FAILURE", StatusReason=None, Message={"Status": "Error", "Message": text}),
        "inner": _task(Message=json.dumps({"Status": "Error", "Message": text})),
    }[shape]
    reason = _read_status(task).reason
    assert reason.startswith("refused")
    assert reason.endswith("forged line")
    assert reason.replace("\ufffd", "?").isprintable()
    reason.encode()


def test_the_reason_of_a_refused_submission_is_clean():
    body = {"Status": "Error", "ExceptionType": "MXInvalidInputException", "ExceptionMessage": f"no{UNFIT}"}
    with pytest.raises(RejectedError) as caught:
        _read_receipt(body, 500)
    assert caught.value.reason.replace("\ufffd", "?").isprintable()


def test_a_lead_id_is_clean():
    message = {"Status": "Success", "Message": {"RelatedId": f"a{UNFIT}b", "IsCreated": True}}
    confirmation = _read_status(_task(Message=message)).confirmation
    assert confirmation is not None
    assert confirmation.lead_id.replace("\ufffd", "?").isprintable()


def test_names_and_options_of_fields_are_clean():
    field = {"SchemaName": f"mx_A{UNFIT}", "DisplayName": f"A{UNFIT}", "DataType": "Select"}
    (read,) = _read_fields([field | {"Options": [{"Value": f"x{UNFIT}"}]}])
    for text in (read.schema_name, read.display_name, *read.options):
        assert text.replace("\ufffd", "?").isprintable()


def test_a_value_that_holds_a_control_character_is_masked_all_the_same():
    lead = [{"Attribute": "mx_Note", "Value": "Meera\x00Iyer"}]
    status = _read_status(_task("FAILURE", StatusReason="no Meera\x00Iyer here", RequestBody=json.dumps(lead)))
    assert status.reason == "no *** here"


def test_the_values_of_a_lead_that_is_encoded_twice_are_masked():
    echo = json.dumps(LEAD.body.decode())
    assert _read_status(_task("FAILURE", StatusReason="Meera is refused", RequestBody=echo)).reason == "*** is refused"


@pytest.mark.parametrize("shift", range(0, 20, 3))
@pytest.mark.parametrize("count", [25, 26, 52, 53, 210, 211, 3_000])
def test_no_part_of_a_value_is_left_where_a_long_text_is_cut(count, shift):
    text = f"{'x' * shift} {' '.join(['Meera Iyer of Pune'] * count)}"
    lead = json.dumps([{"Attribute": "mx_Note", "Value": "Meera Iyer of Pune"}])
    reason = _read_status(_task("FAILURE", StatusReason=text, RequestBody=lead)).reason
    assert [word for word in ("Mee", "Iy", "Pun") if word in reason] == []


# --- status: whose values never appear ----------------------------------------------------------------------------


@pytest.mark.parametrize("echo", [LEAD.body.decode(), json.loads(LEAD.body)], ids=["string", "array"])
def test_a_reason_is_masked_by_the_echo_of_the_lead(echo):
    status = _read_status(_task("FAILURE", StatusReason="Meera of Pune is refused", RequestBody=echo))
    assert status.reason == "*** of *** is refused"


def test_a_status_shows_nothing_of_the_echoed_lead():
    status = _read_status(_task("FAILURE", StatusReason="refused"))
    assert [value for value in ("meera", "Meera", "Pune") if value in repr(status)] == []


def test_a_key_that_a_reason_quotes_is_masked():
    reason = f"the keys {ACCOUNT.access_key}, {ACCOUNT.secret_key} and {ACCOUNT.async_api_key} are refused"
    status = _read_status(_task("FAILURE", StatusReason=reason))
    assert status.reason == "the keys ***, *** and *** are refused"


def test_a_key_that_an_error_quotes_is_masked():
    text = f"bad query accessKey={quote(ACCOUNT.access_key, safe='')}, secretKey={ACCOUNT.secret_key}"
    with pytest.raises(RejectedError) as caught:
        _read_receipt({"Status": "Error", "ExceptionType": "MXException", "ExceptionMessage": text}, 500)
    assert caught.value.reason == "bad query accessKey=***, secretKey=***"
    assert not any(key in str(caught.value) for key in (ACCOUNT.access_key, ACCOUNT.secret_key))


def test_what_no_ledger_can_keep_is_replaced_in_leadsquareds_texts():
    failed = _read_status(_task("FAILURE", StatusReason="bad \0 value \ud83d"))
    inner = {"Status": "Success", "Message": {"Id": "a\0", "RelatedId": "l\0\ud83d", "IsCreated": True}}
    confirmed = _read_status(_task("Success", Message=inner)).confirmation
    assert failed.reason == "bad \ufffd value \ufffd"
    assert confirmed is not None
    assert (confirmed.lead_id, confirmed.activity_id) == ("l\ufffd\ufffd", "a\ufffd")


VALUE = st.text(st.characters(categories=["L", "Nd"]), min_size=3, max_size=30)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["FirstName", "LastName", "EmailAddress", "Phone", "mx_A"]), VALUE, min_size=1),
    st.sampled_from(["{} is refused", "Duplicate entry '{}'", "MXInvalidInputException: {}", "a/{}=b", "{}, {}"]),
    st.sampled_from(["FAILURE", "ERROR", "Success"]),
    st.booleans(),
)
def test_no_value_of_a_lead_appears_in_a_reason_that_quotes_it(lead, sentence, status, as_text):
    body = encode_lead(lead).body.decode()
    for value in lead.values():
        text = sentence.replace("{}", value)
        outcome = _read_status(
            _task(
                status,
                StatusReason=text,
                RequestBody=body if as_text else json.loads(body),
                Message={"Status": "Error", "Message": text} if status == "Success" else None,
            )
        )
        assert value not in outcome.reason.replace(sentence.replace("{}", ""), "")


# --- status: what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 404),
        ({"Message": "No HTTP resource was found"}, 404),
        ({}, 200),
        ({"Message": "not found"}, 200),
        ({"message": "Bad Request"}, 400),
        ({"Status": "Error", "Message": "Invalid RequestID"}, 200),
        ({"Status": "Error", "ExceptionType": "MXInvalidInputException", "ExceptionMessage": "x"}, 500),
        ({"Status": "Error", "ExceptionType": "MXInvalidInputException", "ExceptionMessage": "x"}, 404),
    ],
)
def test_a_status_call_that_fails_may_mean_that_the_request_is_unknown_and_is_not_certain(body, code):
    with pytest.raises(UnknownRequestError, match=ID) as caught:
        _read_status(body, code)
    assert not caught.value.is_certain


@pytest.mark.parametrize("body", [{"RequestId": ID}, {"RequestId": ID, "TaskStatus": None}, {"TaskStatus": None}])
def test_that_a_request_is_unknown_is_certain_if_the_status_api_says_so(body):
    with pytest.raises(UnknownRequestError, match=ID) as caught:
        responses.read_status(STATUS, Response(200, json.dumps(body).encode(), headers=DATED), ID, LEAD_CAPTURE)
    assert (caught.value.is_certain, caught.value.server_time) == (True, DATE)


@pytest.mark.parametrize("code", [200, 302, 400, 401, 403, 404, 413])
def test_a_page_in_place_of_a_status_says_nothing_about_a_request_or_the_keys(code):
    with pytest.raises(UnexpectedResponseError, match="any proxy|not followed"):
        _read_status(b"<!DOCTYPE html><html>Sign in</html>", code)


@pytest.mark.parametrize("code", [400, 404])
def test_a_plain_text_in_place_of_a_status_says_nothing_about_a_request(code):
    with pytest.raises(UnexpectedResponseError):
        _read_status(b"no route", code)


# --- LeadSquared's clock ------------------------------------------------------------------------------------------

DATE, DATED = 1_800_000_000.0, {"Date": "Fri, 15 Jan 2027 08:00:00 GMT"}


def test_a_receipt_tells_when_leadsquared_accepted_it():
    response = Response(200, json.dumps({"RequestID": ID}).encode(), headers=DATED)
    assert responses.read_receipt(SUBMIT, response).server_time == DATE


@pytest.mark.parametrize("status", ["Success", "In-Queue", "FAILURE"])
def test_a_status_tells_when_leadsquared_wrote_it(status):
    response = Response(200, json.dumps(_task(status)).encode(), headers=DATED)
    assert responses.read_status(STATUS, response, ID, LEAD_CAPTURE).server_time == DATE


@pytest.mark.parametrize("headers", [{}, {"Date": "soon"}])
def test_without_a_date_the_time_is_not_known(headers):
    response = Response(200, json.dumps({"RequestID": ID}).encode(), headers=headers)
    assert responses.read_receipt(SUBMIT, response).server_time is None


@pytest.mark.parametrize("echo", ["9d0f4b52-0000-4000-8000-00000000000d", "", 5, [ID], {}])
def test_a_response_about_another_request_is_not_taken_for_ours(echo):
    with pytest.raises(UnexpectedResponseError, match="about another request"):
        _read_status({**_task(), "RequestId": echo})


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        5,
        None,
        {"TaskStatus": "Success"},
        {"TaskStatus": []},
        {"TaskStatus": {"Status": 5}},
        {"TaskStatus": {"Status": {}}},
    ],
)
def test_a_status_of_wrong_types_is_an_unexpected_response(body):
    with pytest.raises(UnexpectedResponseError, match="unknown shape"):
        _read_status(body)


def test_a_gateway_without_the_status_path_points_to_the_setting():
    with pytest.raises(NoSuchPathError, match="extra 'paths'"):
        _read_status({"message": "Missing Authentication Token"}, 403)


# --- errors that every call may meet ------------------------------------------------------------------------------

RATE_TEXT = "API calls exceeded the limit of 10 in 5 second(s)"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("body", "code", "window"),
    [
        ({"message": "Too Many Requests"}, 429, 5),
        ({"message": "Limit Exceeded"}, 429, 5),
        (b"slow down", 429, 5),
        (b"", 429, 5),
        ([], 429, 5),
        ({"Status": "Error", "ExceptionType": "MXFoo", "ExceptionMessage": "calm down"}, 429, 5),
        ({"Status": "Error", "Message": "calm down"}, 429, 5),
        ({"Message": RATE_TEXT}, 403, 5),
        ({"Status": "Error", "Message": RATE_TEXT}, 403, 5),
        ({"Status": "Error", "ExceptionType": "MXException", "ExceptionMessage": RATE_TEXT}, 403, 5),
        (
            {
                "Status": "Error",
                "ExceptionType": "MXAPIRateLimitExceededException",
                "ExceptionMessage": "API calls exceeded the limit of 20 in 60 second(s)",
            },
            200,
            60,
        ),
        ({"Status": "Error", "ExceptionType": "MXAPIRateLimitExceededException"}, 200, 5),
        ({"Status": "Error", "ExceptionType": "MXAPIRateLimitExceededException"}, 500, 5),
        ({"message": "exceeded the limit of 25 in 10 second(s)"}, 429, 10),
    ],
)
def test_a_rate_limit_is_known_in_every_shape_with_its_window(reader, body, code, window):
    with pytest.raises(RateLimitError) as caught:
        reader(body, code)
    assert caught.value.retry_after == window


@pytest.mark.parametrize("code", [200, 400, 500])
@pytest.mark.parametrize("kind", ["MXInvalidInputException", None])
@pytest.mark.parametrize(
    "text",
    [
        "Attribute(s) does not exist - mx_Throttle_Plan.",
        "mx_Rate_Limit is mandatory",
        "Invalid Input! Parameter Name: mx_Throttle_Plan",
    ],
)
def test_a_field_whose_name_sounds_like_a_rate_limit_is_none(text, kind, code):
    body = {"Status": "Error", "ExceptionMessage": text} | ({"ExceptionType": kind} if kind else {})
    with pytest.raises(ApiError) as caught:
        _read_receipt(body, code)
    assert not isinstance(caught.value, RateLimitError)


def test_a_named_error_about_the_limit_of_a_field_is_no_rate_limit():
    body = {"ExceptionType": "MXInvalidInputException", "ExceptionMessage": "mx_Budget exceeded the limit of 10 digits"}
    with pytest.raises(RejectedError):
        _read_receipt(body, 500)


@pytest.mark.parametrize("name", ["Throttle Bikes", "Rate Limit Ltd"])
def test_a_lead_whose_words_sound_like_a_rate_limit_is_none(name):
    request = requests.submit(ACCOUNT, LEAD_CAPTURE, encode_lead({"mx_Shop": name}).body)
    body = {"Status": "Error", "ExceptionType": "MXInvalidInputException", "ExceptionMessage": f"{name} is no option"}
    with pytest.raises(RejectedError):
        responses.read_receipt(request, _response(body, 500))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("body", "code", "error"),
    [
        ({"message": "Forbidden"}, 403, AuthenticationError),
        ({"message": None}, 403, AuthenticationError),
        (b"", 403, AuthenticationError),
        ({"Status": "Error", "Message": "Forbidden"}, 403, AuthenticationError),
        (b"", 401, AuthenticationError),
        ({"message": "Unauthorized"}, 401, AuthenticationError),
        (
            {
                "Status": "Error",
                "ExceptionType": "MXInvalidAccessDetailsException",
                "ExceptionMessage": "Invalid Access Details provided.",
            },
            401,
            AuthenticationError,
        ),
        ({"Status": "Error", "ExceptionType": "MXUnAuthorizedAccessException"}, 500, AuthenticationError),
        ({"Status": "Error", "ExceptionType": "MXUnauthorizedRequestException"}, 200, AuthenticationError),
        ({"message": "Missing Authentication Token"}, 403, NoSuchPathError),
        ({"message": "Endpoint request timed out"}, 504, ServerError),
        ({"message": "Internal server error"}, 500, ServerError),
        ({"message": "Internal server error"}, 502, ServerError),
        (b"<html>Bad Gateway</html>", 502, ServerError),
        (b"", 503, ServerError),
        ([], 500, ServerError),
        ({"Status": "Error", "ExceptionType": "NullReferenceException", "ExceptionMessage": "x"}, 500, ServerError),
        ({"Status": "Error", "ExceptionType": "NullReferenceException", "ExceptionMessage": "x"}, 200, ServerError),
        ({"Status": "Error", "Message": "Something went wrong"}, 500, ServerError),
        ({"Status": "Error"}, 503, ServerError),
        (b"", 302, UnexpectedResponseError),
        (b"", 200, UnexpectedResponseError),
        (b"<html>Welcome</html>", 200, UnexpectedResponseError),
        (b"\xff\xfe\xfd", 200, UnexpectedResponseError),
        (b"[" * 100_000, 200, UnexpectedResponseError),
        (b"9" * 5_000, 200, UnexpectedResponseError),
        (b"", 418, UnexpectedResponseError),
        (b"", 0, UnexpectedResponseError),
    ],
    ids=lambda value: f"{value!s:.40}" if not isinstance(value, type) else value.__name__,
)
def test_an_error_is_status_by_its_class(reader, body, code, error):
    with pytest.raises(error) as caught:
        reader(body, code)
    assert type(caught.value) is error


@pytest.mark.parametrize("reader", CALL_READERS)
@pytest.mark.parametrize(
    ("body", "code", "error"),
    [
        (DUPLICATE, 500, RejectedError),
        (DUPLICATE, 200, RejectedError),
        (DUPLICATE, 400, RejectedError),
        ({**DUPLICATE, "IsMXException": True}, 500, RejectedError),
        ({"Status": "Error", "Message": "Lead is refused"}, 200, RejectedError),
        ({"Status": "ERROR", "Message": "Lead is refused"}, 400, RejectedError),
        ({"ExceptionType": "SerializationException", "ExceptionMessage": "x"}, 400, RejectedError),
        (b"", 404, NoSuchPathError),
        ({"Message": "No HTTP resource was found"}, 404, NoSuchPathError),
    ],
)
def test_a_refusal_is_status_by_its_class(reader, body, code, error):
    with pytest.raises(error) as caught:
        reader(body, code)
    assert type(caught.value) is error


@pytest.mark.parametrize("reader", CALL_READERS)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"bad", 400),
        (b"", 400),
        ({"message": "Bad Request"}, 400),
        ({"message": "Request Too Long"}, 413),
        ({"status": "error", "message": "blocked by policy"}, 400),
        ({"status": "error", "message": "blocked by policy"}, 200),
        (b"<html>Bad Request</html>", 400),
        (b"<html>Not Found</html>", 404),
        (b"\n<!DOCTYPE html>Sign in", 403),
        (b"<html>Sign in</html>", 401),
        (b"<html>Sign in</html>", 200),
    ],
)
def test_what_is_not_in_leadsquareds_error_format_is_no_refusal_and_leaves_the_call_in_doubt(reader, body, code):
    with pytest.raises(UnexpectedResponseError, match="no response of LeadSquared's") as caught:
        reader(body, code)
    assert caught.value.in_doubt


def test_an_mx_exception_is_leadsquareds_however_its_keys_are_spelled():
    with pytest.raises(RejectedError):
        _read_receipt({"status": "error", "exceptionType": "MXInvalidInputException", "exceptionMessage": "x"}, 400)


def test_a_refusal_names_the_exception_and_masks_the_reason():
    with pytest.raises(RejectedError) as caught:
        _read_receipt(DUPLICATE, 500)
    assert (caught.value.exception_type, caught.value.reason) == (
        "MXDuplicateEntryException",
        "Duplicate entry '***' for key 'UQ_Prospect_Base_EmailAddress'",
    )


def test_a_refusal_is_masked_by_the_lead_that_was_sent():
    with pytest.raises(RejectedError) as caught:
        _read_receipt({**DUPLICATE, "ExceptionMessage": "Pune is no option, said Meera"}, 500)
    assert caught.value.reason == "*** is no option, said ***"


@pytest.mark.parametrize("kind", ["MX <b>", "meera.iyer@example.org", ["MXDuplicateEntryException"], {"a": 1}, 5])
def test_what_cannot_be_an_exception_name_is_not_repeated(kind):
    with pytest.raises(RejectedError) as caught:
        _read_receipt({"ExceptionType": kind, "ExceptionMessage": "x"}, 400)
    assert caught.value.exception_type == "(unnamed)"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "body",
    [
        {"message": "Please use asyncapi-us11.leadsquared.com"},
        {"Message": "Your account is hosted at https://ASYNCAPI-US11.LeadSquared.com/."},
        {
            "Status": "Error",
            "ExceptionType": "MXInvalidAccessDetailsException",
            "ExceptionMessage": "Use host asyncapi-us11.leadsquared.com.",
        },
        b"Unauthorized. Use asyncapi-us11.leadsquared.com",
    ],
)
def test_a_401_of_the_wrong_region_names_the_right_host(reader, body):
    with pytest.raises(WrongRegionError, match=r"asyncapi-us11\.leadsquared\.com") as caught:
        reader(body, 401)
    assert caught.value.right_host == "asyncapi-us11.leadsquared.com"


def test_a_401_that_names_the_called_host_too_names_the_other_one():
    text = "asyncapi-in21.leadsquared.com does not serve you, asyncapi-us11.leadsquared.com does"
    with pytest.raises(WrongRegionError) as caught:
        _read_receipt({"message": text}, 401)
    assert caught.value.right_host == "asyncapi-us11.leadsquared.com"


@pytest.mark.parametrize("text", ["asyncapi-in21.leadsquared.com: no such user", "see evilleadsquared.com"])
def test_a_401_that_names_no_other_host_is_about_the_keys(text):
    with pytest.raises(AuthenticationError, match="the keys were refused") as caught:
        _read_receipt({"message": text}, 401)
    assert type(caught.value) is AuthenticationError


def test_refused_keys_name_all_three():
    shown = ""
    for code in (401, 403):
        with pytest.raises(AuthenticationError) as caught:
            _read_receipt({"message": "Forbidden"}, code)
        shown += str(caught.value)
    assert [word for word in ("access key", "secret key", "x-api-key") if word not in shown] == []


def test_what_is_no_json_is_described_not_quoted():
    with pytest.raises(UnexpectedResponseError) as caught:
        responses.read_receipt(SUBMIT, Response(200, b"<html>meera</html>", "text/html"))
    message = str(caught.value)
    assert ("18 bytes of text/html" in message, "meera" in message) == (True, False)


@pytest.mark.parametrize("reader", READERS)
def test_an_error_chain_holds_nothing_of_the_body(reader):
    with pytest.raises(ApiError) as caught:
        reader(b'{"Meera": "meera.iyer@example.org"', 500)
    error: BaseException | None = caught.value
    shown = ""
    while error is not None:
        shown += repr(error) + str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert "eera" not in shown


# --- metrics, fields, user ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ProcessingRatePerMinute", "ProcessingratePerMinute"])
def test_metrics_are_read_in_both_spellings(name):
    body = {"PendingMessages": 12, "MaxDelayInSeconds": 40, name: 24.8}
    assert _read_metrics(body) == QueueMetrics(12, 40, 24.8)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"PendingMessages": "12", "MaxDelayInSeconds": 40, "ProcessingRatePerMinute": 24.8},
        {"PendingMessages": -1, "MaxDelayInSeconds": 40, "ProcessingRatePerMinute": 24.8},
        {"PendingMessages": 1, "MaxDelayInSeconds": None, "ProcessingRatePerMinute": 24.8},
        {"PendingMessages": 1, "MaxDelayInSeconds": 40},
    ],
)
def test_metrics_of_another_shape_are_refused(body):
    with pytest.raises(UnexpectedResponseError, match="without queue metrics"):
        _read_metrics(body)


def test_a_lead_field_is_read_whole():
    phone = {
        "SchemaName": "Phone",
        "DisplayName": "Phone Number",
        "DataType": "Phone",
        "IsMandatory": True,
        "MaxLength": "10",
        "RangeMin": "8",
        "RenderTypeTextValue": "Phone",
        "LockAfterCreate": 1,
        "IsLeadIdentifier": True,
        "CreatedOn": "/Date(1417453996000+0000)/",
    }
    assert _read_fields([phone]) == (LeadField("Phone", "Phone Number", "Phone", "Phone", True, 10, 1, True, (), 8),)


def test_the_options_of_a_dropdown_are_read():
    plan = {"SchemaName": "mx_Plan", "DataType": "Select", "Options": [{"Value": "Gold"}, {"Value": "Silver"}]}
    assert _read_fields([plan])[0].options == ("Gold", "Silver")


def test_optional_facts_about_a_field_may_be_missing():
    assert _read_fields([{"SchemaName": "mx_A", "DataType": "Text"}]) == (
        LeadField("mx_A", "mx_A", "Text", "", False, None, 0, False, ()),
    )


@pytest.mark.parametrize(("given_length", "length"), [("200", 200), (200, 200), ("", None), (None, None), ("0", 0)])
def test_the_longest_length_is_a_string_or_a_number(given_length, length):
    assert _read_fields([{"SchemaName": "a", "DataType": "Text", "MaxLength": given_length}])[0].max_length == length


@pytest.mark.parametrize(
    ("given_least", "least"),
    [("10", 10), (10, 10), ("", None), (None, None), ("-1.5", None), (-1.5, None), ("9" * 5_000, None), ({}, None)],
)
def test_the_least_length_is_read_where_it_is_one(given_least, least):
    assert _read_fields([{"SchemaName": "a", "DataType": "Phone", "RangeMin": given_least}])[0].min_length == least


def test_an_account_without_fields_has_none():
    assert _read_fields([]) == ()


@pytest.mark.parametrize(
    "body",
    [
        {},
        [5],
        [{}],
        [{"SchemaName": "a"}],
        [{"SchemaName": "", "DataType": "Text"}],
        [{"SchemaName": "a", "DataType": "Text", "MaxLength": "long"}],
        [{"SchemaName": "a", "DataType": "Text", "MaxLength": "9" * 5_000}],
        [{"SchemaName": "a", "DataType": "Select", "Options": ["Gold"]}],
    ],
)
def test_fields_of_another_shape_are_refused(body):
    with pytest.raises(UnexpectedResponseError, match="without lead fields"):
        _read_fields(body)


@pytest.mark.parametrize(
    "api",
    [
        "api-in21.leadsquared.com",
        "https://api-in21.leadsquared.com",
        "https://api-in21.leadsquared.com/v2/",
        "http://api-in21.leadsquared.com/",
    ],
)
@pytest.mark.parametrize("wrap", [lambda user: user, lambda user: {"d": user}], ids=["bare", "d"])
def test_the_host_of_an_account_comes_bare(api, wrap):
    user = {"Id": "x", "PassPhrase": "meera@example.org", "LSQCommonServiceURLs": {"api": api, "app": "x"}}
    assert _read_host(wrap(user)) == "api-in21.leadsquared.com"


@pytest.mark.parametrize(
    "urls", [None, {}, "x", {"api": ""}, {"api": None}, {"api": "https://"}, {"api": "/v2"}, {"api": "no host"}]
)
def test_a_user_without_a_host_is_refused_without_being_shown(urls):
    with pytest.raises(UnexpectedResponseError, match="without the account's hosts") as caught:
        _read_host({"PassPhrase": "meera@example.org", "LSQCommonServiceURLs": urls})
    assert "meera" not in str(caught.value)


def test_the_account_is_named_without_what_is_personal():
    urls = {"api": "api-in21.leadsquared.com"}
    user: dict = {"Name": "Meera Rao", "PassPhrase": "meera@example.org", "LSQCommonServiceURLs": urls}
    user |= {"OrgDisplayName": "Acme\nUniversity", "OrgShortCode": 90001}
    assert _read_facts(user) == responses.AccountFacts("api-in21.leadsquared.com", "Acme University", "90001")


def test_the_name_of_an_account_shows_no_key_and_is_cut():
    urls = {"api": "api-in21.leadsquared.com"}
    name = f"of {ACCOUNT.secret_key} {'x' * 200}"
    facts = _read_facts({"OrgDisplayName": name, "LSQCommonServiceURLs": urls})
    assert ACCOUNT.secret_key not in facts.name
    assert len(facts.name) <= 80


# --- anything at all ----------------------------------------------------------------------------------------------

CODES = st.sampled_from([200, 201, 301, 400, 401, 403, 404, 413, 429, 500, 502, 504]) | st.integers(0, 999)
WORDS = st.sampled_from(
    ["Success", "Error", "FAILURE", "In-Queue", ID, RATE_TEXT, "MXFooException", "FooException", json.dumps(CAPTURED)]
)
NAMES = """
    Status Message ExceptionType ExceptionMessage RequestId TaskStatus StatusReason RequestBody RelatedId IsCreated Id d
    LSQCommonServiceURLs api SchemaName DataType MaxLength Options Value Attribute Fields
    PendingMessages MaxDelayInSeconds ProcessingRatePerMinute
"""
KEYS = st.sampled_from(NAMES.split())
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=6),
    max_leaves=12,
)


def _reads_or_says_why(body: bytes, code: int) -> None:
    for reader in READERS:
        try:
            status = reader(body, code)
        except ApiError:
            continue
        assert status is not None


@settings(deadline=None)
@given(st.binary(), CODES)
def test_any_bytes_are_a_response_or_a_typed_error(body, code):
    _reads_or_says_why(body, code)


@settings(deadline=None, max_examples=200)
@given(ANY_JSON, CODES)
def test_any_json_is_a_response_or_a_typed_error(value, code):
    _reads_or_says_why(json.dumps(value).encode(), code)


@settings(deadline=None, max_examples=200)
@given(
    st.fixed_dictionaries(
        {}, optional={name: ANY_JSON for name in ("RequestId", "TaskStatus", "Status", "Message", "ExceptionType")}
    ),
    st.fixed_dictionaries(
        {}, optional={name: ANY_JSON for name in ("Status", "StatusReason", "Message", "RequestBody")}
    ),
)
def test_any_status_is_a_response_or_a_typed_error(outer, task):
    _reads_or_says_why(json.dumps({"TaskStatus": task, **outer}).encode(), 200)


@pytest.mark.parametrize("name", ["Message", "Status", "ExceptionType", "ExceptionMessage", "RequestID", "TaskStatus"])
@pytest.mark.parametrize("depth", [100, 500, 800, 900, 940, 960, 980, 1_000, 5_000])
@pytest.mark.parametrize("code", [200, 400])
def test_a_body_of_any_depth_is_a_response_or_a_typed_error(name, depth, code):
    deep = b"[" * depth + b"]" * depth
    _reads_or_says_why(b'{"Status": "Error", "%s": %s}' % (name.encode(), deep), code)
