"""The rows of a run on a disk that is too small for them."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.sync.staging import StagedRow, StagingError, StagingTable


def test_a_full_disk_is_named_with_the_remedy_and_without_a_value():
    staging = StagingTable()
    staging._database.execute("PRAGMA max_page_count = 5")
    payload = Payload(b"secret" * 200, ("EmailAddress", "secret"), "f" * 32)
    with pytest.raises(StagingError, match=r"disk is full.*TMPDIR") as caught:
        staging.add(StagedRow(Entry(row, State.UNSENT, f"k{row}", "f" * 32), payload) for row in range(1_000))
    assert "secret" not in str(caught.value)
