from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from demo.leads import FEWEST, MOST, invent_leads


def test_the_same_count_gives_the_same_leads():
    assert invent_leads(200) == invent_leads(200)


@pytest.mark.parametrize("count", [FEWEST, 40, 200, MOST])
def test_every_kind_of_trouble_is_among_them(count: int):
    invented = invent_leads(count)
    addresses = Counter(row["Email"] for row in invented.rows if row["Email"])
    known = {lead["EmailAddress"] for lead in invented.known}
    taken = {lead["Phone"] for lead in invented.known if "Phone" in lead}

    assert len(invented.rows) == count
    assert invented.stumbling
    assert set(invented.stumbling) <= set(addresses)
    assert known & set(addresses)
    assert any(row["Phone"] in taken and row["Email"] in known for row in invented.rows)
    assert 2 in addresses.values()
    assert any(row["Referral Code"] for row in invented.rows)
    assert not all(row["Referral Code"] for row in invented.rows)
    assert any(not row["Email"] and not row["Phone"] for row in invented.rows)
    assert any(len(row["City"]) > 100 for row in invented.rows)


def test_names_and_numbers_are_told_apart():
    rows = invent_leads(MOST).rows

    assert len({row["ID"] for row in rows}) == MOST
    phones = [row["Phone"] for row in rows if row["Phone"]]
    assert len(set(phones)) == len(phones)


def test_nobody_real_can_be_meant():
    for row in invent_leads(200).rows:
        assert row["Email"].endswith("@example.org") or not row["Email"]
        assert row["Phone"].startswith("+44-7700900") or not row["Phone"]


@pytest.mark.parametrize("count", [FEWEST - 1, MOST + 1])
def test_too_few_or_too_many_are_refused(count: int):
    with pytest.raises(ValueError, match=str(count)):
        invent_leads(count)


def test_the_file_holds_the_rows(tmp_path: Path):
    invented = invent_leads(FEWEST)
    invented.write(tmp_path / "leads.csv")

    with (tmp_path / "leads.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == invented.rows
