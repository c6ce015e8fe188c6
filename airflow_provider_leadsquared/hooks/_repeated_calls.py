"""When a single reading call is made again after a failure."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_leadsquared.api.errors import ApiError
from airflow_provider_leadsquared.hooks._many_calls import MAX_ATTEMPTS

if TYPE_CHECKING:
    from tenacity import RetryCallState

_Result = TypeVar("_Result")


def repeated(call: Callable[[], _Result], log: Any) -> _Result:
    """
    Make a reading call, again while its failure may pass, a bounded number of times.

    :param log: Where each wait is logged.
    :raises ApiError: What the last call raised.
    """
    from tenacity import Retrying, retry_if_exception, stop_after_attempt

    def log_wait(state: RetryCallState) -> None:
        log.warning("%s. The next call is made in %.0f s", _error_of(state), state.upcoming_sleep)

    return Retrying(
        stop=stop_after_attempt(MAX_ATTEMPTS),
        wait=_wait_before_retry,
        before_sleep=log_wait,
        retry=retry_if_exception(lambda error: isinstance(error, ApiError) and error.transient),
        reraise=True,
    )(call)


def _wait_before_retry(state: RetryCallState) -> float:
    error = _error_of(state)
    stated = error.retry_after if isinstance(error, ApiError) else None
    ours = float(2 ** (state.attempt_number - 1)) * random.uniform(0.5, 1.0)  # noqa: S311 - guards nothing
    return max(stated or 0.0, ours)


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
