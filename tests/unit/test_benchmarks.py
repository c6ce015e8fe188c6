"""What the benchmarks share is right, and each finds what it is to measure."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.__main__ import PARTS
from benchmarks.ledger_nights import Statements, year

PERFORMANCE = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()


def test_a_benchmark_writes_between_its_own_comments_alone(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("above <!-- a: begin -->old<!-- a: end --> <!-- b: begin -->kept<!-- b: end -->")

    page.publish("a", "new", is_written=True, page=file)

    assert file.read_text() == "above <!-- a: begin -->\n\nnew\n\n<!-- a: end --> <!-- b: begin -->kept<!-- b: end -->"


@pytest.mark.parametrize("name", PARTS)
def test_each_part_has_its_place_in_the_page(name: str) -> None:
    assert PERFORMANCE.count(f"<!-- {name}: begin -->") == PERFORMANCE.count(f"<!-- {name}: end -->") == 1


def test_a_simulated_night_sends_what_has_changed(tmp_path: Path) -> None:
    with Statements() as statements:
        seconds, _, lines = year(lambda: sqlite3.connect(tmp_path / "l.db"), 20, 2, statements, is_pruned=False)

    assert (len(seconds), lines) == (2, 22)
