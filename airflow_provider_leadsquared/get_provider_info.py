"""What Airflow discovers about this distribution."""

from __future__ import annotations

from typing import Any

_PACKAGE = "airflow_provider_leadsquared"
_INTEGRATION = "LeadSquared"
#: Sections of the connection form. Airflow opens none of them by itself, so their titles say what is in them.
_NEEDED = "Region and Async API key (needed)"
_SELDOM = "Seldom needed: retry intervals, sync host"


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
        "asset-uris": [
            {
                "schemes": ["leadsquared"],
                "handler": f"{_PACKAGE}.assets.sanitize_uri",
                "factory": f"{_PACKAGE}.assets.leads_asset",
                "to_openlineage_converter": f"{_PACKAGE}.assets.to_openlineage",
            }
        ],
        "extra-links": [
            f"{_PACKAGE}.links.leadsquared.DeliveriesLink",
            f"{_PACKAGE}.links.leadsquared.LeadLink",
            f"{_PACKAGE}.links.leadsquared.ErrorLink",
        ],
        "config": {
            "leadsquared": {
                "description": "The deliveries page in Airflow's UI.",
                "options": {
                    "ledgers": {
                        "description": "The ledgers that the page shows, with commas: each by the connection id of "
                        "its database, with = and the table's name if it is not leadsquared_ledger.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "warehouse, crm=marketing.leadsquared_ledger",
                        "default": "",
                    }
                },
            }
        },
        "cli": [f"{_PACKAGE}.cli.definition.get_cli_commands"],
        "notifications": [f"{_PACKAGE}.notifications.leadsquared.LeadSquaredNotifier"],
        "connection-types": [
            {
                "connection-type": "leadsquared",
                "hook-name": "LeadSquared",
                "hook-class-name": f"{_PACKAGE}.hooks.leadsquared.LeadSquaredHook",
                "ui-field-behaviour": {
                    # Not the port: Airflow's Test sends 0 for one that is not stored, and then refuses itself.
                    "hidden-fields": ["schema", "extra"],
                    "relabeling": {"host": "Async host", "login": "Access key", "password": "Secret key"},
                    "placeholders": {
                        "host": "empty if a region is chosen below; else asyncapi-….leadsquared.com",
                        "port": "443 (Airflow's Test button needs it)",
                        "login": "u$r…, from My Profile > Settings > API and Webhooks",
                        "password": "shown beside the access key",
                    },
                },
                "conn-fields": {
                    "region": {
                        "label": "Region",
                        "description": "Fills in both hosts. LeadSquared documents the asynchronous hosts of those "
                        "marked; the others follow the same pattern, and Test says whether they are right.",
                        "schema": {
                            "type": ["string", "null"],
                            "enum": ["in21", "us11", "sg", "in22", "ir31", "ca12", "me61", "id51"],
                            "values_display": {
                                "in21": "India, Mumbai (in21) – documented",
                                "us11": "United States (us11) – documented",
                                "sg": "Singapore (sg) – documented",
                                "in22": "India, Hyderabad (in22)",
                                "ir31": "Ireland (ir31)",
                                "ca12": "Canada (ca12)",
                                "me61": "Middle East (me61)",
                                "id51": "Indonesia, Jakarta (id51)",
                            },
                            "section": _NEEDED,
                        },
                    },
                    "async_api_key": {
                        "label": "Async API key",
                        "description": "The x-api-key, shown under My Profile > Settings > API and Webhooks > Async "
                        "API, where an administrator has enabled it.",
                        # No null: so the form marks its section in red, and saves nothing, as long as it is empty.
                        "schema": {"type": "string", "format": "password", "section": _NEEDED},
                    },
                    "retry_intervals": {
                        "label": "Retry intervals",
                        "description": "Seconds, with commas, such as 30, 120, 420; only if the account's differ from "
                        "LeadSquared's documented ones.",
                        "schema": {"type": ["string", "null"], "section": _SELDOM},
                    },
                    "sync_host": {
                        "label": "Sync host",
                        "description": "The synchronous host, api-….leadsquared.com; only where it cannot be derived "
                        "from region or async host.",
                        "schema": {"type": ["string", "null"], "section": _SELDOM},
                    },
                },
            }
        ],
    }
