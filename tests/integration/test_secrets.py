"""Keys and leads stay where they belong; the searches that run with every test are searched here themselves."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.api import requests
from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.api.leads import encode_lead
from airflow_provider_leadsquared.delivery.batch import Batch
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from tests import canaries
from tests.integration.tasks import Task, capture, leads, wait_for


@pytest.mark.parametrize("text", [f"x{canary}y" for canary in (*canaries.KEYS, *canaries.PERSONAL)], ids=range(5))
def test_every_canary_is_found(text):
    assert canaries.found_in(text)


def test_a_hidden_cause_is_searched_too():
    error = KeyError("clean")
    error.__context__, error.__suppress_context__ = ValueError(canaries.KEYS[0]), True
    assert canaries.found_in("".join(canaries.chain_of(error)))


def test_the_sql_ledger_holds_no_key_and_no_lead(sandbox, clock, ledger_database):
    clash = [{"id": "c", "EmailAddress": "lead0@example.org", "Phone": "+91-9000000001", "SearchBy": "EmailAddress"}]
    wait_for(Task(), clock, capture(Task(), [{"id": "o", "EmailAddress": "o@example.org", "Phone": "+91-9000000001"}]))
    rows = [*clash, *leads(3)[1:], {"id": "bad", "EmailAddress": "b@example.org", "mx_Nope": "b@example.org"}]
    receipts = capture(Task(), rows, ledger_conn_id="ledger")
    with pytest.raises(LeadsNotDelivered):
        wait_for(Task(), clock, receipts, ledger_conn_id="ledger")
    kept = ledger_database.read_bytes().decode(errors="replace")
    assert "MXDuplicateEntryException" in kept
    assert canaries.found_in(kept) == []
    assert "9000000001" not in kept


def test_nothing_that_holds_a_key_or_a_lead_shows_it(sandbox):
    account = LeadSquaredHook().account
    lead = encode_lead({"EmailAddress": "shown@example.org"})
    things = [
        account,
        lead,
        requests.submit(account, LEAD_CAPTURE, lead.body),
        Batch.read(leads(2), row_key="id", api=LEAD_CAPTURE),
    ]
    assert canaries.found_in(repr(things)) == []
