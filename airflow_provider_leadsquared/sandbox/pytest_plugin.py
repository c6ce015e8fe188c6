"""
Pytest fixtures: ``-p airflow_provider_leadsquared.sandbox.pytest_plugin``, or the module's name in ``pytest_plugins``.

The mark ``@pytest.mark.leadsquared_sandbox(speed=0, rate=600)`` sets the options of a test's sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider_leadsquared.sandbox.harness import Sandbox

_MARK = "leadsquared_sandbox"
_SPEED = 60.0


SandboxFactory = Callable[..., Sandbox]
"""Starts a sandbox that is stopped after the test. The arguments are those of
:class:`~airflow_provider_leadsquared.sandbox.harness.Sandbox`."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, so that ``--strict-markers`` accepts it."""
    config.addinivalue_line("markers", f"{_MARK}(**options): options of the leadsquared_sandbox fixture")


@pytest.fixture
def leadsquared_sandbox_factory() -> Iterator[SandboxFactory]:
    """Return a function that starts sandboxes. The default speed is 60."""
    with ExitStack() as running:

        def start(**options: Any) -> Sandbox:
            return running.enter_context(Sandbox(**{"speed": _SPEED, **options}))

        yield start


@pytest.fixture
def leadsquared_sandbox(request: pytest.FixtureRequest, leadsquared_sandbox_factory: SandboxFactory) -> Sandbox:
    """Return a running sandbox for this test, with the options of its ``leadsquared_sandbox`` mark."""
    mark = request.node.get_closest_marker(_MARK)
    return leadsquared_sandbox_factory(**(mark.kwargs if mark else {}))
