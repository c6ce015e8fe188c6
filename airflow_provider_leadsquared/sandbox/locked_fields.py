"""Fields that only administrators may change once the lead exists (``LockAfterCreate``)."""

from __future__ import annotations

from airflow_provider_leadsquared.sandbox.errors import MXError
from airflow_provider_leadsquared.sandbox.fields import Schema
from airflow_provider_leadsquared.sandbox.settings import Settings
from airflow_provider_leadsquared.sandbox.store import Lead, Value


def without_locked_fields(
    schema: Schema, settings: Settings, lead: Lead, changes: dict[str, Value]
) -> dict[str, Value]:
    """
    Return the changes that may be made to a lead that exists.

    :param settings: The switch ``locked`` says whether such a change is rejected, left out or accepted.
    :raises MXError: A change is rejected.
    """
    if settings.locked == "accept":
        return changes
    locked = [
        name
        for name, value in changes.items()
        if schema.fields[name].lock_after_create and _would_change(lead.values.get(name, ""), value)
    ]
    if locked and settings.locked == "reject":
        raise MXError("MXInvalidInputException", f"{locked[0]} is locked after the lead is created.", lead.id)
    return {name: value for name, value in changes.items() if name not in locked}


def _would_change(before: Value, value: Value) -> bool:
    if isinstance(before, dict) and isinstance(value, dict):
        return {**before, **value} != before
    return before != value
