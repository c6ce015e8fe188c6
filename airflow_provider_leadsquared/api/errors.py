"""
What can go wrong in a call, as a tree of exceptions.

A caller decides on the class and on two facts that every class states: may the same call be made again
(``transient``), and may LeadSquared have taken the call although it looks failed (``in_doubt``)? No text here holds
a key, a URL with a query, or lead data.
"""

from __future__ import annotations

from typing import ClassVar


class LeadSquaredError(Exception):
    """Anything that went wrong between this package and LeadSquared."""

    #: The same call may succeed if it is made again later.
    transient: ClassVar[bool] = False
    #: LeadSquared may have accepted what was sent.
    in_doubt: ClassVar[bool] = False


class ConfigurationError(LeadSquaredError, ValueError):
    """The connection is incomplete or wrong; nothing was sent."""


class AuthenticationError(LeadSquaredError):
    """LeadSquared refused the keys (401 or 403)."""


class WrongRegionError(AuthenticationError):
    """
    The account lives on another host.

    :param message: What happened.
    :param right_host: The host that LeadSquared named, bare.
    """

    def __init__(self, message: str, right_host: str) -> None:
        super().__init__(message)
        self.right_host = right_host

    def __reduce__(self) -> tuple[type[WrongRegionError], tuple[str, str]]:
        return type(self), (str(self), self.right_host)


class NoSuchPathError(LeadSquaredError):
    """The host has no such API (404, or its gateway's 403); nothing was sent."""


class RejectedError(LeadSquaredError):
    """
    LeadSquared refused what was sent; the same again would be refused again.

    :param message: What was refused and why.
    :param exception_type: LeadSquared's name for it (``MX…Exception``), None where it gave none.
    :param reason: LeadSquared's own text, masked.
    """

    #: An earlier sending of the same got no answer, and may have been accepted.
    after_doubt = False

    def __init__(self, message: str, exception_type: str | None, reason: str) -> None:
        super().__init__(message)
        self.exception_type = exception_type
        self.reason = reason

    def __reduce__(self) -> tuple[type[RejectedError], tuple[str, str | None, str]]:
        return type(self), (str(self), self.exception_type, self.reason)


class RateLimitError(LeadSquaredError):
    """
    Too many calls; nothing was taken.

    :param message: What happened.
    :param retry_after: Seconds to leave the account alone, as LeadSquared states them.
    """

    transient = True

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[RateLimitError], tuple[str, float]]:
        return type(self), (str(self), self.retry_after)


class ServerError(LeadSquaredError):
    """LeadSquared failed while it handled the call (5xx without an ``MX…`` exception)."""

    transient = True
    in_doubt = True


class NoConnectionError(LeadSquaredError):
    """No connection came about, so nothing was sent."""

    transient = True


class NoAnswerError(LeadSquaredError):
    """The call went out and no whole answer came back."""

    transient = True
    in_doubt = True


class UnexpectedAnswerError(LeadSquaredError):
    """An answer came that is none of LeadSquared's: not JSON, or without what it must hold."""

    in_doubt = True


class UnknownRequestError(LeadSquaredError):
    """LeadSquared does not know this RequestId (yet, any more, or for this account)."""
