"""The CRM's own yes: the innermost part of a successful response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_leadsquared.api.json_schema import first_error
from airflow_provider_leadsquared.api.texts import clean_text

#: Characters of an id that is kept.
_LONGEST_ID = 100


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
    if first_error("capture", inner) is not None:
        return None
    message = inner["message"]
    lead_id = _clean_id(message["relatedid"])
    if lead_id is None or len(lead_id) > _LONGEST_ID:
        return None
    is_created = str(message["iscreated"]).strip().lower() in ("true", "1", "1.0")
    return Confirmation(lead_id, _clean_id(message.get("id")), is_created)


def _clean_id(value: object) -> str | None:
    """Return an id, a text or a whole number, as a text that can be kept; None where there is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return clean_text(str(value)).strip() or None
