"""
Search for secrets and personal data in everything that tests bring to light.

Every test runs with the sandbox's invented keys, and every invented lead has an address at the same domain. None of
these may turn up in a log at any level, in what is printed, in an exception or its causes, in XCom, in task state or
in a ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from airflow_provider_leadsquared.sandbox.settings import Settings

_SETTINGS = Settings()
#: The password of every ledger's database.
DATABASE_PASSWORD = "invented-database-password"
KEYS = (_SETTINGS.access_key, quote(_SETTINGS.access_key, safe=""), _SETTINGS.secret_key, _SETTINGS.api_key)
#: The domain of every address in the tests. Addresses that a test needs elsewhere, in a name or a path, use another.
PERSONAL = ("@example.org",)


def found_in(text: str) -> list[str]:
    """Return the canaries in a text."""
    return [canary for canary in (*KEYS, DATABASE_PASSWORD, *PERSONAL) if canary in text]


def chain_of(error: BaseException | None) -> Iterator[str]:
    """Yield what an exception says, and all that led to it, shown or not."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield f"{one!r} {one}"
        waiting += [one.__cause__, one.__context__]
