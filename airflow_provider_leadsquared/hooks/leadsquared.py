"""The connection to one LeadSquared account, and every call that is made to it."""

from __future__ import annotations

import asyncio
import random
import uuid
from asyncio import sleep
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from airflow_provider_leadsquared import __version__
from airflow_provider_leadsquared.api import answers, messages
from airflow_provider_leadsquared.api.account import Account
from airflow_provider_leadsquared.api.answers import Acceptance
from airflow_provider_leadsquared.api.errors import (
    AuthenticationError,
    ConfigurationError,
    LeadSquaredError,
    NoSuchPathError,
    RateLimitError,
    RejectedError,
    UnexpectedAnswerError,
    UnknownRequestError,
    WrongRegionError,
)
from airflow_provider_leadsquared.get_provider_info import get_provider_info
from airflow_provider_leadsquared.hooks._pace import Pace
from airflow_provider_leadsquared.hooks._transport import guard_library_logs, send, send_async

if TYPE_CHECKING:
    import aiohttp
    from tenacity import RetryCallState

    from airflow_provider_leadsquared.api.leads import Lead
    from airflow_provider_leadsquared.hooks._session import OneCall

_Name = TypeVar("_Name")
_Told = TypeVar("_Told")

#: How often one call is made at most. Only calls that may be repeated are.
_ATTEMPTS = 4
#: Wrong whatever is sent: the first of these ends a run.
_FATAL = (AuthenticationError, NoSuchPathError, ConfigurationError)


class LeadSquaredHook(BaseHook):
    """
    Talk to one LeadSquared account.

    Building a hook does no I/O; the connection is read on first use. Exceptions name the call, never its query, so no
    key and no lead is in any of them.

    :param leadsquared_conn_id: The LeadSquared connection.
    :param timeout: Seconds to connect, and to wait for an answer, for every call.
    """

    conn_name_attr = "leadsquared_conn_id"
    default_conn_name = "leadsquared_default"
    conn_type = "leadsquared"
    hook_name = "LeadSquared"

    def __init__(self, leadsquared_conn_id: str = default_conn_name, *, timeout: float = 30.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.leadsquared_conn_id = leadsquared_conn_id
        self.timeout = timeout

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's changes to Airflow's own fields, for Airflow 3.1."""
        behaviour = _connection_type()["ui-field-behaviour"]
        return {key.replace("-", "_"): value for key, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's own fields, for Airflow 3.1; later versions read them from the provider's metadata."""
        from wtforms import PasswordField, SelectField, StringField

        widgets: dict[str, Any] = {}
        for name, spec in _connection_type()["conn-fields"].items():
            label, schema = spec["label"], spec["schema"]
            if "enum" in schema:
                widgets[name] = SelectField(label, choices=[(value, value) for value in ("", *schema["enum"])])
            else:
                widgets[name] = (PasswordField if schema.get("format") == "password" else StringField)(label)
        return widgets

    @cached_property
    def account(self) -> Account:
        """
        The account that the connection describes.

        :raises ConfigurationError: A field of the connection is missing or wrong; the text names it.
        """
        guard_library_logs()
        connection = self.get_connection(self.leadsquared_conn_id)
        try:
            extra = connection.extra_dejson
        except ValueError:
            extra = None
        if not isinstance(extra, dict):
            raise ConfigurationError("LeadSquared connection: extra is no JSON object")
        for key in (connection.login, connection.password, extra.get("async_api_key")):
            if isinstance(key, str) and key:
                # Airflow does not mask a login by itself, nor a key as it stands in a URL.
                mask_secret(key)
                mask_secret(quote(key, safe=""))
        return Account.from_settings(
            host=connection.host,
            port=connection.port,
            access_key=connection.login,
            secret_key=connection.password,
            extra=extra,
        )

    def get_conn(self) -> OneCall:
        """Return a ``requests`` session for one call; every call of this hook sets its own timeout on it."""
        from airflow_provider_leadsquared.hooks._session import OneCall

        session = OneCall()
        session.headers["User-Agent"] = _user_agent()
        return session

    def submit_lead(self, lead: Lead, *, lead_update_behavior: str | None = None) -> answers.Acceptance:
        """
        Submit one lead to be captured asynchronously; it is made once, for a repeat might double the lead.

        :param lead: A lead from ``encode_lead``.
        :param lead_update_behavior: What to do to an existing lead; None overwrites what is sent.
        :raises LeadSquaredError: It was refused, or (``in_doubt``) nobody knows whether it was taken.
        """
        request = messages.submit_lead(self.account, lead.body, lead_update_behavior=lead_update_behavior)
        with self.get_conn() as session:
            return answers.read_acceptance(request, send(session, request, self.timeout))

    def capture_lead(self, lead: Lead, *, lead_update_behavior: str | None = None) -> answers.Capture:
        """
        Capture one lead and wait for the CRM's answer; it is made once.

        :raises LeadSquaredError: As for :meth:`submit_lead`.
        """
        request = messages.capture_lead(self.account, lead.body, lead_update_behavior=lead_update_behavior)
        with self.get_conn() as session:
            return answers.read_capture(request, send(session, request, self.timeout))

    def get_request_status(self, request_id: str) -> answers.RequestStatus:
        """
        Ask what became of one request.

        :raises UnknownRequestError: LeadSquared does not know the request.
        :raises LeadSquaredError: It could not be asked, after some tries.
        """
        request = messages.ask_status(self.account, request_id)
        return self._get(request, lambda answer: answers.read_status(request, answer, request_id))

    def get_queue_metrics(self) -> answers.QueueMetrics:
        """
        Ask how busy LeadSquared's queue is. Advice, never a verdict; not every account has it.

        :raises NoSuchPathError: The account has no metrics, or has them at another path.
        :raises LeadSquaredError: It could not be asked, after some tries.
        """
        request = messages.ask_metrics(self.account)
        try:
            return self._get(request, lambda answer: answers.read_metrics(request, answer))
        except AuthenticationError:
            with_keys = messages.ask_metrics(self.account, with_key_pair=True)
            return self._get(with_keys, lambda answer: answers.read_metrics(with_keys, answer))

    def get_lead_fields(self, *, with_options: bool = True) -> tuple[answers.LeadField, ...]:
        """
        Ask which fields the account's leads have.

        :param with_options: Include the values of dropdowns.
        :raises LeadSquaredError: It could not be asked, after some tries.
        """
        request = messages.list_lead_fields(self.account, with_options=with_options)
        return self._get(request, lambda answer: answers.read_lead_fields(request, answer))

    def test_connection(self) -> tuple[bool, str]:
        """Tell which of hosts, key pair and async key work. Only reads, never raises, prints no key."""
        try:
            problems = [*self._key_pair_problems(), *self._async_key_problems()]
        except Exception as error:
            shown = str(error) if isinstance(error, LeadSquaredError) else type(error).__name__
            return False, f"{shown} (connection {self.leadsquared_conn_id!r})"
        if problems:
            return False, "; ".join(problems)
        return True, "Hosts, key pair and async API key are accepted."

    def submit_leads(
        self,
        leads: AsyncIterator[tuple[_Name, Lead]],
        *,
        lead_update_behavior: str | None = None,
        concurrency: int = 16,
        give_up_after: float = 120.0,
    ) -> AsyncGenerator[tuple[_Name, answers.Acceptance | LeadSquaredError]]:
        """
        Submit many leads at once and yield what LeadSquared said of each, as it comes.

        All calls share one back-off. A lead is sent again here only if its last sending was certainly not taken, or
        if it has a match key, so that LeadSquared finds what the first sending made.

        :param leads: Names of the caller's choice with their leads, drawn no sooner than they can be sent.
        :param concurrency: Calls under way at the same time.
        :param give_up_after: Seconds without any success after which the rest is left unsent.
        :raises LeadSquaredError: Going on is pointless (keys refused, wrong host, outage): raised after the last
            outcome was yielded. Leads not drawn were not sent.
        """
        account = self.account

        async def submit(session: aiohttp.ClientSession, lead: Lead) -> answers.Acceptance:
            request = messages.submit_lead(account, lead.body, lead_update_behavior=lead_update_behavior)
            return answers.read_acceptance(request, await send_async(session, request))

        return self._many(
            leads,
            submit,
            may_repeat=lambda lead: lead.match_key is not None,
            concurrency=concurrency,
            give_up_after=give_up_after,
        )

    def get_request_statuses(
        self, request_ids: Iterable[str], *, concurrency: int = 8, give_up_after: float = 30.0
    ) -> AsyncGenerator[tuple[str, answers.RequestStatus | LeadSquaredError]]:
        """
        Ask what became of many requests and yield each answer as it comes.

        :param concurrency: Calls under way at the same time.
        :param give_up_after: Seconds without any success after which the rest is not asked.
        :raises LeadSquaredError: As for :meth:`submit_leads`.
        """
        account = self.account

        async def ask(session: aiohttp.ClientSession, request_id: str) -> answers.RequestStatus:
            request = messages.ask_status(account, request_id)
            return answers.read_status(request, await send_async(session, request), request_id)

        async def named() -> AsyncIterator[tuple[str, str]]:
            for request_id in request_ids:
                yield request_id, request_id

        return self._many(named(), ask, may_repeat=lambda _: True, concurrency=concurrency, give_up_after=give_up_after)

    async def _many(
        self,
        items: AsyncIterator[tuple[_Name, Any]],
        call: Callable[[aiohttp.ClientSession, Any], Awaitable[_Told]],
        *,
        may_repeat: Callable[[Any], bool],
        concurrency: int,
        give_up_after: float,
    ) -> AsyncGenerator[tuple[_Name, _Told | LeadSquaredError]]:
        """Make a call for every item, many at once; see the public methods for what is promised."""
        import aiohttp

        pace = Pace(give_up_after)
        outcomes: asyncio.Queue[tuple[_Name, _Told | LeadSquaredError] | None] = asyncio.Queue()
        # Bounds what is under way or not yet taken by the caller, and with it what a crash leaves in doubt.
        slots = asyncio.Semaphore(2 * concurrency)
        drawing = asyncio.Lock()
        stopped_by: Exception | None = None
        any_success = False

        async def outcome_of(session: aiohttp.ClientSession, item: Any) -> _Told | LeadSquaredError:
            nonlocal stopped_by, any_success
            doubts: list[LeadSquaredError] = []
            while True:
                while (wait := pace.hold(monotonic())) and stopped_by is None:
                    await sleep(min(wait, 1.0))
                try:
                    told = await call(session, item)
                except LeadSquaredError as error:
                    doubts += [error] if error.in_doubt else []
                    if error.transient:
                        pace.failed(error, monotonic())
                    fatal = isinstance(error, _FATAL) or (isinstance(error, UnexpectedAnswerError) and not any_success)
                    if fatal or pace.exhausted(monotonic()):
                        stopped_by = stopped_by or error
                    repeat = error.transient and (not error.in_doubt or (may_repeat(item) and len(doubts) < _ATTEMPTS))
                    if isinstance(error, RejectedError):
                        error.after_doubt = bool(doubts)
                        return error
                    if stopped_by or not repeat:
                        # A later sending that was certainly not taken does not lift the doubt about an earlier one.
                        return doubts[-1] if doubts else error
                else:
                    any_success = True
                    pace.succeeded()
                    return replace(told, after_doubt=True) if doubts and isinstance(told, Acceptance) else told

        async def work(session: aiohttp.ClientSession) -> None:
            nonlocal stopped_by
            while stopped_by is None:
                await slots.acquire()
                try:
                    async with drawing:
                        drawn = await anext(items, None)
                except Exception as error:  # the caller's: let calls under way end, then hand it back
                    stopped_by = stopped_by or error
                    return
                if drawn is None:
                    return
                outcomes.put_nowait((drawn[0], await outcome_of(session, drawn[1])))

        async def work_all(session: aiohttp.ClientSession) -> None:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(concurrency):
                        group.create_task(work(session))
            finally:
                outcomes.put_nowait(None)

        timeout = aiohttp.ClientTimeout(total=2 * self.timeout, sock_connect=self.timeout, sock_read=self.timeout)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=concurrency),
            timeout=timeout,
            headers={"User-Agent": _user_agent()},
            trust_env=True,
        ) as session:
            workers = asyncio.create_task(work_all(session))
            try:
                while (outcome := await outcomes.get()) is not None:
                    yield outcome
                    slots.release()
                await workers
            finally:
                workers.cancel()
                await asyncio.gather(workers, return_exceptions=True)
        if stopped_by is not None:
            raise stopped_by

    def _get(self, request: messages.Request, read: Callable[[messages.Answer], _Told]) -> _Told:
        """Make a reading call, again while its failure may pass, a bounded number of times."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt

        def once() -> _Told:
            with self.get_conn() as session:
                return read(send(session, request, self.timeout))

        return Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=_wait_before_retry,
            retry=retry_if_exception(lambda error: isinstance(error, LeadSquaredError) and error.transient),
            reraise=True,
        )(once)

    def _key_pair_problems(self) -> Iterator[str]:
        request = messages.identify_user(self.account)
        with _collected() as problems:
            host = self._get(request, lambda answer: answers.read_api_host(request, answer))
            ours = self.account.sync_url.split("//")[1]
            if host.endswith(".leadsquared.com") and host != ours:
                problems.append(f"sync host: the account is served by {host}, not by {ours}")
        yield from (f"key pair: {problem}" for problem in problems)

    def _async_key_problems(self) -> Iterator[str]:
        # An invented RequestId is unknown; that the gateway lets the call through is the test.
        with _collected() as problems, suppress(UnknownRequestError):
            self.get_request_status(str(uuid.uuid4()))
        yield from (f"async host and async API key: {problem}" for problem in problems)


@contextmanager
def _collected() -> Iterator[list[str]]:
    """Turn what LeadSquared objects to into lines."""
    problems: list[str] = []
    try:
        yield problems
    except WrongRegionError as error:
        problems.append(f"{error}; write that host")
    except LeadSquaredError as error:
        problems.append(str(error))


def _wait_before_retry(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RateLimitError):
        return error.retry_after
    return float(2 ** (state.attempt_number - 1)) * random.uniform(0.5, 1.0)  # noqa: S311 - guards nothing


def _connection_type() -> Mapping[str, Any]:
    kind: Mapping[str, Any] = get_provider_info()["connection-types"][0]
    return kind


def _user_agent() -> str:
    from airflow.sdk import __version__ as sdk_version

    return f"airflow-provider-leadsquared/{__version__} airflow-task-sdk/{sdk_version}"
