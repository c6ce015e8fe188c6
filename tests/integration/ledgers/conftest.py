"""Ledgers on every database and driver that is said to be proven."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.ledger_databases import LedgerDatabase, ledger_database_of, parameters


@pytest.fixture(params=parameters())
def ledger_database(request: pytest.FixtureRequest) -> Iterator[LedgerDatabase]:
    """Return an empty database, to which an Airflow connection leads."""
    with ledger_database_of(request, request.param) as database:
        yield database
