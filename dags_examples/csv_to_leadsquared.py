"""
Send the leads of a CSV file to LeadSquared and wait until the CRM has judged each.

The file is read where the capture runs, row by row, so lead data passes through neither XCom nor the serialized DAG.
Columns become lead fields by their names; a JSON file can say otherwise, in any of three parts:

    {"columns": {"Mail": "EmailAddress", "Town": "mx_City", "Remark": null}, "key": "Customer No", "empty": ["", "n/a"]}

A column mapped to null is left out. `key` is the column that names a row in logs and results; without one the lead's
id does it, or a column called ID or Lead Number, or the line of the file. `empty` are texts that stand for no value.
"""

# [START howto_csv_to_leadsquared]
from __future__ import annotations

import csv
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, Param, task

from airflow_provider_leadsquared.delivery.row_keys import check_key_column
from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor

#: Where a row carries its name. It is not called like a field of LeadSquared's, so it is never sent.
KEY = "csv_key"
#: What stands for "no value"; LeadSquared's exports write `Select` for a dropdown that nobody touched.
EMPTY = ("", "Select")
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


class UnusableFileError(AirflowFailException):
    """The CSV or mapping file cannot be read as it is; another try would end alike, so there is none."""


@dataclass(frozen=True)
class Columns:
    """Where the values of a row go: each column's attribute (None: nowhere), the key's column, and what is empty."""

    attributes: tuple[str | None, ...]
    key: int | None
    empty: frozenset[str]

    @classmethod
    def plan(cls, header: Sequence[str], mapping: dict[str, Any]) -> Columns:
        """Match the columns of a file with attributes."""
        mapped = mapping.get("columns", {})
        named = [mapping["row_key"]] if mapping.get("key") is not None else []
        if missing := [column for column in (*mapped, *named) if column not in header]:
            raise UnusableFileError(f"The mapping names columns that the file does not have: {', '.join(missing)}")
        by_default = [default_attribute(column) for column in header]
        attributes = [mapped.get(column, name) for column, name in zip(header, by_default, strict=True)]
        for attribute, count in Counter(filter(None, attributes)).items():
            if count > 1:
                rivals = ", ".join(c for c, name in zip(header, attributes, strict=True) if name == attribute)
                raise UnusableFileError(f"Several columns would be {attribute}: {rivals}. Map all but one to null")
        if named:
            key = header.index(named[0])
            _check_impersonal(attributes[key], by_default[key])
        elif "key" in mapping:
            key = None
        elif "ProspectID" in attributes:
            key = attributes.index("ProspectID")
        else:
            numbers = [at for at, column in enumerate(header) if _bare(column) in ROW_IDS and attributes[at] is None]
            key = numbers[0] if numbers else None
        return cls(tuple(attributes), key, frozenset(mapping.get("empty", EMPTY)))

    def lead(self, line: int, cells: Sequence[str]) -> dict[str, str | None]:
        """Make a lead of a row; one without a key goes by its line."""
        values = [None if cell.strip() in self.empty else cell for cell in cells]
        key = None if self.key is None else values[self.key]
        pairs = zip(self.attributes, values, strict=True)
        return {KEY: key or f"line {line}", **{name: value for name, value in pairs if name is not None}}


def default_attribute(column: str) -> str | None:
    """Tell a column's attribute: a system field, else `mx_` and its words; None for a number of the row."""
    words = re.findall(r"[A-Za-z0-9]+", column)
    bare = _bare(column)
    if bare in ROW_IDS:
        return None
    if bare in KNOWN:
        return KNOWN[bare]
    return "_".join(["mx", *(words[1:] if words[0].lower() == "mx" else words)])


def read_leads(context: Any, jinja_env: Any) -> Iterator[dict[str, str | None]]:
    """Read the run's CSV file row by row; Airflow calls this in place of rendering a template."""
    params = context["params"]
    columns, rows = open_csv(params["csv_file"], params["mapping_file"])
    for line, cells in rows:
        yield columns.lead(line, cells)


def open_csv(csv_file: str, mapping_file: str | None = None) -> tuple[Columns, Iterator[tuple[int, list[str]]]]:
    """Return what the columns of a file are, and its rows with the line on which each begins."""
    mapping = _read_mapping(Path(mapping_file)) if mapping_file else {}
    rows = _read_rows(Path(csv_file))
    _, header = next(rows)
    return Columns.plan(header, mapping), rows


def _read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the header, then the rows, each with its line; a file that is not what it should be is an error."""
    line = 1
    is_utf_8 = True
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [column.strip() for column in next(reader, [])]
            _check_header(path, header)
            yield line, header
            line = reader.line_num + 1
            for cells in reader:
                if cells and len(cells) != len(header):
                    raise UnusableFileError(f"{path}, line {line}: {len(cells)} values for {len(header)} columns")
                if cells:
                    yield line, cells
                line = reader.line_num + 1
    except UnicodeDecodeError:
        is_utf_8 = False  # raised below: this exception holds part of the file, and would hang on ours
    except csv.Error as error:
        raise UnusableFileError(f"{path}, line {line}: {error}") from None
    except OSError as error:
        raise UnusableFileError(f"{path} cannot be read: {error.strerror}. The worker must see this path") from None
    if not is_utf_8:
        raise UnusableFileError(f"{path} is not UTF-8, at line {line} or soon after; save it as 'CSV UTF-8'")
    if line == 2:
        raise UnusableFileError(f"{path} has a header but no rows")


def _check_header(path: Path, header: Sequence[str]) -> None:
    if not any(header):
        raise UnusableFileError(f"{path} is empty; its first line must name the columns")
    if len(header) == 1 and (separator := re.search(r"[;\t|]", header[0])):
        raise UnusableFileError(f"{path} separates columns by {separator.group()!r}; save it with commas")
    if nameless := [str(at) for at, column in enumerate(header, 1) if not _bare(column)]:
        raise UnusableFileError(f"{path}: the name of column {', '.join(nameless)} has no letter from a to z, no digit")
    if doubled := [column for column, count in Counter(header).items() if count > 1]:
        raise UnusableFileError(f"{path} has columns of the same name: {', '.join(doubled)}")


def _read_mapping(path: Path) -> dict[str, Any]:
    """Read a mapping file and check its shape."""
    try:
        mapping = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UnusableFileError(f"{path} cannot be read: {error.strerror}. The worker must see this path") from None
    except ValueError as error:
        raise UnusableFileError(f"{path} is not JSON: {error}") from None
    if not isinstance(mapping, dict) or set(mapping) - {"columns", "key", "empty"}:
        raise UnusableFileError(f'{path} must be one object with "columns", "key" and "empty", or some of them')
    columns, key, empty = mapping.get("columns", {}), mapping.get("key"), mapping.get("empty", [])
    if not isinstance(columns, dict) or not all(name is None or _is_attribute(name) for name in columns.values()):
        raise UnusableFileError(f'{path}: "columns" gives each column a schema name (letters, digits, _) or null')
    if not isinstance(key, str | None):
        raise UnusableFileError(f'{path}: "key" is the name of a column, or null')
    if not isinstance(empty, list) or not all(isinstance(text, str) for text in empty):
        raise UnusableFileError(f'{path}: "empty" is a list of texts')
    return mapping


def _check_impersonal(*attributes: str | None) -> None:
    """Refuse a key that would carry personal data into logs and results."""
    try:
        for attribute in attributes:
            check_key_column(attribute)
    except ValueError as error:
        raise UnusableFileError(str(error)) from None


def _is_attribute(name: object) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None


def _bare(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.lower())


@task
def report(capture: Any, wait: Any) -> None:
    """Log what became of the rows: counts, reasons, and for each reason one row's key. No lead data."""
    log = logging.getLogger("csv_to_leadsquared")
    for name, output in (("capture", capture), ("wait", wait)):
        counts = dict(output["counts"]) if output else {}
        read = counts.pop("read", 0)
        told = " + ".join(f"{state} {count:,}" for state, count in counts.items())
        log.info("%s: %s", name, f"read {read:,} = {told}" if output else "no result; its log says why")
    examples: dict[tuple[str, str], list[str]] = {}
    for result in [*(capture["set_aside"] if capture else ()), *(wait["results"] if wait else ())]:
        if result["reason_class"]:
            examples.setdefault((result["verdict"], result["reason_class"]), []).append(result["row_key"])
    for (verdict, reason), keys in sorted(examples.items(), key=lambda item: -len(item[1])):
        log.info("%s: %s %s, such as %s", verdict, f"{len(keys):,}", reason, keys[0])


with DAG(
    "csv_to_leadsquared",
    schedule=None,
    tags=["leadsquared"],
    params={
        "csv_file": Param(type="string", minLength=1, title="CSV file", description="Path as the worker sees it"),
        "mapping_file": Param(None, type=["null", "string"], title="JSON file that maps columns to lead fields"),
        "allowed_rejects": Param(
            0, type="number", minimum=0, title="Rows that may fail", description="A count, or a share such as 0.05"
        ),
    },
):
    allowed = "{{ params.allowed_rejects }}"
    capture = LeadCaptureOperator(task_id="capture", leads=read_leads, row_key=KEY, allowed_rejects=allowed, retries=2)
    wait = LeadStatusSensor(task_id="wait", request_ids=capture.output, allowed_rejects=allowed)
    # A teardown runs whatever happened before it, and leaves the run's colour to the other two.
    report(capture.output, wait.output).as_teardown()
# [END howto_csv_to_leadsquared]
