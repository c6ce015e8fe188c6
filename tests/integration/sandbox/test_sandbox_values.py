"""How values are kept, and what happens to those that do not fit."""

from __future__ import annotations

import pytest


def kept(crm, attribute, value):
    """Return the value as stored, or the name of the exception."""
    response = crm.capture({attribute: value})
    return response.get("ExceptionType") or crm.values(response)[attribute]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("9000000001", "+91-9000000001"),
        ("90000 00001", "+91-9000000001"),
        ("+91-9000000001", "+91-9000000001"),
        ("+919000000001", "+91-9000000001"),
        ("+1 (415) 555-0123", "+1-4155550123"),
        ("+971501234567", "+971-501234567"),
    ],
)
def test_phones_are_stored_with_country_code_and_dash(crm, sent, stored):
    assert kept(crm, "Phone", sent) == stored


def test_the_default_country_code_is_the_accounts(crm, sandbox):
    sandbox.switch(country_code="65")
    assert kept(crm, "Phone", "90000001") == "+65-90000001"


@pytest.mark.parametrize(
    ("attribute", "sent", "stored"),
    [
        ("mx_Age", "42", "42"),
        ("mx_Revenue", "1E+5", "100000"),
        ("mx_Subscribed", "true", "1"),
        ("mx_Subscribed", "False", "0"),
        ("mx_Signed_Up_On", "2024-03-01 09:30:00", "2024-03-01 09:30:00.000"),
        ("mx_Date_Of_Birth", "1990-05-06", "1990-05-06 00:00:00.000"),
        ("mx_Age", 42, "42"),
        ("mx_Subscribed", True, "1"),
        ("FirstName", "Zoë 🙂", "Zoë 🙂"),
        ("FirstName", "", ""),
    ],
)
def test_values_are_stored_in_the_form_of_their_type(crm, attribute, sent, stored):
    assert kept(crm, attribute, sent) == stored


WRONG = [
    ("Phone", "call me"),
    ("Phone", "12"),
    ("Phone", "+0"),
    ("EmailAddress", "meera at example.org"),
    ("mx_Age", "forty"),
    ("mx_Age", "NaN"),
    ("mx_Age", "1e999999"),
    ("mx_Age", "1_000"),
    ("mx_Date_Of_Birth", "2026-02-30"),
    ("mx_Date_Of_Birth", "2024-3-1"),
    ("mx_Subscribed", "perhaps"),
    ("mx_Signed_Up_On", "01/03/2024"),
]


@pytest.mark.parametrize(("attribute", "sent"), WRONG)
def test_a_value_of_the_wrong_type_is_refused(crm, attribute, sent):
    assert kept(crm, attribute, sent) == "MXInvalidInputException"


@pytest.mark.parametrize(("attribute", "sent"), WRONG)
def test_a_value_of_the_wrong_type_is_stored_as_it_is_by_switch(crm, sandbox, attribute, sent):
    sandbox.switch(wrong_type="accept")
    assert kept(crm, attribute, sent) == sent


@pytest.mark.parametrize(
    ("overlong", "outcome"), [("truncate", "x" * 200), ("reject", "MXInvalidInputException"), ("accept", "x" * 201)]
)
def test_overlong_text_is_truncated_refused_or_stored_by_switch(crm, sandbox, overlong, outcome):
    sandbox.switch(overlong=overlong)
    assert kept(crm, "FirstName", "x" * 201) == outcome


@pytest.mark.parametrize(("dropdown", "outcome"), [("reject", "MXInvalidInputException"), ("accept", "Lead")])
def test_a_value_outside_a_dropdown_is_refused_or_stored_by_switch(crm, sandbox, dropdown, outcome):
    sandbox.switch(dropdown=dropdown)
    assert kept(crm, "mx_Plan", "Lead") == outcome


@pytest.mark.parametrize("sync", [True, False])
def test_a_value_outside_a_dropdown_is_stored_by_default_as_on_live_accounts(crm, sandbox, sync):
    lead = {"FirstName": "Meera", "mx_Plan": "Lead"}
    crm.capture(lead) if sync else crm.submit(lead)
    sandbox.advance(1)
    assert sandbox.leads()[0]["values"] == lead


SPELLINGS = ["9000000001", "90000 00001", "+91-9000000001", "+919000000001"]


@pytest.mark.parametrize(("spelling", "leads"), [("normalise", 1), ("compare", 1), ("keep", 4)])
def test_spellings_of_a_phone_are_one_phone_or_several_by_switch(crm, sandbox, spelling, leads):
    sandbox.switch(phone_spelling=spelling)
    for phone in (*SPELLINGS, *SPELLINGS):
        crm.capture({"Phone": phone})
    assert len(sandbox.leads()) == leads


@pytest.mark.parametrize(("spelling", "stored"), [("compare", "90000 00001"), ("keep", "90000 00001")])
def test_a_phone_is_stored_as_it_is_spelled_by_switch(crm, sandbox, spelling, stored):
    sandbox.switch(phone_spelling=spelling)
    assert kept(crm, "Phone", "90000 00001") == stored
    assert kept(crm, "Phone", "call me") == "MXInvalidInputException"


def test_spellings_of_a_unique_phone_clash_if_they_are_compared(crm, sandbox):
    sandbox.switch(phone_spelling="compare")
    crm.capture({"EmailAddress": "a@example.org", "Phone": "9000000001"})
    other = {"EmailAddress": "b@example.org", "Phone": "+91-9000000001", "SearchBy": "EmailAddress"}
    assert crm.capture(other)["ExceptionType"] == "MXDuplicateEntryException"


def test_phones_are_compared_in_the_new_way_as_soon_as_the_switch_is_set(crm, sandbox):
    sandbox.switch(phone_spelling="keep")
    crm.capture({"Phone": "9000000001"})
    sandbox.switch(phone_spelling="compare")
    assert not crm.capture({"Phone": "+91-9000000001"})["IsCreated"]


@pytest.mark.parametrize(("null_value", "city"), [("clear", ""), ("ignore", "Pune")])
def test_null_clears_or_is_ignored_by_switch(crm, sandbox, null_value, city):
    sandbox.switch(null_value=null_value)
    crm.capture({"EmailAddress": "a@example.org", "mx_City": "Pune"})
    assert crm.values(crm.capture({"EmailAddress": "a@example.org", "mx_City": None}))["mx_City"] == city


def test_null_is_refused_by_switch(crm, sandbox):
    sandbox.switch(null_value="reject")
    assert kept(crm, "mx_City", None) == "MXInvalidInputException"


def test_unknown_attributes_reject_the_whole_lead_and_are_all_named(crm, sandbox):
    refused = crm.capture({"FirstName": "Meera", "mx_Nope": "1", "Nor_This": "2"})
    assert refused == {
        "Status": "Error",
        "ExceptionType": "MXUnknownAttributeException",
        "ExceptionMessage": "Attribute(s) does not exist - mx_Nope, Nor_This.",
    }
    assert sandbox.leads() == []


@pytest.mark.parametrize(("case", "outcome"), [("exact", "MXUnknownAttributeException"), ("ignore", None)])
def test_letter_case_of_attributes_counts_by_switch(crm, sandbox, case, outcome):
    sandbox.switch(attribute_case=case)
    assert crm.capture({"firstname": "Meera"}).get("ExceptionType") == outcome


@pytest.mark.parametrize(("repeated", "outcome"), [("reject", "MXInvalidInputException"), ("last", None)])
def test_an_attribute_given_twice_is_refused_or_the_last_counts_by_switch(crm, sandbox, repeated, outcome):
    sandbox.switch(repeated_attribute=repeated)
    twice = [{"Attribute": "FirstName", "Value": "A"}, {"Attribute": "FirstName", "Value": "B"}]
    assert crm.capture(twice).get("ExceptionType") == outcome
    assert [lead["values"] for lead in sandbox.leads()] == ([] if outcome else [{"FirstName": "B"}])


def test_a_lead_without_attributes_is_refused(crm):
    assert crm.capture([])["ExceptionType"] == "MXInvalidInputException"


def test_a_custom_field_set_keeps_its_members(crm):
    assert kept(crm, "mx_KYC", {"Status": "Pending", "mx_CustomObject_1": "doc-1.png"}) == {
        "Status": "Pending",
        "mx_CustomObject_1": "doc-1.png",
    }


def test_members_of_a_custom_field_set_are_updated_one_by_one(crm):
    lead = {"EmailAddress": "a@example.org", "mx_KYC": {"Status": "Pending", "mx_CustomObject_1": "doc-1.png"}}
    crm.capture(lead)
    again = crm.capture({"EmailAddress": "a@example.org", "mx_KYC": {"Status": "Done"}})
    assert crm.values(again)["mx_KYC"] == {"Status": "Done", "mx_CustomObject_1": "doc-1.png"}


def test_an_unknown_member_of_a_custom_field_set_is_refused(crm):
    assert kept(crm, "mx_KYC", {"mx_Nope": "1"}) == "MXUnknownAttributeException"


def test_members_of_a_plain_field_are_refused(crm):
    assert kept(crm, "mx_City", {"Status": "1"}) == "MXInvalidInputException"


@pytest.mark.parametrize(
    ("mandatory", "outcome"), [("reject", "MXMandatoryAttributeMissingException"), ("accept", None)]
)
def test_a_new_lead_lacks_a_mandatory_field(leadsquared_sandbox_factory, crm, mandatory, outcome):
    crm.sandbox = leadsquared_sandbox_factory(fields=[{"SchemaName": "LastName", "IsMandatory": True}])
    crm.sandbox.switch(mandatory=mandatory)
    assert crm.capture({"FirstName": "Meera"}).get("ExceptionType") == outcome


def test_a_known_lead_need_not_repeat_a_mandatory_field(leadsquared_sandbox_factory, crm):
    crm.sandbox = leadsquared_sandbox_factory(fields=[{"SchemaName": "LastName", "IsMandatory": True}])
    crm.capture({"LastName": "Iyer", "EmailAddress": "a@example.org"})
    assert not crm.capture({"EmailAddress": "a@example.org"})["IsCreated"]


LOCKED = [{"SchemaName": "mx_Branch", "LockAfterCreate": 1}]


@pytest.fixture
def branch(leadsquared_sandbox_factory, crm):
    """Capture a known lead again with one value and return it with its fields, or the name of the exception."""
    crm.sandbox = leadsquared_sandbox_factory(fields=LOCKED)
    crm.capture({"EmailAddress": "a@example.org", "mx_Branch": "Pune"})

    def again(value, **query):
        response = crm.capture({"EmailAddress": "a@example.org", "mx_City": "Kochi", "mx_Branch": value}, **query)
        return response.get("ExceptionType") or (crm.values(response)["mx_Branch"], crm.values(response).get("mx_City"))

    return again


@pytest.mark.parametrize("value", ["Kochi", "pune", ""])
@pytest.mark.parametrize(
    ("locked", "outcome"), [("reject", "MXInvalidInputException"), ("accept", None), ("ignore", ("Pune", "Kochi"))]
)
def test_another_value_for_a_locked_field_of_a_known_lead_is_refused_taken_or_ignored_by_switch(
    crm, branch, locked, outcome, value
):
    crm.sandbox.switch(locked=locked)
    assert branch(value) == (outcome or (value, "Kochi"))


def test_the_same_value_for_a_locked_field_is_no_change(branch):
    assert branch("Pune") == ("Pune", "Kochi")


def test_a_locked_field_that_the_update_behavior_leaves_alone_is_no_change(branch):
    assert branch("Kochi", LeadUpdateBehavior="DoNotUpdate") == ("Pune", None)


@pytest.mark.parametrize(
    ("status", "outcome"), [("Pending", "MXInvalidInputException"), ("Done", None)], ids=["changed", "the same"]
)
def test_a_locked_field_set_is_changed_by_another_value_of_a_member(leadsquared_sandbox_factory, crm, status, outcome):
    kyc = {"SchemaName": "mx_KYC", "DataType": "CustomObject", "LockAfterCreate": 1}
    crm.sandbox = leadsquared_sandbox_factory(fields=[kyc])
    crm.capture({"EmailAddress": "a@example.org", "mx_KYC": {"Status": "Done"}})
    again = crm.capture({"EmailAddress": "a@example.org", "mx_KYC": {"Status": status}})
    assert again.get("ExceptionType") == outcome


def test_the_lock_of_a_field_is_in_its_metadata(leadsquared_sandbox_factory, crm):
    crm.sandbox = leadsquared_sandbox_factory(fields=LOCKED)
    path = "/v2/LeadManagement.svc/LeadsMetaData.Get"
    assert crm.get(path, schemaName="mx_Branch").json()[0]["LockAfterCreate"] == 1
    assert crm.get(path, schemaName="mx_City").json()[0]["LockAfterCreate"] == 0
