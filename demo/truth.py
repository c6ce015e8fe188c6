"""
Is it true? What the tasks and their ledger report, held against the warehouse and against what the sandbox received.

What ought to happen to a row follows here from the warehouse and from the sandbox's own record of the nights before,
by rules that are written down on their own: nothing is taken over from the package that is on trial. What a field
takes, and how it keeps a value, is asked of the sandbox's fields.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_leadsquared.sandbox.errors import MXError
from airflow_provider_leadsquared.sandbox.fields import SOURCE_FIELDS, LeadField, Schema, stored_form
from airflow_provider_leadsquared.sandbox.settings import Settings

Json = Mapping[str, Any]
Lead = Mapping[str, str]

_PSEUDO_ATTRIBUTES = ("ProspectID", "SearchBy")


@dataclass(frozen=True)
class Row:
    """One row of the warehouse: its key, and the lead that it ought to be."""

    key: str
    lead: Lead


@dataclass(frozen=True)
class Night:
    """
    One run of the sync.

    :param rows: What stood in the warehouse, in the order of the query.
    :param sync: The counts that the sync returned.
    :param wait: The counts that the sensor returned.
    :param lines: The run's lines of the ledger table.
    :param posts: The POSTs that the sandbox received meanwhile.
    """

    rows: Sequence[Row]
    sync: Json
    wait: Json
    lines: Sequence[Json]
    posts: Sequence[Json]

    @property
    def submissions(self) -> Sequence[Json]:
        """The POSTs that bring a lead."""
        return [post for post in self.posts if post["endpoint"] == "capture"]


@dataclass(frozen=True)
class Record:
    """What the sandbox made of it all; `known` are the ids of leads that were there before."""

    requests: Sequence[Json]
    leads: Sequence[Json]
    polls: Sequence[Json] = ()
    known: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Mismatch:
    """Something that is not as reported, under the key of its row."""

    key: str
    problem: str


class Fields:
    """
    What the CRM's fields take.

    :param added: Fields besides the built-in ones, as the metadata endpoint describes them.
    """

    #: As the demonstration's sandbox is set.
    SWITCHES: Mapping[str, Any] = {"overlong": "reject", "dropdown": "reject"}

    def __init__(self, added: Iterable[Json] = ()) -> None:
        self._fields = Schema([LeadField.from_json(dict(one)) for one in added]).fields
        self._settings = Settings().changed(self.SWITCHES)

    def stored(self, attribute: str, value: str) -> str | None:
        """Return a value as the CRM keeps it; None where it does not take it."""
        try:
            return stored_form(self._fields[attribute], value, self._settings)
        except (MXError, KeyError):
            return None

    def refused(self, lead: Lead) -> str | None:
        """Name the first attribute whose value the CRM does not take."""
        values = ((name, value) for name, value in lead.items() if name not in _PSEUDO_ATTRIBUTES)
        return next((name for name, value in values if self.stored(name, value) is None), None)


@dataclass(frozen=True)
class _Past:
    """What the nights before have made of a key: the lead that the CRM confirmed, and the one that it refused since."""

    confirmed: Lead | None = None
    refused: Lead | None = None


def ought(rows: Sequence[Row], fields: Fields, past: Mapping[str, _Past]) -> list[str]:
    """Tell what ought to become of each row: `invalid`, `superseded`, `unchanged`, `held`, or `sent`."""
    keys = Counter(row.key for row in rows)
    found = []
    last: dict[tuple[str, str], int] = {}
    for at, row in enumerate(rows):
        matched_by = _matched_by(row.lead)
        if keys[row.key] > 1 or matched_by is None:
            found.append("invalid")
            continue
        known = past.get(row.key, _Past())
        if known.confirmed == row.lead:
            found.append("unchanged")
        elif known.refused == row.lead:
            found.append("held")
        else:
            found.append("invalid" if fields.refused(row.lead) else "sent")
        if found[at] != "invalid":
            if (earlier := last.get(matched_by)) is not None and found[earlier] == "sent":
                found[earlier] = "superseded"
            last[matched_by] = at
    return found


def mismatches(nights: Sequence[Night], record: Record, fields: Fields) -> list[Mismatch]:
    """Compare everything with everything; an empty list means that all is true."""
    requests = {request["request_id"]: request for request in record.requests}
    found: list[Mismatch] = []
    past: dict[str, _Past] = {}
    for number, night in enumerate(nights, 1):
        expected = ought(night.rows, fields, past)
        found += _wrong_counts(f"night {number}", expected, night, requests)
        found += _wrong_lines(expected, night)
        found += _wrong_posts(expected, night)
        found += _wrong_verdicts(night, requests)
        past |= _learnt(night, requests, past)
    return [*found, *_sent_twice(nights, requests), *_wrong_leads(nights, record, past, fields)]


def _matched_by(lead: Lead) -> tuple[str, str] | None:
    """Tell by what LeadSquared finds a lead: the first of these that is there, letter case aside."""
    for attribute in ("ProspectID", "EmailAddress", "Phone"):
        value = lead.get(attribute, "").strip().casefold()
        if attribute == "Phone":
            value = "".join(sign for sign in value if sign not in " ().-")
        if value:
            return attribute, value
    return None


def _learnt(night: Night, requests: Mapping[str, Json], past: Mapping[str, _Past]) -> dict[str, _Past]:
    """Tell what is known of the keys that a night has sent, by what the sandbox did with them."""
    posted = {post["request_id"]: post["lead"] for post in night.submissions}
    learnt = {}
    for line in night.lines:
        request, lead = requests.get(line["request_id"]), posted.get(line["request_id"])
        if request is None or lead is None:
            continue
        before = past.get(line["row_key"], _Past())
        match _verdict(request):
            case "created" | "updated":
                learnt[line["row_key"]] = _Past(confirmed=lead)
            case "rejected":
                learnt[line["row_key"]] = _Past(before.confirmed, refused=lead)
            case _:
                learnt[line["row_key"]] = _Past()
    return learnt


def _wrong_counts(name: str, expected: Sequence[str], night: Night, requests: Mapping[str, Json]) -> Iterator[Mismatch]:
    """Ask whether both tasks' counts are what the warehouse and the sandbox say they must be."""
    states = {"held": "rejected", "sent": "open"}
    of_sync = Counter(states.get(one, one) for one in expected)
    judged = Counter(_verdict(requests[rid]) for post in night.submissions if (rid := post["request_id"]) in requests)
    for task, counts, truth in (("sync", night.sync, of_sync), ("wait", night.wait, judged)):
        wanted = {"read": truth.total(), **truth}
        if dict(counts) != wanted:
            yield Mismatch(f"counts of {task}, {name}", f"{dict(counts)} is reported; in truth {wanted}")


def _wrong_lines(expected: Sequence[str], night: Night) -> Iterator[Mismatch]:
    """Ask whether the ledger has exactly one line for each row that was sent or set aside, and none else."""
    lines: dict[int, list[Json]] = defaultdict(list)
    for line in night.lines:
        lines[line["row_no"]].append(line)
    for at, row in enumerate(night.rows):
        found = lines.pop(at, [])
        count = int(expected[at] in ("sent", "invalid", "superseded"))
        if len(found) != count:
            yield Mismatch(row.key, f"has {len(found)} lines in the ledger instead of {count}: it is {expected[at]}")
        for line in found:
            if line["row_key"] != row.key:
                yield Mismatch(row.key, f"its line goes by another key, {line['row_key']}")
            if expected[at] == "sent" and not line["request_id"]:
                yield Mismatch(row.key, f"is {line['state']} and has no RequestId; it ought to have been sent")
            if expected[at] != "sent" and (line["state"] != expected[at] or line["request_id"]):
                yield Mismatch(row.key, f"is reported as {line['state']}; it ought to be {expected[at]} and never sent")
    for at in lines:
        yield Mismatch(f"row {at + 1}", "has a line in the ledger, and is not in the warehouse")


def _wrong_posts(expected: Sequence[str], night: Night) -> Iterator[Mismatch]:
    """Ask whether every row that has a RequestId was received once and as it stands in the warehouse, and none else."""
    posts: dict[str | None, list[Json]] = defaultdict(list)
    for post in night.submissions:
        posts[post["request_id"]].append(post)
    for line in night.lines:
        if not line["request_id"]:
            continue
        received = posts.pop(line["request_id"], [])
        if len(received) != 1:
            yield Mismatch(line["row_key"], f"was received {len(received)} times under its RequestId")
        elif line["row_no"] < len(night.rows) and received[0]["lead"] != night.rows[line["row_no"]].lead:
            yield Mismatch(line["row_key"], "was received with other values than the warehouse has")
    for request_id, received in posts.items():
        yield Mismatch("no row", f"{len(received)} POSTs were received that no line knows (RequestId {request_id})")
    due = sum(one == "sent" for one in expected)
    if len(night.submissions) != due:
        yield Mismatch("no row", f"{len(night.submissions)} POSTs were received, {due} rows were to be sent")


def _wrong_verdicts(night: Night, requests: Mapping[str, Json]) -> Iterator[Mismatch]:
    """Ask whether every verdict in the ledger is what became of the line's request."""
    for line in night.lines:
        if not line["request_id"]:
            continue
        request = requests.get(line["request_id"])
        if request is None:
            yield Mismatch(line["row_key"], "has a RequestId that the sandbox never gave")
            continue
        reported, happened = (line["state"], line["lead_id"]), (_verdict(request), request["lead_id"])
        if reported != happened:
            yield Mismatch(
                line["row_key"], f"is reported as {_verdict_text(reported)}; in truth {_verdict_text(happened)}"
            )
        elif request["reason"] and line["reason_class"] != (kind := request["reason"].split(":")[0]):
            yield Mismatch(line["row_key"], f"is reported as {line['reason_class']}; in truth {kind}")


def _sent_twice(nights: Sequence[Night], requests: Mapping[str, Json]) -> Iterator[Mismatch]:
    """Ask, without the ledger, whether a lead came again that the CRM had taken with these very values before."""
    taken: Counter[frozenset[tuple[str, str]]] = Counter()
    for night in nights:
        leads = [(post, frozenset(post["lead"].items())) for post in night.submissions]
        for post, lead in leads:
            if taken[lead]:
                yield Mismatch("no row", f"RequestId {post['request_id']} brings what the CRM had taken before")
        for post, lead in leads:
            request = requests.get(post["request_id"])
            taken[lead] += request is not None and request["state"] == "succeeded"


def _wrong_leads(
    nights: Sequence[Night], record: Record, past: Mapping[str, _Past], fields: Fields
) -> Iterator[Mismatch]:
    """Ask whether the CRM holds what the warehouse has: every lead with its row's values, and none too many."""
    stored = {lead["id"]: lead["values"] for lead in record.leads}
    settled = {request["request_id"]: request["settled_at"] or 0 for request in record.requests}
    taken = [line for night in nights for line in night.lines if line["state"] in ("created", "updated")]
    made = Counter(line["lead_id"] for line in taken if line["state"] == "created")
    last: dict[str, str] = {}
    for line in sorted(taken, key=lambda line: settled.get(line["request_id"], 0)):
        if line["lead_id"] not in stored:
            yield Mismatch(line["row_key"], f"has lead {line['lead_id']}, which is not in the CRM")
        elif line["state"] == "created" and (made[line["lead_id"]] > 1 or line["lead_id"] in record.known):
            yield Mismatch(line["row_key"], f"is not the only one to have created lead {line['lead_id']}")
        else:
            last[line["lead_id"]] = line["row_key"]  # by LeadSquared's rules two keys may be one lead
    for lead_id, key in last.items():
        for attribute, value in (past[key].confirmed or {} if key in past else {}).items():
            # LeadSquared keeps the source with which a lead came first.
            if attribute in _PSEUDO_ATTRIBUTES or attribute in SOURCE_FIELDS:
                continue
            if stored[lead_id].get(attribute) != fields.stored(attribute, value):
                yield Mismatch(key, f"lead {lead_id} has another {attribute} in the CRM than the warehouse")
    for lead_id in sorted(set(stored) - record.known - set(made)):
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


def _verdict_text(verdict_and_lead: tuple[str, str | None]) -> str:
    verdict, lead_id = verdict_and_lead
    return verdict if lead_id is None else f"{verdict} ({lead_id})"
