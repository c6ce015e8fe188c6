"""The hook: single calls and many at once, against the sandbox."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import replace

import aiohttp
import pytest
from airflow.sdk.log import redact  # type: ignore[attr-defined]  # the masker that the hook's mask_secret feeds

from airflow_provider_leadsquared.api.errors import (
    AuthenticationError,
    ConfigurationError,
    LeadSquaredError,
    NoConnectionError,
    NoResponseError,
    RateLimitError,
    RejectedError,
    SendingExpiredError,
    ServerError,
    UnknownRequestError,
)
from airflow_provider_leadsquared.api.leads import encode_lead
from airflow_provider_leadsquared.api.responses import Receipt, RequestState
from airflow_provider_leadsquared.hooks import leadsquared
from airflow_provider_leadsquared.hooks._connection_test import place_of
from airflow_provider_leadsquared.hooks._pace import Pace
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from tests.integration.tasks import connect, define_connection

LEAD = encode_lead({"EmailAddress": "hook@example.org", "FirstName": "Asha"})


def test_a_submitted_lead_can_be_followed_to_the_crm(sandbox):
    hook = LeadSquaredHook()
    request_id = hook.submit(LEAD).request_id
    assert hook.get_request_status(request_id).state is RequestState.QUEUED
    sandbox.advance(5)
    status = hook.get_request_status(request_id)
    assert status.confirmation is not None
    assert (status.state, status.confirmation.is_created) == (RequestState.SUCCEEDED, True)
    assert status.confirmation.lead_id == sandbox.leads()[0]["id"]


def test_a_synchronous_capture_responds_with_the_lead(sandbox):
    first, second = (LeadSquaredHook().capture_lead(LEAD) for _ in range(2))
    assert (first.is_created, second.is_created, second.lead_id) == (True, False, first.lead_id)


def test_lead_update_behavior_is_honoured(sandbox):
    hook = LeadSquaredHook()
    hook.capture_lead(LEAD)
    hook.capture_lead(
        encode_lead({"EmailAddress": "hook@example.org", "FirstName": "Other"}),
        parameters={"LeadUpdateBehavior": "DoNotUpdate"},
    )
    assert sandbox.leads()[0]["values"]["FirstName"] == "Asha"


def test_queue_metrics_state_how_many_wait(sandbox):
    hook = LeadSquaredHook()
    hook.submit(LEAD)
    assert hook.get_queue_metrics().pending == 1


def test_queue_metrics_are_asked_with_the_key_pair_where_the_account_wants_it(sandbox):
    sandbox.switch(metrics_need_keys=True)
    assert LeadSquaredHook().get_queue_metrics().pending == 0


def test_lead_fields_come_with_types_lengths_and_options(sandbox):
    fields = {field.schema_name: field for field in LeadSquaredHook().get_lead_fields()}
    assert fields["EmailAddress"].data_type == "Email"
    assert any(field.options for field in fields.values())
    assert not any(field.options for field in LeadSquaredHook().get_lead_fields(with_options=False))


def test_an_unknown_request_has_its_own_error(sandbox):
    with pytest.raises(UnknownRequestError, match="may not know RequestId"):
        LeadSquaredHook().get_request_status(str(uuid.uuid4()))


def test_a_refused_lead_carries_leadsquareds_own_name_for_it(sandbox):
    with pytest.raises(RejectedError) as raised:
        LeadSquaredHook().capture_lead(encode_lead({"EmailAddress": "x@example.org", "mx_Nope": "1"}))
    assert raised.value.exception_type == "MXUnknownAttributeException"
    assert "mx_Nope" in raised.value.reason


def test_a_call_without_a_response_ends_after_the_timeout(sandbox):
    sandbox.fault("lost_response", how="hang", seconds=30)
    with pytest.raises(NoResponseError):
        LeadSquaredHook(timeout=0.2).submit(LEAD)


def test_a_submission_is_made_once_whatever_happens_to_it(sandbox):
    sandbox.fault("lost_response", endpoint="capture")
    with pytest.raises(NoResponseError):
        LeadSquaredHook().submit(LEAD)
    assert len(sandbox.posts()) == 1


@pytest.mark.parametrize("fault", ["unavailable", "refuse", "reset", "lost_response", "rate_limit", "gateway", "error"])
def test_a_reading_call_is_made_again_while_its_failure_may_pass(sandbox, no_waits, fault):
    sandbox.fault(fault, endpoint="lead_fields", calls=3)
    assert LeadSquaredHook().get_lead_fields()
    assert len(no_waits) == 3


def test_a_reading_call_gives_up_after_four_times(sandbox, no_waits):
    sandbox.fault("unavailable", endpoint="lead_fields")
    with pytest.raises(ServerError):
        LeadSquaredHook().get_lead_fields()
    assert len(no_waits) == 3


def test_nobody_listening_is_no_connection_and_nothing_sent(sandbox):
    sandbox.stop()
    with pytest.raises(NoConnectionError, match="check host, network and proxy"):
        LeadSquaredHook().submit(LEAD)


def test_errors_name_the_host_that_could_not_be_reached(sandbox, no_waits):
    port = sandbox.port
    sandbox.fault("lost_response", endpoint="capture", calls=1)
    with pytest.raises(NoResponseError, match=rf"no complete response came back from 127\.0\.0\.1:{port} "):
        LeadSquaredHook().submit(LEAD)
    sandbox.stop()
    with pytest.raises(NoConnectionError, match=rf"no connection to 127\.0\.0\.1:{port} "):
        LeadSquaredHook().submit(LEAD)


# ---- the connection test -----------------------------------------------------------------------------------------


def test_the_connection_test_says_what_it_found(sandbox):
    fields = len(LeadSquaredHook().get_lead_fields())
    assert LeadSquaredHook().test_connection() == (
        True,
        "Hosts, key pair and async API key are accepted. Account: Sandbox (90001); "
        f"region: http://127.0.0.1:{sandbox.port}; lead fields: {fields}; clock: the same as this machine's",
    )


def test_the_connection_test_shows_nothing_personal(sandbox):
    message = LeadSquaredHook().test_connection()[1]
    assert not [word for word in ("Administrator", "administrator@", "Kolkata") if word in message]


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (90, "clock: 90 s ahead of this machine's"),
        (-7_200, "clock: 7,200 s behind this machine's"),
        (1, "clock: the same as this machine's"),
    ],
)
def test_the_connection_test_says_how_far_the_clocks_are_apart(sandbox, monkeypatch, ahead, said):
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    sandbox.switch(date_offset=ahead)
    assert said in LeadSquaredHook().test_connection()[1]


def test_the_connection_test_says_that_no_response_states_the_time(sandbox):
    sandbox.switch(date_header="missing")
    assert "clock: LeadSquared's responses state no time" in LeadSquaredHook().test_connection()[1]


def test_the_connection_test_names_the_region(sandbox):
    account = LeadSquaredHook().account
    assert place_of(replace(account, async_url="https://asyncapi-ir31.leadsquared.com")) == "ir31, Ireland"
    assert place_of(account) == account.async_url


def test_the_connection_test_says_that_the_lead_fields_cannot_be_read(sandbox, no_waits):
    sandbox.fault("unavailable", endpoint="lead_fields")
    works, message = LeadSquaredHook().test_connection()
    assert not works
    assert message.startswith("lead fields, which syncs and check_fields ask for: ")


@pytest.mark.parametrize(
    ("changes", "named", "not_named"),
    [
        ({"password": "0" * 40}, "key pair", "async API key:"),
        ({"login": "u$r" + "0" * 32}, "key pair", "async API key:"),
        ({"extra": {"async_api_key": "0" * 40}}, "async API key", "key pair:"),
        ({"extra": {"async_api_key": None}}, "'async_api_key'", "key pair:"),
        ({"host": "ftp://x.leadsquared.com"}, "host begins with ftp", "key pair:"),
    ],
)
def test_the_connection_test_names_what_is_wrong_and_shows_no_key(sandbox, monkeypatch, changes, named, not_named):
    connect(monkeypatch, sandbox, **changes)
    works, message = LeadSquaredHook().test_connection()
    assert not works
    assert named in message
    assert not_named not in message
    assert not any(key in message for key in (sandbox.access_key, sandbox.secret_key, sandbox.api_key, "0" * 32))


def test_the_connection_test_names_the_right_host(sandbox, no_waits):
    sandbox.fault("wrong_host", host="asyncapi-us11.leadsquared.com")
    assert "asyncapi-us11.leadsquared.com; write that host" in LeadSquaredHook().test_connection()[1]


def test_the_connection_test_names_the_synchronous_host_that_serves_the_account(sandbox, no_waits):
    sandbox.switch(sync_host="api-us11.leadsquared.com")
    assert (
        "sync host: the account is served by api-us11.leadsquared.com, not by" in LeadSquaredHook().test_connection()[1]
    )


@pytest.mark.parametrize("extra", ["nonsense", "[1, 2]", '"text"'])
def test_an_extra_that_is_no_json_object_is_named(sandbox, monkeypatch, extra):
    define_connection(monkeypatch, "leadsquared_default", **sandbox.airflow_connection() | {"extra": extra})
    with pytest.raises(ConfigurationError, match="extra is no JSON object"):
        LeadSquaredHook().submit(LEAD)


def test_the_connection_test_says_that_there_is_no_connection(sandbox, no_waits):
    sandbox.stop()
    works, message = LeadSquaredHook().test_connection()
    assert (works, message.count(f"no connection to 127.0.0.1:{sandbox.port}")) == (False, 2)


def test_the_connection_test_never_raises():
    works, message = LeadSquaredHook("nowhere").test_connection()
    assert (works, "'nowhere'" in message) == (False, True)


class CallsUnderWay:
    """Counts how many status calls are under way, as each begins."""

    def __init__(self, monkeypatch):
        self.of_status_calls: list[int] = []
        count = 0
        get_status = leadsquared._get_status

        async def counted(*args):
            nonlocal count
            count += 1
            self.of_status_calls.append(count)
            try:
                return await get_status(*args)
            finally:
                count -= 1

        monkeypatch.setattr(leadsquared, "_get_status", counted)


# ---- many at once ------------------------------------------------------------------------------------------------


def submit(count, *, attributes=None, timeout=2, **arguments):
    """Submit leads and return the outcomes by number, and what ended the run."""
    outcomes = {}

    async def numbered():
        for number in range(count):
            yield number, encode_lead(attributes or {"EmailAddress": f"many{number}@example.org"})

    async def run():
        try:
            async for number, outcome in LeadSquaredHook(timeout=timeout).submit_many(numbered(), **arguments):
                outcomes[number] = outcome
        except LeadSquaredError as error:
            return error

    return outcomes, asyncio.run(run())


def test_many_leads_are_each_accepted_once(sandbox):
    outcomes, ended = submit(500, timeout=30)
    assert ended is None
    assert {receipt.request_id for receipt in outcomes.values()} == {post["request_id"] for post in sandbox.posts()}


def test_no_more_calls_than_allowed_are_under_way(sandbox):
    sandbox.fault("slow", seconds=0.05)
    _, ended = submit(12, concurrency=3)
    times = sorted(post["at_real"] for post in sandbox.posts())
    assert ended is None
    assert all(times[index + 3] - times[index] >= 0.04 for index in range(len(times) - 3))


def test_a_server_that_is_slow_for_one_call_in_a_hundred_holds_up_no_other(sandbox):
    for skip in (99, 198, 297):
        sandbox.fault("slow", seconds=0.5, skip=skip, calls=1)
    outcomes, ended = submit(400)
    assert ended is None
    assert {type(outcome) for outcome in outcomes.values()} == {Receipt}
    assert len(sandbox.posts()) == 400
    # More leads than are called at a time overtook a slow one.
    assert max(position - number for position, number in enumerate(outcomes)) > 16


def test_submissions_and_status_calls_take_turns_of_one_pace(sandbox, monkeypatch):
    connect(monkeypatch, sandbox, extra={"max_requests_per_second": 1_000})
    hook, turns, turn = LeadSquaredHook(), [], Pace.turn
    monkeypatch.setattr(Pace, "turn", lambda pace, now: turns.append(pace) or turn(pace, now))

    async def numbered():
        for number in range(15):
            yield number, LEAD

    async def run():
        receipts = [outcome async for _, outcome in hook.submit_many(numbered())]
        asked = [(receipt.request_id, "lead_capture") for receipt in receipts if isinstance(receipt, Receipt)]
        return [outcome async for _, outcome in hook.get_request_statuses(asked)]

    assert len(asyncio.run(run())) == 15
    assert turns == [turns[0]] * 30


def test_trouble_of_submissions_slows_status_calls_down(sandbox, no_waits, monkeypatch):
    sandbox.fault("unavailable", endpoint="capture", skip=3, calls=1)
    hook = LeadSquaredHook()

    async def numbered():
        for number in range(8):
            yield number, LEAD

    async def run():
        receipts = [outcome async for _, outcome in hook.submit_many(numbered(), concurrency=8)]
        asked = [(receipt.request_id, "lead_capture") for receipt in receipts if isinstance(receipt, Receipt)]
        sandbox.fault("slow", seconds=0.02)
        return [outcome async for _, outcome in hook.get_request_statuses(asked, concurrency=8)]

    under_way = CallsUnderWay(monkeypatch)
    assert len(asyncio.run(run())) == 8
    assert max(under_way.of_status_calls) < 8


def test_all_calls_share_one_back_off(sandbox, no_waits):
    sandbox.fault("rate_limit", endpoint="capture", skip=10, calls=18)
    outcomes, ended = submit(40)
    assert ended is None
    assert all(isinstance(outcome, Receipt) for outcome in outcomes.values())


def test_a_rate_limit_that_never_ends_ends_the_run(sandbox, no_waits):
    sandbox.fault("rate_limit", endpoint="capture")
    outcomes, ended = submit(40, give_up_after=60)
    assert isinstance(ended, RateLimitError)
    assert len(outcomes) <= 16


@pytest.mark.parametrize("fault", ["rate_limit", "unavailable"])
@pytest.mark.parametrize(
    ("stated", "least", "most"),
    [
        ({"form": "seconds", "seconds": 17}, 17, 18),
        ({"form": "date", "seconds": 17}, 16, 18),
        ({"form": "seconds", "seconds": 3_600}, 60, 61),
        ({"form": "far_date"}, 60, 61),
        ({"form": "past_date"}, 0, 6),
        ({"form": "negative"}, 0, 6),
        ({"form": "garbage"}, 0, 6),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_retry_after_is_honoured_within_bounds_by_both_transports(sandbox, no_waits, fault, stated, least, most):
    for endpoint in ("capture", "lead_fields"):
        sandbox.fault(fault, endpoint=endpoint, calls=1)
        sandbox.fault("retry_after", endpoint=endpoint, calls=1, **stated)
    submit(1)
    assert least <= sum(no_waits) <= most
    no_waits.clear()
    LeadSquaredHook().get_lead_fields()
    assert least <= sum(no_waits) <= most


def test_a_reading_call_that_is_made_again_is_logged(sandbox, no_waits, task_log):
    sandbox.fault("rate_limit", endpoint="lead_fields", calls=1)
    LeadSquaredHook().get_lead_fields()
    assert "call limit exceeded. The next call is made in 5 s" in task_log()


@pytest.mark.parametrize("when", ["after_response", "at_next_call"])
def test_no_unmatched_lead_is_in_doubt_because_the_server_closes_connections_after_its_responses(sandbox, when):
    sandbox.fault("close_connection", when=when)
    outcomes, ended = submit(200, attributes={"FirstName": "Asha"})
    assert ended is None
    assert {type(outcome) for outcome in outcomes.values()} == {Receipt}
    assert len(sandbox.posts()) == 200


def test_connections_are_kept_no_longer_once_the_server_has_closed_one_on_a_call(sandbox, no_waits):
    sandbox.fault("close_connection", when="at_next_call")
    outcomes, ended = submit(200)
    assert ended is None
    assert sum(outcome.after_doubt for outcome in outcomes.values()) <= 16  # as many as were under way


def test_connections_are_kept_while_the_server_keeps_them(sandbox, monkeypatch):
    made = []
    create = aiohttp.TCPConnector._create_connection

    async def counted(*args):
        made.append(1)
        return await create(*args)

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", counted)
    submit(100, concurrency=4)
    assert len(made) <= 4


def test_refused_keys_end_the_run_with_an_outcome_for_every_lead_that_was_taken(sandbox):
    sandbox.fault("keys_revoked", endpoint="capture", skip=20)
    outcomes, ended = submit(100)
    assert isinstance(ended, AuthenticationError)
    assert sum(isinstance(outcome, Receipt) for outcome in outcomes.values()) == 20


def test_a_lead_in_doubt_stays_so_when_a_later_sending_is_certainly_not_accepted(sandbox, no_waits):
    sandbox.fault("lost_response", endpoint="capture", calls=1)
    sandbox.fault("keys_revoked", endpoint="capture", skip=1)
    outcomes, _ = submit(1)
    assert outcomes[0].in_doubt


def test_a_lead_without_a_match_key_is_not_sent_again_after_a_server_error(sandbox, no_waits):
    sandbox.fault("error", endpoint="capture", calls=1, accepted=True)
    outcomes, _ = submit(1, attributes={"FirstName": "Asha"})
    assert isinstance(outcomes[0], ServerError)
    assert len(sandbox.posts()) == 1


def test_a_source_of_leads_that_fails_lets_calls_under_way_end(sandbox):
    reported = []

    async def failing():
        for number in range(3):
            yield number, LEAD
        raise OSError("the warehouse went away")

    async def run():
        async for outcome in LeadSquaredHook().submit_many(failing(), concurrency=2):
            reported.append(outcome)

    with pytest.raises(OSError, match="warehouse"):
        asyncio.run(run())
    assert len(reported) == len(sandbox.posts()) == 3


def test_a_caller_that_stops_taking_outcomes_leaves_nothing_running(sandbox):
    sandbox.fault("slow", seconds=0.2)

    async def endless():
        number = 0
        while True:
            yield number, LEAD
            number += 1

    async def run():
        outcomes = LeadSquaredHook().submit_many(endless(), concurrency=4)
        await anext(outcomes)
        await outcomes.aclose()
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(run()) == []


def test_a_record_that_may_not_be_sent_any_more_is_not_sent_and_the_others_are(sandbox):
    outcomes, ended = submit(20, may_send=lambda number: number % 2 == 0)
    assert ended is None
    assert len(sandbox.posts()) == 10
    kinds = {type(outcomes[number]) for number in range(1, 20, 2)}
    assert (kinds, outcomes[1].in_doubt) == ({SendingExpiredError}, False)


def test_whether_a_record_may_be_sent_is_asked_after_the_waiting_and_before_each_sending(sandbox, no_waits):
    sandbox.fault("rate_limit", endpoint="capture", calls=1)
    asked = []
    outcomes, _ = submit(1, may_send=lambda number: asked.append((len(sandbox.posts()), len(no_waits))) or not no_waits)
    assert asked[0] == (0, 0)
    assert asked[1][0] == 1
    assert asked[1][1] > 0
    assert (type(outcomes[0]), len(sandbox.posts())) == (SendingExpiredError, 1)


def test_whether_a_record_may_be_sent_is_asked_when_there_is_a_connection(sandbox, monkeypatch):
    order = []
    create = aiohttp.TCPConnector._create_connection

    async def connect_slowly(*args):
        connection = await create(*args)
        order.append("connected")
        return connection

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", connect_slowly)
    submit(1, may_send=lambda _: order.append("asked") or True)
    assert order == ["connected", "asked"]


def test_a_doubt_is_not_settled_by_a_repeat_that_came_too_late(sandbox, no_waits):
    sandbox.fault("lost_response", endpoint="capture", calls=1)
    outcomes, _ = submit(1, may_send=lambda _: not no_waits)
    assert (type(outcomes[0]), len(sandbox.posts())) == (NoResponseError, 1)


# ---- secrets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["refuse", "reset", "lost_response", "error", "keys_revoked", "garbage", "wrong_host"]
)
def test_no_failure_shows_a_key_or_a_lead(sandbox, no_waits, caplog, fault):
    sandbox.fault(fault)
    with caplog.at_level(logging.DEBUG), pytest.raises(LeadSquaredError) as raised:
        LeadSquaredHook().submit(LEAD)
    outcomes, ended = submit(1)
    shown = caplog.text + str(raised.getrepr(style="native")) + repr((outcomes, ended))
    for secret in (sandbox.access_key, sandbox.access_key.replace("$", "%24"), sandbox.secret_key, sandbox.api_key):
        assert secret not in shown
    assert "hook@example.org" not in shown


def test_the_http_librarys_debug_log_has_no_query(sandbox, caplog):
    with caplog.at_level(logging.DEBUG, logger="urllib3"):
        LeadSquaredHook().submit(LEAD)
    assert "/lead/capture?***" in caplog.text


def test_keys_are_masked_as_they_are_and_as_they_stand_in_a_url(sandbox):
    LeadSquaredHook().account  # noqa: B018 - reading the connection registers its keys
    text = f"{sandbox.access_key} {sandbox.access_key.replace('$', '%24')} {sandbox.secret_key} {sandbox.api_key}"
    assert redact(text) == "*** *** *** ***"
