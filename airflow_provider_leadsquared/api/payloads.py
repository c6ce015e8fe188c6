"""A checked record in the form in which it is sent, whatever the API."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Payload:
    """
    A checked record, ready to be sent.

    :param body: The JSON body, UTF-8. Never shown.
    :param match_key: The attribute and value by which LeadSquared looks for an existing record, the value in one
        spelling; None where it creates a record at each call. Never shown.
    :param fingerprint: Hash of names and values, whatever their order; 32 hexadecimal digits.
    """

    body: bytes = field(repr=False)
    match_key: tuple[str, str] | None = field(repr=False)
    fingerprint: str
