from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from dags_examples.warehouse_to_leadsquared import CONSTANTS, MAPPING, PRESENT_CUSTOMERS, SELECT
from demo.customers import FEWEST, MOST, Customers, Kind
from demo.truth import Fields, ought

SIZES = [FEWEST, 40, 200, MOST]


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.db"


def test_the_same_count_gives_the_same_customers(tmp_path: Path):
    assert Customers(tmp_path / "one.db", 200).rows() == Customers(tmp_path / "other.db", 200).rows()


@pytest.mark.parametrize("count", SIZES)
def test_every_kind_of_trouble_is_among_them(warehouse: Path, count: int):
    customers = Customers(warehouse, count)
    rows = customers.rows()
    addresses = Counter(row.lead["EmailAddress"] for row in rows if "EmailAddress" in row.lead)
    known = {lead["EmailAddress"] for lead in customers.known}
    taken = {lead["Phone"] for lead in customers.known if "Phone" in lead}

    assert len(rows) == count
    assert set(customers.kinds.values()) == set(Kind)
    assert Counter(ought(rows, Fields(), {})).keys() == {"sent", "superseded", "invalid"}
    assert {fault["value"] for fault in customers.faults} <= set(addresses)
    assert known & set(addresses)
    assert sum(row.lead.get("Phone") in taken and row.lead["EmailAddress"] in known for row in rows) >= 2
    assert 2 in addresses.values()


@pytest.mark.parametrize("count", SIZES)
def test_a_day_changes_few_mends_what_was_refused_but_one_and_lets_one_come_and_one_go(warehouse: Path, count: int):
    customers = Customers(warehouse, count)
    before = {row.key: row.lead for row in customers.rows()}
    refused = [str(number + 1) for number, kind in customers.kinds.items() if kind is Kind.PHONE_TAKEN]

    customers.live_a_day(refused)

    after = {row.key: row.lead for row in customers.rows()}
    changed = {key for key in before if key in after and before[key] != after[key]}
    plans = sum(kind is Kind.WRONG_PLAN for kind in customers.kinds.values())
    assert len(changed) == max(1, round(0.03 * count)) + len(refused) - 1 + plans
    assert len(changed & set(refused)) == len(refused) - 1
    assert after.keys() - before.keys() == {str(count + 1)}
    assert len(before.keys() - after.keys()) == 1
    phones = [lead["Phone"] for lead in after.values() if "Phone" in lead]
    assert len(set(phones)) == len(phones)


def test_the_examples_mapping_makes_of_them_what_is_written_down_here(warehouse: Path):
    """Both readings of the mapping agree, the example's own and the demonstration's, on every customer."""
    from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
    from airflow_provider_leadsquared.api.leads import attributes_of, encode_lead
    from airflow_provider_leadsquared.sync.mapping import ColumnMapping

    rows = Customers(warehouse, MOST).rows()
    with closing(sqlite3.connect(warehouse)) as database:
        for statement in PRESENT_CUSTOMERS:
            database.execute(statement)
        cursor = database.execute(SELECT)
        names = [column[0] for column in cursor.description]
        columns = ColumnMapping.build(
            MAPPING, columns=names, row_key="customer_id", api=LEAD_CAPTURE, constants=CONSTANTS
        )
        made = [(columns.row_key(line), attributes_of(encode_lead(columns.lead(line)))) for line in cursor]

    assert made == [(row.key, row.lead) for row in rows]


def test_columns_and_fields_are_those_of_the_example(warehouse: Path):
    customers = Customers(warehouse, FEWEST)

    assert customers.columns["email"] == "EmailAddress"
    assert customers.columns.keys() == MAPPING.keys() > {customers.row_key}


def test_refusals_that_are_arranged_are_counted(warehouse: Path):
    assert "telephone numbers of 2 of them" in " ".join(Customers(warehouse, FEWEST).arranged.split())


def test_nobody_real_can_be_meant(warehouse: Path):
    for row in Customers(warehouse, 200).rows():
        assert row.lead.get("EmailAddress", "@example.org").endswith("@example.org")
        assert row.lead.get("Phone", "+44-7700900").startswith("+44-7700900")


@pytest.mark.parametrize("count", [FEWEST - 1, MOST + 1])
def test_too_few_or_too_many_are_refused(warehouse: Path, count: int):
    with pytest.raises(ValueError, match=str(count)):
        Customers(warehouse, count)
