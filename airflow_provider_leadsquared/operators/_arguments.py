"""Checks of arguments that every task that sends leads has, made when it runs: before, they may be templates."""

from __future__ import annotations

from typing import Any

from airflow_provider_leadsquared.api.messages import LEAD_UPDATE_BEHAVIORS


def check_delivery_arguments(lead_update_behavior: Any, null_policy: Any, concurrency: Any) -> None:
    """
    Check how leads are to be sent.

    :raises ValueError: An argument is wrong; names it and what it may be.
    """
    if lead_update_behavior not in (None, *LEAD_UPDATE_BEHAVIORS):
        raise ValueError(f"lead_update_behavior must be one of {', '.join(LEAD_UPDATE_BEHAVIORS)}, or None")
    if null_policy not in ("skip", "clear"):
        raise ValueError(f"null_policy is {null_policy!r}; write 'skip' or 'clear'")
    if not isinstance(concurrency, int) or concurrency < 1:
        raise ValueError(f"concurrency is {concurrency!r}; write a whole number from 1")


def read_truth(name: str, value: Any) -> bool:
    """
    Read a yes or no that may have been rendered from a template.

    :param name: The argument, for the message.
    :raises ValueError: It is neither.
    """
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower(), value)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; write True or False")
    return value
