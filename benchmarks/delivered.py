"""What became of rows that tasks were to deliver: counted by what the CRM received and stores, and what tasks say."""

from __future__ import annotations

from dataclasses import dataclass, field

#: The verdicts by which the CRM said yes.
CONFIRMED = ("created", "updated")


@dataclass
class Delivered:
    """
    Rows, and how many were lost, doubled, or left without a verdict.

    Rows with a match key are sent again while in doubt; rows without one never are, and end named as in doubt.
    """

    rows: int = 0
    posts: int = 0
    lost: int = 0
    without_verdict: int = 0
    sent_again: int = 0
    sent_again_unkeyed: int = 0
    extra_leads: int = 0
    wrong_counts: int = 0
    in_doubt: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_delivered(self) -> bool:
        """Nothing lost, doubled or unaccounted for."""
        faults = self.lost + self.without_verdict + self.sent_again_unkeyed + self.extra_leads + self.wrong_counts
        return not faults and not self.problems

    def add_row(self, *, is_keyed: bool, posts: int, leads: int, verdict: str | None) -> int:
        """
        Add a row, and return how often it was sent again.

        :param is_keyed: It has something that LeadSquared can match it by.
        :param posts: How often the CRM received it.
        :param leads: How many leads the CRM has of it.
        :param verdict: What the tasks say of it.
        """
        again = max(posts - 1, 0)
        in_doubt = verdict == "in_doubt" and not is_keyed
        self.rows += 1
        self.sent_again += again if is_keyed else 0
        self.sent_again_unkeyed += 0 if is_keyed else again
        self.in_doubt += in_doubt
        self.lost += not leads and not in_doubt
        self.extra_leads += max(leads - 1, 0)
        self.without_verdict += verdict not in CONFIRMED and not in_doubt
        return again
