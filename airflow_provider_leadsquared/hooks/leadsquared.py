"""The connection to one LeadSquared account, and every call that is made to it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseHook

from airflow_provider_leadsquared import __version__
from airflow_provider_leadsquared.api import requests, responses
from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.errors import (
    ApiError,
    AuthenticationError,
    UnknownRequestError,
)
from airflow_provider_leadsquared.hooks import _form
from airflow_provider_leadsquared.hooks._account import account_of
from airflow_provider_leadsquared.hooks._connection_test import check_connection
from airflow_provider_leadsquared.hooks._many_calls import ManyCalls
from airflow_provider_leadsquared.hooks._pace import Pace
from airflow_provider_leadsquared.hooks._repeated_calls import repeated
from airflow_provider_leadsquared.hooks._transport import read, send, send_async

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.account import Account
    from airflow_provider_leadsquared.api.async_apis import AsyncApi
    from airflow_provider_leadsquared.api.confirmations import Confirmation
    from airflow_provider_leadsquared.api.payloads import Payload
    from airflow_provider_leadsquared.hooks._connections import Connections
    from airflow_provider_leadsquared.hooks._session import SingleCallSession

_Name = TypeVar("_Name")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_StatusCall = tuple[requests.Request, "AsyncApi"]


class LeadSquaredHook(BaseHook):
    """
    Talk to one LeadSquared account.

    Building a hook does no I/O; the connection is read on first use. Exceptions name the call, never its query, so no
    key and no lead is in any of them.

    :param leadsquared_conn_id: The LeadSquared connection.
    :param timeout: Seconds to connect, and to wait for each part of a response; a whole call gets twice as many.
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
        return _form.field_behaviour()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's own fields, for Airflow 3.1; later versions read them from the provider's metadata."""
        return _form.widgets()

    @cached_property
    def account(self) -> Account:
        """
        The account that the connection describes.

        :raises ConfigurationError: A field of the connection is missing or wrong; the text names it.
        """
        return account_of(self.get_connection(self.leadsquared_conn_id))

    @cached_property
    def _pace(self) -> Pace:
        """The pace of many calls at once, submissions and status calls alike."""
        return Pace(self.account.max_requests_per_second)

    async def load_account(self) -> None:
        """
        Read the connection without blocking the event loop, for a trigger; :attr:`account` has it then.

        :raises ConfigurationError: As for :attr:`account`.
        """
        from airflow.providers.common.compat.connection import get_async_connection

        self.account = account_of(await get_async_connection(self.leadsquared_conn_id))

    def get_conn(self) -> SingleCallSession:
        """Return a ``requests`` session for one call; every call of this hook sets its own timeout on it."""
        from airflow_provider_leadsquared.hooks._session import SingleCallSession

        session = SingleCallSession()
        session.headers["User-Agent"] = _user_agent()
        return session

    def submit(
        self, payload: Payload, *, api: str = LEAD_CAPTURE.name, parameters: Mapping[str, str] | None = None
    ) -> responses.Receipt:
        """
        Submit one record to an asynchronous API; the call is made once, for a repeat might double the record.

        :param payload: A record from the API's ``encode``; for leads from ``encode_lead``.
        :param api: The name of the asynchronous API.
        :param parameters: Query parameters, such as ``{"LeadUpdateBehavior": "DoNotUpdate"}``. Default: none.
        :raises ApiError: It was refused, or (``in_doubt``) nobody knows whether it was accepted.
        :raises ValueError: There is no such API, or it takes no such parameter.
        """
        request = requests.submit(self.account, self.account.api(api), payload.body, parameters)
        with self.get_conn() as session:
            return read(responses.read_receipt, request, send(session, request, self.timeout))

    def capture_lead(self, payload: Payload, *, parameters: Mapping[str, str] | None = None) -> Confirmation:
        """
        Capture one lead with the synchronous call, which waits for the CRM; the call is made once.

        :param payload: The lead.
        :param parameters: Further parameters of the call's URL, such as ``LeadUpdateBehavior``. Default: none.
        :raises ApiError: As for :meth:`submit`.
        """
        request = requests.capture_lead(self.account, payload.body, parameters)
        with self.get_conn() as session:
            return read(responses.read_capture, request, send(session, request, self.timeout))

    def get_request_status(self, request_id: str, *, api: str = LEAD_CAPTURE.name) -> responses.RequestStatus:
        """
        Ask for the outcome of one request.

        :param request_id: LeadSquared's name of the request, from the receipt.
        :param api: The name of the asynchronous API that it was submitted to.
        :raises UnknownRequestError: LeadSquared does not know the request.
        :raises ApiError: It could not be asked, after some tries.
        """
        row = self.account.api(api)
        request = requests.get_status(self.account, row, request_id)
        return self._get(responses.read_status, request, request_id, row)

    def get_account_facts(self) -> responses.AccountFacts:
        """
        Ask whose the key pair is, and which synchronous host serves the account; any host of LeadSquared's responds.

        :raises ApiError: It could not be asked, after some tries.
        """
        return self._get(responses.read_account_facts, requests.identify_user(self.account))

    def get_queue_metrics(self, *, api: str = LEAD_CAPTURE.name) -> responses.QueueMetrics:
        """
        Ask how busy LeadSquared's queue is. Advice, never a verdict; not every account has it.

        :param api: The name of the asynchronous API.
        :raises NoSuchPathError: The account has no metrics, or has them at another path.
        :raises ApiError: It could not be asked, after some tries.
        """
        row = self.account.api(api)
        request = requests.get_metrics(self.account, row)
        try:
            return self._get(responses.read_metrics, request)
        except AuthenticationError:
            with_keys = requests.get_metrics(self.account, row, with_key_pair=True)
            return self._get(responses.read_metrics, with_keys)

    def get_lead_fields(self, *, with_options: bool = True) -> tuple[responses.LeadField, ...]:
        """
        Ask which fields the account's leads have.

        :param with_options: Include the values of dropdowns.
        :raises ApiError: It could not be asked, after some tries.
        """
        request = requests.list_lead_fields(self.account, with_options=with_options)
        return self._get(responses.read_lead_fields, request)

    def test_connection(self) -> tuple[bool, str]:
        """
        Check which of hosts, key pair and async key work. Only reads, never raises, shows no key and nothing personal.

        :return: Whether all works; and the account's name, region, number of lead fields and difference of the clocks,
            or what is wrong.
        """
        return check_connection(self)

    def submit_many(
        self,
        payloads: AsyncIterator[tuple[_Name, Payload]],
        *,
        api: str = LEAD_CAPTURE.name,
        parameters: Mapping[str, str] | None = None,
        may_send: Callable[[_Name], bool] | None = None,
        is_stopping: Callable[[], bool] | None = None,
        concurrency: int = 16,
        give_up_after: float = 120.0,
    ) -> AsyncGenerator[tuple[_Name, responses.Receipt | ApiError]]:
        """
        Submit many records, several at a time, and yield the outcome of each as it comes.

        All calls share one back-off: after a failure that is not about one record alone, all wait, and one call tries
        before the others go on (a status call if a record could be left in doubt). A record is sent again here only if
        its last sending was certainly not accepted, or if the API's row says that it may be repeated.

        :param payloads: Names of the caller's choice with their records, taken no sooner than they can be sent.
        :param api: The name of the asynchronous API.
        :param parameters: Query parameters of each submission.
        :param may_send: Asked with a record's name right before each of its sendings, when all waiting is over. Where
            it returns False, the record is not sent: its outcome is a ``SendingExpiredError``. Default: always True.
        :param is_stopping: Once it returns True, no further record is sent. Default: always False.
        :param concurrency: Calls under way at the same time.
        :param give_up_after: Seconds without any success after which the rest is left unsent.
        :raises ApiError: Going on is pointless (keys refused, wrong host, outage): raised after the last outcome was
            yielded. Records without an outcome were not sent.
        :raises ValueError: There is no such API, or it takes no such parameter.
        """
        account, row = self.account, self.account.api(api)
        template = requests.submit(account, row, b"", parameters)

        async def submit(connections: Connections, name: _Name, payload: Payload) -> responses.Receipt:
            request = template.with_body(payload.body)
            may_begin = None if may_send is None else partial(may_send, name)
            may_repeat = row.may_repeat(payload)
            response = await send_async(connections, request, may_repeat=may_repeat, may_send=may_begin)
            return read(responses.read_receipt, request, response)

        async def probe(connections: Connections) -> None:
            # An invented RequestId is unknown; what counts is that LeadSquared says so.
            with suppress(UnknownRequestError):
                request_id = str(uuid.uuid4())
                await _get_status(connections, request_id, (requests.get_status(account, row, request_id), row))

        return self._many(
            payloads,
            submit,
            may_repeat=row.may_repeat,
            concurrency=concurrency,
            give_up_after=give_up_after,
            probe=probe,
            is_stopping=is_stopping,
        )

    def get_request_statuses(
        self,
        request_ids: Iterable[tuple[str, str]],
        *,
        is_stopping: Callable[[], bool] | None = None,
        concurrency: int = 8,
        give_up_after: float = 30.0,
    ) -> AsyncGenerator[tuple[str, responses.RequestStatus | ApiError]]:
        """
        Ask for the outcome of many requests and yield each as it comes.

        :param request_ids: RequestIds, each with the name of the asynchronous API that it was submitted to.
        :param is_stopping: Once it returns True, no further request is asked for. Default: always False.
        :param concurrency: Calls under way at the same time.
        :param give_up_after: Seconds without any success after which the rest is not asked.
        :raises ApiError: As for :meth:`submit_many`.
        :raises ValueError: There is no such API.
        """
        asked = list(request_ids)
        rows = [self.account.api(name) for name in {api for _, api in asked}]
        calls = {row.name: (requests.get_status(self.account, row, ""), row) for row in rows}

        async def named() -> AsyncIterator[tuple[str, _StatusCall]]:
            for request_id, api in asked:
                template, row = calls[api]
                yield request_id, (template.with_last_value(request_id), row)

        return self._many(
            named(),
            _get_status,
            may_repeat=lambda _: True,
            concurrency=concurrency,
            give_up_after=give_up_after,
            is_stopping=is_stopping,
        )

    async def _many(
        self,
        items: AsyncIterator[tuple[_Name, _Item]],
        call: Callable[[Connections, _Name, _Item], Awaitable[_Result]],
        *,
        probe: Callable[[Connections], Awaitable[None]] | None = None,
        concurrency: int,
        **arguments: Any,
    ) -> AsyncGenerator[tuple[_Name, _Result | ApiError]]:
        """Make many calls; see the public methods for what is promised."""
        from airflow_provider_leadsquared.hooks._connections import Connections

        url = self.account.async_url
        async with Connections(url, concurrency, timeout=self.timeout, user_agent=_user_agent()) as connections:
            calls: ManyCalls[_Name, _Item, _Result] = ManyCalls(
                partial(call, connections),
                concurrency=concurrency,
                probe=None if probe is None else partial(probe, connections),
                pace=self._pace,
                log=self.log,
                **arguments,
            )
            async with aclosing(calls.run(items)) as outcomes:
                async for outcome in outcomes:
                    yield outcome

    def _get(self, reader: Callable[..., _Result], request: requests.Request, *arguments: Any) -> _Result:
        """Make a reading call, again while its failure may pass, a bounded number of times."""

        def once() -> _Result:
            with self.get_conn() as session:
                return read(reader, request, send(session, request, self.timeout), *arguments)

        return repeated(once, self.log)


async def _get_status(connections: Connections, request_id: str, call: _StatusCall) -> responses.RequestStatus:
    request, row = call
    return read(responses.read_status, request, await send_async(connections, request), request_id, row)


def _user_agent() -> str:
    from airflow.sdk import __version__ as sdk_version

    return f"airflow-provider-leadsquared/{__version__} airflow-task-sdk/{sdk_version}"
