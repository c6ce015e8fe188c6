"""The database of a ledger, with its transactions in Airflow's metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.tasks.metrics import timed_ledger

if TYPE_CHECKING:
    from sqlalchemy import Connection


class TimedDatabase(Database):
    """The database of one ledger; each transaction is timed."""

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that reads."""
        with timed_ledger("read"), super().reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that writes."""
        with timed_ledger("write"), super().writing() as connection:
            yield connection
