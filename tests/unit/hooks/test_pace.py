"""How fast many calls at once are made, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_leadsquared.api.errors import (
    ApiError,
    NoResponseError,
    RateLimitError,
    RejectedError,
    ServerError,
)
from airflow_provider_leadsquared.hooks._many_calls import ManyCalls
from airflow_provider_leadsquared.hooks._pace import Pace

TROUBLE = [RateLimitError("too many calls", 1.0), ServerError("HTTP 503"), NoResponseError("timeout")]


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while it waits, and in no time."""

    _selector: Any

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        select = self._selector.select

        def wait(timeout: float | None) -> Any:
            self.now += timeout or 0.0
            return select(0)

        self._selector.select = wait

    def time(self) -> float:
        return self.now


Running = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    monkeypatch.setattr("airflow_provider_leadsquared.hooks._many_calls.sleep", asyncio.sleep)
    monkeypatch.setattr("airflow_provider_leadsquared.hooks._many_calls.monotonic", loop.time)
    yield loop
    loop.close()


@dataclass
class Server:
    """
    Responds to each call after some time.

    :param latency: Seconds that it takes.
    :param failures: The errors that calls get, by the number of the call from 0.
    """

    loop: VirtualLoop
    latency: float = 0.1
    failures: dict[int, ApiError] = field(default_factory=dict)
    started: list[float] = field(default_factory=list)
    #: How many calls were under way after each began.
    under_way: list[int] = field(default_factory=list)
    _now: int = 0

    async def call(self, _name: int, _item: int) -> str:
        number = len(self.started)
        self._now += 1
        self.started.append(self.loop.time())
        self.under_way.append(self._now)
        await asyncio.sleep(self.latency)
        self._now -= 1
        if number in self.failures:
            raise self.failures[number]
        return "taken"

    def calls(self, *, concurrency: int = 16, **arguments: Any) -> ManyCalls[int, int, str]:
        arguments = {"give_up_after": 1_000.0, **arguments}
        return ManyCalls(self.call, may_repeat=lambda _: True, concurrency=concurrency, **arguments)

    def run(self, count: int, **arguments: Any) -> list[Any]:
        return self.loop.run_until_complete(outcomes_of(self.calls(**arguments), count))


async def outcomes_of(calls: ManyCalls[int, int, str], count: int) -> list[Any]:
    async def items() -> AsyncIterator[tuple[int, int]]:
        for number in range(count):
            yield number, number

    return [outcome async for _, outcome in calls.run(items())]


def most_in_a_second(started: Sequence[float]) -> int:
    return max(sum(1 for one in started if begin <= one < begin + 1 - 1e-9) for begin in started)


# ---- calls a second ----------------------------------------------------------------------------------------------


def test_no_second_has_more_calls_than_allowed(loop):
    server = Server(loop)
    assert server.run(100, pace=Pace(10)) == ["taken"] * 100
    assert most_in_a_second(server.started) == 10


def test_as_many_calls_a_second_are_made_as_are_allowed(loop):
    server = Server(loop)
    server.run(100, pace=Pace(10))
    assert server.started[-1] == pytest.approx(9.9)


def test_a_rate_that_is_higher_than_what_the_server_manages_slows_nothing_down(loop):
    server = Server(loop)
    server.run(161, pace=Pace(10_000))
    assert server.loop.now < 0.1 * 11 + 0.02


def test_two_kinds_of_calls_share_the_calls_a_second(loop):
    pace, server = Pace(10), Server(loop)

    async def both() -> None:
        await asyncio.gather(*[outcomes_of(server.calls(pace=pace), 50) for _ in "ab"])

    loop.run_until_complete(both())
    assert len(server.started) == 100
    assert most_in_a_second(server.started) == 10


def test_a_second_run_goes_on_at_the_rate_of_the_first(loop):
    pace, server = Pace(2), Server(loop, latency=0.0)
    for _ in range(10):
        server.run(1, pace=pace)
    assert most_in_a_second(server.started) == 2


def test_the_call_that_tries_after_a_failure_counts_for_the_rate_as_well(loop):
    server = Server(loop, latency=0.0, failures=dict.fromkeys(range(2, 6), NoResponseError("reset")))
    probed: list[float] = []

    async def probe() -> None:
        probed.append(loop.time())

    server.run(20, pace=Pace(0.1), probe=probe)
    times = sorted([*server.started, *probed])
    assert len(probed) == 4
    assert all(later - earlier >= 10 - 1e-9 for earlier, later in zip(times, times[1:], strict=False))


def test_calls_that_wait_for_their_turn_are_held_back_when_others_fail(loop):
    server = Server(loop, latency=0.0, failures=dict.fromkeys(range(2, 12), NoResponseError("reset")))
    server.run(20, pace=Pace(10))
    failed_at = server.started[2]
    assert not [at for at in server.started if failed_at < at < failed_at + 1]


def test_no_item_that_is_taken_waits_long_for_its_turn(loop):
    server, taken = Server(loop), []

    async def items() -> AsyncIterator[tuple[int, int]]:
        for number in range(100):
            taken.append(loop.time())
            yield number, number

    async def run() -> None:
        async for _ in server.calls(pace=Pace(0.5)).run(items()):
            pass

    loop.run_until_complete(run())
    assert max(began - at for at, began in zip(taken, server.started, strict=True)) <= 10


def test_a_run_that_is_stopped_waits_for_no_turn(loop):
    server = Server(loop)
    assert server.run(100, pace=Pace(0.02), is_stopping=lambda: loop.time() > 60) == ["taken"] * 2
    assert loop.time() < 62


# ---- calls at the same time --------------------------------------------------------------------------------------


@pytest.mark.parametrize("latency", [0.05, 0.15])
@pytest.mark.parametrize("concurrency", [16, 64])
def test_a_server_that_copes_gets_as_many_calls_at_a_time_as_may_be(loop, concurrency, latency):
    server = Server(loop, latency=latency)
    server.run(concurrency * 30 + 1, concurrency=concurrency)
    assert loop.time() == pytest.approx(latency * 31)  # the first call is made alone
    assert max(server.under_way) == concurrency


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
def test_after_trouble_half_as_many_calls_are_made_at_a_time(loop, error):
    server = Server(loop, failures={40: error})
    server.run(100)
    first = next(at for at in server.started if at > 1)  # made alone
    assert 8 <= sum(1 for at in server.started if first < at < first + 0.15) <= 9  # successes have counted since


def test_calls_that_were_under_way_when_it_began_halve_it_once(loop):
    pace = Pace()
    Server(loop, failures=dict.fromkeys(range(33, 49), RateLimitError("too many calls", 1.0))).run(49, pace=pace)
    assert 8 <= pace.room(16) < 16


def test_each_round_that_succeeds_adds_one_call(loop):
    server, pace = Server(loop), Pace()
    pace.slow_down(16)
    pace.slow_down(16)
    assert pace.room(16) == 4
    server.run(1 + 4 + 5 + 6 + 7, pace=pace)
    rounds = {round(at, 3): server.under_way[number] for number, at in enumerate(server.started)}
    assert list(rounds.values())[1:5] == [4, 5, 6, 7]


def test_after_trouble_the_full_number_is_reached_again(loop):
    server = Server(loop, failures={20: TROUBLE[0]})
    server.run(400)
    assert server.under_way[-20:-4] == [16] * 16


def test_trouble_that_lasts_leaves_one_call_at_a_time(loop):
    pace = Pace()
    Server(loop, failures=dict.fromkeys(range(12), TROUBLE[1])).run(3, pace=pace)
    assert Pace.room(pace, 16) == 1


def test_calls_that_wait_for_room_are_all_made(loop):
    pace = Pace()
    for _ in range(4):
        pace.slow_down(16)
    server = Server(loop)
    assert server.run(200, pace=pace) == ["taken"] * 200


def test_an_error_about_one_item_slows_nothing_down(loop):
    pace = Pace()
    Server(loop, failures=dict.fromkeys(range(5, 30), RejectedError("no", "MXException", "no"))).run(40, pace=pace)
    assert pace.is_full


def test_a_run_that_is_stopped_calls_nobody_who_waits_for_room(loop):
    pace, server = Pace(), Server(loop)
    for _ in range(4):
        pace.slow_down(16)
    assert len(server.run(200, pace=pace, is_stopping=lambda: loop.time() > 0.45)) == len(server.started)
    assert loop.time() < 0.7


def test_what_one_kind_of_calls_meets_slows_the_other_down(loop):
    pace = Pace()
    Server(loop, failures={20: TROUBLE[0]}).run(21, concurrency=16, pace=pace)
    server = Server(loop)
    server.run(9, concurrency=8, pace=pace)
    assert max(server.under_way[:5]) == 4
