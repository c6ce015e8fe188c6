"""The faults of a simulation: which are under way, and what they do to one call."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from tests.simulation.call_faults import LATE, LOST, REFUSED, RESET_AFTER, RESET_BEFORE, Trouble, sandbox_fault
from tests.simulation.events import Event
from tests.simulation.timeline import START, Worker


class Troubles:
    """
    The faults of one simulation.

    :param events: Its events.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        self._windows: dict[str, list[tuple[float, float, dict[str, Any]]]] = {"call": [], "queue": [], "ledger": []}
        for event in events:
            if event.kind in self._windows:
                window = START + event.at, START + event.facts["until"], event.facts
                self._windows[event.kind].append(window)

    def end(self) -> None:
        """End all faults: what follows are calm nights."""
        self._windows = {kind: [] for kind in self._windows}

    def ledger_fault(self, now: float) -> str | None:
        """Return what is wrong with the ledger's database."""
        return next((str(facts["what"]) for facts in self._active("ledger", now)), None)

    def of_call(self, endpoint: Any, worker: Worker, asked: str = "") -> Trouble | None:
        """
        Draw what goes wrong with a call, None if nothing does.

        :param asked: The request that it asks for.
        """
        trouble: Trouble | None = None
        for facts in (*self._active("call", worker.timeline.now), *self._active("queue", worker.timeline.now)):
            form = facts.get("form")
            # One that is steady does the same to each call, and meets the same requests.
            chance = worker.rng if form is None or not asked else random.Random(f"{form}/{asked}")  # noqa: S311 - draws
            if chance.random() >= facts["share"]:
                continue
            rng = worker.rng if form is None else random.Random(form)  # noqa: S311 - draws a simulation
            drawn = _trouble(facts["what"], endpoint.name, rng)
            if trouble is None or drawn is None:
                trouble = trouble or drawn
            else:
                trouble.faults = {**drawn.faults, **trouble.faults}
                trouble.kind = trouble.kind or drawn.kind
        return trouble

    def _active(self, kind: str, now: float) -> list[dict[str, Any]]:
        return [facts for start, end, facts in self._windows[kind] if start <= now < end]


def _trouble(what: str, endpoint: str, rng: random.Random) -> Trouble | None:
    """Draw what goes wrong with one call, None if this fault does not concern it."""
    accepted = rng.random() < 0.5
    if what in (RESET_BEFORE, RESET_AFTER, LOST):
        return Trouble(what, what)
    match what:
        case "refused":
            return Trouble(what, REFUSED)
        case "late":
            return Trouble(what, LATE, seconds=rng.choice((5.0, 29.0, 40.0)))
        case "stays":
            return Trouble(what, LOST, stays=rng.choice((5.0, 50.0, 85.0, 85.0)))
        case "unavailable" | "redirect":
            return sandbox_fault(what, accepted=accepted)
        case "rate_limit":
            return sandbox_fault(what, shape=rng.choice(("429", "403", "200")))
        case "error":
            return sandbox_fault(what, http=rng.choice((500, 500, 200, 400)), accepted=accepted)
        case "gateway":
            code = rng.choice((504, 400, 403, 404, 413, 429, 500, 502, 503))
            # What it refuses, it does not pass on.
            return sandbox_fault(what, http=code, accepted=accepted and code >= 500)
        case "garbage":
            shape = rng.choice(("html", "broken_json", "empty", "wrong_types", "no_request_id"))
            return sandbox_fault(what, shape=shape, accepted=accepted)
        case "html_page":
            return sandbox_fault(what, http=rng.choice((200, 404, 403, 500)), accepted=accepted)
        case "other_code":
            return sandbox_fault(what, body=rng.choice(("kept", "empty")))
        case "odd_receipt":
            return (
                None
                if endpoint != "capture"
                else sandbox_fault(what, shapes=(rng.choice(("bom", "other_id_key", "no_status")),))
            )
        case "odd_status":
            shapes = (
                "is_created_text",
                "is_created_number",
                "encoded_twice",
                "message_bom",
                "bom",
                "inner_failure",
                "reason_in_message",
                "reason_as_text",
            )
            return None if endpoint != "status" else sandbox_fault(what, shapes=(rng.choice(shapes),))
        case "unknown_request":
            return None if endpoint != "status" else sandbox_fault(what)
        case "keys_revoked":
            return sandbox_fault(what)
    if endpoint != "capture":
        return None
    match what:
        case "system_errors":
            return sandbox_fault(what, count=rng.choice((1, 1, 2, 5, 10)))
        case "ten_errors":
            return sandbox_fault("system_errors", count=10)
        case "all_attempts":
            return sandbox_fault("system_errors", count=11)
        case "reject":
            return sandbox_fault(what, exception=rng.choice(("MXDuplicateEntryException", "")))
        case "repeated_request_id":
            return sandbox_fault(what)
        case "silent_loss":
            return sandbox_fault(what, status=rng.choice(("in_queue", "unknown")))
        case "hidden":
            return sandbox_fault(what, polls=rng.choice((1, 3, 10)))
        case "flap":
            statuses = tuple(rng.choices(("In-Queue", "ERROR", "In-Progress", "Retrying"), k=2))
            return sandbox_fault(what, polls=rng.choice((2, 6, 12)), statuses=statuses)
    raise AssertionError(what)
