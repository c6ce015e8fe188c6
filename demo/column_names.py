"""Which lead field a column of any CSV file is, guessed from its name: a mapping as ``ColumnMapping`` takes it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from airflow_provider_leadsquared.sandbox.fields import BUILT_IN

#: System fields by the column names people use, without case, blanks and punctuation.
KNOWN = {
    column: field
    for field, columns in {
        "ProspectID": ("prospectid",),
        "EmailAddress": ("email", "emailaddress", "emailid", "mail"),
        "Phone": ("phone", "phonenumber", "telephone"),
        "Mobile": ("mobile", "mobilenumber", "mobilephone", "cell", "cellphone"),
        "FirstName": ("firstname", "givenname"),
        "LastName": ("lastname", "surname", "familyname"),
        "Company": ("company", "companyname"),
        "JobTitle": ("jobtitle",),
        "Website": ("website",),
        "Notes": ("notes",),
        "Source": ("source", "leadsource"),
        "SourceMedium": ("sourcemedium",),
        "SourceCampaign": ("sourcecampaign",),
    }.items()
    for column in columns
}
_STANDARD = {*KNOWN.values(), "SearchBy", *(field.schema_name for field in BUILT_IN)}
#: Columns that number rows. They make good keys and are no lead data; LeadSquared gives lead numbers itself.
ROW_IDS = frozenset({"id", "rowid", "recordid", "leadid", "leadnumber", "prospectautoid"})


def attribute_of(column: str) -> str | None:
    """Return a column's attribute: a system field, else `mx_` and its words; None for a number of the row."""
    bare = _bare(column)
    if bare in ROW_IDS:
        return None
    if bare in KNOWN:
        return KNOWN[bare]
    words = re.findall(r"[A-Za-z0-9]+", column)
    return "_".join(["mx", *(words[1:] if words[0].lower() == "mx" else words)])


def mapping_of(columns: Sequence[str], given: Mapping[str, str | None] = MappingProxyType({})) -> dict[str, str | None]:
    """
    Return the attribute of each column, None for a column that is not sent.

    :param given: The attributes of columns that are not to be guessed; see :func:`read_mapping`.
    :raises ValueError: Two columns would be the same attribute, a name has no letter and no digit to make one of, or
        ``given`` names a column that is not there.
    """
    if missing := [column for column in given if column not in columns]:
        raise ValueError(f"MAPPING names columns that the file does not have: {', '.join(missing)}")
    if nameless := [
        str(number) for number, column in enumerate(columns, 1) if column not in given and not _bare(column)
    ]:
        raise ValueError(f"the name of column {', '.join(nameless)} has no letter from a to z, no digit")
    mapping = {column: given[column] if column in given else attribute_of(column) for column in columns}
    for attribute, count in Counter(filter(None, mapping.values())).items():
        if count > 1:
            rivals = ", ".join(column for column, name in mapping.items() if name == attribute)
            raise ValueError(f"several columns would be {attribute}: {rivals}; rename all but one")
    return mapping


def read_mapping(path: Path) -> dict[str, str | None]:
    """
    Read a user's mapping: a JSON object of columns and lead fields, null for a column that is not to be sent.

    :raises ValueError: The file cannot be read, is no such object, or a name is none of a lead field.
    """
    try:
        mapping = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"MAPPING {path} cannot be read as JSON ({type(error).__name__})") from None
    if not isinstance(mapping, dict):
        raise ValueError(f'MAPPING {path} must hold an object of columns and lead fields: {{"E-mail": "EmailAddress"}}')
    for column, field in mapping.items():
        if field is not None and not _is_field(field):
            raise ValueError(
                f"MAPPING makes column {column} {json.dumps(field)}, which is no lead field: write one such as "
                "EmailAddress or mx_City, or null to leave the column out"
            )
    return mapping


def row_key_of(columns: Sequence[str], mapping: Mapping[str, str | None]) -> str | None:
    """Return the column that names a row: the lead's id, else the first that numbers rows, else none."""
    ids = [column for column in columns if mapping[column] == "ProspectID"]
    return next(iter([*ids, *(column for column in columns if _bare(column) in ROW_IDS)]), None)


def _is_field(name: object) -> bool:
    return isinstance(name, str) and (name in _STANDARD or re.fullmatch(r"mx_\w+", name, re.ASCII) is not None)


def _bare(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.lower())
