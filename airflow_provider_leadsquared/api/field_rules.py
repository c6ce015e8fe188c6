"""
What an account's own metadata says a lead may hold.

LeadSquared checks names and values only when it works a request off, perhaps hours later, and one unknown attribute
sinks the whole lead. The same rules are kept here as a JSON Schema made from the metadata, so that a lead can be held
against them before it is sent.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.leads import InvalidLeadError

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

    from airflow_provider_leadsquared.api.answers import LeadField

#: What a capture takes besides the account's fields.
_PSEUDO_ATTRIBUTES = ("ProspectID", "SearchBy", "RelatedCompanyId")
#: What a text of each data type looks like, and what to say of one that does not. Empty text clears any field.
_PATTERNS = {
    "Number": (r"^(-?[0-9]+(\.[0-9]+)?)?$", "is no number; send digits, at most with a decimal point"),
    "Boolean": (r"^(true|false|0|1)?$", "is neither true nor false"),
    "Date": (
        r"^([0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2})?)?$",
        "is no date; send a date or a datetime, or text as YYYY-MM-DD HH:MM:SS",
    ),
    "Email": (r"^([^@\s]+@[^@\s]+)?$", "is no e-mail address"),
    "Phone": (r"^(\+?[0-9][0-9 ().-]*)?$", "is no phone number; send digits, best as +91-9000000001"),
}


class FieldRules:
    """
    The rules of one account.

    :param fields: The account's lead fields.
    """

    def __init__(self, fields: Iterable[LeadField]) -> None:
        fields = list(fields)
        self._known = {field.schema_name for field in fields} | set(_PSEUDO_ATTRIBUTES)
        #: The rules as a JSON Schema of an object of texts.
        self.schema: dict[str, Any] = {"properties": {field.schema_name: _rule(field) for field in fields}}

    def check(self, texts: Mapping[str, object]) -> None:
        """
        Hold a lead, as names and texts, against the rules.

        :raises InvalidLeadError: The first breach; names attribute and rule, and close names of an unknown one.
        """
        for name in texts:
            if name not in self._known:
                close = difflib.get_close_matches(name, self._known, n=3, cutoff=0.7)
                hint = f"; did you mean {' or '.join(close)}?" if close else ""
                raise InvalidLeadError(name, "unknown_attribute", f"the account has no such lead field{hint}")
        error = next(self._validator.iter_errors(texts), None)
        if error is None:
            return
        name = str(error.path[0])
        if error.validator == "maxLength":
            long, limit = len(str(error.instance)), error.validator_value
            raise InvalidLeadError(name, "too_long", f"has {long:,} characters, the field takes {limit:,}")
        rule = "not_an_option" if error.validator == "enum" else "wrong_type"
        raise InvalidLeadError(name, rule, str(error.schema["title"]))

    @cached_property
    def _validator(self) -> Draft202012Validator:
        from jsonschema import Draft202012Validator

        return Draft202012Validator(self.schema)


def _rule(field: LeadField) -> dict[str, Any]:
    """Write one field's rule; ``title`` is what to say of a value that breaks it."""
    if field.options:
        count = len(field.options)
        return {
            "enum": ["", *field.options],
            "title": f"is none of the dropdown's {count} values; see the field's options",
        }
    rule: dict[str, Any] = {}
    if field.data_type in _PATTERNS:
        rule["pattern"], rule["title"] = _PATTERNS[field.data_type]
    # A phone's length counts its digits without the country code, and is left to LeadSquared.
    if field.max_length and field.data_type != "Phone":
        rule["maxLength"] = field.max_length
    return rule
