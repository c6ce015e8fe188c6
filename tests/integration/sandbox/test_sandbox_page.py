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
    assert shown.text.count(MARKUP) == 2  # the lead's name, and the reason of the reject


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


def test_the_page_needs_nothing_from_elsewhere_and_refreshes_itself(page):
    shown = page()
    assert Reader(shown.text).addresses == []
    assert 'http-equiv="refresh"' in shown.text
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]


def test_text_that_is_not_even_unicode_does_not_break_the_page(crm, page):
    crm.capture({"FirstName": "\ud800"})
    assert page().status_code == 200


def test_no_key_is_shown(crm, sandbox, page):
    crm.capture({"FirstName": "Meera"})
    text = page().text
    assert not any(key in text for key in (sandbox.access_key, sandbox.secret_key, sandbox.api_key))
