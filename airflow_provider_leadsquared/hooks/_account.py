"""From an Airflow connection to the account that it describes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk.log import mask_secret

from airflow_provider_leadsquared.api.account import Account
from airflow_provider_leadsquared.api.errors import ConfigurationError
from airflow_provider_leadsquared.hooks._transport import guard_library_logs

if TYPE_CHECKING:
    from airflow.sdk import Connection


def account_of(connection: Connection) -> Account:
    """
    Return the account that a connection describes, whose keys are masked in logs from now on.

    :raises ConfigurationError: A field of the connection is missing or wrong; the text names it.
    """
    guard_library_logs()
    try:
        extra = json.loads(connection.extra or "{}")  # Airflow's own reading takes what is no JSON for nothing
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise ConfigurationError("LeadSquared connection: extra is no JSON object")
    for key in (connection.login, connection.password, extra.get("async_api_key")):
        if isinstance(key, str) and key:
            # Airflow does not mask a login by itself, nor a key as it is encoded in a URL.
            mask_secret(key)
            mask_secret(quote(key, safe=""))
    return Account.from_settings(
        host=connection.host,
        port=connection.port,
        access_key=connection.login,
        secret_key=connection.password,
        extra=extra,
    )
