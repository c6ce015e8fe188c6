"""The HTML page."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
import requests

MARKUP = "<script>alert(1)</script>\"'&"


class Reader(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.addresses = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def page(sandbox):
    return lambda: requests.get(sandbox.url, timeout=10)


def test_what_came_from_outside_is_shown_as_text(crm, sandbox, page):
    crm.capture({"FirstName": MARKUP})
    crm.submit({MARKUP: "1"})
    sandbox.advance(1)
    shown = Reader(page().text)
    assert "script" not in shown.tags
    assert shown.text.count(MARKUP) == 2  # the lead's name, and the reason of the rejection


def test_the_host_named_by_the_caller_is_shown_as_text(sandbox):
    shown = requests.get(sandbox.url, headers={"Host": "<script>"}, timeout=10)
    assert "script" not in Reader(shown.text).tags


def test_the_page_shows_queue_retries_leads_and_rejects(crm, sandbox, page):
    sandbox.fault("system_errors", calls=1)
    retried = crm.submit({"FirstName": "Retried"})
    rejected = crm.submit({"mx_Nope": "1"})
    crm.capture({"FirstName": "Meera", "EmailAddress": "meera@example.org"})
    sandbox.advance(11)
    text = Reader(page().text).text
    assert all(shown in text for shown in (retried, "0:00:20", rejected, "mx_Nope", "Meera", "meera@example.org"))


def test_the_page_needs_nothing_from_elsewhere_and_refreshes_itself(crm, sandbox, page):
    crm.capture({"FirstName": "Meera"})
    shown = page()
    assert Reader(shown.text).addresses == [f"/view/leads/{sandbox.leads()[0]['id']}"]
    assert 'http-equiv="refresh"' in shown.text
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]


@pytest.fixture
def follow(sandbox, page):
    """Follow the link of the first page that leads to an address with that start; return the page it leads to."""

    def go(start):
        address = next(one for one in Reader(page().text).addresses if one.startswith(start))
        return requests.get(sandbox.url + address, timeout=10)

    return go


def test_a_lead_is_shown_with_all_its_fields_and_its_requests(crm, sandbox, follow):
    request_id = crm.submit(
        {"FirstName": "Meera", "mx_City": "Pune", "mx_KYC": {"Status": "Pending"}, "Source": "Fair"}
    )
    sandbox.advance(1)
    text = Reader(follow("/view/leads/").text).text
    shown = ("Lead 1 Meera", "mx_City", "Pune", "mx_KYC", '{"Status": "Pending"}', "Source: Fair", request_id)
    assert [one for one in shown if one not in text] == []


def test_a_lead_is_shown_at_its_address_in_the_web_application(crm, sandbox):
    known = crm.capture({"FirstName": "Meera"})["RelatedId"]
    address = f"{sandbox.url}/LeadManagement/LeadDetails"
    assert "Lead 1 Meera" in Reader(requests.get(address, params={"LeadID": known}, timeout=10).text).text
    assert requests.get(address, timeout=10).status_code == 404


def test_a_rejection_shows_the_lead_that_was_sent_and_the_lead_that_it_was_about(crm, sandbox, page, follow):
    known = crm.capture({"FirstName": "Meera", "Phone": "9000000001"})["RelatedId"]
    sent = {"FirstName": "Asha", "EmailAddress": "asha@example.org", "Phone": "9000000001", "SearchBy": "EmailAddress"}
    request_id = crm.submit(sent)
    sandbox.advance(1)
    row = page().text.partition("Recent rejected requests")[2].partition("</table>")[0]
    assert "Asha" in row
    assert f'<a href="/view/leads/{known}">1 Meera</a>' in row
    detail = Reader(follow(f"/view/requests/{request_id}").text)
    assert [
        one for one in ("asha@example.org", "SearchBy", "MXDuplicateEntryException") if one not in detail.text
    ] == []
    assert f"/view/leads/{known}" in detail.addresses
    about = requests.get(f"{sandbox.url}/view/leads/{known}", timeout=10).text
    assert (request_id in about, "rejected as duplicate" in about) == (True, True)


def test_a_rejection_is_recorded_with_the_lead_that_was_sent_and_the_lead_that_it_was_about(crm, sandbox):
    known = crm.capture({"Phone": "9000000001"})["RelatedId"]
    sent = {"EmailAddress": "asha@example.org", "Phone": "9000000001", "SearchBy": "EmailAddress"}
    crm.submit(sent)
    crm.submit({"mx_Nope": "1"})
    sandbox.advance(1)
    shown = [(one["lead"], one["because_of_lead_id"]) for one in sandbox.requests()]
    assert shown == [(sent, known), ({"mx_Nope": "1"}, None)]


def test_a_request_shows_values_that_clear_a_field_and_a_lead_does_not(crm, sandbox, follow):
    request_id = crm.submit({"FirstName": "Meera", "mx_City": "", "mx_State": None})
    sandbox.advance(1)
    lead = follow("/view/leads/").text
    request = requests.get(f"{sandbox.url}/view/requests/{request_id}", timeout=10).text
    assert "<td>mx_City</td><td></td>" in request
    assert "<td>mx_State</td><td>null</td>" in request
    assert not any(name in lead for name in ("mx_City", "mx_State"))


def test_a_request_shows_its_attempts_and_the_next_one(crm, sandbox, follow):
    sandbox.fault("system_errors")
    request_id = crm.submit({"FirstName": "Meera"}, LeadUpdateBehavior="DoNotUpdate")
    sandbox.advance(1)
    text = Reader(follow(f"/view/requests/{request_id}").text).text
    shown = ("Meera", "retrying", "system error", "next", "leadupdatebehavior: DoNotUpdate")
    assert [one for one in shown if one not in text] == []


def test_pages_of_a_lead_and_of_a_request_show_what_came_from_outside_as_text(crm, sandbox):
    request_id = crm.submit({"FirstName": MARKUP, "Source": MARKUP})
    sandbox.advance(1)
    for address in (f"requests/{request_id}", f"leads/{sandbox.leads()[0]['id']}"):
        response = requests.get(f"{sandbox.url}/view/{address}", timeout=10)
        assert "script" not in Reader(response.text).tags
        assert MARKUP in Reader(response.text).text
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize("form", ["uuid", "text", "number"])
def test_every_form_of_request_id_leads_to_its_page(crm, sandbox, follow, form):
    sandbox.switch(request_id_form=form)
    request_id = crm.submit({"FirstName": "Meera"})
    assert f"Request {request_id}" in Reader(follow("/view/requests/").text).text


@pytest.mark.parametrize("visitor", [MARKUP, "a/b?c#d", "\ud800", "é"])
def test_every_id_of_a_lead_leads_to_its_page(crm, sandbox, follow, visitor):
    sandbox.add_visitors(visitor)
    crm.capture({"ProspectID": visitor, "FirstName": "Meera"})
    if visitor != "\ud800":  # half of a pair has no form in a URL
        assert "Lead 1 Meera" in Reader(follow("/view/leads/").text).text
    assert requests.get(sandbox.url, timeout=10).status_code == 200


@pytest.mark.parametrize("path", ["leads/nobody", "requests/nobody"])
def test_the_page_of_something_unknown_says_so(sandbox, path):
    response = requests.get(f"{sandbox.url}/view/{path}", timeout=10)
    assert (response.status_code, "Not found" in response.text) == (404, True)


def test_text_that_is_not_even_unicode_does_not_break_the_page(crm, page):
    crm.capture({"FirstName": "\ud800"})
    assert page().status_code == 200


def test_no_key_is_shown(crm, sandbox, page):
    request_id = crm.submit({"FirstName": "Meera"})
    text = page().text + requests.get(f"{sandbox.url}/view/requests/{request_id}", timeout=10).text
    assert not any(key in text for key in (sandbox.access_key, sandbox.secret_key, sandbox.api_key))
