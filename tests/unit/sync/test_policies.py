"""Policies: what a broken rule means for a run."""

from __future__ import annotations

import pickle

import pytest

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.api.field_rules import FieldRules
from airflow_provider_leadsquared.api.responses import LeadField
from airflow_provider_leadsquared.delivery.batch import Batch
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.sync.policies import Policies, Policy, RulesWithPolicies, RunRefusedError

RULES = FieldRules(
    [
        LeadField("EmailAddress", "Email", "Email", "", False, 200, 0, False, ()),
        LeadField("LastName", "Last Name", "Text", "", True, 5, 0, False, ()),
        LeadField("mx_Age", "Age", "Number", "", False, None, 0, False, ()),
        LeadField("mx_Branch", "Branch", "Text", "", False, None, 1, False, ()),
    ]
)
LONG_AND_OLD = {"LastName": "secret", "mx_Age": "secret"}


def policed(**policies: str) -> RulesWithPolicies:
    return RulesWithPolicies(RULES, Policies.parse(policies))


# --- reading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, {}])
def test_without_a_word_unknown_attributes_fail_the_run_and_all_else_refuses_the_row(given):
    policies = Policies.parse(given)
    assert policies.of("unknown_attribute") is Policy.FAIL
    others = ["mandatory", "read_only", "too_long", "wrong_type", "not_an_option", "no_match_key", "no_key"]
    others += ["doubled_key", "doubled_match_key", "transform"]
    assert {policies.of(rule) for rule in others} == {Policy.REFUSE}


@pytest.mark.parametrize("rule", ["unknown_attribute", "mandatory", "read_only", "too_long", "wrong_type"])
@pytest.mark.parametrize("policy", ["refuse", "warn", "fail"])
def test_a_rule_of_the_account_may_have_any_policy(rule, policy):
    assert Policies.parse({rule: policy}).of(rule) is Policy(policy)


@pytest.mark.parametrize("rule", ["no_match_key", "no_key", "doubled_key", "doubled_match_key"])
def test_rows_that_cannot_be_told_apart_are_never_sent_with_a_warning(rule):
    assert Policies.parse({rule: "fail"}).of(rule) is Policy.FAIL
    with pytest.raises(ValueError, match=f"the policy of {rule} cannot be 'warn': such rows cannot be distinguished"):
        Policies.parse({rule: "warn"})


def test_a_row_without_a_lead_is_never_sent_with_a_warning():
    with pytest.raises(ValueError, match="where a transform failed there is no lead to send"):
        Policies.parse({"transform": "warn"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"to_long": "warn"}, "'to_long', which is no rule with a policy; did you mean too_long"),
        (
            {"zzz": "warn"},
            "'zzz', which is no rule with a policy; those that have one are unknown_attribute, mandatory",
        ),
        ({"not_finite": "warn"}, "'not_finite', which is no rule with a policy"),
        ({"too_long": "warm"}, "the policy of too_long is 'warm'; write 'refuse', 'warn' or 'fail'"),
        ({"too_long": None}, "the policy of too_long is None; write"),
        ("warn", "policies is a str; write a mapping such as"),
    ],
)
def test_what_is_no_rule_or_no_policy_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        Policies.parse(given)


@pytest.mark.parametrize("rule", ["shape", "attribute_name", "not_finite", "value_type", "never heard of"])
def test_every_other_rule_refuses_the_row(rule):
    assert Policies.parse({"too_long": "warn"}).of(rule) is Policy.REFUSE


# --- before the first row -----------------------------------------------------------------------------------------


def test_unknown_attributes_fail_the_run_before_the_first_row_and_are_all_named():
    with pytest.raises(RunRefusedError) as caught:
        Policies.parse(None).check_names(RULES, ["LastNmae", "mx_Age", "mx_Brnach"])
    assert (caught.value.rule, caught.value.attribute) == ("unknown_attribute", "LastNmae")
    assert str(caught.value) == (
        "LastNmae: the account has no such lead field; did you mean LastName?; "
        "mx_Brnach: the account has no such lead field; did you mean mx_Branch?. "
        "Nothing was sent, because the policy of unknown_attribute is 'fail'"
    )


def test_known_attributes_fail_no_run():
    Policies.parse(None).check_names(RULES, ["LastName", "SearchBy"])


@pytest.mark.parametrize("policy", ["refuse", "warn"])
def test_unknown_attributes_are_left_to_the_rows_by_policy(policy):
    Policies.parse({"unknown_attribute": policy}).check_names(RULES, ["mx_Nope"])


# --- row by row ---------------------------------------------------------------------------------------------------


def test_a_row_that_breaks_no_rule_passes():
    rules = policed()
    rules.check({"LastName": "Iyer", "mx_Age": "41"})
    assert rules.warnings == {}


def test_a_broken_rule_refuses_the_row():
    with pytest.raises(InvalidLeadError, match="LastName: has 6 characters, the field takes 5"):
        policed().check(LONG_AND_OLD)


def test_a_warning_is_counted_by_rule_and_attribute_and_the_row_goes():
    rules = policed(too_long="warn", wrong_type="warn")
    for _ in range(2):
        rules.check(LONG_AND_OLD)
    rules.check({"LastName": "Iyer", "mx_Age": "old"})
    assert rules.warnings == {("too_long", "LastName"): 2, ("wrong_type", "mx_Age"): 3}


def test_a_row_that_is_refused_is_not_counted_as_a_warning():
    rules = policed(too_long="warn")
    with pytest.raises(InvalidLeadError, match="mx_Age: is no number"):
        rules.check(LONG_AND_OLD)
    assert rules.warnings == {}


def test_a_rule_that_fails_the_run_outranks_one_that_refuses_the_row():
    rules = policed(wrong_type="fail")
    rules.row = "c-7"
    with pytest.raises(RunRefusedError) as caught:
        rules.check(LONG_AND_OLD)
    error = caught.value
    assert (error.rule, error.attribute, error.row) == ("wrong_type", "mx_Age", "c-7")
    assert str(error).startswith("c-7: mx_Age: is no number")
    assert "secret" not in repr(error)


def test_whether_the_lead_exists_is_said_row_by_row():
    rules = policed()
    rules.exists = True
    rules.check({"mx_Age": "41"})
    with pytest.raises(InvalidLeadError, match="mx_Branch: only administrators"):
        rules.check({"mx_Branch": "Pune"})
    rules.exists = None
    rules.check({"mx_Branch": "Pune"})
    rules.exists = False
    with pytest.raises(InvalidLeadError, match="LastName: is mandatory for a new lead"):
        rules.check({"mx_Branch": "Pune"})


def test_the_rows_of_a_batch_are_held_against_policed_rules():
    rules = policed(too_long="warn")

    def rows():
        for number, (exists, lead) in enumerate([(True, {}), (False, {}), (False, {"LastName": "Krishnan"})]):
            rules.row, rules.exists = f"row {number + 1}", exists
            yield {"EmailAddress": f"{number}@example.org", **lead}

    batch = Batch.read(rows(), rules=rules, api=LEAD_CAPTURE)
    assert [entry.state for entry in batch.entries] == [State.UNSENT, State.INVALID, State.UNSENT]
    assert batch.entries[1].reason_class == "mandatory"
    assert rules.warnings == {("too_long", "LastName"): 1}


def test_a_batch_does_not_survive_a_row_that_fails_the_run():
    with pytest.raises(RunRefusedError):
        Batch.read(
            [{"EmailAddress": "a@example.org", "mx_Age": "old"}], rules=policed(wrong_type="fail"), api=LEAD_CAPTURE
        )


# --- rows that were set aside -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "rows", "message"),
    [
        ("no_match_key", [{"id": "k1", "mx_Age": 1}], "k1: has none of ProspectID"),
        ("no_key", [{"EmailAddress": "a@example.org"}], "row 1: id: the key column is missing"),
        ("doubled_key", [{"id": "k1", "EmailAddress": f"{n}@example.org"} for n in "ab"], "k1: 2 rows have this key"),
        ("doubled_match_key", [{"id": n, "EmailAddress": "a@example.org"} for n in "ab"], "a: row 2 has the same"),
    ],
)
def test_a_rule_across_rows_fails_the_run_by_policy(rule, rows, message):
    entries = Batch.read(rows, row_key="id", api=LEAD_CAPTURE).entries
    Policies.parse(None).check_entries(entries)
    with pytest.raises(RunRefusedError, match=message) as caught:
        Policies.parse({rule: "fail"}).check_entries(entries)
    assert caught.value.rule == rule


def test_an_error_that_stops_a_run_keeps_its_facts_when_it_is_pickled():
    error = RunRefusedError("too_long", "LastName", "LastName: too long", "k1")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (str(again), again.rule, again.attribute, again.row) == (str(error), "too_long", "LastName", "k1")
