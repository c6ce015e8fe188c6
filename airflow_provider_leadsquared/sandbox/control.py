"""The sandbox's own controls and its truth, as JSON-ready data; HTTP and in-process use share it."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.faults import Fault
from airflow_provider_leadsquared.sandbox.protocol import ENDPOINT_NAMES
from airflow_provider_leadsquared.sandbox.queue import State

PAGE_SIZE = 1000
MAX_PAGE_SIZE = 10000
BOOKS = ("posts", "looks", "requests", "leads", "activities")


class _Entry(Protocol):
    def as_json(self) -> dict[str, object]: ...


class Control:
    """
    Look into an account and change its ways.

    :param account: The account.
    """

    def __init__(self, account: Account) -> None:
        self.account = account

    def counts(self) -> dict[str, object]:
        """Return how much of everything there is, and the requests by state."""
        account = self.account
        account.catch_up()
        return {
            "posts": len(account.posts),
            "looks": len(account.looks),
            "leads": len(account.store.leads),
            "activities": len(account.store.activities),
            "visitors": len(account.store.visitors),
            "requests": len(account.queue.requests),
            "states": {state.value: account.queue.counts[state] for state in State},
        }

    def page(self, book: str, after: int = 0, limit: int = PAGE_SIZE) -> dict[str, object]:
        """
        Return one page of a book, oldest entries first.

        :param book: One of :data:`BOOKS`.
        :param after: Entries to skip.
        :param limit: Entries at most.
        :return: ``items``, ``total``, and ``next``: the ``after`` of the next page, None on the last.
        :raises ValueError: When there is no such book or page.
        """
        if after < 0 or not 1 <= limit <= MAX_PAGE_SIZE:
            raise ValueError(f"after is 0 or more, limit between 1 and {MAX_PAGE_SIZE}")
        entries = self._book(book)
        end = after + limit
        items = [entry.as_json() for entry in itertools.islice(entries, after, end)]
        return {"items": items, "total": len(entries), "next": end if end < len(entries) else None}

    def entry(self, book: str, entry_id: str) -> dict[str, object] | None:
        """
        Return one request or lead, None when there is none of that id.

        :param book: ``requests`` or ``leads``.
        :param entry_id: Its id.
        :raises ValueError: When the book has no ids.
        """
        self.account.catch_up()
        found: _Entry | None
        match book:
            case "requests":
                found = self.account.queue.requests.get(entry_id)
            case "leads":
                found = self.account.store.leads.get(entry_id)
            case _:
                raise ValueError("only requests and leads are found by id")
        return found.as_json() if found else None

    def clock(self) -> dict[str, object]:
        """Return sandbox time, real time and speed."""
        now = self.account.catch_up()
        return {"now": now, "now_real": self.account.clock.real(now), "speed": self.account.clock.speed}

    def move_clock(self, raw: object) -> dict[str, object]:
        """
        Jump forward by ``advance`` sandbox seconds, or run at another ``speed``.

        :param raw: The decoded JSON object with one or both.
        :raises ValueError: When the clock cannot do that.
        """
        moves = _object(raw)
        if set(moves) - {"advance", "speed"} or not all(_is_number(value) for value in moves.values()):
            raise ValueError("the clock takes numbers: advance, speed")
        self.account.move_clock(moves.get("advance", 0.0), moves.get("speed"))
        return self.clock()

    def switches(self) -> dict[str, object]:
        """Return every switch and its value."""
        return self.account.settings.as_json()

    def set_switches(self, raw: object) -> dict[str, object]:
        """
        Set switches.

        :param raw: The decoded JSON object of names and values.
        :raises ValueError: When one does not exist; nothing is changed then.
        """
        self.account.change(_object(raw))
        return self.switches()

    def faults(self) -> list[dict[str, object]]:
        """Return the active faults."""
        return [fault.as_json() for fault in self.account.faults.active]

    def add_faults(self, raw: object) -> list[dict[str, object]]:
        """
        Set one fault or a list of them, and return them with their ids.

        :param raw: The decoded JSON.
        :raises ValueError: When one is not a fault; none is set then.
        """
        faults = [Fault.from_json(one, ENDPOINT_NAMES) for one in (raw if isinstance(raw, list) else [raw])]
        for fault in faults:
            self.account.faults.add(fault)
        return [fault.as_json() for fault in faults]

    def clear_faults(self, fault_id: int | None = None) -> None:
        """
        Clear one fault, or all.

        :param fault_id: Which one; all when left out.
        """
        self.account.faults.clear(fault_id)

    def add_visitors(self, raw: object) -> dict[str, object]:
        """
        Make ids known as anonymous visitors.

        :param raw: The decoded JSON object with the list ``ids``.
        :raises ValueError: When an id is no text or is a lead's already.
        """
        ids = _object(raw).get("ids")
        if not isinstance(ids, list) or not all(isinstance(one, str) and one for one in ids):
            raise ValueError("ids is a list of texts")
        if taken := [one for one in ids if one in self.account.store.leads]:
            raise ValueError(f"{taken[0]} is a lead already")
        self.account.store.visitors.update(ids)
        return {"visitors": len(self.account.store.visitors)}

    def reset(self) -> dict[str, object]:
        """Forget everything but the clock, and set every switch as it was at the start."""
        self.account.reset()
        return self.counts()

    def _book(self, book: str) -> Collection[_Entry]:
        account = self.account
        account.catch_up()
        match book:
            case "posts":
                return account.posts
            case "looks":
                return account.looks
            case "requests":
                return account.queue.requests.values()
            case "leads":
                return account.store.leads.values()
            case "activities":
                return account.store.activities
            case _:
                raise ValueError(f"the books are {', '.join(BOOKS)}")


def _object(raw: object) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise ValueError("a JSON object is wanted")
    return raw


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
