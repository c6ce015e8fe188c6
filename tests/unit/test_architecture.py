"""What docs/architecture.md says of the code is so: its paths, its state diagram, and the states it explains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_leadsquared.delivery.states import State
from docs import state_diagram

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "airflow_provider_leadsquared"
PAGE = (PROJECT / "docs" / "architecture.md").read_text()
WAYS = re.findall(r"^\| ([^|]+) \| (`.*) \|$", PAGE.partition("## To change X")[2].partition("## Glossary")[0], re.M)
PATHS = sorted({path for path in re.findall(r"`((?:\w+/)*\w+(?:/|\.py|\.sql))`", PAGE) if "architecture" not in path})


def test_the_state_diagram_is_the_tables():
    picture = state_diagram.PICTURE.read_text()
    assert picture == state_diagram.drawing(), "run: python docs/state_diagram.py --write"
    assert f"images/{state_diagram.PICTURE.name}" in PAGE


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


def test_every_state_is_in_the_diagram_and_is_reached():
    picture = state_diagram.PICTURE.read_text()
    assert {state for state in State if f">{state.value}</text>" not in picture} == set()
    assert {following for _, following in state_diagram.edges()} == set(State)
