"""Masking of personal values in LeadSquared's texts."""

from __future__ import annotations

import time

import pytest

from airflow_provider_leadsquared.api.masking import mask_text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("no lead with meera.iyer+x@example.org here", "no lead with *** here"),
        ("meera@example.org", "***"),
        ("(meera@example.org)", "(***)"),
        ("मीरा@उदाहरण.भारत is taken", "*** is taken"),
        ("call +91-9000000001 now", "call *** now"),
        ("call +91 90000 00001 now", "call *** now"),
        ("call (080) 4000-1234", "call (***"),
        ("9000000001", "***"),
        ("Duplicate entry 'Meera' for key 'UQ_Prospect_Base_EmailAddress'", None),
        ('the value "Pune" is unknown', 'the value "***" is unknown'),
        ("the value “Pune” is unknown", "the value “***” is unknown"),
    ],
)
def test_a_personal_value_is_masked(text, masked):
    expected = masked or "Duplicate entry '***' for key 'UQ_Prospect_Base_EmailAddress'"
    assert mask_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "'leadId' is mandatory for updating lead",
        "Attribute(s) does not exist - mx_Nope, mx_Plan_2.",
        "Invalid Input! Parameter Name: 'mx_City'",
        "for key 'UQ_Prospect_Base_Phone'",
        "for key 'IX_Prospect'",
        "'EmailAddress' or 'ProspectID' or 'SearchBy'",
        "MXDuplicateEntryException: A Lead with same Email / Phone Number already exists.",
        "lead 2c8e1f77-0000-4000-8000-00000000000b is locked",
        "API calls exceeded the limit of 25 in 5 second(s)",
        "code 123456",
        "",
    ],
)
def test_a_text_without_personal_values_stays_as_it_is(text):
    assert mask_text(text) == text


@pytest.mark.parametrize(
    ("text", "values", "masked"),
    [
        ("Meera Iyer of Pune exists", ["Meera", "Pune"], "*** Iyer of *** exists"),
        ("Meera Iyer exists", ["Meera", "Meera Iyer"], "*** exists"),
        ("row of al and bo", ["al", "bo", ""], "row of al and bo"),
        ("EmailAddress is invalid", ["Email"], "EmailAddress is invalid"),
        ("mx_Email is invalid: Email", ["Email"], "mx_Email is invalid: ***"),
        ("the phone +91-99,is taken", ["+91-99"], "the phone ***,is taken"),
        ("客户张伟已存在", ["张伟"], "客户***已存在"),
        ("客户Meera已存在", ["Meera"], "客户***已存在"),
        ("Meera Iyer Pune exists", ["Meera Iyer", "Iyer Pune"], "*** exists"),
        ("A\nB is taken", ["A\nB"], "*** is taken"),
        ("Meera is taken", ["  Meera "], "*** is taken"),
    ],
    ids=[
        "each",
        "longest_first",
        "short_ones_stay",
        "no_part_of_a_field",
        "no_part_of_a_custom_field",
        "without_letters_at_its_ends",
        "a_script_without_blanks",
        "beside_a_script_without_blanks",
        "overlapping",
        "over_two_lines",
        "without_its_blanks",
    ],
)
def test_the_known_values_of_a_lead_are_masked_wherever_they_stand(text, values, masked):
    assert mask_text(text, values) == masked


def test_a_text_of_500_characters_stays_whole():
    assert mask_text("x" * 500) == "x" * 500


def test_a_longer_text_is_cut_at_500_characters_visibly():
    assert mask_text("x" * 501) == "x" * 500 + "…"


def test_a_value_behind_the_cut_is_not_half_shown():
    assert "meera" not in mask_text("x" * 495 + " meera@example.org")


@pytest.mark.parametrize("length", [300, 490, 600, 2_000])
def test_a_long_value_at_the_cut_is_not_half_shown(length):
    value = "Meera " + "x" * length
    assert mask_text("taken " + value + " again", [value]).startswith("taken ***")
    assert "Meera" not in mask_text("y" * 400 + " " + value, [value])


@pytest.mark.parametrize("quotes", ["''", '""', "“”"])
def test_a_quote_that_is_not_closed_is_masked_to_the_end(quotes):
    opening, closing = quotes
    assert mask_text(f"bad {opening}Meera Iyer") == f"bad {opening}***"
    assert "Meera" not in mask_text(f"bad {opening}{'x' * 480} Meera {'x' * 1_000}{closing}")


def test_a_quote_within_a_word_ends_nothing():
    assert mask_text("bad 'Meera D'Souza' here") == "bad '***' here"


def test_a_key_is_masked_wherever_it_is_quoted():
    assert mask_text("the key xu$r1234x and u%24r1234", keys=["u$r1234", "u%24r1234", ""]) == "the key x***x and ***"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("bad\0value\ud83d", "bad\ufffdvalue\ufffd"),
        ("two\r\nlines\tof\u2028text", "two lines of text"),
        ("\x1b[31mred", "\ufffd[31mred"),
        ("मीरा 😀", "मीरा 😀"),
    ],
)
def test_characters_that_no_log_or_database_keeps_are_replaced(text, clean):
    assert mask_text(text) == clean


@pytest.mark.parametrize("unit", ["x", "“", "1 ", "1-", "1- ", "'", " '", "a@", "x.@", "<", "\0"])
def test_masking_takes_no_longer_for_a_long_text(unit):
    started = time.process_time()
    mask_text(unit * 15_000, [unit * 1_500])
    assert time.process_time() - started < 0.2
