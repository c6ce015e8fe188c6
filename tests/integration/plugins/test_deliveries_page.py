"""The deliveries page: who may see it, what it shows, and what it says when it cannot."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from fastapi.routing import APIRoute

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.runs import COUNTS, RunOfTask
from airflow_provider_leadsquared.plugins import views
from airflow_provider_leadsquared.plugins.app import make_app
from airflow_provider_leadsquared.plugins.deliveries import DeliveriesPlugin
from tests.integration.plugins.conftest import token_of
from tests.integration.tasks import connect_sqlite
from tests.unit.ledgers.stores import Database

ROUTES = [route for route in make_app().routes if isinstance(route, APIRoute)]
RUN = "dag_id=nightly&run_id=n1"
DUPLICATE = "MXDuplicateEntryException"
HTML = "<b onclick='x'>\"é&"
#: A request of each page that shows rows of the run n1 of the DAG nightly.
ASKING = ("", "?dag_id=nightly", f"run?{RUN}", f"rows?{RUN}&state=rejected", "open", "key?key=k1")


def entry(row: int, state: State, key: str | None = None, **more: Any) -> Entry:
    return Entry(row, state, key or f"k{row}", f"{row:032x}", **more)


def rejected(row: int, key: str | None = None, **more: Any) -> Entry:
    return entry(row, State.REJECTED, key, **{"reason_class": DUPLICATE, **more})


def write(database: Database, *entries: Entry, dag_id: str = "nightly", run_id: str = "n1", **more: Any) -> None:
    """Write rows of a run; each run began a day after the one that was written before."""
    counts = more.pop("counts", None)
    ledger = database.ledger(run=RunOfTask(dag_id, run_id, **{"task_id": "sync", **more}))
    ledger.claim("try")
    ledger.write(entries, metadata={} if counts is None else {COUNTS: counts})


def began(database: Database, **runs: float) -> None:
    """Set when runs began."""
    for run_id, day in runs.items():
        database.run(
            f"UPDATE {{table}}_runs SET began_at = '2026-01-{day:02} 02:00:00.000000' WHERE run_id = '{run_id}'"
        )


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def words(text: str) -> str:
    """Return the text of a page as a person reads it."""
    parser = _Words()
    parser.feed(text)
    return " ".join(" ".join(parser.found).split())


@pytest.fixture
def show(browse: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that asks for a page: its status, text, and words."""

    def get(path: str = "", user: str | None = "all", base: str = "") -> SimpleNamespace:
        found = browse(user, root_path=base).get(f"{base}/leadsquared/{path}")
        return SimpleNamespace(status=found.status_code, text=found.text, words=words(found.text), all=found)

    return get


# --- who may see it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("user", "status"), [(None, 401), ("stranger", 403)])
@pytest.mark.parametrize("route", ROUTES, ids=[route.path for route in ROUTES])
def test_every_route_is_closed_to_those_who_may_not_see_plugins(browse, database, route, user, status):
    write(database, rejected(1, "secret-key"))
    for method in sorted(route.methods):
        found = browse(user).request(method, f"/leadsquared{route.path}?{RUN}&state=rejected&key=secret-key")
        assert (found.status_code, "secret-key" in found.text) == (status, False)


def test_the_application_has_no_route_but_those_that_the_test_before_asks_for():
    assert len(ROUTES) == len(make_app().routes) == 7
    assert {method for route in ROUTES for method in route.methods} == {"GET"}


def test_a_bearer_token_opens_the_page_as_the_cookie_does(browse, database):
    write(database, rejected(1))
    assert browse(None).get("/leadsquared/", headers={"Authorization": f"Bearer {token_of('all')}"}).status_code == 200
    assert browse(None).get("/leadsquared/", headers={"Authorization": "Bearer forged"}).status_code == 403


@pytest.mark.parametrize("path", ASKING)
def test_rows_of_a_dag_are_shown_to_those_only_who_may_read_it(show, database, path):
    write(database, rejected(1), entry(2, State.OPEN, "k2", request_id="r2", accepted_at=time.time()))
    write(database, rejected(3, "k3"), dag_id="weekly", run_id="w1")
    write(database, rejected(1), dag_id="weekly", run_id="w1", task_id="other")
    write(database, entry(4, State.OPEN, "k4"), dag_id="deleted", run_id="d1")
    mine, others = show(path, "nightly"), show(path, "nothing")
    assert "n1" in show(path).words
    assert "n1" in mine.words
    for secret in ("weekly", "w1", "k3", "deleted", "k4"):
        assert secret not in mine.words
    assert "n1" not in others.words.replace("'n1'", "")  # what was asked for is said to be unknown
    assert DUPLICATE not in others.words


def test_what_a_sync_remembers_is_hidden_if_another_dag_runs_it_too(show, database, monkeypatch):
    asked: dict[tuple[str, ...], list[Any]] = {}
    monkeypatch.setattr(
        "airflow_provider_leadsquared.reports.histories.row_lines",
        lambda connection, tables, key, syncs: asked.setdefault(tuple(syncs), []),
    )
    for dag_id in ("nightly", "weekly"):
        write(database, rejected(1), dag_id=dag_id)
    database.run("UPDATE {table} SET sync_id = 'one'")
    show("key?key=k1", "nightly")
    assert list(asked) == [()]


def test_the_page_writes_nothing(show, database):
    write(database, rejected(1))
    before = database.select("SELECT * FROM {table}") + database.select("SELECT * FROM {table}_metadata")
    for path in ASKING:
        assert show(path).status == 200
    assert database.select("SELECT * FROM {table}") + database.select("SELECT * FROM {table}_metadata") == before


def test_a_request_leaves_no_connection_to_the_ledger_open(show, database):
    write(database, rejected(1))

    def opened() -> int:
        return sum("ledger.db" in file.path for file in psutil.Process().open_files())

    gc.collect()  # closes those of the line above
    gc.disable()  # so that nothing but the page closes its own
    try:
        before = opened()
        show()
        assert opened() == before
    finally:
        gc.enable()


# --- what it shows ------------------------------------------------------------------------------------------------


def test_runs_are_shown_newest_first_with_their_rows_by_verdict(show, database):
    write(database, entry(1, State.CREATED), rejected(2), counts={"read": 9, "unchanged": 7}, run_id="n1")
    write(database, entry(1, State.UPDATED), run_id="n2")
    began(database, n1=1, n2=2)
    found = show()
    assert re.findall(r">(n\d)<", found.text) == ["n2", "n1"]
    assert re.search(r"2026-01-01 02:00:00 nightly n1 1 0 1 7", found.words)
    assert re.findall(r'rect class="s-(\w+)" x', found.text) == ["created", "rejected", "updated"]


def test_every_chart_says_what_it_shows_and_has_a_table_with_its_numbers(show, database):
    write(database, entry(1, State.CREATED, accepted_at=1_700_000_000.0, settled_at=1_700_000_020.0))
    for path in ("", f"run?{RUN}"):
        text = show(path).text
        chart = re.search(r'<svg class="chart" role="img" aria-labelledby="([\w-]+) ([\w-]+)".*?</svg>', text, re.S)
        assert chart is not None
        assert f'<title id="{chart[1]}">' in chart[0]
        assert f'<desc id="{chart[2]}">' in chart[0]
        assert text.index("<table") > 0


def test_runs_come_page_by_page_each_once_whenever_its_tasks_began(show, database, monkeypatch):
    monkeypatch.setattr(views, "NIGHTS", 2)
    for number in range(5):
        write(database, rejected(1), run_id=f"n{number}")
        write(database, rejected(1), run_id=f"n{number}", task_id="other")
    began(database, n0=1, n1=2, n2=3, n3=4, n4=5)
    database.run(
        "UPDATE {table}_runs SET began_at = '2026-01-09 02:00:00.000000' WHERE run_id = 'n0' AND task_id = 'other'"
    )
    seen: list[list[str]] = []
    path: str | None = ""
    while path is not None:
        found = show(path)
        seen.append(re.findall(r">(n\d)</a></td>", found.text))
        following = re.search(r'<a href="\./([^"]*)" rel="next">', found.text)
        path = None if following is None else following[1].replace("&amp;", "&")
    assert seen == [["n0", "n4"], ["n3", "n2"], ["n1"]]


def test_a_run_is_filtered_to_one_task_and_one_instance_of_it(show, database):
    write(database, rejected(1), map_index=0)
    write(database, entry(2, State.CREATED), map_index=1)
    write(database, entry(3, State.INVALID, reason_class="too_long"), task_id="other")
    assert [name in show(f"run?{RUN}").words for name in (DUPLICATE, "too_long", "sync[1]")] == [True] * 3
    assert [name in show(f"run?{RUN}&task_id=sync").words for name in (DUPLICATE, "too_long")] == [True, False]
    assert DUPLICATE not in show(f"run?{RUN}&task_id=sync&map_index=1").words


def test_a_run_says_what_to_do_about_each_reason_and_how_long_verdicts_took(show, database):
    rows = [entry(n, State.CREATED, accepted_at=1_700_000_000.0, settled_at=1_700_000_000.0 + n) for n in range(100)]
    write(database, *rows, rejected(100))
    found = show(f"run?{RUN}").words
    assert "merge the two in the CRM" in found
    assert "half of the rows within 49 s, 90 % within 1 min" in found


def test_rows_of_a_reason_come_page_by_page_over_all_tasks_and_from_a_key_on(show, database, monkeypatch):
    monkeypatch.setattr(views, "ROWS", 2)
    write(database, *[rejected(n, f"a{n}") for n in range(3)])
    write(database, *[rejected(n, f"b{n}") for n in range(2)], entry(9, State.INVALID, "c"), task_id="tail")
    seen: list[list[str]] = []
    path: str | None = f"rows?{RUN}&state=rejected&reason={DUPLICATE}"
    while path is not None:
        found = show(path)
        seen.append(re.findall(r">(\w\d)</a></td>", found.text))
        following = re.search(r'<a href="(rows[^"]*)" rel="next">', found.text)
        path = None if following is None else following[1].replace("&amp;", "&")
    assert seen == [["a0", "a1"], ["a2", "b0"], ["b1"]]
    shown = show(f"rows?{RUN}&state=rejected&from_key=a2").text
    assert re.findall(r">(\w\d)</a></td>", shown) == ["a2", "b0"]


def test_a_row_is_two_pages_away_from_its_tasks_link_with_its_reason_in_words(show, database):
    write(database, rejected(1, reason="Another lead has this phone"))
    [rows] = re.findall(r'href="(rows[^"]*reason=[^"]*)"', show(f"run?ledger=ledger&{RUN}&task_id=sync").text)
    assert "Another lead has this phone" in show(rows.replace("&amp;", "&")).words


def test_open_requests_show_their_next_poll_page_by_page(show, database, monkeypatch):
    monkeypatch.setattr(views, "ROWS", 2)
    now = time.time()
    rows = [
        entry(1, State.OPEN, request_id="r1", accepted_at=now - 40, asked_at=now - 5, attempted_by=now - 30),
        entry(2, State.OPEN, request_id="r2", accepted_at=now - 40),
        entry(3, State.OPEN, request_id="r3"),
    ]
    write(database, *rows)
    first = show("open")
    [following] = re.findall(r'<a href="(open[^"]*)" rel="next">', first.text)
    found = f"{first.words} {show(following.replace('&amp;', '&')).words}"
    moments = re.findall(
        r"(k\d) nightly n1 sync (?:[\d-]+ [\d:]+ 40 s|0?) ?(none yet|[\d-]+ [\d:]+) (due|not known|[\d-]+)", found
    )
    assert {name: poll for name, _, poll in moments} == {
        "k1": time.strftime("%Y-%m-%d", time.gmtime()),
        "k2": "due",
        "k3": "not known",
    }


def test_a_keys_history_says_where_the_row_stands_and_what_to_do(show, database):
    write(database, entry(1, State.CREATED, lead_id="lead-7"), run_id="n1")
    write(database, rejected(1), run_id="n2")
    database.run("UPDATE {table} SET written_at = '2026-01-01 02:00:00.000000' WHERE run_id = 'n1'")
    found = show("key?key=k1")
    assert "is not in the CRM as it was sent" in found.words
    assert re.findall(r">(n\d)</a>", found.text) == ["n2", "n1"]
    assert "lead-7" in found.words


def test_the_page_works_below_a_base_path(show, database):
    """All addresses are relative, so that they hold wherever Airflow is served."""
    write(database, rejected(1))
    for path in ASKING:
        found = show(path, base="/some/base")
        assert found.status == 200
        for address in re.findall(r'(?:href|src|action)="([^"]*)"', found.text):
            assert not address.startswith(("/", "http")), address


def test_nothing_but_the_pages_own_files_is_loaded_and_only_airflow_frames_it(show, database):
    headers = show().all.headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("name", "kind"), [("style.css", "text/css"), ("page.js", "text/javascript")])
def test_style_and_script_come_from_the_package(show, database, name, kind):
    found = show(name)
    assert (found.status, found.all.headers["content-type"].partition(";")[0]) == (200, kind)
    assert f'"{name}"' in show().text


# --- bad input ----------------------------------------------------------------------------------------------------


def test_nobody_logged_in_gets_a_page_with_the_way_to_the_login(show, database):
    assert "Log in to Airflow" in show(user=None).words


@pytest.mark.parametrize("where", ["key", "reason", "run", "dag"])
def test_quotes_and_html_in_what_is_asked_for_or_stored_stay_text(browse, show, database, where):
    write(database, rejected(1, HTML, reason_class=HTML, reason=HTML), run_id=HTML)
    asked = {
        "key": ("key", {"key": HTML}),
        "reason": ("rows", {"dag_id": "nightly", "run_id": HTML, "state": "rejected", "reason": HTML}),
        "run": ("run", {"dag_id": "nightly", "run_id": HTML}),
        "dag": ("run", {"dag_id": HTML, "run_id": "n1"}),
    }[where]
    found = browse().get(f"/leadsquared/{asked[0]}", params=asked[1])
    assert "<b" not in found.text.replace("<body", "").replace("<button", "")
    assert HTML in words(found.text) or where == "dag"


def test_a_key_that_no_ledger_can_hold_is_said_to_be_unknown(show, database):
    write(database, rejected(1))
    assert "has no line of this row key" in show("key?key=%00k9").words


def test_without_a_ledger_in_the_configuration_the_page_says_what_to_set(show, database, monkeypatch):
    monkeypatch.delenv("AIRFLOW__LEADSQUARED__LEDGERS")
    for path in ASKING:
        assert "Set [leadsquared] ledgers" in show(path).words


def test_a_ledger_of_another_version_is_named_with_the_remedy(show, database):
    write(database, rejected(1))
    database.run("UPDATE {table}_metadata SET content = '6' WHERE name = 'version'")
    found = show()
    assert (found.status, "is of version 6" in found.words, "Install one version" in found.words) == (409, True, True)


def test_a_ledger_whose_database_is_away_is_named_without_the_drivers_words(show, database, monkeypatch, tmp_path):
    connect_sqlite(monkeypatch, "ledger", tmp_path / "gone" / "ledger.db")
    found = show()
    assert (found.status, "'ledger' leads to does not answer" in found.words) == (503, True)
    assert "unable to open" not in found.words


def test_a_ledger_that_is_not_there_yet_is_named_with_the_remedy(show, database):
    found = show()
    assert (found.status, "Run a capture or sync" in found.words) == (404, True)


def test_a_missing_connection_is_named_with_the_remedy(show, database, monkeypatch):
    monkeypatch.setenv("AIRFLOW__LEADSQUARED__LEDGERS", "nowhere")
    found = show()
    assert (found.status, "no connection 'nowhere'" in found.words) == (404, True)


def test_a_connection_to_no_database_is_named_with_the_remedy(show, database, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", '{"conn_type": "leadsquared", "host": "x"}')
    found = show()
    assert (found.status, "is no common.sql hook" in found.words) == (500, True)


@pytest.mark.parametrize(
    ("path", "said"), [("run?dag_id=nightly&run_id=n9", "no run 'n9'"), ("nothing", "no such page")]
)
def test_an_unknown_run_or_page_is_named(show, database, path, said):
    write(database, rejected(1))
    found = show(path)
    assert (found.status, said in found.words) == (404, True)


def test_a_ledger_that_the_configuration_does_not_name_is_not_read(show, database):
    found = show("?ledger=other")
    assert (found.status, "'other' is not among those" in found.words) == (404, True)


@pytest.mark.parametrize(
    "path",
    [
        f"rows?{RUN}&state=lost",
        f"run?{RUN}&map_index=x",
        "?before=x~y",
        "open?after=nan~y",
        f"rows?{RUN}&state=open&after=x",
        "key",
    ],
)
def test_an_address_that_cannot_be_read_gets_a_clear_page(show, database, path):
    write(database, rejected(1))
    found = show(path)
    assert (found.status, "This address cannot be read" in found.words) == (400, True)


def test_only_reading_is_answered(browse, database):
    assert browse().post("/leadsquared/").status_code == 405


def test_several_ledgers_can_be_shown_one_by_one(show, database, monkeypatch, tmp_path):
    connect_sqlite(monkeypatch, "second", tmp_path / "ledger.db")
    monkeypatch.setenv("AIRFLOW__LEADSQUARED__LEDGERS", "ledger, second = leadsquared_ledger,second=second,")
    write(database, rejected(1))
    found = show("?ledger=second")
    assert re.findall(r"<option( selected)?>([\w=]+)</option>", found.text)[:3] == [
        ("", "ledger"),
        (" selected", "second"),
        ("", "second=second"),
    ]


# --- what tasks pay for it ----------------------------------------------------------------------------------------

IN_A_TASK = """
import sys
import airflow.sdk.execution_time.task_runner
before = set(sys.modules)
from airflow_provider_leadsquared.plugins.deliveries import DeliveriesPlugin
print(sorted({name.split(".")[0] for name in set(sys.modules) - before} - {"airflow"}))
print([name for name in sys.modules if name.split(".")[0] in ("fastapi", "starlette") or ".api_fastapi" in name])
"""


def test_a_task_that_loads_the_plugin_imports_neither_fastapi_nor_airflows_api():
    command = [sys.executable, "-c", IN_A_TASK]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter
    assert done.stdout.splitlines() == ["['airflow_provider_leadsquared']", "[]"]


def test_airflow_finds_the_plugin_by_its_entry_point():
    found = entry_points(group="airflow.plugins", module="airflow_provider_leadsquared.plugins.deliveries")
    assert [point.load() for point in found][:1] == [DeliveriesPlugin]


def test_the_page_in_airflows_navigation_leads_to_where_the_application_is():
    [app], [view] = DeliveriesPlugin.fastapi_apps, DeliveriesPlugin.external_views
    assert (f"/{view['href']}", view["destination"]) == (f"{app['url_prefix']}/", "nav")
