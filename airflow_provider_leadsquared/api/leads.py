"""
From what a data engineer has to what LeadSquared takes.

A lead comes as a mapping of schema names to Python values, or as the API's own list of attribute/value pairs. It
leaves as a :class:`Payload`: the body to send, the keys by which LeadSquared will match it, and a fingerprint.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Protocol

from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.api.json_schema import first_error
from airflow_provider_leadsquared.api.null_handling import NullHandling, is_null, text_of_null
from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.api.texts import invisible_in
from airflow_provider_leadsquared.api.values import check_text, value_text

#: A body larger than this is refused. LeadSquared documents no limit; its gateway is on AWS, whose queues take 256
#: KiB a message, and the queue's message holds more than the body.
LARGEST_BODY = 200_000

#: System fields and pseudo-attributes by their exact names, to catch the wrong case.
_SYSTEM_NAMES = {
    name.lower(): name
    for name in (
        "Company",
        "EmailAddress",
        "FirstName",
        "LastName",
        "Mobile",
        "Notes",
        "OwnerId",
        "Phone",
        "ProspectID",
        "ProspectStage",
        "RelatedCompanyId",
        "SearchBy",
        "Source",
        "SourceCampaign",
        "SourceContent",
        "SourceMedium",
        "TimeZone",
        "Twitter",
        "Website",
    )
}
#: The attributes by which Lead.Capture looks for an existing lead, in its order.
_MATCH_ATTRIBUTES = ("ProspectID", "EmailAddress", "Phone")
#: The lead's id as a value of SearchBy; as an attribute it is ``ProspectID``.
_SEARCH_BY_ID = "ProspectId"
_SMALL_LETTERS = str.maketrans(ascii_uppercase, ascii_lowercase)

#: How a body is written, and what is hashed of it.
_AS_SENT, _CANONICAL = json.JSONEncoder(ensure_ascii=False), json.JSONEncoder(ensure_ascii=False, sort_keys=True)


class LeadRules(Protocol):
    """What else a lead has to meet."""

    def check(self, texts: Mapping[str, object]) -> None:
        """Raise InvalidLeadError if the lead, as names and texts, breaks a rule."""


def encode_lead(
    lead: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    null_handling: NullHandling = "skip",
    search_by: str | None = None,
    rules: LeadRules | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Payload:
    """
    Check one lead and write it as LeadSquared takes it.

    Values are written as ``value_text`` writes them; a mapping becomes a custom field set.

    :param lead: ``{"EmailAddress": …, "mx_City": …}``, or ``[{"Attribute": …, "Value": …}, …]``.
    :param null_handling: ``skip`` leaves out attributes that are null (None, NaN, NaT, NA); ``clear`` sends them empty.
    :param search_by: The attribute by which LeadSquared shall match, where the lead itself names none.
    :param rules: The account's own rules, where they are known.
    :param parameters: The query parameters of the submission; part of the fingerprint, for they change what it does.
    :raises InvalidLeadError: The lead breaks a rule; the exception names attribute and rule.
    """
    texts = _texts_of(lead, text_of_null(null_handling))
    _check(texts)
    if search_by and "SearchBy" not in texts:
        texts["SearchBy"] = search_by
    if texts.get("SearchBy") == "ProspectID":
        texts["SearchBy"] = _SEARCH_BY_ID
    if rules is not None:
        rules.check(texts)
    spelled = _spelled(texts, search_by)
    match_keys = _match_keys(texts, spelled)
    invisible = {
        name: sign
        for name, value in texts.items()
        if not (isinstance(value, str) and value.isprintable()) and (sign := _invisible_in(value))
    }
    for name, _ in match_keys:
        if name in invisible:
            raise InvalidLeadError(
                name, "text", f"holds {invisible[name]}, which nobody sees and no lead is found by; remove it"
            )
    body = _AS_SENT.encode([_pair(name, value) for name, value in texts.items()]).encode()
    if len(body) > LARGEST_BODY:
        largest = max(texts, key=lambda name: len(str(texts[name])))
        raise InvalidLeadError(
            largest, "too_large", f"the lead is {len(body):,} bytes, the limit is {LARGEST_BODY:,}; shorten this value"
        )
    texts.pop("SearchBy", None)  # by what the lead is found does not change what is stored
    canonical = _CANONICAL.encode([texts, dict(parameters) if parameters else {}]).encode()
    cleared = tuple(name for name, value in spelled.items() if not value)
    return Payload(body, match_keys, hashlib.sha256(canonical).hexdigest()[:32], tuple(invisible), cleared)


def _texts_of(
    lead: Mapping[str, Any] | Sequence[Mapping[str, Any]], null: str | None
) -> dict[str, str | dict[str, str]]:
    """
    Write every value of a lead as text.

    :param null: What is sent for a null, None to leave it out.
    """
    texts: dict[str, str | dict[str, str]] = {}
    for attribute, value in _attributes(lead):
        if attribute in texts:
            raise InvalidLeadError(attribute, "doubled_attribute", "is there twice in the lead; keep one")
        if isinstance(value, str):  # first, for most are
            texts[attribute] = check_text(attribute, value)
        elif isinstance(value, Mapping):
            inner = {
                str(name): null or "" if is_null(item) else value_text(f"{attribute}.{name}", item)
                for name, item in value.items()
                if null is not None or not is_null(item)
            }
            if inner or null is not None:
                texts[attribute] = inner
        elif not is_null(value):
            texts[attribute] = value_text(attribute, value)
        elif null is not None:
            texts[attribute] = null
    return texts


def exact_name(name: str) -> str | None:
    """Return how LeadSquared spells a name, whatever its case here: a system field's or ``mx_…``; None for others."""
    return _SYSTEM_NAMES.get(name.lower()) or ("mx_" + name[3:] if name[:3].lower() == "mx_" else None)


def attributes_of(payload: Payload) -> dict[str, object]:
    """Return names and texts of an encoded lead as they are sent; a custom field set as a dict of its own."""
    return {
        pair["Attribute"]: {inner["Attribute"]: inner["Value"] for inner in pair["Fields"]}
        if "Fields" in pair
        else pair["Value"]
        for pair in json.loads(payload.body)
    }


def values_of(body: object) -> list[str]:
    """
    Return every value in a submitted body, for masking.

    :param body: JSON as text or bytes, or what it holds. An unreadable body has no values.
    """
    try:
        pairs = json.loads(body) if isinstance(body, (str, bytes)) else body
    except (ValueError, RecursionError):
        return []
    return [
        str(item["Value"])
        for pair in _objects_in(pairs)
        if pair.get("Attribute") != "SearchBy"
        for item in (pair, *_objects_in(pair.get("Fields")))
        if isinstance(item.get("Value"), (str, int, float))
    ]


def _objects_in(given: object) -> list[dict[str, Any]]:
    return [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []


def _attributes(lead: object) -> Iterable[tuple[str, Any]]:
    """Read both forms of a lead as names and values."""
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(lead, Mapping):
        if len(lead) == 2 and set(lead) == {"Attribute", "Value"}:
            raise InvalidLeadError(
                "", "shape", "is a single attribute/value pair; a lead in that form is a list of pairs"
            )
        pairs = lead.items()
    elif isinstance(lead, Sequence) and not isinstance(lead, (str, bytes)):
        pairs = [_read_pair(pair) for pair in lead]
    else:
        raise InvalidLeadError("", "shape", f"is a {type(lead).__name__}; a lead is a dict or a list of pairs")
    for name, value in pairs:
        if not isinstance(name, str):
            raise InvalidLeadError("", "attribute_name", f"an attribute name is a {type(name).__name__}, not text")
        yield name, value


def _read_pair(pair: object) -> tuple[str, Any]:
    if not isinstance(pair, Mapping) or not {"Attribute"} <= set(pair) <= {"Attribute", "Value", "Fields"}:
        raise InvalidLeadError("", "shape", "a pair must hold Attribute and Value (and Fields for a field set) only")
    attribute, value = pair["Attribute"], pair.get("Value")
    if "Fields" not in pair:
        return attribute, value
    if not isinstance(pair["Fields"], Sequence) or isinstance(pair["Fields"], (str, bytes)):
        raise InvalidLeadError(str(attribute), "shape", "Fields must be a list of pairs")
    if value is not None and not (isinstance(value, str) and not value):
        raise InvalidLeadError(str(attribute), "shape", "has both Value and Fields; leave Value empty")
    fields: dict[str, Any] = {}
    for name, item in map(_read_pair, pair["Fields"]):
        if not isinstance(name, str):
            raise InvalidLeadError(str(attribute), "attribute_name", f"a field's name is a {type(name).__name__}")
        if name in fields:
            raise InvalidLeadError(f"{attribute}.{name}", "doubled_attribute", "is there twice in the set; keep one")
        fields[name] = item
    return attribute, fields


def _check(texts: dict[str, str | dict[str, str]]) -> None:
    """Raise InvalidLeadError if a name is wrong; values are texts by now, which the JSON Schema does not restrict."""
    breach = _breach_of(
        tuple((name, None if isinstance(value, str) else tuple(value)) for name, value in texts.items())
    )
    if breach is not None:
        raise InvalidLeadError(*breach)


@lru_cache(maxsize=256)  # the rows of one source are alike
def _breach_of(shape: tuple[tuple[str, tuple[str, ...] | None], ...]) -> tuple[str, str, str] | None:
    """Check a lead's names with its JSON Schema, and the exact spelling of those that are known."""
    for name, _ in shape:
        if exact_name(name) not in (None, name):
            return name, "attribute_name", f"names are case-sensitive; write {exact_name(name)!r}"
    error = first_error("lead", {name: "" if inner is None else dict.fromkeys(inner, "") for name, inner in shape})
    if error is None:
        return None
    if not error.path and error.validator == "minProperties":
        return "", "empty", "has no attribute with a value; nothing to send"
    where = ".".join(str(step) for step in error.path)
    if error.validator == "pattern":
        name = str(error.instance)
        where = f"{where}.{name}" if where else name
        wanted = (
            "a field set holds 'Status' and 'mx_CustomObject_<n>'"
            if error.path
            else "a schema name has letters, digits and underscores only"
        )
        bare = re.sub(r"\W", "", name)
        hint = f"; did you mean {_SYSTEM_NAMES[bare.lower()]!r}?" if bare.lower() in _SYSTEM_NAMES else ""
        return where, "attribute_name", wanted + hint
    return where, str(error.validator), "is an empty field set; leave it out"


def _spelled(texts: Mapping[str, str | dict[str, str]], search_by: str | None) -> dict[str, str]:
    """Return the attributes that LeadSquared may match by, each in one spelling, those that are sent."""
    names = (*_MATCH_ATTRIBUTES, search_by) if search_by and search_by not in _MATCH_ATTRIBUTES else _MATCH_ATTRIBUTES
    return {name: _in_one_spelling(name, texts) for name in names if name in texts}


def _match_keys(texts: Mapping[str, str | dict[str, str]], spelled: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """
    Return by what LeadSquared will match: the order of its page, SearchBy alone unless all three are there.

    Behind SearchBy's attribute come those that LeadSquared matches other leads by: this lead gets them.
    """
    present = [(name, text) for name in _MATCH_ATTRIBUTES if (text := spelled.get(name))]
    wanted = texts.get("SearchBy")
    if wanted:
        name = "ProspectID" if wanted == _SEARCH_BY_ID else str(wanted)
        if name not in texts:
            shown = repr(name) if name in _SYSTEM_NAMES.values() or name.startswith("mx_") else "an attribute"
            raise InvalidLeadError("SearchBy", "search_by", f"names {shown}, which the lead does not have")
        if len(present) < len(_MATCH_ATTRIBUTES):
            text = _in_one_spelling(name, texts)
            present = [(name, text), *(one for one in present if one[0] != name)] if text else []
    return tuple(present)


def _in_one_spelling(name: str, texts: Mapping[str, str | dict[str, str]]) -> str:
    """
    Return a value in the one spelling in which it is compared; empty where there is nothing to match by.

    Two spellings are taken for one key only where they cannot be two records: ASCII letters of a lead's id and of an
    e-mail address in either case, and what people write between the digits of a phone. A wrong guess would leave out
    a row for ever, so any other attribute, and any other letter, is compared as it is.
    """
    value = str(texts.get(name) or "")
    if name == "Phone":
        return re.sub(r"[\s().-]", "", value)
    if name in _MATCH_ATTRIBUTES:
        return value.strip().translate(_SMALL_LETTERS)
    return value if value.strip() else ""


def _invisible_in(value: str | dict[str, str]) -> str | None:
    if isinstance(value, str):
        return invisible_in(value)
    return next((sign for text in value.values() if (sign := invisible_in(text))), None)


def _pair(name: str, value: str | dict[str, str]) -> dict[str, Any]:
    if isinstance(value, str):
        return {"Attribute": name, "Value": value}
    return {
        "Attribute": name,
        "Value": "",
        "Fields": [{"Attribute": inner, "Value": text} for inner, text in value.items()],
    }
