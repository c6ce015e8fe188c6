"""
Every error that users of this package may catch, under one base: :class:`LeadSquaredError`.

The errors of a task are defined here; those of a call, a ledger or a run are defined beside the code that raises them,
because that code must not import Airflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSensorTimeout

from airflow_provider_leadsquared.api.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    InvalidLeadError,
    LeadSquaredError,
    NoConnectionError,
    NoResponseError,
    NoSuchPathError,
    RateLimitError,
    RejectedError,
    SendingExpiredError,
    ServerError,
    UnexpectedResponseError,
    UnknownRequestError,
    WrongRegionError,
)
from airflow_provider_leadsquared.delivery.counts import CountsError
from airflow_provider_leadsquared.ledgers.errors import (
    LedgerDataError,
    LedgerError,
    LedgerMissingError,
    LedgerTakenError,
    LedgerUnavailableError,
    LedgerVersionError,
)
from airflow_provider_leadsquared.sync.policies import RunRefusedError
from airflow_provider_leadsquared.sync.staging import StagingError

__all__ = [
    "ApiError",
    "AuthenticationError",
    "ConfigurationError",
    "CountsError",
    "InvalidLeadError",
    "LeadSquaredError",
    "LeadsNotDelivered",
    "LeadsStillOpen",
    "LeadsUnsent",
    "LedgerDataError",
    "LedgerError",
    "LedgerMissingError",
    "LedgerTakenError",
    "LedgerUnavailableError",
    "LedgerVersionError",
    "NoConnectionError",
    "NoResponseError",
    "NoSuchPathError",
    "RateLimitError",
    "RejectedError",
    "RowSourceError",
    "RunRefusedError",
    "SendingExpiredError",
    "ServerError",
    "StagingError",
    "TaskError",
    "TriggerEventError",
    "UnexpectedResponseError",
    "UnknownRequestError",
    "UnusableFileError",
    "WarehouseError",
    "WrongRegionError",
]


class TaskError(LeadSquaredError):
    """
    A task that did not end well, with what a callback or a notifier needs to say so.

    :param message: What happened and what to do next.
    :param counts: Rows by state, as in the task's XCom: ``{"read": 3, "created": 2, "rejected": 1}``.
    :param reasons: Rejected rows by state and reason: ``{"rejected: MXDuplicateEntryException": 1}``.
    :param examples: Names of some of the rows behind the reasons: row keys, or ``row 7`` where there are none.
    """

    def __init__(
        self,
        message: str,
        *,
        counts: Mapping[str, int] | None = None,
        reasons: Mapping[str, int] | None = None,
        examples: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.counts, self.reasons, self.examples = dict(counts or {}), dict(reasons or {}), list(examples)

    def __reduce__(self) -> tuple[type[TaskError], tuple[str], dict[str, object]]:
        return type(self), (str(self),), self.__dict__


class LeadsNotDelivered(TaskError, AirflowFailException):
    """
    More rows than the author allowed are not in the CRM, or nobody can tell whether they are.

    Another try would end alike, so there is none.
    """


class LeadsUnsent(TaskError, AirflowException):
    """Rows were not sent, or are in doubt and may be sent again: the next try continues with them."""


class LeadsStillOpen(TaskError, AirflowSensorTimeout):
    """Time ran out before LeadSquared decided. The leads may still arrive; sending them again may double them."""


class TriggerEventError(LeadSquaredError):
    """What a triggerer sent to a deferred task is of no use. Nothing is lost: a retry continues the wait."""


class RowSourceError(LeadSquaredError):
    """The rows of a sync could not be read to their end; nothing was sent."""


class UnusableFileError(RowSourceError, AirflowFailException):
    """A file is not what it was said to be; nothing was sent. Another try would end alike, so there is none."""


class WarehouseError(RowSourceError):
    """
    The warehouse refused the query, failed on the way, or went away; nothing was sent.

    :param message: What happened, without any value of a row.
    :param sqlstate: The SQLSTATE, where the driver gives one.
    :param rows_read: How many rows had been read before.
    """

    def __init__(self, message: str, *, sqlstate: str | None = None, rows_read: int = 0) -> None:
        super().__init__(message)
        self.sqlstate, self.rows_read = sqlstate, rows_read

    def __reduce__(self) -> tuple[type[WarehouseError], tuple[str], dict[str, object]]:
        return type(self), (str(self),), self.__dict__
