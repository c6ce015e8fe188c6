"""The controls and the recorded data of the sandbox, as data for JSON. HTTP and :class:`Sandbox` both use it."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.endpoints import endpoint_names
from airflow_provider_leadsquared.sandbox.faults import Fault
from airflow_provider_leadsquared.sandbox.queue import State

PAGE_SIZE = 1000
MAX_PAGE_SIZE = 10000
COLLECTIONS = ("posts", "polls", "requests", "leads", "activities")
"""The names of the collections of recorded data."""


class _Entry(Protocol):
    def as_json(self) -> dict[str, object]: ...


class Control:
    """
    Read the data of an account and control it.

    :param account: The account.
    """

    def __init__(self, account: Account) -> None:
        self.account = account

    def counts(self) -> dict[str, object]:
        """Return how many entries each collection has, how many visitors there are, and how many requests per state."""
        account = self.account
        account.run_due()
        return {
            "posts": len(account.posts),
            "polls": len(account.polls),
            "leads": len(account.store.leads),
            "activities": len(account.store.activities),
            "visitors": account.store.visitor_count,
            "requests": len(account.queue.requests),
            "states": {state.value: account.queue.counts[state] for state in State},
        }

    def page(self, collection: str, after: int = 0, limit: int = PAGE_SIZE) -> dict[str, object]:
        """
        Return one page of a collection, oldest entries first.

        :param collection: One of :data:`COLLECTIONS`.
        :param after: How many entries to skip.
        :param limit: How many entries to return at most, 1 to 10000.
        :return: ``items``, ``total``, and ``next``: the ``after`` of the next page, None on the last page.
        :raises ValueError: If the collection does not exist or a number is out of range.
        """
        if after < 0 or not 1 <= limit <= MAX_PAGE_SIZE:
            raise ValueError(f"after must be 0 or more, limit between 1 and {MAX_PAGE_SIZE}")
        entries = self._entries(collection)
        end = after + limit
        items = [entry.as_json() for entry in itertools.islice(entries, after, end)]
        return {"items": items, "total": len(entries), "next": end if end < len(entries) else None}

    def entry(self, collection: str, entry_id: str) -> dict[str, object] | None:
        """
        Return one request or lead, None if there is none with that id.

        :param collection: ``requests`` or ``leads``.
        :param entry_id: Its id.
        :raises ValueError: If it is another collection.
        """
        self.account.run_due()
        found: _Entry | None
        match collection:
            case "requests":
                found = self.account.queue.request(entry_id)
            case "leads":
                found = self.account.store.lead(entry_id)
            case _:
                raise ValueError("only requests and leads can be found by id")
        return found.as_json() if found else None

    def clock(self) -> dict[str, object]:
        """Return sandbox time ``now``, real time ``now_real`` and ``speed``."""
        now = self.account.run_due()
        return {"now": now, "now_real": self.account.clock.real_time(now), "speed": self.account.clock.speed}

    def move_clock(self, raw: object) -> dict[str, object]:
        """
        Advance the clock by ``advance`` sandbox seconds, or set its ``speed``.

        :param raw: The decoded JSON object with one or both.
        :return: The clock afterwards.
        :raises ValueError: If a key is unknown or a value is out of range.
        """
        changes = _object(raw)
        if set(changes) - {"advance", "speed"} or not all(_is_number(value) for value in changes.values()):
            raise ValueError("the clock has the numbers advance and speed only")
        self.account.move_clock(changes.get("advance", 0.0), changes.get("speed"))
        return self.clock()

    def switches(self) -> dict[str, object]:
        """Return every switch and its value."""
        return self.account.settings.as_json()

    def set_switches(self, raw: object) -> dict[str, object]:
        """
        Set switches.

        :param raw: The decoded JSON object of names and values.
        :return: Every switch afterwards.
        :raises ValueError: If a switch does not exist or a value is wrong. Then nothing is changed.
        """
        self.account.change(_object(raw))
        return self.switches()

    def faults(self) -> list[dict[str, object]]:
        """Return the active faults."""
        return [fault.as_json() for fault in self.account.faults.active]

    def add_faults(self, raw: object) -> list[dict[str, object]]:
        """
        Set one fault or a list of faults.

        :param raw: The decoded JSON.
        :return: The new faults with their ids.
        :raises ValueError: If one is wrong. Then none is set.
        """
        faults = [Fault.from_json(one, endpoint_names()) for one in (raw if isinstance(raw, list) else [raw])]
        for fault in faults:
            self.account.faults.add(fault)
        return [fault.as_json() for fault in faults]

    def clear_faults(self, fault_id: int | None = None) -> None:
        """
        Clear one fault, or all.

        :param fault_id: Id of the fault; None clears all. An unknown id is ignored.
        """
        self.account.faults.clear(fault_id)

    def add_visitors(self, raw: object) -> dict[str, object]:
        """
        Add anonymous visitors.

        :param raw: The decoded JSON object with the list ``ids``.
        :return: How many visitors there are.
        :raises ValueError: If an id is not a text, is empty, or is the id of a lead.
        """
        ids = _object(raw).get("ids")
        if not isinstance(ids, list) or not all(isinstance(one, str) and one for one in ids):
            raise ValueError("ids must be a list of texts")
        if taken := [one for one in ids if self.account.store.lead(one)]:
            raise ValueError(f"{taken[0]} is already a lead")
        for one in ids:
            self.account.store.add_visitor(one)
        return {"visitors": self.account.store.visitor_count}

    def merge_leads(self, raw: object) -> dict[str, object]:
        """
        Merge a lead into another, or delete it.

        :param raw: The decoded JSON object: ``lead``, the id of the lead that goes, and ``into``, the id of the lead
            that gets its activities and the values of its own empty fields; null deletes.
        :return: How many leads there are.
        :raises ValueError: If there is no such lead, or both are the same.
        """
        ids, store = _object(raw), self.account.store
        now = self.account.run_due()
        if set(ids) != {"lead", "into"}:
            raise ValueError("a merge has the ids lead and into; into may be null")
        leads = {name: store.lead(str(one)) for name, one in ids.items() if one is not None}
        for name, lead in leads.items():
            if lead is None:
                raise ValueError(f"there is no lead with the id given as {name}")
        gone, kept = leads.get("lead"), leads.get("into")
        if gone is None or gone is kept:
            raise ValueError("lead and into must be two leads")
        store.remove(gone, kept, now)
        return {"leads": len(store.leads)}

    def reset(self) -> dict[str, object]:
        """Delete everything except the clock, and set every switch to its value at the start."""
        self.account.reset()
        return self.counts()

    def _entries(self, collection: str) -> Collection[_Entry]:
        account = self.account
        account.run_due()
        match collection:
            case "posts":
                return account.posts
            case "polls":
                return account.polls
            case "requests":
                return account.queue.requests
            case "leads":
                return account.store.leads
            case "activities":
                return account.store.activities
            case _:
                raise ValueError(f"the collections are {', '.join(COLLECTIONS)}")


def _object(raw: object) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise ValueError("the body must be a JSON object")
    return raw


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
