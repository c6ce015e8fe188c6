"""The connection form of Airflow 3.1, which asks the hook; later versions read the provider's metadata themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_leadsquared.get_provider_info import get_provider_info


def field_behaviour() -> dict[str, Any]:
    """Return the form's changes to Airflow's own fields."""
    return {key.replace("-", "_"): value for key, value in _connection_type()["ui-field-behaviour"].items()}


def widgets() -> dict[str, Any]:
    """Return the form's own fields, of the kinds that Airflow 3.1 can draw without a form library."""
    from wtforms import PasswordField, StringField
    from wtforms.validators import any_of

    fields: dict[str, Any] = {}
    for name, spec in _connection_type()["conn-fields"].items():
        schema, description = spec["schema"], spec["description"]
        checks = []
        if "enum" in schema:
            checks = [any_of(schema["enum"])]
            # This form shows the values alone.
            description = f"{description} {'; '.join(schema['values_display'].values())}"
        kind = PasswordField if schema.get("format") == "password" else StringField
        fields[name] = kind(spec["label"], validators=checks, description=description)
    return fields


def _connection_type() -> Mapping[str, Any]:
    kind: Mapping[str, Any] = get_provider_info()["connection-types"][0]
    return kind
