"""
A sandbox for tests: ``-p airflow_provider_leadsquared.sandbox.pytest_plugin``, or name it in ``pytest_plugins``.

The mark ``@pytest.mark.leadsquared_sandbox(speed=0, rate=600)`` says what the sandbox of a test is like.
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
"""Starts a sandbox that stops with the test; takes what :class:`Sandbox` takes."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known, so that strict marks accept it."""
    config.addinivalue_line("markers", f"{_MARK}(**options): what the leadsquared_sandbox fixture is like")


@pytest.fixture
def leadsquared_sandbox_factory() -> Iterator[SandboxFactory]:
    """Return a function that starts sandboxes; each is 60 times as fast as real time unless told otherwise."""
    with ExitStack() as running:

        def start(**options: Any) -> Sandbox:
            return running.enter_context(Sandbox(**{"speed": _SPEED, **options}))

        yield start


@pytest.fixture
def leadsquared_sandbox(request: pytest.FixtureRequest, leadsquared_sandbox_factory: SandboxFactory) -> Sandbox:
    """Return a running sandbox of the test's own, as its ``leadsquared_sandbox`` mark describes it."""
    mark = request.node.get_closest_marker(_MARK)
    return leadsquared_sandbox_factory(**(mark.kwargs if mark else {}))
