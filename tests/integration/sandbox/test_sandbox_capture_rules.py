"""The thirteen rules of Lead.Capture and the three values of LeadUpdateBehavior, each by its own test."""

from __future__ import annotations

import pytest

VISITOR = "7d1f0a52-0000-4000-8000-000000000001"
NOBODY = "7d1f0a52-0000-4000-8000-000000000002"
MEERA = {"FirstName": "Meera", "EmailAddress": "meera@example.org", "Phone": "+91-9000000001", "Source": "Fair"}


@pytest.fixture
def meera(crm):
    return crm.capture(MEERA)["RelatedId"]


def test_rule_1_a_lead_without_any_match_field_is_always_new(crm):
    first = crm.capture({"FirstName": "Meera"})
    second = crm.capture({"FirstName": "Meera"})
    assert second["IsCreated"]
    assert second["RelatedId"] != first["RelatedId"]


def test_rule_2_the_prospect_id_beats_the_email_of_another_lead(crm, meera):
    other = crm.capture({"EmailAddress": "other@example.org"})["RelatedId"]
    clash = crm.capture({"ProspectID": meera, "EmailAddress": "other@example.org"})
    # Rule 4 makes it a new lead, whose e-mail is taken: had the e-mail come first, the other lead would be updated.
    assert clash["ExceptionType"] == "MXDuplicateEntryException"
    assert crm.sandbox.lead(other)["captures"] == 2


def test_rule_2_the_email_is_searched_before_the_phone(crm, sandbox, meera):
    sandbox.switch(unique_fields=["EmailAddress"])
    other = crm.capture({"EmailAddress": "other@example.org"})["RelatedId"]
    matched = crm.capture({"EmailAddress": "other@example.org", "Phone": "9000000001"})
    assert (matched["RelatedId"], matched["IsCreated"]) == (other, False)


def test_rule_3_an_anonymous_visitor_becomes_a_lead_with_the_same_id(crm, sandbox):
    sandbox.add_visitors(VISITOR)
    captured = crm.capture({"ProspectID": VISITOR, "EmailAddress": "new@example.org"})
    assert (captured["RelatedId"], captured["IsCreated"]) == (VISITOR, True)


def test_rule_3_a_visitor_is_converted_once(crm, sandbox):
    sandbox.add_visitors(VISITOR)
    crm.capture({"ProspectID": VISITOR})
    assert not crm.capture({"ProspectID": VISITOR})["IsCreated"]


def test_rule_4_a_matching_id_with_another_email_is_a_new_lead(crm, meera):
    captured = crm.capture({"ProspectID": meera, "EmailAddress": "new@example.org"})
    assert captured["IsCreated"]
    assert captured["RelatedId"] != meera


def test_rule_5_a_matching_id_without_email_updates_the_lead(crm, meera):
    captured = crm.capture({"ProspectID": meera, "mx_City": "Pune"})
    assert (captured["RelatedId"], captured["IsCreated"]) == (meera, False)
    assert crm.values(captured)["mx_City"] == "Pune"


def test_rule_6_a_matching_id_and_email_update_the_lead(crm, meera):
    captured = crm.capture({"ProspectID": meera, "EmailAddress": "meera@example.org"})
    assert (captured["RelatedId"], captured["IsCreated"]) == (meera, False)


def test_rule_7_an_unknown_id_with_a_known_email_updates_the_lead(crm, meera):
    captured = crm.capture({"ProspectID": NOBODY, "EmailAddress": "meera@example.org"})
    assert (captured["RelatedId"], captured["IsCreated"]) == (meera, False)


def test_rule_7_a_visitor_with_a_known_email_updates_the_lead_and_stays_a_visitor(crm, sandbox, meera):
    sandbox.add_visitors(VISITOR)
    assert crm.capture({"ProspectID": VISITOR, "EmailAddress": "meera@example.org"})["RelatedId"] == meera
    assert sandbox.counts()["visitors"] == 1


def test_rule_8_match_fields_that_match_nothing_make_a_new_lead(crm, meera):
    captured = crm.capture({"ProspectID": NOBODY, "EmailAddress": "new@example.org", "Phone": "9000000009"})
    assert captured["IsCreated"]
    assert captured["RelatedId"] not in (meera, NOBODY)


def test_rule_9_a_known_phone_alone_updates_the_lead(crm, meera):
    captured = crm.capture({"EmailAddress": "new@example.org", "Phone": "9000000001"})
    assert (captured["RelatedId"], captured["IsCreated"]) == (meera, False)
    assert crm.values(captured)["EmailAddress"] == "new@example.org"


@pytest.mark.parametrize(
    ("phone_match", "with_email", "alone"),
    [
        ("fallback", None, None),
        ("alone", "MXDuplicateEntryException", None),
        ("never", "MXDuplicateEntryException", "MXDuplicateEntryException"),
    ],
)
def test_rule_9_a_known_phone_is_no_match_by_switch(crm, sandbox, meera, phone_match, with_email, alone):
    sandbox.switch(phone_match=phone_match)
    found = [
        crm.capture({**email, "Phone": "9000000001"}).get("ExceptionType")
        for email in ({}, {"EmailAddress": "new@example.org"})
    ]
    assert found == [alone, with_email]


@pytest.mark.parametrize("phone_match", ["alone", "never"])
def test_search_by_phone_finds_it_on_every_account(crm, sandbox, meera, phone_match):
    sandbox.switch(phone_match=phone_match)
    lead = {"EmailAddress": "new@example.org", "Phone": "9000000001", "SearchBy": "Phone"}
    assert crm.capture(lead)["RelatedId"] == meera


def test_rule_10_the_source_of_a_known_lead_stays(crm, meera):
    captured = crm.capture(MEERA | {"Source": "Webinar"})
    assert crm.values(captured)["Source"] == "Fair"


def test_rule_10_the_activity_of_a_repeated_capture_records_the_new_source(crm, sandbox, meera):
    crm.capture(MEERA | {"Source": "Webinar"})
    assert [activity["source"]["Source"] for activity in sandbox.activities()] == ["Fair", "Webinar"]


def test_rule_10_read_the_other_way_overwrites_the_source(crm, sandbox, meera):
    sandbox.switch(source_on_recapture="overwrite")
    assert crm.values(crm.capture(MEERA | {"Source": "Webinar"}))["Source"] == "Webinar"


def test_rule_11_search_by_decides_the_match(crm, meera):
    captured = crm.capture({"EmailAddress": "new@example.org", "Phone": "9000000001", "SearchBy": "Phone"})
    assert (captured["RelatedId"], captured["IsCreated"]) == (meera, False)


def test_rule_11_search_by_takes_any_field(crm):
    first = crm.capture({"mx_Customer_Id": "C-1"})
    second = crm.capture({"mx_Customer_Id": "C-1", "SearchBy": "mx_Customer_Id"})
    assert (second["RelatedId"], second["IsCreated"]) == (first["RelatedId"], False)


def test_rule_11_search_by_that_finds_nothing_makes_a_new_lead(crm, meera):
    captured = crm.capture({"ProspectID": meera, "mx_Customer_Id": "C-2", "SearchBy": "mx_Customer_Id"})
    assert captured["IsCreated"]


def test_rule_11_the_lead_id_is_searched_as_prospect_id_in_mixed_case(crm, meera):
    lead = {"ProspectID": meera, "EmailAddress": "new@example.org", "SearchBy": "ProspectId"}
    assert crm.capture(lead)["RelatedId"] == meera


@pytest.mark.parametrize("search_by", ["mx_Nope", "emailaddress", "ProspectID", "mx_City"])
def test_search_by_without_such_a_field_or_its_value_is_refused(crm, search_by):
    refused = crm.capture({"EmailAddress": "new@example.org", "SearchBy": search_by})
    assert refused["ExceptionType"] == "MXInvalidInputException"


def test_rule_12_search_by_is_ignored_beside_all_three_match_fields(crm, meera):
    lead = {"ProspectID": meera, "EmailAddress": "meera@example.org", "Phone": "9000000009", "SearchBy": "Phone"}
    # By phone it would be nobody; by rule 6 it is Meera.
    assert crm.capture(lead)["RelatedId"] == meera


def test_rule_13_a_new_lead_may_not_take_a_unique_value(crm, meera):
    refused = crm.capture({"EmailAddress": "new@example.org", "Phone": "9000000001", "SearchBy": "EmailAddress"})
    assert refused == {
        "Status": "Error",
        "ExceptionType": "MXDuplicateEntryException",
        "ExceptionMessage": "Duplicate entry '+91-9000000001' for key 'UQ_Prospect_Base_Phone'",
    }


def test_rule_13_the_activity_of_a_refused_duplicate_is_posted_on_the_existing_lead(crm, sandbox, meera):
    crm.capture({"EmailAddress": "new@example.org", "Phone": "9000000001", "SearchBy": "EmailAddress"})
    assert [(one["lead_id"], one["is_duplicate"]) for one in sandbox.activities()] == [(meera, False), (meera, True)]


def test_rule_13_a_refused_duplicate_changes_no_lead(crm, sandbox, meera):
    before = sandbox.leads()[0]["values"]
    crm.capture({"EmailAddress": "new@example.org", "Phone": "9000000001", "SearchBy": "EmailAddress"})
    assert [lead["values"] for lead in sandbox.leads()] == [before]


def test_rule_13_holds_for_updates_too(crm, meera):
    crm.capture({"EmailAddress": "other@example.org"})
    refused = crm.capture({"EmailAddress": "other@example.org", "Phone": "9000000001"})
    assert refused["ExceptionType"] == "MXDuplicateEntryException"


def test_rule_13_counts_only_the_fields_the_account_calls_unique(crm, sandbox, meera):
    sandbox.switch(unique_fields=["EmailAddress"])
    assert crm.capture({"EmailAddress": "n@example.org", "Phone": "9000000001", "SearchBy": "EmailAddress"})[
        "IsCreated"
    ]


def test_every_capture_posts_its_own_activity(crm, sandbox, meera):
    again = crm.capture(MEERA)
    assert [one["lead_id"] for one in sandbox.activities()] == [meera, meera]
    assert sandbox.activities()[1]["id"] == again["Id"]


def test_a_unique_value_that_a_lead_no_longer_has_is_free_for_another(crm, meera):
    crm.capture({"ProspectID": meera, "Phone": "9000000005"})
    assert crm.capture({"Phone": "9000000001"})["IsCreated"]


def test_email_addresses_match_without_regard_to_case(crm, meera):
    assert crm.capture({"EmailAddress": "MEERA@example.org"})["RelatedId"] == meera


def test_letters_are_compared_as_they_are_written_apart_from_case(crm):
    first = crm.capture({"EmailAddress": "straße@example.org"})
    assert crm.capture({"EmailAddress": "strasse@example.org"})["IsCreated"]
    assert crm.capture({"EmailAddress": "STRAßE@example.org"})["RelatedId"] == first["RelatedId"]


@pytest.mark.parametrize(("value_case", "is_created"), [("ignore", False), ("exact", True)])
def test_letter_case_of_other_values_counts_by_switch(crm, sandbox, value_case, is_created):
    sandbox.switch(value_case=value_case)
    crm.capture({"mx_Customer_Id": "c-1", "EmailAddress": "a@example.org"})
    by_id = crm.capture({"mx_Customer_Id": "C-1", "SearchBy": "mx_Customer_Id"})
    by_email = crm.capture({"EmailAddress": "A@example.org"})
    assert (by_id["IsCreated"], by_email["IsCreated"]) == (is_created, False)


def test_ids_match_without_regard_to_case_and_are_shown_as_they_were_given(crm, sandbox, meera):
    assert crm.capture({"ProspectID": meera.upper(), "mx_City": "Pune"})["RelatedId"] == meera
    by_id = {"ProspectID": meera.upper(), "EmailAddress": "new@example.org", "SearchBy": "ProspectId"}
    assert crm.capture(by_id)["RelatedId"] == meera
    sandbox.add_visitors(VISITOR)
    assert crm.capture({"ProspectID": VISITOR.upper()})["RelatedId"] == VISITOR
    assert sandbox.counts()["visitors"] == 0
    assert sandbox.lead(VISITOR.upper())["id"] == VISITOR


# Leads that were merged or deleted


@pytest.fixture
def merged(crm, sandbox, meera):
    """Return the id of a lead that was merged into Meera's."""
    gone = crm.capture({"EmailAddress": "old@example.org", "FirstName": "M.", "mx_City": "Pune"})["RelatedId"]
    sandbox.merge_leads(gone, into=meera)
    return gone


def test_a_merge_fills_empty_fields_and_moves_the_activities(sandbox, meera, merged):
    lead = sandbox.lead(meera)
    assert (lead["values"], lead["captures"]) == (MEERA | {"mx_City": "Pune"}, 2)
    assert {one["lead_id"] for one in sandbox.activities()} == {meera}
    assert (sandbox.lead(merged), len(sandbox.leads())) == (None, 1)


@pytest.mark.parametrize("is_upper", [False, True])
def test_the_id_of_a_merged_lead_is_refused(crm, merged, is_upper):
    refused = crm.capture({"ProspectID": merged.upper() if is_upper else merged, "mx_City": "Delhi"})
    assert (refused["ExceptionType"], refused["ExceptionMessage"]) == (
        "MXInvalidEntityReferenceException",
        "Lead not found",
    )


def test_the_id_of_a_deleted_lead_is_refused_in_a_search_by_id(crm, sandbox, meera):
    sandbox.delete_lead(meera)
    lead = {"ProspectID": meera, "EmailAddress": "new@example.org", "SearchBy": "ProspectId"}
    assert crm.capture(lead)["ExceptionType"] == "MXInvalidEntityReferenceException"
    assert sandbox.leads() == []


def test_the_id_of_a_merged_lead_leads_to_the_survivor_by_switch(crm, sandbox, meera, merged):
    sandbox.switch(merged_capture="survivor")
    assert crm.capture({"ProspectID": merged})["RelatedId"] == meera
    last = crm.capture({"EmailAddress": "last@example.org"})["RelatedId"]
    sandbox.merge_leads(meera, into=last)
    assert crm.capture({"ProspectID": merged})["RelatedId"] == last


def test_the_id_of_a_merged_lead_matches_nothing_by_switch(crm, sandbox, meera, merged):
    sandbox.switch(merged_capture="no_match")
    assert crm.capture({"ProspectID": merged})["RelatedId"] not in (meera, merged)
    assert crm.capture({"ProspectID": merged, "EmailAddress": "meera@example.org"})["RelatedId"] == meera


def test_what_a_merged_lead_was_found_by_is_free(crm, merged):
    assert crm.capture({"EmailAddress": "old@example.org"})["IsCreated"]


@pytest.mark.parametrize(("gone", "into"), [("meera", "meera"), ("nobody", "meera"), ("meera", "nobody")])
def test_a_merge_needs_two_leads(sandbox, meera, gone, into):
    ids = {"meera": meera, "nobody": NOBODY}
    with pytest.raises(ValueError, match="lead"):
        sandbox.merge_leads(ids[gone], into=ids[into])


def test_numbers_of_leads_are_not_used_twice(crm, sandbox, meera):
    other = crm.capture({"EmailAddress": "other@example.org"})["RelatedId"]
    sandbox.delete_lead(meera)
    crm.capture({"EmailAddress": "new@example.org"})
    assert [lead["number"] for lead in sandbox.leads()] == [2, 3]
    assert sandbox.leads()[0]["id"] == other


def test_the_queue_applies_the_same_rules(crm, sandbox, meera):
    crm.submit({"EmailAddress": "meera@example.org", "mx_City": "Pune"})
    sandbox.advance(1)
    assert sandbox.lead(meera)["values"]["mx_City"] == "Pune"


# LeadUpdateBehavior

CHANGED = {"EmailAddress": "meera@example.org", "FirstName": "M.", "Phone": "9000000002", "mx_City": "Pune"}


def test_without_behavior_all_passed_fields_overwrite(crm, meera):
    values = crm.values(crm.capture(CHANGED))
    assert values == MEERA | {"FirstName": "M.", "Phone": "+91-9000000002", "mx_City": "Pune"}


def test_do_not_update_leaves_the_lead_alone(crm, meera):
    captured = crm.capture(CHANGED, LeadUpdateBehavior="DoNotUpdate")
    assert crm.values(captured) == MEERA


def test_do_not_update_still_posts_the_activity(crm, sandbox, meera):
    crm.capture(CHANGED, LeadUpdateBehavior="DoNotUpdate")
    assert sandbox.lead(meera)["captures"] == 2


def test_update_only_empty_fields_fills_what_is_empty(crm, meera):
    captured = crm.capture(CHANGED, LeadUpdateBehavior="UpdateOnlyEmptyFields")
    assert crm.values(captured) == MEERA | {"mx_City": "Pune"}


def test_do_not_update_unique_fields_updates_the_others(crm, meera):
    captured = crm.capture(CHANGED, LeadUpdateBehavior="DoNotUpdateUniqueFields")
    assert crm.values(captured) == MEERA | {"FirstName": "M.", "mx_City": "Pune"}


@pytest.mark.parametrize("behavior", ["DoNotUpdate", "UpdateOnlyEmptyFields", "DoNotUpdateUniqueFields"])
def test_no_behavior_touches_a_new_lead(crm, behavior):
    captured = crm.capture(MEERA, LeadUpdateBehavior=behavior)
    assert crm.values(captured) == MEERA


def test_an_unknown_behavior_is_refused(crm):
    assert crm.capture(MEERA, LeadUpdateBehavior="Never")["ExceptionType"] == "MXInvalidInputException"


def test_an_unknown_behavior_is_ignored_by_switch(crm, sandbox):
    sandbox.switch(unknown_update_behavior="ignore")
    assert crm.capture(MEERA, LeadUpdateBehavior="Never")["IsCreated"]


@pytest.mark.parametrize(("honoured", "city"), [(True, None), (False, "Pune")])
def test_async_capture_honours_the_behavior_by_switch(crm, sandbox, meera, honoured, city):
    sandbox.switch(async_update_behavior=honoured)
    crm.submit(CHANGED, LeadUpdateBehavior="DoNotUpdate")
    sandbox.advance(1)
    assert sandbox.lead(meera)["values"].get("mx_City") == city
