"""A CSV file of the user's own in the demonstration's warehouse, and the troubles and changes that it meets there."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from airflow_provider_leadsquared.sandbox.fields import BUILT_IN, SOURCE_FIELDS
from demo.column_names import mapping_of, row_key_of
from demo.customers import CHANGING
from demo.truth import Row

#: Where a row carries its key. It is not called like a field of LeadSquared's, so it is never sent.
KEY = "csv_key"
#: What stands for "no value"; LeadSquared's exports write `Select` for a dropdown that nobody touched.
NULL_VALUES = ("", "Select")

#: The share of the leads that meet a system error twice, and of those that the CRM refuses.
STUMBLING, REFUSED = 0.03, 0.02
_KEPT = {"ProspectID", "SearchBy", "EmailAddress", "Phone", "Mobile", *SOURCE_FIELDS}


class OwnFile:
    """
    A warehouse with one table, ``file``, whose columns are named as the lead fields that the file's columns become.

    :param warehouse: The SQLite file to be filled.
    :param leads: The CSV file.
    :param given: Lead fields of columns that are not to be guessed by their names.
    :raises ValueError: The columns cannot stand in a table, or there are no rows.
    :raises RowSourceError: The file cannot be read.
    """

    dag_id = "file_to_leadsquared"
    dags = Path(__file__).resolve().parent / "dags"
    known: Sequence[dict[str, str]] = ()
    # Drawn apart from each other, as the first fault that fits a lead is the one that strikes.
    faults: Sequence[dict[str, Any]] = (
        {"kind": "system_errors", "count": 2, "share": STUMBLING, "seed": 1},
        {"kind": "reject", "exception": "MXInvalidInputException", "share": REFUSED, "seed": 2},
    )

    def __init__(self, warehouse: Path, leads: Path, given: Mapping[str, str | None] = MappingProxyType({})) -> None:
        # Not at the top: it imports Airflow, whose home must be set before.
        from airflow_provider_leadsquared.tasks.row_sources.csv_file import read_csv

        self._warehouse, self._name = warehouse, leads.name
        with read_csv(str(leads), null_values=NULL_VALUES) as rows, closing(sqlite3.connect(warehouse)) as database:
            #: The lead field of each column, None for one that is not sent.
            self.columns = mapping = mapping_of(rows.columns, given)
            #: The column that names a row, None if its number does.
            self.row_key = row_key = row_key_of(rows.columns, mapping)
            sent = [(at, name) for at, column in enumerate(rows.columns) if (name := mapping[column]) is not None]
            key_at = None if row_key is None else rows.columns.index(row_key)
            self._attributes = [name for _, name in sent]
            _check_apart(self._attributes)
            names = [KEY, *self._attributes]
            database.execute("CREATE TABLE file ({})".format(", ".join(f'"{name}" TEXT' for name in names)))
            statement = f"INSERT INTO file VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - only signs
            lines = (
                [(None if key_at is None else row[key_at]) or f"row {number}", *(row[at] for at, _ in sent)]
                for number, row in enumerate(rows, 1)
            )
            if database.executemany(statement, lines).rowcount < 1:
                raise ValueError(f"{leads} has a header but no rows")
            database.commit()

    @property
    def described(self) -> str:
        """What is sent."""
        return f"the {len(self.rows()):,} leads of {self._name}"

    @property
    def ordered(self) -> str:
        """What is to go wrong at LeadSquared in the first night."""
        return f"system errors for {STUMBLING:.0%}, refusal of {REFUSED:.0%}"

    @property
    def arranged(self) -> str:
        """What of the first night's refusals is none of the rows' own fault."""
        return f"""This demonstration ordered what the CRM rejects: the sandbox refuses {REFUSED:.0%} of all leads,
            whatever they hold. What is invalid or superseded is so by the rows themselves."""

    @property
    def fields(self) -> list[dict[str, str]]:
        """What the CRM needs beyond its own fields to take the file: whatever the file has."""
        standard = {field.schema_name for field in BUILT_IN if not field.schema_name.startswith("mx_")}
        own = [name for name in self._attributes if name not in standard and name not in ("ProspectID", "SearchBy")]
        return [{"SchemaName": name, "DataType": "Text"} for name in own]

    @property
    def visitors(self) -> list[str]:
        """Lead ids in the file: the CRM knows them as visitors of the company's site, or it would give ids itself."""
        return [row.lead["ProspectID"] for row in self.rows() if "ProspectID" in row.lead]

    def rows(self) -> list[Row]:
        """Return the file's rows in order, each with the lead that it ought to be."""
        with closing(sqlite3.connect(self._warehouse)) as database:
            found = database.execute("SELECT * FROM file ORDER BY rowid").fetchall()
        return [
            Row(key, {name: value for name, value in zip(self._attributes, values, strict=True) if value is not None})
            for key, *values in found
        ]

    def live_a_day(self, rejected: Collection[str]) -> list[str]:
        """
        Change some values, and mend what the CRM has refused; see ``Customers.live_a_day``.

        A value becomes another one of the same column, so that it fits; whom a lead is and whence it came stays.
        """
        rows = self.rows()
        refused = [at for at, row in enumerate(rows) if row.key in rejected]
        mended = refused[: max(1, len(refused) - 1)]
        others = [at for at, row in enumerate(rows) if row.key not in rejected]
        some = max(1, round(CHANGING * len(rows)))
        changes = list(islice(self._changes(rows, others[:: max(1, len(others) // some)]), some))
        mends = list(self._changes(rows, mended))
        with closing(sqlite3.connect(self._warehouse)) as database, database:
            for at, attribute, value in (*changes, *mends):
                database.execute(f'UPDATE file SET "{attribute}" = ? WHERE rowid = ?', (value, at + 1))  # noqa: S608 - our own column
        return [
            f"{len(changes):,} leads have another value in one of their columns",
            f"{len(mends):,} of {len(rejected):,} that the CRM had refused are mended",
        ]

    def _changes(self, rows: Sequence[Row], at: Sequence[int]) -> Iterator[tuple[int, str, str]]:
        """Tell for each of some rows an attribute and its new value; one that has nothing to change is left out."""
        values: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            for attribute, value in row.lead.items():
                if attribute not in _KEPT:
                    values[attribute].add(value)
        ring = {attribute: sorted(found) for attribute, found in values.items() if len(found) > 1}
        for number in at:
            lead = rows[number].lead
            for attribute in filter(lead.__contains__, ring):
                there = ring[attribute]
                yield number, attribute, there[(there.index(lead[attribute]) + 1) % len(there)]
                break


def _check_apart(attributes: Sequence[str]) -> None:
    doubled = [name for name, count in Counter(map(str.casefold, attributes)).items() if count > 1]
    if doubled:
        raise ValueError(f"columns differ by letter case only, which a table cannot keep apart: {doubled[0]}")
