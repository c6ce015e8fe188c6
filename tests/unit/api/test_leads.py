"""Leads: what becomes of each value, what is refused, and by what LeadSquared will match."""

from __future__ import annotations

import datetime as dt
import enum
import json
import uuid
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.api.leads import LARGEST_BODY, encode_lead, values_of

try:
    import numpy as np  # type: ignore[import-not-found]  # installed by some other packages only
except ImportError:
    np = None

SECRET = "Meera-Private-Value"


class Plan(enum.StrEnum):
    GOLD = "Gold"


class NotATime(dt.datetime):
    """Stands for pandas' NaT: a datetime that differs from itself."""

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]  # as Python itself sets it for a class with __eq__ alone


def _body(lead: Any, **options: Any) -> Any:
    return json.loads(encode_lead(lead, **options).body)


def _sent(value: Any) -> str:
    return _body({"mx_Value": value})[0]["Value"]


VALUES = [
    ("Meera", "Meera"),
    ("", ""),
    ("  two  blanks ", "  two  blanks "),
    ("line\nbreak", "line\nbreak"),
    ("मीरा 😀 𝒳", "मीरा 😀 𝒳"),
    ('"quoted" \\ {{ ds }}', '"quoted" \\ {{ ds }}'),
    (Plan.GOLD, "Gold"),
    (0, "0"),
    (-42, "-42"),
    (10**30, "1" + "0" * 30),
    (1.5, "1.5"),
    (0.1, "0.1"),
    (-0.0, "0"),
    (9000000001.0, "9000000001"),
    (100.0, "100"),
    (1e22, "10000000000000000000000"),
    (1e-7, "0.0000001"),
    (Decimal("12.50"), "12.5"),
    (Decimal("-0.00"), "0"),
    (Decimal("1200"), "1200"),
    (Decimal("1E+3"), "1000"),
    (Decimal("0.000000001"), "0.000000001"),
    (Fraction(1, 4), "0.25"),
    (True, "true"),
    (False, "false"),
    (dt.date(2024, 2, 29), "2024-02-29 00:00:00"),
    (dt.date(1, 1, 1), "0001-01-01 00:00:00"),
    (dt.datetime(2024, 2, 29, 13, 5, 9), "2024-02-29 13:05:09"),
    (dt.datetime(2024, 2, 29, 13, 5, 9, 999_999), "2024-02-29 13:05:09"),
    (dt.datetime(2024, 2, 29, 13, 5, tzinfo=dt.UTC), "2024-02-29 13:05:00"),
    (dt.datetime(2024, 3, 1, 2, 0, tzinfo=ZoneInfo("Asia/Kolkata")), "2024-02-29 20:30:00"),
    (uuid.UUID("2c8e1f77-0000-4000-8000-00000000000b"), "2c8e1f77-0000-4000-8000-00000000000b"),
]
if np is not None:
    VALUES += [
        (np.int64(7), "7"),
        (np.float64(1.5), "1.5"),
        (np.float32(0.1), "0.1"),
        (np.float32(9e9), "9000000000"),
        (np.bool_(True), "true"),
        (np.str_("Meera"), "Meera"),
        (np.datetime64("2024-02-29T13:05:09"), "2024-02-29 13:05:09"),
        (np.datetime64("2024-02-29T13:05:09", "ns"), "2024-02-29 13:05:09"),
        (np.datetime64("2024-02-29"), "2024-02-29 00:00:00"),
    ]


@pytest.mark.parametrize(("value", "text"), VALUES, ids=lambda value: f"{type(value).__name__}-{value!s:.20}")
def test_a_value_is_sent_as_this_text(value, text):
    assert _sent(value) == text


def test_a_lead_is_one_array_of_pairs_in_the_order_given():
    assert _body({"LastName": "Iyer", "FirstName": "Meera"}) == [
        {"Attribute": "LastName", "Value": "Iyer"},
        {"Attribute": "FirstName", "Value": "Meera"},
    ]


def test_a_body_is_utf8_not_escaped():
    assert "😀".encode() in encode_lead({"FirstName": "😀"}).body


def test_none_is_left_out_by_default():
    assert _body({"FirstName": "Meera", "LastName": None}) == [{"Attribute": "FirstName", "Value": "Meera"}]


def test_none_clears_the_attribute_where_the_author_says_so():
    assert _body({"FirstName": "Meera", "LastName": None}, null_handling="clear")[1] == {
        "Attribute": "LastName",
        "Value": "",
    }


class NAType:
    """Stands for pandas' NA, whose comparisons have no truth."""

    __module__ = "pandas._libs.missing"

    def __ne__(self, other: object) -> Any:
        return self

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = None  # type: ignore[assignment]  # that makes it unhashable


class Float32:
    """Stands for numpy's float32: what Python makes of it is longer than it is."""

    __module__ = "numpy"
    ndim, dtype = 0, SimpleNamespace(kind="f")

    def __str__(self) -> str:
        return "0.1"

    def item(self) -> float:
        return 0.10000000149011612


def test_a_short_float_has_the_spelling_of_a_long_one():
    assert _sent(Float32()) == _sent(0.1) == _sent(Decimal("0.100")) == "0.1"


NULLS = [None, float("nan"), Decimal("NaN"), Decimal("sNaN"), NotATime(2024, 1, 1), NAType()]
if np is not None:
    NULLS += [np.float64("nan"), np.float32("nan"), np.datetime64("NaT")]


@pytest.mark.parametrize("null", NULLS, ids=lambda null: f"{type(null).__name__}-{null!s:.4}")
def test_whatever_stands_for_no_value_is_null(null):
    lead = {"FirstName": "Meera", "LastName": null, "mx_KYC": {"Status": "Open", "mx_CustomObject_1": null}}
    plain = {"FirstName": "Meera", "LastName": None, "mx_KYC": {"Status": "Open", "mx_CustomObject_1": None}}
    assert encode_lead(lead) == encode_lead(plain)
    assert encode_lead(lead, null_handling="clear") == encode_lead(plain, null_handling="clear")


@pytest.mark.parametrize("text", ["nan", "NaT", "<NA>", "None"])
def test_a_text_is_never_null(text):
    assert _sent(text) == text


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("Pune\u200b", True),
        ("\ufeffPune", True),
        ("Pu\u200dne", True),
        ("Pune\x07", True),
        ("ab\u202ecd", True),
        ("क्\u200dष", False),
        ("👩\u200d🚀", False),
        ("two\nlines\tand a tab", False),
        ("no\u00a0break", False),
    ],
)
def test_what_nobody_sees_is_sent_and_told_by_attribute(text, is_told):
    lead = encode_lead({"FirstName": "Meera", "mx_City": text, "mx_KYC": {"Status": text}})
    assert lead.invisible == (("mx_City", "mx_KYC") if is_told else ())
    assert json.loads(lead.body)[1]["Value"] == text


def test_a_name_that_no_ledger_can_keep_is_shown_cleaned_and_cut():
    with pytest.raises(InvalidLeadError) as caught:
        encode_lead({"Pho\0ne\ud800" + "x" * 200: "1"})
    assert str(caught.value).startswith("Pho\ufffdne\ufffdxxx")
    assert len(str(caught.value)) < 250


def test_an_empty_text_is_sent_and_not_taken_for_none():
    assert _body({"FirstName": "", "LastName": "Iyer"})[0] == {"Attribute": "FirstName", "Value": ""}


def test_a_mapping_becomes_a_custom_field_set():
    assert _body({"mx_KYC": {"Status": "Pending", "mx_CustomObject_1": 5}}) == [
        {
            "Attribute": "mx_KYC",
            "Value": "",
            "Fields": [
                {"Attribute": "Status", "Value": "Pending"},
                {"Attribute": "mx_CustomObject_1", "Value": "5"},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        ("skip", [{"Attribute": "Status", "Value": "Pending"}]),
        ("clear", [{"Attribute": "Status", "Value": "Pending"}, {"Attribute": "mx_CustomObject_1", "Value": ""}]),
    ],
)
def test_the_null_policy_holds_inside_a_field_set(policy, fields):
    lead = {"mx_KYC": {"Status": "Pending", "mx_CustomObject_1": None}}
    assert _body(lead, null_handling=policy)[0]["Fields"] == fields


def test_a_field_set_of_nothing_but_none_is_left_out():
    assert _body({"FirstName": "Meera", "mx_KYC": {"Status": None}}) == [{"Attribute": "FirstName", "Value": "Meera"}]


PAIRED = [
    ({"FirstName": "Meera", "mx_Age": 40}, [("FirstName", "Meera"), ("mx_Age", 40)]),
    ({"FirstName": "Meera", "LastName": None}, [("FirstName", "Meera"), ("LastName", None)]),
    ({"EmailAddress": "m@example.org", "SearchBy": "EmailAddress"}, None),
    ({"mx_KYC": {"Status": "Done", "mx_CustomObject_2": "x"}}, None),
]


def _pairs(lead: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"Attribute": name, "Value": "", "Fields": _pairs(value)}
        if isinstance(value, dict)
        else {"Attribute": name, "Value": value}
        for name, value in lead.items()
    ]


@pytest.mark.parametrize("policy", ["skip", "clear"])
@pytest.mark.parametrize("lead", [paired[0] for paired in PAIRED])
@pytest.mark.parametrize("kind", [list, tuple])
def test_the_pairs_form_equals_the_dict_form(lead, policy, kind):
    assert encode_lead(kind(_pairs(lead)), null_handling=policy) == encode_lead(lead, null_handling=policy)


def test_a_pair_without_a_value_is_like_none():
    assert _body([{"Attribute": "FirstName", "Value": "Meera"}, {"Attribute": "LastName"}]) == [
        {"Attribute": "FirstName", "Value": "Meera"}
    ]


def test_a_body_that_was_sent_can_be_given_again():
    lead = {"FirstName": "Meera", "mx_KYC": {"Status": "Done"}, "Phone": "+91-9000000001"}
    assert encode_lead(json.loads(encode_lead(lead).body)) == encode_lead(lead)


REFUSED = {
    # lead, attribute, rule, a word of the text
    "infinity": ({"mx_A": float("inf")}, "mx_A", "not_finite", "send None"),
    "minus_infinity": ({"mx_A": float("-inf")}, "mx_A", "not_finite", "send None"),
    "decimal_infinity": ({"mx_A": Decimal("Infinity")}, "mx_A", "not_finite", "send None"),
    "infinity_in_a_field_set": ({"mx_A": {"Status": float("inf")}}, "mx_A.Status", "not_finite", "send None"),
    "beyond_the_calendar": (
        {"mx_A": dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-1)))},
        "mx_A",
        "value_type",
        "send None",
    ),
    "bytes": ({"mx_A": SECRET.encode()}, "mx_A", "value_type", "a bytes"),
    "list": ({"mx_A": [SECRET]}, "mx_A", "value_type", "a list"),
    "set": ({"mx_A": {SECRET}}, "mx_A", "value_type", "a set"),
    "object": ({"mx_A": object()}, "mx_A", "value_type", "a object"),
    "complex": ({"mx_A": 1j}, "mx_A", "value_type", "a complex"),
    "time": ({"mx_A": dt.time(1, 2)}, "mx_A", "value_type", "a time"),
    "timedelta": ({"mx_A": dt.timedelta(1)}, "mx_A", "value_type", "a timedelta"),
    "mapping_in_a_field_set": ({"mx_A": {"Status": {"x": SECRET}}}, "mx_A.Status", "value_type", "a dict"),
    "nul": ({"mx_A": SECRET + "\0"}, "mx_A", "text", "the character NUL"),
    "nul_in_a_field_set": ({"mx_A": {"Status": SECRET + "\0"}}, "mx_A.Status", "text", "the character NUL"),
    "zero_width_space_in_a_match_key": (
        {"EmailAddress": f"{SECRET}\u200b@example.org"},
        "EmailAddress",
        "text",
        "U+200B, which nobody sees",
    ),
    "zero_width_joiner_in_a_match_key": ({"Phone": "+91-9000\u200d000001"}, "Phone", "text", "U+200D"),
    "byte_order_mark_in_a_match_key": (
        {"mx_Id": "\ufeff7", "SearchBy": "mx_Id"},
        "mx_Id",
        "text",
        "U+FEFF",
    ),
    "lone_surrogate": ({"mx_A": SECRET + "\ud83d"}, "mx_A", "text", "surrogate"),
    "huge_int": ({"mx_A": 10**5_000}, "mx_A", "too_large", "too long"),
    "huge_exponent": ({"mx_A": Decimal("1E+999999999999")}, "mx_A", "too_large", "too long"),
    "tiny_exponent": ({"mx_A": Decimal("1E-999999999999")}, "mx_A", "too_large", "too long"),
    "huge_fraction": ({"mx_A": Fraction(10**400, 3)}, "mx_A", "too_large", "too long"),
    "300_kb": ({"FirstName": "Meera", "mx_A": SECRET * 16_000}, "mx_A", "too_large", "shorten this value"),
    "system_name_in_lower_case": ({"emailaddress": SECRET}, "emailaddress", "attribute_name", "'EmailAddress'"),
    "system_name_in_upper_case": ({"PHONE": SECRET}, "PHONE", "attribute_name", "'Phone'"),
    "lead_id_in_prose_spelling": ({"ProspectId": SECRET}, "ProspectId", "attribute_name", "'ProspectID'"),
    "search_by_in_lower_case": ({"Searchby": SECRET}, "Searchby", "attribute_name", "'SearchBy'"),
    "custom_prefix": ({"MX_City": SECRET}, "MX_City", "attribute_name", "'mx_City'"),
    "label": ({"Email Address": SECRET}, "Email Address", "attribute_name", "did you mean 'EmailAddress'"),
    "blank_before": ({" Phone": SECRET}, " Phone", "attribute_name", "did you mean 'Phone'"),
    "newline_behind": ({"Phone\n": SECRET}, "Phone\n", "attribute_name", "did you mean 'Phone'"),
    "byte_order_mark": ({"\ufeffPhone": SECRET}, "\ufeffPhone", "attribute_name", "did you mean 'Phone'"),
    "unknown_label": ({"mx City": SECRET}, "mx City", "attribute_name", "letters, digits and underscores"),
    "empty_name": ({"": SECRET}, "", "attribute_name", "letters, digits and underscores"),
    "digit_first": ({"1st": SECRET}, "1st", "attribute_name", "letters, digits and underscores"),
    "name_is_a_number": ({1: SECRET}, "", "attribute_name", "a int, not text"),
    "field_name": ({"mx_A": {"City": SECRET}}, "mx_A.City", "attribute_name", "mx_CustomObject_<n>"),
    "field_name_with_newline": ({"mx_A": {"Status\n": SECRET}}, "mx_A.Status\n", "attribute_name", "mx_CustomObject"),
    "empty": ({}, "", "empty", "nothing to send"),
    "empty_pairs": ([], "", "empty", "nothing to send"),
    "only_none": ({"FirstName": None}, "", "empty", "nothing to send"),
    "doubled": (
        [{"Attribute": "Phone", "Value": SECRET}, {"Attribute": "Phone", "Value": SECRET}],
        "Phone",
        "doubled_attribute",
        "keep one",
    ),
    "doubled_field": (
        [{"Attribute": "mx_A", "Fields": [{"Attribute": "Status", "Value": SECRET}] * 2}],
        "mx_A.Status",
        "doubled_attribute",
        "keep one",
    ),
    "single_pair": ({"Attribute": "Phone", "Value": SECRET}, "", "shape", "a list of pairs"),
    "text": (SECRET, "", "shape", "is a str"),
    "number": (5, "", "shape", "is a int"),
    "none": (None, "", "shape", "is a NoneType"),
    "pair_is_text": ([SECRET], "", "shape", "Attribute and Value"),
    "pair_without_attribute": ([{"Value": SECRET}], "", "shape", "Attribute and Value"),
    "pair_in_lower_case": ([{"attribute": "Phone", "value": SECRET}], "", "shape", "Attribute and Value"),
    "pair_with_more": ([{"Attribute": "Phone", "Value": SECRET, "X": 1}], "", "shape", "Attribute and Value"),
    "fields_is_text": ([{"Attribute": "mx_A", "Fields": SECRET}], "mx_A", "shape", "list of pairs"),
    "fields_is_none": ([{"Attribute": "mx_A", "Fields": None}], "mx_A", "shape", "list of pairs"),
    "fields_of_texts": ([{"Attribute": "mx_A", "Fields": [SECRET]}], "", "shape", "Attribute and Value"),
    "value_beside_fields": (
        [{"Attribute": "mx_A", "Value": SECRET, "Fields": [{"Attribute": "Status", "Value": "x"}]}],
        "mx_A",
        "shape",
        "leave Value empty",
    ),
    "attribute_is_a_list": ([{"Attribute": ["Phone"], "Value": SECRET}], "", "attribute_name", "a list, not text"),
    "field_name_is_a_list": (
        [{"Attribute": "mx_A", "Fields": [{"Attribute": ["Status"], "Value": SECRET}]}],
        "mx_A",
        "attribute_name",
        "a list",
    ),
    "search_by_absent": ({"FirstName": SECRET, "SearchBy": "Phone"}, "SearchBy", "search_by", "names 'Phone'"),
    "search_by_a_value": ({"FirstName": "x", "SearchBy": SECRET}, "SearchBy", "search_by", "names an attribute"),
    "search_by_a_mapping": (
        {"FirstName": "x", "SearchBy": {"Status": SECRET}},
        "SearchBy",
        "search_by",
        "names an attribute",
    ),
}
if np is not None:
    REFUSED |= {
        "numpy_array": ({"mx_A": np.array([1, 2])}, "mx_A", "value_type", "a ndarray"),
    }


@pytest.mark.parametrize(("lead", "attribute", "rule", "word"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_lead_is_refused_by_attribute_and_rule(lead, attribute, rule, word):
    with pytest.raises(InvalidLeadError) as caught:
        encode_lead(lead)
    assert (caught.value.attribute, caught.value.rule) == (attribute, rule)
    assert word in str(caught.value)


@pytest.mark.parametrize("lead", [refused[0] for refused in REFUSED.values()], ids=REFUSED.keys())
def test_a_refusal_shows_no_value(lead):
    with pytest.raises(InvalidLeadError) as caught:
        encode_lead(lead)
    chain = [caught.value, caught.value.__cause__]
    assert SECRET not in "".join(repr(error) + str(error) for error in chain)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_field_set_of_nothing_is_refused_where_it_should_clear():
    with pytest.raises(InvalidLeadError, match="mx_A: is an empty field set"):
        encode_lead({"mx_A": {}}, null_handling="clear")


def test_a_body_at_the_limit_is_taken():
    room = LARGEST_BODY - len(encode_lead({"mx_A": ""}).body)
    assert len(encode_lead({"mx_A": "x" * room}).body) == LARGEST_BODY


def test_the_limit_counts_bytes_not_characters():
    with pytest.raises(InvalidLeadError, match="shorten this value"):
        encode_lead({"mx_A": "😀" * (LARGEST_BODY // 4)})


PROSPECT, EMAIL, PHONE = "2c8e1f77-0000-4000-8000-00000000000b", "meera@example.org", "+919000000001"
ALL_THREE = {"ProspectID": PROSPECT, "EmailAddress": EMAIL, "Phone": PHONE}


@pytest.mark.parametrize(
    ("lead", "key"),
    [
        ({"FirstName": "Meera"}, None),
        ({"Phone": PHONE}, ("Phone", PHONE)),
        ({"Phone": PHONE, "EmailAddress": EMAIL}, ("EmailAddress", EMAIL)),
        (ALL_THREE, ("ProspectID", PROSPECT)),
        ({"Phone": PHONE, "ProspectID": PROSPECT}, ("ProspectID", PROSPECT)),
        ({"Phone": PHONE, "EmailAddress": EMAIL, "SearchBy": "Phone"}, ("Phone", PHONE)),
        ({"mx_Id": "7", "EmailAddress": EMAIL, "SearchBy": "mx_Id"}, ("mx_Id", "7")),
        ({**ALL_THREE, "SearchBy": "Phone"}, ("ProspectID", PROSPECT)),
        ({**ALL_THREE, "ProspectID": "", "SearchBy": "Phone"}, ("Phone", PHONE)),
        ({"ProspectID": PROSPECT, "EmailAddress": EMAIL, "SearchBy": "ProspectId"}, ("ProspectID", PROSPECT)),
        ({"ProspectID": PROSPECT, "EmailAddress": EMAIL, "SearchBy": "ProspectID"}, ("ProspectID", PROSPECT)),
        ({"EmailAddress": EMAIL, "Phone": "", "SearchBy": "Phone"}, None),
        ({"EmailAddress": "", "Phone": PHONE}, ("Phone", PHONE)),
        ({"EmailAddress": "  ", "FirstName": "Meera"}, None),
        ({"Phone": " - ", "FirstName": "Meera"}, None),
    ],
    ids=[
        "rule_1_nothing",
        "rule_9_phone",
        "rule_2_email_before_phone",
        "rule_2_id_before_all",
        "rule_2_id_before_phone",
        "rule_11_phone_decides",
        "rule_11_custom_field_decides",
        "rule_12_all_three_ignore_it",
        "rule_11_an_empty_one_is_not_passed",
        "search_by_prospect_id_in_its_own_spelling",
        "search_by_prospect_id_as_attribute",
        "search_by_an_empty_value",
        "an_empty_email_matches_nothing",
        "a_blank_email_matches_nothing",
        "a_phone_without_digits_matches_nothing",
    ],
)
def test_a_lead_is_matched_by(lead, key):
    assert encode_lead(lead).match_key == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"EmailAddress": "Meera@Example.org "}, {"EmailAddress": "meera@example.org"}),
        ({"Phone": "+91-90000 (000)01"}, {"Phone": "+919000000001"}),
        ({"ProspectID": PROSPECT.upper()}, {"ProspectID": PROSPECT}),
        ({"mx_Id": 7, "SearchBy": "mx_Id"}, {"mx_Id": "7", "SearchBy": "mx_Id"}),
    ],
)
def test_spellings_of_one_key_are_one_key(one, other):
    assert encode_lead(one).match_key == encode_lead(other).match_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"EmailAddress": "straße@example.org"}, {"EmailAddress": "strasse@example.org"}),
        ({"EmailAddress": "İ@example.org"}, {"EmailAddress": "i̇@example.org"}),
        ({"mx_Id": "aB3", "SearchBy": "mx_Id"}, {"mx_Id": "Ab3", "SearchBy": "mx_Id"}),
        ({"mx_Id": " 7", "SearchBy": "mx_Id"}, {"mx_Id": "7", "SearchBy": "mx_Id"}),
        ({"Phone": "9000000001"}, {"Phone": "+91-9000000001"}),
    ],
    ids=["sharp_s", "dotted_capital_i", "letters_of_an_id", "blank_of_an_id", "country_code"],
)
def test_keys_that_may_be_two_records_are_two_keys(one, other):
    assert encode_lead(one).match_key != encode_lead(other).match_key


@pytest.mark.parametrize(
    ("lead", "names"),
    [
        ({"FirstName": "Meera"}, []),
        ({"Phone": PHONE, "EmailAddress": EMAIL}, ["EmailAddress", "Phone"]),
        (ALL_THREE, ["ProspectID", "EmailAddress", "Phone"]),
        ({**ALL_THREE, "SearchBy": "Phone"}, ["ProspectID", "EmailAddress", "Phone"]),
        ({"Phone": PHONE, "EmailAddress": EMAIL, "SearchBy": "Phone"}, ["Phone", "EmailAddress"]),
        ({"mx_Id": "7", "EmailAddress": EMAIL, "SearchBy": "mx_Id"}, ["mx_Id", "EmailAddress"]),
        ({"EmailAddress": " ", "Phone": PHONE}, ["Phone"]),
    ],
    ids=["none", "email_and_phone", "all_three", "search_by_ignored", "search_by", "search_by_custom", "blank"],
)
def test_all_match_keys_are_given_in_the_order_in_which_leadsquared_tries_them(lead, names):
    assert [name for name, _ in encode_lead(lead).match_keys] == names


@pytest.mark.parametrize("options", [{"search_by": "ProspectID"}, {}], ids=["of_the_author", "of_the_lead"])
def test_search_by_the_leads_id_is_sent_in_the_spelling_that_leadsquared_takes(options):
    lead = {"ProspectID": PROSPECT, "EmailAddress": EMAIL, "SearchBy": "ProspectID"}
    if options:
        del lead["SearchBy"]
    assert _body(lead, **options)[-1] == {"Attribute": "SearchBy", "Value": "ProspectId"}


def test_the_author_may_choose_the_attribute_to_match_by():
    lead = encode_lead({"EmailAddress": EMAIL, "Phone": PHONE}, search_by="Phone")
    assert lead.match_key == ("Phone", PHONE)


def test_the_authors_choice_is_sent():
    assert _body({"Phone": PHONE}, search_by="Phone")[-1] == {"Attribute": "SearchBy", "Value": "Phone"}


def test_a_leads_own_choice_comes_first():
    lead = encode_lead({"EmailAddress": EMAIL, "Phone": PHONE, "SearchBy": "EmailAddress"}, search_by="Phone")
    assert lead.match_key == ("EmailAddress", EMAIL)


def test_the_authors_choice_must_be_in_the_lead():
    with pytest.raises(InvalidLeadError, match="SearchBy: names 'mx_Id', which the lead does not have"):
        encode_lead({"Phone": PHONE}, search_by="mx_Id")


def test_a_fingerprint_is_32_hexadecimal_digits():
    assert len(bytes.fromhex(encode_lead({"Phone": PHONE}).fingerprint)) == 16


@settings(deadline=None)
@given(st.permutations([*ALL_THREE.items(), ("mx_KYC", {"Status": "a", "mx_CustomObject_1": "b"})]))
def test_a_fingerprint_does_not_depend_on_the_order_of_columns(items):
    expected = encode_lead({"mx_KYC": {"mx_CustomObject_1": "b", "Status": "a"}, **ALL_THREE})
    assert encode_lead(dict(items)).fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    "other",
    [{"Phone": "+919000000002"}, {"Mobile": PHONE}, {"Phone": PHONE, "FirstName": ""}, {"Phone": PHONE + " "}],
)
def test_a_fingerprint_changes_with_what_is_sent(other):
    assert encode_lead(other).fingerprint != encode_lead({"Phone": PHONE}).fingerprint


def test_a_fingerprint_changes_with_what_a_sending_does_to_an_existing_lead():
    lead = {"Phone": PHONE, "LastName": None}
    ways: list[dict[str, Any]] = [
        {},
        {"parameters": {"LeadUpdateBehavior": "DoNotUpdate"}},
        {"parameters": {"LeadUpdateBehavior": "UpdateOnlyEmptyFields"}},
        {"null_handling": "clear"},
    ]
    assert len({encode_lead(lead, **way).fingerprint for way in ways}) == len(ways)


@pytest.mark.parametrize("way", [{"search_by": "Phone"}, {"search_by": "EmailAddress"}, {"null_handling": "clear"}])
def test_a_fingerprint_stays_where_a_sending_stores_the_same(way):
    lead = {"Phone": PHONE, "EmailAddress": EMAIL}
    assert encode_lead(lead, **way).fingerprint == encode_lead(lead).fingerprint


ANY_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.dates()
    | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["FirstName", "Phone", "mx_A", "SearchBy", "Attribute", "Value", "Fields", "bad name", 5])


@settings(deadline=None)
@given(
    st.dictionaries(NAMES, ANY_VALUE, max_size=4) | st.lists(st.dictionaries(NAMES, ANY_VALUE, max_size=4)) | ANY_VALUE,
    st.sampled_from(["skip", "clear"]),
)
def test_anything_at_all_is_a_lead_or_an_invalid_lead(given_lead, policy):
    try:
        body = encode_lead(given_lead, null_handling=policy).body
    except InvalidLeadError:
        return
    assert isinstance(json.loads(body), list)


def test_the_values_of_a_body_are_found_for_masking():
    lead = {"FirstName": "Meera", "mx_KYC": {"Status": "Done"}, "Phone": PHONE, "SearchBy": "Phone"}
    assert [value for value in values_of(encode_lead(lead).body) if value] == ["Meera", "Done", PHONE]


@pytest.mark.parametrize(
    "body", [b"", b"\xff", "no json", "{}", "5", "[1, null, []]", '[{"Fields": 5}]', None, {"Value": "x"}, 5]
)
def test_a_body_that_is_no_lead_has_no_values(body):
    assert values_of(body) == []


def test_one_odd_pair_does_not_hide_the_values_of_the_others():
    assert values_of([{"Attribute": "x"}, 5, {"Attribute": "FirstName", "Value": "Meera"}]) == ["Meera"]
