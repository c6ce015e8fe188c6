"""The tables of tested versions: their releases are the project's, and what they say comes from a run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]


def _loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where dataclasses search for types
    spec.loader.exec_module(module)
    return module


matrix = _loaded(PROJECT / ".ci" / "matrix.py")
RESULTS = {
    "3.1.8-3.11": matrix.Result(6_327, 0, "2026-01-31", 40, 2, "1a2b3c4", 12, 3),
    "3.2.2-3.12": matrix.Result(6_300, 1, "2026-02-01"),
}


def pins_of(path: Path) -> dict[str, str]:
    return {pin.name: str(pin.specifier) for pin in map(Requirement, path.read_text().splitlines())}


def test_the_oldest_release_is_the_floor_and_the_newest_is_what_setup_installs():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert f"apache-airflow>={list(matrix.RELEASES)[0]}" in project["dependencies"]
    assert pins_of(PROJECT / "constraints.txt")["apache-airflow"] == f"=={list(matrix.RELEASES)[-1]}"
    pythons = {name for name in matrix.PYTHONS if f"Programming Language :: Python :: {name}" in project["classifiers"]}
    assert pythons == set(matrix.PYTHONS)


@pytest.mark.parametrize("airflow", matrix.RELEASES)
def test_each_release_is_pinned_with_all_that_it_needs_and_no_index(airflow: str):
    path = matrix.constraints_of(airflow)
    assert pins_of(path)["apache-airflow"] == f"=={airflow}"
    assert all(specifier.startswith("==") for specifier in pins_of(path).values())
    assert "://" not in path.read_text()


def test_the_page_has_a_line_for_each_combination_and_says_what_was_not_run():
    lines = matrix.long_table(RESULTS).splitlines()[2:]
    assert len(lines) == len(matrix.COMBINATIONS)
    assert (
        "| 3.1.8 | 3.11 | 6,327 passed, 12 skipped | 40 passed, **2 failed**, 3 skipped | 1a2b3c4 | 2026-01-31 |"
        in lines
    )
    assert "| 3.2.2 | 3.12 | 6,300 passed, **1 failed** | – | – | 2026-02-01 |" in lines
    assert "| 3.3.2 | 3.13 | not run | – | – | – |" in lines


def test_the_readme_has_a_cell_for_each_combination():
    assert "| Airflow 3.1.8 | 6,367 passed, **2 failed**, 15 skipped | not run | not run |" in matrix.short_table(
        RESULTS
    )


def test_the_readme_says_when_and_on_what_it_was_run():
    assert matrix.short_table(RESULTS).endswith("\n\nRun on 2026-01-31 and 2026-02-01, at commit 1a2b3c4.")


def test_a_run_names_the_commit_and_whether_files_have_changed_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        ended = subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True)  # noqa: S603, S607 - our own command
        return ended.stdout.strip()

    git("init")
    (tmp_path / "code.py").write_text("1")
    git("add", ".")
    git("commit", "-m", "one")
    monkeypatch.setattr(matrix, "PROJECT", tmp_path)
    head = git("rev-parse", "--short=7", "HEAD")
    assert matrix._commit() == head

    (tmp_path / "code.py").write_text("2")
    assert matrix._commit() == f"{head}+"


def test_what_a_page_says_can_be_read_again():
    assert matrix.parsed(matrix.with_table(f"x {matrix.BEGIN} y {matrix.END} z", matrix.long_table(RESULTS))) == RESULTS


def test_the_readme_says_what_the_page_says():
    page, readme = (PROJECT / "docs" / "versions.md").read_text(), (PROJECT / "README.md").read_text()
    assert readme == matrix.with_table(readme, matrix.short_table(matrix.parsed(page)))
    assert page == matrix.with_table(page, matrix.long_table(matrix.parsed(page)))


def test_a_run_counts_what_passed_what_failed_and_what_was_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "test_three.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert False\n@pytest.mark.skip\ndef test_c(): pass\n"
    )
    monkeypatch.setattr(matrix, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(matrix, "_OPTIONS", ("-p", "no:cacheprovider", "--noconftest", "-p", "no:xdist", "-c/dev/null"))
    assert matrix._test(sys.executable, [str(tmp_path / "test_three.py")]) == (1, 1, 1)
