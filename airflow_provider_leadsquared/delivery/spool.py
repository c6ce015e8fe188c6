"""
The rows of one run on disk, so that a million of them take no more memory than a thousand.

SQLite keeps them in a temporary file that has no name and is gone with the process, however that ends. All rows are
here before the first is sent: rules that look across rows need them all, a query that fails half-way sends nothing,
and the warehouse is not kept waiting while leads go out.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_leadsquared.api.leads import Lead
from airflow_provider_leadsquared.delivery.ledger import Entry
from airflow_provider_leadsquared.delivery.verdicts import State

#: Kilobytes of the file that stay in memory.
_CACHE_KB = 16_000
_TO_SEND = ("unsent", "in_doubt")
_NOT_SENT = ("invalid", "superseded", "waiting")

_NO_ROOM = (
    "the rows could not be kept on the worker's disk ({}). Let the environment variable SQLITE_TMPDIR or TMPDIR name a "
    "folder with room for the rows that are to be sent; a retry sends what is not sent yet"
)

_CREATE = """
CREATE TABLE rows (
    row_no INTEGER PRIMARY KEY, owner_key TEXT, fingerprint TEXT NOT NULL, match_attribute TEXT, match_value TEXT,
    body BLOB, state TEXT NOT NULL, reason_class TEXT, reason TEXT, attempts INTEGER NOT NULL, doubted_at REAL
)
"""
_DOUBLED_KEYS = """
CREATE TEMPORARY TABLE doubled AS
SELECT owner_key, COUNT(*) AS times
FROM rows
WHERE owner_key IS NOT NULL
GROUP BY owner_key
HAVING COUNT(*) > 1
"""
_REFUSE_DOUBLED_KEYS = """
UPDATE rows SET
    state = 'invalid', reason_class = 'doubled_key', body = NULL,
    reason = (SELECT times FROM doubled WHERE doubled.owner_key = rows.owner_key)
        || ' rows of the query have this key; let it return one row for each'
WHERE owner_key IN (SELECT owner_key FROM doubled) AND state IN ({states})
"""
_PART = """
SELECT
    row_no, owner_key, fingerprint, state, reason_class, reason, attempts, doubted_at,
    match_attribute, match_value, body
FROM rows
WHERE state IN ({states}) AND row_no > ?
ORDER BY row_no
LIMIT ?
"""
_FIRST_OF_EACH = """
SELECT row_no, owner_key, fingerprint, state, reason_class, reason, attempts, doubted_at
FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY state, reason_class ORDER BY row_no) AS nth
    FROM rows
    WHERE state NOT IN ('unsent', 'unchanged', 'open', 'created', 'updated')
)
WHERE nth <= ?
ORDER BY row_no
"""
_OVERTAKEN = """
SELECT row_no, winner, match_attribute
FROM (
    SELECT row_no, state, match_attribute,
        MAX(row_no) OVER (PARTITION BY match_attribute, match_value) AS winner
    FROM rows
    WHERE match_attribute IS NOT NULL AND state <> 'invalid'
)
WHERE row_no < winner AND state IN ('unsent', 'in_doubt', 'unchanged')
"""


class _Database(sqlite3.Connection):
    """A connection whose failures name what failed and the remedy; SQLite's own words hold no value of a row."""

    def execute(self, *args: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*args)
        except sqlite3.Error as error:
            raise SpoolError(_NO_ROOM.format(error)) from None

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        try:
            return super().executemany(*args)
        except sqlite3.Error as error:
            raise SpoolError(_NO_ROOM.format(error)) from None


@dataclass(frozen=True, slots=True)
class SpooledRow:
    """
    One row of a run.

    :param entry: Where it stands.
    :param lead: What is sent, None if it could not be made.
    """

    entry: Entry
    lead: Lead | None = field(repr=False)


class SpoolError(Exception):
    """The rows could not be kept on the worker's disk."""


class Spool:
    """
    The rows of one run; from one thread at a time.

    :raises SpoolError: Any method: the disk is full, or there is none to write to.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, factory=_Database)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        self._database.execute(_CREATE)

    def close(self) -> None:
        """Let the file go."""
        self._database.close()

    def add(self, rows: Iterable[SpooledRow]) -> None:
        """Put rows behind those that are there; bodies are kept of those only that are to be sent."""
        self._database.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    row.entry.row,
                    row.entry.key,
                    row.entry.fingerprint,
                    *((row.lead and row.lead.match_key) or (None, None)),
                    row.lead.body if row.lead and row.entry.state.value in _TO_SEND else None,
                    row.entry.state.value,
                    row.entry.reason_class,
                    row.entry.reason,
                    row.entry.attempts,
                    row.entry.doubted_at,
                )
                for row in rows
            ),
        )

    def refuse_doubled_keys(self) -> None:
        """Make every row invalid whose key another row has: nobody can tell which one is right."""
        self._database.execute(_DOUBLED_KEYS)
        self._database.execute("CREATE UNIQUE INDEX doubled_key ON doubled (owner_key)")
        states = ", ".join(map(repr, (*_TO_SEND, "unchanged", "waiting", "rejected", "failed")))
        self._database.execute(_REFUSE_DOUBLED_KEYS.format(states=states))

    def supersede(self) -> None:
        """Let the last of several rows for one lead win."""
        overtaken = self._database.execute(_OVERTAKEN).fetchall()
        self._database.executemany(
            "UPDATE rows SET state = 'superseded', reason_class = 'same_match_key', reason = ?, body = NULL "
            "WHERE row_no = ?",
            ((f"row {winner + 1} has the same {attribute}", row) for row, winner, attribute in overtaken),
        )

    def move(self, entries: Iterable[Entry]) -> None:
        """Note where rows stand now."""
        self._database.executemany(
            "UPDATE rows SET state = ?, reason_class = ?, reason = ? WHERE row_no = ?",
            ((entry.state.value, entry.reason_class, entry.reason, entry.row) for entry in entries),
        )

    def counts(self) -> Counter[tuple[State, str | None]]:
        """Count rows by state and reason class."""
        found = self._database.execute("SELECT state, reason_class, COUNT(*) FROM rows GROUP BY state, reason_class")
        return Counter({(State(state), reason_class): count for state, reason_class, count in found})

    def to_send(self, size: int) -> Iterator[list[SpooledRow]]:
        """Return the rows that are to be sent, so many at a time."""
        for part in self._parts(_TO_SEND, size):
            yield [
                SpooledRow(entry, Lead(body, None if attribute is None else (attribute, value), entry.fingerprint))
                for entry, attribute, value, body in part
            ]

    def not_sent(self) -> Iterator[Entry]:
        """Return the rows that were set aside, and those that wait."""
        for part in self._parts(_NOT_SENT, 1_000):
            yield from (entry for entry, *_ in part)

    def first_of_each(self, each: int) -> list[Entry]:
        """Return some rows of every state that needs a reason, in order."""
        found = self._database.execute(_FIRST_OF_EACH, (each,))
        return [_entry(*line) for line in found]

    def _parts(self, states: Sequence[str], size: int) -> Iterator[list[tuple[Entry, str, str, bytes]]]:
        select = _PART.format(states=", ".join("?" * len(states)))
        after = -1
        while lines := self._database.execute(select, (*states, after, size)).fetchall():
            yield [(_entry(*line[:8]), *line[8:]) for line in lines]
            after = lines[-1][0]


def _entry(
    row: int,
    key: str | None,
    fingerprint: str,
    state: str,
    reason_class: str | None,
    reason: str | None,
    attempts: int,
    doubted_at: float | None,
) -> Entry:
    return Entry(
        row,
        State(state),
        key,
        fingerprint,
        reason_class=reason_class,
        reason=reason,
        attempts=attempts,
        doubted_at=doubted_at,
    )
