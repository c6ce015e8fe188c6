"""The connection form of Airflow 3.1, which asks the hook; later versions read the provider's metadata themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_leadsquared.get_provider_info import get_provider_info


def field_behaviour() -> dict[str, Any]:
    """Return the form's changes to Airflow's own fields."""
    return {key.replace("-", "_"): value for key, value in _connection_type()["ui-field-behaviour"].items()}


def widgets() -> dict[str, Any]:
    """Return the form's own fields."""
    from wtforms import PasswordField, SelectField, StringField

    fields: dict[str, Any] = {}
    for name, spec in _connection_type()["conn-fields"].items():
        label, schema = spec["label"], spec["schema"]
        if "enum" in schema:
            fields[name] = SelectField(label, choices=[(value, value) for value in ("", *schema["enum"])])
        else:
            fields[name] = (PasswordField if schema.get("format") == "password" else StringField)(label)
    return fields


def _connection_type() -> Mapping[str, Any]:
    kind: Mapping[str, Any] = get_provider_info()["connection-types"][0]
    return kind
