from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.sync.mapping import ColumnMapping
from demo.column_names import attribute_of, mapping_of, read_mapping, row_key_of


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
    assert attribute_of(column) == attribute


def test_the_mapping_is_one_that_the_operators_take():
    columns = ["ID", "Email", "City"]
    mapping = mapping_of(columns)

    built = ColumnMapping.build(mapping, columns=columns, row_key="ID", api=LEAD_CAPTURE)

    assert mapping == {"ID": None, "Email": "EmailAddress", "City": "mx_City"}
    assert built.lead(["7", "a@example.org", "Pune"]) == {"EmailAddress": "a@example.org", "mx_City": "Pune"}


def test_two_columns_for_one_field_are_refused():
    with pytest.raises(ValueError, match="several columns would be EmailAddress: Email, E-Mail"):
        mapping_of(["Email", "E-Mail"])


def test_a_name_that_no_field_can_be_made_of_is_refused():
    with pytest.raises(ValueError, match="column 2 has no letter"):
        mapping_of(["Email", "???"])


@pytest.mark.parametrize(
    ("columns", "row_key"),
    [
        (["ID", "Prospect ID", "Email"], "Prospect ID"),
        (["Email", "Lead Number", "ID"], "Lead Number"),
        (["Email", "City"], None),
    ],
)
def test_the_leads_id_is_the_key_else_a_column_that_numbers_rows(columns: list[str], row_key: str | None):
    assert row_key_of(columns, mapping_of(columns)) == row_key


def test_a_column_that_is_mapped_by_the_user_is_not_guessed():
    columns = ["ID", "Work mail", "Notes", "???"]

    mapping = mapping_of(columns, {"Work mail": "EmailAddress", "Notes": None, "???": "mx_Odd"})

    assert mapping == {"ID": None, "Work mail": "EmailAddress", "Notes": None, "???": "mx_Odd"}
    assert row_key_of(columns, mapping) == "ID"


def test_a_column_that_is_left_out_is_no_key():
    assert row_key_of(["Notes", "Email"], {"Notes": None, "Email": "EmailAddress"}) is None


def test_a_mapping_of_a_column_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="MAPPING names columns that the file does not have: Mail"):
        mapping_of(["Email"], {"Mail": "EmailAddress"})


def test_a_users_mapping_is_read(tmp_path: Path):
    given = {"Mail": "EmailAddress", "Town": "mx_City", "Points": "Score", "Notes": None}
    (tmp_path / "mapping.json").write_text(json.dumps(given))

    assert read_mapping(tmp_path / "mapping.json") == given


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"mapping\.json cannot be read as JSON \(JSONDecodeError\)"),
        ("[]", "must hold an object of columns and lead fields"),
        ('{"Mail": "emailaddress"}', 'makes column Mail "emailaddress", which is no lead field: write one such as'),
        ('{"Mail": "mx_"}', "no lead field"),
        ('{"Mail": 7}', "makes column Mail 7, which is no lead field"),
        (None, r"mapping\.json cannot be read as JSON \(FileNotFoundError\)"),
    ],
)
def test_a_users_mapping_that_cannot_be_used_is_refused(tmp_path: Path, text: str | None, message: str):
    if text is not None:
        (tmp_path / "mapping.json").write_text(text)

    with pytest.raises(ValueError, match=message):
        read_mapping(tmp_path / "mapping.json")
