"""
Is it true? What the tasks reported, held against what the sandbox received and stores.

The rows' verdicts come from the two tasks' outputs, the truth from the sandbox's own record; RequestIds join them. Why
a row was not sent is read from the file a second time, by rules that are written down here on their own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One row of the file: its name, and the attributes that have a value."""

    key: str
    lead: Mapping[str, str]


@dataclass(frozen=True)
class Reported:
    """What the two tasks returned."""

    capture: Json
    wait: Json

    @property
    def receipts(self) -> Sequence[Json]:
        """RequestIds by row, as the capture returned them."""
        return self.capture["receipts"]

    @property
    def results(self) -> Sequence[Json]:
        """Verdicts by RequestId, as the sensor returned them."""
        return self.wait["results"]


@dataclass(frozen=True)
class Record:
    """What the sandbox received and stores; `known` are the ids of leads that were there before."""

    posts: Sequence[Json]
    requests: Sequence[Json]
    leads: Sequence[Json]
    looks: Sequence[Json]
    known: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Mismatch:
    """Something that is not as reported, under the key of its row."""

    key: str
    problem: str


def set_aside(rows: Sequence[Row]) -> dict[int, tuple[str, str]]:
    """Tell which rows may not be sent, by position: the verdict they must get, and why."""
    aside: dict[int, tuple[str, str]] = {}
    keys: set[str] = set()
    last: dict[tuple[str, str], int] = {}
    for at, row in enumerate(rows):
        doubled = row.key in keys
        keys.add(row.key)
        matched_by = _matched_by(row.lead)
        if doubled:
            aside[at] = ("invalid", "an earlier row has the same key")
        elif matched_by is None:
            aside[at] = ("invalid", "neither id nor e-mail nor phone")
        else:
            if matched_by in last:
                aside[last[matched_by]] = ("superseded", f"a later row has the same {matched_by[0]}")
            last[matched_by] = at
    return aside


def mismatches(rows: Sequence[Row], reported: Reported, record: Record) -> list[Mismatch]:
    """Compare everything with everything; an empty list means that all is true."""
    return [
        *_unbalanced(len(rows), reported),
        *_wrong_rows(rows, reported),
        *_wrong_posts(rows, reported, record),
        *_wrong_verdicts(reported, record),
        *_wrong_leads(reported, record),
    ]


def _matched_by(lead: Mapping[str, str]) -> tuple[str, str] | None:
    """Tell by what LeadSquared finds a lead: the first of these that is there, letter case aside."""
    for attribute in ("ProspectID", "EmailAddress", "Phone"):
        value = lead.get(attribute, "").strip().casefold()
        if attribute == "Phone":
            value = "".join(sign for sign in value if sign not in " ().-")
        if value:
            return attribute, value
    return None


def _unbalanced(read: int, reported: Reported) -> Iterator[Mismatch]:
    """Ask whether the books of both tasks add up, and whether the sensor takes over where the capture ends."""
    for name, books, expected in (
        ("capture", reported.capture["books"], read),
        ("wait", reported.wait["books"], len(reported.receipts)),
    ):
        states = {state: count for state, count in books.items() if state != "read"}
        if books["read"] != expected or sum(states.values()) != expected:
            yield Mismatch(f"books of {name}", f"{books} do not add up to {expected}")
    if unfinished := reported.wait["books"].get("open"):
        yield Mismatch("books of wait", f"{unfinished} requests have no verdict")


def _wrong_rows(rows: Sequence[Row], reported: Reported) -> Iterator[Mismatch]:
    """Ask whether every row has exactly one verdict: set aside by the capture, or one receipt and one result."""
    aside = set_aside(rows)
    for name, told in (("receipt", reported.receipts), ("result", reported.results)):
        counts = Counter(one["row"] - 1 for one in told)
        for at in sorted({*counts, *range(len(rows))}):
            expected = int(at < len(rows) and at not in aside)
            if counts[at] != expected:
                key = rows[at].key if at < len(rows) else f"row {at + 1}"
                yield Mismatch(key, f"has {counts[at]} {name}s instead of {expected}")
        for one in told:
            if one["row"] <= len(rows) and one["key"] != rows[one["row"] - 1].key:
                yield Mismatch(rows[one["row"] - 1].key, f"its {name} goes by another key, {one['key']}")
    for state, expected in Counter(state for state, _ in aside.values()).items():
        if (told_count := reported.capture["books"].get(state, 0)) != expected:
            yield Mismatch("books of capture", f"{told_count} rows are {state}; by the file it should be {expected}")


def _wrong_posts(rows: Sequence[Row], reported: Reported, record: Record) -> Iterator[Mismatch]:
    """Ask whether every row with a receipt was sent once and as it stands in the file, and nothing else was."""
    posts: dict[str | None, list[Json]] = defaultdict(list)
    for post in record.posts:
        if post["endpoint"] == "capture":
            posts[post["request_id"]].append(post)
    for receipt in reported.receipts:
        found = posts.pop(receipt["request_id"], [])
        if len(found) != 1:
            yield Mismatch(receipt["key"], f"was received {len(found)} times under its RequestId")
        elif receipt["row"] <= len(rows) and found[0]["lead"] != rows[receipt["row"] - 1].lead:
            yield Mismatch(receipt["key"], "was received with other values than the file has")
    for request_id, found in posts.items():
        yield Mismatch("no row", f"{len(found)} POSTs were received that no receipt knows (RequestId {request_id})")


def _wrong_verdicts(reported: Reported, record: Record) -> Iterator[Mismatch]:
    """Ask whether every verdict is what became of the request that the row has a receipt for."""
    requests = {request["request_id"]: request for request in record.requests}
    keys = {receipt["request_id"]: receipt["key"] for receipt in reported.receipts}
    for result in reported.results:
        request = requests.get(result["request_id"])
        if keys.get(result["request_id"]) != result["key"]:
            yield Mismatch(result["key"], "has a result under a RequestId that is not its receipt")
        elif request is None:
            yield Mismatch(result["key"], "has a verdict for a request that the sandbox never accepted")
        else:
            reported_as = (result["verdict"], result["lead_id"])
            happened = (_verdict(request), request["lead_id"])
            if reported_as != happened:
                yield Mismatch(result["key"], f"is reported as {_told(reported_as)}; in truth {_told(happened)}")
            elif request["reason"] and result["reason_class"] != (kind := request["reason"].split(":")[0]):
                yield Mismatch(result["key"], f"is reported as {result['reason_class']}; in truth {kind}")


def _wrong_leads(reported: Reported, record: Record) -> Iterator[Mismatch]:
    """Ask whether the CRM's leads are those it had and those reported as created, each once."""
    stored = {lead["id"] for lead in record.leads}
    made = Counter(result["lead_id"] for result in reported.results if result["verdict"] == "created")
    for result in reported.results:
        if result["lead_id"] is not None and result["lead_id"] not in stored:
            yield Mismatch(result["key"], f"has lead {result['lead_id']}, which is not in the CRM")
        if result["verdict"] == "created" and (made[result["lead_id"]] > 1 or result["lead_id"] in record.known):
            yield Mismatch(result["key"], f"is not the only one to have created lead {result['lead_id']}")
    for lead_id in sorted(stored - record.known - set(made)):
        yield Mismatch("no row", f"lead {lead_id} is in the CRM, and no row is reported to have created it")


def _verdict(request: Json) -> str:
    match request["state"]:
        case "succeeded":
            return "created" if request["is_created"] else "updated"
        case "rejected":
            return "rejected"
        case "failed" | "lost":
            return "failed"
        case state:
            return f"still {state}"


def _told(verdict_and_lead: tuple[str, str | None]) -> str:
    verdict, lead_id = verdict_and_lead
    return verdict if lead_id is None else f"{verdict} ({lead_id})"
