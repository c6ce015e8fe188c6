"""The CRM's own yes: the innermost part of a successful response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_leadsquared.api.texts import clean_text

#: Characters of an id that is kept.
_LONGEST_ID = 100
#: What ``IsCreated`` may say if it is a text, in lower case.
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """
    A record that is in the CRM.

    :param lead_id: The lead (LeadSquared's ``RelatedId``).
    :param activity_id: The activity posted on it (``Id``), None if the response does not name one.
    :param is_created: True for a new record, False for an existing one.
    """

    lead_id: str
    activity_id: str | None
    is_created: bool


def read_lead_confirmation(inner: Mapping[str, Any]) -> Confirmation | None:
    """
    Read what a lead capture returns inside a successful response.

    Ids may be numbers, and ``IsCreated`` a text or a number: LeadSquared documents no types.

    :param inner: The inner response, its keys in lower case.
    :return: None if it does not say what was captured.
    """
    # Plain code, not a JSON Schema: every request is read here, and a schema takes longer than all the rest.
    status, message = inner.get("status"), inner.get("message")
    if not (isinstance(status, str) and status.strip().lower() == "success" and isinstance(message, Mapping)):
        return None
    lead_id, is_created = _clean_id(message.get("relatedid")), _flag(message.get("iscreated"))
    if lead_id is None or len(lead_id) > _LONGEST_ID or is_created is None:
        return None
    return Confirmation(lead_id, _clean_id(message.get("id")), is_created)


def _flag(value: object) -> bool | None:
    """Return what a boolean, a number or a text says; None if it says neither yes nor no."""
    if isinstance(value, (int, float)):
        return bool(value) if value in (0, 1) else None
    return _FLAGS.get(value.strip().lower()) if isinstance(value, str) else None


def _clean_id(value: object) -> str | None:
    """Return an id, a text or a whole number, as a text that can be kept; None where there is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return clean_text(str(value)).strip() or None
