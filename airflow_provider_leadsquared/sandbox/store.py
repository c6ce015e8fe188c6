"""
The leads of the account, its anonymous visitors, and the activities posted on leads.

Ids are compared without regard to letter case, and kept and shown as they were first given.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, ValuesView
from dataclasses import dataclass, replace
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

    :param match_form: Returns the form in which a stored value is compared, from the name of its field and the value.
    """

    def __init__(self, match_form: Callable[[str, str], str] = lambda field, value: value.lower()) -> None:
        self.activities: list[Activity] = []
        self._match_form = match_form
        self._leads: dict[str, Lead] = {}
        self._visitors: dict[str, str] = {}
        self._merged: dict[str, str | None] = {}
        self._created = 0
        self._indexes: dict[str, dict[str, dict[str, None]]] = {}

    @property
    def leads(self) -> ValuesView[Lead]:
        """Every lead, the oldest first."""
        return self._leads.values()

    @property
    def visitor_count(self) -> int:
        """How many anonymous visitors there are."""
        return len(self._visitors)

    def lead(self, lead_id: str) -> Lead | None:
        """
        Return a lead, None if there is none with that id.

        :param lead_id: Its id.
        """
        return self._leads.get(lead_id.lower())

    def visitor(self, visitor_id: str) -> str | None:
        """
        Return the id of an anonymous visitor as it was first given, None if there is no such visitor.

        :param visitor_id: The id in any letter case.
        """
        return self._visitors.get(visitor_id.lower())

    def add_visitor(self, visitor_id: str) -> None:
        """
        Add an anonymous visitor.

        :param visitor_id: The id.
        """
        self._visitors.setdefault(visitor_id.lower(), visitor_id)

    def was_removed(self, lead_id: str) -> bool:
        """
        Return whether the lead with an id was merged into another or deleted.

        :param lead_id: The id.
        """
        return lead_id.lower() in self._merged

    def survivor(self, lead_id: str) -> Lead | None:
        """
        Return the lead that a merged lead has become part of, None if that lead was deleted.

        :param lead_id: The id of a lead that was merged or deleted.
        """
        key: str | None = lead_id.lower()
        while key in self._merged:
            key = self._merged[key]
        return self._leads.get(key) if key else None

    def remove(self, lead: Lead, into: Lead | None, at: float) -> None:
        """
        Remove a lead: merge it into another, or delete it.

        The other lead gets the values of the fields that are empty on it, and the activities.

        :param lead: The lead.
        :param into: The lead that survives, None to delete.
        :param at: Sandbox time.
        """
        for field in self._indexes:
            self._unindex(field, lead)
        del self._leads[lead.id.lower()]
        self._merged[lead.id.lower()] = into.id.lower() if into else None
        if into is not None:
            self.update(into, {name: value for name, value in lead.values.items() if not into.values.get(name)}, at)
            into.captures += lead.captures
            self.activities = [
                replace(one, lead_id=into.id) if one.lead_id == lead.id else one for one in self.activities
            ]

    def forget_indexes(self) -> None:
        """Drop the indexes, because values are compared in another form from now on."""
        self._indexes.clear()

    def find(self, field: str, value: str) -> Lead | None:
        """
        Return the oldest lead with a value, None if there is none.

        :param field: The field to search by.
        :param value: The value in its stored form.
        """
        if field not in self._indexes:
            self._indexes[field] = {}
            for lead in self.leads:
                self._index(field, lead)
        keys = self._indexes[field].get(self._match_form(field, value))
        return self._leads[next(iter(keys))] if keys else None

    def create(self, lead_id: str | None, values: dict[str, Value], at: float) -> Lead:
        """
        Add a lead. A visitor with the same id is removed.

        :param lead_id: The id of the lead, None for a new id.
        :param values: Its fields in stored form.
        :param at: Sandbox time.
        """
        self._created += 1
        lead = Lead(lead_id or str(uuid.uuid4()), self._created, at, at, values)
        self._visitors.pop(lead.id.lower(), None)
        self._leads[lead.id.lower()] = lead
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
            form = self._match_form(field, value)
            self._indexes[field].setdefault(form, {})[lead.id.lower()] = None

    def _unindex(self, field: str, lead: Lead) -> None:
        value = lead.values.get(field)
        if field in self._indexes and isinstance(value, str) and value:
            self._indexes[field][self._match_form(field, value)].pop(lead.id.lower(), None)


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.000")
