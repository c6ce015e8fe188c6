"""The leads of an account as an Airflow asset, on which other DAGs can be scheduled."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, urlsplit

from airflow.sdk import Asset

from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook


def leads_asset(leadsquared_conn_id: str = LeadSquaredHook.default_conn_name) -> Asset:
    """
    Return the asset of one account's leads: ``leadsquared://<connection id>/leads``.

    It is named by the connection and not by the host, which is known only when a task runs.

    :param leadsquared_conn_id: The LeadSquared connection.
    """
    return Asset(name=f"{leadsquared_conn_id} leads", uri=f"leadsquared://{leadsquared_conn_id}/leads")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """
    Check the URI of an asset; Airflow calls this for every ``leadsquared://`` one.

    :raises ValueError: It does not name a connection and a part of the account.
    """
    if not uri.netloc or not uri.path.strip("/"):
        raise ValueError("a LeadSquared asset is leadsquared://<connection id>/leads")
    if "@" in uri.netloc or uri.query:
        raise ValueError("a LeadSquared asset holds no keys and no query; name the connection id")
    return uri


def to_openlineage(asset: Asset, lineage_context: Any) -> Any:
    """
    Return an asset as the dataset that tasks tell OpenLineage; Airflow calls this where OpenLineage is installed.

    :param asset: An asset ``leadsquared://<connection id>/leads``.
    :param lineage_context: Airflow's; not needed, for the URI says all.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset

    parts = urlsplit(asset.uri)
    return Dataset(namespace=f"{parts.scheme}://{parts.netloc}", name=parts.path.strip("/"))
