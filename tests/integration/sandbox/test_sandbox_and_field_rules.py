"""
Two readings of the same documents: what the client's field rules say of a value, and what the sandbox does with it.

The client may refuse nothing that the sandbox takes. It takes nothing that the sandbox refuses either, but for phones
without a dash, of which it does not know where the country code ends.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_leadsquared.api.account import Account
from airflow_provider_leadsquared.api.field_rules import FieldRules
from airflow_provider_leadsquared.api.leads import encode_lead
from airflow_provider_leadsquared.api.requests import Response, list_lead_fields
from airflow_provider_leadsquared.api.responses import read_lead_fields
from airflow_provider_leadsquared.sandbox.capture import capture, read_pairs
from airflow_provider_leadsquared.sandbox.errors import MXError
from airflow_provider_leadsquared.sandbox.fields import LeadField, Schema, stored_form
from airflow_provider_leadsquared.sandbox.settings import Settings
from airflow_provider_leadsquared.sandbox.store import Store

SETTINGS = Settings(overlong="reject", dropdown="reject")
ASKED = list_lead_fields(Account("https://async.example.org", "https://sync.example.org", "access", "secret", "api"))


def rules_of(*fields: LeadField) -> FieldRules:
    """Return the client's rules, made from what the sandbox says of its fields."""
    metadata = [field.metadata(unique=False, with_options=True) for field in fields]
    return FieldRules(read_lead_fields(ASKED, Response(200, json.dumps(metadata).encode(), "application/json")))


def is_stored(field: LeadField, value: str) -> bool:
    try:
        stored_form(field, value, SETTINGS)
    except MXError:
        return False
    return True


def refuses(field: LeadField, value: str) -> bool:
    """Tell whether the client's rules refuse a value; that nobody sees a character is no reason to."""
    return any(breach.rule != "invisible" for breach in rules_of(field).breaches({"mx_A": value}))


def written(alphabet: str) -> st.SearchStrategy[str]:
    return st.text(alphabet, max_size=20) | st.text(max_size=8)


NUMBERS = st.one_of(st.integers(), st.decimals(), st.floats()).map(str) | written("0123456789+-.eE_, \n")
MOMENTS = st.datetimes().map(lambda moment: f"{moment:%Y-%m-%d %H:%M:%S}") | st.dates().map(str)
NEARLY_MOMENTS = st.builds(
    "{:04}-{:02}-{:02}{}".format,
    st.integers(0, 9999),
    st.integers(0, 13),
    st.integers(0, 32),
    st.sampled_from(["", " 23:59:59", " 24:00:00", " 23:60:00", " 23:59:60", "T00:00:00", "\n", " "]),
)
TIMES = st.builds("{:02}:{:02}:{:02}".format, st.integers(0, 25), st.integers(0, 61), st.integers(0, 61))
PHONES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "+", "+91", "+1", "+971", "(", " "]),
    st.sampled_from(["", "-", " ", "--"]),
    st.text("0123456789", min_size=3, max_size=13),
    st.sampled_from(["", ")", " 12", "-3", "x", "\n"]),
)
KINDS = {
    "Number": NUMBERS,
    "Boolean": st.sampled_from(["true", "TRUE", "False", "0", "1", "yes", "10", "true\n"]) | written("tTrRuUeE01"),
    "Date": MOMENTS | NEARLY_MOMENTS | written("0123456789-: "),
    "Time": TIMES | written("0123456789:"),
    "Email": st.emails() | written("ab@. \n"),
    "Text": written("ab"),
    "Website": written("ab:/."),
}


@pytest.mark.parametrize("data_type", KINDS)
@given(data=st.data())
def test_client_and_sandbox_agree_on_every_value(data_type, data):
    field = LeadField("mx_A", data_type, max_length=5 if data_type in ("Text", "Website") else None)
    value = data.draw(KINDS[data_type])
    assert refuses(field, value) != is_stored(field, value)


@given(options=st.lists(st.text(min_size=1), min_size=1, max_size=4), value=st.text(max_size=3), drawn=st.data())
def test_client_and_sandbox_agree_on_every_option(options, value, drawn):
    field = LeadField("mx_A", "Select", options=tuple(options))
    value = drawn.draw(st.sampled_from([*options, value]))
    assert refuses(field, value) != is_stored(field, value)


@given(value=PHONES | written("0123456789+-(). "), least=st.none() | st.integers(1, 10), most=st.integers(10, 15))
@example("+91-9000000001", 10, 10)
@example("+-9000000001", 10, 10)
@example("+0", None, 10)
def test_client_and_sandbox_agree_on_every_phone_but_where_the_country_code_may_end_anywhere(value, least, most):
    field = LeadField("Phone", "Phone", max_length=most, min_length=least)
    passes, stored = rules_of(field).breaches({"Phone": value}) == [], is_stored(field, value)
    assert passes or not stored
    code, dash, _ = value.partition("-")
    if dash and code.startswith("+") and code[1:].isdecimal():
        assert passes == stored


FIELDS = (
    LeadField("EmailAddress", "Email", lock_after_create=1),
    LeadField("LastName", is_mandatory=True),
    LeadField("mx_City"),
    LeadField("mx_Branch", lock_after_create=1),
    LeadField("mx_KYC", "CustomObject"),
)
LEADS = st.fixed_dictionaries(
    {"EmailAddress": st.just("a@example.org")},
    optional={
        "LastName": st.sampled_from(["", "Iyer", " "]),
        "mx_City": st.sampled_from(["", "Pune"]) | st.just({"Status": "Pending"}),
        "mx_Branch": st.sampled_from(["", "Pune", "Kochi"]),
        "mx_KYC": st.just({"Status": "Pending"}),
        "mx_Nope": st.just("1"),
    },
)


@given(lead=LEADS, exists=st.booleans())
def test_the_sandbox_takes_every_lead_that_breaks_no_rule_and_no_new_lead_that_does(lead, exists):
    store, schema, settings = Store(), Schema(FIELDS), Settings()

    def captured(sent):
        try:
            capture(store, schema, settings, read_pairs(encode_lead(sent).body.decode()), None, 0.0)
        except MXError:
            return False
        return True

    if exists:
        assert captured({"EmailAddress": "a@example.org", "LastName": "Rao", "mx_Branch": "Delhi"})
    passes = rules_of(*FIELDS).breaches(lead, exists=exists) == []
    taken = captured(lead)
    assert taken or not passes
    if not exists:
        assert passes == taken
