"""Field rules: what an account's own metadata says of a lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.api.field_rules import RULES, FieldRules
from airflow_provider_leadsquared.api.leads import encode_lead
from airflow_provider_leadsquared.api.responses import LeadField

SECRET = "kept-to-itself"


def field(name: str, data_type: str = "Text", **facts: Any) -> LeadField:
    about = {
        "display_name": name,
        "render_type": "",
        "is_mandatory": False,
        "max_length": None,
        "lock_after_create": 0,
        "is_identifier": False,
        "options": (),
    }
    return LeadField(schema_name=name, data_type=data_type, **{**about, **facts})


RULES_OF_ACCOUNT = FieldRules(
    [
        field("FirstName", max_length=10),
        field("LastName", is_mandatory=True),
        field("EmailAddress", "Email", lock_after_create=1),
        field("Phone", "Phone", max_length=10, min_length=10, lock_after_create=1),
        field("mx_City"),
        field("mx_Age", "Number", max_length=3),
        field("mx_Born", "Date"),
        field("mx_Call_At", "Time"),
        field("mx_Subscribed", "Boolean"),
        field("mx_Plan", "Select", options=("Gold", "Silver")),
        field("mx_Hobbies", "Select", render_type="MultiSelect", options=("Chess", "Go")),
        field("mx_Faith", "Select", render_type="DropdownWithOthers", options=("A", "B")),
        field("mx_KYC", "CustomObject"),
        field("mx_Branch", lock_after_create=2),
        field("mx_Customer_Id", lock_after_create=1, is_identifier=True),
    ]
)


def broken(texts: Mapping[str, object], exists: bool | None = None) -> list[tuple[str, str]]:
    return [(breach.rule, breach.attribute) for breach in RULES_OF_ACCOUNT.breaches(texts, exists=exists)]


# --- names --------------------------------------------------------------------------------------------------------


def test_unknown_attributes_of_a_run_are_all_named_with_close_names():
    errors = RULES_OF_ACCOUNT.unknown(["mx_Ctiy", "mx_City", "Frist_Name", "Qqq"])
    assert [(error.rule, str(error)) for error in errors] == [
        ("unknown_attribute", "mx_Ctiy: the account has no such lead field; did you mean mx_City?"),
        ("unknown_attribute", "Frist_Name: the account has no such lead field; did you mean FirstName?"),
        ("unknown_attribute", "Qqq: the account has no such lead field"),
    ]


def test_what_a_capture_takes_besides_fields_is_known():
    assert RULES_OF_ACCOUNT.unknown(["ProspectID", "SearchBy", "RelatedCompanyId"]) == []


def test_letter_case_counts():
    assert broken({"firstname": "Meera"}) == [("unknown_attribute", "firstname")]


# --- every breach -------------------------------------------------------------------------------------------------


def test_every_breach_of_a_lead_is_reported_with_attribute_and_rule():
    lead = {
        "Nope": "1",
        "FirstName": "x" * 11,
        "mx_Age": "old",
        "mx_Plan": "Lead",
        "mx_Branch": "Pune",
        "LastName": "",
        "mx_City": "Pune\u200b",
    }
    assert broken(lead, exists=True) == [
        ("unknown_attribute", "Nope"),
        ("mandatory", "LastName"),
        ("read_only", "mx_Branch"),
        ("too_long", "FirstName"),
        ("wrong_type", "mx_Age"),
        ("not_an_option", "mx_Plan"),
        ("invisible", "mx_City"),
    ]
    assert {rule for rule, _ in broken(lead, exists=True)} == set(RULES)


def test_one_value_may_break_two_rules():
    assert broken({"mx_Age": "ancient"}) == [("wrong_type", "mx_Age"), ("too_long", "mx_Age")]


def test_no_breach_tells_a_value():
    lead = {
        name: SECRET
        for name in (
            "Phone",
            "EmailAddress",
            "mx_Age",
            "mx_Born",
            "mx_Call_At",
            "mx_Subscribed",
            "mx_Plan",
            "FirstName",
        )
    }
    breaches = RULES_OF_ACCOUNT.breaches(lead)
    assert len(breaches) == 10
    assert [breach for breach in breaches if SECRET in repr(breach) + str(breach.__dict__)] == []


def test_the_first_breach_is_raised_where_one_is_enough():
    with pytest.raises(InvalidLeadError, match="mx_Nope: the account has no such lead field") as caught:
        RULES_OF_ACCOUNT.check({"mx_Nope": "1", "mx_Age": "old"})
    assert (caught.value.rule, caught.value.attribute) == ("unknown_attribute", "mx_Nope")


def test_a_character_that_nobody_sees_is_no_reason_to_refuse_a_lead():
    RULES_OF_ACCOUNT.check({"mx_City": "Pune\u200b"})


# --- mandatory and locked fields ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("exists", "rules"), [(False, [("mandatory", "LastName")]), (True, []), (None, [])])
def test_only_a_new_lead_must_have_the_mandatory_fields(exists, rules):
    assert broken({"mx_City": "Pune"}, exists) == rules


@pytest.mark.parametrize("exists", [False, True, None])
def test_a_mandatory_field_is_never_emptied(exists):
    assert broken({"LastName": ""}, exists) == [("mandatory", "LastName")]


@pytest.mark.parametrize(("exists", "rules"), [(False, []), (True, [("read_only", "mx_Branch")]), (None, [])])
def test_a_locked_field_is_left_alone_once_the_lead_exists(exists, rules):
    assert broken({"LastName": "Iyer", "mx_Branch": "Pune"}, exists) == rules


@pytest.mark.parametrize("name", ["EmailAddress", "Phone", "mx_Customer_Id"])
def test_what_a_known_lead_is_found_by_may_be_locked(name):
    value = {"EmailAddress": "a@example.org", "Phone": "9000000001"}.get(name, "c-1")
    assert broken({name: value}, exists=True) == []


def test_the_attribute_that_search_by_names_may_be_locked():
    assert broken({"mx_Branch": "Pune", "SearchBy": "mx_Branch"}, exists=True) == []


def test_the_rules_see_the_search_by_of_the_whole_run():
    class Seen:
        def check(self, texts):
            self.texts = dict(texts)

    seen = Seen()
    encode_lead({"mx_Branch": "Pune"}, search_by="mx_Branch", rules=seen)
    assert seen.texts == {"mx_Branch": "Pune", "SearchBy": "mx_Branch"}


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("Phone", ["9000000001", "90000 00001", "+91-9000000001", "+91-90000 00001", "(900) 000-0001"]),
        ("Phone", ["+919000000001", "+91 90000 00001", "919000000001", "09000000001"]),
        ("EmailAddress", ["a@example.org", " a@example.org "]),
        ("mx_Age", ["1", "-1", "1.5", ".5", "1E2", " 41"]),
        ("mx_Born", ["2026-01-02", "2024-02-29", "2026-01-02 23:59:59"]),
        ("mx_Call_At", ["00:00:00", "23:59:59"]),
        ("mx_Subscribed", ["true", "False", "0", "1"]),
        ("mx_Plan", ["Gold", "Silver"]),
        ("FirstName", ["x" * 10, "Zoë 🙂"]),
    ],
)
def test_values_of_the_fields_type_pass(name, texts):
    assert [text for text in [*texts, ""] if broken({name: text})] == []


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("Phone", ["call me", "12", "+91-900000000", "+91-90000000011", "+9000000001", "90000000011234", "+-", "+"]),
        ("Phone", ["9000000001\n", "٩٠٠٠٠٠٠٠٠١", "9000000001 or 2"]),
        ("EmailAddress", ["meera", "meera@", "@example.org", "a b@example.org", "a@example", "a@example.org\n."]),
        ("mx_Age", ["x", "1,5", "1_0", "NaN", "Inf", "0x1", "٤"]),
        ("mx_Born", ["2026-02-30", "2025-02-29", "2026-13-01", "2026-1-2", "01/02/2026", "2026-01-02 24:00:00"]),
        ("mx_Born", ["2026-01-02T03:04:05", "2026-01-02\n", "20260102", "0000-01-01"]),
        ("mx_Call_At", ["24:00:00", "12:60:00", "12:00", "noon"]),
        ("mx_Subscribed", ["yes", "2", "true\n"]),
        ("mx_City", [{"Status": "Pending"}]),
        ("mx_Age", [{"Status": "Pending"}]),
    ],
)
def test_values_of_another_type_are_wrong(name, texts):
    assert [text for text in texts if ("wrong_type", name) not in broken({name: text})] == []


@pytest.mark.parametrize("text", ["gold", "Gold ", "Gold;Silver", {"Status": "Gold"}])
def test_a_dropdown_takes_its_options_only(text):
    assert broken({"mx_Plan": text}) == [("not_an_option", "mx_Plan")]


@pytest.mark.parametrize(("name", "text"), [("mx_Hobbies", "Chess;Go"), ("mx_Faith", "C")])
def test_a_dropdown_of_several_or_other_values_takes_any(name, text):
    assert broken({name: text}) == []


def test_a_field_set_is_taken_where_the_field_is_one():
    assert broken({"mx_KYC": {"Status": "Pending"}}) == []


@pytest.mark.parametrize("data_type", ["Lookup", "", "text"])
def test_data_types_that_nobody_described_take_anything(data_type):
    rules = FieldRules([field("a", data_type)])
    assert rules.breaches({"a": "x"}) + rules.breaches({"a": {"Status": "x"}}) == []


@pytest.mark.parametrize(("least", "most"), [(None, None), (12, 4), (None, 10**18), (10**8, None)])
def test_a_phone_field_without_sensible_lengths_takes_any_number(least, most):
    rules = FieldRules([field("Phone", "Phone", min_length=least, max_length=most)])
    assert rules.breaches({"Phone": "+91-9000000001"}) == []
    assert [breach.rule for breach in rules.breaches({"Phone": "call me"})] == ["wrong_type"]


@pytest.mark.parametrize(
    "text",
    [
        "9" * 100_000 + "x",
        "+" + "9" * 100_000,
        "(" * 100_000,
        "1" + " " * 100_000 + "x",
        "a@" + "b." * 50_000 + " x",
    ],
    ids=["digits", "code", "brackets", "blanks", "dots"],
)
def test_no_long_value_is_tried_in_all_ways(text):
    lead = dict.fromkeys(("Phone", "EmailAddress", "mx_Age", "mx_Born", "mx_Subscribed"), text)
    assert {name for rule, name in broken(lead) if rule == "wrong_type"} == set(lead)


def test_the_rules_for_values_are_a_valid_json_schema():
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(RULES_OF_ACCOUNT.schema)
    lead = {"mx_Age": "1", "mx_Plan": "Gold", "Phone": "9000000001"}
    assert Draft202012Validator(RULES_OF_ACCOUNT.schema).is_valid(lead)
    assert not Draft202012Validator(RULES_OF_ACCOUNT.schema).is_valid({**lead, "mx_Plan": "Lead"})
