"""Ledgers on the databases and drivers that are said to be proven."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.ledger_databases import DRIVERS, LedgerDatabase, ledger_database_of, parameters


@pytest.fixture(params=parameters(DRIVERS))
def ledger_database(request: pytest.FixtureRequest) -> Iterator[LedgerDatabase]:
    """Return an empty database, to which an Airflow connection leads."""
    with ledger_database_of(request, request.param) as database:
        yield database
