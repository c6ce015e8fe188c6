"""A bare `make` tells what there is to make."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
MAKE = shutil.which("make")


@pytest.mark.skipif(MAKE is None, reason="needs make")
def test_a_bare_make_lists_every_target_with_what_it_does() -> None:
    output = subprocess.run([str(MAKE)], cwd=PROJECT, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own command
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    listed = re.findall(r"^make ([a-z-]+) +\S", output, re.MULTILINE)

    assert sorted(listed) == sorted(set(phony.split()) - {"help"})
    assert all(f"{option}=" in output for option in ("LEADS", "MAPPING", "KEEP", "ARGS", "ONLY", "PYTHON"))
