"""What a connection leads to, or what is wrong with it, found by calls that only read."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from airflow_provider_leadsquared.api.errors import ApiError, LeadSquaredError, UnknownRequestError, WrongRegionError
from airflow_provider_leadsquared.api.regions import region_of

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.account import Account
    from airflow_provider_leadsquared.api.responses import AccountFacts
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

#: Seconds by which two equal clocks may seem to differ: LeadSquared states whole seconds, and a response takes time.
_SAME_TIME = 2.0


def place_of(account: Account) -> str:
    """Return the region of an account, for people; its asynchronous host where the region is not known."""
    region = region_of(account.async_url)
    return account.async_url if region is None else f"{region.code}, {region.country}"


def check_connection(hook: LeadSquaredHook) -> tuple[bool, str]:
    """Return what ``LeadSquaredHook.test_connection`` does."""
    try:
        found = ConnectionCheck(hook)
    except Exception as error:
        shown = str(error) if isinstance(error, LeadSquaredError) else type(error).__name__
        return False, f"{shown} (connection {hook.leadsquared_conn_id!r})"
    return not found.problems, "; ".join(found.problems) or found.text()


class ConnectionCheck:
    """
    One check of a connection, made when it is built.

    :param hook: The hook of the connection.
    :raises ConfigurationError: The connection is incomplete or wrong.
    """

    def __init__(self, hook: LeadSquaredHook) -> None:
        self._hook = hook
        self._account = hook.account
        self._facts: AccountFacts | None = None
        self._fields = 0
        self._clock_offset: float | None = None
        #: What is wrong, each with its remedy; empty if all works.
        self.problems: list[str] = []
        self._check_key_pair()
        self._check_async_key()

    def text(self) -> str:
        """Return what was found, for people: no key, and of the account nothing but its name."""
        facts = self._facts
        names = [facts.name, f"({facts.code})" if facts.code else ""] if facts is not None else []
        return (
            f"Hosts, key pair and async API key are accepted. Account: {' '.join(filter(None, names)) or 'unnamed'}; "
            f"region: {place_of(self._account)}; lead fields: {self._fields:,}; {self._clock_text()}"
        )

    def _check_key_pair(self) -> None:
        ours = self._account.synchronous_url.split("//")[1]
        with self._collected("key pair"):
            facts = self._hook.get_account_facts()
            if facts.server_time is not None:
                self._clock_offset = facts.server_time - time.time()
            if facts.host.endswith(".leadsquared.com") and facts.host != ours:
                self.problems.append(f"sync host: the account is served by {facts.host}, not by {ours}; write that")
            self._facts = facts
        if self._facts is not None and not self.problems:
            with self._collected("lead fields, which syncs and check_fields ask for"):
                self._fields = len(self._hook.get_lead_fields(with_options=False))

    def _check_async_key(self) -> None:
        # An invented RequestId is unknown; what is tested is that the gateway accepts the call.
        with self._collected("async host and async API key"), suppress(UnknownRequestError):
            self._hook.get_request_status(str(uuid.uuid4()))

    def _clock_text(self) -> str:
        if self._clock_offset is None:
            return "clock: LeadSquared's responses state no time"
        if abs(self._clock_offset) <= _SAME_TIME:
            return "clock: the same as this machine's"
        direction = "ahead of" if self._clock_offset > 0 else "behind"
        return f"clock: {abs(self._clock_offset):,.0f} s {direction} this machine's, which is taken into account"

    @contextmanager
    def _collected(self, what: str) -> Iterator[None]:
        """Collect an error of LeadSquared's as a problem."""
        try:
            yield
        except WrongRegionError as error:
            self.problems.append(f"{what}: {error}; write that host")
        except ApiError as error:
            self.problems.append(f"{what}: {error}")
