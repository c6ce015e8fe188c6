"""A night as one HTML file that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader

from airflow_provider_leadsquared.reports.advice import next_step, tone_of
from airflow_provider_leadsquared.reports.formats import duration, moment

if TYPE_CHECKING:
    from airflow_provider_leadsquared.reports.open_rows import OpenOfTask
    from airflow_provider_leadsquared.reports.runs import Night


def page_of(night: Night, still_open: Sequence[OpenOfTask], *, now: float) -> str:
    """
    Return the page.

    :param still_open: How many requests have no verdict, of all runs.
    :param now: The time in seconds since the epoch.
    """
    environment = Environment(
        loader=PackageLoader("airflow_provider_leadsquared.cli"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    total = sum(night.counts.values())
    return environment.get_template("report.html").render(
        night=night,
        total=total,
        states=[
            {"state": state, "count": count, "percent": 100 * count / total, "kind": tone_of(state)}
            for state, count in night.counts.items()
        ],
        reasons=[(one, next_step(one.state, one.reason_class)) for one in night.reasons],
        still_open=[(one, "" if one.oldest is None else duration(now - one.oldest)) for one in still_open],
        began=moment(night.began_at),
        made=moment(now),
    )
