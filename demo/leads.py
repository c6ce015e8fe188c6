"""
The leads of the demonstration: invented people, and among them every kind of trouble that leads get into.

The same count gives the same leads. Addresses are at example.org, telephone numbers from the range that Britain's
Ofcom keeps for fiction.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

FEWEST, MOST = 20, 900
COURSES = ("Data Engineering", "Statistics", "Product Design")
#: What the CRM of the demonstration knows beyond its standard fields. It knows no field for the "Referral Code".
FIELDS = ({"SchemaName": "mx_Course", "DataType": "Select", "Options": list(COURSES)},)

_FIRST = ("Asha", "Bruno", "Chidi", "Dana", "Elif", "Farid", "Greta", "Hiro", "Ines", "Jonas", "Kavya", "Lena", "Mateo")
_LAST = ("Abara", "Berg", "Costa", "Dimitrov", "Eriksen", "Fontaine", "Gupta", "Haddad", "Ito", "Jensen", "Kowalski")
_CITIES = ("Pune", "Kochi", "Porto", "Lagos", "Oslo", "Izmir", "Lyon")
_SOURCES = ("Website", "Fair", "Referral", "Newsletter")
_COLUMNS = ("ID", "First Name", "Last Name", "Email", "Phone", "City", "Course", "Lead Source", "Referral Code")


class Kind(Enum):
    """The kinds of lead that are not ordinary."""

    KNOWN = "the CRM has a lead of this e-mail address: updated"
    STUMBLES = "meets a system error twice before it passes"
    CORRECTED = "the next row has the same e-mail address: superseded"
    UNKNOWN_FIELD = "fills a column for which the CRM has no field: rejected"
    PHONE_TAKEN = "its telephone number belongs to another lead: rejected"
    WRONG_COURSE = "none of the dropdown's options: rejected"
    LONG_CITY = "longer than the field: rejected"
    NAMELESS = "neither e-mail address nor telephone: invalid, never sent"


_SHARES = {
    Kind.KNOWN: 0.1,
    Kind.STUMBLES: 0.04,
    Kind.CORRECTED: 0.02,
    Kind.UNKNOWN_FIELD: 0.02,
    Kind.PHONE_TAKEN: 0.02,
    Kind.WRONG_COURSE: 0.01,
    Kind.LONG_CITY: 0.005,
    Kind.NAMELESS: 0.015,
}


@dataclass
class InventedLeads:
    """
    The file's rows, and what makes trouble for them.

    `known` are leads that the CRM has before the run, `stumbling` the e-mail addresses of those that meet a system
    error.
    """

    rows: list[dict[str, str]] = field(default_factory=list)
    known: list[dict[str, str]] = field(default_factory=list)
    stumbling: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write the rows as a CSV file."""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)


def invent_leads(count: int) -> InventedLeads:
    """
    Invent leads.

    :param count: rows in all
    :raises ValueError: too few to hold every kind, or more than there are telephone numbers
    """
    if not FEWEST <= count <= MOST:
        raise ValueError(f"the number of leads must be from {FEWEST} to {MOST}, not {count}")
    invented = InventedLeads()
    kinds = _spread(count)
    for number in range(count):
        row = _ordinary(number)
        invented.rows.append(row)
        if number in kinds:
            _make_trouble(invented, row, _ordinary(number + 1), kinds[number])
    return invented


def _spread(count: int) -> Mapping[int, Kind]:
    """Spread the kinds evenly over the file, with ordinary rows between them."""
    kinds = [kind for kind, share in _SHARES.items() for _ in range(max(1, round(share * count)))]
    return {at * count // len(kinds): kind for at, kind in enumerate(kinds)}


def _ordinary(number: int) -> dict[str, str]:
    first, last = _FIRST[number % len(_FIRST)], _LAST[number % len(_LAST)]
    return {
        "ID": f"L-{number + 1:03d}",
        "First Name": first,
        "Last Name": last,
        "Email": f"{first}.{last}.{number + 1}@example.org".lower(),
        "Phone": f"+44-7700900{number:03d}",
        "City": _CITIES[number % len(_CITIES)],
        "Course": (*COURSES, "Select")[number % 4],
        "Lead Source": _SOURCES[number % 5] if number % 5 < len(_SOURCES) else "",
        "Referral Code": "",
    }


def _make_trouble(invented: InventedLeads, row: dict[str, str], following: dict[str, str], kind: Kind) -> None:
    match kind:
        case Kind.KNOWN:
            invented.known.append({"EmailAddress": row["Email"], "FirstName": row["First Name"]})
        case Kind.STUMBLES:
            invented.stumbling.append(row["Email"])
        case Kind.CORRECTED:
            row["Email"] = following["Email"]
        case Kind.UNKNOWN_FIELD:
            row["Referral Code"] = f"FRIEND-{row['ID'][2:]}"
        case Kind.PHONE_TAKEN:
            # LeadSquared finds the row's own lead by its e-mail address and then may not give it the other's number.
            other = f"neighbour.{row['Email']}"
            invented.known += [{"EmailAddress": row["Email"]}, {"EmailAddress": other, "Phone": row["Phone"]}]
        case Kind.WRONG_COURSE:
            row["Course"] = "Underwater Basketry"
        case Kind.LONG_CITY:
            row["City"] = "Long" + "long" * 24 + "ville"
        case Kind.NAMELESS:
            row["Email"] = row["Phone"] = ""
