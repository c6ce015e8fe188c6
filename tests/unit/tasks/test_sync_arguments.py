"""How a sync's mapping, row key and policies are shown and rendered."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest
from airflow.serialization.helpers import serialize_template_field

from airflow_provider_leadsquared.sync.policies import Policies
from airflow_provider_leadsquared.tasks.sync_arguments import ShownMapping, check_policies
from airflow_provider_leadsquared.transfers.csv_to_leadsquared import CsvToLeadSquaredOperator
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator

SHOWN = {
    "row_key": ["country", "customer_id"],
    "mapping": {"email": ["EmailAddress", "lower"], "city": "mx_City"},
    "policies": {"too_long": "warn"},
}


def sync(**arguments: Any) -> SqlToLeadSquaredOperator:
    return SqlToLeadSquaredOperator(task_id="sync", sql="SELECT 1", conn_id="warehouse", **{**SHOWN, **arguments})


@pytest.mark.parametrize("operator", [SqlToLeadSquaredOperator, CsvToLeadSquaredOperator])
def test_airflow_shows_mapping_key_and_policies(operator):
    assert SHOWN.keys() <= set(operator.template_fields)


def test_what_is_shown_of_them_is_what_the_author_wrote():
    task = sync()
    task.render_template_fields({}, jinja2.Environment())  # noqa: S701 - no HTML
    assert {name: serialize_template_field(getattr(task, name), name) for name in SHOWN} == SHOWN


def test_a_template_in_them_is_rendered():
    task = sync(mapping={"email": ["EmailAddress", "{{ params.case }}"]}, policies={"too_long": "{{ params.policy }}"})
    context: Any = {"params": {"case": "lower", "policy": "fail"}}
    task.render_template_fields(context, jinja2.Environment())  # noqa: S701 - no HTML
    assert (task.mapping, task.policies) == ({"email": ["EmailAddress", "lower"]}, {"too_long": "fail"})


def test_a_template_in_them_is_no_error_when_the_dag_is_parsed():
    assert sync(mapping={"email": ["EmailAddress", "{{ params.case }}"], "city": "mx_City"})
    assert sync(policies={"too_long": "{{ params.policy }}", "invisible": "fail"})
    assert sync(row_key=["country", "{{ params.key }}"])


def test_what_is_wrong_beside_a_template_is_an_error_when_the_dag_is_parsed():
    with pytest.raises(ValueError, match="the policy of too_long is 'ignore'"):
        sync(policies={"too_long": "ignore", "invisible": "{{ params.policy }}"})


def test_a_policy_that_no_template_has_rendered_is_refused():
    check_policies({"too_long": None})
    with pytest.raises(ValueError, match="the policy of too_long is None"):
        Policies.parse({"too_long": None})  # type: ignore[dict-item]  # as an author may write it


def test_a_mapping_with_functions_is_stored_alike_at_each_parse():
    def initial(name: str) -> str:
        return name[:1]

    first, second = (
        ShownMapping({"name": ["FirstName", lambda value: value], "first": ("mx_Initial", initial)}).serialize()
        for _ in range(2)
    )
    assert first == second
    assert "initial>" in first
    assert " at 0x" not in first


def test_the_mapping_is_still_a_dict():
    assert sync().mapping == SHOWN["mapping"]
