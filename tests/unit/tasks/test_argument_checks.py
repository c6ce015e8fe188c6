"""What an author wrote is checked when the DAG's file is parsed: each argument of each operator, mapped or not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, task

from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from airflow_provider_leadsquared.tasks.submit_operator import SubmitOperator
from airflow_provider_leadsquared.transfers.csv_to_leadsquared import CsvToLeadSquaredOperator
from airflow_provider_leadsquared.transfers.sql_to_leadsquared import SqlToLeadSquaredOperator


class NoteOperator(SubmitOperator):
    """An operator of another API, as an author may write it."""

    api_name = "lead_capture"


def leads_of_a_function() -> list[dict[str, str]]:
    return [{"EmailAddress": "a@example.org"}]


#: What each operator cannot do without.
NEEDED: dict[type[BaseOperator], dict[str, Any]] = {
    LeadCaptureOperator: {"leads": leads_of_a_function},
    NoteOperator: {"records": leads_of_a_function},
    SqlToLeadSquaredOperator: {"sql": "SELECT 1", "conn_id": "warehouse", "row_key": "id"},
    CsvToLeadSquaredOperator: {"path": "leads.csv", "ledger_conn_id": "warehouse", "row_key": "id"},
    LeadStatusSensor: {"request_ids": ["9d0f4b52-0000-4000-8000-00000000000c"]},
}
SYNCS = (SqlToLeadSquaredOperator, CsvToLeadSquaredOperator)
CAPTURES = (LeadCaptureOperator, NoteOperator)
SENDING = (*CAPTURES, *SYNCS)
UPDATING = (LeadCaptureOperator, *SYNCS)

#: Operators, argument, value, and what the error says: the argument and the remedy.
Case = tuple[tuple[type[BaseOperator], ...], str, Any, str]
WRONG: list[Case] = [
    ((*SENDING, LeadStatusSensor), "allowed_rejects", "a few", "allowed_rejects is 'a few'; write a number of rows"),
    ((*SENDING, LeadStatusSensor), "allowed_rejects", 1.5, "or a share from 0.0 to 1.0"),
    (SENDING, "null_handling", "drop", "null_handling is 'drop'; write 'skip' or 'clear'"),
    (SENDING, "null_handling", ["skip"], "null_handling is ['skip']; write 'skip' or 'clear'"),
    (SENDING, "null_handling", "{{ params.nulls }}", "write 'skip' or 'clear'"),
    (SENDING, "concurrency", 0, "concurrency is 0; write a whole number from 1"),
    (CAPTURES, "on_clear", "again", "on_clear is 'again'; write 'resume' or 'resend'"),
    (UPDATING, "lead_update_behavior", "Overwrite", "lead_update_behavior is 'Overwrite'; write one of 'DoNotUpdate'"),
    ((NoteOperator,), "parameters", {"Nope": "1"}, "takes no parameter 'Nope'; those that it takes: LeadUpdate"),
    ((NoteOperator,), "parameters", {"LeadUpdateBehavior": "Nope"}, "LeadUpdateBehavior must be one of DoNotUpdate"),
    (SYNCS, "policies", {"too_lng": "warn"}, "policies names 'too_lng', which is no rule with a policy; did you mean"),
    (SYNCS, "policies", {"too_long": "ignore"}, "the policy of too_long is 'ignore'; write 'refuse', 'warn' or 'fail'"),
    (SYNCS, "policies", {"no_key": "warn"}, "the policy of no_key cannot be 'warn'"),
    (SYNCS, "policies", "warn", "policies is a str; write a mapping such as"),
    (SYNCS, "mapping", {"email": ["EmailAddress", "trim"]}, "mapping['email']: 'trim' is no transform; take one of"),
    (SYNCS, "mapping", {"email": []}, "mapping['email'] must be a schema name"),
    (SYNCS, "mapping", "email", 'mapping must be "*" or a dict'),
    (SYNCS, "mapping", {"*": "mx_Rest"}, 'write "*": "*"'),
    (SYNCS, "mapping", {"a": "mx_A", "b": "mx_A"}, "'mx_A' is filled twice: by column 'a' and by column 'b'"),
    (SYNCS, "mapping", {"EmailAddress": "email", "mx_City": "city"}, "write {'email': 'EmailAddress'}"),
    (SYNCS, "constants", ["Source"], "constants is a list; write a dict of lead fields and their values"),
    (SYNCS, "full_refresh", "sometimes", "full_refresh is 'sometimes'; write True or False"),
    (SYNCS, "dry_run", 1, "dry_run is 1; write True or False"),
    (SYNCS, "replay", 7, "replay is True, a reason class in one word, or a dict with reason_class"),
    (SYNCS, "replay", {"since": "yesterday"}, "replay's since is no ISO 8601 date or time"),
    (SYNCS, "replay", {"from": "{{ ds }}"}, "or a dict with reason_class, since and until"),
    (SYNCS, "replay", {"reason_class": 7, "since": "{{ ds }}"}, "replay is True, a reason class in one word"),
]
#: These are checked where an operator is built; a mapped task may still get the argument that makes them right.
WRONG_WHERE_BUILT: list[Case] = [
    (SENDING, "row_key", "email", "row_key='email' would show personal data in logs and XComs; name a column with"),
    (SYNCS, "row_key", ["id", "id"], "row_key names a column twice: 'id', 'id'"),
    (SYNCS, "row_key", [], "row_key names no column; name one that identifies a row"),
    (CAPTURES, "row_key", ["id"], "row_key is a list; pass the name of a column"),
    ((LeadCaptureOperator,), "leads", {"EmailAddress": "a@example.org"}, "leads is a dict; pass a list of leads"),
    ((LeadCaptureOperator,), "leads", "leads.csv", "leads is a str; pass a list of leads"),
    ((NoteOperator,), "records", {"EmailAddress": "a@example.org"}, "records is a dict; pass a list of records"),
]


def built(operator: type[BaseOperator], name: str, value: Any) -> Any:
    return operator(task_id="one", **{**NEEDED[operator], name: value})


def in_partial(operator: type[BaseOperator], name: str, value: Any) -> Any:
    return operator.partial(task_id="one", **{**NEEDED[operator], name: value})


def in_expand(operator: type[BaseOperator], name: str, value: Any) -> Any:
    others = {other: given for other, given in NEEDED[operator].items() if other != name}
    return operator.partial(task_id="one", **others).expand(**{name: [value]})


def in_expand_kwargs(operator: type[BaseOperator], name: str, value: Any) -> Any:
    others = {other: given for other, given in NEEDED[operator].items() if other != name}
    return operator.partial(task_id="one", **others).expand_kwargs([{name: value}])


WAYS = (built, in_partial, in_expand, in_expand_kwargs)


def cases(table: list[Case], ways: tuple[Callable[..., Any], ...]) -> Any:
    return [
        pytest.param(way, operator, name, value, message, id=f"{operator.__name__}-{name}={value}-{way.__name__}")
        for operators, name, value, message in table
        for operator in operators
        for way in ways
    ]


@pytest.mark.parametrize(
    ("way", "operator", "name", "value", "message"), [*cases(WRONG, WAYS), *cases(WRONG_WHERE_BUILT, (built,))]
)
@pytest.mark.filterwarnings("ignore:Task 'one' was never mapped")
def test_a_wrong_argument_is_refused_when_the_dag_is_parsed(way, operator, name, value, message):
    with DAG("night"), pytest.raises(ValueError, match=re.escape(message)):
        way(operator, name, value)


@task
def another_task() -> Any:
    return None


#: What is known only when the task runs.
TEMPLATES: dict[str, Callable[[], Any]] = {
    "expression": lambda: "{{ params.given }}",
    "statement": lambda: "{% if params.given %}1{% endif %}",
    "output": another_task,
    "function": lambda: lambda context: context["params"],
}
TEMPLATE_FIELDS: list[tuple[tuple[type[BaseOperator], ...], str]] = [
    ((*SENDING, LeadStatusSensor), "allowed_rejects"),
    ((LeadCaptureOperator,), "leads"),
    (CAPTURES, "row_key"),
    (SYNCS, "full_refresh"),
    (SYNCS, "dry_run"),
    (SYNCS, "replay"),
]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(
    ("operator", "name"), [(operator, name) for operators, name in TEMPLATE_FIELDS for operator in operators]
)
def test_what_only_rendering_can_tell_is_not_refused_when_the_dag_is_parsed(operator, name, template):
    with DAG("night"):
        built(operator, name, TEMPLATES[template]())


@pytest.mark.parametrize("operator", SYNCS)
def test_a_replay_may_hold_templates(operator):
    with DAG("night"):
        built(operator, "replay", {"reason_class": another_task(), "since": "{{ ds }}", "until": "2026-02-01"})


@pytest.mark.parametrize("template", ["expression", "output"])
@pytest.mark.parametrize("operator", [*SENDING, LeadStatusSensor])
def test_a_mapped_task_may_get_its_arguments_from_templates_and_other_tasks(operator, template):
    needed = NEEDED[operator]
    with DAG("night"):
        operator.partial(task_id="a", allowed_rejects=TEMPLATES[template](), **needed).expand(leadsquared_conn_id=["l"])
        operator.partial(task_id="b", **needed).expand(allowed_rejects=[TEMPLATES[template](), 3])
        operator.partial(task_id="c", **needed).expand_kwargs([{"allowed_rejects": TEMPLATES[template]()}])
        operator.partial(task_id="d", **needed).expand(allowed_rejects=another_task())
        operator.partial(task_id="e", **needed).expand_kwargs([another_task(), {"allowed_rejects": 3}])


@pytest.mark.parametrize("operator", SENDING)
def test_what_is_mapped_over_another_tasks_output_is_known_when_the_operator_is_built(operator):
    """Airflow resolves what is mapped over, whether or not it is a template field."""
    with DAG("night"):
        mapped = operator.partial(task_id="one", **NEEDED[operator]).expand(null_handling=[another_task(), "skip"])
    mapped.unmap({"null_handling": "clear"})
    with pytest.raises(ValueError, match="null_handling is 'drop'"):
        mapped.unmap({"null_handling": "drop"})


@pytest.mark.parametrize(
    ("operator", "name", "rendered", "message"),
    [
        *[(one, "allowed_rejects", "a few", "allowed_rejects is 'a few'") for one in SENDING],
        *[(one, "full_refresh", "sometimes", "full_refresh is 'sometimes'") for one in SYNCS],
        *[(one, "is_dry_run", "sometimes", "dry_run is 'sometimes'") for one in SYNCS],
        *[(one, "replay", ["a"], "replay is True") for one in SYNCS],
    ],
)
def test_what_a_template_rendered_is_checked_when_the_task_runs(operator, name, rendered, message):
    built_operator = built(operator, "leadsquared_conn_id", "leadsquared_default")
    setattr(built_operator, name, rendered)  # as Airflow does
    with pytest.raises(ValueError, match=message):
        built_operator.execute({})


class TemplatedNulls(LeadCaptureOperator):
    """A capture whose author made one more argument a template field."""

    template_fields = (*LeadCaptureOperator.template_fields, "null_handling")


def test_an_argument_that_an_author_made_a_template_field_is_checked_when_the_task_runs():
    operator = TemplatedNulls(task_id="one", leads=leads_of_a_function, null_handling="{{ params.nulls }}")
    operator.null_handling = "drop"  # type: ignore[assignment]  # as Airflow renders it
    with pytest.raises(ValueError, match="null_handling is 'drop'"):
        operator.execute({})


@pytest.mark.filterwarnings("ignore:Task 'one' was never mapped")
def test_a_task_that_is_not_mapped_yet_shows_itself_as_airflows_own():
    with DAG("night"):
        assert repr(in_partial(LeadStatusSensor, "allowed_rejects", 3)).startswith("LeadStatusSensor.partial(")


REVERSED: dict[str, Mapping[str, Any]] = {
    "fields_to_columns": {"EmailAddress": "email", "FirstName": "first_name"},
    "the_same_word": {"Phone": "phone"},
    "columns_with_capitals": {"EmailAddress": "Email", "FirstName": "First"},
    "with_transforms": {"EmailAddress": ["email", "strip", "lower"]},
    "own_fields": {"mx_City": "city"},
    "one_of_several": {"email": "EmailAddress", "mx_City": "city"},
    "beside_the_rest": {"*": "*", "mx_City": "city"},
}


@pytest.mark.parametrize("mapping", REVERSED.values(), ids=list(REVERSED))
def test_a_mapping_from_lead_fields_to_columns_is_refused(mapping):
    with pytest.raises(ValueError, match=r"if this one goes the other way, write \{'\w+': '\w+'\}"):
        built(SqlToLeadSquaredOperator, "mapping", mapping)


RIGHT: dict[str, Mapping[str, Any]] = {
    "columns_to_fields": {"email": "EmailAddress", "city": "mx_City"},
    "columns_called_like_fields": {"EmailAddress": "EmailAddress", "Phone": "Mobile", "mx_City": "mx_Town"},
    "a_field_that_is_not_known": {"EmailAddress": "EmailAddress", "Company": "JobTitle"},
    "a_field_that_is_not_known_beside_the_rest": {"*": "*", "Company": "JobTitle"},
    "a_column_that_is_left_out": {"email": "EmailAddress", "Phone": None},
    "a_function": {"email": ["EmailAddress", "strip", str.lower]},
}


@pytest.mark.parametrize("mapping", RIGHT.values(), ids=list(RIGHT))
def test_a_mapping_from_columns_to_lead_fields_is_taken(mapping):
    built(SqlToLeadSquaredOperator, "mapping", mapping)


def test_an_argument_from_default_args_is_checked():
    with DAG("night", default_args={"allowed_rejects": "a few"}), pytest.raises(ValueError, match="allowed_rejects"):
        LeadStatusSensor(task_id="wait", request_ids=[])
