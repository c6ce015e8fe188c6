"""What the account holds: leads found by index, anonymous visitors, and the activities posted on leads."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

Value = str | dict[str, str]
"""A field's value; a dictionary for a custom field set."""


@dataclass(slots=True)
class Lead:
    """One lead; ``captures`` counts the Lead Capture activities posted on it."""

    id: str
    number: int
    created_at: float
    modified_at: float
    values: dict[str, Value]
    captures: int = 0

    def as_json(self) -> dict[str, object]:
        """Return the lead for read-back."""
        return {
            "id": self.id,
            "number": self.number,
            "created_at": self.created_at,
            "modified_at": self.modified_at,
            "captures": self.captures,
            "values": self.values,
        }

    def flat(self, schema_names: list[str]) -> dict[str, str | None]:
        """
        Return the lead as LeadSquared's reads do, every value a string or null.

        :param schema_names: The fields to show.
        """
        shown: dict[str, str | None] = {
            "ProspectID": self.id,
            "ProspectAutoId": str(self.number),
            "CreatedOn": _stamp(self.created_at),
            "ModifiedOn": _stamp(self.modified_at),
        }
        for name in schema_names:
            value = self.values.get(name)
            shown[name] = json.dumps(value) if isinstance(value, dict) else value or None
        return shown


@dataclass(frozen=True, slots=True)
class Activity:
    """One Lead Capture activity, with the source fields sent along."""

    id: str
    lead_id: str
    at: float
    is_duplicate: bool
    source: Mapping[str, str]

    def as_json(self) -> dict[str, object]:
        """Return the activity for read-back; 23 is the event code seen for Lead Capture."""
        return {
            "id": self.id,
            "lead_id": self.lead_id,
            "event": 23,
            "at": self.at,
            "is_duplicate": self.is_duplicate,
            "source": dict(self.source),
        }


class Store:
    """
    Leads, visitors and activities of one account.

    An index is built when a field is first searched by, so a search never scans the leads.
    """

    def __init__(self) -> None:
        self.leads: dict[str, Lead] = {}
        self.visitors: set[str] = set()
        self.activities: list[Activity] = []
        self._indexes: dict[str, dict[str, dict[str, None]]] = {}

    def find(self, field: str, value: str) -> Lead | None:
        """
        Return the oldest lead with a value, letter case aside.

        :param field: The field to search by.
        :param value: The value in its stored form.
        """
        if field not in self._indexes:
            self._indexes[field] = {}
            for lead in self.leads.values():
                self._index(field, lead)
        ids = self._indexes[field].get(value.casefold())
        return self.leads[next(iter(ids))] if ids else None

    def create(self, lead_id: str | None, values: dict[str, Value], at: float) -> Lead:
        """
        Add a lead; a visitor of that id becomes it.

        :param lead_id: The id to take, or None for a new one.
        :param values: Its fields.
        :param at: Sandbox time.
        """
        lead = Lead(lead_id or str(uuid.uuid4()), len(self.leads) + 1, at, at, values)
        self.visitors.discard(lead.id)
        self.leads[lead.id] = lead
        for field in self._indexes:
            self._index(field, lead)
        return lead

    def update(self, lead: Lead, changes: Mapping[str, Value], at: float) -> None:
        """
        Overwrite some fields of a lead; members of a custom field set are merged.

        :param lead: The lead.
        :param changes: The fields to set.
        :param at: Sandbox time.
        """
        for field, value in changes.items():
            self._unindex(field, lead)
            before = lead.values.get(field)
            lead.values[field] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
            if field in self._indexes:
                self._index(field, lead)
        if changes:
            lead.modified_at = at

    def post_activity(self, lead: Lead, at: float, source: Mapping[str, str], is_duplicate: bool = False) -> Activity:
        """
        Post a Lead Capture activity on a lead.

        :param lead: The lead.
        :param at: Sandbox time.
        :param source: The source fields that came with the capture.
        :param is_duplicate: Whether the capture was refused because this lead already exists.
        """
        activity = Activity(str(uuid.uuid4()), lead.id, at, is_duplicate, source)
        self.activities.append(activity)
        lead.captures += 1
        return activity

    def _index(self, field: str, lead: Lead) -> None:
        value = lead.values.get(field)
        if isinstance(value, str) and value:
            self._indexes[field].setdefault(value.casefold(), {})[lead.id] = None

    def _unindex(self, field: str, lead: Lead) -> None:
        value = lead.values.get(field)
        if field in self._indexes and isinstance(value, str) and value:
            self._indexes[field][value.casefold()].pop(lead.id, None)


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.000")
