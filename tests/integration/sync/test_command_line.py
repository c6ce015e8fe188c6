"""The commands on real ledgers and a sandbox, in this process: what they print, and how they end."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_leadsquared.cli import running
from airflow_provider_leadsquared.cli.main import main
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LedgerUnavailableError
from airflow_provider_leadsquared.ledgers.migrations import SCHEMA_VERSION
from airflow_provider_leadsquared.ledgers.sync import SyncLedger
from airflow_provider_leadsquared.sandbox import Sandbox
from tests.integration.sync.nights import Night, customer, run_night, sync
from tests.integration.tasks import connect_sqlite

Result = tuple[int, str, str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Return a function that runs a command: its exit code, and what it printed."""

    def command(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(arguments)
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def ask(run, warehouse) -> Callable[..., Result]:
    """Return a function that runs a command on the warehouse's ledger."""
    return lambda *arguments: run(*arguments, "--ledger-conn-id", "warehouse", "--ledger-table", warehouse.ledger)


def ledger_of(warehouse: Any) -> list[str]:
    return ["--ledger-conn-id", "warehouse", "--ledger-table", warehouse.ledger]


def fields(text: str) -> list[list[str]]:
    """Return the cells of the printed tables."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


def a_night_with_rejects(warehouse: Any, clock: Any, name: str = "n2", **arguments: Any) -> None:
    warehouse.put(customer(1), customer(7, email="broken"), customer(8, plan="None such"))
    run_night(Night(name, **arguments), clock, warehouse, allowed_rejects=2)


def reject(sandbox: Sandbox, city: str) -> None:
    sandbox.fault("reject", attribute="mx_City", value=city, exception="MXDuplicateEntryException")


# --- report -------------------------------------------------------------------------------------------------------


def test_report_shows_the_newest_night(ask, warehouse, sandbox, clock):
    warehouse.fill(3)
    run_night(Night("n1"), clock, warehouse)
    warehouse.put(customer(0, "Agra"))
    run_night(Night("n2"), clock, warehouse)
    code, shown, errors = ask("report")
    assert (code, errors) == (0, "")
    assert "nightly, run n2" in shown
    assert [cells[:2] for cells in fields(shown) if cells[0] in ("unchanged", "updated", "created")] == [
        ["unchanged", "2"],
        ["updated", "1"],
    ]


def test_report_names_reasons_rows_and_what_to_do(ask, warehouse, sandbox, clock):
    a_night_with_rejects(warehouse, clock)
    code, shown, _ = ask("report")
    assert code == 1
    reasons = {cells[1]: (cells[2], cells[3]) for cells in fields(shown) if cells[0] == "invalid" and len(cells) == 5}
    assert reasons == {"wrong_type": ("1", "7"), "not_an_option": ("1", "8")}
    assert "correct the row in the source" in shown


def test_report_counts_rows_that_are_held(run, on_sqlite, sandbox, clock):
    reject(sandbox, "Kochi")
    on_sqlite.put(customer(1), customer(2, "Kochi"))
    with pytest.raises(LeadsNotDelivered):
        run_night(Night("n1"), clock, on_sqlite)
    run_night(Night("n2"), clock, on_sqlite, allowed_rejects=1)
    code, shown, _ = run("report", "--json", *ledger_of(on_sqlite))
    document = json.loads(shown)
    assert (code, document["counts"], document["held"]) == (1, {"unchanged": 1}, 1)
    assert "1 rows that were rejected in an earlier run" in run("report", *ledger_of(on_sqlite))[1]


def test_a_sync_does_not_fail_because_its_counts_cannot_be_kept(run, on_sqlite, sandbox, clock, monkeypatch, task_log):
    def write(self: SyncLedger, entries: Any = (), *, metadata: Any = None) -> None:
        if metadata:
            raise LedgerUnavailableError("away")
        kept(self, entries)

    kept = SyncLedger.write
    monkeypatch.setattr(SyncLedger, "write", write)
    on_sqlite.fill(1)
    sync(Night("n1"), on_sqlite)
    assert "The counts are not kept for reports: away" in task_log()


def test_report_shows_a_run_by_its_name_and_lists_all(run, on_sqlite, sandbox, clock):
    on_sqlite.fill(1)
    for name in ("n1", "n2"):
        run_night(Night(name), clock, on_sqlite)
    run_night(Night("n3", dag_id="other"), clock, on_sqlite)
    assert "nightly, run n1" in run("report", "--dag-id", "nightly", "--run-id", "n1", *ledger_of(on_sqlite))[1]
    assert "nightly, run n2" in run("report", "--dag-id", "nightly", *ledger_of(on_sqlite))[1]
    assert "other, run n3" in run("report", *ledger_of(on_sqlite))[1]
    code, shown, _ = run("report", "--list", *ledger_of(on_sqlite))
    assert (code, [cells[2] for cells in fields(shown) if len(cells) > 3][1:]) == (0, ["n3", "n2", "n1"])
    runs = json.loads(run("report", "--list", "--json", "--dag-id", "nightly", *ledger_of(on_sqlite))[1])["runs"]
    assert [one["task"]["run_id"] for one in runs] == ["n2", "n1"]


def test_report_says_what_is_open(run, on_sqlite, sandbox, clock):
    on_sqlite.fill(2)
    sync(Night("n1"), on_sqlite)
    clock.advance(4_000)
    _, shown, _ = run("report", *ledger_of(on_sqlite))
    assert ["nightly", "sync", "2", "1 h 6 min"] in fields(shown)


class Page(HTMLParser):
    """The tags and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_report_as_a_file_needs_nothing_else_and_shows_names_as_they_are(run, on_sqlite, sandbox, clock, tmp_path):
    a_night_with_rejects(on_sqlite, clock, '<b>"night"</b> & more')
    on_sqlite.put(customer(1, "Agra"))
    sync(Night("open"), on_sqlite, allowed_rejects=2)
    named = ["--dag-id", "nightly", "--run-id", '<b>"night"</b> & more', *ledger_of(on_sqlite)]
    code, shown, _ = run("report", "--out", str(tmp_path / "report.html"), *named)
    assert code == 1
    assert f"Written to {tmp_path / 'report.html'}" in shown
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert '<b>"night"</b> & more' in "".join(page.texts)
    assert {tag for tag, _ in page.tags} & {"script", "b", "img", "link", "iframe"} == set()
    assert [name for _, attributes in page.tags for name in attributes if name in ("src", "href")] == []
    assert "http" not in text
    assert "prefers-color-scheme: dark" in text
    assert [one for one in ("wrong_type", "not_an_option", "invalid", "open", "Oldest") if one not in page.texts] == [
        "open"
    ]
    [bar] = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert bar["aria-label"] == "invalid 2, created 1"


def test_the_report_of_a_run_without_a_row_is_a_page_too(run, on_sqlite, sandbox, clock, tmp_path):
    on_sqlite.fill(1)
    run_night(Night("n1"), clock, on_sqlite)
    on_sqlite.run(f"DELETE FROM {on_sqlite.ledger}")
    out = tmp_path / "report.html"
    assert run("report", "--out", str(out), *ledger_of(on_sqlite))[0] == 0
    assert "This run has no row in the ledger." in out.read_text()


# --- explain ------------------------------------------------------------------------------------------------------


def test_explain_tells_a_rows_whole_history(ask, warehouse, sandbox, clock):
    warehouse.put(customer(4711))
    run_night(Night("n1"), clock, warehouse)
    reject(sandbox, "Kochi")
    warehouse.put(customer(4711, "Kochi"))
    with pytest.raises(LeadsNotDelivered):
        run_night(Night("n2"), clock, warehouse)
    code, shown, _ = ask("explain", "4711")
    assert code == 1
    assert "4711 is not in the CRM as it was sent: LeadSquared rejected it" in shown
    assert "Why: MXDuplicateEntryException" in shown
    assert "Next: another lead has this e-mail or phone: merge the two in the CRM, then replay the row." in shown
    assert "Held since" in shown
    assert [(cells[3], cells[4]) for cells in fields(shown) if "nightly.sync" in cells] == [
        ("n1", "created"),
        ("n2", "rejected"),
    ]
    document = json.loads(ask("explain", "4711", "--json")[1])
    assert [one["state"] for one in document["steps"]] == ["created", "rejected"]
    assert document["remembered"][0]["refusal"]["reason_class"] == "MXDuplicateEntryException"
    assert sandbox.leads()[0]["id"] in shown


def test_explain_of_a_row_that_is_well(run, on_sqlite, sandbox, clock):
    on_sqlite.put(customer(1))
    run_night(Night("n1", map_index=2), clock, on_sqlite)
    code, shown, _ = run("explain", "1", *ledger_of(on_sqlite))
    assert code == 0
    assert "1 is in the CRM: a new lead." in shown
    assert "nightly.sync [2]" in shown


def test_explain_of_a_row_whose_request_is_open(run, on_sqlite, sandbox, clock):
    on_sqlite.put(customer(1))
    sync(Night("n1"), on_sqlite)
    clock.advance(90)
    code, shown, _ = run("explain", "1", *ledger_of(on_sqlite))
    assert code == 1
    assert "1 is accepted by LeadSquared, and not decided yet." in shown
    assert "Not settled: 1, the oldest for 1 min." in shown


def test_explain_of_a_request_that_leadsquared_has_lost(run, on_sqlite, sandbox, clock):
    on_sqlite.put(customer(1))
    run_night(Night("n1"), clock, on_sqlite)
    on_sqlite.run(f"UPDATE {on_sqlite.ledger} SET state = 'failed', reason_class = 'UnknownRequest'")
    assert "LeadSquared does not know the request any more" in run("explain", "1", *ledger_of(on_sqlite))[1]


def test_explain_finds_a_row_by_the_hash_of_its_key(run, on_sqlite, sandbox, clock):
    on_sqlite.put(customer(1))
    sync(Night("n1"), on_sqlite, row_key="email", hash_row_keys=True)
    named = ["customer1@" + "example.org", *ledger_of(on_sqlite)]
    assert run("explain", *named)[0] == 3
    capture = main(["explain", "--hashed", *named])
    assert capture == 1


@pytest.mark.parametrize("key", ["no such", 'it\'s "quoted"', "<script>alert(1)</script>", "[red]", "%s; DROP", "é 漢"])
@pytest.mark.parametrize("name", ["explain", "erase"])
def test_a_key_that_the_ledger_does_not_know_is_named_with_the_remedy(run, on_sqlite, sandbox, clock, name, key):
    on_sqlite.put(customer(1))
    run_night(Night("n1"), clock, on_sqlite)
    code, shown, errors = run(name, key, *ledger_of(on_sqlite))
    assert (code, shown) == (3, "")
    assert repr(key) in errors
    assert "--hashed" in errors


# --- erase --------------------------------------------------------------------------------------------------------


def test_erase_says_what_goes_and_deletes_it(ask, warehouse, sandbox, clock):
    warehouse.fill(2)
    run_night(Night("n1"), clock, warehouse)
    code, shown, _ = ask("erase", "1", "--yes")
    assert code == 0
    assert "- 1 line(s) of its runs" in shown
    assert "- 1 line(s) that syncs remember" in shown
    assert "- 1 line(s) of match keys" in shown
    assert "sends it as new" in shown
    assert set(warehouse.states()) == {"0"}
    assert ask("explain", "1")[0] == 3
    assert ask("ledger", "verify")[0] == 0


def test_erase_deletes_nothing_without_a_confirmation(run, on_sqlite, sandbox, clock):
    on_sqlite.fill(1)
    run_night(Night("n1"), clock, on_sqlite)
    code, _, errors = run("erase", "0", *ledger_of(on_sqlite))
    assert code == 2
    assert "--yes" in errors
    assert set(on_sqlite.states()) == {"0"}


@pytest.mark.parametrize(
    ("typed", "left"), [("y\n", set()), ("Yes\n", set()), ("\n", {"0"}), ("n\n", {"0"}), ("", {"0"})]
)
def test_erase_asks_a_person(run, on_sqlite, sandbox, clock, monkeypatch, typed, left):
    on_sqlite.fill(1)
    run_night(Night("n1"), clock, on_sqlite)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True, readline=lambda: typed))
    code, _, errors = run("erase", "0", *ledger_of(on_sqlite))
    assert code == (2 if left else 0)
    assert "Delete it? [y/N]" in errors
    assert set(on_sqlite.states()) == left


def test_erase_refuses_while_the_request_is_open_and_names_the_remedy(run, on_sqlite, sandbox, clock):
    on_sqlite.fill(1)
    sync(Night("n1"), on_sqlite)
    clock.advance(90)
    code, _, errors = run("erase", "0", "--yes", *ledger_of(on_sqlite))
    assert code == 1
    assert "1 sending(s) of 0 or its lead, the oldest of 1 min ago" in errors
    assert "let a sensor or the sync's next run settle it" in errors.lower()
    assert set(on_sqlite.states()) == {"0"}


def test_erase_deletes_nothing_if_the_row_was_sent_while_a_person_was_asked(
    run, on_sqlite, sandbox, clock, monkeypatch
):
    on_sqlite.fill(1)
    run_night(Night("n1"), clock, on_sqlite)

    def answer() -> str:
        on_sqlite.fill(1, "Agra")
        sync(Night("n2"), on_sqlite)
        return "y\n"

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True, readline=answer))
    code, _, errors = run("erase", "0", *ledger_of(on_sqlite))
    assert code == 1
    assert "nothing was deleted" in errors
    assert on_sqlite.states() == {"0": "open"}


def test_erase_names_rows_of_the_same_lead(run, on_sqlite, sandbox, clock):
    on_sqlite.put(customer(1), customer(2, email="customer1@example.org"))
    run_night(Night("n1"), clock, on_sqlite)
    _, shown, _ = run("erase", "1", "--yes", *ledger_of(on_sqlite))
    assert "was superseded" not in shown
    on_sqlite.put(customer(3), customer(4, email="customer3@example.org"))
    run_night(Night("n2"), clock, on_sqlite)
    on_sqlite.run(f"DELETE FROM {on_sqlite.table} WHERE customer_id = 4")
    on_sqlite.put(customer(3, "Agra"))
    run_night(Night("n3"), clock, on_sqlite)
    _, shown, _ = run("erase", "4", "--yes", *ledger_of(on_sqlite))
    assert "The same lead was reached by 3" in shown


# --- the ledger ---------------------------------------------------------------------------------------------------


def test_verify_shows_facts_and_names_damage(ask, warehouse, sandbox, clock):
    warehouse.fill(2)
    run_night(Night("n1"), clock, warehouse)
    code, shown, _ = ask("ledger", "verify")
    assert code == 0
    assert "No problem found." in shown
    assert [cells[1] for cells in fields(shown) if cells[0] == warehouse.ledger] == [str(SCHEMA_VERSION)]
    warehouse.run(f"DELETE FROM {warehouse.ledger} WHERE row_key = '1'")
    code, shown, _ = ask("ledger", "verify")
    assert code == 1
    assert "- 1: the line of its last sending is gone" in shown
    assert len(json.loads(ask("ledger", "verify", "--json")[1])["problems"]) == 1


def test_migrate_brings_older_tables_up_to_date_and_says_so(ask, warehouse, sandbox, clock):
    warehouse.fill(1)
    run_night(Night("n1"), clock, warehouse)
    assert "nothing to do" in ask("ledger", "migrate")[1]
    warehouse.run(f"UPDATE {warehouse.ledger}_metadata SET content = '{SCHEMA_VERSION - 1}' WHERE name = 'version'")
    code, _, errors = ask("report")
    assert code == 3
    assert "ledger migrate" in errors
    code, shown, _ = ask("ledger", "migrate", "--json")
    assert (code, json.loads(shown)["before"], json.loads(shown)["after"]) == (0, SCHEMA_VERSION - 1, SCHEMA_VERSION)
    warehouse.run(f"UPDATE {warehouse.ledger}_metadata SET content = '{SCHEMA_VERSION - 1}' WHERE name = 'version'")
    assert f"was of version {SCHEMA_VERSION - 1}, and is of version {SCHEMA_VERSION} now" in ask("ledger", "migrate")[1]
    assert ask("report")[0] == 0


def test_prune_deletes_old_lines_that_nothing_refers_to(ask, warehouse, sandbox, clock):
    for city in ("Pune", "Agra"):
        warehouse.put(customer(1, city))
        run_night(Night(f"in {city}"), clock, warehouse)
        clock.advance(20 * 86_400)
    code, shown, _ = ask("ledger", "prune", "--days", "10")
    assert (code, shown.split(" ")[0]) == (0, "1")
    assert json.loads(ask("ledger", "prune", "--json")[1])["deleted"] == 0
    assert warehouse.states() == {"1": "updated"}
    code, _, errors = ask("ledger", "prune", "--days", "7")
    assert code == 3
    assert "8 days" in errors


ON_LEDGER = [
    ["report"],
    ["explain", "1"],
    ["erase", "1", "--yes"],
    ["ledger", "verify"],
    ["ledger", "migrate"],
    ["ledger", "prune"],
]


@pytest.mark.parametrize("arguments", ON_LEDGER, ids=" ".join)
def test_a_database_without_a_ledger_is_named_and_gets_none(run, on_sqlite, sandbox, arguments):
    before = on_sqlite.tables()
    code, shown, errors = run(*arguments, *ledger_of(on_sqlite))
    assert (code, shown) == (3, "")
    assert "there is no ledger table leadsquared_ledger in this database" in errors
    assert on_sqlite.tables() == before


@pytest.mark.parametrize("arguments", ON_LEDGER, ids=" ".join)
def test_a_ledger_of_a_newer_version_is_named_with_the_remedy(run, on_sqlite, sandbox, clock, arguments):
    on_sqlite.fill(2)
    run_night(Night("n1"), clock, on_sqlite)
    on_sqlite.run(f"UPDATE {on_sqlite.ledger}_metadata SET content = '99' WHERE name = 'version'")
    code, shown, errors = run(*arguments, *ledger_of(on_sqlite))
    assert (code, shown) == (3, "")
    assert "of version 99" in errors
    assert set(on_sqlite.states()) == {"0", "1"}


@pytest.mark.parametrize("arguments", ON_LEDGER, ids=" ".join)
def test_an_unknown_ledger_connection_is_named_with_the_remedy(run, sandbox, arguments):
    code, shown, errors = run(*arguments, "--ledger-conn-id", "no_such")
    assert (code, shown) == (3, "")
    assert "there is no connection 'no_such'; name one by --ledger-conn-id" in errors
    assert "Traceback" not in errors


def test_a_ledger_connection_to_something_else_is_named(run, sandbox):
    code, _, errors = run("report", "--ledger-conn-id", "leadsquared_default")
    assert code == 3
    assert "no common.sql hook" in errors


def test_a_table_that_is_no_name_is_named(run, on_sqlite, sandbox):
    code, _, errors = run("report", "--ledger-conn-id", "warehouse", "--ledger-table", "x; DROP")
    assert code == 3
    assert "no plain table name" in errors


def test_a_database_that_is_away_is_named(run, sandbox, monkeypatch, tmp_path):
    connect_sqlite(monkeypatch, "away", tmp_path / "no" / "such" / "folder.db")
    code, _, errors = run("report", "--ledger-conn-id", "away")
    assert code == 3
    assert "ledger table leadsquared_ledger" in errors


@pytest.mark.parametrize("more", [["--dag-id", "no_such"], ["--dag-id", "nightly", "--run-id", "no_such"]])
def test_an_unknown_run_is_named_with_the_remedy(run, on_sqlite, sandbox, clock, more):
    on_sqlite.fill(1)
    run_night(Night("n1"), clock, on_sqlite)
    code, _, errors = run("report", *more, *ledger_of(on_sqlite))
    assert code == 3
    assert "no_such" in errors
    assert "--list" in errors


def test_a_ledger_that_knows_no_run_says_so(run, on_sqlite, sandbox, clock):
    on_sqlite.fill(1)
    run_night(Night("n1"), clock, on_sqlite)
    on_sqlite.run(f"DELETE FROM {on_sqlite.ledger}_runs")
    code, _, errors = run("report", *ledger_of(on_sqlite))
    assert code == 3
    assert "knows no run;" in errors


def test_a_run_without_its_dag_is_wrong_usage(run, on_sqlite, sandbox):
    code, _, errors = run("report", "--run-id", "n1", *ledger_of(on_sqlite))
    assert code == 2
    assert "--run-id needs --dag-id" in errors


def test_a_file_that_cannot_be_written_is_named(run, on_sqlite, sandbox, clock, tmp_path):
    on_sqlite.fill(1)
    run_night(Night("n1"), clock, on_sqlite)
    out = tmp_path / "no" / "folder" / "report.html"
    code, _, errors = run("report", "--out", str(out), *ledger_of(on_sqlite))
    assert code == 3
    assert f"could not be written to {out}: No such file" in errors


# --- LeadSquared --------------------------------------------------------------------------------------------------


def test_check_says_what_works(run, sandbox):
    code, shown, _ = run("check")
    assert code == 0
    assert "Connection leadsquared_default: works" in shown


@pytest.mark.parametrize("change", [{"password": "wrong"}, {"extra": {}}, {"login": None}])
def test_check_says_what_does_not(run, sandbox, monkeypatch, no_waits, change):
    connection = sandbox.airflow_connection() | change
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", json.dumps(connection))
    code, shown, errors = run("check", "--conn-id", "broken")
    assert (code, errors) == (1, "")
    assert "Connection broken: does not work" in shown
    assert json.loads(run("check", "--conn-id", "broken", "--json")[1])["works"] is False


@pytest.mark.parametrize("arguments", [["check"], ["metrics"], ["status", "a"]], ids=" ".join)
def test_an_unknown_connection_is_named_with_the_remedy(run, sandbox, arguments):
    code, shown, errors = run(*arguments, "--conn-id", "no_such")
    assert (code, shown) == (3, "")
    assert "there is no connection 'no_such'; name one by --conn-id" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("arguments", [["metrics"], ["status", "a"]], ids=" ".join)
def test_an_account_that_is_away_is_named(run, monkeypatch, no_waits, sandbox, arguments):
    away = sandbox.airflow_connection() | {"host": "http://127.0.0.1:1"}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps(away))
    code, _, errors = run(*arguments, "--conn-id", "away")
    assert code == 3
    assert "Error: " in errors
    assert "Traceback" not in errors


def test_status_says_what_became_of_requests(run, on_sqlite, sandbox, clock):
    reject(sandbox, "Kochi")
    on_sqlite.put(customer(1), customer(2, "Kochi"))
    sync(Night("n1"), on_sqlite)
    ids = [one["request_id"] for one in sandbox.requests()]
    code, shown, _ = run("status", *ids)
    assert (code, shown.count("open")) == (0, 2)
    clock.advance(60)
    code, shown, _ = run("status", *ids)
    assert code == 1
    assert ("MXDuplicateEntryException" in shown, "created" in shown) == (True, True)
    assert run("status", ids[0])[0] == 0
    document = json.loads(run("status", "--json", *ids)[1])
    assert [one["state"] for one in document["requests"]] == ["created", "rejected"]


def test_a_request_that_leadsquared_does_not_know_is_named_beside_the_others(run, on_sqlite, sandbox, clock, no_waits):
    on_sqlite.put(customer(1))
    sync(Night("n1"), on_sqlite)
    [known] = [one["request_id"] for one in sandbox.requests()]
    code, shown, errors = run("status", known, "no-such-id")
    assert code == 3
    assert known in shown
    assert "LeadSquared does not know no-such-id" in errors
    assert json.loads(run("status", "--json", known, "no-such-id")[1])["unknown"] == ["no-such-id"]


@pytest.mark.parametrize("request_id", ["", " ", "x" * 101, "a\nb"])
def test_what_is_no_request_id_is_wrong_usage(run, sandbox, request_id):
    code, _, errors = run("status", request_id)
    assert code == 2
    assert "is no RequestId" in errors


def test_an_unknown_api_is_named(run, sandbox):
    for arguments in (["status", "a"], ["metrics"]):
        code, _, errors = run(*arguments, "--api", "no_such")
        assert code == 3
        assert "no_such" in errors


def test_metrics_says_how_busy_the_queue_is(run, sandbox):
    code, shown, _ = run("metrics")
    assert code == 0
    assert [cells[:2] for cells in fields(shown) if cells[0] == "lead_capture"] == [["lead_capture", "0"]]
    assert json.loads(run("metrics", "--json")[1])["pending"] == 0


def test_an_account_without_metrics_is_named(run, sandbox, monkeypatch, no_waits):
    connection = sandbox.airflow_connection()
    connection["extra"] = connection["extra"] | {"paths": {"lead_capture": {"metrics": "/no/such/path"}}}
    monkeypatch.setenv("AIRFLOW_CONN_NONE", json.dumps(connection))
    code, _, errors = run("metrics", "--conn-id", "none")
    assert code == 3
    assert "has no queue metrics" in errors


# --- all commands -------------------------------------------------------------------------------------------------


def test_json_is_one_document_also_of_an_error(run, sandbox):
    for arguments in (["check", "--conn-id", "no_such"], ["report", "--ledger-conn-id", "no_such"]):
        code, shown, _ = run(*arguments, "--json")
        assert (code, list(json.loads(shown))) == (3, ["error"])


@pytest.mark.parametrize("arguments", [[], ["no_such"], ["explain"], ["report"], ["status"], ["ledger"]])
def test_wrong_usage_ends_with_two(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_a_command_that_is_stopped_ends_without_a_traceback(run, sandbox, monkeypatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("airflow_provider_leadsquared.hooks.leadsquared.LeadSquaredHook.test_connection", stop)
    assert run("check")[::2] == (3, "Error: stopped\n")


def test_connections_of_airflows_own_database_are_found_while_a_command_runs(run, sandbox, monkeypatch):
    seen = []
    hook = "airflow_provider_leadsquared.hooks.leadsquared.LeadSquaredHook.test_connection"
    monkeypatch.setattr(hook, lambda self: (seen.append(os.environ[running._CONTEXT]), (True, ""))[1])
    monkeypatch.delenv(running._CONTEXT, raising=False)
    run("check")
    assert (seen, os.environ.get(running._CONTEXT)) == (["server"], None)
    monkeypatch.setenv(running._CONTEXT, "client")
    run("check")
    assert (seen, os.environ[running._CONTEXT]) == (["server", "server"], "client")
