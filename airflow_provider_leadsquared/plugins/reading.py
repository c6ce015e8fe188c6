"""What a request of the page asks for, and reading it from the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from fastapi import Depends

from airflow_provider_leadsquared.plugins.access import ReadableDags
from airflow_provider_leadsquared.plugins.problems import NO_LEDGER, bad_request, named_problems, unknown_ledger
from airflow_provider_leadsquared.plugins.settings import ShownLedger, shown_ledgers
from airflow_provider_leadsquared.reports.places import OpenPlace, RowPlace, RunPlace
from airflow_provider_leadsquared.tasks.ledgers import open_database

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from airflow_provider_leadsquared.ledgers.schema import Tables

#: Between the parts of a place in an address; no scope and no id of an entry holds it.
_BETWEEN = "~"


@dataclass(frozen=True, slots=True)
class Asked:
    """
    The ledger of a request, and the DAGs whose rows it may show.

    :param ledger: The ledger.
    :param ledgers: All that the page shows.
    :param readable: The ids of the DAGs that the user may read.
    """

    ledger: ShownLedger
    ledgers: tuple[ShownLedger, ...]
    readable: frozenset[str]

    @contextmanager
    def reading(self) -> Iterator[tuple[Connection, Tables]]:
        """
        Yield a connection to the ledger, and its tables. It is opened for the request and closed after it.

        :raises PageError: The ledger cannot be read.
        """
        conn_id = self.ledger.address.ledger_conn_id
        with named_problems(conn_id):
            database = open_database(self.ledger.address)
            try:
                with database.existing() as connection:
                    yield connection, database.tables
            finally:
                database.close()

    def link(self, page: str, **asked: object) -> str:
        """Return the address of one of the pages, relative to any other; what is None is left out."""
        given = {"ledger": self.ledger.name, **asked}
        return f"{page}?{urlencode({name: str(value) for name, value in given.items() if value is not None})}"


def _asked(readable: ReadableDags, ledger: str | None = None) -> Asked:
    ledgers = shown_ledgers()
    if not ledgers:
        raise NO_LEDGER
    named = {one.name: one for one in ledgers}
    if ledger and ledger not in named:
        raise unknown_ledger(ledger, list(named))
    return Asked(named[ledger] if ledger else ledgers[0], tuple(ledgers), readable)


AskedDep = Annotated[Asked, Depends(_asked)]


def text_of(place: RunPlace | OpenPlace | tuple[str, RowPlace]) -> str:
    """Return a place of a list as a text for addresses; that of a row with the run that it is in."""
    if isinstance(place, (RunPlace, OpenPlace)):
        return f"{place[0]!r}{_BETWEEN}{place[1]}"
    scope, row = place
    return _BETWEEN.join([scope, row.entry_id, *([] if row.row_key is None else [row.row_key])])


def run_place(text: str | None) -> RunPlace | None:
    """Read the place of a run; None for none."""
    return None if text is None else RunPlace(*_moment_and_id(text))


def open_place(text: str | None) -> OpenPlace | None:
    """Read the place of an open request; None for none."""
    return None if text is None else OpenPlace(*_moment_and_id(text))


def row_place(text: str | None) -> tuple[str, RowPlace] | None:
    """Read the place of a row, and the run that it is in; None for none."""
    if text is None:
        return None
    parts = text.split(_BETWEEN, 2)
    if len(parts) < 2:
        raise bad_request("Where the list begins is no place in it.")
    return parts[0], RowPlace(parts[2] if len(parts) > 2 else None, parts[1])


def _moment_and_id(text: str) -> tuple[float, str]:
    moment, _, name = text.partition(_BETWEEN)
    try:
        seconds = float(moment)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 10**11:
        raise bad_request("Where the list begins is no place in it.")
    return seconds, name
