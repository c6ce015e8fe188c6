"""Every public error has its section in the documentation, and can be imported from one module."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_leadsquared import exceptions

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
#: Bases that are never raised themselves, and what a task turns into another error before a user sees it.
NOT_RAISED = {"ApiError", "LeadSquaredError", "LedgerError", "TaskError", "RunRefusedError"}


@pytest.mark.parametrize("name", sorted(set(exceptions.__all__) - NOT_RAISED))
def test_a_public_error_has_a_section_that_says_what_it_means_what_is_seen_and_what_to_do(name: str):
    parts = re.findall(r"^- \*\*([\w ]+):\*\* \w", SECTIONS[name], re.MULTILINE)
    assert parts == ["It means", "You see", "Next"]


def test_no_section_is_about_an_error_that_does_not_exist():
    assert SECTIONS.keys() == set(exceptions.__all__) - NOT_RAISED | {"LeadSquaredError"}


@pytest.mark.parametrize("name", sorted(NOT_RAISED))
def test_a_base_is_named_in_the_section_of_the_one_base(name: str):
    assert name == "LeadSquaredError" or f"`{name}`" in SECTIONS["LeadSquaredError"]


@pytest.mark.parametrize("name", exceptions.__all__)
def test_a_public_error_has_the_one_base(name: str):
    assert issubclass(getattr(exceptions, name), exceptions.LeadSquaredError)


def test_every_error_class_of_the_module_is_public():
    classes = {name for name, value in vars(exceptions).items() if isinstance(value, type)}
    ours = {name for name in classes if issubclass(getattr(exceptions, name), exceptions.LeadSquaredError)}
    assert ours == set(exceptions.__all__)


def test_the_callback_that_is_shown_reads_the_error_of_a_task(capsys: pytest.CaptureFixture[str]):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    shown: dict[str, Any] = {}
    exec(code, shown)  # noqa: S102 - our own words
    error = exceptions.LeadsNotDelivered(
        "…", counts={"read": 3, "created": 2, "rejected": 1}, reasons={"rejected: MX": 1}, examples=["4711"]
    )

    shown["report_failure"]({"exception": error})

    assert capsys.readouterr().out == ("{'read': 3, 'created': 2, 'rejected': 1}\n{'rejected: MX': 1}\n['4711']\n")


def test_the_callback_that_is_shown_takes_an_error_without_counts(capsys: pytest.CaptureFixture[str]):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    shown: dict[str, Any] = {}
    exec(code, shown)  # noqa: S102 - our own words

    shown["report_failure"]({"exception": exceptions.ConfigurationError("…")})

    assert capsys.readouterr().out == ""
