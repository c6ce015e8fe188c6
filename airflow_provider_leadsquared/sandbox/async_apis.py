"""
The asynchronous APIs of the sandbox, in one table.

Each API has one endpoint that accepts requests, one that shows the status of a request, and optional metrics
endpoints. To add an API, write a :class:`Handler` and add one :class:`AsyncApi` to :data:`ASYNC_APIS`. Endpoints,
keys, queue, retries, faults and records follow from the table, which is read at every call: an entry that is added
while a sandbox runs is served at once. All APIs of an account share one queue.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_leadsquared.sandbox.capture import CaptureResult, Pair, read_lead, read_pairs
from airflow_provider_leadsquared.sandbox.fields import Schema
from airflow_provider_leadsquared.sandbox.settings import Settings
from airflow_provider_leadsquared.sandbox.store import Store

LEAD_CAPTURE = "lead_capture"


class SubmittedRequest(Protocol):
    """The part of a request that a handler works on."""

    @property
    def body(self) -> str:
        """The submitted text."""

    @property
    def parameters(self) -> Mapping[str, str]:
        """The query parameters, without the keys; names in lower case."""


class ReceivingAccount(Protocol):
    """The part of an account that a handler works on."""

    settings: Settings
    schema: Schema
    store: Store

    def capture(self, pairs: list[Pair], behavior: str | None, at: float | None = None) -> CaptureResult:
        """Capture a lead; see ``Account.capture``."""


class Handler(ABC):
    """
    What one asynchronous API does with the bodies submitted to it.

    One handler serves every sandbox of the process, so it keeps no state of its own.
    """

    task_type: str
    """``TaskType`` in status responses, such as ``Lead Capture``."""

    @abstractmethod
    def check(self, body: str) -> None:
        """
        Check the shape of a body when it is submitted. The content is checked later, by :meth:`process`.

        :param body: The submitted text. It is known to have come as JSON in UTF-8.
        :raises ValueError: If the body is not well-formed. The sandbox then responds with HTTP 400.
        """

    @abstractmethod
    def process(self, account: ReceivingAccount, request: SubmittedRequest, at: float) -> dict[str, object]:
        """
        Process a request. The queue calls this at the first attempt that is not a system error.

        :param account: The account that received the request.
        :param request: The request, with its ``body`` and ``parameters``.
        :param at: Sandbox time of the attempt, in seconds since 1970.
        :return: The result, shown as ``Message`` of the status response:
            ``{"Status": "Success", "Message": {"Id": …, "RelatedId": …, "IsCreated": …}}`` for lead capture.
        :raises MXError: If the request is rejected. It is not retried.
        """

    def read_lead(self, body: str) -> Mapping[str, str | None] | None:
        """
        Return attributes and values of the lead in a body, for fault conditions and for the record of POSTs.

        Reads one array of attribute/value pairs; an API with other bodies overrides it.

        :param body: The submitted text, well-formed or not.
        :return: None if the body has no lead.
        :raises ValueError: If the body cannot be read, which counts as a body without a lead.
        """
        return read_lead(body)


@dataclass(frozen=True, slots=True)
class AsyncApi:
    """One asynchronous API: its name, its paths on the async host, and its handler."""

    name: str
    submit_path: str
    """Path of the POST that submits a request."""
    status_path: str
    """Path of the GET that polls a request. It knows the requests of this API only."""
    metrics_paths: tuple[str, ...]
    """Paths of the GET that shows the metrics of the queue. May be empty."""
    handler: Handler

    def read_lead(self, body: str) -> Mapping[str, str | None] | None:
        """
        Return attributes and values of the lead in a body, None if it has none or cannot be read.

        :param body: The submitted text.
        """
        try:
            return self.handler.read_lead(body)
        except ValueError:
            return None

    def endpoint_name(self, action: str) -> str:
        """
        Return the name of an endpoint in faults and records: ``<name>.<action>``.

        The endpoints of lead capture are ``capture``, ``status`` and ``metrics``.

        :param action: ``submit``, ``status`` or ``metrics``.
        """
        if self.name == LEAD_CAPTURE:
            return "capture" if action == "submit" else action
        return f"{self.name}.{action}"


class LeadCaptureHandler(Handler):
    """Lead capture: the body is one array of attribute/value pairs, the result is that of a synchronous capture."""

    task_type = "Lead Capture"

    def check(self, body: str) -> None:
        """
        Check that the body is one array of attribute/value pairs.

        :param body: The submitted text.
        :raises ValueError: If it is not.
        """
        read_pairs(body)

    def process(self, account: ReceivingAccount, request: SubmittedRequest, at: float) -> dict[str, object]:
        """
        Capture the lead.

        :param account: The account that received the request.
        :param request: The request.
        :param at: Sandbox time of the attempt.
        :return: The response body of a synchronous capture.
        :raises MXError: If the lead is rejected.
        """
        behavior = request.parameters.get("leadupdatebehavior") or None
        return account.capture(read_pairs(request.body), behavior, at).body()


ASYNC_APIS: dict[str, AsyncApi] = {
    LEAD_CAPTURE: AsyncApi(
        LEAD_CAPTURE,
        submit_path="/lead/capture",
        status_path="/lead/status",
        metrics_paths=("/lead/capture/metrics", "/lead/metrics"),
        handler=LeadCaptureHandler(),
    )
}
"""Every asynchronous API, by name. Mutable, so that a test can add one."""
