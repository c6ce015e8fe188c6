from __future__ import annotations

import pytest

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.sync.mapping import ColumnMapping
from demo.column_names import attribute_of, mapping_of, row_key_of


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
