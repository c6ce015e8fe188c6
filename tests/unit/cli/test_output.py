"""What commands print: tables, times, spans of time, errors, progress."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from airflow_provider_leadsquared.cli.output import Output
from airflow_provider_leadsquared.reports.formats import duration, moment


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (12_000, "3 h 20 min"),
        (172_799, "47 h 59 min"),
        (172_800, "2 days"),
    ],
)
def test_spans_of_time_are_short(seconds, shown):
    assert duration(seconds) == shown


def test_moments_are_utc():
    assert (moment(1_800_000_000.9), moment(None)) == ("2027-01-15 08:00:00", None)


def test_long_ids_stay_in_one_line_where_there_is_no_terminal(capsys):
    Output(as_json=False).print_table(("A", "#B"), [("x" * 300, 1_234_567), (None, True)])
    shown = capsys.readouterr().out
    assert "x" * 300 in shown
    assert "1,234,567" in shown
    assert [line for line in shown.splitlines() if line != line.rstrip()] == []


def test_brackets_are_no_markup(capsys):
    output = Output(as_json=False)
    output.print_table(("A",), [("[red]x[/red]",)])
    output.print_line("[bold]y")
    output.print_error("[z]")
    shown = capsys.readouterr()
    assert "[red]x[/red]" in shown.out
    assert "[bold]y" in shown.out
    assert shown.err == "Error: [z]\n"


def test_progress_is_shown_on_a_terminal_only(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")  # a dumb terminal shows none
    shown = {}
    for is_terminal in (True, False):
        output = Output(as_json=False)
        output._errors = Console(file=io.StringIO(), force_terminal=is_terminal, width=80)
        with output.progress("Lines") as progress:
            progress.update(progress.add_task("Lines", total=2), advance=1)
            progress.refresh()
        shown[is_terminal] = output._errors.file.getvalue()  # type: ignore[attr-defined]  # the StringIO from above
    assert ("1/2" in shown[True], shown[False]) == (True, "")


def test_the_width_of_a_terminal_is_kept(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")  # a dumb terminal has 80 columns
    monkeypatch.setenv("COLUMNS", "50")
    assert Output(as_json=False)._console.width == 50
