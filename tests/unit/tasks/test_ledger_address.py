"""The address of a ledger: what one task writes another reads, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress

FULL = LedgerAddress("db", "crm.ledger", RunOfTask("dag", "run", "task", 3), "customers", "https://async.example")


@pytest.mark.parametrize("address", [FULL, LedgerAddress("db"), LedgerAddress("db", sync="customers")])
def test_an_address_is_read_back_as_it_was_written(address):
    assert LedgerAddress.parse(address.as_json()) == address


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("sync", "ledger_conn_id"),
        (5, "ledger_conn_id"),
        ({}, "ledger_conn_id"),
        ({"ledger_conn_id": "db", "sync": None}, "sync in the address"),
        ({"ledger_conn_id": "db", "sync": ""}, "sync in the address"),
        ({"ledger_conn_id": "db", "table": "crm.ledger"}, "has no table; it has ledger_conn_id, ledger_table"),
        ({"ledger_conn_id": "db", "run_id": "r"}, "names run_id, but not all of"),
    ],
)
def test_what_is_no_address_is_refused_with_what_it_must_have(given, words):
    with pytest.raises(ValueError, match=words):
        LedgerAddress.parse(given)
