"""Which refused rows a run sends again although their values have not changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_leadsquared.ledgers.memory_lines import Refusal

_REASON_CLASS = re.compile(r"[\w.-]+")


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
    def parse(cls, given: Any) -> Replay | None:
        """
        Parse an author's ``replay``.

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

    def takes(self, refusal: Refusal) -> bool:
        """Tell whether a refused row is to go again."""
        return (
            self.reason_class in (None, refusal.reason_class)
            and (self.since is None or refusal.refused_at >= self.since)
            and (self.until is None or refusal.refused_at < self.until)
        )


def _moment(name: str, given: dict[str, Any]) -> float | None:
    value = given.get(name)
    if value is None or value in ("", "None"):
        return None
    try:
        parsed = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"replay's {name} is no ISO 8601 date or time, such as 2026-01-31T06:00:00+00:00") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
