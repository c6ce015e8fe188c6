"""
Status and submission responses, built from the documents' grammar with up to three deviations at once.

Each case begins with what LeadSquared did (the truth), writes it as the documents do, and then deviates: it spells the
response otherwise, leaves something out, or puts another server's response in its place. What the package reads is
compared with the truth and with what the deviations may cost, never with the package's own rules.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_leadsquared.api import requests, responses
from airflow_provider_leadsquared.api.account import Account
from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.errors import ApiError, RejectedError
from airflow_provider_leadsquared.api.leads import encode_lead
from airflow_provider_leadsquared.api.requests import Response
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import UNKNOWN_REQUEST, judge

ACCESS_KEY, SECRET_KEY = "u$r" + "a1" * 16, "b2" * 20
ACCOUNT = Account.from_settings(
    host=None, access_key=ACCESS_KEY, secret_key=SECRET_KEY, extra={"region": "in21", "async_api_key": "C3" * 20}
)
PERSON = "meera.iyer@example.org"
LEAD = encode_lead({"EmailAddress": PERSON, "mx_City": "Pune"})
ID, OTHER_ID = "9d0f4b52-0000-4000-8000-00000000000c", "9d0f4b52-0000-4000-8000-00000000000d"
LEAD_ID = "2c8e1f77-0000-4000-8000-00000000000b"
SUBMIT = requests.submit(ACCOUNT, LEAD_CAPTURE, LEAD.body)
STATUS = requests.get_status(ACCOUNT, LEAD_CAPTURE, ID)

MX_NAMES = ("MXDuplicateEntryException", "MXUnknownAttributeException", "MXInvalidEntityReferenceException")
SYSTEM_NAMES = ("NullReferenceException", "TimeoutException", "SqlException")
PAGE = b"<html><body>We are down for maintenance. Your session has expired, please log in.</body></html>"


@dataclass
class Answer:
    """
    A response on its way, and what its deviations have cost so far.

    :param body: The parsed body.
    :param certain: The response still says all of the truth: exactly that has to be read.
    :param says_unknown: It names the request and knows nothing of it, as LeadSquared would say that it has none such.
    :param usable: The response is still about this request, and of LeadSquared: else nothing may be read of it.
    """

    body: Any
    code: int = 200
    content_type: str = "application/json; charset=utf-8"
    certain: bool = True
    usable: bool = True
    says_unknown: bool = False
    encode: list[Callable[[bytes], bytes]] = field(default_factory=list)

    @property
    def task(self) -> dict[str, Any]:
        """The status envelope; an empty one where a deviation has taken it."""
        task = next((value for key, value in self.body.items() if key.lower() == "taskstatus"), None)
        return task if isinstance(task, dict) else {}

    def wrap(self, step: Callable[[bytes], bytes], *, is_first: bool = False) -> None:
        """Write LeadSquared's own response in another way."""
        if self.usable:
            self.encode.insert(0 if is_first else len(self.encode), step)

    def replace(self, body: bytes, code: int, content_type: str = "application/json") -> None:
        """Put another server's response in its place, or what is left of it; one of them comes back."""
        if self.usable:
            self.certain = self.usable = False
            self.code, self.content_type = code, content_type
            self.encode = [lambda _: body]

    def response(self) -> Response:
        """Return the response as it comes back."""
        body = json.dumps(self.body).encode()
        for step in self.encode:
            body = step(body)
        return Response(self.code, body, self.content_type)


Deviation = Callable[[Answer], None]


# --- deviations of any response ---------------------------------------------------------------------------------------


def keys_in_another_case(change: Callable[[str], str]) -> Deviation:
    """Names of keys are spelled in two ways on LeadSquared's pages."""

    def deviate(answer: Answer) -> None:
        for envelope in (answer.body, answer.task):
            for key in list(envelope):
                envelope[change(key)] = envelope.pop(key)

    return deviate


def further_keys(answer: Answer) -> None:
    answer.body |= {"TraceId": "1-67", "IsMXException": False}


def byte_order_mark(answer: Answer) -> None:
    answer.wrap(lambda body: b"\xef\xbb\xbf" + body)


def blank_lines(answer: Answer) -> None:
    answer.wrap(lambda body: b"\r\n " + body + b"\n", is_first=True)  # a byte order mark comes before it


def other_content_type(answer: Answer) -> None:
    answer.content_type = "text/plain"


def another_success_code(answer: Answer) -> None:
    answer.code = 202 if answer.code == 200 else answer.code


def encoded_once_more(answer: Answer) -> None:
    answer.wrap(lambda body: json.dumps(body.decode("utf-8-sig")).encode())


def cut_off(answer: Answer) -> None:
    body = answer.response().body
    answer.replace(body[: max(len(body) * 2 // 3, 1)], answer.code)


def other(code: int, value: Any) -> Deviation:
    """A server on the way, or LeadSquared's gateway, sends JSON of its own."""
    return lambda answer: answer.replace(json.dumps(value).encode(), code)


def page(code: int) -> Deviation:
    """A server on the way sends a page."""
    return lambda answer: answer.replace(PAGE, code, "text/html")


def empty(answer: Answer) -> None:
    answer.replace(b"", answer.code)


def server_error_code(answer: Answer) -> None:
    """Nobody documents what a body means beside such a code."""
    answer.code, answer.certain = 503, False


SAME_MEANING: list[Deviation] = [
    keys_in_another_case(str.upper),
    keys_in_another_case(str.lower),
    further_keys,
    byte_order_mark,
    blank_lines,
    other_content_type,
    another_success_code,
    encoded_once_more,
]
OTHER_JSON: list[Any] = [[], None, 7, "OK", {}, {"status": "error"}, {"status": "ok", "data": {}}]
#: LeadSquared may have done its work behind all of these.
BEHIND_ANOTHER_SERVER: list[Deviation] = [
    cut_off,
    empty,
    *(page(code) for code in (200, 302, 400, 403, 404, 502, 503)),
    other(500, {"message": "Internal server error"}),
    other(504, {"message": "Endpoint request timed out"}),
    server_error_code,
    *(other(200, value) for value in OTHER_JSON),
]


# --- deviations of a status -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """What LeadSquared did with a request: its state at the end, the lead or the name of the error."""

    state: State
    lead_id: str | None = None
    error: str | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether the CRM said yes."""
        return self.state in (State.CREATED, State.UPDATED)


TRUTHS = st.one_of(
    st.just(Done(State.OPEN)),
    st.sampled_from([Done(State.CREATED, LEAD_ID), Done(State.UPDATED, LEAD_ID)]),
    st.sampled_from(MX_NAMES).map(lambda name: Done(State.REJECTED, error=name)),
    st.sampled_from(SYSTEM_NAMES).map(lambda name: Done(State.FAILED, error=name)),
)


def status_of(done: Done, word: str) -> Answer:
    """Write a status as the documents have it; only a refusal has a choice of words."""
    words = {State.OPEN: "In-Queue", State.CREATED: "Success", State.UPDATED: "Success"}
    message = None
    if done.is_confirmed:
        inner = {"Id": "0b5a6d9e", "RelatedId": done.lead_id, "IsCreated": done.state is State.CREATED}
        message = json.dumps({"Status": "Success", "Message": inner})
    reason = f"{done.error}: Duplicate entry '{PERSON}' for key 'x', at {SECRET_KEY}" if done.error else "waiting"
    task = {
        "TaskType": "Lead Capture",
        "Status": words.get(done.state, word),
        "StatusReason": "Request was successfully completed" if done.is_confirmed else reason,
        "TaskCurrentStep": None,
        "TaskLastStep": "In-Process-Queue",
        "RequestBody": LEAD.body.decode(),
        "Message": message,
    }
    return Answer({"RequestId": ID, "TaskStatus": task})


def _task_key(answer: Answer, name: str) -> str:
    return next((key for key in answer.task if key.lower() == name.lower()), name)


def status_word(change: Callable[[str], str]) -> Deviation:
    def deviate(answer: Answer) -> None:
        key = _task_key(answer, "Status")
        answer.task[key] = change(str(answer.task.get(key)))

    return deviate


ALIASES = {"SUCCESS": "Completed", "IN-QUEUE": "Queued", "FAILURE": "Failed"}


def change_message(change: Callable[[dict[str, Any]], Any]) -> Deviation:
    """Change the inner response, where there is one."""

    def deviate(answer: Answer) -> None:
        key = _task_key(answer, "Message")
        message = answer.task.get(key)
        while isinstance(message, str) and message.strip('"\\\ufeff')[:1] == "{":
            message = json.loads(message.removeprefix("\ufeff"))
        if isinstance(message, dict):
            answer.task[key] = change(message)

    return deviate


def inner_lead(**changes: Any) -> Deviation:
    return change_message(lambda message: {**message, "Message": {**dict(message.get("Message") or {}), **changes}})


def created_as(spellings: tuple[Any, Any]) -> Deviation:
    """``IsCreated`` in another type."""

    def change(message: dict[str, Any]) -> Any:
        inner = dict(message.get("Message") or {})
        if isinstance(inner.get("IsCreated"), bool):
            inner["IsCreated"] = spellings[inner["IsCreated"]]
        return {**message, "Message": inner}

    return change_message(change)


def reason_in_message(answer: Answer) -> None:
    """The reason stands in the message alone."""
    reason = _task_key(answer, "StatusReason")
    if answer.task.get(_task_key(answer, "Message")) is None and "Exception" in str(answer.task.get(reason)):
        kind, _, text = str(answer.task[reason]).partition(": ")
        answer.task[_task_key(answer, "Message")] = json.dumps(
            {"Status": "Error", "ExceptionType": kind, "ExceptionMessage": text}
        )
        answer.task[reason] = None


def less_is_said(deviate: Deviation) -> Deviation:
    """After this the response may say less than the truth, and never something else."""

    def deviating(answer: Answer) -> None:
        deviate(answer)
        answer.certain = False

    return deviating


def set_task(value: Any) -> Deviation:
    def deviate(answer: Answer) -> None:
        for key in list(answer.body):
            if key.lower() == "taskstatus":
                answer.body[key] = value
                answer.says_unknown |= value is None

    return deviate


def of_another_request(answer: Answer) -> None:
    for key in list(answer.body):
        if key.lower() == "requestid":
            answer.body[key] = OTHER_ID
    answer.certain = answer.usable = False


SAME_STATUS: list[Deviation] = [
    *SAME_MEANING,
    *(status_word(change) for change in (str.upper, str.lower, lambda word: f" {word} ")),
    status_word(lambda word: ALIASES.get(word.strip().upper(), word)),
    change_message(lambda message: message),  # an object in place of a text
    change_message(lambda message: json.dumps(json.dumps(message))),
    change_message(lambda message: "\ufeff" + json.dumps(message)),
    *(created_as(spellings) for spellings in ((0, 1), ("false", "True"), ("0", "1"), (0.0, 1.0))),
    reason_in_message,
]
NO_TASK: list[Any] = [None, [], "Success", {}]
NO_FLAG: list[Any] = [None, 2, "yes", [True]]
NO_ID: list[Any] = [None, "", " ", [], True, "x" * 200]
NO_MESSAGE: list[Any] = [None, "", [], 7, "done", {}]


def instead(value: Any, _: Any) -> Any:
    """Put a value in the place of another."""
    return value


STATUS_DEVIATIONS: list[Deviation] = [
    *SAME_STATUS,
    *BEHIND_ANOTHER_SERVER,
    *(other(code, {"message": text}) for code, text in ((403, "Forbidden"), (404, "No"), (429, "Too Many Requests"))),
    of_another_request,
    *(less_is_said(set_task(value)) for value in NO_TASK),
    *(less_is_said(status_word(partial(instead, value))) for value in ("In-Process", "", "Done", "None")),
    *(less_is_said(inner_lead(IsCreated=value)) for value in NO_FLAG),
    *(less_is_said(inner_lead(RelatedId=value)) for value in NO_ID),
    *(less_is_said(change_message(partial(instead, value))) for value in NO_MESSAGE),
]


@st.composite
def cases(draw: st.DrawFn, begin: Any, deviations: list[Deviation], most: int = 3) -> Any:
    """Draw what LeadSquared did and the response to it, with up to three deviations."""
    done, answer = begin(draw)
    for deviate in draw(st.lists(st.sampled_from(deviations), max_size=most, unique=True)):
        deviate(answer)
    return done, answer


def a_status(draw: st.DrawFn) -> tuple[Done, Answer]:
    done = draw(TRUTHS)
    return done, status_of(done, draw(st.sampled_from(["FAILURE", "ERROR"])))


def verdict_of(answer: Answer, *, ladder_ended: bool) -> Any:
    """Read and judge a status, as a poll does."""
    try:
        outcome: Any = responses.read_status(STATUS, answer.response(), ID, LEAD_CAPTURE)
    except ApiError as error:
        outcome = error
    return judge(outcome, ladder_ended=ladder_ended)


def holds_no_secret(text: object) -> bool:
    """Tell whether neither a lead's value nor a key stands in a text."""
    return not any(secret in str(text) for secret in (PERSON, ACCESS_KEY, SECRET_KEY))


@settings(max_examples=150, deadline=None)
@given(cases(a_status, SAME_STATUS), st.booleans())
def test_a_status_that_is_spelled_otherwise_has_the_same_verdict(case, ladder_ended):
    done, answer = case
    verdict = verdict_of(answer, ladder_ended=ladder_ended)
    waits = done.state is State.FAILED and not ladder_ended  # LeadSquared tries again after a system error
    assert verdict.state is (State.OPEN if waits else done.state)
    assert (verdict.lead_id, verdict.reason_class) == (done.lead_id, done.error)
    assert holds_no_secret(verdict)


@settings(max_examples=300, deadline=None)
@given(cases(a_status, STATUS_DEVIATIONS), st.booleans())
def test_whatever_a_status_looks_like_its_verdict_is_right_or_none(case, ladder_ended):
    done, answer = case
    verdict = verdict_of(answer, ladder_ended=ladder_ended)
    assert holds_no_secret(verdict)
    if verdict.state is State.OPEN:
        assert verdict.reason_class or not answer.usable or done.state is State.OPEN or not answer.certain
        return
    assert answer.usable, "nothing of this response is LeadSquared's word on this request"
    if answer.says_unknown:
        assert (verdict.state, verdict.reason_class) == (State.FAILED, UNKNOWN_REQUEST)
        assert ladder_ended, "LeadSquared may have lost it only for a while"
    elif done.is_confirmed:
        assert (verdict.state, verdict.lead_id) == (done.state, done.lead_id)
    else:
        # Without its name a refusal is known by its word alone, and a system error by the end of the retries.
        assert done.error, "a request that waits has no verdict"
        assert verdict.state in (State.REJECTED, State.FAILED)
        assert verdict.state is done.state or (verdict.state is State.FAILED and ladder_ended)


# --- deviations of a submission ---------------------------------------------------------------------------------------


def a_submission(draw: st.DrawFn) -> tuple[str, Answer]:
    """Draw whether LeadSquared accepted a lead, refused it, or failed, and the response to it."""
    done = draw(st.sampled_from(["accepted", *MX_NAMES, *SYSTEM_NAMES]))
    if done == "accepted":
        text = "Request accepted. Please use below request id to check the status"
        return done, Answer({"Status": text, "RequestID": ID})
    body = {"Status": "Error", "ExceptionType": done, "ExceptionMessage": f"'{PERSON}' is taken, {ACCESS_KEY}"}
    return done, Answer(body, code=draw(st.sampled_from([200, 500])))


def outcome_of(answer: Answer) -> Any:
    """Read the response to a submission, as a capture does."""
    try:
        return responses.read_receipt(SUBMIT, answer.response())
    except ApiError as error:
        return error


@settings(max_examples=100, deadline=None)
@given(cases(a_submission, SAME_MEANING))
def test_a_submission_that_is_confirmed_otherwise_has_the_same_outcome(case):
    done, answer = case
    outcome = outcome_of(answer)
    assert holds_no_secret(repr(outcome))
    if done == "accepted":
        assert outcome.request_id == ID
    elif done in MX_NAMES:
        assert isinstance(outcome, RejectedError)
        assert outcome.exception_type == done
    else:
        assert outcome.in_doubt


@settings(max_examples=250, deadline=None)
@given(cases(a_submission, [*SAME_MEANING, *BEHIND_ANOTHER_SERVER]))
def test_whatever_comes_back_of_a_submission_no_lead_is_taken_for_accepted_or_refused_that_is_not(case):
    done, answer = case
    outcome = outcome_of(answer)
    assert holds_no_secret(repr(outcome))
    if isinstance(outcome, RejectedError):
        assert done in MX_NAMES
    elif not isinstance(outcome, ApiError):
        assert (done, outcome.request_id) == ("accepted", ID)
    elif done == "accepted":
        assert outcome.in_doubt, "LeadSquared has the lead, so nobody may say that it has not"
