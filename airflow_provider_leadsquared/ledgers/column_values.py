"""Ids and moments as the ledger's tables hold them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, overload


@lru_cache(maxsize=8_192, typed=True)  # a row's is needed for its intent and for its outcome
def digest(*parts: Any) -> str:
    """Return an id made of what identifies something; 32 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


@overload
def timestamp(seconds: float) -> datetime: ...
@overload
def timestamp(seconds: None) -> None: ...
def timestamp(seconds: float | None) -> datetime | None:
    """Return a moment as the tables hold it: UTC without a time zone, with microseconds."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


@overload
def seconds_of(moment: datetime) -> float: ...
@overload
def seconds_of(moment: None) -> None: ...
def seconds_of(moment: datetime | None) -> float | None:
    """Return a moment of the tables as seconds since the epoch."""
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
