"""
Whether a row of a sync is sent, and if not, why: decided from its values and from what the memory says of its lead.

Which row of one person is sent is decided later, when all rows are there (``staging``).
"""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory import Finding
from airflow_provider_leadsquared.sync.replay import Replay

#: The reason class of a row that waits for the verdict on an earlier sending.
EARLIER_SENDING = "EarlierSendingOpen"
#: The reason class of a row whose lead another task instance writes.
OTHER_INSTANCE = "same_lead_elsewhere"


def decide(
    row: Entry, found: Finding, earlier: Entry | None, *, full_refresh: bool = False, replay: Replay | None = None
) -> Entry:
    """
    Return a row with the state that follows from what is known: ``unsent`` or ``in_doubt`` if it is to be sent.

    :param row: The row, ``unsent``, with its key and fingerprint.
    :param found: What the memory says of it.
    :param earlier: What an earlier try of this run recorded of the same values; None if it sent nothing.
    :param full_refresh: Send what the CRM holds already, too.
    :param replay: Which refused rows go again.
    """
    if earlier is not None:
        # What was confirmed in this run may have been overwritten since: by the row's next values, which are gone now.
        is_out_of_date = earlier.state.is_confirmed and found.is_overtaken
        if not (earlier.state is State.IN_DOUBT or is_out_of_date):
            return replace(earlier, row=row.row)
        row = replace(row, state=State.UNSENT if is_out_of_date else State.IN_DOUBT, attempts=earlier.attempts)
    refusal = found.refusal
    if refusal is not None and not full_refresh and not (replay and replay.takes(refusal)):
        return replace(
            row,
            state=State.REJECTED,
            reason_class=refusal.reason_class,
            reason=refusal.reason,
            settled_at=refusal.refused_at,
        )
    if found.state is State.WAITING:
        reason = "an earlier sending for this lead is not settled; a later run sends the newest value"
        return replace(row, state=State.WAITING, reason_class=EARLIER_SENDING, reason=reason)
    if full_refresh or found.state is State.UNSENT:
        return row
    if found.state is State.SUPERSEDED:
        reason = "a row of another task instance has the same lead and writes it"
        return replace(row, state=State.SUPERSEDED, reason_class=OTHER_INSTANCE, reason=reason)
    return replace(row, state=found.state)
