"""
What an account's own metadata says a lead may hold.

LeadSquared checks names and values only when it works a request off, perhaps hours later, and one unknown attribute
sinks the whole lead. The same rules are kept here, those for values as a JSON Schema made from the metadata, so that a
lead can be checked before it is sent. Where the documents leave a point open, the value passes.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.api.texts import clean_text, invisible_in

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

    from airflow_provider_leadsquared.api.responses import LeadField

#: Every rule that ``breaches`` can find broken.
RULES = ("unknown_attribute", "mandatory", "read_only", "too_long", "wrong_type", "not_an_option", "invisible")

#: What a capture takes besides the account's fields.
_PSEUDO_ATTRIBUTES = ("ProspectID", "SearchBy", "RelatedCompanyId")
#: LeadSquared looks a lead up by these, so that an update carries them although they are locked.
_LOOKED_UP = ("EmailAddress", "Phone")
#: Data types that are one text each; others, of system fields, may be field sets.
_TEXTS = ("Text", "Number", "Email", "Phone", "Website", "Date", "Time", "Select", "Boolean")
#: Their values have a length of their own.
_WITHOUT_LENGTH = ("Phone", "Date", "Time", "Boolean")
#: What a text of a data type looks like, and what to say of one that does not. Empty text clears any field.
_VALUES: dict[str, dict[str, str]] = {
    "Number": {"format": "number", "title": "is no number; send digits, at most with a decimal point"},
    "Boolean": {
        "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|0|1)?$(?!\n)",
        "title": "is neither true nor false",
    },
    "Date": {
        "format": "date",
        "title": "is no date; send a date or a datetime, or text as YYYY-MM-DD HH:MM:SS",
    },
    "Time": {"format": "time", "title": "is no time; send text as HH:MM:SS"},
    # The domain's dot can be found in one way only, or a long text would be tried in all ways.
    "Email": {"pattern": r"^(\s*[^@\s]+@[^@\s][^@\s.]*\.[^@\s]+\s*)?$(?!\n)", "title": "is no e-mail address"},
}

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2})?")
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2}")
#: No number is longer, country code included (E.164).
_LONGEST_PHONE = 15
#: No country code is longer.
_LONGEST_COUNTRY_CODE = 3
#: A number of more digits before its point is beyond any column's type.
_LARGEST_EXPONENT = 30


class FieldRules:
    """
    The rules of one account.

    :param fields: The account's lead fields.
    """

    def __init__(self, fields: Iterable[LeadField]) -> None:
        fields = list(fields)
        self._known = {field.schema_name for field in fields} | set(_PSEUDO_ATTRIBUTES)
        self._mandatory = [field.schema_name for field in fields if field.is_mandatory]
        self._locked = {
            field.schema_name
            for field in fields
            if field.lock_after_create and not field.is_identifier and field.schema_name not in _LOOKED_UP
        }
        #: The rules for values, as a JSON Schema of a lead as an object of texts.
        self.schema: dict[str, Any] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {field.schema_name: _rule(field) for field in fields},
        }
        # A schema's enum is searched from its beginning each time, and dropdowns may have hundreds of options.
        self._options = {
            name: frozenset(rule["enum"]) for name, rule in self.schema["properties"].items() if "enum" in rule
        }
        self._close_names: dict[str, str] = {}

    def as_text(self) -> str:
        """Return the rules as a text, the same for the same rules, whatever the order of the fields."""
        return json.dumps(
            [sorted(self._known), sorted(self._mandatory), sorted(self._locked), self.schema], sort_keys=True
        )

    def unknown(self, names: Iterable[str]) -> list[InvalidLeadError]:
        """
        Return one error for each attribute that the account does not have, with the close names that it has.

        :param names: The attributes of a run, to be checked before its first call.
        """
        return [
            InvalidLeadError(name, "unknown_attribute", f"the account has no such lead field{self._hint(name)}")
            for name in names
            if name not in self._known
        ]

    def breaches(self, texts: Mapping[str, object], *, exists: bool | None = False) -> list[InvalidLeadError]:
        """
        Return every breach of the rules by a lead; each names its attribute and rule, and none a value.

        :param texts: The lead as names and texts.
        :param exists: Whether the account has this lead already; None where nobody knows. LeadSquared wants mandatory
            fields of new leads only, and locks fields of known leads only; emptying a mandatory field is a breach
            either way.
        """
        found = [] if texts.keys() <= self._known else self.unknown(texts)
        for name in self._mandatory:
            if name in texts:
                if not texts[name]:
                    found.append(InvalidLeadError(name, "mandatory", "is mandatory and would be emptied"))
            elif exists is False:
                found.append(InvalidLeadError(name, "mandatory", "is mandatory for a new lead, and missing"))
        if exists and self._locked:
            # What the lead is looked up by stays as it is.
            found += [
                InvalidLeadError(name, "read_only", "only administrators may change it once the lead exists")
                for name in texts
                if name in self._locked and name != texts.get("SearchBy")
            ]
        validators = self._validators
        for name, text in texts.items():
            if isinstance(text, str) and (sign := invisible_in(text)):
                found.append(InvalidLeadError(name, "invisible", f"holds {sign}, a character that nobody sees"))
            validator = validators.get(name)
            # Options were cleaned when they were read.
            if validator is not None and not (
                isinstance(text, str) and clean_text(text) in self._options.get(name, ())
            ):
                for error in validator.iter_errors(text):
                    found.append(_breach(name, error, self.schema["properties"][name]))
        return found

    def check(self, texts: Mapping[str, object]) -> None:
        """
        Check a lead, as names and texts, where it is not known whether the account has it already.

        :raises InvalidLeadError: The first breach; names attribute and rule, and close names of an unknown one.
            Characters that nobody sees are no reason to refuse a lead.
        """
        for breach in self.breaches(texts, exists=None):
            if breach.rule != "invisible":
                raise breach

    @cached_property
    def _validators(self) -> dict[str, Draft202012Validator]:
        """
        Return a validator for each property of the schema.

        One validator for the whole object would make these anew for every lead, at more than twice the price.
        """
        from jsonschema import Draft202012Validator, FormatChecker

        formats = FormatChecker(formats=())
        for name, check in (("number", _is_number), ("date", _is_date), ("time", _is_time)):
            formats.checks(name)(check)
        return {
            name: Draft202012Validator(rule, format_checker=formats)
            for name, rule in self.schema["properties"].items()
            if rule
        }

    def _hint(self, name: str) -> str:
        if name not in self._close_names:
            close = difflib.get_close_matches(name, self._known, n=3, cutoff=0.7)
            self._close_names[name] = f"; did you mean {' or '.join(close)}?" if close else ""
        return self._close_names[name]


def _breach(name: str, error: ValidationError, schema: Mapping[str, Any]) -> InvalidLeadError:
    if error.validator == "maxLength":
        long, limit = len(str(error.instance)), error.validator_value
        return InvalidLeadError(name, "too_long", f"has {long:,} characters, the field takes {limit:,}")
    if error.validator == "type":
        return InvalidLeadError(name, "wrong_type", "is a field set, and the field takes a single value")
    rule = "not_an_option" if error.validator == "enum" else "wrong_type"
    return InvalidLeadError(name, rule, schema["title"])


def _rule(field: LeadField) -> dict[str, Any]:
    """Write one field's rule; ``title`` is what to say of a value that breaks it."""
    if field.options and _takes_options_only(field):
        count = len(field.options)
        return {
            "enum": ["", *field.options],
            "title": f"is none of the dropdown's {count} values; see the field's options",
        }
    rule: dict[str, Any] = {"type": "string"} if field.data_type in _TEXTS else {}
    rule |= _phone(field) if field.data_type == "Phone" else _VALUES.get(field.data_type, {})
    if field.max_length and field.data_type not in _WITHOUT_LENGTH:
        rule["maxLength"] = field.max_length
    return rule


def _takes_options_only(field: LeadField) -> bool:
    """Tell a plain dropdown from one that takes several values at once, or others than its own."""
    return not re.search("multi|other", field.render_type, re.IGNORECASE)


def _phone(field: LeadField) -> dict[str, str]:
    """
    Write the rule of a phone field, whose lengths count the digits of the national number.

    Only a dash separates the country code for certain. Without one the number may begin with a code, and be longer.
    """
    least, most = field.min_length or 1, field.max_length or _LONGEST_PHONE
    if not least <= most <= 10 * _LONGEST_PHONE:
        least, most = 1, _LONGEST_PHONE
    gap = "[ ().-]*"
    several = f"{gap}([0-9]{gap})"
    with_code = most + _LONGEST_COUNTRY_CODE
    forms = (
        rf"\+[0-9]+-{several}{{{least},{most}}}",
        rf"\+(?![0-9]+-){several}{{{least + 1},{with_code}}}",
        rf"{several}{{{least},{with_code}}}",
    )
    digits = f"{least}" if least == most else f"{least} to {most}"
    return {
        "pattern": f"^({'|'.join(forms)})?$(?!\n)",
        "title": f"is no phone number of {digits} digits; best sent as +91-9000000001",
    }


def _is_number(text: object) -> bool:
    if not isinstance(text, str) or not text:
        return True
    try:
        # Decimal would take digits of any script, and underscores between them.
        number = Decimal(text) if text.isascii() and "_" not in text else Decimal("nan")
    except InvalidOperation:
        return False
    return number.is_finite() and abs(number.adjusted()) < _LARGEST_EXPONENT


def _is_date(text: object) -> bool:
    if not isinstance(text, str) or not text:
        return True
    return bool(_DATE.fullmatch(text)) and _is_real(dt.datetime, text)


def _is_time(text: object) -> bool:
    if not isinstance(text, str) or not text:
        return True
    return bool(_TIME.fullmatch(text)) and _is_real(dt.time, text)


def _is_real(kind: type[dt.datetime] | type[dt.time], text: str) -> bool:
    try:
        kind.fromisoformat(text)
    except ValueError:
        return False
    return True
