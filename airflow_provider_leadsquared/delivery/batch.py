"""
The rows of one run: which are fit to be sent, and which an earlier try has sent already.

Rows are checked all at once, because three rules look across rows: an owner's key stands once, the last of several
rows for one lead wins, and a row is recognised by what it is, not by its position.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_leadsquared.api.answers import Acceptance
from airflow_provider_leadsquared.api.errors import LeadSquaredError, RejectedError
from airflow_provider_leadsquared.api.leads import InvalidLeadError, Lead, LeadRules, NullPolicy, encode_lead
from airflow_provider_leadsquared.delivery.ledger import Entry, Identity
from airflow_provider_leadsquared.delivery.verdicts import State

#: Columns that say who somebody is. Keys stand in logs, XComs and ledgers, so none of these may be one.
_PERSONAL = re.compile(r"e?mail(address)?|((tele|mobile)?phone|mobile)(no|number)?|(first|last|full)?name")

#: A key stands in every log line and ledger entry of its row.
_LONGEST_KEY = 250


@dataclass(slots=True, eq=False)
class Batch:
    """
    Rows on their way to LeadSquared.

    :param entries: One entry per row that was read, in order.
    :param leads: The leads of rows that passed the checks, by row. Never shown.
    """

    entries: list[Entry]
    leads: dict[int, Lead] = field(repr=False)
    _doubted: set[int] = field(default_factory=set)

    @classmethod
    def read(
        cls,
        leads: Iterable[Any],
        *,
        key: str | None = None,
        null_policy: NullPolicy = "skip",
        search_by: str | None = None,
        require_match_key: bool = True,
        rules: LeadRules | None = None,
    ) -> Batch:
        """
        Check every row; what is wrong with one is in its entry and stops no other.

        :param leads: Leads in either form that ``encode_lead`` takes.
        :param key: The column that identifies a row to its owner. It is sent as well if it is named as a field of
            LeadSquared's (``mx_…`` or ``ProspectID``).
        :param null_policy: What to do with None: ``skip`` or ``clear``.
        :param search_by: The attribute by which LeadSquared shall match.
        :param require_match_key: Refuse a row that LeadSquared cannot match to a lead: sent twice, it is there twice.
        :param rules: The account's own rules, where they are known.
        :raises ValueError: ``leads`` is no list of leads, or ``key`` names a personal column.
        """
        check_key(key)
        if isinstance(leads, (str, bytes, Mapping)) or not isinstance(leads, Iterable):
            raise ValueError(f"leads is a {type(leads).__name__}; pass a list of leads, each a dict or a list of pairs")
        batch = cls([], {})
        seen: dict[str, int] = {}
        for row, raw in enumerate(leads):
            owner_key: str | None = None
            try:
                owner_key, attributes = _split_key(raw, key)
                _check_not_doubled(key, owner_key, row, seen)
                lead = encode_lead(attributes, null_policy=null_policy, search_by=search_by, rules=rules)
                if require_match_key:
                    check_match_key(lead)
            except InvalidLeadError as error:
                invalid = Entry(row, State.INVALID, owner_key, copy=row, reason_class=error.rule, reason=str(error))
                batch.entries.append(invalid)
            else:
                batch.entries.append(Entry(row, State.UNSENT, owner_key, lead.fingerprint))
                batch.leads[row] = lead
        batch._supersede()
        batch._count_copies()
        return batch

    def resume(self, earlier: Mapping[Identity, Entry]) -> None:
        """
        Take over what earlier tries wrote down about these rows.

        :param earlier: The ledger's entries. Rows that are not among this run's are left out.
        """
        for row in self.leads:
            found = earlier.get(self.entries[row].identity)
            if found is not None and self.entries[row].state is State.UNSENT:
                self.entries[row] = replace(found, row=row)
                if found.state is State.IN_DOUBT:
                    self._doubted.add(row)

    def doubt_all(self) -> None:
        """Note that an earlier try may have sent any of these rows, and nobody knows which."""
        for row in self.leads:
            self._doubted.add(row)
            self._move(row, replace(self.entries[row], state=State.IN_DOUBT, reason_class="LedgerLost"))

    def to_send(self) -> list[int]:
        """
        Return the rows to send, in order: those without a receipt.

        A row in doubt is among them only if LeadSquared can match it to the lead that its first sending may have made.
        """
        return [row for row in self.leads if self._is_sendable(row)]

    def intend(self, row: int) -> Entry:
        """Note that a row is about to be sent: until something is heard of it, it is in doubt."""
        entry = self.entries[row]
        doubt = entry.moved(State.IN_DOUBT, reason_class="NoAnswer", reason=None, attempts=entry.attempts + 1)
        return self._move(row, doubt)

    def told(self, row: int, told: Acceptance | LeadSquaredError, now: float) -> Entry:
        """
        Note what became of a row's sending.

        :param told: LeadSquared's receipt, or why there is none.
        :param now: Seconds since the epoch.
        """
        entry = self.entries[row]
        if isinstance(told, (Acceptance, RejectedError)) and told.after_doubt:
            entry = replace(entry, doubted_at=now)
        if isinstance(told, Acceptance):
            entry = entry.moved(State.OPEN, request_id=told.request_id, accepted_at=now, reason_class=None, reason=None)
        elif isinstance(told, RejectedError):
            kind = told.exception_type or "RefusedAtSubmission"
            entry = entry.moved(State.REJECTED, settled_at=now, reason_class=kind, reason=told.reason)
        else:
            # That this sending was not taken says nothing about an earlier one.
            if told.in_doubt:
                self._doubted.add(row)
            state = State.IN_DOUBT if row in self._doubted else State.UNSENT
            entry = entry.moved(state, reason_class=type(told).__name__, reason=str(told))
        return self._move(row, entry)

    def withdraw(self, row: int) -> Entry:
        """Note that a row was not sent after all."""
        state = State.IN_DOUBT if row in self._doubted else State.UNSENT
        return self._move(row, self.entries[row].moved(state, reason_class="Stopped", reason=None))

    def _is_sendable(self, row: int) -> bool:
        state = self.entries[row].state
        return state is State.UNSENT or (state is State.IN_DOUBT and self.leads[row].match_key is not None)

    def _move(self, row: int, entry: Entry) -> Entry:
        self.entries[row] = entry
        return entry

    def _supersede(self) -> None:
        last: dict[tuple[str, str], int] = {}
        for row, lead in self.leads.items():
            if lead.match_key is not None:
                last[lead.match_key] = row
        for row, lead in list(self.leads.items()):
            winner = last.get(lead.match_key, row) if lead.match_key else row
            if winner != row:
                attribute = lead.match_key[0] if lead.match_key else ""
                self.entries[row] = replace(
                    self.entries[row],
                    state=State.SUPERSEDED,
                    fingerprint="",  # a row that is never sent must not pass for its winner in a ledger
                    copy=row,
                    reason_class="same_match_key",
                    reason=f"row {winner + 1} has the same {attribute}",
                )
                del self.leads[row]

    def _count_copies(self) -> None:
        """Tell rows apart that are alike in everything."""
        counts: Counter[Identity] = Counter()
        for row in self.leads:
            entry = self.entries[row]
            self.entries[row] = replace(entry, copy=counts[entry.identity])
            counts[entry.identity] += 1


def check_key(key: str | None) -> None:
    """
    Refuse a key column that would carry personal data into logs and XComs.

    :raises ValueError: ``key`` names such a column.
    """
    if key is not None and _PERSONAL.fullmatch(re.sub(r"[^a-z]", "", key.lower())):
        raise ValueError(
            f"key={key!r} would show personal data in logs and XComs; name a column with an id of your own, or leave "
            "key out: rows are then named by their position"
        )


def key_text(value: Any, column: str) -> str:
    """
    Return the text by which a row's owner knows it.

    :param value: What stands in the key column.
    :param column: The key column.
    :raises InvalidLeadError: The value is missing, or cannot tell one row from another.
    """
    if value is None or value != value or str(value).strip() == "":
        raise InvalidLeadError(column, "no_key", "the key column is missing or empty in this row")
    if isinstance(value, (Mapping, list, tuple, set, bytes, bytearray, memoryview)):
        raise InvalidLeadError(column, "key_type", f"the key is a {type(value).__name__}; name a column with an id")
    text = str(value)
    if len(text) > _LONGEST_KEY:
        raise InvalidLeadError(column, "key_too_long", f"the key has more than {_LONGEST_KEY} characters; name an id")
    return text


def is_field(column: str) -> bool:
    """Tell whether a column is named as a field of LeadSquared's, and so is sent even if it is the key."""
    return column.startswith("mx_") or column == "ProspectID"


def _check_not_doubled(key: str | None, owner_key: str | None, row: int, seen: dict[str, int]) -> None:
    if key is None or owner_key is None:
        return
    if owner_key in seen:
        raise InvalidLeadError(key, "doubled_key", f"row {seen[owner_key] + 1} has the same key")
    seen[owner_key] = row


def check_match_key(lead: Lead) -> None:
    """
    Refuse a lead that LeadSquared cannot match.

    :raises InvalidLeadError: It has nothing to be matched by.
    """
    if lead.match_key is None:
        raise InvalidLeadError(
            "",
            "no_match_key",
            "has none of ProspectID, EmailAddress, Phone and SearchBy's attribute, so LeadSquared would make a new "
            "lead at each sending",
        )


def _split_key(raw: Any, key: str | None) -> tuple[str | None, Any]:
    """Return the row's key and the row as it is sent."""
    if key is None:
        return None, raw
    if not isinstance(raw, Mapping):
        value = next((p.get("Value") for p in raw if p.get("Attribute") == key), None) if _are_pairs(raw) else None
        rest: Any = raw if is_field(key) else [p for p in raw if p.get("Attribute") != key] if _are_pairs(raw) else raw
    else:
        value = raw.get(key)
        rest = raw if is_field(key) else {name: item for name, item in raw.items() if name != key}
    return key_text(value, key), rest


def _are_pairs(raw: Any) -> bool:
    return isinstance(raw, Sequence) and all(isinstance(pair, Mapping) for pair in raw)
