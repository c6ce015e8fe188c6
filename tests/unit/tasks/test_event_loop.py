"""Running calls so that nothing stops them half-way: what a signal handler raises comes out at the end, itself."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_leadsquared.tasks.event_loop import HeldBack, run_calls, stops_held_back


class StoppedError(BaseException):
    """What a handler raises in these tests; no ``Exception``, as Airflow's own."""


@pytest.fixture
def raised() -> Iterator[list[StoppedError]]:
    """Return a list of what the handler of SIGUSR1 has raised so far."""
    errors: list[StoppedError] = []

    def handle(number: int, frame: Any) -> None:
        errors.append(StoppedError())
        raise errors[-1]

    before = signal.signal(signal.SIGUSR1, handle)
    yield errors
    signal.signal(signal.SIGUSR1, before)


def stop_now() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


def run_block(block: Callable[[HeldBack], object], stop: Callable[[], None] = lambda: None) -> None:
    with stops_held_back(stop) as held:
        block(held)


def test_what_a_handler_raises_comes_out_at_the_end_of_the_block_itself(raised):
    went_on = []
    with pytest.raises(StoppedError) as caught:
        run_block(lambda _: (stop_now(), went_on.append(True)))
    assert caught.value is raised[0]
    assert went_on == [True]


def test_the_first_of_several_comes_out(raised):
    with pytest.raises(StoppedError) as caught:
        run_block(lambda _: (stop_now(), stop_now()))
    assert (caught.value is raised[0], len(raised)) == (True, 2)


def test_it_comes_out_in_place_of_the_blocks_own_error_which_stays_its_context(raised):
    own = OSError("the block's own")

    def fail(_: HeldBack) -> None:
        stop_now()
        raise own

    with pytest.raises(StoppedError) as caught:
        run_block(fail)
    assert caught.value.__context__ is own


def test_the_block_is_asked_to_stop_when_a_handler_has_raised(raised):
    asked: list[bool] = []
    seen: list[tuple[bool, bool]] = []

    def look(held: HeldBack) -> None:
        seen.append((bool(asked), held.has_come()))
        stop_now()
        seen.append((bool(asked), held.has_come()))

    with pytest.raises(StoppedError):
        run_block(look, lambda: asked.append(True))
    assert seen == [(False, False), (True, True)]


def test_a_handler_that_raises_nothing_runs_at_once_and_stops_nothing():
    ran = []
    before = signal.signal(signal.SIGUSR1, lambda *_: ran.append(True))
    try:
        with stops_held_back() as held:
            stop_now()
            assert (ran, held.has_come()) == ([True], False)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_keyboard_interrupt_is_held_back_too():
    went_on = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what runs beside it ignore SIGINT
    try:
        with pytest.raises(KeyboardInterrupt):
            run_block(lambda _: (signal.raise_signal(signal.SIGINT), went_on.append(True)))
    finally:
        signal.signal(signal.SIGINT, before)
    assert went_on == [True]


def test_after_the_block_handlers_are_those_from_before(raised):
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    with stops_held_back():
        pass
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before
    with pytest.raises(StoppedError):
        stop_now()


def test_a_handler_that_the_block_has_set_stays(raised):
    def own(number: int, frame: Any) -> None:
        """Do nothing."""

    with stops_held_back():
        signal.signal(signal.SIGUSR1, own)
    assert signal.getsignal(signal.SIGUSR1) is own


def test_what_a_handler_raises_after_the_block_is_raised_at_once_by_whoever_kept_the_blocks_own(raised):
    with stops_held_back():
        kept = signal.getsignal(signal.SIGUSR1)
    assert callable(kept)
    with pytest.raises(StoppedError):
        kept(signal.SIGUSR1, None)


def test_signals_without_a_handler_are_left_alone():
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with stops_held_back():
            assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_block_in_another_thread_runs_as_it_is():
    result = []

    def run() -> None:
        with stops_held_back():
            result.append(run_calls(asyncio.sleep(0, "done")))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert result == ["done"]


def test_a_coroutine_goes_on_while_an_exception_is_held_back(raised):
    async def work() -> str:
        stop_now()
        await asyncio.sleep(0.01)
        return "done"

    results: list[str] = []
    with pytest.raises(StoppedError):
        run_block(lambda _: results.append(run_calls(work())))
    assert results == ["done"]


def test_the_loop_is_asyncios_own_whatever_is_set_for_the_process():
    import uvloop  # of Airflow's own server

    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    try:
        loop = run_calls(running_loop())
    finally:
        asyncio.set_event_loop_policy(before)
    assert isinstance(loop, asyncio.SelectorEventLoop)


async def running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()
