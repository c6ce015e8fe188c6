"""The clock that all writers of a ledger share: the database's, for workers' clocks may differ."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, literal_column, select

if TYPE_CHECKING:
    from sqlalchemy import Connection

_SECONDS_OF: dict[str, Any] = {
    "postgresql": func.extract("epoch", func.clock_timestamp()),
    # SQLAlchemy's own sysdate() drops its argument, and with it the microseconds.
    "mysql": func.unix_timestamp(literal_column("SYSDATE(6)")),
    # The day of 1970-01-01 in Julian days.
    "sqlite": (func.julianday("now") - 2440587.5) * 86_400.0,
}


def database_time(connection: Connection) -> float:
    """Return the time in seconds since the epoch, as the database has it."""
    expression = _SECONDS_OF.get(connection.dialect.name)
    if expression is not None:
        return float(connection.execute(select(expression)).scalar_one())
    now = connection.execute(select(func.current_timestamp())).scalar_one()
    return float((now if now.tzinfo else now.replace(tzinfo=UTC)).timestamp())
