"""The leads of the account, its anonymous visitors, and the activities posted on leads."""

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
    """One lead. Times are sandbox times; ``captures`` counts the Lead Capture activities posted on it."""

    id: str
    number: int
    created_at: float
    modified_at: float
    values: dict[str, Value]
    captures: int = 0

    def as_json(self) -> dict[str, object]:
        """Return the lead as JSON."""
        return {
            "id": self.id,
            "number": self.number,
            "created_at": self.created_at,
            "modified_at": self.modified_at,
            "captures": self.captures,
            "values": self.values,
        }

    def as_read_response(self, schema_names: list[str]) -> dict[str, str | None]:
        """
        Return the lead as LeadSquared's read endpoints do: every value is a string or null.

        :param schema_names: The fields to include.
        """
        described: dict[str, str | None] = {
            "ProspectID": self.id,
            "ProspectAutoId": str(self.number),
            "CreatedOn": _timestamp(self.created_at),
            "ModifiedOn": _timestamp(self.modified_at),
        }
        for name in schema_names:
            value = self.values.get(name)
            described[name] = json.dumps(value) if isinstance(value, dict) else value or None
        return described


@dataclass(frozen=True, slots=True)
class Activity:
    """One Lead Capture activity; ``source`` has the source fields of the capture."""

    id: str
    lead_id: str
    at: float
    is_duplicate: bool
    source: Mapping[str, str]

    def as_json(self) -> dict[str, object]:
        """Return the activity as JSON. 23 is LeadSquared's event code of Lead Capture."""
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

    The index of a field is built at the first search by that field, so that later searches do not scan the leads.
    """

    def __init__(self) -> None:
        self.leads: dict[str, Lead] = {}
        self.visitors: set[str] = set()
        self.activities: list[Activity] = []
        self._indexes: dict[str, dict[str, dict[str, None]]] = {}

    def find(self, field: str, value: str) -> Lead | None:
        """
        Return the oldest lead with a value, without regard to letter case. None if there is none.

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
        Add a lead. A visitor with the same id is removed.

        :param lead_id: The id of the lead, None for a new id.
        :param values: Its fields in stored form.
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
        Set some fields of a lead. Members of a custom field set that are not given stay as they are.

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
        :param is_duplicate: Whether the capture was rejected because this lead already has a unique value.
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


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.000")
