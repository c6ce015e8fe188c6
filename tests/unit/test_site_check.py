"""What `make docs` checks after the site was built."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

CHECK: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "check_site.py"))
NAMES = sorted({name for name, _ in CHECK["public_names"]()})


def site(folder: Path, names: list[str]) -> Path:
    (folder / "page.html").write_text(
        f"<html><head><title>x</title></head><body><p>{' '.join(names)}</p></body></html>"
    )
    return folder


def test_a_site_that_names_everything_is_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert (CHECK["main"](site(tmp_path, NAMES)), capsys.readouterr().err) == (0, "")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("close_after", "argument of airflow_provider_leadsquared.sensors.lead_status.LeadStatusSensor"),
        ("superseded", "state"),
        ("StagingError", "error"),
        ("merged_read", "switch of the sandbox"),
        ("row_in_run", "column of leadsquared_ledger_rejects"),
    ],
)
def test_a_name_that_no_page_has_is_reported_with_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, what: str
):
    assert CHECK["main"](site(tmp_path, [one for one in NAMES if one != name])) == 1
    assert f"no page of the site names {name} ({what})" in capsys.readouterr().err


def test_the_source_code_that_the_site_shows_names_nothing(tmp_path: Path):
    (tmp_path / "_modules").mkdir()
    site(tmp_path / "_modules", NAMES)
    assert CHECK["words_of"](tmp_path) == set()
