"""
The rows of one run: which may be sent, and which an earlier try has sent already.

All rows are checked before the first is sent, because three rules compare rows: no row key may be there twice, the
last of several rows with one match key is sent, and a row is recognised by what it holds, not by its position.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from airflow_provider_leadsquared.api.async_apis import AsyncApi
from airflow_provider_leadsquared.api.errors import ApiError, InvalidLeadError, RejectedError
from airflow_provider_leadsquared.api.leads import LeadRules
from airflow_provider_leadsquared.api.null_handling import NullHandling
from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.api.responses import Receipt
from airflow_provider_leadsquared.delivery.entry import Entry, Identity
from airflow_provider_leadsquared.delivery.records import check_records
from airflow_provider_leadsquared.delivery.row_keys import DOUBLED_KEY, check_key_column, split_row_key
from airflow_provider_leadsquared.delivery.states import State

_OTHER_VALUES = "its sending is in doubt, but the row has other values now, which are sent"


class Records(Protocol):
    """What a ledger holds of a run."""

    @property
    def entries(self) -> Mapping[Identity, Entry]:
        """The newest entry of each row."""

    @property
    def others(self) -> Sequence[Entry]:
        """Further receipts of rows."""


@dataclass(slots=True, eq=False)
class Batch:
    """
    Rows that are checked, sent and recorded together.

    :param entries: One entry per row that was read, in order.
    :param payloads: What is sent for the rows that passed the checks, by row. Never shown.
    :param api: The asynchronous API that they are sent to.
    :param sent_before: What earlier tries sent and is not among the rows now, and further receipts of rows.
    """

    entries: list[Entry]
    payloads: dict[int, Payload] = field(repr=False)
    api: AsyncApi
    _doubted: set[int] = field(default_factory=set)
    sent_before: list[Entry] = field(default_factory=list)
    #: Rows refused for a doubled row key, as they were before: an earlier try may have sent them.
    _refused: dict[int, tuple[Entry, Payload]] = field(default_factory=dict, repr=False)

    @classmethod
    def read(
        cls,
        records: Iterable[Any],
        *,
        api: AsyncApi,
        row_key: str | None = None,
        hash_row_keys: bool = False,
        null_handling: NullHandling = "skip",
        search_by: str | None = None,
        require_match_key: bool = True,
        rules: LeadRules | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> Batch:
        """
        Check every row; what is wrong with one is in its entry and stops no other.

        :param records: Records as the API's ``encode`` takes them.
        :param api: The asynchronous API that they are sent to.
        :param row_key: The column that identifies a row to its owner. It is sent as well if it is named as a field of
            LeadSquared's (``mx_…`` or ``ProspectID``).
        :param hash_row_keys: Name rows by a hash of their keys.
        :param null_handling: What to do with None: ``skip`` or ``clear``.
        :param search_by: The attribute by which LeadSquared shall match.
        :param require_match_key: Refuse a row that LeadSquared cannot match: sent twice, it would be there twice.
        :param rules: The account's own rules, where they are known.
        :param parameters: The query parameters of each submission.
        :raises ValueError: ``records`` is no list of records, or ``row_key`` names a personal column.
        """
        check_key_column(row_key, is_hashed=hash_row_keys)
        check_records(records, api.records)
        batch = cls([], {}, api)
        for row, record in enumerate(records):
            key: str | None = None
            try:
                key, attributes = split_row_key(record, row_key, is_hashed=hash_row_keys)
                payload = api.encode(
                    attributes, null_handling=null_handling, search_by=search_by, rules=rules, parameters=parameters
                )
                if require_match_key:
                    check_match_key(payload, api)
            except InvalidLeadError as error:
                batch.entries.append(invalid_entry(row, key, error, api=api, copy=row))
            else:
                batch.entries.append(Entry(row, State.UNSENT, key, payload.fingerprint, api=api.name))
                batch.payloads[row] = payload
        batch._refuse_doubled_keys()
        batch._supersede()
        batch._number_copies()
        return batch

    def resume(self, earlier: Records) -> None:
        """
        Take over what earlier tries recorded: about these rows, and about what is not among them any more.

        :param earlier: What the ledger holds.
        """
        taken: set[Identity] = set()
        for row in self.payloads:
            found = earlier.entries.get(self.entries[row].identity)
            if found is not None and self.entries[row].state.is_to_send:
                taken.add(found.identity)
                self.entries[row] = replace(found, row=row)
                if found.state is State.IN_DOUBT:
                    self._doubted.add(row)
        for row, (entry, payload) in self._refused.items():
            found = earlier.entries.get(entry.identity)
            # What LeadSquared has accepted stays what it is, although its key is doubled now.
            if found is not None and found.request_id is not None and found.identity not in taken:
                taken.add(found.identity)
                self.entries[row], self.payloads[row] = replace(found, row=row), payload
        gone = [entry for entry in earlier.entries.values() if entry.state.was_sent and entry.identity not in taken]
        replaced = {
            self.entries[row].row_key
            for row in self.payloads
            if self.entries[row].row_key is not None and self.may_repeat(row)
        }
        beside = sorted([*gone, *earlier.others], key=lambda entry: (entry.row, entry.accepted_at or 0.0))
        for row, entry in enumerate(beside, start=len(self.entries)):
            if entry.state is State.IN_DOUBT and entry.row_key in replaced:
                entry = outdated(entry)
            self.sent_before.append(replace(entry, row=row))

    @property
    def all_entries(self) -> list[Entry]:
        """The rows that were read, and what earlier tries sent beside them."""
        return [*self.entries, *self.sent_before]

    def doubt_all(self) -> list[Entry]:
        """
        Record that an earlier try may have sent any of these rows, and that it is not known which.

        :return: The rows, to be written: they stay in doubt in the tries that follow.
        """
        self._doubted.update(self.payloads)
        return [
            self._set(row, replace(self.entries[row], state=State.IN_DOUBT, reason_class="LedgerLost"))
            for row in self.payloads
        ]

    def to_send(self) -> list[int]:
        """
        Return the rows to send, in order: those without a receipt.

        A row in doubt is among them only if it may be repeated: if LeadSquared finds what its first sending made.
        """
        return [row for row in self.payloads if self._is_to_send(row)]

    def may_repeat(self, row: int) -> bool:
        """Tell whether a row may be sent again when its first sending is in doubt."""
        return self.api.may_repeat(self.payloads[row])

    def intend(self, row: int) -> Entry:
        """Record that a row is about to be sent: until there is a response, it is in doubt."""
        entry = self.entries[row]
        doubt = entry.moved(State.IN_DOUBT, reason_class="NoResponse", reason=None, attempts=entry.attempts + 1)
        return self._set(row, doubt)

    def record(self, row: int, outcome: Receipt | ApiError, now: float) -> Entry:
        """
        Record the outcome of a row's sending.

        :param outcome: LeadSquared's receipt, or why there is none.
        :param now: Seconds since the epoch, for a receipt that does not tell LeadSquared's time.
        """
        entry = self.entries[row]
        if outcome.sendings != 1:  # one was counted when it was intended
            entry = replace(entry, attempts=entry.attempts + outcome.sendings - 1)
        if isinstance(outcome, (Receipt, RejectedError)) and outcome.after_doubt:
            entry = replace(entry, doubted_at=now)
        if isinstance(outcome, Receipt):
            accepted_at = now if outcome.server_time is None else outcome.server_time
            entry = entry.moved(
                State.OPEN, request_id=outcome.request_id, accepted_at=accepted_at, reason_class=None, reason=None
            )
        elif isinstance(outcome, RejectedError):
            kind = outcome.exception_type or "RefusedAtSubmission"
            entry = entry.moved(State.REJECTED, settled_at=now, reason_class=kind, reason=outcome.reason)
        else:
            # That this sending was not accepted says nothing about an earlier one.
            if outcome.in_doubt:
                self._doubted.add(row)
            entry = entry.moved(self._unsettled(row), reason_class=type(outcome).__name__, reason=str(outcome))
        return self._set(row, entry)

    def correct(self, row: int, entry: Entry) -> None:
        """
        Record what the ledger made of a row.

        :param entry: The row's entry as the ledger has it: ``waiting`` if it did not let it be sent, ``in_doubt`` if
            its receipt is another sending's.
        """
        self._set(row, entry)

    def withdraw(self, row: int) -> Entry:
        """Record that a row was not sent after all."""
        entry = self.entries[row]
        attempts = entry.attempts - 1
        return self._set(row, entry.moved(self._unsettled(row), reason_class="Stopped", reason=None, attempts=attempts))

    def _unsettled(self, row: int) -> State:
        return State.IN_DOUBT if row in self._doubted else State.UNSENT

    def _is_to_send(self, row: int) -> bool:
        state = self.entries[row].state
        return state is State.UNSENT or (state is State.IN_DOUBT and self.may_repeat(row))

    def _set(self, row: int, entry: Entry) -> Entry:
        self.entries[row] = entry
        return entry

    def _refuse_doubled_keys(self) -> None:
        """Refuse all rows whose row key is there several times, as a sync does."""
        times = Counter(entry.row_key for entry in self.entries if entry.row_key is not None)
        for row in list(self.payloads):
            entry = self.entries[row]
            count = times[entry.row_key or ""] if entry.row_key is not None else 1
            if count > 1:
                self._refused[row] = entry, self.payloads[row]
                error = InvalidLeadError("", "doubled_key", f"{count} {DOUBLED_KEY}")
                self.entries[row] = invalid_entry(row, entry.row_key, error, api=self.api, copy=row)
                del self.payloads[row]

    def _supersede(self) -> None:
        """Keep the last of several rows with one match key."""
        last = {payload.match_key: row for row, payload in self.payloads.items() if payload.match_key is not None}
        for row, payload in list(self.payloads.items()):
            if payload.match_key is None or last[payload.match_key] == row:
                continue
            self.entries[row] = replace(
                self.entries[row],
                state=State.SUPERSEDED,
                fingerprint="",  # so that it is never matched to the row that replaced it
                copy=row,
                reason_class="same_match_key",
                reason=f"row {last[payload.match_key] + 1} has the same {payload.match_key[0]}",
            )
            del self.payloads[row]

    def _number_copies(self) -> None:
        """Give equal rows different identities."""
        counts: Counter[Identity] = Counter()
        for row in self.payloads:
            entry = self.entries[row]
            identity = entry.identity
            if number := counts[identity]:
                self.entries[row] = replace(entry, copy=number)
            counts[identity] = number + 1


def check_match_key(payload: Payload, api: AsyncApi) -> None:
    """
    Refuse a record that LeadSquared cannot match.

    :raises InvalidLeadError: It has nothing to be matched by.
    """
    if payload.match_key is None:
        raise InvalidLeadError(
            "",
            "no_match_key",
            f"has none of {api.match_keys}, so LeadSquared would make a new {api.record} at each sending",
        )


def outdated(entry: Entry) -> Entry:
    """Return a row in doubt as one whose newer values take its place."""
    return entry.moved(State.SUPERSEDED, reason_class="same_row_key", reason=_OTHER_VALUES)


def invalid_entry(row: int, row_key: str | None, error: InvalidLeadError, *, api: AsyncApi, copy: int = 0) -> Entry:
    """Return the entry of a row that our own check refused."""
    return Entry(row, State.INVALID, row_key, copy=copy, reason_class=error.rule, reason=str(error), api=api.name)
