"""What an author hands to a sensor, parsed to entries: RequestIds, receipts, or outputs of captures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pendulum

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE, async_api
from airflow_provider_leadsquared.api.request_ids import parse_request_id
from airflow_provider_leadsquared.delivery.batch import Batch
from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import REPEATED_REQUEST_ID
from airflow_provider_leadsquared.tasks.ledger_address import LedgerAddress

_OLD = (
    "was returned by an earlier version of this package, which this one cannot read. To wait for its requests, pass "
    "their RequestIds alone: [receipt['request_id'] for receipt in output['receipts']]; to write a new output, clear "
    "the task that returned it"
)

_OLD_SYNC = (
    "was returned by an earlier version of this package, which this one cannot read. Let that DAG run end with the "
    "earlier version, or clear the sync with a new ledger_table"
)


def receipts_of(batch: Batch) -> Iterator[dict[str, Any]]:
    """Return the receipt of every row that LeadSquared accepted, as JSON."""
    for entry in filter(has_receipt, batch.all_entries):
        yield {
            "row": entry.row + 1,
            "row_key": entry.row_key,
            "api": entry.api,
            "request_id": entry.request_id,
            "accepted_at": pendulum.from_timestamp(entry.accepted_at or 0.0).isoformat(timespec="milliseconds"),
        }


def has_receipt(entry: Entry) -> bool:
    """Tell whether LeadSquared accepted a row."""
    return entry.request_id is not None and entry.accepted_at is not None


def receipts_by_ledger(given: Any) -> dict[LedgerAddress | None, list[Entry]]:
    """
    Parse what an author hands to a sensor.

    :param given: A RequestId (of a lead capture), a list of them, a capture's output, its receipts, or a list of
        outputs (of a mapped capture). A receipt that is given twice is kept once. One whose RequestId a receipt of
        another row has becomes an ``invalid`` entry, and so does one that is no RequestId.
    :return: The receipts of captures that name a SQL ledger by its address, also where there are none, or where the
        output leaves them to that ledger; all others under None.
    :raises ValueError: It is none of these, an earlier version returned it, or there is no such API.
    """
    by_ledger: dict[LedgerAddress | None, list[Entry]] = {}
    parsed = _Receipts()
    for address, receipt in _flattened(given):
        entries = by_ledger.setdefault(address, [])
        if receipt is not None and (entry := parsed.add(receipt)) is not None:
            entries.append(entry)
    return by_ledger


class _Receipts:
    """The receipts that were parsed so far; kept small, for there may be many, and few have a RequestId in common."""

    def __init__(self) -> None:
        self._count = 0
        #: The first receipt of each RequestId.
        self._first: dict[str, Entry] = {}
        #: RequestIds given without a row.
        self._bare: set[str] = set()
        #: Of RequestIds that were given again: row key and row of each receipt, and which identities there are.
        self._seen: dict[str, set[tuple[str | None, int | None]]] = {}
        self._copies: Counter[Identity] = Counter()

    def add(self, receipt: dict[str, Any]) -> Entry | None:
        """Parse one receipt; return None if it was given before."""
        _check_types(receipt)
        request_id: str = receipt["request_id"]
        row = receipt.get("row")
        first = self._first.get(request_id)
        if first is not None:
            row_of_first = None if request_id in self._bare else first.row + 1
            seen = self._seen.setdefault(request_id, {(first.row_key, row_of_first)})
            row_key = receipt.get("row_key")
            this = (None if row_key is None else str(row_key), row)
            if this in seen:
                return None
            seen.add(this)
        entry = _entry(self._count, receipt)
        self._count += 1
        if first is None:
            self._first[request_id] = entry
            if row is None:
                self._bare.add(request_id)
            return entry
        if first.name != entry.name and not entry.state.is_final:
            problem = f"has the RequestId of {first.name}, so that nobody can tell its outcome"
            entry = replace(entry, state=State.INVALID, reason_class=REPEATED_REQUEST_ID, reason=problem)
        self._copies.setdefault(first.identity, 1)
        entry = replace(entry, copy=self._copies[entry.identity])
        self._copies[replace(entry, copy=0).identity] += 1
        return entry


def refuse_old_output(output: Mapping[str, Any]) -> None:
    """
    Refuse what an earlier version of a task returned.

    :raises ValueError: It is such an output; the text says what to do.
    """
    if "books" in output or ("request_id" in output and "api" not in output):
        what = "an output" if "books" in output else "a receipt"
        remedy = _OLD if "receipts" in output or "request_id" in output else _OLD_SYNC
        raise ValueError(f"request_ids holds {what} that {remedy}")


def _flattened(
    given: Any, address: LedgerAddress | None = None
) -> Iterator[tuple[LedgerAddress | None, dict[str, Any] | None]]:
    """Yield receipts, each with the address of its ledger; None in place of a receipt once for each output."""
    if isinstance(given, Mapping):
        refuse_old_output(given)
    if isinstance(given, str):
        yield address, {"request_id": given, "api": LEAD_CAPTURE.name}
    elif isinstance(given, Mapping) and ("receipts" in given or "ledger" in given):
        address = None if given.get("ledger") is None else LedgerAddress.parse(given["ledger"])
        if "receipts" not in given and (address is None or address.receipts is None):
            raise ValueError("request_ids holds an output without receipts; pass what the capture returned")
        yield address, None
        yield from _flattened(given.get("receipts", ()), address)
    elif isinstance(given, Mapping) and "request_id" in given:
        yield address, dict(given)
    elif isinstance(given, Iterable) and not isinstance(given, (Mapping, bytes)):
        for item in given:
            yield from _flattened(item, address)
    else:
        raise ValueError(
            f"request_ids holds a {type(given).__name__}; pass a RequestId, a list of them, or a capture's output"
        )


def _check_types(receipt: Mapping[str, Any]) -> None:
    """Raise ValueError if a field of a receipt is of a type that a capture does not return."""
    row = receipt.get("row")
    if row is not None and (not isinstance(row, int) or isinstance(row, bool) or row < 1):
        raise ValueError(f"row of a receipt is {row!r}; it is the row's number, from 1")
    for name in ("request_id", "api"):
        if not isinstance(receipt.get(name), str):
            raise ValueError(f"{name} of a receipt must be a text, as a capture returns it")
    if not isinstance(receipt.get("row_key"), (str, int, type(None))):
        raise ValueError("row_key of a receipt must be a text, as a capture returns it")


def _entry(row: int, receipt: dict[str, Any]) -> Entry:
    request_id, row_key, accepted_at = (receipt.get(name) for name in ("request_id", "row_key", "accepted_at"))
    try:
        api = async_api(receipt["api"])
    except ValueError as error:
        raise ValueError(f"a receipt in request_ids: {error}") from None
    entry = Entry(
        row if receipt.get("row") is None else int(receipt["row"]) - 1,
        State.OPEN,
        None if row_key is None else str(row_key),
        request_id=str(request_id),
        accepted_at=None if accepted_at is None else _seconds(accepted_at),
        api=api.name,
    )
    if parse_request_id(request_id) is None:
        problem = "is no RequestId: those are 1 to 100 printable characters; pass what the capture returned"
        return replace(entry, state=State.INVALID, reason_class="not_a_request_id", reason=problem)
    return entry


def _seconds(time: Any) -> float:
    try:
        at = datetime.fromisoformat(time)  # much faster, and reads what captures return
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        pass
    try:
        parsed = pendulum.parse(time)
        if isinstance(parsed, pendulum.DateTime):
            return parsed.timestamp()
    except (ValueError, TypeError):
        pass
    raise ValueError("accepted_at of a receipt must be an ISO 8601 date and time, as a capture returns it")
