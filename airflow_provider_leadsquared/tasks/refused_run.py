"""How a run ends whose rows or mapping broke a rule that the author's policy does not let pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_leadsquared.exceptions import LeadsNotDelivered
from airflow_provider_leadsquared.tasks.ending import log_failure

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

    from airflow_provider_leadsquared.sync.policies import RunRefusedError

_NEXT_STEP = "nothing was sent; correct the mapping or the rows, or choose another policy for the rule"


def refused_run(error: RunRefusedError, log: Logger) -> LeadsNotDelivered:
    """Return the error that ends the task, and end its log with what failed."""
    examples = [error.row] if error.row else []
    log_failure(log, str(error), [f"invalid, {error.rule}: {name}" for name in examples], _NEXT_STEP)
    return LeadsNotDelivered(str(error), reasons={f"invalid: {error.rule}": 1}, examples=examples)
