"""The notifier: what it says, who sends it, and that no target can hurt a task."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import structlog
from airflow.sdk import BaseNotifier

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsUnsent
from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.ledgers.sql import SqlLedger
from airflow_provider_leadsquared.notifications.leadsquared import LeadSquaredNotifier
from airflow_provider_leadsquared.tasks.alerts import Alert

RUN = RunOfTask("nightly", "n1", "sync")
ERROR = LeadsNotDelivered(
    "3 of 100 rows were set aside",
    counts={"read": 100, "created": 97, "rejected": 2, "invalid": 1},
    reasons={"invalid: no_match_key": 1, "rejected: MXDuplicateEntryException": 2},
    examples=["4711", "4712", "4713"],
)


class Chat(BaseNotifier):
    """A notifier as others write them: a text that is a template, sent synchronously."""

    template_fields = ("text",)
    sent: ClassVar[list[str]] = []

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def notify(self, context: Any) -> None:
        self.sent.append(self.text)


class AsyncChat(Chat):
    async def async_notify(self, context: Any) -> None:
        self.sent.append(f"async {self.text}")


class Away(Chat):
    def notify(self, context: Any) -> None:
        raise ConnectionError("https://chat.example/token-of-the-channel")


@pytest.fixture(autouse=True)
def nothing_sent() -> None:
    Chat.sent.clear()


def ti(output: Any = None) -> Any:
    fields = {"dag_id": "nightly", "run_id": "n1", "task_id": "sync", "map_index": -1}
    return SimpleNamespace(**fields, xcom_pull=lambda **_: output)


def context(error: BaseException | None = ERROR, output: Any = None) -> Any:
    """Return what a task's own process hands to a callback: the error is there, if only as None."""
    return {"ti": ti(output), "exception": error}


def alert_by(notifier: Any = None, **of: Any) -> Alert:
    """Return the alert that a notifier hands over."""
    alerts: list[Alert] = []
    LeadSquaredNotifier(to=alerts.append, **of).notify(notifier or context())
    [alert] = alerts
    return alert


# --- what it says -------------------------------------------------------------------------------------------------


def test_the_text_says_what_failed_how_many_which_and_what_to_do():
    assert alert_by().text.splitlines() == [
        "LeadSquared: nightly.sync failed (run n1)",
        "Rows: read 100, created 97, rejected 2, invalid 1",
        "Error: 3 of 100 rows were set aside",
        "- 2 rejected: MXDuplicateEntryException",
        "- 1 invalid: no_match_key",
        "Such as: 4711, 4712, 4713",
        "Next: another lead has this e-mail or phone: merge the two in the CRM, then replay the row",
        "Next: correct the row in the source; the next run sends it",
    ]


def test_the_counts_are_there_for_programs():
    found = alert_by().as_dict()
    assert found["counts"] == {"read": 100, "created": 97, "rejected": 2, "invalid": 1}
    assert found["reasons"] == {"rejected: MXDuplicateEntryException": 2, "invalid: no_match_key": 1}
    assert found["examples"] == ["4711", "4712", "4713"]


def test_a_task_that_ended_well_is_counted_by_its_output():
    alert = alert_by(context(None, {"counts": {"read": 2, "created": 2}}))
    assert alert.text == "LeadSquared: nightly.sync succeeded (run n1)\nRows: read 2, created 2"


@pytest.mark.parametrize("output", [None, [], {}, {"counts": 3}])
def test_an_output_without_counts_makes_an_alert_without_them(output):
    assert alert_by(context(None, output)).counts == {}


def test_an_xcom_that_cannot_be_read_makes_an_alert_without_counts():
    given = context(None)
    given["ti"].xcom_pull = lambda **_: 1 / 0
    assert alert_by(given).counts == {}


def test_an_error_of_others_is_named_by_its_class_only():
    alert = alert_by(context(ConnectionError("https://x.example/?secretKey=abc")))
    assert alert.error == "ConnectionError"


def test_the_title_may_be_the_authors_and_a_template():
    alerts: list[Alert] = []
    LeadSquaredNotifier(to=alerts.append, title="Leads of {{ ti.dag_id }}")({**context(), "dag": None})
    assert alerts[0].title == "Leads of nightly"


# --- a run, by its ledger -----------------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path, monkeypatch) -> SqlLedger:
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", f'{{"conn_type": "sqlite", "host": "{path}"}}')
    opened = SqlLedger(Database(partial(sqlite3.connect, path), table="leadsquared_ledger"), run=RUN, clock=lambda: 1.0)
    opened.claim("try")
    opened.write(
        [
            Entry(0, State.REJECTED, "4711", "a", reason_class="MXDuplicateEntryException", request_id="r1"),
            Entry(1, State.OPEN, "4712", "b", request_id="r2"),
            Entry(2, State.WAITING, "4713", "c", reason_class="OtherRun"),
        ]
    )
    return opened


@pytest.mark.parametrize(
    "run",
    [
        {"dag_id": "nightly", "run_id": "n1"},
        {"dag_id": "nightly", "dag_run_id": "n1"},
        SimpleNamespace(dag_id="nightly", run_id="n1"),
    ],
)
def test_a_deadlines_alert_is_counted_by_the_ledger(ledger, run):
    alert = alert_by({"dag_run": run}, ledger_conn_id="ledger")
    assert alert.title == "LeadSquared: nightly needs attention (run n1)"
    assert alert.counts == {"waiting": 1, "open": 1, "rejected": 1}
    assert (alert.reasons, alert.examples) == ({"rejected: MXDuplicateEntryException": 1}, ["4711"])


#: What Airflow's DAG processor hands to a callback: there is no error.
DAG = SimpleNamespace(dag_id="nightly")
FROM_OUTSIDE: dict[str, tuple[Any, str]] = {
    "task_ended": ({"ti": ti(), "dag": DAG}, "nightly.sync was ended from outside"),
    "dag_failed": ({"dag": DAG, "ti": ti(), "run_id": "n1", "reason": "task_failure"}, "nightly failed: task_failure"),
    "dag_timed_out": ({"dag": DAG, "run_id": "n1", "reason": "timed_out"}, "nightly failed: timed_out"),
    "dag_succeeded": ({"dag": DAG, "run_id": "n1", "reason": "success"}, "nightly succeeded"),
}


@pytest.mark.parametrize(("given", "title"), FROM_OUTSIDE.values(), ids=FROM_OUTSIDE)
def test_a_callback_without_an_error_says_what_airflow_knows_and_counts_by_the_ledger(ledger, given, title):
    alert = alert_by(given, ledger_conn_id="ledger")
    assert alert.title == f"LeadSquared: {title} (run n1)"
    assert alert.counts == {"waiting": 1, "open": 1, "rejected": 1}


def test_a_run_that_the_ledger_does_not_know_is_told_so(ledger):
    alert = alert_by({"dag_run": {"dag_id": "nightly", "run_id": "n9"}}, ledger_conn_id="ledger")
    assert alert.error == "the ledger does not know this run: nothing was sent yet"


def test_without_a_ledger_the_alert_has_a_title_only():
    alert = alert_by({"dag_run": {"dag_id": "nightly", "run_id": "n1"}})
    assert alert.text == "LeadSquared: nightly needs attention (run n1)"


@pytest.mark.parametrize(("conn_id", "shown"), [("no_such", "NotFound"), ("empty", "there is no ledger table")])
def test_a_ledger_that_cannot_be_read_is_said_and_the_alert_is_sent(monkeypatch, tmp_path, conn_id, shown):
    monkeypatch.setenv("AIRFLOW_CONN_EMPTY", f'{{"conn_type": "sqlite", "host": "{tmp_path}/empty.db"}}')
    alert = alert_by({"dag_run": {"dag_id": "nightly", "run_id": "n1"}}, ledger_conn_id=conn_id)
    assert alert.title == "LeadSquared: nightly needs attention (run n1)"
    assert shown in str(alert.error)


# --- who sends it -------------------------------------------------------------------------------------------------

TEXT = "{{ leadsquared.counts.rejected }} of {{ leadsquared.counts.read }}: {{ leadsquared.title }}"
SENT = "2 of 100: LeadSquared: nightly.sync failed (run n1)"


def make_chat(alert: Alert) -> BaseNotifier:
    return Chat(alert.title)


async def make_chat_async(alert: Alert) -> BaseNotifier:
    return Chat(alert.title)


async def send_async(alert: Alert) -> None:
    Chat.sent.append(f"awaited {alert.title}")


PATH = f"{__name__}.make_chat"


def notify(notifier: LeadSquaredNotifier, *, is_async: bool, given: Any = None) -> None:
    given = given or context()
    asyncio.run(notifier.async_notify(given)) if is_async else notifier.notify(given)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("target", "sent"),
    [
        (Chat(TEXT), SENT),
        (make_chat, "LeadSquared: nightly.sync failed (run n1)"),
        (make_chat_async, "LeadSquared: nightly.sync failed (run n1)"),
        (send_async, "awaited LeadSquared: nightly.sync failed (run n1)"),
        (lambda alert: Chat.sent.append(alert.title), "LeadSquared: nightly.sync failed (run n1)"),
    ],
)
def test_notifiers_and_functions_send_it(target, sent, is_async):
    notify(LeadSquaredNotifier(to=target), is_async=is_async)
    assert Chat.sent == [sent]


@pytest.mark.parametrize("is_async", [False, True])
def test_the_import_path_of_a_function_will_do(monkeypatch, is_async):
    import sys
    from types import ModuleType

    module = ModuleType("alerts_of_the_author")
    module.make_chat = make_chat  # type: ignore[attr-defined]  # set on a module made here
    monkeypatch.setitem(sys.modules, module.__name__, module)
    notify(LeadSquaredNotifier(to="alerts_of_the_author.make_chat"), is_async=is_async)
    assert Chat.sent == ["LeadSquared: nightly.sync failed (run n1)"]


def test_a_notifier_that_can_send_asynchronously_does_so_in_a_triggerer():
    notify(LeadSquaredNotifier(to=AsyncChat("{{ leadsquared.title }}")), is_async=True)
    assert Chat.sent == ["async LeadSquared: nightly.sync failed (run n1)"]


def test_a_notifier_sends_each_alert_with_its_own_text():
    notifier = LeadSquaredNotifier(to=Chat(TEXT))
    other = LeadsUnsent("away", counts={"read": 5, "rejected": 1})
    for error in (ERROR, other):
        notifier.notify(context(error))
    assert Chat.sent == [SENT, "1 of 5: LeadSquared: nightly.sync failed (run n1)"]


def test_it_can_be_awaited_with_a_context_as_a_deadline_does(ledger):
    given: Any = {"dag_run": {"dag_id": "nightly", "run_id": "n1"}}

    async def wait() -> None:
        await LeadSquaredNotifier(to=make_chat, ledger_conn_id="ledger", context=given)

    asyncio.run(wait())
    assert Chat.sent == ["LeadSquared: nightly needs attention (run n1)"]


# --- a target that is away ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "away",
    [Away("x"), lambda alert: 1 / 0, lambda alert: Away("x"), "no.such.module", Chat("{{ no_such.thing.at_all }}")],
)
def test_a_target_that_is_away_is_logged_and_the_others_send(away, is_async, caplog):
    with caplog.at_level(logging.ERROR):
        notify(LeadSquaredNotifier(to=[away, make_chat]), is_async=is_async)
    assert Chat.sent == ["LeadSquared: nightly.sync failed (run n1)"]


@pytest.mark.parametrize("is_async", [False, True])
def test_without_a_target_the_alert_is_in_the_log(is_async):
    with structlog.testing.capture_logs() as logged:
        notify(LeadSquaredNotifier(), is_async=is_async)
    assert [one["event"] % one.get("positional_args", ()) for one in logged] == [alert_by().text]


@pytest.mark.parametrize("to", [None, 3, [3]])
def test_what_is_no_target_is_refused(to):
    with pytest.raises(ValueError, match="to must be"):
        LeadSquaredNotifier(to=to)
