"""
The root of all errors of this package, and the errors of a call to LeadSquared.

A caller decides on the class and on facts that every :class:`ApiError` states: may the same call be made again
(``transient``), may LeadSquared have taken the call although it failed (``in_doubt``), was anything sent at all
(``was_sent``)? No message here holds a key, a URL with a query, or lead data. Users import errors from
``airflow_provider_leadsquared.exceptions``.
"""

from __future__ import annotations

from typing import ClassVar

from airflow_provider_leadsquared.api.texts import clean_text

#: Characters of an attribute's name in a message; LeadSquared's own are shorter.
_LONGEST_NAME = 100


class LeadSquaredError(Exception):
    """The base of every error that this package raises on purpose, except for wrong arguments (``ValueError``)."""


class InvalidLeadError(LeadSquaredError, ValueError):
    """
    A lead that our own check refused; it was not sent.

    :param attribute: The attribute at fault, empty where it is the lead as a whole.
    :param rule: The rule that it broke, one word.
    :param problem: What is wrong and what to do, without any value.
    """

    def __init__(self, attribute: str, rule: str, problem: str) -> None:
        # The name is the author's or the source's, and this text goes into logs and ledgers.
        name = clean_text(attribute[:_LONGEST_NAME])
        super().__init__(f"{name}: {problem}" if name else problem)
        self.attribute, self.rule, self.problem = attribute, rule, problem

    def __reduce__(self) -> tuple[type[InvalidLeadError], tuple[str, str, str]]:
        return type(self), (self.attribute, self.rule, self.problem)


class ApiError(LeadSquaredError):
    """A call to LeadSquared that failed."""

    #: The same call may succeed if it is made again later.
    transient: ClassVar[bool] = False
    #: LeadSquared may have accepted what was sent.
    in_doubt: ClassVar[bool] = False
    #: The call may have reached a server.
    was_sent: ClassVar[bool] = True
    #: Seconds to wait before the next call, from 0 to 60, as the response asks for; None where it asks for nothing.
    retry_after: float | None = None
    #: How often the record was sent until this outcome.
    sendings: int = 1


class ConfigurationError(ApiError, ValueError):
    """The connection is incomplete or wrong; nothing was sent."""

    was_sent = False


class AuthenticationError(ApiError):
    """LeadSquared refused the keys (401 or 403)."""


class WrongRegionError(AuthenticationError):
    """
    The account is served by another host.

    :param message: What happened.
    :param right_host: The host that LeadSquared named, bare.
    """

    def __init__(self, message: str, right_host: str) -> None:
        super().__init__(message)
        self.right_host = right_host

    def __reduce__(self) -> tuple[type[WrongRegionError], tuple[str, str]]:
        return type(self), (str(self), self.right_host)


class NoSuchPathError(ApiError):
    """The host has no such API (404, or its gateway's 403); nothing was accepted."""


class RejectedError(ApiError):
    """
    LeadSquared refused what was sent, in its own error format; the same again would be refused again.

    :param message: What was refused and why.
    :param exception_type: LeadSquared's name for it (``MX…Exception``), None where it gave none.
    :param reason: LeadSquared's own text, masked.
    """

    #: An earlier sending of the same record got no response, and may have been accepted.
    after_doubt = False

    def __init__(self, message: str, exception_type: str | None, reason: str) -> None:
        super().__init__(message)
        self.exception_type = exception_type
        self.reason = reason

    def __reduce__(self) -> tuple[type[RejectedError], tuple[str, str | None, str]]:
        return type(self), (str(self), self.exception_type, self.reason)


class RateLimitError(ApiError):
    """
    Too many calls; nothing was accepted.

    :param message: What happened.
    :param retry_after: Seconds to wait before the next call, from 0 to 60, as LeadSquared states them.
    """

    transient = True
    retry_after: float

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[RateLimitError], tuple[str, float]]:
        return type(self), (str(self), self.retry_after)


class ServerError(ApiError):
    """LeadSquared failed while it handled the call (5xx without an ``MX…`` exception)."""

    transient = True
    in_doubt = True


class NoConnectionError(ApiError):
    """No connection was established, so nothing was sent."""

    transient = True
    was_sent = False


class SendingExpiredError(ApiError):
    """The caller's time for sending a record had passed before a connection was free; nothing was sent."""

    was_sent = False


class NoResponseError(ApiError):
    """The request was sent and no complete response came back."""

    transient = True
    in_doubt = True


class UnexpectedResponseError(ApiError):
    """A response that is not LeadSquared's: a page, not JSON, an error of an unknown format, or nothing in it."""

    in_doubt = True


class UnknownRequestError(ApiError):
    """
    A status call did not find the request: LeadSquared does not know it, or what was called is no status API.

    :param message: What happened.
    :param is_certain: LeadSquared's status API says so itself. False for an error such as 404 or 400, which may also
        mean that the path is wrong or that another server responds.
    :param server_time: The time on LeadSquared's clock, seconds since the epoch; None where it is not known.
    """

    def __init__(self, message: str, *, is_certain: bool = False, server_time: float | None = None) -> None:
        super().__init__(message)
        self.is_certain, self.server_time = is_certain, server_time
