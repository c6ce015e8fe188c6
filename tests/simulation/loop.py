"""An event loop of asyncio on the timeline: it waits by letting others go on, and shuffles what is ready."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from tests.simulation.timeline import Strand, Timeline

#: So many rounds without a wait take a tenth of a millisecond.
_ROUNDS = 8


class _Task(asyncio.Task):
    """A task that sets keep in the order of creation, whatever its address in memory."""

    number = 0

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class _Future(asyncio.Future):
    number = 0

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.BaseEventLoop):
    """
    The event loop of one worker.

    :param timeline: The clock; the loop belongs to the strand that runs.
    """

    def __init__(self, timeline: Timeline) -> None:
        super().__init__()
        assert timeline.current is not None
        self._strand = timeline.current
        self._worker = timeline.current.worker
        self._selector = self
        self._clock_resolution = 0.001  # the timeline counts from the epoch, so it knows no finer steps
        self._numbers = self._rounds = 0
        self._shuffles = self._worker.rng.random() < 0.5
        self._coroutines: list[Coroutine[Any, Any, Any]] = []
        self._worker.on_gone.append(self._drop_unbegun)
        self.set_task_factory(self._new_task)
        self.set_exception_handler(lambda loop, context: None)

    _ready: deque[Any]

    def time(self) -> float:
        """Return the worker's monotonic clock."""
        return self._worker.monotonic()

    def select(self, timeout: float | None) -> list[Any]:
        """Wait for the next timer or for a call from outside, in place of a selector."""
        self._worker.step("await")
        now = self._worker.timeline.now
        if timeout != 0:
            self._rounds = 0
            self._strand.wait(None if timeout is None else now + max(timeout, 0.00001))
            return []
        self._rounds += 1
        if self._rounds >= _ROUNDS:
            # Computing takes time as well, and a timer may be shorter than the timeline's steps.
            self._rounds = 0
            self._strand.wait(now + 0.0001)
        return []

    def _process_events(self, events: Any) -> None:
        if self._shuffles and len(self._ready) > 1:
            ready = list(self._ready)
            self._worker.rng.shuffle(ready)
            self._ready.clear()
            self._ready.extend(ready)

    def _write_to_self(self) -> None:
        self._strand.wake()

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future that sets keep in the order of creation."""
        future: asyncio.Future[Any] = _Future(loop=self)
        future.number = self._next()  # type: ignore[attr-defined]  # it is a _Future
        return future

    def _new_task(self, loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
        # A task is put into sets while it is made, so its number has to be there before.
        task = _Task.__new__(_Task)
        task.number = self._next()
        self._coroutines.append(coro)
        task.__init__(coro, loop=loop, **options)  # type: ignore[misc]  # made in two steps, see above
        return task

    def _drop_unbegun(self) -> None:
        """Close what a process that was killed had not begun yet: Python warns of it else, and here it is meant."""
        for coroutine in self._coroutines:
            if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def run_in_executor(  # type: ignore[override]  # calls at once
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run a function in another strand of the worker, as a thread would."""
        future = self.create_future()

        def act() -> None:
            result: Any = None
            error: BaseException | None = None
            try:
                result = func(*args)
            except Exception as raised:
                error = raised
            if not self.is_closed() and not self._worker.is_dead:
                self.call_soon_threadsafe(_finish, future, result, error)

        Strand(self._worker, act)
        return future


def _finish(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
