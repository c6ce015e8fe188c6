"""
An audit of nights that is independent of the package.

It goes by what the CRM received and stores, what tasks returned, and what stands in the ledger's table, read with plain
SQL.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from benchmarks.chaos_tasks import (
    PARTITIONS,
    SENDING,
    Instance,
    World,
    captured_name,
    email_of,
    has_match_key,
    version_of,
)
from benchmarks.delivered import CONFIRMED, Delivered

#: A line of the ledger's table: night, task, partition, row key, state, RequestId, lead id.
Line = tuple[int, str, int, str, str, str | None, str | None]
#: Problems that are named one by one.
_NAMED = 20


@dataclass
class Audit(Delivered):
    """
    What became of all nights.

    :param older_after_newer: How often a customer's older value was received after a newer one.
    :param stale: Customers for whom the CRM does not hold the newest value.
    :param contradicted: Lines of the ledger with another verdict, or another lead, than the CRM has for the request.
    :param needless: Sendings of values that the CRM had confirmed in an earlier night.
    :param waiting: Rows that had to wait for a later night; what was sent before for their lead was still in doubt.
    :param wrong_colours: Tasks that ended well although a row of theirs was not confirmed, or failed without cause.
    """

    older_after_newer: int = 0
    stale: int = 0
    contradicted: int = 0
    needless: int = 0
    waiting: int = 0
    wrong_colours: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def goals_met(self) -> bool:
        """Every promise was kept."""
        more = self.older_after_newer + self.stale + self.contradicted + self.needless + self.wrong_colours
        return self.is_delivered and not more

    def note(self, what: str) -> None:
        """Keep an example of what is wrong, for people."""
        if len(self.notes) < _NAMED:
            self.notes.append(what)


@dataclass(frozen=True)
class Evidence:
    """
    What the audit goes by.

    :param posts: What the CRM received, in order.
    :param requests: What it accepted.
    :param leads: What it stores.
    :param lines: The ledger's table.
    :param instances: The task instances, with what they returned.
    :param begun: When each night began.
    """

    posts: list[dict[str, Any]]
    requests: dict[str, dict[str, Any]]
    leads: list[dict[str, Any]]
    lines: list[Line]
    instances: list[Instance]
    begun: dict[int, float]


def read_lines(query: Callable[[str], list[tuple[Any, ...]]]) -> list[Line]:
    """Return the ledger's table."""
    found = query("SELECT run_id, task_id, map_index, row_key, state, request_id, lead_id FROM leadsquared_ledger")
    return [(int(run_id.removeprefix("night-")), *rest) for run_id, *rest in found]


def audited(world: World, evidence: Evidence) -> Audit:
    """Compare what was to be delivered with what was."""
    audit = Audit(posts=len(evidence.posts))
    _audit_syncs(world, evidence, audit)
    _audit_captures(world, evidence, audit)
    _audit_lines(evidence, audit)
    for instance in evidence.instances:
        _audit_instance(world, instance, evidence, audit)
    return audit


def _audit_syncs(world: World, evidence: Evidence, audit: Audit) -> None:
    customers = {email_of(n): n for n in range(world.rows)}
    received: dict[int, list[tuple[str, float]]] = defaultdict(list)
    for post in evidence.posts:
        if (customer := customers.get(_address(post["lead"]))) is not None:
            received[customer].append((post["lead"]["LastName"], post["at_real"]))
    applied: set[tuple[int, str]] = set()
    for request in evidence.requests.values():
        if (customer := customers.get(_address(request["lead"]))) is not None and request["state"] == "succeeded":
            applied.add((customer, request["lead"]["LastName"]))
    stored: dict[int, list[str]] = defaultdict(list)
    for lead in evidence.leads:
        if (customer := customers.get(_address(lead["values"]))) is not None:
            stored[customer].append(lead["values"]["LastName"])
    verdicts = {(line[0], line[3]): line[4] for line in _least_said_last(evidence.lines) if line[1] == "sync"}
    nights = sorted(world.changed)
    ends = {night: evidence.begun.get(night + 1, float("inf")) for night in nights}
    # By the last night nothing is in doubt any more.
    late = [line for line in evidence.lines if line[:2] == (nights[-1], "sync") and line[4] == "waiting"]
    audit.without_verdict += len(late)
    for customer in range(world.rows):
        values = [value for value, _ in received[customer]]
        older = sum(after < before for before, after in pairwise(values))
        if older:
            audit.note(f"customer {customer}: received {values}")
        audit.older_after_newer += older
        audit.extra_leads += max(len(stored[customer]) - 1, 0)
        newest = [version_of(night) for night in nights if customer in world.changed[night]][-1:]
        if newest and stored[customer][-1:] != newest:
            audit.stale += 1
            audit.note(f"customer {customer}: {stored[customer]} in the CRM, not {newest}")
        due = _due(world, customer, verdicts)
        for night, value in due.items():
            verdict = verdicts.get((night, str(customer)))
            if verdict == "waiting" and night < nights[-1]:
                audit.waiting += 1
                continue
            if verdict not in CONFIRMED:
                audit.note(f"customer {customer} in night {night}: {verdict}")
            audit.needless += sum(one == value and at >= ends[night] for one, at in received[customer])
            # A customer's leads are counted above, over all nights.
            is_there = (customer, value) in applied
            audit.add_row(is_keyed=True, posts=values.count(value), leads=is_there, verdict=verdict)


def _due(world: World, customer: int, verdicts: Mapping[tuple[int, str], str]) -> dict[int, str]:
    """Return the nights in which a customer is to be delivered, and with which value: again if it had to wait."""
    due: dict[int, str] = {}
    value = None
    for night in sorted(world.changed):
        if customer in world.changed[night]:
            value = version_of(night)
        if value is not None:
            due[night] = value
            if verdicts.get((night, str(customer))) != "waiting":
                value = None
    return due


def _address(lead: Mapping[str, Any] | None) -> str:
    return str((lead or {}).get("EmailAddress"))


def _least_said_last(lines: list[Line]) -> list[Line]:
    """
    Return lines so that of several of one row the one that says the least of it comes last.

    A try that was given up has a line of its own for its receipt; each has to have its verdict.
    """
    return sorted(lines, key=lambda line: line[4] not in CONFIRMED)


def _audit_captures(world: World, evidence: Evidence, audit: Audit) -> None:
    sent = Counter((post["lead"] or {}).get("FirstName") for post in evidence.posts)
    stored = Counter(lead["values"].get("FirstName") for lead in evidence.leads)
    verdicts = {key: state for _, task, _, key, state, *_ in _least_said_last(evidence.lines) if task == "capture"}
    for night in sorted(world.changed):
        for n in range(world.captured):
            name, verdict = captured_name(night, n), verdicts.get(f"{night}-{n}")
            audit.add_row(is_keyed=has_match_key(n), posts=sent[name], leads=stored[name], verdict=verdict)
            if verdict not in CONFIRMED and (has_match_key(n) or verdict != "in_doubt"):
                audit.note(f"lead {night}-{n}: {verdict}, received {sent[name]} times")


def _audit_lines(evidence: Evidence, audit: Audit) -> None:
    """Compare each verdict in the ledger with what the CRM decided for that request."""
    for night, task, _, key, state, request_id, lead_id in evidence.lines:
        if request_id is None:
            continue
        request = evidence.requests.get(request_id)
        is_right = (
            request is not None
            and request["state"] == "succeeded"
            and state == ("created" if request["is_created"] else "updated")
            and str(lead_id).lower() == str(request["lead_id"]).lower()
        )
        if not is_right:
            audit.contradicted += 1
            found = None if request is None else (request["state"], request["is_created"], request["lead_id"])
            audit.note(f"{task} {key} in night {night}: {state}, lead {lead_id}; the CRM has {found}")


def _audit_instance(world: World, instance: Instance, evidence: Evidence, audit: Audit) -> None:
    """Compare an instance's counts and colour with its rows."""
    is_sender = instance.task in SENDING
    task = instance.task if is_sender else next(one for one, wait in SENDING.items() if wait == instance.task)
    mine = [line for line in evidence.lines if line[:2] == (instance.night, task)]
    if is_sender:
        mine = [line for line in mine if line[2] == instance.partition]
    states = Counter(line[4] for line in mine)
    counts = dict((instance.output or {}).get("counts") or {})
    if not _is_right(world, instance, counts, states, len({line[3] for line in mine})):
        audit.wrong_counts += 1
        audit.note(f"{instance.name} counts {counts}, its lines are {dict(states)}")
    if (instance.state == "success") != (not states["in_doubt"]):
        audit.wrong_colours += 1
        audit.note(f"{instance.name} is {instance.state}, its lines are {dict(states)}, {instance.errors[-1:]}")


def _is_right(world: World, instance: Instance, counts: Mapping[str, int], states: Counter[str], rows: int) -> bool:
    """Tell whether an instance's counts are those of what it was to deliver."""
    read, others = counts.get("read"), sum(count for state, count in counts.items() if state != "read")
    partition = range(instance.partition, world.rows if instance.task == "sync" else world.captured, PARTITIONS)
    if instance.task == "sync":
        # A row without a line is unchanged; whether that is right, its verdict shows.
        unchanged = len(partition) - rows
        return read == others == len(partition) and counts.get("unchanged", 0) == unchanged
    if instance.task == "capture":
        return read == others == len(partition) and counts.get("in_doubt", 0) == states["in_doubt"]
    # A sensor knows nothing of rows that have no receipt.
    received = {state: count for state, count in states.items() if state not in ("in_doubt", "waiting")}
    return read == others and {**counts, "read": others} == {**received, "read": others}
