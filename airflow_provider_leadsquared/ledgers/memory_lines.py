"""
What the memory of syncs is made of: sendings that are not settled, and lines by row key, by match key and by lead.

All numbers (``no``, ``dirty`` and so on) are of one counter for each account. It is raised in the transaction that
writes them, so a larger number means later, whatever the clocks of the workers say.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.column_values import digest

#: The attribute of a match key, and the id of its line. The id of a phone number's ends in a hyphen and a hash of its
#: last digits.
MatchKey = tuple[str, str]
#: The id of a line whose number says when lines of the account were last erased.
ERASED = digest("erased")


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """
    A row of a run as the memory knows it.

    :param row_line: The id of its row key's line.
    :param row_key: Its row key.
    :param match_keys: Its match keys in the order in which LeadSquared searches by them.
    :param fingerprint: Hash of what is sent and how.
    :param moves_keys: Whether an existing lead gets these match keys if it has others.
    :param cleared: The attributes of match keys that are sent empty.
    """

    row_line: str
    row_key: str
    match_keys: tuple[MatchKey, ...]
    fingerprint: str
    moves_keys: bool = True
    cleared: tuple[str, ...] = ()


@dataclass(slots=True)
class Sending:
    """
    One call that submits a row.

    :param sending_id: Names the call.
    :param no: The number of its intent.
    :param sync_id: The sync that sends it.
    :param row: The row as it is sent.
    :param try_id: The try of the task that sends it.
    :param scope: The run of the task.
    :param entry_id: The row's line in the result table.
    :param partition: The task instance among those that share the sync's rows.
    :param intended_at: When its intent was written, seconds since the epoch.
    :param lines: The ids of the lines that it concerns.
    :param leads: The ids of the leads that its match keys led to when it was sent.
    :param state: ``in_doubt`` until there is a receipt, ``open`` until there is a verdict.
    :param values: A hash of each value that it puts in the place of what a lead has, by attribute.
    """

    sending_id: str
    no: int
    sync_id: str
    row: MemoryRow
    try_id: str
    scope: str
    entry_id: str
    partition: str
    intended_at: float
    lines: tuple[str, ...]
    leads: tuple[str, ...]
    state: State = State.IN_DOUBT
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Intent:
    """
    Who last intended to send something that concerns a line.

    :param try_id: The try of the task.
    :param row_line: The row.
    :param fingerprint: What was sent.
    """

    try_id: str
    row_line: str
    fingerprint: str


@dataclass(slots=True)
class Line:
    """
    What is known under one row key, match key or lead.

    :param line_id: Its id: a hash.
    :param no: The number of the last intent that concerns it.
    :param dirty: Up to which number what is known is doubtful.
    :param touched: The number of the last intent or verdict that concerns it.
    :param last: Who made the last intent.
    :param unsettled: The ids of the sendings that concern it and have no verdict.
    """

    line_id: str
    no: int = 0
    dirty: int = 0
    touched: int = 0
    last: Intent | None = None
    unsettled: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Success:
    """
    The last confirmed sending of a row.

    :param no: Its number.
    :param match_keys: Its match keys.
    :param lead: The lead that it reached: the id of its line.
    """

    no: int
    match_keys: tuple[MatchKey, ...]
    lead: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    The last rejected sending of a row.

    :param no: Its number.
    :param fingerprint: What was refused.
    :param refused_at: When, seconds since the epoch.
    :param reason_class: Why, in one word.
    :param reason: Why, as a text.
    """

    no: int
    fingerprint: str
    refused_at: float
    reason_class: str | None
    reason: str | None


@dataclass(slots=True)
class RowLine(Line):
    """
    What is known of a row, under its row key.

    :param sync_id: Its sync.
    :param row_key: Its key.
    :param last_scope: The run that sent it last.
    :param last_entry: Its line in the result table there.
    :param success: Its last confirmed sending.
    :param refusal: Its last rejected sending.
    :param sent: The fingerprint of its last sending.
    :param waits_since: The number of the first of its intents that were refused since its last sending; 0 if none was.
    """

    sync_id: str = ""
    row_key: str = ""
    last_scope: str = ""
    last_entry: str = ""
    success: Success | None = None
    refusal: Refusal | None = None
    sent: str | None = None
    waits_since: int = 0


@dataclass(slots=True)
class KeyLine(Line):
    """
    What is known of a match key.

    :param lead: The lead that has it: the id of its line; None if that is not known.
    :param proved: The number of the sending that proved it.
    :param moved: When its lead changed, as a number.
    :param kin: Match keys that a sending without a verdict had beside it: one lead may have them all.
    """

    lead: str | None = None
    proved: int = 0
    moved: int = 0
    kin: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Writer:
    """
    The newest confirmed sending of one sync to a lead.

    :param no: Its number.
    :param fingerprint: What it sent.
    :param row_line: Whose row it was.
    :param seen_at: When that row last led here, seconds since the epoch. Kept up to date only if it is contested.
    :param partition: The task instance that had the row.
    :param is_contested: Whether other rows led here before.
    """

    no: int
    fingerprint: str
    row_line: str
    seen_at: float
    partition: str
    is_contested: bool = False


@dataclass(slots=True)
class LeadLine(Line):
    """
    What is known of a lead.

    :param keys: The match keys that it has, the ids of their lines by attribute: several for a number that has several
        spellings.
    :param writers: Who wrote last, by sync: the syncs of an account send different attributes.
    :param values: A hash of the value that was confirmed last, by attribute: of what was written since a second sync
        wrote to this lead. A lead of one sync has none.
    """

    keys: dict[str, list[str]] = field(default_factory=dict)
    writers: dict[str, Writer] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)


def may_be_one(key: str, other: str) -> bool:
    """Tell whether two match keys end in the same digits, so that they may be two spellings of one phone number."""
    digits = key.partition("-")[2]
    return digits != "" and digits == other.partition("-")[2]
