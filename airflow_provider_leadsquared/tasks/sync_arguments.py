"""Checks and readings of arguments that only syncs have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_leadsquared.sync.policies import Policies


def check_policies(given: Any) -> None:
    """
    Check policies as far as they are known; one that a template renders is None until then.

    :raises ValueError: A rule or a policy does not exist, or the two make no sense together.
    """
    if isinstance(given, Mapping):
        given = {rule: policy for rule, policy in given.items() if policy is not None}
    Policies.parse(given)


class ShownMapping(dict[str, Any]):
    """
    A mapping as a template field.

    Airflow 3.1 stores what :meth:`serialize` returns of a mapping with functions, which is no JSON. It is the same at
    each parse; an address in memory would make a new version of the DAG each time.
    """

    def serialize(self) -> str:
        """Return the mapping with the names of its functions."""
        return str({column: _shown(target) for column, target in sorted(self.items())})


def _shown(target: Any) -> Any:
    if isinstance(target, (list, tuple)):
        return [_shown(part) for part in target]
    return f"<callable {getattr(target, '__qualname__', type(target).__name__)}>" if callable(target) else target
