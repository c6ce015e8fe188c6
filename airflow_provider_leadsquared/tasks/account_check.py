"""Whether a sync's ledger is of the account to which its connection leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.errors import ApiError, ConfigurationError
from airflow_provider_leadsquared.tasks.ledgers import account_name, open_database

if TYPE_CHECKING:
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress


def check_account(address: LedgerAddress, hook: LeadSquaredHook, log: Any, *, is_kept: bool) -> None:
    """
    Compare whose the connection's keys are with whose they were when the ledger was written.

    LeadSquared is asked only where the ledger does not know the keys: at the first run and after keys were exchanged.

    :param address: The sync's ledger.
    :param hook: What the sync sends by.
    :param log: The task's log.
    :param is_kept: Keep what is found, for the runs after this one.
    :raises ConfigurationError: The keys are another organisation's.
    """
    from airflow_provider_leadsquared.ledgers.account_owner import AccountOwner

    owner = AccountOwner(open_database(address), account_name(hook))
    known = owner.read()
    access_key = owner.hash_of(hook.account.access_key)
    before = known.get("organisation")
    if known.get("access_key") == access_key and before is not None:
        return
    code, trouble = _organisation(hook)
    organisation = None if code is None else owner.hash_of(code)
    if before is not None and organisation is not None and organisation != before:
        raise ConfigurationError(
            f"The keys of the connection {hook.leadsquared_conn_id} are those of another account than before: the "
            "sync's ledger tells what is in that one. Nothing was sent. Use a connection of another name for this "
            "account, so that the sync begins anew in it, or put the former account's keys back"
        )
    if known and known.get("access_key") != access_key and (before is None or organisation is None):
        log.warning(
            "The keys of the connection %s were exchanged, and nobody can tell whether they are of the same account "
            "(%s). If they are of another one, rows that it lacks count as unchanged: run once with full_refresh",
            hook.leadsquared_conn_id,
            trouble or "which account the former ones were of is not known",
        )
    # Keys whose owner could not be asked are not taken for the known organisation's: the next run asks again.
    if is_kept and (organisation is not None or before is None):
        owner.keep(access_key=access_key, organisation=organisation)


def _organisation(hook: LeadSquaredHook) -> tuple[str | None, str]:
    """Return the short code of the organisation that owns the keys, or None and why it is not known."""
    try:
        facts = hook.get_account_facts()
    except ApiError as error:
        return None, str(error)
    return (facts.code or facts.name or None), "LeadSquared names no organisation"
