from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_leadsquared.exceptions import RowSourceError
from demo.own_file import OwnFile
from demo.truth import Fields, Row

LEADS = """Prospect ID,Email,City,Source of joy,Only one
p-1,a@example.org,Pune,tea,x
p-2,b@example.org,Kochi,,x
p-3,,Pune,"coffee, black",x
"""


def own_file(folder: Path, text: str = LEADS) -> OwnFile:
    (folder / "leads.csv").write_text(text)
    return OwnFile(folder / "warehouse.db", folder / "leads.csv")


def test_columns_become_fields_by_their_names_and_empty_cells_no_value(tmp_path: Path):
    assert own_file(tmp_path).rows()[1:] == [
        Row("p-2", {"ProspectID": "p-2", "EmailAddress": "b@example.org", "mx_City": "Kochi", "mx_Only_one": "x"}),
        Row("p-3", {"ProspectID": "p-3", "mx_City": "Pune", "mx_Source_of_joy": "coffee, black", "mx_Only_one": "x"}),
    ]


def test_columns_become_the_fields_that_the_user_names(tmp_path: Path):
    (tmp_path / "leads.csv").write_text("ID,Work mail,Notes\n7,a@example.org,x\n")

    given = OwnFile(tmp_path / "warehouse.db", tmp_path / "leads.csv", {"Work mail": "EmailAddress", "Notes": None})

    assert given.rows() == [Row("7", {"EmailAddress": "a@example.org"})]
    assert (given.columns, given.row_key) == ({"ID": None, "Work mail": "EmailAddress", "Notes": None}, "ID")


def test_the_crm_gets_the_fields_and_knows_the_ids(tmp_path: Path):
    given = own_file(tmp_path)

    assert [field["SchemaName"] for field in given.fields] == ["mx_City", "mx_Source_of_joy", "mx_Only_one"]
    assert given.visitors == ["p-1", "p-2", "p-3"]
    assert all(Fields(given.fields).refused(row.lead) is None for row in given.rows())


def test_a_day_changes_values_to_others_of_their_column_and_mends_what_was_refused(tmp_path: Path):
    given = own_file(tmp_path)

    changes = given.live_a_day(["p-3"])

    assert [row.lead["mx_City"] for row in given.rows()] == ["Kochi", "Kochi", "Kochi"]
    assert changes == [
        "1 leads have another value in one of their columns",
        "1 of 1 that the CRM had refused are mended",
    ]


def test_of_several_refused_one_is_left_as_it_is(tmp_path: Path):
    given = own_file(tmp_path)
    before = given.rows()

    given.live_a_day(["p-1", "p-3"])

    assert [row != was for row, was in zip(given.rows(), before, strict=True)] == [True, True, False]


def test_a_file_with_nothing_to_change_stays_as_it_is(tmp_path: Path):
    given = own_file(tmp_path, "Email\na@example.org\nb@example.org\n")

    assert given.live_a_day([])[0] == "0 leads have another value in one of their columns"


def test_columns_that_a_table_cannot_keep_apart_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="differ by letter case only"):
        own_file(tmp_path, "Email,Town,town\na@example.org,x,y\n")


def test_a_file_without_rows_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="no rows"):
        own_file(tmp_path, "Email\n")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    with pytest.raises(RowSourceError, match="line 2: 2 values for 1 columns"):
        own_file(tmp_path, "Email\na,b\n")


def test_a_row_without_a_key_goes_by_its_number(tmp_path: Path):
    keys = [row.key for row in own_file(tmp_path, "Prospect ID,Email\nabc,\n,b@example.org\n").rows()]

    assert keys == ["abc", "row 2"]


def test_a_text_that_leadsquareds_exports_write_for_no_value_is_none(tmp_path: Path):
    (row,) = own_file(tmp_path, "ID,Email,Stage\n7,a@example.org,Select\n").rows()

    assert row == Row("7", {"EmailAddress": "a@example.org"})
