"""Each picture and table of figures has a command that makes it, and that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import figures

PROJECT = Path(__file__).parents[2]
TABLE = "# Speed\n\n| Way | ms |\n|---|---|\n| a | 1 |\n| b | 2 |\n| c | 3 |\n| d | 4 |\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a small repository in which every figure has its command."""
    for folder in ("docs/images", "benchmarks"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "benchmarks" / "speed.py").touch()
    (tmp_path / "docs" / "images" / "speed.svg").touch()
    (tmp_path / "Makefile").write_text("bench: setup\n")
    (tmp_path / "README.md").write_text("<!-- night: begin -->\nall is well\n<!-- night: end -->\n")
    (tmp_path / "docs" / "page.md").write_text(TABLE)
    (tmp_path / "docs" / "figures.toml").write_text(
        '[pictures]\n"python -m benchmarks.speed" = ["speed.svg"]\n'
        '[tables]\n"make bench" = ["README.md: night"]\n"python benchmarks/speed.py" = ["docs/page.md: Speed"]\n'
    )
    return tmp_path


def test_every_figure_of_the_documentation_has_a_command_that_is_there():
    assert figures.faults(PROJECT) == []


def test_figures_with_their_commands_are_in_order(project: Path):
    assert figures.faults(project) == []


def test_a_command_that_is_gone_is_named_with_what_it_makes_and_its_place(project: Path):
    (project / "benchmarks" / "speed.py").unlink()
    (project / "Makefile").write_text("")
    assert figures.faults(project) == [
        "docs/figures.toml:2: python -m benchmarks.speed, which makes speed.svg, is gone",
        "docs/figures.toml:4: make bench, which makes README.md: night, is gone",
        "docs/figures.toml:5: python benchmarks/speed.py, which makes docs/page.md: Speed, is gone",
    ]


def test_a_figure_without_a_command_is_named_with_its_place(project: Path):
    (project / "docs" / "images" / "new.png").touch()
    (project / "docs" / "page.md").write_text(TABLE + TABLE.replace("Speed", "Cost"))
    assert figures.faults(project) == [
        "docs/images/new.png:1: no command of new.png in docs/figures.toml",
        "docs/page.md:11: no command of docs/page.md: Cost in docs/figures.toml",
    ]


def test_a_figure_that_is_gone_is_named_where_its_command_stands(project: Path):
    (project / "docs" / "page.md").write_text("no table")
    assert figures.faults(project) == ["docs/figures.toml:5: there is no docs/page.md: Speed"]
