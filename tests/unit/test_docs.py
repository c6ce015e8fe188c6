"""What the documentation shows is what the code is: quoted examples, the states, and every SQL statement."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sqlite3
import time
import uuid
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import airflow.sdk
import psycopg2
import pytest
from airflow.cli.cli_parser import get_parser
from packaging.version import Version

from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.api.regions import REGIONS
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.database import Database as LedgerDatabase
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.ledgers.sync import SyncIdentity, SyncLedger
from airflow_provider_leadsquared.sandbox.settings import Settings
from airflow_provider_leadsquared.sync.policies import _CHOICES
from airflow_provider_leadsquared.sync.transforms import TRANSFORMS
from airflow_provider_leadsquared.tasks import metrics
from dags_examples.warehouse_to_leadsquared import NOT_TAKEN, PRESENT_CUSTOMERS, SELECT, SENT, STILL_OPEN
from docs import ladder_drawing

PROJECT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(PROJECT)): path.read_text()
    for path in (PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md")))
}
EXAMPLES = "\n".join(path.read_text() for path in sorted((PROJECT / "dags_examples").glob("*.py")))
NIGHTLY = PAGES["docs/nightly-sync.md"]

QUOTED = [
    pytest.param(name, code, id=f"{page}: {name}")
    for page, text in PAGES.items()
    for name, code in re.findall(r"<!-- quoted: (\w+) -->\n+```python\n(.*?)\n```", text, re.DOTALL)
]
STATEMENTS = [
    pytest.param(sql, id=f"{page}, {number}")
    for page, text in PAGES.items()
    for number, sql in enumerate(re.findall(r"```sql\n(.*?)```", text, re.DOTALL), 1)
]


@pytest.mark.parametrize(("name", "code"), QUOTED)
def test_quoted_code_is_the_examples(name: str, code: str):
    found = re.search(rf"^# \[START {name}\]\n(.*?)^# \[END {name}\]", EXAMPLES, re.DOTALL | re.MULTILINE)
    assert found is not None
    lines = [line for line in found[1].splitlines() if not re.match(r"# \[(START|END) ", line)]
    assert code == "\n".join(lines).strip("\n")


def test_there_is_something_to_test():
    assert len(QUOTED) >= 4
    assert len(STATEMENTS) >= 12


@pytest.mark.parametrize("page", ["docs/verdicts.md", "docs/nightly-sync.md"])
def test_every_state_is_explained(page: str):
    explained = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*?\|", PAGES[page], re.MULTILINE))))

    assert set(State) <= explained


def test_the_regions_are_listed_as_they_are():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| `(.*?)` \| (yes|no) \|$", PAGES["docs/connection.md"], re.MULTILINE)
    assert rows == [
        (region.code, region.country, region.async_host, "yes" if region.is_documented else "no")
        for region in REGIONS.values()
    ]


def test_every_metric_is_listed():
    names = set(re.findall(r"^\| `(leadsquared\.[\w.]+)` \|", PAGES["docs/monitoring.md"], re.MULTILINE))
    assert names == {value for value in vars(metrics).values() if str(value).startswith("leadsquared.")}


def test_every_rule_and_transform_is_explained():
    for word in (*_CHOICES, *TRANSFORMS):
        assert f"`{word}`" in NIGHTLY


def test_the_page_on_leadsquared_names_switches_that_exist_and_all_that_play_another_reading():
    rows = re.findall(r"^\|.*\| (.*) \|$", PAGES["docs/leadsquared.md"], re.MULTILINE)
    named = {name for cell in rows if "fault" not in cell for name in re.findall(r"`(\w+)`", cell)}
    switches = {switch.name for switch in dataclasses.fields(Settings)}
    assert named <= switches
    assert switches - named == {"access_key", "account_code", "secret_key", "api_key", "repeated_attribute"}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str):
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", PAGES[page]):
        path = (PROJECT / page).parent / target if target else PROJECT / page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}, anchor


#: Airflow's commands that are younger than 3.1.
SINCE = {"leadsquared": "3.2", "state-store": "3.3"}
AIRFLOW_COMMANDS = sorted(
    {
        line.removeprefix("$ ")
        for text in PAGES.values()
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
        for line in map(str.strip, block.splitlines())
        if re.match(r"(\$ )?(\w+=\S+ )*airflow ", line)
    }
)


@pytest.mark.parametrize("command", AIRFLOW_COMMANDS)
def test_airflow_has_the_commands_that_are_shown(command: str, capsys: pytest.CaptureFixture[str]):
    words = [word for word in shlex.split(command, comments=True) if not re.match(r"\w+=", word)][1:]
    if Version(airflow.__version__) < Version(SINCE.get(words[0], "3.1")):
        pytest.skip("this Airflow does not have it yet")
    with pytest.raises(SystemExit) if "--help" in words else nullcontext():  # which ends well
        assert get_parser().parse_args(words).func


#: Commands of this project that a page names as code, such as those by which its figures are made.
_PROGRAMS = r"python3? (?:-m )?(?:benchmarks|docs|demo|tests|airflow_provider_leadsquared)[\w./]*"
OWN_COMMANDS = sorted(
    {
        (page, command)
        for page, text in PAGES.items()
        for command in re.findall(rf"(?:`|^\$? ?)({_PROGRAMS}|make [a-z][a-z-]*)", text, re.MULTILINE)
    }
)


@pytest.mark.parametrize(("page", "command"), OWN_COMMANDS)
def test_a_command_that_a_page_names_is_there(page: str, command: str):
    program, *words = command.split()
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
        assert words[0] in targets, page
        return
    path = PROJECT / (words[-1].replace(".", "/") if words[0] == "-m" else words[-1])
    assert any(one.is_file() for one in (path, path.with_suffix(".py"), path / "__main__.py")), page


def test_the_drawing_of_retries_and_polls_is_the_plans():
    assert ladder_drawing.PICTURE.read_text() == ladder_drawing.drawing(), "run: python docs/ladder_drawing.py --write"
    assert f"{len(ladder_drawing.polls())} polls" in PAGES["docs/waiting.md"]


class Database:
    """A database with a ledger of two nights, as the documentation's statements ask for them."""

    def __init__(self, connect: Callable[[], Any], placeholder: str) -> None:
        self._connect, self._placeholder = connect, placeholder
        for dag_id, task_id, runs in (
            ("warehouse_to_leadsquared", "sync", ("scheduled__2026-01-01", "scheduled__2026-01-02")),
            ("sync", "capture", ("manual__2026-01-01",)),
        ):
            for run_id in runs:
                self._fill(RunOfTask(dag_id, run_id, task_id))
        self.run("UPDATE leadsquared_ledger SET written_at = '2025-09-01' WHERE run_id LIKE '%-01'")
        texts = ("first_name", "last_name", "email", "phone", "city", "plan")
        self.run(
            f"CREATE TABLE customers (customer_id INTEGER, {' TEXT, '.join(texts)} TEXT, signed_up_on DATE, "
            "updated_at TIMESTAMP, closed_on DATE)"
        )
        self.run(
            "INSERT INTO customers (customer_id, updated_at, closed_on) VALUES "
            "(4711, '2026-01-01', NULL), (4712, '2026-01-01', NULL), (4714, '2026-01-01', NULL), "
            "(8, '2026-01-01', '2026-01-02'), (9, NULL, NULL)"
        )
        for _ in range(2):  # as on two nights
            for statement in PRESENT_CUSTOMERS:
                self.run(statement)

    def run(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement; one that returns nothing returns how many rows it has touched, as a row."""
        with closing(self._connect()) as connection, connection:
            cursor = connection.cursor()
            cursor.execute(sql.replace("?", self._placeholder), *([values] if values else []))
            return cursor.fetchall() if cursor.description else [(cursor.rowcount,)]

    def _fill(self, run: RunOfTask) -> None:
        ledger = SyncLedger(
            LedgerDatabase(self._connect, table="leadsquared_ledger"),
            run=run,
            identity=SyncIdentity(sync=run.dag_id, account="https://crm.example"),
            settle_timeout=0,
            clock=time.time,
            shared_clock=lambda connection: time.time(),
        )
        entries = [
            Entry(0, State.CREATED, "4711", run.run_id, request_id="r1", lead_id="l1", accepted_at=1.0, settled_at=2.0),
            Entry(1, State.REJECTED, "4712", run.run_id, request_id="r2", reason_class="MXDuplicateEntryException"),
            Entry(2, State.OPEN, "4713", run.run_id, request_id="r3", accepted_at=1.0),
        ]
        intents = [Entry(entry.row, State.IN_DOUBT, entry.row_key, entry.fingerprint) for entry in entries]
        ledger.claim(run.run_id)
        ledger.begin()
        ledger.intend([(intent, Payload(b"{}", (), intent.fingerprint)) for intent in intents])
        ledger.write(entries)
        ledger.write_not_sent([Entry(3, State.INVALID, "4714", copy=3, reason_class="no_match_key")])


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Database:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    return Database(lambda: sqlite3.connect(path), "?")


@pytest.fixture(scope="module")
def on_postgres(postgres: str) -> Database:
    schema = f"docs{uuid.uuid4().hex}"
    with closing(psycopg2.connect(postgres)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}")
    return Database(lambda: psycopg2.connect(postgres, options=f"-c search_path={schema}"), "%s")


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("database", ["on_sqlite", "on_postgres"])
def test_every_statement_runs_and_finds_something(request: pytest.FixtureRequest, database: str, statement: str):
    found = request.getfixturevalue(database).run(statement)

    assert found
    assert found != [(0,)]


@pytest.mark.parametrize("database", ["on_sqlite", "on_postgres"])
def test_the_examples_statements_run(request: pytest.FixtureRequest, database: str):
    warehouse: Database = request.getfixturevalue(database)
    run = ("warehouse_to_leadsquared", "scheduled__2026-01-02")

    assert len(warehouse.run(SELECT)) == 4
    assert warehouse.run(SENT, *run) == [("created", 1), ("open", 1), ("rejected", 1)]
    assert sorted(warehouse.run(NOT_TAKEN, *run)) == [
        ("invalid", "no_match_key", 1, "4714"),
        ("rejected", "MXDuplicateEntryException", 1, "4712"),
    ]
    assert warehouse.run(STILL_OPEN, run[0])[0][0] == 1


@pytest.mark.parametrize("database", ["on_sqlite", "on_postgres"])
def test_who_is_not_in_the_crm_is_named_with_state_and_reason_also_if_set_aside(
    request: pytest.FixtureRequest, database: str
):
    (statement,) = re.findall(r"<!-- statement: not_in_the_crm -->\n\n```sql\n(.*?)```", NIGHTLY, re.DOTALL)
    assert request.getfixturevalue(database).run(statement) == [
        (9, None, None),
        (4712, "rejected", "MXDuplicateEntryException"),
        (4714, "invalid", "no_match_key"),
    ]


@pytest.mark.parametrize("database", ["on_sqlite", "on_postgres"])
def test_pruning_keeps_what_the_memory_points_to(request: pytest.FixtureRequest, database: str):
    ledger: Database = request.getfixturevalue(database)
    (prune,) = [each.values[0] for each in STATEMENTS if str(each.values[0]).startswith("DELETE")]
    before = ledger.run("SELECT * FROM leadsquared_ledger_last ORDER BY row_key, dag_id")

    ledger.run(str(prune))

    assert ledger.run("SELECT * FROM leadsquared_ledger_last ORDER BY row_key, dag_id") == before
    old = ledger.run(
        "SELECT run_id, row_key FROM leadsquared_ledger WHERE written_at < '2025-10-01' ORDER BY run_id, row_key"
    )
    assert old == [
        *[("manual__2026-01-01", key) for key in ("4711", "4712", "4713")],  # of a sync that has had no other run
        ("scheduled__2026-01-01", "4713"),  # its request is still open
    ]


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(code, id=f"{page}, {number}")
        for page, text in PAGES.items()
        for number, code in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL), 1)
        if "with DAG(" in code and code.startswith("from ")
    ],
)
def test_dags_that_are_shown_can_be_parsed(code: str):
    if "DeadlineAlert" in code and not hasattr(airflow.sdk, "AsyncCallback"):
        pytest.skip("Airflow 3.1 has deadline alerts elsewhere")
    exec(code, {})  # noqa: S102 - our own words
