"""Checks and readings of arguments that several tasks have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.async_apis import LEAD_UPDATE_BEHAVIORS

if TYPE_CHECKING:
    from airflow.sdk.types import Logger


def check_concurrency(concurrency: object) -> None:
    """
    Check how many calls may be under way at the same time.

    :raises ValueError: It is no whole number from 1.
    """
    if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
        raise ValueError(f"concurrency is {concurrency!r}; write a whole number from 1")


def check_on_clear(on_clear: object) -> None:
    """
    Check what clearing a task shall mean.

    :raises ValueError: There is no such meaning.
    """
    if on_clear not in ("resume", "resend"):
        raise ValueError(f"on_clear is {on_clear!r}; write 'resume' or 'resend'")


def warn_of_email_keys(log: Logger, count: int) -> None:
    """
    Warn of row keys that look like e-mail addresses.

    :param count: How many there are.
    """
    if count:
        log.warning(
            "%s row keys look like e-mail addresses, and keys are shown in logs and kept in XComs and ledgers: name "
            "another column as row_key, or set hash_row_keys=True",
            f"{count:,}",
        )


def update_parameters(lead_update_behavior: str | None) -> dict[str, str]:
    """
    Return the query parameters that say what happens to an existing lead.

    :raises ValueError: LeadSquared knows no such behaviour.
    """
    if lead_update_behavior not in (None, *LEAD_UPDATE_BEHAVIORS):
        allowed = ", ".join(map(repr, LEAD_UPDATE_BEHAVIORS))
        raise ValueError(f"lead_update_behavior is {lead_update_behavior!r}; write one of {allowed}, or None")
    return {} if lead_update_behavior is None else {"LeadUpdateBehavior": lead_update_behavior}


def parse_bool(name: str, value: Any) -> bool:
    """
    Parse a boolean that may have been rendered from a template.

    :param name: The argument, for the message.
    :raises ValueError: It is no boolean.
    """
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower(), value)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; write True or False")
    return value
