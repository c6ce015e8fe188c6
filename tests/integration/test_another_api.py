"""An invented asynchronous API works with its row, its schema and its sandbox handler, and no other change."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import jsonschema
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airflow_provider_leadsquared.api.async_apis import ASYNC_APIS, AsyncApi, follow_up, submission
from airflow_provider_leadsquared.api.confirmations import Confirmation
from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LedgerUnavailableError
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.sandbox import async_apis as sandbox_apis
from airflow_provider_leadsquared.sandbox.errors import MXError
from airflow_provider_leadsquared.tasks.submit_operator import SubmitOperator
from tests.integration.tasks import Task, wait_for

SCHEMA = {"type": "object", "required": ["Lead", "Text"], "additionalProperties": {"type": "string"}}


def encode_note(record: Any, **_options: Any) -> Payload:
    error = next(jsonschema.Draft202012Validator(SCHEMA).iter_errors(record), None)
    if error is not None:
        raise InvalidLeadError("", str(error.validator), "a note has a Lead and a Text")
    body = json.dumps(record).encode()
    return Payload(body, (("Lead", record["Lead"]),), hashlib.sha256(body).hexdigest()[:32])


def read_note(inner: Mapping[str, Any]) -> Confirmation | None:
    number = inner.get("notenumber")
    return Confirmation(str(number), None, is_created=True) if number else None


ROW = AsyncApi(
    name="note",
    record="note",
    records="notes",
    match_keys="Lead",
    submit=submission("/note/create"),
    status=follow_up("/note/status"),
    metrics=follow_up("/note/metrics"),
    encode=encode_note,
    read_confirmation=read_note,
    parameters={"Color": ("red", "blue")},
)


class NoteHandler(sandbox_apis.Handler):
    task_type = "Note Create"

    def check(self, body: str) -> None:
        json.loads(body)

    def process(self, account: Any, request: Any, at: float) -> dict[str, object]:
        note = json.loads(request.body)
        if note["Text"] == "rude":
            raise MXError("MXRudeNoteException", "this text is not accepted")
        return {"Status": "Success", "NoteNumber": f"note-{note['Lead']}"}

    def read_lead(self, body: str) -> Mapping[str, str | None]:
        return {name: str(value) for name, value in json.loads(body).items()}


class NoteOperator(SubmitOperator):
    api_name = ROW.name


def notes(count: int, **changes: str) -> list[dict[str, Any]]:
    return [{"id": f"n{number}", "Lead": f"lead-{number}", "Text": "called", **changes} for number in range(count)]


def submit_notes(task: Task, rows: Any, **arguments: Any) -> dict[str, Any]:
    operator = NoteOperator(task_id="notes", records=rows, row_key="id", **arguments)
    output: dict[str, Any] = operator.execute(task.context())
    task.returned = output
    return output


@pytest.fixture(autouse=True)
def note_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ASYNC_APIS, ROW.name, ROW)
    in_sandbox = sandbox_apis.AsyncApi("note", "/note/create", "/note/status", ("/note/metrics",), NoteHandler())
    monkeypatch.setitem(sandbox_apis.ASYNC_APIS, "note", in_sandbox)


def test_its_records_are_submitted_and_their_receipts_name_it(sandbox, clock):
    output = submit_notes(Task(), notes(3), parameters={"Color": "red"})
    assert output["counts"] == {"read": 3, "open": 3}
    assert [receipt["api"] for receipt in output["receipts"]] == ["note"] * 3
    assert [post["endpoint"] for post in sandbox.posts()] == ["note.submit"] * 3


def test_its_requests_are_polled_at_its_own_path(sandbox, clock):
    task = Task()
    output = wait_for(task, clock, submit_notes(task, notes(2)))
    assert {poll["endpoint"] for poll in sandbox.polls()} == {"note.status"}
    assert [(result["api"], result["verdict"], result["lead_id"]) for result in output["results"]] == [
        ("note", "created", "note-lead-0"),
        ("note", "created", "note-lead-1"),
    ]


def test_a_rejected_record_is_reported_with_its_reason(sandbox, clock):
    task = Task()
    output = submit_notes(task, [*notes(1), *notes(2, Text="rude")[1:]])
    with pytest.raises(LeadsNotDelivered) as error:
        wait_for(task, clock, output)
    assert error.value.reasons == {"rejected: MXRudeNoteException": 1}


def test_a_record_that_breaks_its_schema_is_set_aside(sandbox, clock):
    output = submit_notes(Task(), [*notes(1), {"id": "n9", "Text": "no lead"}], allowed_rejects=1)
    assert output["counts"] == {"read": 2, "invalid": 1, "open": 1}


def test_after_a_kill_only_records_without_a_receipt_are_sent(sandbox, clock, no_waits):
    task = Task()
    task.store.writes_before_cut_off = 5  # claim, tries, intents, and some receipts
    with pytest.raises(LedgerUnavailableError):
        submit_notes(task, notes(300))
    task.store.writes_before_cut_off = None
    sent_before = len(sandbox.posts())
    output = submit_notes(task, notes(300))
    assert output["counts"] == {"read": 300, "open": 300}
    assert 0 < sent_before < 300
    assert len(sandbox.posts()) < 300 + sent_before


def test_its_receipts_are_kept_in_a_sql_ledger(sandbox, clock, tmp_path, monkeypatch):
    database = str(tmp_path / "ledger.db")
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": database}))
    task = Task()
    output = submit_notes(task, notes(2), ledger_conn_id="ledger")
    wait_for(task, clock, output)
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT api, state FROM leadsquared_ledger").fetchall()
    assert found == [("note", "created")] * 2


def test_the_hook_submits_and_polls_it_by_name(sandbox, clock):
    hook = LeadSquaredHook()
    receipt = hook.submit(encode_note(notes(1)[0]), api="note")
    clock.advance(5)
    status = hook.get_request_status(receipt.request_id, api="note")
    assert status.confirmation == Confirmation("note-lead-0", None, is_created=True)


def test_a_parameter_that_it_does_not_take_is_refused_before_anything_is_sent(sandbox, clock):
    with pytest.raises(ValueError, match="the API note takes no parameter 'LeadUpdateBehavior'"):
        submit_notes(Task(), notes(1), parameters={"LeadUpdateBehavior": "DoNotUpdate"})
    assert sandbox.posts() == []


def test_its_operator_takes_another_tasks_output(sandbox):
    with DAG("notes"):
        fetched = EmptyOperator(task_id="fetch")
        operator = NoteOperator(task_id="notes", records=fetched.output, row_key="id")
    assert operator.upstream_task_ids == {"fetch"}
