"""Controls and recorded data over HTTP."""

from __future__ import annotations

import hashlib
import json

import pytest
import requests

from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.async_apis import ASYNC_APIS
from airflow_provider_leadsquared.sandbox.capture import Pair
from airflow_provider_leadsquared.sandbox.clock import Clock
from airflow_provider_leadsquared.sandbox.control import Control
from airflow_provider_leadsquared.sandbox.queue import PlannedOutcome
from airflow_provider_leadsquared.sandbox.settings import Settings

LEAD = {"EmailAddress": "meera@example.org"}


@pytest.fixture
def own(sandbox):
    """Call an address below /sandbox/, without any key."""

    def call(method, path, body=None):
        response = requests.request(method, f"{sandbox.url}/sandbox/{path}", json=body, timeout=10)
        return response.json() if response.ok else (response.status_code, response.json())

    return call


def test_every_post_is_recorded(crm, sandbox, own):
    request_id = crm.submit(LEAD, LeadUpdateBehavior="DoNotUpdate")
    body = json.dumps([{"Attribute": "EmailAddress", "Value": "meera@example.org"}]).encode()
    post = own("GET", "posts")["items"][0]
    assert post.pop("at_real") > 0
    assert post == {
        "number": 1,
        "at": sandbox.now(),
        "endpoint": "capture",
        "update_behavior": "DoNotUpdate",
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "lead": LEAD,
        "faults": [],
        "http": 200,
        "request_id": request_id,
    }


def test_refused_posts_are_recorded_too(crm, own):
    crm.post("/lead/capture", {"FirstName": "A"}, secretKey="wrong")
    assert [(post["http"], post["request_id"]) for post in own("GET", "posts")["items"]] == [(401, None)]


def test_posts_to_unknown_paths_are_recorded_too(crm, own):
    crm.post("/lead/nowhere", LEAD)
    crm.post("/v2/Nowhere", LEAD)
    posts = own("GET", "posts")["items"]
    assert [(post["endpoint"], post["http"]) for post in posts] == [("unknown", 403), ("unknown", 404)]


def test_a_post_that_is_too_long_is_recorded_too(crm, own):
    crm.post("/lead/capture", {"FirstName": "x" * 11_000_000})
    assert [post["http"] for post in own("GET", "posts")["items"]] == [413]


def test_a_post_without_a_readable_lead_is_recorded_without_lead(crm, own):
    crm.post("/lead/capture", "nonsense")
    assert [(post["http"], post["lead"]) for post in own("GET", "posts")["items"]] == [(400, None)]


def test_every_poll_is_recorded(crm, sandbox, own):
    request_id = crm.submit(LEAD)
    crm.poll(request_id)
    sandbox.advance(1)
    crm.poll(request_id)
    crm.poll("nobody")
    polls = own("GET", "polls")["items"]
    assert [(poll["request_id"], poll["http"], poll["status"]) for poll in polls] == [
        (request_id, 200, "In-Queue"),
        (request_id, 200, "Success"),
        ("nobody", 404, None),
    ]
    assert [poll["at"] - polls[0]["at"] for poll in polls] == [0, 1, 1]


def test_the_whole_history_of_a_request_is_recorded(crm, sandbox, own):
    sandbox.fault("system_errors", calls=1)
    request_id = crm.submit(LEAD)
    start = sandbox.now()
    sandbox.advance(31)
    request = own("GET", f"requests/{request_id}")
    assert (request["state"], request["accepted_at"], request["settled_at"]) == ("succeeded", start, start + 31)
    assert [(one["at"], one["outcome"]) for one in request["attempts"]] == [
        (start + 1, "system error"),
        (start + 31, "success"),
    ]
    assert request["lead_id"] == own("GET", "leads")["items"][0]["id"]


def test_leads_and_activities_are_recorded(crm, sandbox, own):
    lead_id = crm.capture(LEAD)["RelatedId"]
    assert own("GET", f"leads/{lead_id}")["values"] == LEAD
    assert own("GET", "activities")["items"][0] == {
        "id": sandbox.activities()[0]["id"],
        "lead_id": lead_id,
        "event": 23,
        "at": sandbox.now(),
        "is_duplicate": False,
        "source": {},
    }


@pytest.mark.parametrize("act", [lambda control: control.page("notes"), lambda control: control.entry("posts", "1")])
def test_a_collection_that_does_not_exist_or_has_no_ids_is_refused(act):
    with pytest.raises(ValueError, match="the collections are posts, polls|only requests and leads"):
        act(Control(Account(Settings(), (), Clock(0))))


@pytest.mark.parametrize("path", ["requests/nobody", "leads/nobody"])
def test_an_unknown_entry_is_not_found(own, path):
    assert own("GET", path) == (404, None)


def test_counts_add_up(crm, sandbox, own):
    sandbox.fault("system_errors", calls=1)
    sandbox.fault("silent_loss", calls=1, skip=1)
    for lead in ({"FirstName": "retries"}, {"FirstName": "is lost"}, {"FirstName": "passes"}, {"mx_Nope": "fails"}):
        crm.submit(lead)
    sandbox.advance(2)
    crm.submit({"FirstName": "waits"})
    counts = own("GET", "counts")
    assert counts["states"] == {
        "waiting": 1, "retrying": 1, "succeeded": 1, "rejected": 1, "failed": 0, "lost": 1,
    }  # fmt: skip
    assert (counts["posts"], counts["requests"], counts["leads"]) == (5, 5, 1)


def test_collections_are_read_page_by_page(crm, own):
    for number in range(5):
        crm.capture({"FirstName": str(number)})
    seen, after = [], 0
    while after is not None:
        page = own("GET", f"leads?after={after}&limit=2")
        seen.append([lead["values"]["FirstName"] for lead in page["items"]])
        after = page["next"]
    assert seen == [["0", "1"], ["2", "3"], ["4"]]
    assert page["total"] == 5


@pytest.mark.parametrize("query", ["after=-1", "limit=0", "limit=10001", "after=x"])
def test_a_page_out_of_range_is_an_error(own, query):
    assert own("GET", f"leads?{query}")[0] == 400


def test_the_clock_is_driven_over_http(own):
    start = own("GET", "clock")["now"]
    assert own("POST", "clock", {"advance": 30})["now"] == start + 30


def test_the_speed_is_set_over_http(own):
    assert own("POST", "clock", {"speed": 6})["speed"] == 6


@pytest.mark.parametrize("wrong", [{"advance": -1}, {"advance": "1"}, {"to": 5}, {"speed": -1}, {"speed": 1e7}, []])
def test_a_wrong_clock_is_an_error(own, wrong):
    assert own("POST", "clock", wrong)[0] == 400


def test_switches_are_set_over_http(own):
    own("POST", "switches", {"rate": 6, "retries": [1, 2], "ladder": "offsets"})
    switches = own("GET", "switches")
    assert (switches["rate"], switches["retries"], switches["ladder"]) == (6, [1, 2], "offsets")


@pytest.mark.parametrize(
    "wrong",
    [
        {"nope": 1},
        {"rate": 0},
        {"rate": "fast"},
        {"ladder": "up"},
        {"retries": [-1]},
        {"retries": "30"},
        {"metrics": 1},
        [],
    ],
)
def test_a_switch_that_does_not_exist_or_fit_is_refused_and_nothing_changes(own, wrong):
    before = own("GET", "switches")
    assert own("POST", "switches", {"overlong": "reject"} | wrong if wrong else wrong)[0] == 400
    assert own("GET", "switches") == before


def test_faults_are_set_and_cleared_over_http(own):
    added = own("POST", "faults", [{"kind": "slow", "seconds": 2}, {"kind": "gateway"}])
    assert [fault["kind"] for fault in own("DELETE", f"faults/{added[0]['id']}")] == ["gateway"]
    assert own("DELETE", "faults") == []


def test_of_several_faults_all_or_none_are_set(own):
    assert own("POST", "faults", [{"kind": "slow"}, {"kind": "nope"}])[0] == 400
    assert own("GET", "faults") == []


def test_visitors_are_made_known_over_http(own):
    assert own("POST", "visitors", {"ids": ["visitor-1", "visitor-2"]}) == {"visitors": 2}


def test_a_lead_cannot_be_a_visitor(crm, own):
    assert own("POST", "visitors", {"ids": [crm.capture(LEAD)["RelatedId"]]})[0] == 400


def test_leads_are_merged_and_deleted_over_http(crm, own):
    first, second, third = (crm.capture({"FirstName": name})["RelatedId"] for name in "abc")
    assert own("POST", "merges", {"lead": first, "into": second}) == {"leads": 2}
    assert own("POST", "merges", {"lead": third, "into": None}) == {"leads": 1}
    assert own("GET", f"leads/{first}") == (404, None)


@pytest.mark.parametrize("wrong", [{}, {"lead": "x"}, {"lead": "x", "into": None}, {"lead": None, "into": None}, []])
def test_a_wrong_merge_is_an_error(own, wrong):
    assert own("POST", "merges", wrong)[0] == 400


def test_a_reset_forgets_everything_but_the_clock(crm, sandbox, own):
    crm.submit(LEAD)
    sandbox.fault("gateway")
    sandbox.switch(rate=6)
    sandbox.advance(100)
    now = sandbox.now()
    assert own("POST", "reset", {})["requests"] == 0
    assert (own("GET", "faults"), own("GET", "switches")["rate"], sandbox.now()) == ([], 60000, now)


def test_a_reset_in_process_forgets_everything_too(crm, sandbox):
    crm.submit(LEAD)
    sandbox.switch(rate=6)
    sandbox.reset()
    assert (sandbox.requests(), sandbox.counts()["posts"]) == ([], 0)


@pytest.mark.parametrize("ids", [["", "visitor"], [7], "visitor", None])
def test_ids_of_visitors_that_are_no_texts_are_refused(own, ids):
    assert own("POST", "visitors", {"ids": ids})[0] == 400


def test_a_body_that_is_no_json_is_refused(sandbox):
    headers = {"Content-Type": "application/json"}
    assert requests.post(sandbox.url + "/sandbox/clock", data="soon", headers=headers, timeout=10).status_code == 400


def test_a_hundred_thousand_leads_are_held_and_matched_by_index():
    account = Account(Settings(), (), Clock(0))
    lead_capture = ASYNC_APIS["lead_capture"]
    for number in range(100_000):
        email = f'{{"Attribute":"EmailAddress","Value":"p{number}@example.org"}}'
        account.submit(lead_capture, f'[{email},{{"Attribute":"Phone","Value":"{number:010}"}}]', {}, PlannedOutcome())
    account.move_clock(1 + 100)
    again = account.capture([Pair("Phone", "0000099999")], None)
    assert (len(account.store.leads), again.is_created) == (100_000, False)
