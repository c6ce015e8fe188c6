"""Row keys: which columns may be one, what a key's text is, and what is sent without it."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.delivery.row_keys import check_key_column, is_field, key_text, split_row_key


@pytest.mark.parametrize("key", [None, "id", "mx_CustomerNumber", "ProspectID"])
def test_an_id_of_ones_own_is_a_good_key(key):
    check_key_column(key)


@pytest.mark.parametrize("column", ["EmailAddress", "e_mail", "PHONE", "mobile number", "First-Name", "fullname"])
def test_a_personal_column_is_no_key_however_it_is_written(column):
    with pytest.raises(ValueError, match="would show personal data"):
        check_key_column(column)


@pytest.mark.parametrize(("value", "text"), [(7, "7"), ("A-1", "A-1"), (" a ", " a "), (0, "0"), (False, "False")])
def test_a_key_is_the_text_of_its_value(value, text):
    assert key_text(value, "id") == text


@pytest.mark.parametrize(
    ("value", "rule"),
    [(None, "no_key"), (" ", "no_key"), (float("nan"), "no_key"), ([1], "key_type"), (b"a", "key_type")],
)
def test_a_value_that_cannot_tell_rows_apart_is_no_key(value, rule):
    with pytest.raises(InvalidLeadError) as caught:
        key_text(value, "id")
    assert (caught.value.attribute, caught.value.rule) == ("id", rule)


@pytest.mark.parametrize(("length", "is_key"), [(250, True), (251, False)])
def test_a_key_has_250_characters_at_most(length, is_key):
    if is_key:
        assert key_text("x" * length, "id") == "x" * length
    else:
        with pytest.raises(InvalidLeadError, match="more than 250 characters"):
            key_text("x" * length, "id")


@pytest.mark.parametrize(
    ("column", "expected"), [("mx_Id", True), ("ProspectID", True), ("id", False), ("MX_ID", False), ("Company", False)]
)
def test_a_column_is_a_field_by_its_name(column, expected):
    assert is_field(column) is expected


def test_without_a_key_column_a_record_stays_as_it_is():
    record = {"EmailAddress": "a@example.org"}
    assert split_row_key(record, None) == (None, record)


@pytest.mark.parametrize("value", ["a\0b", "a\nb", "a\u200bb", "\ud800"])
def test_a_key_with_a_control_character_is_refused(value):
    with pytest.raises(InvalidLeadError, match="the key holds a control character"):
        key_text(value, "id")
