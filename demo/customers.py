"""
The customers of the demonstration: invented people in an invented warehouse, with every kind of trouble that rows have.

The same count gives the same customers. Addresses are at example.org, telephone numbers from the range that Britain's
Ofcom keeps for fiction.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from enum import Enum
from pathlib import Path
from typing import Any

from demo.truth import Row

EXAMPLE = Path(__file__).resolve().parent.parent / "dags_examples" / "warehouse_to_leadsquared.py"
FEWEST, MOST = 20, 900
PLANS = ("Gold", "Silver", "Bronze")
#: So many of the customers change from one night to the next.
CHANGING = 0.03

_FIRST = ("Asha", "Bruno", "Chidi", "Dana", "Elif", "Farid", "Greta", "Hiro", "Ines", "Jonas", "Kavya", "Lena", "Mateo")
_LAST = ("Abara", "Berg", "Costa", "Dimitrov", "Eriksen", "Fontaine", "Gupta", "Haddad", "Ito", "Jensen", "Kowalski")
_CITIES = ("Pune", "Kochi", "Porto", "Lagos", "Oslo", "Izmir", "Lyon")
_TABLE = """
CREATE TABLE customers (
    customer_id INTEGER PRIMARY KEY, first_name TEXT, last_name TEXT, email TEXT, phone TEXT, city TEXT, plan TEXT,
    signed_up_on DATE, updated_at TIMESTAMP, closed_on DATE
)
"""
_COLUMNS = ("customer_id", "first_name", "last_name", "email", "phone", "city", "plan", "signed_up_on", "updated_at")


class Kind(Enum):
    """The kinds of customer that are not ordinary."""

    KNOWN = "the CRM has a lead of this e-mail address: updated"
    STUMBLES = "meets a system error twice before it passes"
    TWICE = "the next customer has the same e-mail address: superseded"
    PHONE_TAKEN = "the telephone number belongs to another lead: rejected by the CRM"
    WRONG_PLAN = "none of the dropdown's options: invalid, never sent"
    LONG_CITY = "longer than the field: invalid, never sent"
    NAMELESS = "neither e-mail address nor telephone: invalid, never sent"


_SHARES = {
    Kind.KNOWN: 0.1,
    Kind.STUMBLES: 0.04,
    Kind.TWICE: 0.02,
    Kind.PHONE_TAKEN: 0.025,
    Kind.WRONG_PLAN: 0.01,
    Kind.LONG_CITY: 0.005,
    Kind.NAMELESS: 0.015,
}


class Customers:
    """
    A warehouse of invented customers, and what makes trouble for them in the CRM.

    :param warehouse: The SQLite file that the customers are put into.
    :param count: How many.
    :raises ValueError: Too few to hold every kind, or more than there are telephone numbers.
    """

    dag_id = "warehouse_to_leadsquared"
    row_key = "customer_id"
    #: All that the example needs, the CRM has by itself.
    fields: Sequence[Mapping[str, Any]] = ()
    #: Ids of leads to be.
    visitors: Sequence[str] = ()

    def __init__(self, warehouse: Path, count: int) -> None:
        if not FEWEST <= count <= MOST:
            raise ValueError(f"the number of customers must be from {FEWEST} to {MOST}, not {count}")
        self._warehouse = warehouse
        #: The folder of DAG files: the example alone, for others may need a newer Airflow.
        self.dags = warehouse.parent / "dags"
        self.dags.mkdir(exist_ok=True)
        shutil.copy(EXAMPLE, self.dags)
        self._count = count
        self.kinds = _spread(count)
        #: Leads that the CRM has before the first night.
        self.known: list[dict[str, str]] = []
        #: What goes wrong at LeadSquared in the first night.
        self.faults: list[dict[str, Any]] = []
        with closing(sqlite3.connect(warehouse)) as database, database:
            database.execute(_TABLE)
            for number in range(count):
                self._put(database, self._customer(number))

    @property
    def described(self) -> str:
        """What is sent."""
        return f"{self._count:,} invented customers"

    @property
    def ordered(self) -> str:
        """What is to go wrong at LeadSquared in the first night."""
        return f"system errors for {len(self.faults):,} leads"

    @property
    def arranged(self) -> str:
        """What of the first night's refusals is none of the rows' own fault."""
        taken = sum(kind is Kind.PHONE_TAKEN for kind in self.kinds.values())
        return f"""This demonstration arranged all of it: it invented these customers with their faults, and gave the
            telephone numbers of {taken:,} of them to other leads in the CRM, which therefore rejects them."""

    @property
    def columns(self) -> dict[str, str | None]:
        """The lead field of each column, as the example has it."""
        from dags_examples.warehouse_to_leadsquared import MAPPING  # imports Airflow, whose home must be set before

        return {column: target if isinstance(target, str) else target[0] for column, target in MAPPING.items()}

    def rows(self) -> list[Row]:
        """Return the present customers in the order in which they are sent, each with the lead that it ought to be."""
        with closing(sqlite3.connect(self._warehouse)) as database:
            database.row_factory = sqlite3.Row
            found = database.execute("SELECT * FROM customers WHERE closed_on IS NULL ORDER BY updated_at, customer_id")
            return [Row(str(customer["customer_id"]), _lead(customer)) for customer in found]

    def live_a_day(self, rejected: Collection[str]) -> list[str]:
        """
        Change what changes in a warehouse from one night to the next.

        :param rejected: The keys of the customers that the CRM has refused.
        :return: What was done, in words.
        """
        ordinary = [n for n in range(self._count) if n not in self.kinds and n - 1 not in self.kinds]
        moving = ordinary[:: max(1, len(ordinary) // max(1, round(CHANGING * self._count)))]
        moving = moving[: max(1, round(CHANGING * self._count))]
        leaving = next(number for number in ordinary if number not in moving)
        *mended, left = sorted(int(key) for key in rejected) or [0]
        plans = [number for number, kind in self.kinds.items() if kind is Kind.WRONG_PLAN]
        with closing(sqlite3.connect(self._warehouse)) as database, database:
            for number in moving:
                self._change(database, number + 1, city=_CITIES[(number + 3) % len(_CITIES)])
            for at, key in enumerate(mended):
                self._change(database, key, phone=_phone(self._count + 1 + at))
            for number in plans:
                self._change(database, number + 1, plan=PLANS[0])
            self._change(database, leaving + 1, closed_on="2026-01-02")
            self._put(database, _ordinary(self._count))
        return [
            f"{len(moving):,} customers have moved to another city",
            f"{len(mended):,} of {len(rejected):,} that the CRM had refused have a telephone number of their own now",
            f"{len(plans):,} with a plan that does not exist have a real one now",
            "1 customer is new, and 1 has left: what has left the warehouse is left alone in the CRM",
        ]

    def _customer(self, number: int) -> dict[str, Any]:
        customer = _ordinary(number)
        email = str(customer["email"]).strip().lower()
        match self.kinds.get(number):
            case Kind.KNOWN:
                self.known.append({"EmailAddress": email, "FirstName": customer["first_name"]})
            case Kind.STUMBLES:
                self.faults.append({"kind": "system_errors", "count": 2, "attribute": "EmailAddress", "value": email})
            case Kind.TWICE:
                customer["email"] = _ordinary(number + 1)["email"]
            case Kind.PHONE_TAKEN:
                # LeadSquared finds the customer's own lead by its e-mail address, and may not give it another's number.
                other = {"EmailAddress": f"neighbour.{email}", "Phone": customer["phone"]}
                self.known += [{"EmailAddress": email}, other]
            case Kind.WRONG_PLAN:
                customer["plan"] = "Platinum"
            case Kind.LONG_CITY:
                customer["city"] = "Long" + "long" * 24 + "ville"
            case Kind.NAMELESS:
                customer["email"] = customer["phone"] = ""
        return customer

    def _put(self, database: sqlite3.Connection, customer: Mapping[str, Any]) -> None:
        database.execute(
            "INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", [customer[name] for name in _COLUMNS]
        )

    def _change(self, database: sqlite3.Connection, customer_id: int, **columns: str) -> None:
        for column, value in columns.items():
            statement = "UPDATE customers SET {} = ?, updated_at = '2026-01-02 18:00:00' WHERE customer_id = ?"
            database.execute(statement.format(column), (value, customer_id))


def _spread(count: int) -> Mapping[int, Kind]:
    """Spread the kinds evenly over the customers, with ordinary ones between them."""
    kinds = [kind for kind, share in _SHARES.items() for _ in range(max(_fewest(kind), round(share * count)))]
    return {at * count // len(kinds): kind for at, kind in enumerate(kinds)}


def _fewest(kind: Kind) -> int:
    """Two at the least are refused, so that one can be mended and one be held."""
    return 2 if kind is Kind.PHONE_TAKEN else 1


def _ordinary(number: int) -> dict[str, Any]:
    """Invent a customer; some are written as people write, for the mapping to put right."""
    first, last = _FIRST[number % len(_FIRST)], _LAST[number % len(_LAST)]
    email, city = f"{first}.{last}.{number + 1}@example.org", _CITIES[number % len(_CITIES)]
    return {
        "customer_id": number + 1,
        "first_name": f" {first}" if number % 10 == 3 else first,
        "last_name": last,
        "email": f"{email} " if number % 6 == 5 else email.lower(),
        "phone": _phone(number),
        "city": city.upper() if number % 8 == 1 else city,
        "plan": (*PLANS, None)[number % 4],
        "signed_up_on": f"20{10 + number % 15}-{1 + number % 12:02d}-{1 + number % 28:02d}",
        "updated_at": f"2026-01-01 {number // 60:02d}:{number % 60:02d}:00",
    }


def _phone(number: int) -> str:
    return f"+44-7700900{number:03d}"


def _lead(customer: Mapping[str, Any]) -> dict[str, str]:
    """Write down what the example's mapping ought to make of a customer, in other words than the example's."""
    lead = {
        "mx_Customer_Id": str(customer["customer_id"]),
        "FirstName": customer["first_name"].strip(),
        "LastName": customer["last_name"].strip(),
        "EmailAddress": customer["email"].strip().lower(),
        "Phone": customer["phone"].strip(),
        "mx_City": customer["city"].strip().capitalize(),
        "mx_Plan": customer["plan"],
        "mx_Signed_Up_On": f"{customer['signed_up_on']} 00:00:00",
        "Source": "Warehouse",
    }
    return {attribute: value for attribute, value in lead.items() if value}
