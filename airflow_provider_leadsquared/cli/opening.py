"""Opening what a command works on: a LeadSquared connection, or a ledger."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_leadsquared.cli.exit_codes import CommandError
from airflow_provider_leadsquared.delivery.row_keys import key_text
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress
from airflow_provider_leadsquared.tasks.ledgers import open_database

if TYPE_CHECKING:
    from airflow_provider_leadsquared.ledgers.database import Database


def open_account(arguments: Namespace) -> LeadSquaredHook:
    """
    Return a hook whose connection is there and complete.

    :raises CommandError: There is no such connection.
    :raises ConfigurationError: One of its fields is missing or wrong.
    """
    hook = LeadSquaredHook(arguments.conn_id)
    with _known(arguments.conn_id, "--conn-id"):
        hook.account  # noqa: B018 - reads the connection
    return hook


def open_ledger(arguments: Namespace) -> Database:
    """
    Return a ledger's database.

    :raises CommandError: There is no such connection.
    :raises ValueError: It leads to no database for a ledger, or the table is no name.
    """
    with _known(arguments.ledger_conn_id, "--ledger-conn-id"):
        return open_database(LedgerAddress(arguments.ledger_conn_id, arguments.ledger_table))


def row_key_of(arguments: Namespace) -> str:
    """Return the row key as the ledger has it."""
    return key_text(arguments.row_key, "KEY", is_hashed=arguments.hashed)


@contextmanager
def _known(conn_id: str, option: str) -> Iterator[None]:
    try:
        yield
    except AirflowNotFoundException:
        raise CommandError(
            f"there is no connection {conn_id!r}; name one by {option}, or define it (airflow connections add, or an "
            f"environment variable AIRFLOW_CONN_{conn_id.upper()})"
        ) from None
