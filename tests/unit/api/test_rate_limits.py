"""Rate limits: what counts as one, and how long a server may make us wait."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.api.http_dates import server_time
from airflow_provider_leadsquared.api.rate_limits import LONGEST_HOLD, RATE_WINDOW, rate_limit_error, retry_after

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("Fri, 15 Jan 2027 08:00:20 GMT", 20.0),
        ("Friday, 15-Jan-27 08:00:20 GMT", 20.0),
        ("Fri Jan 15 08:00:20 2027", 20.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(value, seconds):
    assert retry_after({"Retry-After": value}, NOW) == seconds


@pytest.mark.parametrize(
    "value", ["3600", "9" * 5_000, "Sat, 16 Jan 2027 08:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"]
)
def test_retry_after_is_a_minute_at_most(value):
    assert retry_after({"Retry-After": value}, NOW) == LONGEST_HOLD == 60.0


@pytest.mark.parametrize(
    "value",
    ["", "-5", "soon", "inf", "nan", "1e9", "٣", "5 s", "Fri, 99 Jan 2027", "Fri, 15 Jan 99999 08:00:00 GMT", "\x00"],
)
def test_a_retry_after_that_is_neither_seconds_nor_a_date_is_none(value):
    assert retry_after({"Retry-After": value}, NOW) is None


def test_a_date_in_retry_after_counts_on_the_servers_own_clock():
    headers = {"retry-after": "Fri, 15 Jan 2027 09:00:10 GMT", "date": "Fri, 15 Jan 2027 09:00:00 GMT"}
    assert retry_after(headers, NOW) == 10.0


def test_without_the_header_there_is_no_wait_to_honour():
    assert retry_after({"Date": DATE}, NOW) is None


@pytest.mark.parametrize("seconds", ["3600", "99999", "9" * 300])
def test_a_window_that_a_text_names_is_a_minute_at_most(seconds):
    assert rate_limit_error("x", f"exceeded the limit of 10 in {seconds} second(s)").retry_after == LONGEST_HOLD


def test_a_rate_limit_that_names_no_window_has_the_documented_one():
    assert rate_limit_error("x", "calm down").retry_after == RATE_WINDOW


def test_the_servers_time_is_its_date_header():
    assert server_time({"date": DATE}) == NOW


@pytest.mark.parametrize("value", ["", "now", "-1", "Fri, 15 Jan 99999 08:00:00 GMT", "9" * 5_000])
def test_a_date_header_that_holds_no_date_is_no_time(value):
    assert server_time({"Date": value}) is None
