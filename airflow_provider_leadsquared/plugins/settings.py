"""Which ledgers the page shows: ``[leadsquared] ledgers`` in Airflow's configuration."""

from __future__ import annotations

from dataclasses import dataclass

from airflow.configuration import conf

from airflow_provider_leadsquared.tasks.deliveries_page import ledger_name
from airflow_provider_leadsquared.tasks.ledger_address import LEDGER_TABLE, LedgerAddress

SECTION, OPTION = "leadsquared", "ledgers"


@dataclass(frozen=True, slots=True)
class ShownLedger:
    """
    A ledger that the page shows.

    :param name: How it is named in the configuration and in addresses: ``conn_id`` or ``conn_id=table``.
    :param address: Where it is.
    """

    name: str
    address: LedgerAddress


def shown_ledgers() -> list[ShownLedger]:
    """Return the ledgers of the configuration, in its order; each once."""
    found: dict[str, ShownLedger] = {}
    for part in conf.get(SECTION, OPTION, fallback="").replace("\n", ",").split(","):
        conn_id, _, table = (text.strip() for text in part.partition("="))
        if conn_id:
            name = ledger_name(conn_id, table or LEDGER_TABLE)
            found[name] = ShownLedger(name, LedgerAddress(conn_id, table or LEDGER_TABLE))
    return list(found.values())
