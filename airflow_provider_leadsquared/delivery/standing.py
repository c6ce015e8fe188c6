"""
How a row of a sync stands against what is known of its lead: whether it is to be sent, and if not, why.

Known is the last sending under the row's key, by whatever run, and the value that LeadSquared had confirmed before it.
From these two follows what the CRM holds. All that decides whether a row is sent stands here; this file does not know
where the knowledge is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_leadsquared.delivery.ledger import Entry
from airflow_provider_leadsquared.delivery.verdicts import State

#: The reason class of a row that waits for the verdict on an earlier request.
EARLIER_REQUEST = "EarlierRequestOpen"
_CONFIRMED = (State.CREATED, State.UPDATED)
_REASON_CLASS = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class Remembered:
    """
    What a sync knows of the lead under one key.

    :param last: The last entry that was sent, or about to be; None if its line was deleted.
    :param own: This very run of the task wrote it.
    :param confirmed_before: Fingerprint of what LeadSquared had confirmed before that; None if that is not known.
    :param written_at: When the entry was last written, seconds since the epoch.
    """

    last: Entry | None
    own: bool = False
    confirmed_before: str | None = None
    written_at: float | None = None

    def is_of(self, row: Entry) -> bool:
        """Tell whether the last sending was this run's, of the same values."""
        return self.own and self.last is not None and self.last.fingerprint == row.fingerprint

    @property
    def confirmed(self) -> str | None:
        """
        The fingerprint of what the CRM holds, None where nobody can tell.

        A refused value has changed nothing. One that failed, or of which nothing was heard, may have.
        """
        if self.last is None:
            return None
        if self.last.state in _CONFIRMED:
            return self.last.fingerprint
        changed_nothing = self.last.state in (State.REJECTED, State.UNSENT) and self.last.doubted_at is None
        return self.confirmed_before if changed_nothing else None

    @property
    def doubted_at(self) -> float | None:
        """When a sending under this key last went without an answer, seconds since the epoch."""
        if self.last is None:
            return None
        return self.written_at if self.last.state is State.IN_DOUBT else self.last.doubted_at

    def holds_back(self, row: Entry, *, now: float, patience: float) -> str | None:
        """
        Tell why a row must wait: LeadSquared may still work off an earlier sending, and so overwrite a newer value.

        That is so while its request is open. A sending in doubt holds back other values only: the same may go again.

        :param now: Seconds since the epoch.
        :param patience: Seconds after which a sending without a verdict is ruled out.
        """
        if self.last is None:
            return None
        if self.last.state is State.OPEN and now - (self.last.accepted_at or now) < patience:
            return "an earlier request for this lead is open; the next run sends the newest value"
        is_other = self.last.fingerprint != row.fingerprint
        if is_other and self.doubted_at is not None and now - self.doubted_at < patience:
            return "an earlier sending for this lead is in doubt; a later run sends the newest value"
        return None


@dataclass(frozen=True, slots=True)
class Replay:
    """
    Which refused rows are to go again although their values have not changed.

    :param reason_class: Only those with this reason, such as ``MXDuplicateEntryException``; None for any.
    :param since: Only those refused at or after this moment, seconds since the epoch.
    :param until: Only those refused before this moment.
    """

    reason_class: str | None = None
    since: float | None = None
    until: float | None = None

    @classmethod
    def read(cls, given: Any) -> Replay | None:
        """
        Read an author's ``replay``.

        :param given: None or False for no replay; True for every refused row; a reason class; or a dict with
            ``reason_class``, ``since`` and ``until``, the last two as ISO 8601 texts or datetimes. The texts that
            templates render ("", "None", "False", "True") count as what they say, in any case.
        :raises ValueError: It is none of these.
        """
        if isinstance(given, str) and given.strip().lower() in ("", "none", "null", "false", "true"):
            given = given.strip().lower() == "true"
        if given is None or given is False:
            return None
        if given is True:
            return cls()
        if isinstance(given, str) and _REASON_CLASS.fullmatch(given.strip()):
            return cls(given.strip())
        if isinstance(given, dict) and set(given) <= {"reason_class", "since", "until"}:
            reason_class = given.get("reason_class") or None
            if reason_class is None or isinstance(reason_class, str):
                return cls(reason_class, _moment("since", given), _moment("until", given))
        raise ValueError("replay is True, a reason class in one word, or a dict with reason_class, since and until")

    def takes(self, entry: Entry) -> bool:
        """Tell whether a refused entry is to go again."""
        refused_at = entry.settled_at or 0.0
        return (
            self.reason_class in (None, entry.reason_class)
            and (self.since is None or refused_at >= self.since)
            and (self.until is None or refused_at < self.until)
        )


def standing(
    row: Entry,
    known: Remembered | None,
    *,
    now: float,
    patience: float,
    full_refresh: bool = False,
    replay: Replay | None = None,
) -> Entry:
    """
    Return a row in the state in which the run finds it: ``unsent`` or ``in_doubt`` if it is to be sent.

    :param row: The row, ``unsent``, with its key and fingerprint.
    :param known: What is known of its lead, None if nothing is.
    :param now: Seconds since the epoch.
    :param patience: Seconds for which an unsettled sending keeps a newer value back.
    :param full_refresh: Send what the CRM holds already, too.
    :param replay: Which refused rows go again.
    """
    if known is None or known.last is None:
        return row
    last = known.last
    same = last.fingerprint == row.fingerprint
    if known.is_of(row):
        if last.state is not State.UNSENT:
            return replace(last, row=row.row, doubted_at=known.doubted_at)
        row = replace(row, attempts=last.attempts)
    reason = known.holds_back(row, now=now, patience=patience)
    if reason is not None:
        return replace(row, state=State.WAITING, reason_class=EARLIER_REQUEST, reason=reason)
    if same:
        row = replace(row, doubted_at=known.doubted_at)
    if full_refresh:
        return row
    if known.confirmed == row.fingerprint:
        return replace(row, state=State.UNCHANGED, lead_id=last.lead_id)
    if last.state is State.REJECTED and same and not (replay and replay.takes(last)):
        return replace(last, row=row.row)
    return row


def _moment(name: str, given: dict[str, Any]) -> float | None:
    value = given.get(name)
    if value is None or value in ("", "None"):
        return None
    try:
        parsed = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"replay's {name} is no ISO 8601 date or time, such as 2026-01-31T06:00:00+00:00") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
