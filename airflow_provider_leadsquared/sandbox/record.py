"""The truth about what the sandbox received and answered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_leadsquared.sandbox.capture import read_pairs


@dataclass(slots=True)
class Post:
    """
    One POST received.

    ``body`` is None when none was read; ``http`` is the code sent, None when no answer was; ``request_id`` is set
    whenever a request was queued, even if the client never heard of it.
    """

    number: int
    at: float
    at_real: float
    endpoint: str
    behavior: str | None
    body: bytes | None
    faults: Sequence[str] = ()
    http: int | None = None
    request_id: str | None = None

    def as_json(self) -> dict[str, object]:
        """Return the call for read-back, with the lead where the body holds one."""
        return {
            "number": self.number,
            "at": self.at,
            "at_real": self.at_real,
            "endpoint": self.endpoint,
            "update_behavior": self.behavior,
            "body_sha256": None if self.body is None else hashlib.sha256(self.body).hexdigest(),
            "lead": lead_in(self.body),
            "faults": list(self.faults),
            "http": self.http,
            "request_id": self.request_id,
        }


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a request's status; ``status`` is the word answered, None when there was none."""

    number: int
    at: float
    at_real: float
    request_id: str
    http: int | None
    status: str | None
    faults: Sequence[str]

    def as_json(self) -> dict[str, object]:
        """Return the look for read-back."""
        return {
            "number": self.number,
            "at": self.at,
            "at_real": self.at_real,
            "request_id": self.request_id,
            "http": self.http,
            "status": self.status,
            "faults": list(self.faults),
        }


def lead_in(body: bytes | None) -> dict[str, str | None] | None:
    """
    Return attributes and values of a submitted lead, None when there is none to read.

    :param body: The body submitted.
    """
    try:
        return {pair.attribute: pair.value for pair in read_pairs((body or b"").decode())}
    except ValueError:
        return None
