"""The clock that all writers of a ledger share: the database's, for workers' clocks may differ."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import func, literal_column, select

if TYPE_CHECKING:
    from sqlalchemy import Connection


def database_time(connection: Connection) -> float:
    """
    Return the time in seconds since the epoch, as the database has it.

    SQLite has the clock of the worker that holds the file; so have databases whose functions are not known here.
    """
    match connection.dialect.name:
        case "postgresql":
            now = connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one()
        case "mysql" | "mariadb":
            # As text, for SQLAlchemy's own function leaves the argument out: whole seconds.
            now = connection.execute(select(func.unix_timestamp(literal_column("SYSDATE(6)")))).scalar_one()
        case _:
            return time.time()
    return float(now)
