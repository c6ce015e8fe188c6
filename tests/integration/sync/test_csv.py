"""A sync from a CSV file: what is sent on each night, and what a file that cannot be used leads to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, RowSourceError
from airflow_provider_leadsquared.sandbox import Sandbox
from airflow_provider_leadsquared.transfers.csv_to_leadsquared import CsvToLeadSquaredOperator
from dags_examples import csv_to_leadsquared as example
from tests import canaries
from tests.integration.sync.nights import MORNING, Night
from tests.integration.tasks import VirtualTime, connect_sqlite, wait_for

MAPPING = {"Email": ["EmailAddress", "strip", "lower"], "City": "mx_City"}


class Source:
    """A CSV file, and a ledger in SQLite."""

    def __init__(self, folder: Path) -> None:
        self.path, self.ledger = folder / "leads.csv", folder / "ledger.db"

    def write(self, text: str | bytes) -> None:
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def sync(self, night: Night, **arguments: Any) -> dict[str, Any]:
        """Run the night's sync task once."""
        operator = CsvToLeadSquaredOperator(
            task_id="sync",
            **{
                "path": str(self.path),
                "row_key": "ID",
                "mapping": MAPPING,
                "ledger_conn_id": "ledger",
                **arguments,
            },
        )
        output: dict[str, Any] = operator.execute(night.context())
        night.returned = output
        return output

    def lines(self, columns: str) -> list[Any]:
        """Return lines of the ledger's result table."""
        with closing(sqlite3.connect(self.ledger)) as database:
            return database.execute(f"SELECT {columns} FROM leadsquared_ledger ORDER BY run_id, row_no").fetchall()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    source = Source(tmp_path)
    for name in ("ledger", "warehouse"):
        connect_sqlite(monkeypatch, name, source.ledger)
    return source


def cities(sandbox: Sandbox) -> dict[str, str]:
    values = [lead["values"] for lead in sandbox.leads()]
    return {value["EmailAddress"]: value.get("mx_City", "") for value in values}


def test_a_second_night_sends_what_has_changed_in_the_file(source: Source, sandbox: Sandbox, clock: VirtualTime):
    source.write("ID,Email,City\n1, A@example.org,Pune\n2,b@example.org,\n")
    first = source.sync(night := Night("night 1"))
    wait_for(night, clock, first)
    clock.advance(MORNING)
    source.write("ID,Email,City\n1,a@example.org,Agra\n2,b@example.org,\n3,c@example.org,Pune\n")

    second = source.sync(night := Night("night 2"))
    waited = wait_for(night, clock, second)

    assert first["counts"] == {"read": 2, "open": 2}
    assert second["counts"] == {"read": 3, "unchanged": 1, "open": 2}
    assert waited["counts"] == {"read": 2, "created": 1, "updated": 1}
    assert cities(sandbox) == {"a@example.org": "Agra", "b@example.org": "", "c@example.org": "Pune"}


def test_a_row_that_cannot_be_sent_is_set_aside_under_its_key(source: Source, sandbox: Sandbox):
    source.write("ID,Email,City\n1,a@example.org,Pune\n2,,Oslo\n,c@example.org,Agra\n")

    with pytest.raises(LeadsNotDelivered, match="2 of 3 rows"):
        source.sync(Night("night 1"))

    assert source.lines("row_key, state, reason_class") == [
        ("1", "open", None),
        ("2", "invalid", "no_match_key"),
        (None, "invalid", "no_key"),
    ]
    assert len(sandbox.posts()) == 1


def test_another_tool_s_export_is_read_as_its_author_says(source: Source, sandbox: Sandbox, clock: VirtualTime):
    source.write("ID;Email;City\n1;a@example.org;Köln\n2;b@example.org;n/a\n".encode("cp1252"))

    output = source.sync(night := Night("1"), encoding="cp1252", delimiter=";", null_values=["", "n/a"])
    wait_for(night, clock, output)

    assert cities(sandbox) == {"a@example.org": "Köln", "b@example.org": ""}


def test_a_file_with_a_header_alone_skips_the_task_as_a_query_without_rows_does(source: Source, sandbox: Sandbox):
    source.write("ID,Email,City\n")

    with pytest.raises(AirflowSkipException, match="nothing to send"):
        source.sync(Night("night 1"))

    assert sandbox.posts() == []


GOOD = "7,asha@example.org,Pune\n" * 3_000

UNUSABLE: dict[str, tuple[str | bytes, str, str]] = {
    "a mapped column is missing": (f"ID,E-Mail,City\n{GOOD}", "'Email'", "did you mean 'E-Mail'"),
    "the key's column is missing": (f"Id,Email,City\n{GOOD}", "'ID'", "it has 'Id'"),
    "another encoding": (f"ID,Email,City\n{GOOD}8,b@example.org,Köln\n".encode("cp1252"), "line 3002", "set encoding"),
    "another delimiter": ("ID;Email;City\n7;asha@example.org;Pune\n", "line 1", "set delimiter=';'"),
    "doubled columns": ("ID,Email,Email\n7,asha@example.org,x\n", "line 1", "rename all but one"),
    "a nameless column": ("ID,Email,,City\n7,asha@example.org,x,Pune\n", "line 1", "write one"),
    "too many values in the middle": (
        f"ID,Email,City\n{GOOD}8,b@example.org,Agra,x\n{GOOD}",
        "line 3002",
        "correct the line",
    ),
    "an empty file": ("", "line 1", "must name the columns"),
    "no header": (GOOD, "line 1", "put a line above it"),
}


@pytest.mark.parametrize("trouble", UNUSABLE)
def test_an_unusable_file_ends_the_task_before_the_first_row_is_sent(source: Source, sandbox: Sandbox, trouble: str):
    text, place, remedy = UNUSABLE[trouble]
    source.write(text)

    with pytest.raises((RowSourceError, ValueError)) as caught:
        source.sync(Night("night 1"))

    assert sandbox.posts() == []
    assert source.lines("*") == []
    message = str(caught.value)
    assert (str(source.path) in message, place in message, remedy in message) == (True, True, True), message


@pytest.mark.parametrize("trouble", UNUSABLE)
def test_no_error_about_a_file_holds_a_value(source: Source, sandbox: Sandbox, trouble: str):
    source.write(UNUSABLE[trouble][0])

    with pytest.raises((RowSourceError, ValueError)) as caught:
        source.sync(Night("night 1"))

    assert not canaries.found_in("\n".join(canaries.chain_of(caught.value)))


@pytest.mark.parametrize(("name", "complaint"), [("nowhere.csv", "No such file"), ("", "Is a directory")])
def test_what_is_no_file_ends_the_task(source: Source, sandbox: Sandbox, tmp_path: Path, name: str, complaint: str):
    with pytest.raises(RowSourceError, match=f"{name} cannot be read: {complaint}.*The worker must see this path"):
        source.sync(Night("night 1"), path=str(tmp_path / name))


def test_a_ledger_must_be_named():
    arguments: dict[str, Any] = {"task_id": "sync", "path": "leads.csv", "row_key": "ID"}

    with pytest.raises((TypeError, ValueError), match="ledger_conn_id"):
        CsvToLeadSquaredOperator(**arguments)


def test_a_ledger_whose_name_is_empty_is_named_with_the_remedy(source: Source, sandbox: Sandbox):
    source.write("ID,Email\n1,a@example.org\n")

    with pytest.raises(ValueError, match="ledger_conn_id is missing: name the connection of a SQL database"):
        source.sync(Night("night 1"), ledger_conn_id="")


def test_the_example_takes_a_file_with_its_columns(source: Source, sandbox: Sandbox, clock: VirtualTime):
    source.write("ID,Email,First Name,Phone,City,Stage\n1,A@example.org,Asha,,pune,new\n2,b@example.org,,,Select,\n")

    output = source.sync(
        night := Night("night 1"),
        mapping=example.MAPPING,
        row_key=example.sync.row_key,
        null_values=example.sync.null_values,
        ledger_conn_id=example.sync.ledger_conn_id,
    )
    wait_for(night, clock, output)

    assert cities(sandbox) == {"a@example.org": "Pune", "b@example.org": ""}
