"""
Running calls so that nothing stops a task half-way: what was sent is recorded and counted before the task ends.

Airflow stops a task by an exception that a signal handler raises in the main thread, between any two steps of the
program (``execution_timeout``), or by a call of ``on_kill`` (SIGTERM). Raised inside an event loop, an exception is
lost, or comes out in a ``BaseExceptionGroup``, and calls that are under way are cut off.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

Result = TypeVar("Result")
_Handler = Callable[[int, FrameType | None], Any]


class HeldBack:
    """
    What signal handlers have raised while they were held back.

    :param stop: Called in the signal handler when one has raised: it may set a flag and nothing more.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        #: The first exception that a handler raised.
        self.error: BaseException | None = None
        self._stop, self._is_holding = stop, False
        self._before: dict[int, tuple[_Handler, _Handler]] = {}

    def has_come(self) -> bool:
        """Tell whether a handler has raised."""
        return self.error is not None

    def begin(self) -> None:
        """Take the place of all signal handlers; possible in the main thread only, the one in which they run."""
        self._is_holding = True
        if threading.current_thread() is not threading.main_thread():
            return
        for number in signal.valid_signals():
            handler = signal.getsignal(number)
            if callable(handler):
                ours = self._holding(handler)
                self._before[number] = ours, handler
                signal.signal(number, ours)

    def end(self) -> None:
        """Give the handlers their places back."""
        # First of all: what is raised from here on is raised at once, also by a handler that keeps our place.
        self._is_holding = False
        for number, (ours, handler) in self._before.items():
            if signal.getsignal(number) is ours:
                signal.signal(number, handler)

    def _holding(self, handler: _Handler) -> _Handler:
        def hold(number: int, frame: FrameType | None) -> None:
            if not self._is_holding:
                handler(number, frame)
                return
            try:
                handler(number, frame)
            except BaseException as error:
                self.error = self.error or error
                self._stop()

        return hold


@contextmanager
def stops_held_back(stop: Callable[[], None] = lambda: None) -> Iterator[HeldBack]:
    """
    Let no signal handler interrupt the block; what one raises is raised at the end of the block, itself.

    The block has to end soon once a handler has raised. Blocks may not be nested.

    :param stop: Called in the signal handler when one has raised: it may set a flag and nothing more.
    """
    held = HeldBack(stop)
    try:
        held.begin()
        yield held
    finally:
        held.end()
        if held.error is not None:
            raise held.error


def run_calls(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """
    Run a coroutine to its end on asyncio's own event loop.

    Another loop may be set for the process, and uvloop loses what signal handlers raise.
    """
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(coroutine)
