"""
The rows of one run in a temporary table on disk, so that a million take no more memory than a thousand.

SQLite keeps them in a temporary file that has no name and is gone with the process, however that ends. All rows are
here before the first is sent: rules that compare rows need them all, a query that fails half-way sends nothing,
and the warehouse is not kept waiting while leads go out.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from airflow_provider_leadsquared.api.errors import LeadSquaredError
from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.row_keys import DOUBLED_KEY
from airflow_provider_leadsquared.delivery.states import State, names_of
from airflow_provider_leadsquared.ledgers.memory import Finding

#: Kilobytes of the file that stay in memory.
_CACHE_KB = 16_000
_TO_SEND = names_of(lambda state: state.is_to_send)
_NOT_SENT = names_of(lambda state: state.is_not_sent)
#: The states of rows that were not sent by this run of the task and can still be refused.
_NOT_SENT_YET = names_of(lambda state: state.can_be_refused)
#: The states of rows among which the last of one person is sent.
_COMPETING = names_of(lambda state: state.competes)
_NEEDS_REASON = names_of(lambda state: state.needs_reason)
#: The states of rows that a later row of the same person replaces.
_REPLACEABLE = names_of(lambda state: state.is_replaceable)

_NO_ROOM = (
    "the rows could not be kept on the worker's disk ({}). Let the environment variable SQLITE_TMPDIR or TMPDIR name a "
    "folder with room for the rows that are to be sent; a retry sends what is not sent yet"
)

_CREATE = """
CREATE TABLE rows (
    row_no INTEGER PRIMARY KEY, row_key TEXT, fingerprint TEXT NOT NULL, match_keys TEXT, body BLOB,
    state TEXT NOT NULL, reason_class TEXT, reason TEXT, attempts INTEGER NOT NULL, person TEXT, owner TEXT, lead TEXT,
    writer TEXT, digest TEXT, lines_digest TEXT, waits_since INTEGER NOT NULL
)
"""
_CREATE_UNCHANGED = "CREATE TABLE unchanged (row_no INTEGER PRIMARY KEY, row_key TEXT NOT NULL)"
_STAGE_UNCHANGED = """
INSERT INTO rows (row_no, row_key, fingerprint, state, attempts, person, waits_since)
SELECT row_no, row_key, '', 'unchanged', 0, ?, 0 FROM unchanged WHERE row_key {those}
"""
_THAT_ARE_DOUBLED = """
IN (
    SELECT row_key FROM unchanged GROUP BY row_key HAVING COUNT(*) > 1
    UNION
    SELECT row_key FROM rows WHERE row_key IS NOT NULL
)
"""
_DOUBLED_KEYS = """
CREATE TEMPORARY TABLE doubled AS
SELECT row_key, COUNT(*) AS times
FROM rows
WHERE row_key IS NOT NULL
GROUP BY row_key
HAVING COUNT(*) > 1
"""
_REFUSE_DOUBLED_KEYS = """
UPDATE rows SET
    state = 'invalid', reason_class = 'doubled_key', body = NULL,
    reason = (SELECT times FROM doubled WHERE doubled.row_key = rows.row_key)
        || ' ' || ?
WHERE row_key IN (SELECT row_key FROM doubled) AND state IN ({states})
"""
_WAITING = "SELECT row_no FROM rows WHERE waits_since > 0 AND state IN ({states}) ORDER BY waits_since, row_no"
_ROWS = """
SELECT row_no, row_key, fingerprint, state, reason_class, reason, attempts, match_keys, body
FROM rows WHERE {which}
"""
_ROW = _ROWS.format(which="row_no = ?")
_PART = _ROWS.format(which="state IN ({states}) AND {which} AND row_no > ? ORDER BY row_no LIMIT ?")
_FIRST_OF_EACH = """
SELECT row_no, row_key, fingerprint, state, reason_class, reason, attempts
FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY state, reason_class ORDER BY row_no) AS nth
    FROM rows
    WHERE state IN ({states})
)
WHERE nth <= ?
ORDER BY row_no
"""
_COMPETING_KEYS = """
SELECT row_key FROM rows WHERE state IN ({states}) AND row_key IN (SELECT value FROM json_each(?))
"""
_OVERTAKEN = """
SELECT row_no, winner
FROM (
    SELECT row_no, state, MAX(row_no) OVER (PARTITION BY person) AS winner
    FROM rows
    WHERE person IS NOT NULL AND state IN ({competing})
)
WHERE row_no < winner AND state IN ({states})
"""


class _Database(sqlite3.Connection):
    """A connection whose failures name what failed and the remedy; SQLite's own words hold no value of a row."""

    def execute(self, *args: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*args)
        except sqlite3.Error as error:
            raise StagingError(_NO_ROOM.format(error)) from None

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        try:
            return super().executemany(*args)
        except sqlite3.Error as error:
            raise StagingError(_NO_ROOM.format(error)) from None


@dataclass(frozen=True, slots=True)
class StagedRow:
    """
    One row of a run.

    :param entry: Its entry.
    :param payload: What is sent, None if it could not be made.
    :param found: What the memory says of it, None if it was not asked.
    :param digest: The digest of what the source returned for it, None if it has none.
    """

    entry: Entry
    payload: Payload | None = field(repr=False)
    found: Finding | None = None
    digest: str | None = None

    @property
    def may_be_sent(self) -> bool:
        """Whether it is sent, unless another row of the run is the same person."""
        return self.entry.state.is_to_send or self.owner is not None

    @property
    def owner(self) -> str | None:
        """The row that writes its lead from another task instance, if it is superseded by that one."""
        return self.found.owner if self.found and self.entry.state is State.SUPERSEDED else None


class StagingError(LeadSquaredError):
    """The rows could not be kept on the worker's disk."""


class StagingTable:
    """
    The rows of one run; from one thread at a time.

    :raises StagingError: Any method: the disk is full, or there is none to write to.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, factory=_Database)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        self._database.execute(_CREATE)
        self._database.execute("CREATE INDEX waiting ON rows (waits_since, row_no) WHERE waits_since > 0")
        self._database.execute(_CREATE_UNCHANGED)
        #: How many rows are only known to be unchanged.
        self._unchanged = 0

    def close(self) -> None:
        """Delete the file."""
        self._database.close()

    def add(self, rows: Iterable[StagedRow]) -> None:
        """Put rows behind those that are there; bodies are kept of those only that may be sent."""
        self._database.executemany(
            f"INSERT INTO rows VALUES (?{', ?' * 15})",  # noqa: S608 - signs only
            (
                (
                    row.entry.row,
                    row.entry.row_key,
                    row.entry.fingerprint,
                    json.dumps([row.payload.match_keys, row.payload.cleared])
                    if row.payload and row.may_be_sent
                    else None,
                    row.payload.body if row.payload and row.may_be_sent else None,
                    row.entry.state.value,
                    row.entry.reason_class,
                    row.entry.reason,
                    row.entry.attempts,
                    row.found and row.found.person,
                    row.owner,
                    row.found.lead if row.found and row.found.is_owner_here else None,
                    row.found and row.found.writer,
                    row.digest if row.found and row.found.is_lasting else None,
                    row.found and row.found.lines_digest,
                    row.found.waits_since if row.found else 0,
                )
                for row in rows
            ),
        )

    def add_unchanged(self, rows: Iterable[tuple[int, str]]) -> None:
        """Put rows behind those that are there, of which is known that they are unchanged: positions and row keys."""
        before = self._database.total_changes
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO unchanged VALUES (?, ?)", rows)
        self._database.execute("COMMIT")
        self._unchanged += self._database.total_changes - before

    def stage_unchanged(self, written_by: Callable[[Sequence[str]], Mapping[str, tuple[str, str]]]) -> None:
        """
        Let rules that compare rows see those of the unchanged rows that they may concern.

        These are the rows whose key another row has, and those whose lead another row reaches.

        :param written_by: Returns the row keys of row lines, by line, each with the lead that the row wrote last.
        """
        if not self._unchanged:
            return
        self._database.execute("CREATE INDEX unchanged_key ON unchanged (row_key)")
        self._database.execute(_STAGE_UNCHANGED.format(those=_THAT_ARE_DOUBLED), (None,))
        self._drop_staged()
        found = self._database.execute("SELECT DISTINCT writer, person FROM rows WHERE writer IS NOT NULL").fetchall()
        written = written_by(list({writer for writer, _ in found})) if found else {}
        statement = _STAGE_UNCHANGED.format(those="= ?")
        for writer, person in found:
            row_key, lead = written.get(writer, (None, None))
            if lead == person:  # else it has moved to another lead since
                self._database.execute(statement, (person, row_key))
        self._drop_staged()

    def _drop_staged(self) -> None:
        before = self._database.total_changes
        self._database.execute("DELETE FROM unchanged WHERE row_no IN (SELECT row_no FROM rows)")
        self._unchanged -= self._database.total_changes - before

    def lasting(self) -> Iterator[tuple[str, str, str]]:
        """Return the rows whose digests may be kept: row key, digest, and the hash of their lines."""
        query = "SELECT row_key, digest, lines_digest FROM rows WHERE digest IS NOT NULL AND state = 'unchanged'"
        yield from self._database.execute(query)

    def refuse_doubled_keys(self) -> None:
        """Make every row invalid whose key another row has: it is not known which one is right."""
        self._database.execute(_DOUBLED_KEYS)
        self._database.execute("CREATE UNIQUE INDEX doubled_key ON doubled (row_key)")
        self._database.execute(_REFUSE_DOUBLED_KEYS.format(states=_listed(_NOT_SENT_YET)), (DOUBLED_KEY,))

    def supersede(self, row_line: Callable[[str], str]) -> None:
        """
        Keep the last row of each person; one that a row of another task instance replaces is sent if that is here.

        :param row_line: Returns the id under which the memory knows a row key.
        """
        statement = _OVERTAKEN.format(states=_listed(_REPLACEABLE), competing=_listed(_COMPETING))
        overtaken = self._database.execute(statement).fetchall()
        self._database.executemany(
            "UPDATE rows SET state = 'superseded', reason_class = 'same_match_key', reason = ?, body = NULL, "
            "owner = NULL, lead = NULL WHERE row_no = ?",
            ((f"row {winner + 1} is the same person", row) for row, winner in overtaken),
        )
        owners = {owner for (owner,) in self._database.execute("SELECT owner FROM rows WHERE owner IS NOT NULL")}
        if owners:
            keys = self._database.execute("SELECT row_key FROM rows WHERE row_key IS NOT NULL")
            here = owners.intersection(row_line(key) for (key,) in keys)
            self._database.executemany(
                "UPDATE rows SET state = 'unsent', reason_class = NULL, reason = NULL WHERE owner = ?",
                ((owner,) for owner in here),
            )

    def competing_among(self, row_keys: Iterable[str]) -> set[str]:
        """Return those of some row keys whose rows are neither invalid nor refused."""
        statement = _COMPETING_KEYS.format(states=_listed(_COMPETING))
        found = self._database.execute(statement, (json.dumps(list(row_keys)),))
        return {key for (key,) in found}

    def owned_leads(self) -> list[str]:
        """Return the contested leads that rows of this run write."""
        return [lead for (lead,) in self._database.execute("SELECT lead FROM rows WHERE lead IS NOT NULL")]

    def update(self, entries: Iterable[Entry]) -> None:
        """Record the present states of rows."""
        self._database.executemany(
            "UPDATE rows SET state = ?, reason_class = ?, reason = ? WHERE row_no = ?",
            ((entry.state.value, entry.reason_class, entry.reason, entry.row) for entry in entries),
        )

    def counts(self) -> Counter[tuple[State, str | None]]:
        """Count rows by state and reason class."""
        found = self._database.execute("SELECT state, reason_class, COUNT(*) FROM rows GROUP BY state, reason_class")
        counts = Counter({(State(state), reason_class): count for state, reason_class, count in found})
        if self._unchanged:
            counts[State.UNCHANGED, None] += self._unchanged
        return counts

    def to_send(self, size: int) -> Iterator[list[StagedRow]]:
        """Return the rows to send, in lists of at most ``size``; first those that others were sent before last time."""
        numbers = [number for (number,) in self._database.execute(_WAITING.format(states=_listed(_TO_SEND)))]
        waiting = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        lines = ([self._database.execute(_ROW, (number,)).fetchone() for number in part] for part in waiting)
        for part in chain(lines, self._parts(_TO_SEND, size, which="waits_since = 0")):
            yield [StagedRow(_entry(*line[:7]), _payload(line[7], line[8], line[2])) for line in part]

    def not_sent(self) -> Iterator[Entry]:
        """Return the rows that were set aside, and those that wait."""
        for part in self._parts(_NOT_SENT, 1_000):
            yield from (_entry(*line[:7]) for line in part)

    def first_of_each(self, each: int) -> list[Entry]:
        """Return some rows of every state that needs a reason, in order."""
        found = self._database.execute(_FIRST_OF_EACH.format(states=_listed(_NEEDS_REASON)), (each,))
        return [_entry(*line) for line in found]

    def _parts(self, states: Sequence[str], size: int, *, which: str = "TRUE") -> Iterator[list[Any]]:
        select, after = _PART.format(states=_listed(states), which=which), -1
        while lines := self._database.execute(select, (after, size)).fetchall():
            yield lines
            after = lines[-1][0]


def _payload(match_keys: str, body: bytes, fingerprint: str) -> Payload:
    keys, cleared = json.loads(match_keys)
    return Payload(body, tuple(map(tuple, keys)), fingerprint, cleared=tuple(cleared))


def _listed(states: Sequence[str]) -> str:
    return ", ".join(f"'{state}'" for state in states)


def _entry(
    row: int,
    row_key: str | None,
    fingerprint: str,
    state: str,
    reason_class: str | None,
    reason: str | None,
    attempts: int,
) -> Entry:
    return Entry(
        row,
        State(state),
        row_key,
        fingerprint,
        reason_class=reason_class,
        reason=reason,
        attempts=attempts,
    )
