"""Transforms: what becomes of a value, and which values make a row invalid."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.sync.mapping import ColumnMapping
from airflow_provider_leadsquared.sync.transforms import TRANSFORMS
from tests import canaries

IST = dt.timezone(dt.timedelta(hours=5, minutes=30))


def _sent(value: Any, *transforms: Any) -> Any:
    """Return what is sent for a value in a column with these transforms."""
    columns = ColumnMapping.build({"v": ["mx_V", *transforms]}, columns=("id", "v"), row_key="id", api=LEAD_CAPTURE)
    return columns.lead((1, value))["mx_V"]


def _shown(value):
    """Name a value in the id of a test, the same in each process."""
    return type(value).__name__ if isinstance(value, memoryview) else str(value)


TRANSFORMED = [
    ("strip", "  a b\t", "a b"),
    ("strip", 5, 5),
    ("lower", "Meera@Example.COM", "meera@example.com"),
    ("lower", dt.date(2024, 2, 29), dt.date(2024, 2, 29)),
    ("upper", "in", "IN"),
    ("upper", Decimal("1.50"), Decimal("1.50")),
    ("title", "meera o'neil D'SOUZA", "Meera O'Neil D'Souza"),
    ("title", "meera's anna’s jean-luc", "Meera's Anna’s Jean-Luc"),
    ("title", True, True),
    ("digits", "+91 (90000) 00-001", "919000000001"),
    ("digits", "९१-२", "912"),
    ("digits", 919000000001, "919000000001"),
    ("digits", 919000000001.0, "919000000001"),
    ("digits", Decimal("919000000001.00"), "919000000001"),
    ("digits", "n/a", None),
    ("digits", "", None),
    ("null_if_blank", " \t", None),
    ("null_if_blank", "", None),
    ("null_if_blank", " a", " a"),
    ("null_if_blank", 0, 0),
    ("null_if_blank", False, False),
    ("text", "a", "a"),
    ("text", 5, "5"),
    ("text", 1e22, "10000000000000000000000"),
    ("text", Decimal("12.50"), "12.5"),
    ("text", -0.0, "0"),
    ("text", True, "true"),
    ("text", "मीरा".encode(), "मीरा"),
    ("text", memoryview(b"abc"), "abc"),
    ("text", dt.time(13, 5), "13:05:00"),
    ("text", dt.timedelta(hours=1), "1:00:00"),
    ("text", dt.date(2024, 2, 29), "2024-02-29"),
    ("text", dt.datetime(2024, 2, 29, 1, tzinfo=IST), "2024-02-28 19:30:00"),
    ("text", uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ("date", dt.date(2024, 2, 29), dt.date(2024, 2, 29)),
    ("date", dt.datetime(2024, 2, 29, 13, 5), dt.date(2024, 2, 29)),
    ("date", dt.datetime(2024, 2, 29, 1, tzinfo=IST), dt.date(2024, 2, 28)),
    ("date", " 2024-02-29 ", dt.date(2024, 2, 29)),
    ("date", "2024-02-29 13:05:09", dt.date(2024, 2, 29)),
    ("date", "2024-02-29T13:05:09Z", dt.date(2024, 2, 29)),
    ("date", "20240229", dt.date(2024, 2, 29)),
    ("date", " ", None),
    ("json", {"b": [1, None], "a": "é"}, '{"a": "é", "b": [1, null]}'),
    ("json", ["x", dt.date(2024, 2, 29), Decimal("1.5")], '["x", "2024-02-29", "1.5"]'),
    ("json", '{"b": 1}', '{"b": 1}'),
    ("json", 5, "5"),
    ("json", {"a": [float("nan"), Decimal("NaN"), 1.5]}, '{"a": [null, null, 1.5]}'),
]


@pytest.mark.parametrize(
    ("word", "value", "result"), TRANSFORMED, ids=lambda value: f"{type(value).__name__}-{_shown(value):.20}"
)
def test_a_transform_makes_of_a_value(word, value, result):
    made = _sent(value, word)
    assert (made, type(made)) == (result, type(result))


def test_every_word_is_tested_and_described():
    assert {word for word, *_ in TRANSFORMED} == set(TRANSFORMS)
    assert all(transform.__doc__ for transform in TRANSFORMS.values())


def test_transforms_are_applied_from_left_to_right():
    assert _sent(" Meera ", "strip", "upper", lambda text: text + "!", "lower") == "meera!"


def test_a_function_may_read_a_custom_field_set_out_of_json():
    assert _sent('{"Status": "Open"}', json.loads) == {"Status": "Open"}


@pytest.mark.parametrize("transform", [*TRANSFORMS, str.strip, json.loads])
def test_none_is_never_transformed(transform):
    assert _sent(None, transform) is None


@pytest.mark.parametrize("null", [float("nan"), Decimal("NaN")])
def test_a_gap_of_a_data_frame_is_never_transformed(null):
    assert _sent(null, "text", str) is null


def test_what_follows_a_none_is_not_applied():
    assert _sent(" ", "null_if_blank", str.strip) is None
    assert _sent("x", lambda _: None, str.strip) is None


UNFIT = {
    "digits_of_a_fraction": (12.5, "digits", "whole number"),
    "digits_of_infinity": (float("inf"), "digits", "finite"),
    "digits_of_a_truth": (True, "digits", "a bool"),
    "digits_of_a_date": (dt.date(2024, 2, 29), "digits", "a date"),
    "text_of_other_bytes": (b"meera@example.org \xff", "text", "UTF-8"),
    "text_of_infinity": (float("inf"), "text", "finite"),
    "text_beyond_the_calendar": (dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=1))), "text", "moment"),
    "text_of_a_long_number": (Decimal("1E+999999999"), "text", "finite"),
    "date_of_a_text": ("meera@example.org", "date", "YYYY-MM-DD"),
    "date_in_another_order": ("29/02/2024", "date", "YYYY-MM-DD"),
    "date_of_a_number": (20240229, "date", "a int"),
    "json_of_infinity": ([float("inf")], "json", "list as JSON"),
    "json_of_names_of_all_kinds": ({1: 1, "meera@example.org": 1}, "json", "dict as JSON"),
    "a_function": ("meera@example.org", int, "the transform int of column 'v' failed with ValueError"),
    "a_lambda": ({"meera@example.org": 1}, lambda value: value["x"], "<lambda> of column 'v' failed with KeyError"),
    "an_object": ("meera@example.org", type("Cut", (), {"__call__": lambda _, value: 1 / 0})(), "Cut of column"),
}


@pytest.mark.parametrize(("value", "transform", "word"), UNFIT.values(), ids=UNFIT.keys())
def test_a_value_that_a_transform_cannot_take_makes_the_row_invalid_and_is_not_shown(value, transform, word):
    with pytest.raises(InvalidLeadError) as caught:
        _sent(value, transform)
    assert (caught.value.attribute, caught.value.rule) == ("mx_V", "transform")
    assert word in str(caught.value)
    assert not canaries.found_in("".join(canaries.chain_of(caught.value)))


def test_a_task_that_is_stopped_within_a_function_is_stopped():
    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _sent("x", stop)


@given(
    st.sampled_from(sorted(TRANSFORMS)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes() | st.times(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=4,
    ),
)
def test_any_value_is_transformed_or_invalid(word, value):
    # Every other exception fails this test, and would have failed the task.
    with suppress(InvalidLeadError):
        _sent(value, word)
