"""
The digests of rows that are known to be unchanged, in a table of their own.

A digest is a hash of what a source returned for a row, and of all else that decides what would be sent for it. It is
kept when the row was found to be unchanged by the rules of the memory, and ends with the first change of a line that
concerns the row (``memory_unchanged``). As long as it is there, the row is unchanged whenever the source returns the
same. The table holds nothing that cannot be found again: emptied, it costs one slower night.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from airflow_provider_leadsquared.ledgers.memory_lines import RowLine
from airflow_provider_leadsquared.ledgers.statements import digests_in, lock_number, upsert, void_number

if TYPE_CHECKING:
    from airflow_provider_leadsquared.ledgers.database import Database
    from airflow_provider_leadsquared.ledgers.memory_store import MemoryStore

#: Rows that are written in one transaction: others wait for it.
_GROUP_ROWS = 2_000


class UnchangedRows:
    """
    The digests of one sync's rows.

    :param database: The ledger's database.
    :param memory: What the ledger remembers.
    :param sync_id: The sync.
    """

    def __init__(self, database: Database, memory: MemoryStore, sync_id: str) -> None:
        self._database, self._tables = database, database.tables
        self._memory, self._sync_id = memory, sync_id

    def key(self) -> bytes:
        """Return the secret that the digests of this sync are made with, at most 64 bytes."""
        return self._memory.secret(f"unchanged rows of {self._sync_id} in {self._memory.account_id}")

    def among(self, digests: Sequence[str]) -> set[str]:
        """Return those of some digests that are kept."""
        with self._database.reading() as connection:
            void = void_number(connection, self._tables.counters, self._memory.account_id)
            return digests_in(connection, self._tables.unchanged, digests, after=void)

    def keep(self, rows: Iterable[tuple[str, str, str]]) -> int:
        """
        Keep the digests of rows that were found to be unchanged, of those on whose lines nothing was changed since.

        :param rows: Row keys, each with its digest and the hash of its lines when it was compared.
        :return: How many were kept.
        """
        rows, kept = iter(rows), 0
        while group := list(islice(rows, _GROUP_ROWS)):
            # Of rows that share a key none is sent, so that it does not matter which of them this is.
            asked = {self._memory.row_line(self._sync_id, key): (made, lines) for key, made, lines in group}
            with self._database.writing() as connection:
                number = lock_number(connection, self._tables.counters, self._memory.account_id)
                loaded = self._memory.load(connection, asked)
                found = [
                    {"row_line": line, "digest": made, "no": number}
                    for line, (made, lines) in asked.items()
                    if loaded.digest_of(line) == lines and loaded.is_settled(line)
                ]
                upsert(connection, self._tables.unchanged, found)
            kept += len(found)
        return kept

    def written_by(self, row_lines: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return the row key of each of some row lines, and the lead that it wrote last: the id of its line."""
        with self._database.reading() as connection:
            lines = self._memory.load(connection, row_lines).memory.lines
        rows = [line for one in row_lines if isinstance(line := lines.get(one), RowLine)]
        return {row.line_id: (row.row_key, row.success.lead) for row in rows if row.success is not None}
