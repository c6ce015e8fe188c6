"""What is wrong with a connection, found by calls that only read."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from airflow_provider_leadsquared.api.errors import ApiError, UnknownRequestError, WrongRegionError

if TYPE_CHECKING:
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook


def key_pair_problems(hook: LeadSquaredHook) -> Iterator[str]:
    """Yield what is wrong with the synchronous host and the key pair."""
    ours = hook.account.synchronous_url.split("//")[1]
    with _collected() as problems:
        host = hook.get_api_host()
        if host.endswith(".leadsquared.com") and host != ours:
            problems.append(f"sync host: the account is served by {host}, not by {ours}")
    yield from (f"key pair: {problem}" for problem in problems)


def async_key_problems(hook: LeadSquaredHook) -> Iterator[str]:
    """Yield what is wrong with the asynchronous host and its key."""
    # An invented RequestId is unknown; what is tested is that the gateway accepts the call.
    with _collected() as problems, suppress(UnknownRequestError):
        hook.get_request_status(str(uuid.uuid4()))
    yield from (f"async host and async API key: {problem}" for problem in problems)


@contextmanager
def _collected() -> Iterator[list[str]]:
    """Collect errors of LeadSquared as lines of text."""
    problems: list[str] = []
    try:
        yield problems
    except WrongRegionError as error:
        problems.append(f"{error}; write that host")
    except ApiError as error:
        problems.append(str(error))
