"""
Whether a row of a sync is sent, and if not, why: decided from its values and from what is known of its lead.

Known is the last sending under the row's key, by whichever run, and the value that LeadSquared had confirmed before it.
Everything that decides whether a row is sent is here; this module does not know where that knowledge is kept.
"""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory import LeadMemory
from airflow_provider_leadsquared.sync.replay import Replay

#: The reason class of a row that waits for the verdict on an earlier request.
EARLIER_REQUEST = "EarlierRequestOpen"


def decide(
    row: Entry,
    known: LeadMemory | None,
    *,
    now: float,
    settle_timeout: float,
    full_refresh: bool = False,
    replay: Replay | None = None,
) -> Entry:
    """
    Return a row with the state that follows from what is known: ``unsent`` or ``in_doubt`` if it is to be sent.

    :param row: The row, ``unsent``, with its key and fingerprint.
    :param known: What is known of its lead, None if nothing is.
    :param now: Seconds since the epoch.
    :param settle_timeout: Seconds for which an unsettled sending makes a newer value wait.
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
    reason = known.blocks(row, now=now, settle_timeout=settle_timeout)
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
