"""How a task of this package ends when it does not end well."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSensorTimeout


class LeadsNotDelivered(AirflowFailException):
    """The CRM did not take more rows than the author allowed. Another try would end alike, so there is none."""


class LeadsUnsent(AirflowException):
    """Rows were not sent, or are in doubt and may be sent again: the next try goes on with them."""


class LeadsStillOpen(AirflowSensorTimeout):
    """Time ran out before LeadSquared decided. The leads may still arrive; sending them again may double them."""
