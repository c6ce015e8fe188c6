"""A planted lie must be found, and the truth must pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from demo.truth import Record, Reported, Row, mismatches, set_aside

ROWS = [
    Row("a", {"EmailAddress": "a@example.org"}),
    Row("b", {"EmailAddress": "B@example.org"}),
    Row("c", {"EmailAddress": "b@example.org"}),
    Row("d", {"mx_City": "Pune"}),
    Row("e", {"EmailAddress": "e@example.org", "mx_City": "Oslo"}),
    Row("f", {"Phone": "+44-7700900001"}),
]


def _post(request_id: str, row: int) -> dict[str, Any]:
    return {"endpoint": "capture", "request_id": request_id, "lead": dict(ROWS[row].lead)}


def _request(request_id: str, state: str, lead_id: str | None = None, **more: Any) -> dict[str, Any]:
    told = {"request_id": request_id, "state": state, "lead_id": lead_id, "is_created": None, "reason": None}
    return {**told, **more}


def _told() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What the capture, the sensor and the sandbox tell of a run in which all is well."""
    receipts = [{"row": row + 1, "key": ROWS[row].key, "request_id": f"r{row}"} for row in (0, 2, 4, 5)]
    capture = {"receipts": receipts, "books": {"read": 6, "invalid": 1, "superseded": 1, "open": 4}}
    verdicts = [
        ("created", "lead-a", None),
        ("updated", "lead-b", None),
        ("rejected", None, "MXInvalidInputException"),
        ("failed", None, "UnknownRequest"),
    ]
    results = [
        {**receipt, "verdict": verdict, "lead_id": lead_id, "reason_class": reason}
        for receipt, (verdict, lead_id, reason) in zip(receipts, verdicts, strict=True)
    ]
    wait = {"results": results, "books": {"read": 4, "created": 1, "updated": 1, "rejected": 1, "failed": 1}}
    sandbox = {
        "posts": [{"endpoint": "sync_capture", "request_id": None}, *(_post(f"r{row}", row) for row in (0, 2, 4, 5))],
        "requests": [
            _request("r0", "succeeded", "lead-a", is_created=True),
            _request("r2", "succeeded", "lead-b", is_created=False),
            _request("r4", "rejected", reason="MXInvalidInputException: mx_City"),
            _request("r5", "lost"),
        ],
        "leads": [{"id": "lead-b"}, {"id": "lead-a"}],
        "looks": [],
        "known": frozenset({"lead-b"}),
    }
    return capture, wait, sandbox


def test_rows_that_may_not_be_sent_are_known_from_the_file_alone():
    assert {ROWS[at].key: verdict for at, (verdict, _) in set_aside(ROWS).items()} == {
        "b": "superseded",
        "d": "invalid",
    }


def test_the_first_of_rows_with_one_key_counts():
    rows = [Row("a", {"Phone": "1 2"}), Row("a", {"Phone": "3"}), Row("b", {"Phone": "12"})]

    assert {at: verdict for at, (verdict, _) in set_aside(rows).items()} == {0: "superseded", 1: "invalid"}


def test_the_truth_passes():
    capture, wait, sandbox = _told()

    assert mismatches(ROWS, Reported(capture, wait), Record(**sandbox)) == []


Told = dict[str, Any]
LIES: dict[str, tuple[str, Callable[[Told, Told, Told], object]]] = {
    "a row is missing in the books": ("books of capture", lambda c, w, s: c["books"].update(read=5)),
    "the states do not add up": ("books of wait", lambda c, w, s: w["books"].update(created=2)),
    "a request is left open": ("books of wait", lambda c, w, s: w["books"].update(open=1)),
    "a superseded row is called invalid": (
        "books of capture",
        lambda c, w, s: c["books"].update(invalid=2, superseded=0),
    ),
    "a row has no receipt": ("a", lambda c, w, s: c["receipts"].pop(0)),
    "a row has two receipts": ("a", lambda c, w, s: c["receipts"].append(c["receipts"][0])),
    "an invalid row was sent": ("d", lambda c, w, s: c["receipts"].append({"row": 4, "key": "d", "request_id": "r9"})),
    "a receipt is for no row": (
        "row 9",
        lambda c, w, s: c["receipts"].append({"row": 9, "key": "z", "request_id": "r9"}),
    ),
    "a receipt goes by another key": ("a", lambda c, w, s: c["receipts"][0].update(key="z")),
    "a row has no verdict": ("a", lambda c, w, s: w["results"].pop(0)),
    "a row has two verdicts": ("a", lambda c, w, s: w["results"].append(w["results"][0])),
    "two rows have each other's RequestId": (
        "a",
        lambda c, w, s: (c["receipts"][0].update(request_id="r2"), c["receipts"][1].update(request_id="r0")),
    ),
    "an update is called a creation": ("c", lambda c, w, s: w["results"][1].update(verdict="created")),
    "a rejection is called a creation": ("e", lambda c, w, s: w["results"][2].update(verdict="created")),
    "a rejection has another reason": ("e", lambda c, w, s: w["results"][2].update(reason_class="MXDuplicateEntry")),
    "a rejection has no reason": ("e", lambda c, w, s: w["results"][2].update(reason_class=None)),
    "a verdict came before the end": ("f", lambda c, w, s: s["requests"][3].update(state="retrying")),
    "a lead id is another's": ("a", lambda c, w, s: w["results"][0].update(lead_id="lead-b")),
    "a request was never accepted": ("a", lambda c, w, s: s["requests"].pop(0)),
    "a lead is not in the CRM": ("a", lambda c, w, s: s["leads"].pop()),
    "a lead too many is in the CRM": ("no row", lambda c, w, s: s["leads"].append({"id": "lead-z"})),
    "a row was sent twice": ("no row", lambda c, w, s: s["posts"].append(_post("r8", 0))),
    "a row was sent twice under one RequestId": ("a", lambda c, w, s: s["posts"].append(_post("r0", 0))),
    "a sending is in no receipt": ("no row", lambda c, w, s: s["posts"].append({**_post("x", 0), "request_id": None})),
    "a row was never received": ("a", lambda c, w, s: s["posts"].pop(1)),
    "other values were received": ("e", lambda c, w, s: s["posts"][3]["lead"].update(mx_City="Pune")),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_and_its_row_named(lie: str):
    capture, wait, sandbox = _told()
    key, plant = LIES[lie]
    plant(capture, wait, sandbox)

    assert key in {found.key for found in mismatches(ROWS, Reported(capture, wait), Record(**sandbox))}
