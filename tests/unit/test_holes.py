"""The patches in tests/holes, the table of them, and the command that checks them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.holes.check import PAGE, PROJECT, Hole, PatchError, check, holes, page_with_table


def test_the_table_of_holes_is_the_patches():
    page = PAGE.read_text(encoding="utf-8")
    assert page_with_table(page, holes()) == page, "run: python -m tests.holes.check --write"


def test_every_test_that_a_patch_names_exists():
    missing = []
    for hole in holes():
        for test in hole.tests:
            file, _, function = test.partition("::")
            path = PROJECT / file
            if not path.is_file() or f"def {function.partition('[')[0]}(" not in path.read_text(encoding="utf-8"):
                missing.append(f"{hole.name}: {test}")
    assert missing == []


def test_no_patch_changes_a_test():
    assert [hole.name for hole in holes() if any(path.startswith("tests/") for path in hole.changed)] == []


def test_every_patch_changes_files_that_exist():
    missing = [(hole.name, path) for hole in holes() for path in hole.changed if not (PROJECT / path).is_file()]
    assert missing == []


# --- the command --------------------------------------------------------------------------------------------------

CODE = "def f():\n    return 1\n"
TESTS = """
import pytest
import code_under_test

@pytest.mark.parametrize("number", [1, 2])
def test_good(number): assert code_under_test.f() * number == number
def test_blind(): pass
def test_red(): assert False
@pytest.fixture
def before(): assert code_under_test.f() == 1
def test_setup(before): pass
@pytest.fixture
def after():
    yield
    assert code_under_test.f() == 1
def test_teardown(after): pass
def test_skipped(): pytest.skip("no server")
@pytest.mark.mariadb
def test_marked(): assert code_under_test.f() == 1
"""
GOOD, BLIND, RED, SETUP, TEARDOWN, SKIPPED, MARKED, GONE = (
    f"test_x.py::test_{name}" for name in ("good", "blind", "red", "setup", "teardown", "skipped", "marked", "gone")
)


def diff(new: str, old: str = "return 1") -> str:
    """Return a diff of the code under test."""
    name = "code_under_test.py"
    head = f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n"
    return f"{head}@@ -1,2 +1,2 @@\n def f():\n-    {old}\n+    {new}\n"


def write_hole(folder: Path, name: str, *tests: str, change: str, header: str = "Point: it breaks\n") -> Path:
    """Write a patch file."""
    path = folder / f"{name}.patch"
    path.write_text(header + "".join(f"Test: {test}\n" for test in tests) + f"---\n{change}")
    return path


#: Holes by name: the named tests, what is planted, and what is wrong with them.
HOLES: dict[str, tuple[tuple[str, ...], str, str | None]] = {
    "noticed": ((GOOD,), diff("return 2"), None),
    "noticed-with-one-parameter": ((GOOD + "[2]",), diff("return 2"), None),
    "noticed-by-a-fixture-afterwards": ((TEARDOWN,), diff("return 2"), None),
    "blind": ((GOOD, BLIND), diff("return 2"), f"not noticed by {BLIND} (passed)"),
    "harmless": ((GOOD,), diff("return 1 + 0"), f"not noticed by {GOOD} (passed)"),
    "error-before-the-test": ((SETUP,), diff("return 2"), f"not noticed by {SETUP} (error)"),
    "broken-import": ((GOOD,), diff("return ("), "test_x.py cannot be imported with the patch"),
    "stale": ((GOOD,), diff("return 2", old="return 3"), "the patch does not apply"),
    "red": ((RED,), diff("return 2"), f"{RED} does not pass without the patch"),
    "skipped": ((SKIPPED,), diff("return 2"), f"{SKIPPED} does not pass without the patch"),
    "left-out": ((MARKED,), diff("return 2"), f"{MARKED} is not found without the patch"),
    "gone": ((GONE,), diff("return 2"), f"{GONE} is not found without the patch"),
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """Check all holes of a small project, once."""
    folder = tmp_path_factory.mktemp("holes")
    project = folder / "project"
    helper = project / "tests" / "holes" / "outcomes.py"
    helper.parent.mkdir(parents=True)
    text = (PROJECT / "tests" / "holes" / "outcomes.py").read_text(encoding="utf-8")
    # The small project needs no libraries.
    helper.write_text(re.sub(r"LIBRARIES = \([^)]*\)", "LIBRARIES = ()", text), encoding="utf-8")
    (project / "code_under_test.py").write_text(CODE)
    (project / "test_x.py").write_text(TESTS)
    (project / "pytest.ini").write_text("[pytest]\naddopts = -m 'not mariadb'\nmarkers = mariadb\n")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)  # noqa: S607 - whichever git is there
    found = [Hole.read(write_hole(folder, name, *tests, change=change)) for name, (tests, change, _) in HOLES.items()]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        return Checked(project, check(found, project))


def test_a_patch_may_need_tests_that_are_left_out_by_default(checked: Checked, tmp_path: Path):
    header = "Point: it breaks\nNeeds: mariadb\n"
    found = [Hole.read(write_hole(tmp_path, "marked", MARKED, change=diff("return 2"), header=header))]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        assert check(found, checked.project) == {}


@dataclass(frozen=True)
class Checked:
    """The small project, and what was wrong with its holes."""

    project: Path
    wrong: dict[str, str]


@pytest.mark.parametrize("name", HOLES)
def test_what_is_wrong_with_a_hole_is_found(checked: Checked, name: str):
    assert checked.wrong.get(name) == HOLES[name][2]


def test_the_project_itself_is_left_as_it_is(checked: Checked):
    assert (checked.project / "code_under_test.py").read_text() == CODE


@pytest.mark.parametrize(
    ("header", "tests", "change"),
    [
        ("", (GOOD,), diff("return 2")),
        ("Point: it breaks\n", (), diff("return 2")),
        ("Point: it breaks\nPoint: twice\n", (GOOD,), diff("return 2")),
        ("Point: it breaks\nAuthor: me\n", (GOOD,), diff("return 2")),
        ("Point: it breaks\nNeeds: x\nNeeds: y\n", (GOOD,), diff("return 2")),
        ("Point: it breaks\n", (GOOD,), "nothing"),
    ],
)
def test_a_patch_without_its_header_or_diff_is_refused(tmp_path, header, tests, change):
    with pytest.raises(PatchError, match=r"bad\.patch: (the header must|after the header)"):
        Hole.read(write_hole(tmp_path, "bad", *tests, change=change, header=header))


def test_patches_are_chosen_by_name(tmp_path):
    for name in ("a", "b", "other"):
        write_hole(tmp_path, name, GOOD, change=diff("return 2"))
    assert [found.name for found in holes(["a", "o*"], tmp_path)] == ["a", "other"]


def test_a_name_that_fits_no_patch_is_an_error(tmp_path):
    with pytest.raises(PatchError, match="no patch is called x"):
        holes(["x"], tmp_path)
