"""
The rules of Lead.Capture, numbered as in LeadSquared's documents on capturing leads.

P, E, H and S stand for the ProspectID, EmailAddress, Phone and SearchBy that were sent with the lead; an empty value
counts as not sent. What the documents do not say is decided by the settings.

1. Without P, E and H: a new lead.                       8. P, E, H match nothing: a new lead.
2. Search by P, then E, then H.                          9. Only H matches: that lead is updated.
3. P is an anonymous visitor: a new lead with that id.   10. A lead captured again keeps its source.
4. P matches, E is not the lead's: a new lead.           11. S without all of P, E, H: S decides the match.
5. P matches, no E: that lead is updated.                12. P, E, H and S: S is ignored.
6. P and E match: that lead is updated.                  13. Another lead has a unique value: rejected as duplicate;
7. P matches nothing, E does: that lead is updated.          the activity is posted on that other lead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_leadsquared.sandbox.errors import MXError, invalid_input, lead_not_found
from airflow_provider_leadsquared.sandbox.fields import (
    SOURCE_FIELDS,
    Schema,
    stored_field_set,
    stored_form,
    unknown_attributes,
)
from airflow_provider_leadsquared.sandbox.locked_fields import without_locked_fields
from airflow_provider_leadsquared.sandbox.settings import Settings
from airflow_provider_leadsquared.sandbox.store import Lead, Store, Value

UPDATE_BEHAVIORS = ("DoNotUpdate", "UpdateOnlyEmptyFields", "DoNotUpdateUniqueFields")
_PSEUDO = ("ProspectID", "SearchBy")


@dataclass(frozen=True, slots=True)
class Pair:
    """One attribute/value pair; ``members`` are the ``Fields`` of a custom field set."""

    attribute: str
    value: str | None
    members: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """The result of a capture: the activity posted, the lead, and whether the lead is new."""

    activity_id: str
    lead_id: str
    is_created: bool

    def body(self) -> dict[str, object]:
        """Return the response body of the sync API; ``RelatedId`` is the lead's id."""
        message = {"Id": self.activity_id, "RelatedId": self.lead_id, "IsCreated": self.is_created}
        return {"Status": "Success", "Message": message}


def read_pairs(text: str) -> list[Pair]:
    """
    Read a submitted body.

    :param text: The body.
    :raises ValueError: If it is not one array of attribute/value pairs.
    """
    try:
        items = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(items, list):
        raise ValueError("not an array")
    return [_pair(item) for item in items]


def read_lead(text: str) -> dict[str, str | None] | None:
    """
    Return attributes and values of a lead, None if the text is not one array of attribute/value pairs.

    :param text: The body.
    """
    try:
        return {pair.attribute: pair.value for pair in read_pairs(text)}
    except ValueError:
        return None


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_reject_constant)


def _pair(item: object) -> Pair:
    if not isinstance(item, dict) or not isinstance(item.get("Attribute"), str) or not item["Attribute"]:
        raise ValueError("an element is not an attribute/value pair")
    members = item.get("Fields")
    if members is None:
        return Pair(item["Attribute"], _text(item.get("Value")))
    if not isinstance(members, list):
        raise ValueError("Fields is not an array")
    pairs = [_pair(member) for member in members]
    return Pair(item["Attribute"], _text(item.get("Value")), {pair.attribute: pair.value or "" for pair in pairs})


def _text(value: object) -> str | None:
    """Convert a JSON scalar to text, as LeadSquared does."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise ValueError("a Value is an object or an array")


def capture(
    store: Store, schema: Schema, settings: Settings, pairs: list[Pair], behavior: str | None, at: float
) -> CaptureResult:
    """
    Capture one lead.

    :param store: The account's leads, changed in place.
    :param schema: The account's fields.
    :param settings: The capture rules that the documents leave open.
    :param pairs: The lead.
    :param behavior: ``LeadUpdateBehavior``, None if not given.
    :param at: Sandbox time.
    :return: Activity and lead.
    :raises MXError: If the lead is rejected. A duplicate is rejected too, but its activity is posted (rule 13).
    """
    if behavior is not None and behavior not in UPDATE_BEHAVIORS:
        if settings.unknown_update_behavior == "reject":
            raise invalid_input("LeadUpdateBehavior")
        behavior = None
    pseudo, values = _read_lead(schema, settings, pairs)
    existing, new_id = _match(store, schema, settings, pseudo, values)
    source = {name: value for name, value in values.items() if name in SOURCE_FIELDS and isinstance(value, str)}

    if existing is None:
        changes = values
        _require_mandatory(schema, settings, values)
    else:
        changes = without_locked_fields(schema, settings, existing, _changes(existing, values, behavior, settings))
    _reject_duplicate(store, settings, changes, existing, at, source)
    if existing is None:
        lead = store.create(new_id, changes, at)
    else:
        lead = existing
        store.update(lead, changes, at)
    return CaptureResult(store.post_activity(lead, at, source).id, lead.id, existing is None)


def _read_lead(schema: Schema, settings: Settings, pairs: list[Pair]) -> tuple[dict[str, str], dict[str, Value]]:
    """Split a lead into pseudo-attributes and values in stored form; one unknown attribute rejects the whole lead."""
    if not pairs:
        raise invalid_input("lead")
    unknown = [
        pair.attribute
        for pair in pairs
        if pair.attribute not in _PSEUDO and schema.find(pair.attribute, settings) is None
    ]
    if unknown:
        raise unknown_attributes(unknown)
    pseudo: dict[str, str] = {}
    values: dict[str, Value] = {}
    for pair in pairs:
        if pair.value is None and pair.members is None and settings.null_value != "clear":
            if settings.null_value == "reject":
                raise invalid_input(pair.attribute)
            continue
        field = schema.find(pair.attribute, settings)
        name = pair.attribute if field is None else field.schema_name
        if (name in pseudo or name in values) and settings.repeated_attribute == "reject":
            raise MXError("MXInvalidInputException", f"Attribute {name} is repeated.")
        if field is None:
            pseudo[name] = pair.value or ""
        elif pair.members is not None:
            values[name] = stored_field_set(field, pair.members)
        else:
            values[name] = stored_form(field, pair.value or "", settings)
    return pseudo, values


def _match(
    store: Store, schema: Schema, settings: Settings, pseudo: Mapping[str, str], values: Mapping[str, Value]
) -> tuple[Lead | None, str | None]:
    """Return the lead to update, or None and the visitor's id that the new lead gets (None: a new id)."""
    prospect, search_by = pseudo.get("ProspectID", ""), pseudo.get("SearchBy", "")
    email, phone = values.get("EmailAddress", ""), values.get("Phone", "")
    visitor = store.visitor(prospect)

    if search_by and not (prospect and email and phone):  # rules 11 and 12
        found = _search(store, schema, settings, search_by, prospect, values)
        return found, None if found else visitor

    if (lead := _lead_by_id(store, settings, prospect)) is not None:  # rules 4 to 6
        differs = email and str(email).lower() != str(lead.values.get("EmailAddress", "")).lower()
        return (None, None) if differs else (lead, None)
    if not (settings.phone_match == "fallback" or (settings.phone_match == "alone" and not email)):
        phone = ""
    for field, value in (("EmailAddress", email), ("Phone", phone)):  # rules 2, 7 and 9
        if value and (found := store.find(field, str(value))):
            return found, None
    return None, visitor  # rules 1, 3 and 8


def _lead_by_id(store: Store, settings: Settings, lead_id: str) -> Lead | None:
    """Return the lead that an id leads to, None if there is none; raise MXError if its lead is gone."""
    lead = store.lead(lead_id)
    if lead is None and store.was_removed(lead_id):
        match settings.merged_capture:
            case "reject":
                raise lead_not_found()
            case "survivor":
                return store.survivor(lead_id)
    return lead


def _search(
    store: Store, schema: Schema, settings: Settings, search_by: str, prospect: str, values: Mapping[str, Value]
) -> Lead | None:
    # The lead's id is searched as "ProspectId", although it is sent as "ProspectID".
    wanted = prospect if search_by == "ProspectId" else values.get(search_by, "")
    if (search_by != "ProspectId" and search_by not in schema.fields) or not isinstance(wanted, str) or not wanted:
        raise MXError("MXInvalidInputException", "Invalid SearchBy value provided")
    return _lead_by_id(store, settings, wanted) if search_by == "ProspectId" else store.find(search_by, wanted)


def _changes(lead: Lead, values: Mapping[str, Value], behavior: str | None, settings: Settings) -> dict[str, Value]:
    """Return the values to change on an existing lead."""
    if behavior == "DoNotUpdate":
        return {}
    kept = set(SOURCE_FIELDS) if settings.source_on_recapture == "keep" else set()  # rule 10
    if behavior == "DoNotUpdateUniqueFields":
        kept.update(settings.unique_fields)
    return {
        name: value
        for name, value in values.items()
        if name not in kept and not (behavior == "UpdateOnlyEmptyFields" and lead.values.get(name))
    }


def _require_mandatory(schema: Schema, settings: Settings, values: Mapping[str, Value]) -> None:
    missing = [field.schema_name for field in schema.mandatory if not values.get(field.schema_name)]
    if missing and settings.mandatory == "reject":
        raise MXError("MXMandatoryAttributeMissingException", f"'{missing[0]}' is mandatory for creating lead")


def _reject_duplicate(
    store: Store,
    settings: Settings,
    changes: Mapping[str, Value],
    lead: Lead | None,
    at: float,
    source: Mapping[str, str],
) -> None:
    for name in settings.unique_fields:
        value = changes.get(name)
        holder = store.find(name, value) if isinstance(value, str) and value else None
        if holder is not None and holder is not lead:
            store.post_activity(holder, at, source, is_duplicate=True)  # rule 13
            text = f"Duplicate entry '{value}' for key 'UQ_Prospect_Base_{name}'"
            raise MXError("MXDuplicateEntryException", text, holder.id)
