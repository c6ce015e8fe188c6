"""Mappings: what is refused before the first row, what becomes of a row, and the key by which it is known."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.api.leads import encode_lead
from airflow_provider_leadsquared.sync.mapping import ColumnMapping

ROW = {"id": 7, "mail": "meera@example.com", "mx_City": "Pune", "FirstName": "Meera"}


def _mapping(mapping: Any = "*", columns: Any = ("id", "FirstName"), key: Any = "id", **more: Any) -> ColumnMapping:
    return ColumnMapping.build(mapping, columns=columns, row_key=key, api=LEAD_CAPTURE, **more)


def _lead(mapping: Any, row: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    row = row or ROW
    return _mapping(mapping, tuple(row), **more).lead(tuple(row.values()))


def _key(*values: Any) -> str:
    columns = [f"k{n}" for n in range(len(values))]
    return _mapping("*", (*columns, "FirstName"), columns).row_key((*values, "Meera"))


# --- what a lead has -------------------------------------------------------------------------------------------------


def test_columns_are_sent_under_the_names_that_the_mapping_gives_them():
    assert _lead({"mail": "EmailAddress", "FirstName": "mx_Nick"}) == {
        "EmailAddress": "meera@example.com",
        "mx_Nick": "Meera",
    }


def test_a_star_sends_every_column_under_its_own_name_but_not_the_key():
    assert _lead("*", {"id": 7, "mx_City": "Pune", "Notes": None}) == {"mx_City": "Pune", "Notes": None}


def test_a_star_in_a_dict_stands_for_the_columns_not_named_in_it():
    assert _lead({"mail": "EmailAddress", "*": "*"}) == {
        "EmailAddress": "meera@example.com",
        "mx_City": "Pune",
        "FirstName": "Meera",
    }


def test_a_column_mapped_to_none_is_left_out():
    assert _lead({"mail": None, "*": "*"}) == {"mx_City": "Pune", "FirstName": "Meera"}


@pytest.mark.parametrize("key", ["mx_City", "ProspectID"])
def test_with_a_star_a_key_that_is_a_field_is_sent_too(key):
    row = {key: "7", "FirstName": "Meera"}
    assert _lead("*", row, key=key) == row


def test_a_key_column_that_is_mapped_is_sent_as_mapped():
    assert _lead({"id": "mx_Crm_Id", "*": "*", "mail": None})["mx_Crm_Id"] == 7


def test_a_key_column_that_is_a_field_can_be_left_out():
    assert _lead({"mx_City": None, "FirstName": "FirstName"}, key="mx_City") == {"FirstName": "Meera"}


def test_one_column_may_be_all_that_is_sent():
    assert _lead({"mx_City": "mx_City"}) == {"mx_City": "Pune"}


def test_constants_are_in_every_lead():
    columns = _mapping(
        {"mail": "EmailAddress"}, tuple(ROW), constants={"Source": "Warehouse", "SearchBy": "EmailAddress"}
    )
    for _ in range(2):
        assert columns.lead(tuple(ROW.values())) == {
            "EmailAddress": "meera@example.com",
            "Source": "Warehouse",
            "SearchBy": "EmailAddress",
        }


def test_attributes_are_listed_in_the_order_of_the_lead():
    row = {"id": 7, "b": "b", "a": "a", "Notes": "n"}
    columns = _mapping({"a": "mx_A", "*": "*", "b": "mx_B"}, tuple(row), constants={"Source": "x"})
    assert columns.attributes == ("mx_A", "Notes", "mx_B", "Source")
    assert tuple(columns.lead(tuple(row.values()))) == columns.attributes


def test_a_lead_can_be_sent():
    lead = _lead({"mail": "EmailAddress", "*": "*"}, constants={"mx_KYC": {"Status": "Open"}})
    assert encode_lead(lead).match_key == ("EmailAddress", "meera@example.com")


def test_a_mapping_shows_names_only():
    assert repr(_mapping("*", constants={"Notes": "private"})) == "ColumnMapping(FirstName, Notes)"


# --- what is refused before the first row -----------------------------------------------------------------------------

REFUSED = {
    # arguments, what the message holds
    "column_not_there": ({"mapping": {"mial": "EmailAddress"}, "columns": ("id", "mail")}, ["'mial'", "mean 'mail'?"]),
    "column_in_another_case": (
        {"mapping": {"mail": "EmailAddress"}, "columns": ("id", "MAIL")},
        ["'mail'", "it has 'MAIL'", "case-sensitive"],
    ),
    "all_that_are_not_there": (
        {"mapping": {"one": "mx_A", "two": "mx_B"}, "columns": ("id", "mail")},
        ["'one'", "'two'", "Its columns are 'id', 'mail'"],
    ),
    "column_is_no_name": ({"mapping": {5: "mx_A"}}, ["mapping names", "5"]),
    "key_not_there": ({"key": "idd"}, ["key names", "'idd'", "mean 'id'?"]),
    "key_in_another_case": ({"key": "ID"}, ["it has 'id'"]),
    "one_key_not_there": ({"key": ["id", "tenant"]}, ["key names", "'tenant'"]),
    "no_key": ({"key": []}, ["key names no column"]),
    "none_as_key": ({"key": None}, ["row_key is a NoneType"]),
    "key_is_no_name": ({"key": [5]}, ["row_key holds a int"]),
    "key_twice": ({"key": ["id", "id"]}, ["twice", "'id'"]),
    "personal_key": ({"key": "EMAIL_ADDRESS", "columns": ("EMAIL_ADDRESS", "FirstName")}, ["personal data"]),
    "one_personal_key": ({"key": ["id", "FirstName"]}, ["'FirstName'", "personal data"]),
    "key_sent_as_something_personal": (
        {"mapping": {"id": "EmailAddress"}},
        ["'id' is sent as 'EmailAddress'", "personal data"],
    ),
    "doubled_columns": (
        {"columns": ("id", "Notes", "id", "Notes", "mx_A")},
        ["'id', 'Notes'", "with AS"],
    ),
    "two_columns_for_one_attribute": (
        {"mapping": {"a": "Notes", "b": "Notes"}, "columns": ("id", "a", "b")},
        ["'Notes'", "column 'a'", "column 'b'"],
    ),
    "a_column_of_the_rest_for_an_attribute_that_is_mapped": (
        {"mapping": {"a": "Notes", "*": "*"}, "columns": ("id", "a", "Notes")},
        ["column 'a'", "column 'Notes'"],
    ),
    "column_and_constant_for_one_attribute": (
        {"constants": {"FirstName": "x"}},
        ["'FirstName'", "column 'FirstName'", "a constant"],
    ),
    "unknown_transform": ({"mapping": {"FirstName": ["FirstName", "trim"]}}, ["'trim'", "strip", "digits", "json"]),
    "transform_is_a_number": ({"mapping": {"FirstName": ["FirstName", 5]}}, ["a int is no transform"]),
    "schema_name_is_a_number": ({"mapping": {"FirstName": 5}}, ["must be a schema name"]),
    "empty_list": ({"mapping": {"FirstName": []}}, ["must be a schema name"]),
    "list_without_schema_name": ({"mapping": {"FirstName": [str.strip]}}, ["must be a schema name"]),
    "schema_name_in_another_case": (
        {"columns": ("id", "EMAILADDRESS", "PHONE")},
        ["from column 'EMAILADDRESS'", "write 'EmailAddress'", "from column 'PHONE'", "write 'Phone'"],
    ),
    "a_label_for_a_schema_name": ({"mapping": {"FirstName": "First Name"}}, ["did you mean 'FirstName'"]),
    "constant_under_a_label": ({"constants": {"Lead Source": "x"}}, ["'Lead Source' (from a constant)"]),
    "constant_that_cannot_be_sent": ({"constants": {"mx_A": [1]}}, ["'mx_A' (from a constant): cannot send a list"]),
    "nothing": ({"mapping": {}}, ["sends no column"]),
    "nothing_but_constants": ({"mapping": {}, "constants": {"Source": "x"}}, ["sends no column"]),
    "nothing_but_left_out": ({"mapping": {"FirstName": None}}, ["sends no column"]),
    "nothing_but_the_key": ({"columns": ("id",)}, ["sends no column"]),
    "mapping_of_another_kind": ({"mapping": ["FirstName"]}, ['"*" or a dict']),
    "mapping_of_another_word": ({"mapping": "all"}, ['"*" or a dict']),
    "the_rest_under_one_name": ({"mapping": {"*": "Notes"}}, ['write "*": "*"']),
}


@pytest.mark.parametrize(("arguments", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_mapping_that_cannot_work_is_refused_with_what_to_change(arguments, words):
    with pytest.raises(ValueError, match=".") as caught:
        _mapping(**arguments)
    assert [word for word in words if word not in str(caught.value)] == []
    assert not isinstance(caught.value, InvalidLeadError)


def test_a_constant_may_be_none_or_name_what_to_search_by():
    columns = _mapping("*", constants={"Notes": None, "SearchBy": "Phone"})
    assert columns.attributes == ("FirstName", "Notes", "SearchBy")


IST = dt.timezone(dt.timedelta(hours=5, minutes=30))


def _shown(value):
    """Name a value in the id of a test, the same in each process."""
    return type(value).__name__ if isinstance(value, memoryview) else str(value)


# --- row keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("k-1", "k-1"),
        (" k ", " k "),
        ("a|b\\c", "a|b\\c"),
        ("007", "007"),
        (5, "5"),
        (5.0, "5"),
        (Decimal("5"), "5"),
        (Decimal("5.00"), "5"),
        (Decimal("5E+2"), "500"),
        (500.0, "500"),
        (5.1, "5.1"),
        (Decimal("5.10"), "5.1"),
        (0, "0"),
        (-0.0, "0"),
        (Decimal("-0.00"), "0"),
        (-20.0, "-20"),
        (1e22, "10000000000000000000000"),
        (Decimal("12345678901234567890123456789012345678"), "12345678901234567890123456789012345678"),
        (dt.date(2024, 2, 29), "2024-02-29"),
        (dt.datetime(2024, 2, 29, 1, tzinfo=IST), "2024-02-28 19:30:00"),
        (dt.datetime(2024, 2, 29, 1), "2024-02-29 01:00:00"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ],
)
def test_a_key_is_the_columns_text_whatever_number_type_the_warehouse_gives(value, text):
    assert _key(value) == text


def test_several_key_columns_are_joined():
    assert _key("tenant-1", Decimal("5.0"), "x") == "tenant-1|5|x"


def test_the_order_of_key_columns_is_the_authors():
    assert _mapping("*", ("a", "b", "Notes"), ["b", "a"]).row_key((1, 2, "")) == "2|1"


SIGNS = st.text(alphabet="a|\\ ", min_size=1, max_size=4).filter(str.strip)


@given(*[st.tuples(SIGNS, SIGNS) | st.tuples(st.text(min_size=1), st.text(min_size=1))] * 2)
def test_different_rows_never_share_a_key(one, other):
    try:
        keys = _key(*one), _key(*other)
    except InvalidLeadError:
        return
    assert (keys[0] == keys[1]) == (one == other)


@given(st.integers(-(10**15), 10**15), st.integers(0, 6))
def test_a_whole_number_has_one_key_in_every_type_and_scale(number, scale):
    scaled = Decimal(number).quantize(Decimal(1).scaleb(-scale))
    assert {_key(number), _key(float(number)), _key(scaled)} == {str(number)}


@given(st.tuples(*[st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40)] * 2))
def test_different_numbers_never_share_a_key(pair):
    assert (_key(pair[0]) == _key(pair[1])) == (pair[0] == pair[1])


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (None, "no_key"),
        ("", "no_key"),
        (" \t", "no_key"),
        (float("nan"), "no_key"),
        (Decimal("NaN"), "no_key"),
        (float("inf"), "key_type"),
        (Decimal("1E+999999999"), "key_type"),
        (dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=1))), "key_type"),
        (["meera@example.org"], "key_type"),
        ({"a": "meera@example.org"}, "key_type"),
        (b"meera@example.org", "key_type"),
        (memoryview(b"a"), "key_type"),
        ("meera@example.org" * 20, "key_too_long"),
    ],
    ids=lambda value: f"{_shown(value):.40}",
)
@pytest.mark.parametrize("beside", [(), ("tenant",)])
def test_a_row_without_a_usable_key_is_invalid(value, rule, beside):
    with pytest.raises(InvalidLeadError) as caught:
        _key(*beside, value)
    assert (caught.value.attribute, caught.value.rule) == (f"k{len(beside)}", rule)


def test_keys_may_be_hashed_and_then_be_personal():
    row = {"EmailAddress": "meera@example.org", "FirstName": "Meera"}
    columns = _mapping("*", tuple(row), "EmailAddress", hash_row_keys=True)
    assert columns.row_key(tuple(row.values())) == hashlib.sha256(b"meera@example.org").hexdigest()
    assert columns.lead(tuple(row.values())) == row


def test_several_key_columns_are_hashed_together():
    columns = _mapping("*", ("a", "b", "Notes"), ("a", "b"), hash_row_keys=True)
    assert columns.row_key((1, 2, "")) == hashlib.sha256(b"1|2").hexdigest()


def test_keys_that_are_email_addresses_are_counted():
    columns = _mapping("*", ("id", "Notes"))
    for key in ("meera@example.org", 7, "arjun@example.org"):
        columns.row_key((key, ""))
    assert columns.email_keys == 2


def test_parts_that_are_too_long_together_are_refused_by_all_their_names():
    with pytest.raises(InvalidLeadError) as caught:
        _key("a" * 200, "b" * 200)
    assert (caught.value.attribute, caught.value.rule) == ("k0|k1", "key_too_long")
