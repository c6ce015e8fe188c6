"""What the examples say of themselves, where no run shows it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import airflow.sdk
import pytest
import time_machine
from airflow.timetables.base import TimeRestriction

PROJECT = Path(__file__).parents[2]
#: Of 2 a.m. in India.
TWO_AT_NIGHT = datetime(2026, 1, 15, 20, 30, tzinfo=UTC)


def as_the_scheduler_has_it(timetable: Any) -> Any:
    """Store a timetable and read it again."""
    try:
        from airflow.serialization.decoders import decode_timetable
        from airflow.serialization.encoders import encode_timetable
    except ImportError:  # Airflow 3.1
        serialized: Any = import_module("airflow.serialization.serialized_objects")
        decode_timetable, encode_timetable = serialized.decode_timetable, serialized.encode_timetable
    return decode_timetable(encode_timetable(timetable))


@pytest.mark.parametrize("name", ["warehouse_to_leadsquared", "verdicts_by_seven"])
@pytest.mark.parametrize("since_two", [timedelta(minutes=1), timedelta(hours=2), timedelta(hours=12)], ids=str)
def test_switched_on_at_any_hour_a_nightly_example_waits_for_the_coming_night(name: str, since_two: timedelta):
    if name == "verdicts_by_seven" and not hasattr(airflow.sdk, "AsyncCallback"):
        pytest.skip("Airflow 3.1 has deadline alerts elsewhere")
    example = import_module(f"dags_examples.{name}")
    dag = next(value.dag for value in vars(example).values() if isinstance(value, airflow.sdk.BaseOperator))
    timetable = as_the_scheduler_has_it(dag.timetable)
    with time_machine.travel(TWO_AT_NIGHT + since_two, tick=False):
        night = timetable.next_dagrun_info(
            last_automated_data_interval=None, restriction=TimeRestriction(None, None, catchup=False)
        )
    assert night.run_after == TWO_AT_NIGHT + timedelta(days=1)


@pytest.mark.parametrize("name", sorted(path.stem for path in (PROJECT / "dags_examples").glob("*.py")))
def test_an_example_can_be_parsed(name: str):
    if name == "verdicts_by_seven" and not hasattr(airflow.sdk, "AsyncCallback"):
        pytest.skip("Airflow 3.1 has deadline alerts elsewhere")
    assert import_module(f"dags_examples.{name}")


def test_the_gallery_shows_every_example():
    page = (PROJECT / "docs" / "examples.md").read_text()
    files = {path.name for path in (PROJECT / "dags_examples").glob("*.py")}
    assert set(re.findall(r"literalinclude\} \.\./dags_examples/(\w+\.py)", page)) == files
    assert set(re.findall(r"^\| \[(\w+)\]\(#", page, re.MULTILINE)) == {Path(file).stem for file in files}


#: It is the whole nightly sync: preparation, mapping, report and parameters.
LONGER = {"warehouse_to_leadsquared.py"}


def test_examples_are_short():
    lines = {path.name: len(path.read_text().splitlines()) for path in (PROJECT / "dags_examples").glob("*.py")}
    assert {name for name, count in lines.items() if count > 80} == LONGER
