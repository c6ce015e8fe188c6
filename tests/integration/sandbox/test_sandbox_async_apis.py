"""An invented asynchronous API, added to a running sandbox by one entry of the table and one handler."""

from __future__ import annotations

import json

import pytest
import requests

from airflow_provider_leadsquared.sandbox.async_apis import ASYNC_APIS, AsyncApi, Handler
from airflow_provider_leadsquared.sandbox.errors import MXError


class WidgetHandler(Handler):
    """Accepts ``{"Name": …}`` and rejects the name ``bad``."""

    task_type = "Widget Create"

    def check(self, body):
        if not isinstance(json.loads(body), dict):
            raise ValueError("not an object")

    def process(self, account, request, at):
        name = json.loads(request.body)["Name"]
        if name == "bad":
            raise MXError("MXInvalidWidgetException", "bad is not a name")
        message = {"Id": "activity-1", "RelatedId": f"widget-{name}", "Color": request.parameters.get("color")}
        return {"Status": "Success", "Message": message}

    def read_lead(self, body):
        widget = json.loads(body)
        return {"WidgetName": widget["Name"]} if isinstance(widget, dict) else None


class Widgets:
    """A client of the invented API."""

    def __init__(self, crm):
        self.crm = crm

    def post(self, widget, **query):
        url, params = self.crm.sandbox.url + "/widget/create", self.crm.pair | query
        return self.crm.http.post(url, params=params, json=widget, headers=self.crm.api_key, timeout=10)

    def submit(self, name, **query):
        return self.post({"Name": name}, **query).json()["RequestID"]

    def poll(self, request_id):
        return self.crm.get("/widget/status", keys=False, RequestID=request_id)

    def task(self, request_id):
        return self.poll(request_id).json()["TaskStatus"]


@pytest.fixture
def widgets(crm, sandbox, monkeypatch):
    """Add the API while the sandbox already serves calls."""
    crm.submit({"FirstName": "Meera"})
    sandbox.advance(1)
    api = AsyncApi("widget", "/widget/create", "/widget/status", ("/widget/metrics",), WidgetHandler())
    monkeypatch.setitem(ASYNC_APIS, api.name, api)
    return Widgets(crm)


def test_its_paths_do_not_exist_before_it_is_added(crm):
    assert Widgets(crm).post({"Name": "good"}).status_code == 403


def test_a_request_is_polled_until_it_succeeds(widgets, sandbox):
    request_id = widgets.submit("good", Color="red")
    assert widgets.task(request_id)["Status"] == "In-Queue"
    sandbox.advance(1)
    task = widgets.task(request_id)
    assert (task["TaskType"], task["Status"], task["RequestBody"]) == ("Widget Create", "Success", '{"Name": "good"}')
    assert json.loads(task["Message"])["Message"]["RelatedId"] == "widget-good"
    assert json.loads(task["Message"])["Message"]["Color"] == "red"


def test_a_request_is_polled_until_it_is_rejected(widgets, sandbox):
    request_id = widgets.submit("bad")
    assert widgets.task(request_id)["Status"] == "In-Queue"
    sandbox.advance(1)
    task = widgets.task(request_id)
    assert (task["Status"], task["StatusReason"]) == ("FAILURE", "MXInvalidWidgetException: bad is not a name")


def test_a_body_that_its_handler_does_not_accept_is_a_bad_request(widgets, sandbox):
    before = len(sandbox.requests())
    assert widgets.post(["good"]).status_code == 400
    assert len(sandbox.requests()) == before


def test_the_keys_are_checked(widgets):
    assert widgets.post({"Name": "good"}, secretKey="wrong").status_code == 401


def test_a_status_is_known_at_the_path_of_its_own_api_only(crm, widgets):
    lead, widget = crm.submit({"FirstName": "Asha"}), widgets.submit("good")
    assert [crm.poll(lead).status_code, widgets.poll(widget).status_code] == [200, 200]
    assert [crm.poll(widget).status_code, widgets.poll(lead).status_code] == [404, 404]


def test_posts_polls_and_requests_are_recorded(widgets, sandbox):
    request_id = widgets.submit("good")
    sandbox.advance(1)
    widgets.poll(request_id)
    post, poll, request = sandbox.posts()[-1], sandbox.polls()[-1], sandbox.requests()[-1]
    assert (post["endpoint"], post["request_id"], post["lead"]) == (
        "widget.submit",
        request_id,
        {"WidgetName": "good"},
    )
    assert (poll["endpoint"], poll["request_id"], poll["status"]) == ("widget.status", request_id, "Success")
    assert (request["api"], request["result"]["Message"]["RelatedId"]) == ("widget", "widget-good")
    assert [one["api"] for one in sandbox.requests()] == ["lead_capture", "widget"]


def test_a_fault_affects_its_submissions_only(crm, widgets, sandbox):
    sandbox.fault("lost_response", endpoint="widget.submit")
    crm.submit({"FirstName": "Asha"})
    with pytest.raises(requests.ConnectionError):
        widgets.submit("good")
    assert (sandbox.posts()[-1]["http"], sandbox.requests()[-1]["api"]) == (None, "widget")


def test_a_fault_affects_its_polls_only(crm, widgets, sandbox):
    lead, widget = crm.submit({"FirstName": "Asha"}), widgets.submit("good")
    sandbox.fault("gateway", endpoint="widget.status")
    assert [crm.poll(lead).status_code, widgets.poll(widget).status_code] == [200, 504]


def test_a_fault_in_the_queue_affects_requests_with_an_attribute(widgets, sandbox):
    sandbox.fault("system_errors", attribute="WidgetName", value="slow")
    slow, quick = widgets.submit("slow"), widgets.submit("quick")
    sandbox.advance(2)
    assert [sandbox.request(one)["state"] for one in (slow, quick)] == ["retrying", "succeeded"]
    sandbox.advance(30)
    assert widgets.task(slow)["Status"] == "Success"


def test_a_fault_in_the_status_hides_new_requests(widgets, sandbox):
    sandbox.fault("hidden", polls=1)
    request_id = widgets.submit("good")
    assert [widgets.poll(request_id).status_code for _ in range(2)] == [404, 200]


def test_metrics_are_served_at_its_path(crm, widgets, sandbox):
    widgets.submit("good")
    assert crm.get("/widget/metrics", keys=False).json()["PendingMessages"] == 1
    sandbox.fault("gateway", endpoint="widget.metrics")
    assert crm.get("/widget/metrics", keys=False).status_code == 504


def test_a_body_that_its_handler_cannot_read_has_no_lead(crm, widgets, sandbox):
    url, params = sandbox.url + "/widget/create", crm.pair
    assert crm.http.post(url, params=params, data=b"{", headers=crm.api_key, timeout=10).status_code == 400
    assert [(post["http"], post["lead"]) for post in sandbox.posts()[-1:]] == [(400, None)]


def test_a_body_that_is_no_text_has_no_lead(crm, sandbox):
    sandbox.fault("gateway", attribute="FirstName", value="Asha")
    url, params = sandbox.url + "/lead/capture", crm.pair
    assert crm.http.post(url, params=params, data=b"\xff", headers=crm.api_key, timeout=10).status_code == 400
    assert sandbox.posts()[-1]["lead"] is None
