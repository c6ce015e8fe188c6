"""A connection whose keys are exchanged: what the ledger remembers is true of the account that it was written for."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.exceptions import ConfigurationError
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from tests.integration.sync.nights import Night, run_night, sync
from tests.integration.tasks import connect

UNCHANGED = {"read": 1, "unchanged": 1}


@pytest.fixture
def asked(monkeypatch):
    """Count how often LeadSquared is asked whose the keys are."""
    calls: list[str] = []
    ask = LeadSquaredHook.get_account_facts

    def noting(hook):
        calls.append(hook.leadsquared_conn_id)
        return ask(hook)

    monkeypatch.setattr(LeadSquaredHook, "get_account_facts", noting)
    return calls


@pytest.fixture
def exchange_keys(sandbox, monkeypatch):
    """Return a function that gives the account, or another one on the same host, new keys."""

    def exchange(**switches):
        sandbox.switch(access_key="another", secret_key="another", api_key="another", **switches)
        connect(monkeypatch, sandbox)

    return exchange


@pytest.fixture
def sent_once(sandbox, clock, on_sqlite):
    """Let a first night send one row."""
    on_sqlite.fill(1)
    run_night(Night("1"), clock, on_sqlite)


@pytest.mark.parametrize("is_dry_run", [False, True])
@pytest.mark.usefixtures("sent_once")
def test_the_keys_of_another_account_on_the_same_host_are_refused(sandbox, on_sqlite, exchange_keys, is_dry_run):
    exchange_keys(account_code="70007")
    with pytest.raises(ConfigurationError, match="keys of the connection leadsquared_default are those of another"):
        sync(Night("2"), on_sqlite, dry_run=is_dry_run)
    assert len(sandbox.posts()) == 1


@pytest.mark.usefixtures("sent_once")
def test_they_are_refused_until_somebody_does_something(sandbox, clock, on_sqlite, exchange_keys):
    exchange_keys(account_code="70007")
    for night in "23":
        with pytest.raises(ConfigurationError):
            sync(Night(night), on_sqlite)
    exchange_keys(account_code="90001")
    assert run_night(Night("4"), clock, on_sqlite) == UNCHANGED


@pytest.mark.usefixtures("sent_once")
def test_a_connection_of_another_name_begins_anew_in_the_other_account(
    sandbox, clock, on_sqlite, exchange_keys, monkeypatch
):
    exchange_keys(account_code="70007")
    connect(monkeypatch, sandbox, "production")
    assert sync(Night("2"), on_sqlite, leadsquared_conn_id="production")["counts"] == {"read": 1, "open": 1}


@pytest.mark.usefixtures("sent_once")
def test_new_keys_of_the_same_account_are_taken_and_leadsquared_is_asked_once(clock, on_sqlite, exchange_keys, asked):
    exchange_keys()
    assert run_night(Night("2"), clock, on_sqlite) == UNCHANGED
    assert len(asked) == 1
    assert run_night(Night("3"), clock, on_sqlite) == UNCHANGED
    assert len(asked) == 1


@pytest.mark.usefixtures("sent_once")
def test_while_the_keys_stay_leadsquared_is_not_asked(clock, on_sqlite, asked):
    run_night(Night("2"), clock, on_sqlite)
    assert asked == []


def test_where_leadsquared_does_not_say_whose_keys_these_are_the_log_warns_and_the_night_goes_on(
    sandbox, clock, on_sqlite, exchange_keys, task_log
):
    sandbox.fault("error", endpoint="user", exception="MXUnAuthorizedAccessException")
    on_sqlite.fill(1)
    run_night(Night("1"), clock, on_sqlite)
    assert "keys" not in task_log()
    exchange_keys()
    assert run_night(Night("2"), clock, on_sqlite) == UNCHANGED
    assert "nobody can tell whether they are of the same account" in task_log()
    sandbox.clear_faults()
    assert run_night(Night("3"), clock, on_sqlite) == UNCHANGED


@pytest.mark.usefixtures("sent_once")
def test_keys_whose_owner_could_not_be_asked_are_asked_about_again_in_the_next_night(
    sandbox, clock, on_sqlite, exchange_keys
):
    exchange_keys(account_code="70007")
    sandbox.fault("error", endpoint="user", exception="MXUnAuthorizedAccessException")
    run_night(Night("2"), clock, on_sqlite)
    sandbox.clear_faults()
    with pytest.raises(ConfigurationError, match="those of another account"):
        sync(Night("3"), on_sqlite)


@pytest.mark.usefixtures("sent_once")
def test_neither_a_key_nor_a_code_is_kept_as_it_is(sandbox, on_sqlite):
    kept = str(on_sqlite.run("SELECT content FROM leadsquared_ledger_metadata"))
    assert sandbox.access_key not in kept
    assert "90001" not in kept
