"""What docs/architecture.md says of the code is so: its paths, its state diagram, and the states it explains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_leadsquared.delivery.states import State
from docs.state_diagram import page_with_diagram

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "airflow_provider_leadsquared"
PAGE = (PROJECT / "docs" / "architecture.md").read_text()
WAYS = re.findall(r"^\| ([^|]+) \| (`.*) \|$", PAGE.partition("## To change X")[2].partition("## Glossary")[0], re.M)
PATHS = sorted({path for path in re.findall(r"`((?:\w+/)*\w+(?:/|\.py|\.sql))`", PAGE) if "architecture" not in path})


def test_the_state_diagram_is_the_tables():
    assert page_with_diagram(PAGE) == PAGE, "run: python docs/state_diagram.py --write"


@pytest.mark.parametrize("path", PATHS)
def test_every_path_on_the_page_exists(path: str):
    assert (PACKAGE / path).exists() or (PROJECT / path).exists()


def test_the_table_of_changes_leads_somewhere():
    assert len(WAYS) >= 20
    assert all(re.search(r"`[\w/]+(\.py|\.sql|/)`", where) for _, where in WAYS)


def test_every_folder_of_the_package_is_a_layer_on_the_page():
    layers = PAGE.partition("## Layers")[2].partition("##")[0]
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {name for name in folders if f"`{name}/`" not in layers} == set()


def test_every_verdict_is_in_the_diagram():
    assert {state for state in State if not re.search(rf"--> {state.value}\b", PAGE)} == set()
