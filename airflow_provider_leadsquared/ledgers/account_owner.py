"""Whose account the memory of some syncs is of: a connection keeps its name and host when its keys are exchanged."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.ledgers.column_values import digest
from airflow_provider_leadsquared.ledgers.run_metadata import read_metadata, write_metadata

if TYPE_CHECKING:
    from airflow_provider_leadsquared.ledgers.database import Database


class AccountOwner:
    """
    What a ledger keeps of an account's access key and of the organisation that owns it: hashes under its own salt.

    :param database: The ledger's database.
    :param account: Names the account by its connection and host.
    """

    def __init__(self, database: Database, account: str) -> None:
        self._database, self._scope = database, digest("owner", account)

    def read(self) -> dict[str, Any]:
        """Return what is kept: ``access_key`` and ``organisation``, None where the latter is not known; or nothing."""
        with self._database.reading() as connection:
            return read_metadata(connection, self._database.tables.metadata, self._scope)

    def keep(self, *, access_key: str, organisation: str | None) -> None:
        """Keep two hashes in place of those before."""
        found = {"access_key": access_key, "organisation": organisation}
        with self._database.writing() as connection:
            write_metadata(connection, self._database.tables.metadata, self._scope, found)

    def hash_of(self, text: str) -> str:
        """Return a hash by which a text can be recognised, and not be guessed without the ledger."""
        return hmac.new(self._database.salt().encode(), f"owner={text}".encode(), "sha256").hexdigest()[:32]
