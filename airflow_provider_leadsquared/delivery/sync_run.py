"""
One run of a sync: from the rows of a query to batches that are to be sent, and to the books.

What each row is follows from four things in turn: whether a lead can be made of it, what is known of that lead,
the account's rules, and the other rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.leads import InvalidLeadError, Lead, NullPolicy, encode_lead
from airflow_provider_leadsquared.delivery.batch import Batch, check_match_key
from airflow_provider_leadsquared.delivery.books import Books
from airflow_provider_leadsquared.delivery.ledger import Entry
from airflow_provider_leadsquared.delivery.spool import Spool, SpooledRow
from airflow_provider_leadsquared.delivery.standing import Remembered, Replay, standing
from airflow_provider_leadsquared.delivery.verdicts import State

if TYPE_CHECKING:
    from airflow_provider_leadsquared.delivery.column_map import ColumnMap
    from airflow_provider_leadsquared.delivery.policies import PolicedRules, Policies
    from airflow_provider_leadsquared.delivery.sync_ledger import SyncLedger

#: Rows that are in memory at a time.
_CHUNK = 1_000
_TO_SEND = (State.UNSENT, State.IN_DOUBT)


class SyncRun:
    """
    The rows of one run.

    :param columns: How rows become leads.
    :param ledger: What earlier runs and tries brought about; None where there is nothing to remember.
    :param policies: What broken rules mean.
    :param rules: The account's rules under these policies.
    :param null_policy: What to do with None: ``skip`` or ``clear``.
    :param search_by: The attribute by which LeadSquared shall match.
    :param full_refresh: Send what the CRM holds already, too.
    :param replay: Which refused rows go again although they have not changed.
    :param patience: Seconds for which an unsettled sending keeps a newer value back.
    :param clock: Tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        *,
        columns: ColumnMap,
        ledger: SyncLedger | None,
        policies: Policies,
        rules: PolicedRules,
        null_policy: NullPolicy = "skip",
        search_by: str | None = None,
        full_refresh: bool = False,
        replay: Replay | None = None,
        patience: float,
        clock: Callable[[], float],
    ) -> None:
        self._columns, self._ledger, self._policies, self._rules = columns, ledger, policies, rules
        self._null_policy, self._search_by = null_policy, search_by
        self._full_refresh, self._replay, self._patience = full_refresh, replay, patience
        self._clock = clock
        self._spool = Spool()
        #: Rows that were read.
        self.read_rows = 0
        #: Refused rows of earlier runs that go again.
        self.replayed = 0

    def close(self) -> None:
        """Forget the rows."""
        self._spool.close()

    def read(self, rows: Iterable[Sequence[Any]], tell: Callable[[int], None]) -> None:
        """
        Read every row and find out where it stands.

        :param rows: The rows, as the query returns them.
        :param tell: Called now and then with the number of rows read.
        :raises RunRefusedError: A rule whose policy is ``fail`` was broken.
        """
        rows = iter(rows)
        while chunk := list(islice(rows, _CHUNK)):
            made = [self._made(self.read_rows + at, row) for at, row in enumerate(chunk)]
            known = self._known(row.entry for row in made)
            found = [self._found(row, known.get(row.entry.key or "")) for row in made]
            self._policies.check_entries(row.entry for row in found)
            self._spool.add(found)
            self.read_rows += len(chunk)
            tell(self.read_rows)
        self._spool.refuse_doubled_keys()
        self._spool.supersede()
        self._policies.check_entries(self._spool.first_of_each(1))

    def count(self, *states: State) -> int:
        """Return how many rows are in one of these states."""
        return sum(count for (state, _), count in self._spool.counts().items() if state in states)

    def count_to_send(self) -> int:
        """Return how many rows are to be sent."""
        return self.count(*_TO_SEND)

    def batches(self) -> Iterator[Batch]:
        """Return the rows to send, a batch at a time."""
        for part in self._spool.to_send(_CHUNK):
            entries = [row.entry for row in part]
            leads = {at: row.lead for at, row in enumerate(part) if row.lead is not None}
            doubted = {at for at, entry in enumerate(entries) if entry.state is State.IN_DOUBT}
            yield Batch(entries, leads, doubted)

    def not_sent(self) -> Iterator[Entry]:
        """Return the rows that were set aside, and those that wait, as the ledger keeps them."""
        for entry in self._spool.not_sent():
            # Told apart by position, never to be taken for a row that was sent.
            yield replace(entry, fingerprint="", copy=entry.row)

    def examples(self, each: int) -> list[Entry]:
        """Return some rows of every kind that needs a reason."""
        return self._spool.first_of_each(each)

    def take_account(self) -> None:
        """Take over from the ledger what became of the rows that were to be sent."""
        for part in self._spool.to_send(_CHUNK):
            entries = [row.entry for row in part]
            known = self._known(entries)
            moved = []
            for entry in entries:
                now_known = known.get(entry.key or "")
                if now_known is not None and now_known.last is not None and now_known.is_of(entry):
                    moved.append(replace(now_known.last, row=entry.row))
            self._spool.move(moved)

    def books(self) -> Books:
        """Add up the states of all rows."""
        return Books.counted(self._spool.counts(), read=self.read_rows)

    def _made(self, number: int, row: Sequence[Any]) -> SpooledRow:
        """Make a lead of a row, or say why there is none."""
        key: str | None = None
        try:
            key = self._columns.key(row)
            lead = encode_lead(self._columns.lead(row), null_policy=self._null_policy, search_by=self._search_by)
            check_match_key(lead)
        except InvalidLeadError as error:
            return SpooledRow(_refused(number, key, error), None)
        return SpooledRow(Entry(number, State.UNSENT, key, lead.fingerprint), lead)

    def _known(self, entries: Iterable[Entry]) -> dict[str, Remembered]:
        keys = {entry.key for entry in entries if entry.key is not None and entry.state in _TO_SEND}
        return self._ledger.remembered(keys) if self._ledger is not None else {}

    def _found(self, row: SpooledRow, known: Remembered | None) -> SpooledRow:
        """Compare a row with what is known of its lead, and hold it against the account's rules if it is to go."""
        if row.lead is None:
            return row
        entry = standing(
            row.entry,
            known,
            now=self._clock(),
            patience=self._patience,
            full_refresh=self._full_refresh,
            replay=self._replay,
        )
        if entry.state not in _TO_SEND:
            return replace(row, entry=entry)
        breach = self._breach(row.lead, entry, known)
        if breach is not None:
            return SpooledRow(_refused(entry.row, entry.key, breach), row.lead)
        if self._replay and known and known.last and known.last.state is State.REJECTED:
            self.replayed += known.last.fingerprint == entry.fingerprint
        return replace(row, entry=entry)

    def _breach(self, lead: Lead, entry: Entry, known: Remembered | None) -> InvalidLeadError | None:
        self._rules.row = entry.name
        self._rules.exists = known is not None and known.confirmed is not None
        try:
            self._rules.check(lead.texts())
        except InvalidLeadError as error:
            return error
        return None


def _refused(number: int, key: str | None, error: InvalidLeadError) -> Entry:
    return Entry(number, State.INVALID, key, reason_class=error.rule, reason=str(error))
