"""The operator, from rows to receipts, against the sandbox."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

import jinja2.nativetypes
import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, literal
from airflow.serialization import serialized_objects

from airflow_provider_leadsquared.api.errors import ConfigurationError
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsUnsent
from airflow_provider_leadsquared.ledgers.errors import LedgerTakenError, LedgerUnavailableError
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from tests import canaries
from tests.integration.tasks import StateStore, Task, capture, connect, leads


class PandasFrame:
    """What of pandas' DataFrame is used."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.columns)

    def to_dict(self, orient):
        return self.rows


def some_leads():
    return leads(1)


def sent_addresses(sandbox):
    return [post["lead"]["EmailAddress"] for post in sandbox.posts()]


def test_every_lead_is_sent_once_and_has_the_receipt_that_leadsquared_gave(sandbox, clock):
    receipts = capture(Task(), leads(250))["receipts"]
    given = {post["lead"]["EmailAddress"]: post["request_id"] for post in sandbox.posts()}
    assert len(sandbox.posts()) == 250
    assert {f"lead{r['row_key'][1:]}@example.org": r["request_id"] for r in receipts} == given


def test_a_receipt_holds_row_key_request_id_and_time_and_nothing_of_the_lead(sandbox, clock):
    receipt = capture(Task(), leads(1))["receipts"][0]
    assert receipt == {
        "row": 1,
        "row_key": "k0",
        "api": "lead_capture",
        "request_id": sandbox.posts()[0]["request_id"],
        "accepted_at": "2027-01-15T08:00:00.000+00:00",
    }


def test_a_lead_of_500_attributes_arrives_whole(sandbox, clock):
    wide = {f"mx_C{number}": f"value {number}" for number in range(499)} | {"EmailAddress": "wide@example.org"}
    capture(Task(), [wide], row_key=None)
    assert sandbox.posts()[0]["lead"] == wide


def test_a_value_of_a_megabyte_sets_its_row_aside_and_the_others_are_sent(sandbox, clock):
    rows = leads(3)
    rows[1]["mx_Notes"] = "x" * 1_000_000
    output = capture(Task(), rows, allowed_rejects=1)
    [aside] = output["set_aside"]
    assert (aside["row_key"], aside["reason_class"]) == ("k1", "too_large")
    assert "mx_Notes" in aside["reason"]
    assert len(str(aside)) < 1_000
    assert sent_addresses(sandbox) == ["lead0@example.org", "lead2@example.org"]


def test_values_arrive_as_leadsquared_takes_them(sandbox, clock):
    row = {
        "EmailAddress": "v@example.org",
        "FirstName": "Zoë 🚀",
        "mx_City": "Pune {ds}",
        "mx_Score": Decimal("12.50"),
        "mx_Born": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "mx_Member": True,
        "LastName": None,
    }
    capture(Task(), [row], row_key=None)
    assert sandbox.posts()[0]["lead"] == {
        "EmailAddress": "v@example.org",
        "FirstName": "Zoë 🚀",
        "mx_City": "Pune {ds}",
        "mx_Score": "12.5",
        "mx_Born": "2026-01-02 03:04:05",
        "mx_Member": "true",
    }


def test_null_handling_clear_empties_the_attribute(sandbox, clock):
    capture(Task(), [{"EmailAddress": "v@example.org", "mx_City": None}], row_key=None, null_handling="clear")
    assert sandbox.posts()[0]["lead"]["mx_City"] == ""


def test_search_by_the_leads_id_finds_the_lead(sandbox, clock):
    capture(Task(), leads(1))
    clock.advance(60)
    known = sandbox.leads()[0]["id"]
    capture(Task(), [{"ProspectID": known, "mx_City": "Kochi"}], row_key=None, search_by="ProspectID")
    clock.advance(60)
    assert [lead["values"]["mx_City"] for lead in sandbox.leads()] == ["Kochi"]


def test_lead_update_behavior_and_search_by_reach_leadsquared(sandbox, clock):
    capture(Task(), leads(1), lead_update_behavior="DoNotUpdate", search_by="EmailAddress")
    post = sandbox.posts()[0]
    assert (post["update_behavior"], post["lead"]["SearchBy"]) == ("DoNotUpdate", "EmailAddress")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"EmailAddress": float("inf")}, "EmailAddress: is NaN or infinite"),
        ({"EmailAddress": "a@example.org", "mx_Tags": ["x"]}, "mx_Tags: cannot send a list"),
        ({"emailaddress": "a@example.org"}, "write 'EmailAddress'"),
        ({"EmailAddress": "a@example.org", "First Name": "A"}, "did you mean 'FirstName'"),
        ({"EmailAddress": "a@example.org", "Notes": "x" * 300_000}, "Notes: the lead is 300,"),
        ({"mx_City": "Pune"}, "has none of ProspectID, EmailAddress, Phone"),
        ({}, "no attribute with a value"),
    ],
)
def test_a_bad_lead_is_set_aside_with_attribute_and_rule_and_the_rest_goes(sandbox, clock, task_log, bad, reason):
    task = Task()
    with pytest.raises(LeadsNotDelivered, match="1 of 3 leads were set aside"):
        capture(task, [*leads(2), {"id": "bad", **bad}])
    assert len(sandbox.posts()) == 2
    assert len(task.pushed["receipts"]) == 2
    assert reason in task_log()


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"mx_Ctiy": "Pune"}, "mx_Ctiy: the account has no such lead field; did you mean mx_City"),
        ({"mx_City": "x" * 101}, "mx_City: has 101 characters, the field takes 100"),
        ({"mx_Age": "old"}, "mx_Age: is no number"),
        ({"mx_Plan": "Platinum"}, "mx_Plan: is none of the dropdown's 3 values"),
        ({"mx_Subscribed": "maybe"}, "mx_Subscribed: is neither true nor false"),
        ({"mx_Date_Of_Birth": "1.2.1990"}, "mx_Date_Of_Birth: is no date"),
    ],
)
def test_what_the_crm_would_refuse_hours_later_is_set_aside_at_once(sandbox, clock, task_log, attributes, reason):
    bad = {"id": "bad", "EmailAddress": "bad@example.org", **attributes}
    counts = capture(Task(), [*leads(2), bad], check_fields=True, allowed_rejects=1)["counts"]
    assert counts == {"read": 3, "invalid": 1, "open": 2}
    assert reason in task_log()


def test_what_passes_the_check_of_fields_is_taken_by_the_crm(sandbox, clock):
    good = {
        "id": "good",
        "ProspectID": "2c8e1f77-0000-4000-8000-00000000000b",
        "EmailAddress": "good@example.org",
        "Phone": "+91-9000000001",
        "mx_Age": 41,
        "mx_Revenue": Decimal("12.50"),
        "mx_Plan": "Gold",
        "mx_Subscribed": True,
        "mx_Signed_Up_On": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "mx_KYC": {"Status": "Pending"},
        "mx_City": "",
        "SearchBy": "Phone",
    }
    capture(Task(), [good], check_fields=True)
    sandbox.advance(5)
    assert sandbox.requests()[0]["state"] == "succeeded", sandbox.requests()[0]["reason"]


@pytest.mark.parametrize(("allowed", "green"), [(0, False), (1, True), (0.2, False), (0.34, True), (1.0, True)])
def test_allowed_rejects_is_a_count_or_a_share(sandbox, clock, allowed, green):
    rows = [*leads(2), {"id": "bad", "mx_City": "Pune"}]
    if green:
        assert capture(Task(), rows, allowed_rejects=allowed)["counts"] == {"read": 3, "invalid": 1, "open": 2}
    else:
        with pytest.raises(LeadsNotDelivered, match="no_match_key"):
            capture(Task(), rows, allowed_rejects=allowed)


@pytest.mark.parametrize("allowed", [True, -1, 1.5, "5%", None])
def test_a_wrong_allowed_rejects_is_refused_before_anything_is_sent(sandbox, clock, allowed):
    with pytest.raises(ValueError, match="allowed_rejects"):
        capture(Task(), leads(1), allowed_rejects=allowed)
    assert sandbox.posts() == []


def test_of_rows_with_one_match_key_the_last_is_sent(sandbox, clock):
    rows = [*leads(2), {"id": "later", "EmailAddress": "LEAD0@example.org", "mx_City": "Kochi"}]
    assert capture(Task(), rows)["counts"] == {"read": 3, "superseded": 1, "open": 2}
    assert set(sent_addresses(sandbox)) == {"lead1@example.org", "LEAD0@example.org"}


def test_every_row_whose_key_is_given_twice_is_set_aside(sandbox, clock):
    rows = [*leads(2), {"id": "k0", "EmailAddress": "other@example.org"}]
    assert capture(Task(), rows, allowed_rejects=2)["counts"] == {"read": 3, "invalid": 2, "open": 1}


def test_no_leads_is_a_skip_that_says_so(sandbox):
    with pytest.raises(AirflowSkipException, match="nothing to send"):
        capture(Task(), [])


@pytest.mark.parametrize("given", [None, "leads.csv", 17, {"EmailAddress": "a@example.org"}])
def test_leads_of_another_kind_are_an_error_that_says_what_to_pass(sandbox, given):
    with pytest.raises(ValueError, match="pass a list of leads"):
        LeadCaptureOperator(task_id="capture", leads=given).execute(Task().context())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"row_key": "EmailAddress"}, "personal data"),
        ({"lead_update_behavior": "Overwrite"}, "lead_update_behavior is 'Overwrite'; write one of 'DoNotUpdate'"),
        ({"null_handling": "drop"}, "null_handling"),
        ({"concurrency": 0}, "concurrency"),
        ({"on_clear": "again"}, "on_clear"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_sent(sandbox, arguments, named):
    with pytest.raises(ValueError, match=named):
        capture(Task(), leads(1), **arguments)
    assert sandbox.posts() == []


def rendered(operator):
    operator.render_template_fields({"ds": "2026-01-01"}, jinja2.nativetypes.NativeEnvironment())
    return operator


def test_leads_show_themselves_as_a_number_before_and_after_rendering():
    operator = LeadCaptureOperator(task_id="capture", leads=leads(3))
    assert (str(operator.leads), str(rendered(operator).leads)) == ("3 leads", "3 leads")


def test_text_inside_leads_is_never_rendered(sandbox, clock):
    operator = rendered(LeadCaptureOperator(task_id="capture", leads=lambda: leads(1, mx_City="{{ ds }}")))
    operator.execute(Task().context())
    assert sandbox.posts()[0]["lead"]["mx_City"] == "{{ ds }}"


def test_a_template_in_leads_of_the_dags_file_is_refused_when_the_dag_is_parsed():
    with pytest.raises(ValueError, match="leads, row 1: mx_City holds .* never rendered"):
        LeadCaptureOperator(task_id="capture", leads=leads(1, mx_City="{{ ds }}"))


@pytest.mark.parametrize(
    "function",
    [lambda: leads(2), lambda context: leads(2), lambda **context: leads(2), lambda context, jinja_env: leads(2)],
    ids=["nothing", "context", "items", "both"],
)
def test_leads_may_come_from_a_callable_that_airflow_calls_when_it_renders(sandbox, clock, function):
    operator = LeadCaptureOperator(task_id="capture", leads=function, row_key="id")
    assert rendered(operator).execute(Task().context())["counts"] == {"read": 2, "open": 2}
    assert str(operator.leads) == "2 leads"


def test_a_data_frame_with_gaps_is_sent_as_its_records(sandbox, clock):
    frame = PandasFrame(["EmailAddress", "Phone"], [{"EmailAddress": "a@example.org", "Phone": 9000000001.0}])
    frame.rows.append({"EmailAddress": "b@example.org", "Phone": float("nan")})
    operator = rendered(LeadCaptureOperator(task_id="capture", leads=lambda: frame))
    assert operator.execute(Task().context())["counts"] == {"read": 2, "open": 2}
    assert sandbox.posts()[0]["lead"] == {"EmailAddress": "a@example.org", "Phone": "9000000001"}
    assert sandbox.posts()[1]["lead"] == {"EmailAddress": "b@example.org"}


def serialized(dag):
    kinds = vars(serialized_objects)
    kind = kinds.get("DagSerialization") or kinds["SerializedDAG"]  # its name in earlier versions of Airflow
    return json.dumps(kind.to_dict(dag))


MAPPED = {
    "expand": lambda: LeadCaptureOperator.partial(task_id="capture").expand(leads=[leads(1), leads(2)]),
    "expand_over_single_leads": lambda: LeadCaptureOperator.partial(task_id="capture").expand(leads=leads(2)),
    "expand_kwargs": lambda: LeadCaptureOperator.partial(task_id="capture").expand_kwargs([{"leads": leads(1)}]),
    "partial": lambda: LeadCaptureOperator.partial(task_id="capture", leads=leads(1)),
    "literal": lambda: LeadCaptureOperator.partial(task_id="capture", leads=literal(leads(1))),
    "literals": lambda: LeadCaptureOperator.partial(task_id="capture").expand(leads=[literal(leads(1))]),
}


@pytest.mark.filterwarnings("ignore:.*was never mapped")
@pytest.mark.parametrize("make", MAPPED.values(), ids=MAPPED.keys())
def test_leads_of_a_mapped_task_are_refused_when_the_dag_is_parsed_for_airflow_would_store_them(make):
    with DAG("mapped", schedule=None), pytest.raises(ValueError, match="would be stored and shown with the DAG"):
        make()


def test_leads_in_a_literal_are_sent_with_their_braces_and_are_not_in_the_serialized_dag(sandbox, clock):
    with DAG("literal", schedule=None) as dag:
        operator = LeadCaptureOperator(task_id="capture", leads=literal(leads(1, mx_City="{{ ds }}")))
    assert "example.org" not in serialized(dag)
    rendered(operator).execute(Task().context())
    assert sandbox.posts()[0]["lead"]["mx_City"] == "{{ ds }}"


def test_a_mapped_capture_may_get_its_leads_from_functions_and_tasks():
    with DAG("mapped", schedule=None) as dag:
        read = EmptyOperator(task_id="read")
        LeadCaptureOperator.partial(task_id="a", row_key="id").expand(leads=read.output)
        LeadCaptureOperator.partial(task_id="b").expand(leads=[some_leads, some_leads])
        LeadCaptureOperator.partial(task_id="c", leads=some_leads).expand(row_key=["id", "mx_Id"])
        LeadCaptureOperator.partial(task_id="d").expand_kwargs(read.output)
        LeadCaptureOperator.partial(task_id="e").expand_kwargs([{"leads": some_leads}])
    assert canaries.found_in(serialized(dag)) == []
    assert "example.org" not in serialized(dag)


def test_braces_in_the_data_that_another_task_gives_to_a_mapped_capture_are_data():
    with DAG("mapped", schedule=None):
        read = EmptyOperator(task_id="read")
        mapped = LeadCaptureOperator.partial(task_id="capture").expand(leads=read.output)
    assert str(mapped.unmap({"leads": leads(1, mx_City="{{ ds }}")}).leads) == "1 leads"


def test_row_keys_that_are_email_addresses_are_warned_of(sandbox, clock, task_log):
    capture(Task(), [{"id": "meera@example.com", "EmailAddress": "a@example.org"}])
    assert "1 row keys look like e-mail addresses" in task_log()


def test_row_keys_may_be_hashed(sandbox, clock, task_log):
    address = "meera@example.org"
    output = capture(Task(), [{"EmailAddress": address}], row_key="EmailAddress", hash_row_keys=True)
    assert output["receipts"][0]["row_key"] == hashlib.sha256(address.encode()).hexdigest()
    assert sandbox.posts()[0]["lead"] == {"EmailAddress": address}
    assert address not in task_log()


def test_characters_that_nobody_sees_are_told_by_attribute_and_sent(sandbox, clock, task_log):
    capture(Task(), leads(2, mx_City="Pune\u200b"))
    assert "mx_City: 2 values hold characters that nobody sees" in task_log()
    assert sandbox.posts()[0]["lead"]["mx_City"] == "Pune\u200b"


def test_leads_may_be_pairs_as_in_leadsquareds_own_documents(sandbox, clock):
    pairs = [{"Attribute": "EmailAddress", "Value": "p@example.org"}, {"Attribute": "id", "Value": 7}]
    assert capture(Task(), [pairs])["receipts"][0]["row_key"] == "7"
    assert sandbox.posts()[0]["lead"] == {"EmailAddress": "p@example.org"}


def test_a_second_try_sends_nothing_that_has_a_receipt(sandbox, clock):
    task = Task()
    first = capture(task, leads(30))
    assert capture(task, leads(30)) == first
    assert len(sandbox.posts()) == 30


def test_a_second_try_knows_rows_by_key_and_values_not_by_position(sandbox, clock):
    task = Task()
    first = {r["row_key"]: r["request_id"] for r in capture(task, leads(3))["receipts"]}
    changed = [{"id": "new", "EmailAddress": "new@example.org"}, *reversed(leads(3))]
    changed[1] = changed[1] | {"mx_City": "Kochi"}
    second = capture(task, changed)["receipts"]
    assert {r["request_id"] for r in second if r["row_key"] in ("k0", "k1")} == {first["k0"], first["k1"]}
    # What was sent of the changed row before is part of the run, too.
    assert [r["row_key"] for r in second if r["request_id"] not in first.values()] == ["new", "k2"]


@pytest.mark.parametrize("writes", range(6))
def test_a_try_cut_off_from_its_ledger_is_taken_up_without_a_lost_or_doubled_lead(sandbox, clock, no_waits, writes):
    task = Task()
    task.store.writes_before_cut_off = writes
    with suppress(LedgerUnavailableError):
        capture(task, leads(400))
    task.store.writes_before_cut_off = None
    assert capture(task, leads(400))["counts"] == {"read": 400, "open": 400}
    sandbox.advance(60)
    assert len(sandbox.leads()) == 400


def test_intents_are_written_before_anything_is_sent(sandbox, clock, no_waits):
    task = Task()
    task.store.writes_before_cut_off = 2  # the claim, and the number of clears
    with pytest.raises(LedgerUnavailableError):
        capture(task, leads(3))
    assert sandbox.posts() == []


def test_a_try_that_another_one_has_overtaken_sends_nothing_more(sandbox, clock):
    task = Task()

    class Overtaken(StateStore):
        def set(self, key, value):
            super().set(key, value)
            if key == "ledger/entries/0/0000":
                super().set("ledger/metadata", self.get("ledger/metadata") | {"holder": "the next try"})

    task.store = Overtaken()
    with pytest.raises(LedgerTakenError):
        capture(task, leads(1_000))
    assert len(sandbox.posts()) <= 200


@pytest.mark.parametrize(("on_clear", "posts"), [("resume", 5), ("resend", 10)])
def test_clearing_a_finished_task_sends_again_only_when_asked_for(sandbox, clock, task_log, on_clear, posts):
    task = Task()
    capture(task, leads(5))
    task.clears = 1
    capture(task, leads(5), on_clear=on_clear)
    assert len(sandbox.posts()) == posts
    assert f"on_clear is '{on_clear}'" in task_log()


def test_a_retry_after_a_clear_that_resends_goes_on_where_that_was_cut_off(sandbox, clock, no_waits):
    task = Task()
    capture(task, leads(300))
    task.clears = 1
    task.store.writes_before_cut_off = 4
    with pytest.raises(LedgerUnavailableError):
        capture(task, leads(300), on_clear="resend")
    task.store.writes_before_cut_off = None
    assert capture(task, leads(300), on_clear="resend")["counts"] == {"read": 300, "open": 300}
    assert len(sandbox.posts()) < 900


@pytest.mark.parametrize(("on_clear", "posts"), [("resume", 5), ("resend", 10)])
def test_a_clear_that_lost_the_ledger_sends_only_what_leadsquared_can_match(sandbox, clock, task_log, on_clear, posts):
    task = Task()
    rows = [{"id": n, "FirstName": f"N{n}"} for n in range(5)]
    capture(task, rows, require_match_key=False)
    task.store, task.clears = StateStore(), 1
    with suppress(LeadsNotDelivered):
        capture(task, rows, require_match_key=False, on_clear=on_clear)
    assert len(sandbox.posts()) == posts
    assert ("nothing is left" in task_log()) == (on_clear == "resume")


def test_rows_set_aside_are_returned_with_their_reasons(sandbox, clock):
    set_aside = capture(Task(), [*leads(1), {"id": "bad", "mx_City": "Pune"}], allowed_rejects=1)["set_aside"]
    assert [(row["row"], row["row_key"], row["verdict"], row["reason_class"]) for row in set_aside] == [
        (2, "bad", "invalid", "no_match_key")
    ]


def test_the_wrong_region_is_named(sandbox, clock):
    sandbox.fault("wrong_host", host="asyncapi-us11.leadsquared.com")
    with pytest.raises(LeadsUnsent, match=r"asyncapi-us11\.leadsquared\.com"):
        capture(Task(), leads(1))


def test_a_refusal_at_submission_is_a_verdict_of_its_row_alone(sandbox, clock):
    sandbox.fault("error", exception="MXInvalidInputException", message="no", endpoint="capture", calls=1)
    counts = capture(Task(), leads(5), allowed_rejects=1)["counts"]
    assert counts == {"read": 5, "open": 4, "rejected": 1}


def test_a_stopped_task_sends_no_further_row_and_says_so(sandbox, clock):
    operator = LeadCaptureOperator(task_id="capture", leads=leads(10), row_key="id")
    operator.on_kill()
    with pytest.raises(LeadsUnsent, match="10 leads are not sent or in doubt: the task was stopped"):
        operator.execute(Task().context())
    assert sandbox.posts() == []


def test_no_connection_is_an_error_that_names_it(monkeypatch, tmp_path):
    operator = LeadCaptureOperator(task_id="capture", leads=leads(1), leadsquared_conn_id="nowhere")
    with pytest.raises(Exception, match="nowhere"):
        operator.execute(Task().context())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"extra": {"async_api_key": ""}}, "async_api_key"),
        ({"host": "http://asyncapi-in21.leadsquared.com"}, "https://"),
        ({"host": "https://asyncapi-in21.leadsquared.com/v2"}, "path"),
        ({"host": "crm.example.com"}, "allow_other_hosts"),
        ({"login": "f" * 40, "password": "u$r" + "0" * 32}, "swapped"),
    ],
)
def test_a_wrong_connection_is_named_before_anything_is_sent(sandbox, monkeypatch, changes, named):
    connect(monkeypatch, sandbox, **changes)
    with pytest.raises(ConfigurationError, match=named):
        capture(Task(), leads(1))
    assert sandbox.posts() == []


def test_progress_is_logged_in_rows(sandbox, clock, task_log):
    capture(Task(), leads(3))
    assert "Submitted 3 of 3 leads" in task_log()


def test_without_a_state_store_the_task_warns_that_a_retry_sends_again(sandbox, clock, task_log):
    capture(Task(has_store=False), leads(1))
    assert "A retry of this task would send every lead again" in task_log()


def test_a_ledger_write_waits_for_a_quarter_of_a_second_at_most(sandbox, clock):
    from airflow_provider_leadsquared.tasks import submitting

    async def slowly():
        for row in range(3):
            yield row, None
            await asyncio.sleep(0.3)

    async def groups():
        never = asyncio.get_running_loop().create_future()
        return [group async for group in submitting._grouped(slowly(), never)]

    assert len(asyncio.run(groups())) == 3


def test_rows_in_doubt_are_announced_as_to_send_and_not_as_set_aside(sandbox, clock, no_waits, task_log):
    task = Task()
    task.store.writes_before_cut_off = 3  # claim, tries, intents: nothing is known of what was sent
    with pytest.raises(LedgerUnavailableError):
        capture(task, leads(10))
    task.store.writes_before_cut_off = None
    capture(task, leads(10))
    assert "Read 10 leads: 10 to send, 0 set aside, 0 known from an earlier try" in task_log()


def test_while_receipts_cannot_be_written_no_further_outcomes_are_taken(sandbox, clock):
    from airflow_provider_leadsquared.tasks import submitting

    taken = []

    async def outcomes():
        for row in range(1_000):
            if row == 10:
                await asyncio.sleep(0.3)  # longer than the first ten wait for their group
            taken.append(row)
            yield row, None

    async def take_one_group():
        groups = submitting._grouped(outcomes(), asyncio.get_running_loop().create_future())
        first = await anext(groups)
        await asyncio.sleep(0.3)  # the caller is busy with its group
        await groups.aclose()
        return len(first)

    grouped = asyncio.run(take_one_group())
    assert len(taken) <= grouped + 1
