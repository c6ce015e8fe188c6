"""
What it costs to hold a lead against the account's field metadata before it is sent.

Rows that break no rule are checked, of fields of every data type by turns; the figure is the fastest of several
rounds, since all that another process can do is to slow one down. Run it with

    python benchmarks/field_rules.py [--values 20000] [--rounds 7]

exits with 1 if a field costs more than 8 µs.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

LIMIT_US = 8.0
FIELDS_A_ROW = (10, 40, 200)
#: A data type, what else its metadata says, and a value that it takes.
KINDS: tuple[tuple[str, dict[str, Any], Any], ...] = (
    ("Text", {"max_length": 200}, "Pune, near the old bridge"),
    ("Number", {"max_length": 20}, "125000.50"),
    ("Email", {"max_length": 200}, "meera.iyer@example.org"),
    ("Phone", {"max_length": 10, "min_length": 10}, "+91-9000000001"),
    ("Date", {}, "2026-01-02 03:04:05"),
    ("Time", {}, "03:04:05"),
    ("Boolean", {}, "true"),
    ("Website", {"max_length": 200}, "https://example.org/a/page"),
    ("Select", {"options": tuple(f"Plan {number}" for number in range(400))}, "Plan 399"),
    ("CustomObject", {}, {"Status": "Pending"}),
)


def cost(width: int, values: int, rounds: int) -> float:
    """Return microseconds per field of rows with so many fields."""
    from airflow_provider_leadsquared.api.field_rules import FieldRules
    from airflow_provider_leadsquared.api.responses import LeadField

    fields, row = [], {}
    for number in range(width):
        data_type, facts, value = KINDS[number % len(KINDS)]
        name = f"mx_Field_{number}"
        plain = LeadField(name, name, data_type, "", number % 5 == 0, None, 0, False, ())
        fields.append(replace(plain, **facts))
        row[name] = value
    rules = FieldRules(fields)
    if rules.breaches(row):
        raise RuntimeError("the row was to break no rule")
    count = max(1, values // width)
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(count):
            rules.breaches(row)
        taken.append(time.perf_counter() - started)
    return min(taken) / count / width * 1e6


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--values", type=int, default=20_000, help="values checked a round (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds (default %(default)s)")
    options = parser.parse_args()
    costs = {width: cost(width, options.values, options.rounds) for width in FIELDS_A_ROW}
    for width, each in costs.items():
        print(f"rows of {width:3} fields: {each:5.2f} µs a field")
    return int(max(costs.values()) > LIMIT_US)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    sys.exit(main())
