"""
The states of a row, in one table: what each means, whether the row was sent, and which states can follow.

Every row that is read is in exactly one state at any time. All classes of states are properties of :class:`State`;
lists for SQL come from :func:`names_of`. To add a state, add its member and its line in the table; a test names every
place that explains states to users.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum


class Group(Enum):
    """What a state means for the run that the row is in."""

    #: This run sends the row.
    TO_SEND = "to send"
    #: Not sent because of what is wrong with the row, or with another row of the run.
    SET_ASIDE = "set aside"
    #: Not sent in this run; a later run may.
    HELD = "held"
    #: Not sent because the CRM has its values.
    UNCHANGED = "unchanged"
    #: Accepted by LeadSquared, outcome not known yet.
    OPEN = "open"
    #: In the CRM.
    CONFIRMED = "confirmed"
    #: Sent and accepted, and not in the CRM.
    REFUSED = "refused"


class State(StrEnum):
    """What became of a row."""

    INVALID = "invalid"
    SUPERSEDED = "superseded"
    UNCHANGED = "unchanged"
    WAITING = "waiting"
    UNSENT = "unsent"
    IN_DOUBT = "in_doubt"
    OPEN = "open"
    CREATED = "created"
    UPDATED = "updated"
    REJECTED = "rejected"
    FAILED = "failed"

    @property
    def description(self) -> Description:
        """The state's line in the table."""
        return TABLE[self]

    @property
    def is_final(self) -> bool:
        """Whether this is a verdict: nothing changes it later, but that a request called lost may be found."""
        return not self.description.next

    @property
    def is_reject(self) -> bool:
        """Whether such a row makes a task fail unless the author allowed it."""
        return self.description.is_reject

    @property
    def is_to_send(self) -> bool:
        """Whether the run sends the row (one in doubt only if it may be repeated)."""
        return self.description.group is Group.TO_SEND

    @property
    def is_set_aside(self) -> bool:
        """Whether the row is not sent because of what is wrong with it or with another row of the run."""
        return self.description.group is Group.SET_ASIDE

    @property
    def is_not_sent(self) -> bool:
        """Whether the run does not send the row, for a reason that its ledger line holds."""
        return self.description.group in (Group.SET_ASIDE, Group.HELD)

    @property
    def is_confirmed(self) -> bool:
        """Whether the CRM said yes."""
        return self.description.group is Group.CONFIRMED

    @property
    def is_refused(self) -> bool:
        """Whether LeadSquared accepted the request and the CRM does not have the row."""
        return self.description.group is Group.REFUSED

    @property
    def is_open(self) -> bool:
        """Whether LeadSquared has accepted the row and not decided yet."""
        return self.description.group is Group.OPEN

    @property
    def can_be_refused(self) -> bool:
        """Whether a rule that compares rows can still refuse the row: this run has not sent it, nor set it aside."""
        return not (self.is_set_aside or self.is_confirmed or self.is_open)

    @property
    def was_sent(self) -> bool:
        """Whether the row was sent, or may have been."""
        return self.description.sent != "no"

    @property
    def is_replaceable(self) -> bool:
        """Whether a later row of the same person takes the row's place: this run has not sent it, nor refused it."""
        return self.is_to_send or self.description.group in (Group.UNCHANGED, Group.HELD) or self is State.SUPERSEDED

    @property
    def competes(self) -> bool:
        """Whether the row counts when the last of several rows of one person is searched: the CRM may take it."""
        return self not in (State.INVALID, State.REJECTED)

    @property
    def needs_reason(self) -> bool:
        """Whether a person wants to know why the row is in this state."""
        return self.is_reject or self.is_not_sent


@dataclass(frozen=True, slots=True)
class Description:
    """
    One line of the table.

    :param group: What the state means for the run.
    :param sent: Whether the row was sent: ``no``, ``maybe`` or ``yes``.
    :param meaning: The state in words.
    :param next: The states that can follow; none for a final state.
    :param is_reject: Such a row makes a task fail unless the author allowed it.
    """

    group: Group
    sent: str
    meaning: str
    next: tuple[State, ...] = ()
    is_reject: bool = False


TABLE: dict[State, Description] = {
    State.INVALID: Description(
        Group.SET_ASIDE, "no", "refused by our own check: schema, no match key, row key twice", is_reject=True
    ),
    State.SUPERSEDED: Description(
        Group.SET_ASIDE, "no", "another row is the same person: a later one of the run, or one that writes this lead"
    ),
    State.UNCHANGED: Description(
        Group.UNCHANGED,
        "no",
        "its lead has these values: the CRM confirmed them, and nothing was sent to it since",
    ),
    State.WAITING: Description(
        Group.HELD, "no", "an earlier sending for its lead is not settled; the next run sends the newest value"
    ),
    State.UNSENT: Description(
        Group.TO_SEND, "no", "not accepted by LeadSquared so far; the next try sends it", (State.IN_DOUBT,)
    ),
    State.IN_DOUBT: Description(
        Group.TO_SEND,
        "maybe",
        "about to be sent, or sent without a response",
        (State.IN_DOUBT, State.UNSENT, State.WAITING, State.SUPERSEDED, State.OPEN, State.REJECTED),
        is_reject=True,
    ),
    State.OPEN: Description(
        Group.OPEN,
        "yes",
        "accepted under a RequestId, outcome not known yet",
        (State.OPEN, State.CREATED, State.UPDATED, State.REJECTED, State.FAILED),
    ),
    State.CREATED: Description(Group.CONFIRMED, "yes", "in the CRM as a new lead"),
    State.UPDATED: Description(Group.CONFIRMED, "yes", "in the CRM as a change to an existing lead"),
    State.REJECTED: Description(
        Group.REFUSED, "yes", "an application error: the CRM refused it and does not try again", is_reject=True
    ),
    State.FAILED: Description(
        Group.REFUSED,
        "yes",
        "a system error outlasted LeadSquared's own retries, or LeadSquared lost the request",
        is_reject=True,
    ),
}


def names_of(condition: Callable[[State], bool]) -> tuple[str, ...]:
    """Return the names of the states that meet a condition, in the order of the table."""
    return tuple(state.value for state in State if condition(state))
