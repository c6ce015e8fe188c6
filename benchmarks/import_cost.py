"""
What importing this package adds to a DAG file, beside what Airflow's own import costs.

Each measurement is a fresh process; the two kinds take turns, so that a noisy machine slows both alike.

    python -m benchmarks.import_cost [--runs 7] [--write]

prints medians, and exits with 1 if the package adds more than 150 ms or loads a library that only running tasks need.
``--write`` writes the table into ``docs/performance.md``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from typing import Any

from benchmarks import page

LIMIT_MS = 150.0
#: Libraries that a DAG file must not pay for.
HEAVY = ("aiohttp", "jsonschema", "requests", "tenacity")

_AIRFLOW = "from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator, DAG, PokeReturnValue"
_OURS = "import " + ", ".join(
    f"airflow_provider_leadsquared.{module}"
    for module in (
        "operators.lead_capture",
        "sensors.lead_status",
        "transfers.csv_to_leadsquared",
        "transfers.sql_to_leadsquared",
    )
)
_PROBE = """
import json, sys, time
{airflow}
before = set(sys.modules)
start, cpu = time.perf_counter(), time.process_time()
{measured}
print(json.dumps({{
    "wall": (time.perf_counter() - start) * 1000,
    "cpu": (time.process_time() - cpu) * 1000,
    "added": sorted({{name.split(".")[0] for name in set(sys.modules) - before}}),
}}))
"""


def measure(before: str, measured: str) -> dict[str, Any]:
    """Run one fresh process and return wall and CPU milliseconds of ``measured``, and what it loaded."""
    probe = _PROBE.format(airflow=before, measured=measured)
    printed = subprocess.check_output([sys.executable, "-c", probe], text=True)
    result: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return result


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="processes of each kind (default %(default)s)")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    options = parser.parse_args()
    airflow, ours = [], []
    for _ in range(options.runs):
        airflow.append(measure("", _AIRFLOW))
        ours.append(measure(_AIRFLOW, _OURS))
    heavy = sorted(set(HEAVY) & {name for one in ours for name in one["added"]})
    added = statistics.median(one["wall"] for one in ours)
    verdict = added <= LIMIT_MS and not heavy
    goal = f"≤ {LIMIT_MS:g} ms, and none of {', '.join(HEAVY)}"
    rows = []
    for name, taken, cells in (
        ("`airflow.sdk`", airflow, ["", "", ""]),
        ("this package, on top", ours, [", ".join(heavy) or "none of them", goal, page.is_met(verdict)]),
    ):
        wall, cpu = (statistics.median(one[kind] for one in taken) for kind in ("wall", "cpu"))
        rows.append([name, f"{wall:,.0f} ms", f"{cpu:,.0f} ms", *cells])
    head = ["import", "wall", "CPU", "loaded beside it", "goal", "met"]
    conditions = page.conditions(f"python -m benchmarks.import_cost --runs {options.runs}")
    page.publish("import", f"{conditions}\n\n{page.table(head, rows)}", is_written=options.write)
    return int(not verdict)


if __name__ == "__main__":
    sys.exit(main())
