"""What Airflow discovers about this distribution."""

from __future__ import annotations

from typing import Any

_PACKAGE = "airflow_provider_leadsquared"
_INTEGRATION = "LeadSquared"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata. Imports nothing, for Airflow calls this in every process."""
    return {
        "package-name": "airflow-provider-leadsquared",
        "name": "LeadSquared",
        "description": "Send leads to LeadSquared and wait for their verdicts.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://apidocs.leadsquared.com/",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.hooks.leadsquared"]}],
        "operators": [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.operators.lead_capture"]}],
        "sensors": [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.sensors.lead_status"]}],
        "triggers": [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.triggers.lead_status"]}],
        "transfers": [
            {
                "source-integration-name": "Common SQL",
                "target-integration-name": _INTEGRATION,
                "python-module": f"{_PACKAGE}.transfers.sql_to_leadsquared",
            },
            {
                "source-integration-name": "CSV file",
                "target-integration-name": _INTEGRATION,
                "python-module": f"{_PACKAGE}.transfers.csv_to_leadsquared",
            },
        ],
        "asset-uris": [{"schemes": ["leadsquared"], "handler": f"{_PACKAGE}.assets.sanitize_uri"}],
        "cli": [f"{_PACKAGE}.cli.definition.get_cli_commands"],
        "notifications": [f"{_PACKAGE}.notifications.leadsquared.LeadSquaredNotifier"],
        "connection-types": [
            {
                "connection-type": "leadsquared",
                "hook-name": "LeadSquared",
                "hook-class-name": f"{_PACKAGE}.hooks.leadsquared.LeadSquaredHook",
                "ui-field-behaviour": {
                    "hidden-fields": ["port", "schema", "extra"],
                    "relabeling": {"host": "Async host", "login": "Access key", "password": "Secret key"},
                    "placeholders": {
                        "host": "empty if a region is chosen; else for example asyncapi-in22.leadsquared.com",
                        "login": "u$r…",
                    },
                },
                "conn-fields": {
                    "region": {
                        "label": "Region",
                        "description": "Fills in both hosts: India (in21), United States (us11) or Singapore (sg).",
                        "schema": {"type": ["string", "null"], "enum": ["in21", "us11", "sg"]},
                    },
                    "async_api_key": {
                        "label": "Async API key",
                        "description": "The x-api-key shown beside the async host in LeadSquared's settings.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "retry_intervals": {
                        "label": "Retry intervals",
                        "description": "Seconds, with commas; only if they differ from LeadSquared's documented ones.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "sync_host": {
                        "label": "Sync host",
                        "description": "The synchronous host; only where it cannot be derived from the async host.",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
    }
