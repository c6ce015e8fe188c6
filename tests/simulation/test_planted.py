"""The list of planted faults is whole: each patch is looked for, or there is a reason why not."""

from __future__ import annotations

from fnmatch import fnmatchcase

from tests.simulation import holes
from tests.simulation.not_simulated import NOT_CONCERNED, NOT_SHOWN

PAGE = holes.PAGE.read_text(encoding="utf-8")
LINES = [line for line in PAGE.splitlines() if line.startswith("| `")]


def test_every_reason_is_of_a_patch_that_exists():
    names = {hole.name for hole in holes.every_hole()}
    assert not NOT_SHOWN.keys() - names
    assert all(any(fnmatchcase(name, pattern) for name in names) for pattern in NOT_CONCERNED)
    assert all(holes.is_concerned(name) for name in NOT_SHOWN)


def test_every_line_of_the_table_is_of_a_patch_that_exists_as_it_is():
    points = {hole.name: hole.point for hole in holes.holes()}
    for line in LINES:
        name, point, *_ = line.removeprefix("| ").split(" | ")
        assert points.get(name.strip("`")) == point


def test_a_line_is_written_anew_and_the_others_stay():
    first, second = holes.holes()[:2]
    page = f"before\n{holes.BEGIN}\n{holes.END}\nafter"
    page = holes.written(page, [holes.Result(one, "A1", "7", "50").line() for one in (first, second)])
    page = holes.written(page, [holes.Result(first, "A2", "9", "60").line()])
    assert [line.split(" | ")[-3:] for line in page.splitlines() if line.startswith("| `")] == [
        ["in doubt", "9", "60 |"],
        ["in doubt", "7", "50 |"],
    ]
    assert page.startswith("before\n")
    assert page.endswith("\nafter")
