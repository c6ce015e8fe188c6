"""What the parsing of a DAG file imports: not what only a task needs that runs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import airflow_provider_leadsquared

PACKAGE = Path(airflow_provider_leadsquared.__file__).parent
NAME = "airflow_provider_leadsquared"
#: What a DAG file may import.
PUBLIC = [
    ".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts))
    for folder in ("operators", "sensors", "transfers")
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


def test_parsing_a_dag_file_imports_no_module_that_needs_sqlalchemy() -> None:
    """Airflow may import SQLAlchemy itself; the package's own part of it is for tasks that open a ledger."""
    script = f"import sys, {', '.join(PUBLIC)}; print(*[name for name in sys.modules if name.startswith({NAME!r})])"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603
    imported = set(output.stdout.splitlines()[-1].split())
    needing = {
        ".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in PACKAGE.rglob("*.py")
        if _is_at_the_top(path, "sqlalchemy")
    }
    assert {f"{NAME}.ledgers.database", f"{NAME}.ledgers.sql"} <= needing
    assert set(PUBLIC) <= imported
    assert imported & needing == set()
