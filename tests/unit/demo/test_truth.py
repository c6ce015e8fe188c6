"""A planted lie must be found, and the truth must pass."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from demo.truth import Fields, Mismatch, Night, Record, Row, mismatches, ought

FIELDS = Fields([{"SchemaName": "mx_Course", "DataType": "Select", "Options": ["Statistics"]}])


def lead(name: str, **attributes: str) -> dict[str, str]:
    return {"EmailAddress": f"{name}@example.org", **attributes}


#: What the warehouse has in the first night, and what has changed in the second.
FIRST = {
    "a": lead("a", mx_City="Pune"),
    "b": lead("B"),
    "c": lead("b", Phone="9000000001"),
    "d": {"mx_City": "Pune"},
    "e": lead("e", mx_City="Oslo"),
    "f": lead("f", mx_City="Oslo"),
    "g": lead("g", mx_Course="Basketry"),
    "h": lead("h"),
}
SECOND = {**FIRST, "a": lead("a", mx_City="Kochi"), "e": lead("e", mx_City="Bergen"), "g": lead("g")}


class World:
    """Two nights in which all is well: what ledger, tasks and sandbox tell."""

    def __init__(self) -> None:
        self.rows = [[Row(key, dict(values)) for key, values in table.items()] for table in (FIRST, SECOND)]
        self.sync: list[dict[str, int]] = [
            {"read": 8, "invalid": 2, "superseded": 1, "open": 5},
            {"read": 8, "invalid": 1, "superseded": 1, "unchanged": 1, "rejected": 1, "open": 4},
        ]
        self.wait: list[dict[str, int]] = [
            {"read": 5, "created": 1, "updated": 1, "rejected": 2, "failed": 1},
            {"read": 4, "created": 3, "updated": 1},
        ]
        self.lines: list[list[dict[str, Any]]] = [
            [
                self._line(0, "a", "created", "r1", "lead-a"),
                self._line(1, "b", "superseded", reason_class="same_match_key"),
                self._line(2, "c", "updated", "r2", "lead-b"),
                self._line(3, "d", "invalid", reason_class="no_match_key"),
                self._line(4, "e", "rejected", "r3", reason_class="MXInvalidInputException"),
                self._line(5, "f", "rejected", "r4", reason_class="MXDuplicateEntryException"),
                self._line(6, "g", "invalid", reason_class="not_an_option"),
                self._line(7, "h", "failed", "r5", reason_class="UnknownRequest"),
            ],
            [
                self._line(0, "a", "updated", "r6", "lead-a"),
                self._line(1, "b", "superseded", reason_class="same_match_key"),
                self._line(3, "d", "invalid", reason_class="no_match_key"),
                self._line(4, "e", "created", "r7", "lead-e"),
                self._line(6, "g", "created", "r8", "lead-g"),
                self._line(7, "h", "created", "r9", "lead-h"),
            ],
        ]
        self.posts = [
            [{"endpoint": "sync_capture", "request_id": None, "lead": {}}]
            + [self._post(f"r{number}", FIRST[key]) for number, key in enumerate("acefh", 1)],
            [self._post(f"r{number}", SECOND[key]) for number, key in enumerate("aegh", 6)],
        ]
        self.requests = [
            self._request("r1", "succeeded", "lead-a", is_created=True),
            self._request("r2", "succeeded", "lead-b", is_created=False),
            self._request("r3", "rejected", reason="MXInvalidInputException: mx_City"),
            self._request("r4", "rejected", reason="MXDuplicateEntryException: Phone"),
            self._request("r5", "lost"),
            self._request("r6", "succeeded", "lead-a", is_created=False),
            self._request("r7", "succeeded", "lead-e", is_created=True),
            self._request("r8", "succeeded", "lead-g", is_created=True),
            self._request("r9", "succeeded", "lead-h", is_created=True),
        ]
        self.leads = [
            {"id": "lead-b", "values": {"EmailAddress": "b@example.org", "Phone": "+91-9000000001"}},
            {"id": "lead-a", "values": {"EmailAddress": "a@example.org", "mx_City": "Kochi"}},
            {"id": "lead-e", "values": {"EmailAddress": "e@example.org", "mx_City": "Bergen"}},
            {"id": "lead-g", "values": {"EmailAddress": "g@example.org"}},
            {"id": "lead-h", "values": {"EmailAddress": "h@example.org"}},
        ]

    @staticmethod
    def _line(row_no: int, key: str, state: str, request_id: Any = None, lead_id: Any = None, **more: Any) -> Any:
        fields = {"row_no": row_no, "row_key": key, "state": state, "request_id": request_id, "lead_id": lead_id}
        return {**fields, "reason_class": None, **more}

    @staticmethod
    def _post(request_id: str, values: dict[str, str]) -> dict[str, Any]:
        return {"endpoint": "capture", "request_id": request_id, "lead": dict(values)}

    @staticmethod
    def _request(request_id: str, state: str, lead_id: str | None = None, **more: Any) -> dict[str, Any]:
        fields = {"request_id": request_id, "state": state, "lead_id": lead_id, "is_created": None, "reason": None}
        return {**fields, "settled_at": float(request_id[1:]), **more}

    def mismatches(self) -> list[Mismatch]:
        nights = [Night(*night) for night in zip(self.rows, self.sync, self.wait, self.lines, self.posts, strict=True)]
        return mismatches(nights, Record(self.requests, self.leads, known=frozenset({"lead-b"})), FIELDS)


def test_the_truth_passes():
    assert World().mismatches() == []


@pytest.mark.parametrize(
    ("confirmed", "refused", "fate"),
    [
        (None, None, "sent"),
        (lead("a", mx_City="Pune"), None, "unchanged"),
        (lead("a", mx_City="Kochi"), None, "sent"),
        (None, lead("a", mx_City="Pune"), "held"),
        (None, lead("a", mx_City="Kochi"), "sent"),
        (lead("a", mx_City="Pune"), lead("a", mx_City="Kochi"), "unchanged"),
        (lead("a", mx_City="Kochi"), lead("a", mx_City="Pune"), "held"),
    ],
)
def test_a_row_goes_unless_the_crm_has_confirmed_or_refused_the_very_same(confirmed: Any, refused: Any, fate: str):
    known: Any = SimpleNamespace(confirmed=confirmed, refused=refused)

    assert ought([Row("a", lead("a", mx_City="Pune"))], FIELDS, {"a": known}) == [fate]


def test_rows_that_may_not_be_sent_are_known_from_the_warehouse_alone():
    rows = [
        Row("1", {"Phone": "1 22 33"}),
        Row("2", {"Phone": "12233"}),
        Row("3", {"mx_City": "Pune"}),
        Row("4", lead("x")),
        Row("4", lead("y")),
        Row("5", lead("z", mx_Course="Basketry")),
        Row("6", lead("v", mx_City="x" * 101)),
    ]

    assert ought(rows, FIELDS, {}) == ["superseded", "sent", *["invalid"] * 5]


def _values(world, lead: int) -> dict[str, str]:
    """Return the values of a lead in the CRM, to be changed."""
    values: dict[str, str] = world.leads[lead]["values"]
    return values


LIES: dict[str, tuple[str, Callable[[World], object]]] = {
    "a row is missing in the counts": ("counts of sync, night 1", lambda w: w.sync[0].update(read=7)),
    "a superseded row is called invalid": (
        "counts of sync, night 1",
        lambda w: w.sync[0].update(invalid=3, superseded=0),
    ),
    "a changed row is called unchanged": ("counts of sync, night 2", lambda w: w.sync[1].update(unchanged=2, open=3)),
    "a held row is left out of the counts": ("counts of sync, night 2", lambda w: w.sync[1].pop("rejected")),
    "the sensor's states are others": ("counts of wait, night 1", lambda w: w.wait[0].update(created=2, rejected=1)),
    "a request is left open": ("counts of wait, night 2", lambda w: w.wait[1].update(open=1)),
    "a row has no line": ("a", lambda w: w.lines[0].pop(0)),
    "a row has two lines": ("a", lambda w: w.lines[0].append(w.lines[0][0])),
    "a line is for no row": ("row 10", lambda w: w.lines[0].append(w._line(9, "z", "created", "r1", "lead-a"))),
    "a line goes by another key": ("a", lambda w: w.lines[0][0].update(row_key="z")),
    "a row that was set aside has a RequestId": ("d", lambda w: w.lines[0][3].update(request_id="r9")),
    "a row is called invalid without need": ("h", lambda w: w.lines[1][5].update(state="invalid", request_id=None)),
    "an unchanged row was sent": (
        "c",
        lambda w: (
            w.lines[1].append(w._line(2, "c", "updated", "r10", "lead-b")),
            w.posts[1].append(w._post("r10", FIRST["c"])),
            w.requests.append(w._request("r10", "succeeded", "lead-b", is_created=False)),
        ),
    ),
    "an unchanged row was sent, and no line tells": (
        "no row",
        lambda w: w.posts[1].append(w._post("r10", FIRST["c"])),
    ),
    "a held row was sent": (
        "f",
        lambda w: (
            w.lines[1].append(w._line(5, "f", "rejected", "r10", reason_class="MXDuplicateEntryException")),
            w.posts[1].append(w._post("r10", FIRST["f"])),
            w.requests.append(w._request("r10", "rejected", reason="MXDuplicateEntryException: Phone")),
        ),
    ),
    "two rows have each other's RequestId": (
        "a",
        lambda w: (w.lines[0][0].update(request_id="r2"), w.lines[0][2].update(request_id="r1")),
    ),
    "an update is called a creation": ("c", lambda w: w.lines[0][2].update(state="created")),
    "a rejection is called a creation": ("e", lambda w: w.lines[0][4].update(state="created")),
    "a rejection has another reason": ("e", lambda w: w.lines[0][4].update(reason_class="MXDuplicateEntryException")),
    "a rejection has no reason": ("e", lambda w: w.lines[0][4].update(reason_class=None)),
    "a failure is called an update": ("h", lambda w: w.lines[0][7].update(state="updated")),
    "a verdict came before the end": ("h", lambda w: w.requests[4].update(state="retrying")),
    "a lead id is another's": ("a", lambda w: w.lines[0][0].update(lead_id="lead-b")),
    "a request was never accepted": ("a", lambda w: w.requests.pop(0)),
    "a lead is not in the CRM": ("a", lambda w: w.leads.pop(1)),
    "a lead too many is in the CRM": ("no row", lambda w: w.leads.append({"id": "lead-z", "values": {}})),
    "a lead was there before, and is called created": (
        "g",
        lambda w: (
            w.lines[1][4].update(lead_id="lead-b"),
            w.requests[7].update(lead_id="lead-b"),
            w.leads.pop(3),
        ),
    ),
    "the CRM holds yesterday's value": ("a", lambda w: _values(w, 1).update(mx_City="Pune")),
    "the CRM lacks a value": ("c", lambda w: _values(w, 0).pop("Phone")),
    "a row was sent twice": ("no row", lambda w: w.posts[0].append(w._post("r10", FIRST["a"]))),
    "a row was sent twice under one RequestId": ("a", lambda w: w.posts[0].append(w._post("r1", FIRST["a"]))),
    "a sending got no receipt": (
        "no row",
        lambda w: w.posts[0].append({**w._post("x", FIRST["a"]), "request_id": None}),
    ),
    "a row was never received": ("a", lambda w: w.posts[0].pop(1)),
    "a changed row was never sent": (
        "a",
        lambda w: (w.lines[1].pop(0), w.posts[1].pop(0), w.requests.pop(5)),
    ),
    "other values were received": ("a", lambda w: w.posts[1][0]["lead"].update(mx_City="Pune")),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_and_its_row_named(lie: str):
    world = World()
    key, plant = LIES[lie]
    plant(world)

    assert key in {found.key for found in world.mismatches()}
