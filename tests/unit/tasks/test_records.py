"""Records that an author gives to a task: functions, data frames, and what is refused."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from airflow_provider_leadsquared.tasks.records import RecordList, prepare, records_in, refuse_templates

RECORDS = [{"EmailAddress": "meera@example.org"}]
CONTEXT = {"ds": "2026-01-01", "run_id": "r"}


def takes_nothing() -> Any:
    return RECORDS


def takes_context(context: Any) -> Any:
    return [context["ds"]]


def takes_items(**context: Any) -> Any:
    return [context["ds"], sorted(context)]


def takes_context_and_more(context: Any, **more: Any) -> Any:
    return [context["ds"], more]


def takes_both(context: Any, jinja_env: Any) -> Any:
    return [context["ds"], jinja_env]


def takes_a_default(city: str = "Pune") -> Any:
    return [city]


class Callable:
    def __call__(self, context: Any) -> Any:
        return [context["ds"]]


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (takes_nothing, RECORDS),
        (takes_context, ["2026-01-01"]),
        (lambda ctx: [ctx["run_id"]], ["r"]),
        (takes_items, ["2026-01-01", ["ds", "run_id"]]),
        (takes_context_and_more, ["2026-01-01", {}]),
        (takes_both, ["2026-01-01", "env"]),
        (takes_a_default, ["Pune"]),
        (partial(takes_both, jinja_env="mine"), ["2026-01-01", "env"]),
        (Callable(), ["2026-01-01"]),
        (list, []),
    ],
    ids=["nothing", "context", "any_name", "items", "context_and_more", "both", "default", "partial", "object", "type"],
)
def test_a_function_gets_what_it_takes(function, result):
    # As Airflow calls what stands in a template field.
    assert prepare(function, "leads")(context=CONTEXT, jinja_env="env") == result


@pytest.mark.parametrize("function", [lambda one, other: [], lambda *, city: []], ids=["two", "keyword"])
def test_a_function_that_takes_what_nobody_gives_is_refused(function):
    with pytest.raises(ValueError, match="the function that returns the leads takes .*; let it take nothing, context"):
        prepare(function, "leads")


def test_a_function_keeps_its_name_for_the_serialized_dag():
    assert prepare(takes_nothing, "leads").__qualname__ == "takes_nothing"


class PandasFrame:
    """What of pandas' DataFrame is used, and what it forbids."""

    def __init__(self, columns: list[str], rows: list[dict[str, Any]]) -> None:
        self.columns, self._rows = columns, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Any:
        return iter(self.columns)

    def __bool__(self) -> bool:
        raise ValueError("The truth value of a DataFrame is ambiguous")

    def to_dict(self, orient: str) -> Any:
        assert orient == "records"
        return self._rows


class PolarsFrame(PandasFrame):
    def to_dict(self, *, as_series: bool = True) -> Any:  # type: ignore[override]  # as polars has it
        raise AssertionError("gives columns")

    def to_dicts(self) -> Any:
        return self._rows


@pytest.mark.parametrize("frame", [PandasFrame, PolarsFrame])
def test_a_data_frame_is_taken_as_its_records(frame):
    given = prepare(frame(["EmailAddress"], RECORDS), "leads")
    assert (records_in(given), list(given), repr(given), bool(given)) == (RECORDS, RECORDS, "1 leads", True)


def test_a_data_frame_without_rows_is_empty():
    assert not prepare(PandasFrame(["EmailAddress"], []), "leads")


def test_a_data_frame_whose_columns_share_a_name_is_refused():
    with pytest.raises(ValueError, match="more than one column named Phone; rename all but one"):
        records_in(PandasFrame(["Phone", "City", "Phone"], []))


def test_a_generator_is_not_read_before_it_is_needed():
    given = prepare((record for record in RECORDS), "leads")
    assert (bool(given), repr(given), list(given)) == (True, "leads", RECORDS)


@pytest.mark.parametrize("given", ["{{ ds }}", None, RecordList(RECORDS, "leads")])
def test_templates_and_what_is_prepared_stay_as_they_are(given):
    assert prepare(given, "leads") is given


@pytest.mark.parametrize(
    ("record", "attribute"),
    [
        ({"mx_City": "{{ ds }}"}, "mx_City"),
        ({"mx_City": "from {{ params.x }} on"}, "mx_City"),
        ({"mx_KYC": {"Status": "{{ ds }}"}}, "mx_KYC.Status"),
        ([{"Attribute": "mx_City", "Value": "{{ ds }}"}], "mx_City"),
        ([{"Attribute": "mx_KYC", "Fields": [{"Attribute": "Status", "Value": "{{ ds }}"}]}], "mx_KYC.Status"),
    ],
    ids=["dict", "within", "field_set", "pairs", "field_set_in_pairs"],
)
def test_a_template_in_records_is_refused_with_the_way_to_do_it(record, attribute):
    with pytest.raises(ValueError, match=rf"leads, row 2: {attribute} holds .* leads=lambda context"):
        refuse_templates([RECORDS[0], record], "leads")


@pytest.mark.parametrize("text", ["{{", "}} {{", "{ds}", "{'a': {'b': 1}}", 5, None])
def test_a_text_that_is_no_template_is_no_reason_to_refuse_a_record(text):
    refuse_templates([{"mx_City": text}], "leads")
