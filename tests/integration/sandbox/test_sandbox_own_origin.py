"""Page and controls answer to programs of this machine and to the sandbox's own page, but to no other web page."""

from __future__ import annotations

import pytest
import requests
from aiohttp.test_utils import make_mocked_request

from airflow_provider_leadsquared.sandbox.own_origin import Guard

LEAD = {"EmailAddress": "meera@example.org"}
READS = ["/", "/view/leads/x", "/LeadManagement/LeadDetails", "/sandbox/leads", "/sandbox/posts", "/sandbox/switches"]


@pytest.fixture
def call(sandbox):
    """Call an address as a browser does for a web page, without any key."""

    def make(method, path, body=b"{}", **headers):
        named = {"Content-Type": "application/json"} | {name.replace("_", "-"): one for name, one in headers.items()}
        data = body if method == "POST" else None
        return requests.request(method, sandbox.url + path, data=data, headers=named, timeout=10)

    return make


def own_host(sandbox):
    return sandbox.url.removeprefix("http://")


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("host", ["attacker.example", "attacker.example:8778", "127.0.0.1.attacker.example", "[", ""])
def test_a_name_of_another_site_that_leads_to_this_machine_reads_nothing(crm, sandbox, call, path, host):
    crm.capture(LEAD)
    response = call("GET", path, Host=host)
    assert (response.status_code, list(response.json())) == (403, ["error"])


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8778", "127.0.0.1", "[::1]:8778", "192.0.2.7"])
def test_names_and_addresses_of_this_machine_are_served(call, host):
    assert call("GET", "/sandbox/counts", Host=host).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://attacker.example", "http://localhost:3000", "http://127.0.0.1", "null", "http://[", ""]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in READS),
        ("POST", "/sandbox/reset"),
        ("POST", "/sandbox/switches"),
        ("DELETE", "/sandbox/faults"),
    ],
)
def test_a_page_of_another_origin_neither_reads_nor_controls(crm, sandbox, call, method, path, origin):
    sandbox.fault("hidden")
    crm.capture(LEAD)
    assert call(method, path, Origin=origin).status_code == 403
    assert (len(sandbox.leads()), len(sandbox.faults())) == (1, 1)


def test_the_own_origin_may_control(sandbox, call):
    assert call("POST", "/sandbox/reset", Origin=f"http://{own_host(sandbox)}").status_code == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
@pytest.mark.parametrize("path", ["reset", "switches", "faults", "clock", "visitors", "merges"])
def test_a_post_that_is_not_json_as_a_form_sends_it_is_refused(sandbox, crm, call, path, content_type):
    crm.capture(LEAD)
    response = call("POST", f"/sandbox/{path}", Content_Type=content_type)
    assert (response.status_code, "Content-Type: application/json" in response.json()["error"]) == (415, True)
    assert len(sandbox.leads()) == 1


@pytest.mark.parametrize("path", ["/", "/view/leads/x", "/sandbox/leads"])
def test_no_other_page_may_embed_page_or_data(call, path):
    headers = call("GET", path).headers
    assert (headers["X-Frame-Options"], headers["Cross-Origin-Resource-Policy"]) == ("DENY", "same-origin")
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    assert "Access-Control-Allow-Origin" not in headers


def test_a_browser_that_asks_whether_it_may_gets_no_leave(call):
    response = call(
        "OPTIONS", "/sandbox/reset", Origin="https://attacker.example", Access_Control_Request_Method="POST"
    )
    assert not response.ok
    assert not [name for name in response.headers if name.lower().startswith("access-control")]


def test_leadsquareds_own_endpoints_answer_under_any_host_name(crm, sandbox):
    crm.api_key["Host"] = "asyncapi-in21.leadsquared.com"
    assert crm.submit(LEAD)


def test_other_machines_neither_see_nor_control(monkeypatch, call):
    monkeypatch.setattr("airflow_provider_leadsquared.sandbox.own_origin._is_loopback", lambda address: False)
    response = call("GET", "/sandbox/leads")
    assert (response.status_code, "--open-control" in response.json()["error"]) == (403, True)


@pytest.mark.parametrize(
    ("open_control", "own_names", "host", "is_allowed"),
    [
        (True, ["sandbox"], "sandbox:8778", True),
        (True, ["Sandbox.local"], "sandbox.LOCAL", True),
        (True, [], "sandbox:8778", False),
        (True, [], "192.0.2.7:8778", True),
        (False, ["sandbox"], "sandbox:8778", False),
    ],
)
def test_other_machines_are_served_if_opened_under_the_names_given(open_control, own_names, host, is_allowed):
    call = make_mocked_request("GET", "/sandbox/counts", {"Host": host}).clone(remote="192.0.2.9")
    assert (Guard(open_control, own_names).refusal(call) is None) == is_allowed
