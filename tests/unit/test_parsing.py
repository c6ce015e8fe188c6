"""What the parsing of a DAG file imports: not what only a task needs that runs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_leadsquared

PACKAGE = Path(airflow_provider_leadsquared.__file__).parent
NAME = "airflow_provider_leadsquared"
#: What a DAG file may import.
PUBLIC = [
    ".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts))
    for folder in ("operators", "sensors", "transfers", "notifications")
    for path in sorted((PACKAGE / folder).glob("[a-z]*.py"))
] + [f"{NAME}.assets", f"{NAME}.exceptions"]


def _is_at_the_top(path: Path, library: str) -> bool:
    """Tell whether a file imports a library when it is imported itself."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == library for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == library:
            return True
    return False


#: What a DAG file of others imports: a part of Airflow comes only when it is used.
OTHERS = """
from airflow.sdk import DAG, BaseOperator
with DAG("before"):
    BaseOperator(task_id="a").output
    BaseOperator.partial(task_id="b").expand(doc=["one"])
"""
#: What builds every operator, with arguments of all kinds that are checked.
BUILD = """
from airflow.sdk import DAG
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.transfers.csv_to_leadsquared import CsvToLeadSquaredOperator
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator
checked = dict(
    mapping={"email": ["EmailAddress", "lower"]}, constants={"Source": "x"}, policies={"too_long": "warn"},
    replay={"since": "2026-01-01"}, lead_update_behavior="DoNotUpdate", row_key="id", allowed_rejects="0.1",
)
with DAG("night"):
    capture = LeadCaptureOperator(task_id="a", leads=[{"EmailAddress": "a@example.org"}], row_key="id")
    CsvToLeadSquaredOperator(task_id="b", path="leads.csv", ledger_conn_id="warehouse", **checked)
    SqlToLeadSquaredOperator.partial(task_id="c", conn_id="warehouse", **checked).expand(sql=["SELECT 1"])
    LeadStatusSensor(task_id="d", request_ids=capture.output, allowed_rejects=0.1)
"""
#: Libraries that only a task needs that runs.
HEAVY = {"aiohttp", "jsonschema", "requests", "tenacity"}


@pytest.fixture(scope="module")
def parsed() -> tuple[set[str], set[str]]:
    """Return which modules a DAG file imports, and which are imported when it builds its operators."""
    script = (
        f"import sys, {', '.join(PUBLIC)}\n{OTHERS}\nimported = set(sys.modules)\n{BUILD}\n"
        "print(*imported)\nprint(*set(sys.modules) - imported)"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603 - our own script
    imported, built = output.stdout.splitlines()[-2:]
    return set(imported.split()), set(built.split())


def test_parsing_a_dag_file_imports_no_module_that_needs_sqlalchemy(parsed: tuple[set[str], set[str]]) -> None:
    """Airflow may import SQLAlchemy itself; the package's own part of it is for tasks that open a ledger."""
    imported, built = parsed
    needing = {
        ".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in PACKAGE.rglob("*.py")
        if _is_at_the_top(path, "sqlalchemy")
    }
    assert {f"{NAME}.ledgers.database", f"{NAME}.ledgers.sql"} <= needing
    assert set(PUBLIC) <= imported
    assert (imported | built) & needing == set()


def test_the_checks_of_arguments_import_nothing(parsed: tuple[set[str], set[str]]) -> None:
    _, built = parsed
    assert {name for name in built if name.split(".")[0] in {NAME, *HEAVY}} == set()
