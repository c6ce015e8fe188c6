"""What can go wrong with a ledger. Users import these from ``airflow_provider_leadsquared.exceptions``."""

from __future__ import annotations

from airflow_provider_leadsquared.api.errors import LeadSquaredError


class LedgerError(LeadSquaredError):
    """The base of the ledger's errors."""


class LedgerUnavailableError(LedgerError):
    """The ledger could not be read or written for a reason that may pass; the same may succeed later."""


class LedgerDataError(LedgerError):
    """The ledger cannot take a value, or holds one that cannot be read. Another try would end alike."""


class LedgerTakenError(LedgerError):
    """Another try of the task has taken the ledger over; this one must not send any more."""

    def __init__(self, message: str = "another try of this task has begun; this one stops sending") -> None:
        super().__init__(message)


class LedgerVersionError(LedgerError):
    """The ledger was written by another version of this package, which this one cannot read. Nothing was sent."""


class LedgerMissingError(LedgerError):
    """There is no ledger of this name in the database that the connection leads to."""
