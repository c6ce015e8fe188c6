"""What `make docs` checks after the site was built."""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

# Environments that build no site, as that of the oldest dependencies, have no Sphinx.
pytest.importorskip("sphinx", reason="the site is built and checked where the extra docs is installed")
from sphinx.search.en import SearchEnglish

from docs import public_names, site_check

ALL = list(public_names.public_names())
NAMES = sorted({one.name for one in ALL})
STOP_WORDS = {"to", "into", "out"}


def site(folder: Path, names: list[str], entries: AbstractSet[str] = frozenset(STOP_WORDS | {"--out"})) -> Path:
    """Build a site of one page that has these names, as Sphinx does."""
    (folder / "_static").mkdir()
    (folder / "_static" / "language_data.js").write_text(
        f"const stopwords = new Set({json.dumps(sorted(STOP_WORDS))});"
    )
    (folder / "page.html").write_text(f"<body><nav>merged_read</nav><article>{' '.join(names)}</article></body>")
    language = SearchEnglish({})
    index = {
        "docnames": ["page"],
        "terms": {language.stem(word): 0 for name in names for word in language.split(name)},
        "titleterms": {},
        "indexentries": {entry: [[0, "there", True]] for entry in entries},
    }
    (folder / "searchindex.js").write_text(f"Search.setIndex({json.dumps(index)})")
    return folder


def test_a_site_that_names_everything_is_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert (site_check.main(site(tmp_path, NAMES)), capsys.readouterr().err) == (0, "")


@pytest.mark.parametrize(
    ("name", "what", "file"),
    [
        ("close_after", "argument of airflow_provider_leadsquared.sensors.lead_status.LeadStatusSensor", "sensors/"),
        ("hash_row_keys", "argument of airflow_provider_leadsquared.transfers.csv_to_leadsquared", "transfers/"),
        ("superseded", "state", "delivery/states.py"),
        ("StagingError", "error", "sync/"),
        ("merged_read", "switch of the sandbox", "sandbox/settings.py"),
        ("row_in_run", "column of leadsquared_ledger_rejects", "ledgers/schema.py"),
        ("--ledger-table", "option of the command explain", "cli/commands.py"),
        ("ledgers", "setting of Airflow", "get_provider_info.py"),
    ],
)
def test_a_name_that_no_page_has_is_reported_with_what_it_is_and_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, what: str, file: str
):
    assert site_check.main(site(tmp_path, [one for one in NAMES if one != name])) == 1
    (line, *_) = [one for one in capsys.readouterr().err.splitlines() if f"names {name} ({what}" in one]
    assert line.startswith(f"airflow_provider_leadsquared/{file}")


def test_a_word_that_the_search_leaves_out_is_found_only_by_an_entry_of_the_index(tmp_path: Path):
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    assert site_check.SiteSearch(site(tmp_path / "with", NAMES, {"to"})).finds("to")
    assert not site_check.SiteSearch(site(tmp_path / "without", NAMES, set())).finds("to")


def test_a_page_that_has_the_word_in_another_form_does_not_name_it(tmp_path: Path):
    search = site_check.SiteSearch(site(tmp_path, ["mappings"]))
    assert search.pages("mapping") == {"page"}
    assert not search.finds("mapping")


def test_arguments_of_a_base_are_among_the_names():
    of_sync = {one.name for one in ALL if one.what.endswith("CsvToLeadSquaredOperator")}
    assert {"row_key", "mapping", "ledger_conn_id", "path"} <= of_sync
