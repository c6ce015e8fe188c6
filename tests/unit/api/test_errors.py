"""The tree of errors: what each class says about trying again and about doubt."""

from __future__ import annotations

import pickle

import pytest

from airflow_provider_leadsquared.api import errors
from airflow_provider_leadsquared.api.errors import InvalidLeadError

RAISED = [
    errors.LeadSquaredError("text"),
    errors.ApiError("text"),
    errors.ConfigurationError("text"),
    errors.AuthenticationError("text"),
    errors.WrongRegionError("text", "asyncapi-in21.leadsquared.com"),
    errors.NoSuchPathError("text"),
    errors.RejectedError("text", "MXDuplicateEntryException", "reason"),
    errors.RejectedError("text", None, "reason"),
    errors.RateLimitError("text", 5.0),
    errors.ServerError("text"),
    errors.NoConnectionError("text"),
    errors.SendingExpiredError("text"),
    errors.NoResponseError("text"),
    errors.UnexpectedResponseError("text"),
    errors.UnknownRequestError("text"),
    InvalidLeadError("mx_City", "value_type", "problem"),
]


def _with_subclasses(kind: type[Exception]) -> set[type[Exception]]:
    found = {kind}
    for subclass in kind.__subclasses__():
        found |= _with_subclasses(subclass)
    return found


def test_every_error_of_a_call_is_tested_here():
    ours = {kind for kind in _with_subclasses(errors.LeadSquaredError) if kind.__module__ == errors.__name__}
    assert {type(error) for error in RAISED} == ours


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_whole(error):
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled a moment ago
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(
    ("kind", "transient", "in_doubt"),
    [
        (errors.ApiError, False, False),
        (errors.ConfigurationError, False, False),
        (errors.AuthenticationError, False, False),
        (errors.WrongRegionError, False, False),
        (errors.NoSuchPathError, False, False),
        (errors.RejectedError, False, False),
        (errors.RateLimitError, True, False),
        (errors.ServerError, True, True),
        (errors.NoConnectionError, True, False),
        (errors.SendingExpiredError, False, False),
        (errors.NoResponseError, True, True),
        (errors.UnexpectedResponseError, False, True),
        (errors.UnknownRequestError, False, False),
    ],
)
def test_a_class_tells_whether_to_try_again_and_whether_the_call_is_in_doubt(kind, transient, in_doubt):
    assert (kind.transient, kind.in_doubt) == (transient, in_doubt)


@pytest.mark.parametrize("kind", [errors.ConfigurationError, InvalidLeadError])
def test_a_wrong_setting_or_lead_is_a_value_error_too(kind):
    assert issubclass(kind, ValueError)


def test_a_wrong_region_is_caught_with_the_other_refused_keys():
    assert issubclass(errors.WrongRegionError, errors.AuthenticationError)


def test_an_invalid_lead_names_its_attribute_first():
    assert str(InvalidLeadError("mx_City", "value_type", "cannot be sent")) == "mx_City: cannot be sent"


def test_an_error_of_the_lead_as_a_whole_names_no_attribute():
    assert str(InvalidLeadError("", "empty", "has nothing in it")) == "has nothing in it"
