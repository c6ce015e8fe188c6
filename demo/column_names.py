"""Which lead field a column of any CSV file is, guessed from its name: a mapping as ``ColumnMapping`` takes it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

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


def mapping_of(columns: Sequence[str]) -> dict[str, str | None]:
    """
    Return the attribute of each column, None for a column that is not sent.

    :raises ValueError: Two columns would be the same attribute, or a name has no letter and no digit to make one of.
    """
    if nameless := [str(number) for number, column in enumerate(columns, 1) if not _bare(column)]:
        raise ValueError(f"the name of column {', '.join(nameless)} has no letter from a to z, no digit")
    mapping = {column: attribute_of(column) for column in columns}
    for attribute, count in Counter(filter(None, mapping.values())).items():
        if count > 1:
            rivals = ", ".join(column for column, name in mapping.items() if name == attribute)
            raise ValueError(f"several columns would be {attribute}: {rivals}; rename all but one")
    return mapping


def row_key_of(columns: Sequence[str], mapping: Mapping[str, str | None]) -> str | None:
    """Return the column that names a row: the lead's id, else the first that numbers rows, else none."""
    ids = [column for column in columns if mapping[column] == "ProspectID"]
    return next(iter([*ids, *(column for column in columns if mapping[column] is None)]), None)


def _bare(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.lower())
