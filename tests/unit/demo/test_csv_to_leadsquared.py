"""The example DAG's reading of CSV files, and the DAG's own shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_leadsquared.delivery.batch import Batch
from airflow_provider_leadsquared.delivery.states import State
from dags_examples.csv_to_leadsquared import (
    KEY,
    UnusableFileError,
    capture,
    default_attribute,
    open_csv,
    read_leads,
    report,
    wait,
)


@pytest.fixture
def read(tmp_path: Path):
    """Read a text (or bytes) as the DAG reads a file, under a mapping or none."""

    def read(text: str | bytes, mapping: Any = None) -> list[dict[str, Any]]:
        csv_file, mapping_file = tmp_path / "leads.csv", tmp_path / "mapping.json"
        csv_file.write_bytes(text if isinstance(text, bytes) else text.encode())
        mapping_file.write_text(mapping if isinstance(mapping, str) else json.dumps(mapping))
        params = {"csv_file": str(csv_file), "mapping_file": None if mapping is None else str(mapping_file)}
        return list(read_leads({"params": params}, None))

    return read


@pytest.mark.parametrize(
    ("column", "attribute"),
    [
        ("Prospect ID", "ProspectID"),
        ("email", "EmailAddress"),
        ("E-Mail", "EmailAddress"),
        ("Email Address", "EmailAddress"),
        ("EmailAddress", "EmailAddress"),
        ("phone number", "Phone"),
        ("Mobile", "Mobile"),
        ("FIRST_NAME", "FirstName"),
        ("Last Name", "LastName"),
        ("Company", "Company"),
        ("Lead Source", "Source"),
        ("City", "mx_City"),
        ("mx_City", "mx_City"),
        ("MX City", "mx_City"),
        ("What is your occupation?", "mx_What_is_your_occupation"),
        ("Size (EU)", "mx_Size_EU"),
        ("ID", None),
        ("Lead Number", None),
    ],
)
def test_a_column_is_named_as_leadsquared_names_the_field(column: str, attribute: str | None):
    assert default_attribute(column) == attribute


def test_rows_become_leads(read):
    leads = read("ID,Email,City,Stage\n7,a@example.org,Pune,Select\n8,b@example.org, ,Won\n")

    assert leads == [
        {KEY: "7", "EmailAddress": "a@example.org", "mx_City": "Pune", "mx_Stage": None},
        {KEY: "8", "EmailAddress": "b@example.org", "mx_City": None, "mx_Stage": "Won"},
    ]


def test_leads_are_fit_to_be_sent_and_the_key_stays_here(read):
    batch = Batch.read(read("ID,Email,City\n7,a@example.org,Pune\n8,,Oslo\n"), row_key=KEY)

    assert [(entry.row_key, entry.state) for entry in batch.entries] == [("7", State.UNSENT), ("8", State.INVALID)]
    assert [pair["Attribute"] for pair in json.loads(batch.leads[0].body)] == ["EmailAddress", "mx_City"]


def test_the_leads_id_is_the_key_and_is_sent(read):
    assert read("ID,Prospect ID\n7,abc\n") == [{KEY: "abc", "ProspectID": "abc"}]


def test_a_row_without_a_key_goes_by_its_line(read):
    leads = read('Email,Notes\na@example.org,"two\nlines"\n\nb@example.org,\n')
    assert [lead[KEY] for lead in leads] == ["line 2", "line 5"]

    leads = read("Prospect ID,Email\nabc,\n,b@example.org\n")
    assert [lead[KEY] for lead in leads] == ["abc", "line 3"]


def test_a_mapping_outranks_the_names(read):
    mapping = {
        "columns": {"Mail": "EmailAddress", "Town": "mx_City", "Remark": None},
        "key": "Customer",
        "empty": ["", "n/a"],
    }
    leads = read("Customer,Mail,Town,Remark,Stage\nc1,a@example.org,n/a,no,Select\n", mapping)

    assert leads == [
        {KEY: "c1", "mx_Customer": "c1", "EmailAddress": "a@example.org", "mx_City": None, "mx_Stage": "Select"}
    ]


def test_a_mapping_can_do_without_a_key(read):
    assert read("ID,Email\n7,a@example.org\n", {"row_key": None})[0][KEY] == "line 2"


def test_an_id_column_that_is_mapped_to_a_field_is_no_key(read):
    leads = read("ID,Name\na@example.org,Asha\n", {"columns": {"ID": "EmailAddress"}})

    assert leads == [{KEY: "line 2", "EmailAddress": "a@example.org", "mx_Name": "Asha"}]


def test_excel_files_with_a_byte_order_mark_are_read(read):
    assert read("\ufeffEmail\r\na@example.org\r\n") == [{KEY: "line 2", "EmailAddress": "a@example.org"}]


def test_the_file_is_read_row_by_row(tmp_path: Path):
    file = tmp_path / "leads.csv"
    file.write_text("Email\na@example.org\nb@example.org,too many\n")
    _, rows = open_csv(str(file))

    assert next(rows) == (2, ["a@example.org"])
    with pytest.raises(UnusableFileError, match="line 3"):
        next(rows)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("Email\n", "no rows"),
        ("Email,Email\na,b\n", "same name: Email"),
        ("Email,E-Mail\na,b\n", "Several columns would be EmailAddress: Email, E-Mail"),
        ("Email,,City\na,b,c\n", "column 2"),
        ("Email,City\na@example.org,Pune\nb@example.org\n", "line 3: 1 values for 2 columns"),
        ("Email;City\na@example.org;Pune\n", "separates columns by ';'"),
        ('Email,City\n"a@example.org,Pune\n', "line 2"),
        (b"Email,City\na@example.org,K\xf6ln\n", "not UTF-8"),
        ("Email\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_an_unusable_file_is_refused_with_the_reason(read, text: str | bytes, complaint: str):
    with pytest.raises(UnusableFileError, match=complaint):
        read(text)


@pytest.mark.parametrize(
    ("mapping", "complaint"),
    [
        ("{", "is not JSON"),
        ([], "one object"),
        ({"colums": {}}, "one object"),
        ({"columns": {"Town": "mx_City"}}, "does not have: Town"),
        ({"key": "Customer"}, "does not have: Customer"),
        ({"columns": {"City": "mx City"}}, "schema name"),
        ({"columns": ["City"]}, "schema name"),
        ({"key": 7}, "name of a column"),
        ({"empty": "Select"}, "list of texts"),
        ({"columns": {"City": "EmailAddress"}}, "Several columns would be EmailAddress"),
        ({"key": "Email"}, "personal data"),
        ({"key": "Email", "columns": {"Email": None}}, "personal data"),
        ({"key": "City", "columns": {"City": "LastName"}}, "personal data"),
    ],
)
def test_an_unusable_mapping_is_refused_with_the_reason(read, mapping: Any, complaint: str):
    with pytest.raises(UnusableFileError, match=complaint):
        read("Email,City\na@example.org,Pune\n", mapping)


@pytest.mark.parametrize("missing", ["csv_file", "mapping_file"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str):
    file = tmp_path / "leads.csv"
    file.write_text("Email\na@example.org\n")
    params = {"csv_file": str(file), "mapping_file": None, missing: str(tmp_path / "nowhere")}

    with pytest.raises(UnusableFileError, match="nowhere cannot be read: No such file"):
        list(read_leads({"params": params}, None))


def test_no_complaint_quotes_a_value(read):
    with pytest.raises(UnusableFileError) as caught:
        read("Email,City\nasha@example.org,Pune,Oslo\n")

    assert "asha" not in str(caught.value)


def test_the_report_runs_after_red_tasks_and_does_not_hide_them():
    dag = capture.dag

    assert dag.task_ids == ["capture", "wait", "report"]
    assert wait.upstream_task_ids == {"capture"}
    assert dag.task_dict["report"].is_teardown
    assert not dag.task_dict["report"].on_failure_fail_dagrun


def test_the_report_tells_counts_and_reasons(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    results = [
        {"key": "7", "verdict": "created", "reason_class": None},
        {"key": "8", "verdict": "rejected", "reason_class": "MXDuplicateEntryException"},
        {"key": "9", "verdict": "rejected", "reason_class": "MXDuplicateEntryException"},
    ]
    aside = [{"key": "6", "verdict": "invalid", "reason_class": "no_match_key"}]
    captured = {"counts": {"read": 4, "invalid": 1, "open": 3}, "aside": aside}

    report.function(captured, {"counts": {"read": 3, "created": 1, "rejected": 2}, "results": results})
    report.function(captured, None)

    assert caplog.messages == [
        "capture: read 4 = invalid 1 + open 3",
        "wait: read 3 = created 1 + rejected 2",
        "rejected: 2 MXDuplicateEntryException, such as 8",
        "invalid: 1 no_match_key, such as 6",
        "capture: read 4 = invalid 1 + open 3",
        "wait: no result; its log says why",
        "invalid: 1 no_match_key, such as 6",
    ]
