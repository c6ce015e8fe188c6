"""The rows of a run on a disk that is too small for them."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.api.leads import Lead
from airflow_provider_leadsquared.delivery.ledger import Entry
from airflow_provider_leadsquared.delivery.spool import Spool, SpooledRow, SpoolError
from airflow_provider_leadsquared.delivery.verdicts import State


def test_a_full_disk_is_named_with_the_remedy_and_without_a_value():
    spool = Spool()
    spool._database.execute("PRAGMA max_page_count = 5")
    lead = Lead(b"secret" * 200, ("EmailAddress", "secret"), "f" * 32)
    with pytest.raises(SpoolError, match=r"disk is full.*TMPDIR") as caught:
        spool.add(SpooledRow(Entry(row, State.UNSENT, f"k{row}", "f" * 32), lead) for row in range(1_000))
    assert "secret" not in str(caught.value)
