"""A checked record in the form in which it is sent, whatever the API."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Payload:
    """
    A checked record, ready to be sent.

    :param body: The JSON body, UTF-8. Never shown.
    :param match_keys: The attributes and values by which LeadSquared looks for an existing record, in its order, and
        then others by which it will find the record; each value in one spelling. Empty where it creates a record at
        each call. Never shown.
    :param fingerprint: Hash of what a sending does: of names and values, whatever their order, and of the submission's
        parameters; not of how LeadSquared finds the record. 32 hexadecimal digits.
    :param invisible: The attributes whose values hold characters that nobody sees; they are sent as they are.
    :param cleared: The attributes among those that LeadSquared looks for records by that are sent empty: an existing
        record has no such value any more.
    """

    body: bytes = field(repr=False)
    match_keys: tuple[tuple[str, str], ...] = field(repr=False)
    fingerprint: str
    invisible: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()

    @property
    def match_key(self) -> tuple[str, str] | None:
        """The match key that LeadSquared tries first; None where there is none. Never shown."""
        return self.match_keys[0] if self.match_keys else None
