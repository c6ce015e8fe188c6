"""The lead fields of the account: their metadata, and how a value is converted to the form in which it is stored."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation

from airflow_provider_leadsquared.sandbox.errors import MXError, invalid_input
from airflow_provider_leadsquared.sandbox.settings import Settings

FIELD_SET = "CustomObject"
SOURCE_FIELDS = frozenset({"Source", "SourceMedium", "SourceCampaign", "SourceContent", "SourceReferrer"})
_RENDER_TYPES = {"Phone": (6, "Phone"), "Select": (13, "Dropdown"), "Email": (5, "Email"), "Website": (7, "URL")}
_COUNTRY_CODE = re.compile(r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[0-9]{1,3}")
_PHONE_SHAPE = re.compile(r"\+?[0-9 ().-]+")
_EMAIL_SHAPE = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_TIMESTAMP_SHAPE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2})?")
_TIME_SHAPE = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2}")
_FIELD_SET_MEMBER = re.compile(r"Status|mx_CustomObject_[0-9]+")


@dataclass(frozen=True, slots=True)
class LeadField:
    """One lead field, described as in LeadSquared's metadata."""

    schema_name: str
    data_type: str = "Text"
    max_length: int | None = None
    min_length: int | None = None
    options: tuple[str, ...] = ()
    is_mandatory: bool = False
    lock_after_create: int = 0
    """If not 0, only administrators may change the field after the lead is created."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """Other metadata. It is returned by the metadata endpoint and has no effect."""

    @classmethod
    def from_json(cls, raw: object) -> LeadField:
        """
        Read a field from an object like those of the metadata endpoint. Only ``SchemaName`` is required.

        :param raw: The decoded JSON object.
        :raises ValueError: If ``SchemaName`` is missing or another value is wrong.
        """
        if not isinstance(raw, dict) or not isinstance(raw.get("SchemaName"), str) or not raw["SchemaName"]:
            raise ValueError("a lead field must be an object with a SchemaName")
        known = dict(raw)
        name = known.pop("SchemaName")
        data_type = known.pop("DataType", "Text")
        options = known.pop("Options", None) or []
        try:
            return cls(
                name,
                str(data_type),
                max_length=_optional_int(known.pop("MaxLength", None)),
                min_length=_optional_int(known.pop("RangeMin", None)),
                options=tuple(str(option["Value"] if isinstance(option, dict) else option) for option in options),
                is_mandatory=bool(known.pop("IsMandatory", False)),
                lock_after_create=_optional_int(known.pop("LockAfterCreate", None)) or 0,
                extra=known,
            )
        except (TypeError, ValueError, KeyError):
            raise ValueError(
                f"field {name!r}: MaxLength, RangeMin, LockAfterCreate or Options cannot be read"
            ) from None

    def metadata(self, unique: bool, with_options: bool) -> dict[str, object]:
        """
        Return the field as the metadata endpoint does. Keys without a value are left out.

        :param unique: Whether a value may belong to one lead only.
        :param with_options: Whether to include the options of a dropdown.
        """
        label = self.schema_name.removeprefix("mx_").replace("_", " ")
        render_type, render_text = _RENDER_TYPES.get(self.data_type, (1, "Textbox"))
        described: dict[str, object] = {
            "Entity": "1",
            "SchemaName": self.schema_name,
            "DisplayName": label,
            "DataType": self.data_type,
            "IsMandatory": self.is_mandatory,
            "EntityAttributeId": str(uuid.uuid5(uuid.NAMESPACE_OID, self.schema_name)),
            "Name": self.schema_name,
            "Description": label,
            "EntityAttributeType": 1 if self.schema_name.startswith("mx_") else 0,
            "RenderType": render_type,
            "RenderTypeTextValue": render_text,
            "IsVisible": True,
            "IsSearchable": True,
            "CreatedOn": "/Date(1417453996000+0000)/",
            "ModifiedOn": "/Date(1457006650000+0000)/",
            "LockAfterCreate": self.lock_after_create,
        }
        if self.max_length is not None:
            described["MaxLength"] = str(self.max_length)
        if self.min_length is not None:
            described["RangeMin"] = str(self.min_length)
        if unique:
            described["IsLeadIdentifier"] = True
        if self.options and with_options:
            described["Options"] = [{"Value": option} for option in self.options]
        return described | dict(self.extra)


def _optional_int(value: object) -> int | None:
    return None if value in (None, "") else int(str(value))


class Schema:
    """
    The fields of one account, found by name.

    :param added: Fields in addition to the built-in ones. A field with the name of a built-in field replaces it.
    """

    def __init__(self, added: Iterable[LeadField] = ()) -> None:
        self.fields = {field.schema_name: field for field in (*BUILT_IN, *added)}
        self.mandatory = [field for field in self.fields.values() if field.is_mandatory]
        self._any_case = {name.casefold(): name for name in self.fields}

    def find(self, attribute: str, settings: Settings) -> LeadField | None:
        """
        Return the field of an attribute, None if the account does not have it.

        :param attribute: The attribute as sent.
        :param settings: ``attribute_case``: whether letter case counts.
        """
        if settings.attribute_case == "ignore":
            attribute = self._any_case.get(attribute.casefold(), attribute)
        return self.fields.get(attribute)


def stored_form(field: LeadField, value: str, settings: Settings) -> str:
    """
    Return a value in the form in which the account stores it.

    :param field: The field.
    :param value: The value sent. An empty one clears the field.
    :param settings: What happens to a value that is too long, of the wrong type or not among the options.
    :raises MXError: If the value is rejected.
    """
    if not value:
        return ""
    typed = _typed(field, value, settings)
    if typed is None:
        if settings.wrong_type == "reject":
            raise invalid_input(field.schema_name)
        typed = value
    if field.options and typed not in field.options and settings.dropdown == "reject":
        raise invalid_input(field.schema_name)
    if field.data_type != "Phone" and field.max_length is not None and len(typed) > field.max_length:
        if settings.overlong == "reject":
            raise MXError(
                "MXInvalidInputException", f"{field.schema_name} is longer than {field.max_length} characters."
            )
        if settings.overlong == "truncate":
            return typed[: field.max_length]
    return typed


def match_form(field: LeadField | None, value: str, settings: Settings) -> str:
    """
    Return a stored value in the form in which it is compared when leads are searched.

    Letters are made small and nothing more: ``straße@example.org`` is not ``strasse@example.org``.

    :param field: The field, None if the account does not have it.
    :param value: The stored value.
    :param settings: ``phone_spelling``: whether phones are compared as they are spelled; ``value_case``: whether letter
        case counts in values other than e-mail addresses.
    """
    data_type = field.data_type if field else "Text"
    if field and data_type == "Phone" and settings.phone_spelling != "keep":
        return _phone(field, value, settings.country_code) or value
    return value.lower() if settings.value_case == "ignore" or data_type == "Email" else value


def stored_field_set(field: LeadField, members: Mapping[str, str]) -> dict[str, str]:
    """
    Return the members of a custom field set in the form in which the account stores them.

    :param field: The field.
    :param members: Attribute and value of each member.
    :raises MXError: If the field is not a field set or a member does not exist.
    """
    if field.data_type != FIELD_SET:
        raise invalid_input(field.schema_name)
    unknown = [name for name in members if not _FIELD_SET_MEMBER.fullmatch(name)]
    if unknown:
        raise unknown_attributes(f"{field.schema_name}.{name}" for name in unknown)
    return dict(members)


def unknown_attributes(names: Iterable[str]) -> MXError:
    """
    Return the error that rejects a lead because of unknown attributes.

    :param names: The attributes.
    """
    return MXError("MXUnknownAttributeException", f"Attribute(s) does not exist - {', '.join(names)}.")


def _typed(field: LeadField, value: str, settings: Settings) -> str | None:
    """Return the value in the stored form of the field's type, None if it is not of that type."""
    match field.data_type:
        case "Phone":
            normal = _phone(field, value, settings.country_code)
            return normal if normal is None or settings.phone_spelling == "normalise" else value
        case "Email":
            return value.strip() if _EMAIL_SHAPE.fullmatch(value.strip()) else None
        case "Number":
            return _number(value)
        case "Boolean":
            return {"1": "1", "true": "1", "0": "0", "false": "0"}.get(value.lower())
        case "Date":
            return _timestamp(value)
        case "Time":
            return value if _TIME_SHAPE.fullmatch(value) and _parsed(value, "%H:%M:%S") else None
        case _:
            return value


def _phone(field: LeadField, value: str, country_code: str) -> str | None:
    if not _PHONE_SHAPE.fullmatch(value):
        return None
    code, national = country_code, value
    if value.startswith("+"):
        code, dash, national = value[1:].partition("-")
        if not dash or not code.isdigit():
            digits = re.sub(r"[^0-9]", "", value)
            found = _COUNTRY_CODE.match(digits)
            if found is None:
                return None
            code, national = found.group(), digits[found.end() :]
    national = re.sub(r"[^0-9]", "", national)
    shortest, longest = field.min_length or 1, field.max_length or 15
    return f"+{code}-{national}" if shortest <= len(national) <= longest else None


def _number(value: str) -> str | None:
    try:
        # Decimal accepts an underscore between digits and digits of any script; LeadSquared does not.
        number = Decimal(value) if value.isascii() and "_" not in value else Decimal("nan")
    except InvalidOperation:
        return None
    # "f" stores "1e5" as "100000". A huge exponent is rejected, for it would make a huge text.
    return format(number, "f") if number.is_finite() and abs(number.adjusted()) < 30 else None


def _timestamp(value: str) -> str | None:
    # Without this check strptime accepts "2024-3-1" and "2024-03- 1" too.
    if not _TIMESTAMP_SHAPE.fullmatch(value):
        return None
    moment = _parsed(value, "%Y-%m-%d %H:%M:%S") or _parsed(value, "%Y-%m-%d")
    return moment.strftime("%Y-%m-%d %H:%M:%S.000") if moment else None


def _parsed(value: str, pattern: str) -> datetime | None:
    try:
        return datetime.strptime(value, pattern)
    except ValueError:
        return None


BUILT_IN = (
    LeadField("FirstName", max_length=200),
    LeadField("LastName", max_length=200),
    LeadField("EmailAddress", "Email", max_length=200),
    LeadField("Phone", "Phone", max_length=15, min_length=4),
    LeadField("Mobile", "Phone", max_length=15, min_length=4),
    LeadField("Company", max_length=200),
    LeadField("JobTitle", max_length=200),
    LeadField("Website", "Website", max_length=200),
    LeadField("Notes", max_length=4000),
    LeadField("Score", "Number"),
    LeadField("DoNotEmail", "Boolean"),
    LeadField("DoNotCall", "Boolean"),
    LeadField("OwnerId", max_length=36),
    LeadField("ProspectStage", "Select", options=("Prospect", "Opportunity", "Customer", "Disqualified", "Invalid")),
    *(LeadField(name, max_length=200) for name in sorted(SOURCE_FIELDS)),
    LeadField("RelatedCompanyId", max_length=36),
    LeadField("mx_Street1", max_length=200),
    LeadField("mx_City", max_length=100),
    LeadField("mx_State", max_length=100),
    LeadField("mx_Zip", max_length=20),
    LeadField("mx_Country", max_length=100),
    LeadField("mx_Customer_Id", max_length=50),
    LeadField("mx_Plan", "Select", max_length=50, options=("Gold", "Silver", "Bronze")),
    LeadField("mx_Age", "Number"),
    LeadField("mx_Revenue", "Number"),
    LeadField("mx_Date_Of_Birth", "Date"),
    LeadField("mx_Signed_Up_On", "Date", extra={"RenderTypeTextValue": "DateTime"}),
    LeadField("mx_Subscribed", "Boolean"),
    LeadField("mx_KYC", FIELD_SET, extra={"RenderTypeTextValue": "Custom Field Set"}),
)
