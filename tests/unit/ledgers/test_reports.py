"""What people ask of a ledger: runs, nights, rejects, open requests, one row's history, and whether it is whole."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.errors import LedgerMissingError, LedgerVersionError
from airflow_provider_leadsquared.ledgers.migrations import MIGRATIONS, SCHEMA_VERSION
from airflow_provider_leadsquared.ledgers.runs import COUNTS
from airflow_provider_leadsquared.reports import facts, histories, nights, open_rows, runs, verdict_times, verification
from airflow_provider_leadsquared.reports.places import OpenPlace
from tests.unit.ledgers.stores import RUN, Database, entry_of
from tests.unit.ledgers.syncs import NOW, accepted, begun, intend, judge, payload, run_named, sent


@pytest.fixture(params=["sqlite", "on_postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    """Return an empty database; every driver is tested in tests/integration/ledgers."""
    found: Database = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def ask(database: Database) -> Callable[..., Any]:
    """Return a function that asks one of the reports."""

    def run(report: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        opened = database.open()
        with opened.existing() as connection:
            found = report(connection, opened.tables, *arguments, **more)
            return found if not hasattr(found, "__next__") else list(found)

    return run


@pytest.fixture
def night(ledger, time: SimpleNamespace) -> Callable[..., Any]:
    """Return a function that lets a night's run write entries."""

    def write(name: str, *entries: Entry, run: Any = None, counts: dict[str, int] | None = None) -> None:
        opened = ledger(run=run or run_named(name))
        opened.claim("try")
        opened.write(entries, metadata={} if counts is None else {COUNTS: counts})
        time.now += 86_400

    return write


def rejected(number: int, reason_class: str | None = "MXDuplicateEntryException", **more: Any) -> Entry:
    fields = {"row_key": f"k{number}", "reason_class": reason_class, "request_id": f"r{number}", **more}
    return Entry(number, State.REJECTED, fingerprint=f"f{number}", **fields)


# --- runs ---------------------------------------------------------------------------------------------------------


def test_runs_come_newest_first_page_by_page(ask, night):
    for name in "abcde":
        night(name)
    pages, before = [], None
    while page := ask(runs.list_runs, before=before, limit=2):
        pages.append([run.task.run_id for run in page])
        before = page[-1]
    assert pages == [["e", "d"], ["c", "b"], ["a"]]


def test_runs_that_began_at_the_same_moment_are_on_one_page_each(ask, ledger):
    for name in "abc":
        ledger(name).claim("try")
    first = ask(runs.list_runs, limit=2)
    assert {run.task.run_id for run in [*first, *ask(runs.list_runs, before=first[-1])]} == set("abc")


def test_runs_can_be_those_of_one_dag(ask, night):
    night("a")
    night("b", run=replace(RUN, dag_id="other"))
    assert [run.task.run_id for run in ask(runs.list_runs, dag_ids=["nightly"])] == ["a"]


def test_a_run_knows_its_sync_and_when_its_first_try_began(ask, ledger, time):
    ledger("a").claim("first try")
    time.now += 60
    ledger("a").claim("second try")
    [run] = ask(runs.list_runs)
    assert (run.began_at, run.sync, run.task) == (NOW, "sync", run_named("a"))


def test_a_capture_has_no_sync(ask, database):
    database.ledger().claim("try")
    [run] = ask(runs.list_runs)
    assert (run.sync, run.sync_id, run.task) == (None, None, RUN)


def test_of_a_run_that_began_anew_only_the_last_generation_counts(ask, database):
    ledger = database.ledger()
    ledger.claim("try")
    ledger.write([entry_of(0), entry_of(1)])
    ledger.start_over()
    ledger.write([entry_of(0)])
    found = ask(runs.read_night, RUN.dag_id, RUN.run_id)
    assert [run.generation for run in found.runs] == [1]
    assert sum(found.states.values()) == 1
    assert len(ask(runs.list_runs)) == 2


# --- a night ------------------------------------------------------------------------------------------------------


def test_a_night_is_all_tasks_of_its_run(ask, night):
    for number in range(2):
        night("a", rejected(number), run=run_named("a", map_index=number))
    night("b", rejected(5))
    found = ask(runs.read_night, "nightly", "a")
    assert (found.states, [run.task.map_index for run in found.runs]) == ({State.REJECTED: 2}, [0, 1])
    assert found.rejects == 2


def test_a_nights_counts_add_up_to_the_rows_read(ask, night):
    noted = {"read": 100, "unchanged": 90, "rejected": 3, "open": 7}
    sent_rows = [Entry(n, State.CREATED, f"c{n}", f"c{n}", request_id=f"c{n}") for n in range(7)]
    night("a", *sent_rows, counts=noted)
    found = ask(runs.read_night, "nightly", "a")
    assert found.counts == {State.UNCHANGED: 90, State.CREATED: 7}
    assert sum(found.counts.values()) + found.held == 100


def test_a_night_without_noted_counts_holds_no_row_back(ask, night):
    night("a", rejected(0))
    assert ask(runs.read_night, "nightly", "a").held == 0


def test_a_run_that_the_ledger_does_not_know_is_none(ask, night):
    night("a")
    assert ask(runs.read_night, "nightly", "b") is None


def test_reasons_come_most_frequent_first_with_some_row_keys(ask, night):
    others = [rejected(9, "MXOther"), Entry(10, State.INVALID, None, "x", reason_class=None)]
    night("a", *[rejected(number) for number in range(5)], *others)
    found = ask(runs.read_night, "nightly", "a").reasons
    assert [(one.state.value, one.reason_class, one.count, one.examples) for one in found] == [
        ("rejected", "MXDuplicateEntryException", 5, ("k0", "k1", "k2")),
        ("invalid", None, 1, ("row 11",)),
        ("rejected", "MXOther", 1, ("k9",)),
    ]


def test_a_runs_rejects_come_page_by_page_in_the_order_of_their_keys(ask, night):
    without_key = [rejected(20 + n, row_key=None) for n in range(2)]
    night("a", *[rejected(n) for n in (4, 2, 0, 3, 1)], *without_key, rejected(9, "MXOther"))
    [run] = ask(runs.list_runs)
    pages, after = [], None
    listed = partial(ask, runs.list_rejects, run.scope, State.REJECTED, reason_class="MXDuplicateEntryException")
    while page := listed(after=after, limit=3):
        pages.append([one.name for one in page])
        after = page[-1]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [name for page in pages for name in page][:5] == ["k0", "k1", "k2", "k3", "k4"]
    assert {name for page in pages for name in page} - {f"k{n}" for n in range(5)} == {"row 21", "row 22"}


def test_rows_with_one_key_are_on_one_page_each(ask, night):
    night("a", *[replace(rejected(n), row_key="k") for n in range(3)])
    [run] = ask(runs.list_runs)
    first = ask(runs.list_rejects, run.scope, State.REJECTED, limit=2)
    rest = ask(runs.list_rejects, run.scope, State.REJECTED, after=first[-1])
    assert sorted(one.request_id for one in [*first, *rest]) == ["r0", "r1", "r2"]


# --- open requests ------------------------------------------------------------------------------------------------


def test_open_requests_come_page_by_page_and_are_counted_by_task(ask, night, ledger):
    for number, name in enumerate("abc"):
        night(name, Entry(0, State.OPEN, f"k{number}", f"f{number}", request_id=f"r{number}", accepted_at=NOW + number))
    night("d", Entry(0, State.CREATED, "k9", "f9", request_id="r9"))
    first = ask(open_rows.list_open, limit=2)
    rest = ask(open_rows.list_open, after=first[-1])
    assert [one.name for one in [*first, *rest]] == ["k0", "k1", "k2"]
    [counted] = ask(open_rows.count_open)
    assert (counted.dag_id, counted.task_id, counted.count, counted.oldest) == ("nightly", "sync", 3, NOW)


# --- one row ------------------------------------------------------------------------------------------------------


def test_a_rows_history_has_each_sending_with_its_verdict(ask, ledger, requests, time):
    for name, fingerprint, state in (("1", "A", State.CREATED), ("2", "B", State.REJECTED)):
        opened = ledger(name)
        opened.claim("try")
        sent(opened, requests, "k", fingerprint, state, reason_class=None if state.is_confirmed else "MXOther")
        time.now += 86_400
    history = ask(histories.read_history, "k")
    assert [(one.task.run_id, one.state, one.request_id, one.reason_class, one.sync) for one in history.steps] == [
        ("1", State.CREATED, "r-k-A", None, "sync"),
        ("2", State.REJECTED, "r-k-B", "MXOther", "sync"),
    ]
    assert [one.lead_id for one in history.steps] == ["lead of k", None]
    assert {one.settled_at for one in history.steps} == {NOW}


def test_a_history_says_what_holds_a_row_back(ask, ledger, requests, time):
    sent(ledger("1"), requests, "k", "A", State.REJECTED, reason_class="MXOther", reason="why")
    [held] = ask(histories.read_history, "k").remembered
    assert held.refusal is not None
    assert (held.refusal.reason_class, held.unsettled, held.is_confirmed) == ("MXOther", (), False)
    time.now += 60
    accepted(begun(ledger("2")), "k", "B")
    [waits] = ask(histories.read_history, "k").remembered
    assert waits.unsettled == (NOW + 60,)
    judge(requests("2"), State.CREATED)
    [confirmed] = ask(histories.read_history, "k").remembered
    assert (confirmed.refusal, confirmed.unsettled, confirmed.is_confirmed) == (None, (), True)


def test_a_row_that_nobody_has_sent_has_an_empty_history(ask, ledger):
    ledger("1").claim("try")
    assert ask(histories.read_history, "k").is_empty


# --- the ledger ---------------------------------------------------------------------------------------------------


def test_facts_say_version_size_and_span(ask, night, time):
    night("a", rejected(0))
    night("b", Entry(0, State.CREATED, "k", "f", request_id="r"))
    found = ask(facts.read_facts)
    assert (found.version, found.runs) == (SCHEMA_VERSION, 2)
    assert (found.oldest, found.newest) == (NOW, NOW + 86_400)
    assert found.size > 10_000


def test_facts_of_an_empty_ledger(ask, database):
    database.ledger().claim("try")
    found = ask(facts.read_facts)
    assert (found.oldest, found.newest) == (None, None)


def test_a_database_without_a_ledger_gets_none(database):
    opened = database.open()
    with pytest.raises(LedgerMissingError, match=re.escape(database.table)), opened.existing():
        pass
    assert database.names() == set()


def test_a_ledger_of_another_version_is_not_read_and_not_migrated(database):
    database.ledger().claim("try")
    database.run(f"UPDATE {{table}}_metadata SET content = '{SCHEMA_VERSION - 1}' WHERE name = 'version'")
    with pytest.raises(LedgerVersionError, match="ledger migrate"), database.open().existing():
        pass
    assert database.open().version() == SCHEMA_VERSION - 1


def test_the_runs_of_tables_before_there_were_runs_are_known_after_the_migration(ask, database, night):
    night("a", rejected(0, accepted_at=NOW - 5))
    night("b", rejected(1), run=replace(RUN, map_index=3))
    before = ask(runs.list_runs)
    [step] = [one for one in MIGRATIONS if one.apply.__name__ == "_add_runs"]
    names = [name.rpartition(".")[2] for name in (f"{database.table}_by_key", f"{database.table}_by_outcome")]
    schema = database.table.rpartition(".")[0]
    dot = f"{schema}." if schema else ""
    database.run(
        "DROP TABLE {table}_runs",
        *[f"DROP INDEX {dot}{name}" for name in names],
        f"CREATE INDEX {database.table.rpartition('.')[2]}_by_scope ON {{table}} (scope, state)",
        f"UPDATE {{table}}_metadata SET content = '{step.version - 1}' WHERE name = 'version'",
    )
    database.ledger().load()
    after = ask(runs.list_runs)
    assert [(run.task, run.scope, run.sync_id) for run in after] == [
        (run.task, run.scope, run.sync_id) for run in before
    ]
    assert [run.began_at for run in after] == [NOW + 86_400, NOW - 5]
    assert ask(verification.verify_tables) == []
    assert ask(runs.read_night, "nightly", "a").states == {State.REJECTED: 1}


def test_no_report_reads_all_of_the_history(tmp_path, sqlite, time):
    ledger = sqlite.ledger()
    ledger.claim("try")
    ledger.write([rejected(0)])
    asked: list[str] = []

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(tmp_path / "ledger.db")
        connection.set_trace_callback(asked.append)
        return connection

    opened = sqlite.open(connect=connect)
    with opened.existing() as connection:
        [run] = runs.list_runs(connection, opened.tables)
        [reject] = runs.list_rejects(connection, opened.tables, run.scope, State.REJECTED)
        runs.list_runs(connection, opened.tables, dag_ids=["a"], before=run)
        nights.list_nights(connection, opened.tables)
        nights.list_dags(connection, opened.tables)
        verdict_times.read_verdict_times(connection, opened.tables, [run.scope])
        runs.read_night(connection, opened.tables, RUN.dag_id, RUN.run_id)
        runs.list_rejects(connection, opened.tables, run.scope, State.REJECTED, reason_class="a", after=reject)
        open_rows.count_open(connection, opened.tables)
        open_rows.list_open(connection, opened.tables, dag_ids=["a"], after=OpenPlace(NOW, "e"))
        histories.read_history(connection, opened.tables, "k0")
        facts.read_facts(connection, opened.tables)
    plans = [
        (one, str(line)) for one in asked if "SELECT" in one for line in sqlite.select(f"EXPLAIN QUERY PLAN {one}")
    ]
    scans = [(one, line) for one, line in plans if re.search(r"SCAN ledger(_lines|_unsettled)?\b(?!_)", line)]
    assert len(plans) >= 15
    assert scans == []
    assert [line for _, line in plans if "SCAN ledger_runs" in line and "USING" not in line] == []


@pytest.mark.parametrize("singly", [0, 50])
def test_runs_are_counted_alike_one_by_one_and_together(ask, database, monkeypatch, singly):
    monkeypatch.setattr(runs, "_COUNTED_SINGLY", singly)
    for number in range(3):
        ledger = database.ledger(run=run_named("a", number))
        ledger.claim("try")
        ledger.write([entry_of(row) for row in range(number)])
    scopes = [run_named("a", number).scope_of_entries() for number in range(3)]
    counted = ask(runs.count_states, scopes)
    assert [counted[scope][State.OPEN] for scope in scopes] == [0, 1, 2]


def test_times_to_verdict_are_those_of_rows_that_have_one(ask, ledger, database):
    written = database.ledger(run=run_named("a"))
    written.claim("try")
    settled = [entry_of(n, State.CREATED, accepted_at=NOW, settled_at=NOW + n) for n in range(10)]
    written.write([*settled, entry_of(10, accepted_at=NOW), entry_of(11, State.INVALID, reason_class="too_long")])
    scope = run_named("a").scope_of_entries()
    found = ask(verdict_times.read_verdict_times, [scope])
    assert (found.share(0.5), found.share(0.9), found.share(1.0), found.is_sample) == (4.0, 8.0, 9.0, False)
    assert ask(verdict_times.read_verdict_times, [scope], sample=5).is_sample
    assert ask(verdict_times.read_verdict_times, [scope, *map(str, range(60))]).is_sample
    assert ask(verdict_times.read_verdict_times, []).share(0.5) is None


def test_a_page_of_nights_ends_where_a_mapped_task_has_too_many_instances(ask, ledger, database, monkeypatch):
    monkeypatch.setattr(nights, "_LINES", 2)
    monkeypatch.setattr(nights, "_MOST_LINES", 4)
    for number in range(6):
        database.ledger(run=run_named("a", number)).claim("try")
    page = ask(nights.list_nights)
    assert [night.run_id for night in page.nights] == ["a"]
    rest = ask(nights.list_nights, before=page.older)
    assert (rest.nights, rest.older) == ((), None)


# --- is it whole? -------------------------------------------------------------------------------------------------


@pytest.fixture
def problems(ask) -> Callable[[], list[str]]:
    """Return a function that returns all that is wrong with the ledger."""
    return lambda: [
        *ask(verification.verify_tables),
        *[problem for _, found in ask(verification.verify_lines) for problem in found],
    ]


def test_a_whole_ledger_has_no_problem(ask, ledger, requests, problems, monkeypatch):
    monkeypatch.setattr(verification, "_GROUP", 2)
    for key in "abcde":
        sent(ledger("1"), requests, key, "A", State.CREATED)
    accepted(begun(ledger("2")), "a", "B")
    assert problems() == []
    assert sum(count for count, _ in ask(verification.verify_lines)) == ask(verification.count_lines)


def test_a_row_that_was_never_sent_lacks_no_last_sending(ledger, requests, problems):
    """Its intent was refused, for another row has written its lead since the run began."""
    paused = begun(ledger("1"))
    sent(ledger("2"), requests, "k", "A", State.CREATED)
    assert intend(paused, "other", "B", payload("k").match_keys).state is State.WAITING
    assert problems() == []


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("DROP TABLE {table}_runs", "the table .*ledger_runs is missing"),
        ("DROP VIEW {table}_rejects", "the view ledger_rejects is missing"),
        ("DROP INDEX {table}_by_key", "the index ledger_by_key is missing"),
        ("UPDATE {table} SET state = 'odd'", "k: the state 'odd' is unknown"),
        ("DELETE FROM {table}", "k: the line of its last sending is gone"),
        ("DELETE FROM {table}_unsettled", r"waits for 1 sending\(s\) that are gone"),
        ("UPDATE {table}_unsettled SET request_id = NULL", "k: a sending is open and has no RequestId"),
        ("UPDATE {table}_lines SET details = 'no JSON' WHERE kind = 'r'", "the line .* of the memory cannot be read"),
    ],
)
def test_damage_is_named(database, ledger, problems, damage, problem):
    accepted(begun(ledger("1")), "k", "A")
    database.run(damage)
    found = problems()
    assert [one for one in found if re.search(problem, one)], found


def test_many_problems_of_one_kind_are_named_once(database, ledger, problems):
    opened = ledger("1")
    opened.claim("try")
    opened.write([rejected(number) for number in range(50)])
    database.run("UPDATE {table} SET state = 'odd'")
    found = problems()
    assert len(found) == 20
    assert found[-1].endswith("(further ones of this kind are not named)")


def test_pages_do_not_overlap(ask, night):
    night("a", *[rejected(number) for number in range(7)])
    [run] = ask(runs.list_runs)
    page, seen = ask(runs.list_rejects, run.scope, State.REJECTED, limit=2), []
    while page:
        seen += [one.entry_id for one in page]
        page = ask(runs.list_rejects, run.scope, State.REJECTED, after=page[-1], limit=2)
    assert len(seen) == len(set(seen)) == 7
    assert all(one <= other for one, other in pairwise(sorted(seen)))
