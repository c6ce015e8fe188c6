"""Row keys: which columns may be one, what a key's text is, and what is sent without it."""

from __future__ import annotations

import datetime as dt
import hashlib
from decimal import Decimal

import pytest

from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.delivery.row_keys import (
    check_key_column,
    is_email,
    is_sent,
    key_text,
    split_row_key,
)

WEST = dt.timezone(-dt.timedelta(hours=1))


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
    [
        (None, "no_key"),
        (" ", "no_key"),
        (float("nan"), "no_key"),
        ([1], "key_type"),
        (b"a", "key_type"),
        pytest.param(10**5_000, "key_type", id="long"),
    ],
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
    assert is_sent(column) is expected


def test_without_a_key_column_a_record_stays_as_it_is():
    record = {"EmailAddress": "a@example.org"}
    assert split_row_key(record, None) == (None, record)


@pytest.mark.parametrize("record", [7, "text", [1, 2], None])
def test_what_is_no_record_has_no_row_key(record):
    with pytest.raises(InvalidLeadError) as caught:
        split_row_key(record, "id")
    assert (caught.value.attribute, caught.value.rule) == ("id", "no_key")


@pytest.mark.parametrize("value", ["a\0b", "a\nb", "a\u200bb", "\ud800"])
def test_a_key_with_a_control_character_is_refused(value):
    with pytest.raises(InvalidLeadError, match="the key holds a control character, U.[0-9A-F]{4} at position [12];"):
        key_text(value, "id")


@pytest.mark.parametrize("value", [5, 5.0, Decimal("5.00"), "5"])
def test_a_key_is_the_same_whatever_type_a_source_gives_it(value):
    assert key_text(value, "id") == "5"


def test_a_moment_is_one_key_in_every_zone():
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    moments = [dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 1, 5, 30, tzinfo=zone)]
    assert {key_text(moment, "id") for moment in moments} == {"2026-01-01 00:00:00"}


@pytest.mark.parametrize("value", [float("inf"), Decimal("1E+9999999"), dt.datetime.max.replace(tzinfo=WEST)])
def test_a_key_that_cannot_be_written_is_refused(value):
    with pytest.raises(InvalidLeadError, match="a number or moment that cannot be written"):
        key_text(value, "id")


def test_a_key_may_be_hashed_as_any_database_hashes_it():
    hashed = key_text("meera@example.org", "mail", is_hashed=True)
    assert hashed == hashlib.sha256(b"meera@example.org").hexdigest()


def test_a_hashed_key_may_be_of_any_length_and_column():
    check_key_column("EmailAddress", is_hashed=True)
    assert len(key_text("x" * 1_000, "id", is_hashed=True)) == 64


def test_a_hashed_key_that_is_a_field_is_sent():
    record = {"EmailAddress": "a@example.org", "mx_City": "Pune"}
    key, rest = split_row_key(record, "EmailAddress", is_hashed=True)
    assert (key, rest) == (hashlib.sha256(b"a@example.org").hexdigest(), record)


@pytest.mark.parametrize(
    ("key", "expected"),
    [("meera@example.org", True), ("A-1", False), ("a@b", False), ("@", False), ("call meera@example.org", False)],
)
def test_a_key_that_is_an_email_address_is_recognised(key, expected):
    assert is_email(key) is expected
