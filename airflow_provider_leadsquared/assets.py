"""The leads of an account as an Airflow asset, on which other DAGs can be scheduled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

from airflow.sdk import Asset

from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

if TYPE_CHECKING:
    from airflow.sdk import Context


def leads_asset(leadsquared_conn_id: str = LeadSquaredHook.default_conn_name) -> Asset:
    """
    Return the asset that stands for the leads of one account: ``leadsquared://<connection id>/leads``.

    It is named by the connection and not by the host, which is known only when a task runs.

    :param leadsquared_conn_id: The LeadSquared connection.
    """
    return Asset(name=f"{leadsquared_conn_id} leads", uri=f"leadsquared://{leadsquared_conn_id}/leads")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """
    Check the URI of an asset; Airflow calls this for every ``leadsquared://`` one.

    :raises ValueError: It does not name a connection and what of the account is meant.
    """
    if not uri.netloc or not uri.path.strip("/"):
        raise ValueError("a LeadSquared asset is leadsquared://<connection id>/leads")
    if "@" in uri.netloc or uri.query:
        raise ValueError("a LeadSquared asset holds no keys and no query; name the connection id")
    return uri


def tell_outlets(context: Context, outlets: Iterable[Any], books: Mapping[str, int]) -> None:
    """
    Let the event of each asset that a task updates carry the task's books.

    :param outlets: The task's outlets.
    :param books: Rows by state.
    """
    for outlet in outlets:
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra["books"] = dict(books)
