"""The reading endpoints: user, lead fields, leads."""

from __future__ import annotations

import pytest

FIELDS = "/v2/LeadManagement.svc/LeadsMetaData.Get"
BY_ID = "/v2/LeadManagement.svc/Leads.GetById"
BY_EMAIL = "/v2/LeadManagement.svc/Leads.GetByEmailaddress"
USER = "/v2/Authentication.svc/UserByAccessKey.Get"


def field(crm, name, **query):
    return crm.get(FIELDS, schemaName=name, **query).json()[0]


def test_the_user_knows_the_api_host_as_a_bare_name(crm, sandbox):
    assert crm.get(USER).json()["LSQCommonServiceURLs"]["api"] == f"127.0.0.1:{sandbox.port}"


def test_a_good_user_response_has_no_status(crm):
    assert "Status" not in crm.get(USER).json()


@pytest.mark.parametrize("path", [USER, FIELDS, BY_ID, BY_EMAIL])
def test_reads_need_the_key_pair(crm, path):
    assert crm.get(path, keys=False).status_code == 401


def test_all_lead_fields_are_described(crm):
    names = [one["SchemaName"] for one in crm.get(FIELDS).json()]
    assert {"FirstName", "EmailAddress", "Phone", "Source", "ProspectStage", "OwnerId", "mx_City"} <= set(names)


def test_one_field_still_comes_in_an_array(crm):
    assert [one["SchemaName"] for one in crm.get(FIELDS, schemaName="Phone").json()] == ["Phone"]


def test_an_unknown_field_is_an_empty_array(crm):
    assert crm.get(FIELDS, schemaName="mx_Nope").json() == []


def test_numbers_are_strings_and_dates_are_of_the_old_kind(crm):
    phone = field(crm, "Phone")
    assert (phone["MaxLength"], phone["RangeMin"], phone["CreatedOn"]) == ("15", "4", "/Date(1417453996000+0000)/")


def test_keys_that_are_not_set_are_missing(crm):
    assert {"MaxLength", "Options", "IsLeadIdentifier"}.isdisjoint(field(crm, "Score"))


def test_unique_fields_are_lead_identifiers(crm):
    assert field(crm, "EmailAddress")["IsLeadIdentifier"] is True


def test_a_dropdown_lists_its_options(crm):
    assert field(crm, "mx_Plan")["Options"] == [{"Value": "Gold"}, {"Value": "Silver"}, {"Value": "Bronze"}]


def test_options_can_be_left_out(crm):
    assert "Options" not in field(crm, "mx_Plan", excludeOptionSets="1")


def test_fields_can_be_added_and_replaced(crm, leadsquared_sandbox_factory):
    added = {"SchemaName": "mx_Size", "DataType": "Number", "DisplayName": "Shoe size"}
    phone = {"SchemaName": "Phone", "DataType": "Phone", "MaxLength": "10", "IsMandatory": True}
    crm.sandbox = leadsquared_sandbox_factory(fields=[added, phone])
    assert field(crm, "mx_Size")["DisplayName"] == "Shoe size"
    assert field(crm, "Phone")["IsMandatory"] is True


def test_its_own_metadata_can_be_fed_back(crm, leadsquared_sandbox_factory):
    described = crm.get(FIELDS).json()
    crm.sandbox = leadsquared_sandbox_factory(fields=described)
    assert crm.get(FIELDS).json() == described


@pytest.mark.parametrize(
    "wrong", [{}, {"SchemaName": 1}, {"SchemaName": "A", "MaxLength": "long"}, {"SchemaName": "A", "Options": [{}]}]
)
def test_a_field_that_cannot_be_read_is_refused(leadsquared_sandbox_factory, wrong):
    with pytest.raises(ValueError, match="field"):
        leadsquared_sandbox_factory(fields=[wrong])


def test_a_lead_reads_back_as_strings_and_nulls(crm):
    lead = {"FirstName": "Meera", "EmailAddress": "meera@example.org", "Score": 7, "mx_KYC": {"Status": "Pending"}}
    lead_id = crm.capture(lead)["RelatedId"]
    read = crm.get(BY_ID, id=lead_id).json()[0]
    assert {type(value) for value in read.values()} == {str, type(None)}
    assert (read["ProspectID"], read["Score"], read["ProspectAutoId"], read["LastName"]) == (lead_id, "7", "1", None)


def test_a_lead_is_read_by_its_id_in_any_case(crm):
    lead_id = crm.capture({"FirstName": "Meera"})["RelatedId"]
    assert [one["ProspectID"] for one in crm.get(BY_ID, id=lead_id.upper()).json()] == [lead_id]


@pytest.mark.parametrize("merged_read", ["empty", "survivor", "error"])
def test_a_merged_lead_is_read_as_the_switch_says(crm, sandbox, merged_read):
    gone, kept = (crm.capture({"EmailAddress": f"{name}@example.org"})["RelatedId"] for name in "ab")
    sandbox.merge_leads(gone, into=kept)
    sandbox.switch(merged_read=merged_read)
    response = crm.get(BY_ID, id=gone)
    if merged_read == "error":
        assert (response.status_code, response.json()["ExceptionType"]) == (500, "MXInvalidEntityReferenceException")
    else:
        assert [lead["ProspectID"] for lead in response.json()] == ([kept] if merged_read == "survivor" else [])


@pytest.mark.parametrize("merged_read", ["empty", "survivor"])
def test_a_deleted_lead_is_not_read(crm, sandbox, merged_read):
    lead_id = crm.capture({"EmailAddress": "a@example.org"})["RelatedId"]
    sandbox.delete_lead(lead_id)
    sandbox.switch(merged_read=merged_read)
    assert crm.get(BY_ID, id=lead_id).json() == []


def test_a_lead_is_read_by_email(crm):
    lead_id = crm.capture({"EmailAddress": "meera@example.org"})["RelatedId"]
    assert crm.get(BY_EMAIL, emailaddress="meera@example.org").json()[0]["ProspectID"] == lead_id


@pytest.mark.parametrize(("path", "query"), [(BY_ID, {"id": "nobody"}), (BY_EMAIL, {"emailaddress": "n@example.org"})])
def test_an_unknown_lead_is_an_empty_array(crm, path, query):
    assert crm.get(path, **query).json() == []


def test_reads_see_what_the_queue_has_captured_by_now(crm, sandbox):
    crm.submit({"EmailAddress": "meera@example.org"})
    sandbox.advance(1)
    assert len(crm.get(BY_EMAIL, emailaddress="meera@example.org").json()) == 1
