"""Many calls at once: which are made again, when all of them stop, and what is reported. Without HTTP, in no time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_leadsquared.api.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    NoConnectionError,
    NoResponseError,
    NoSuchPathError,
    RateLimitError,
    RejectedError,
    ServerError,
    UnexpectedResponseError,
    UnknownRequestError,
)
from airflow_provider_leadsquared.api.responses import Receipt
from airflow_provider_leadsquared.hooks._many_calls import MAX_ATTEMPTS, ManyCalls

Outcome = Any
#: Turns of the event loop after which everything that can go on has gone on.
MANY_TURNS = 200

NOT_ACCEPTED = [NoConnectionError("no connection"), RateLimitError("too many calls", 1.0)]
IN_DOUBT = [NoResponseError("no response"), ServerError("HTTP 500")]
FATAL = [AuthenticationError("keys refused"), NoSuchPathError("no such path"), ConfigurationError("incomplete")]


def name_of(error: ApiError) -> str:
    return type(error).__name__


def rejected() -> RejectedError:
    return RejectedError("rejected", "MXInvalidException", "invalid")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the calls wait in no time."""
    clock = Clock()
    monkeypatch.setattr("airflow_provider_leadsquared.hooks._many_calls.sleep", clock.sleep)
    monkeypatch.setattr("airflow_provider_leadsquared.hooks._many_calls.monotonic", clock.monotonic)
    return clock


@dataclass
class Service:
    """
    Makes the calls of a test.

    :param outcomes: By item, what its calls result in one after another; the last one counts for all further calls.
        An item that is not named gets a receipt.
    :param turns: By item, how many turns of the event loop each of its calls takes; one for an item not named.
    :param clock: Tells when a call was made, for ``called_at``.
    """

    outcomes: dict[str, Sequence[Outcome]] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    made: list[str] = field(default_factory=list)
    called_at: list[float] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    most_under_way: int = 0

    async def call(self, _name: str, item: str) -> Outcome:
        attempt = self.made.count(item)
        self.made.append(item)
        self.called_at.append(self.clock.now)
        under_way = len(self.made) - len(self.ended) - len(self.cancelled)
        self.most_under_way = max(self.most_under_way, under_way)
        try:
            for _ in range(self.turns.get(item, 1)):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        self.ended.append(item)
        planned = self.outcomes.get(item, [Receipt(item)])
        outcome = planned[min(attempt, len(planned) - 1)]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def many_calls(
        self, *, may_repeat: bool = True, concurrency: int = 1, give_up_after: float = 10_000.0
    ) -> ManyCalls[str, str, Outcome]:
        return ManyCalls(
            self.call, may_repeat=lambda _: may_repeat, concurrency=concurrency, give_up_after=give_up_after
        )


class Source:
    """Gives items one after another, each under its own name, and then an error if there is one."""

    def __init__(self, items: Iterable[str], error: Exception | None = None) -> None:
        self._items, self._error = items, error
        self.taken: list[str] = []

    async def __aiter__(self) -> AsyncIterator[tuple[str, str]]:
        for item in self._items:
            self.taken.append(item)
            yield item, item
        if self._error is not None:
            raise self._error


@dataclass
class Run:
    """What a run reported: the outcome of each item, and the error that it ended with."""

    outcomes: dict[str, Outcome]
    error: Exception | None


def run(service: Service, items: Iterable[str] | Source, **arguments: Any) -> Run:
    source = items if isinstance(items, Source) else Source(items)
    reported: list[tuple[str, Outcome]] = []

    async def collect() -> Exception | None:
        try:
            async for outcome in service.many_calls(**arguments).run(aiter(source)):
                reported.append(outcome)
        except (ApiError, OSError) as error:
            return error
        return None

    error = asyncio.run(asyncio.wait_for(collect(), timeout=5))
    outcomes = dict(reported)
    assert len(outcomes) == len(reported), "an item was reported twice"
    return Run(outcomes, error)


# ---- one item ----------------------------------------------------------------------------------------------------


def test_each_item_is_called_once_and_reported_under_its_name():
    service = Service()
    ended = run(service, "abcdef", concurrency=2)
    assert ended == Run({item: Receipt(item) for item in "abcdef"}, None)
    assert sorted(service.made) == list("abcdef")


def test_no_items_are_no_calls():
    assert run(Service(), "") == Run({}, None)


@pytest.mark.parametrize("may_repeat", [True, False])
@pytest.mark.parametrize("error", NOT_ACCEPTED, ids=name_of)
def test_a_transient_failure_that_was_certainly_not_accepted_is_repeated_until_it_succeeds(error, may_repeat):
    failures = MAX_ATTEMPTS + 3
    service = Service({"a": [error] * failures + [Receipt("a")]})
    assert run(service, "a", may_repeat=may_repeat) == Run({"a": Receipt("a")}, None)
    assert len(service.made) == failures + 1


@pytest.mark.parametrize("error", IN_DOUBT, ids=name_of)
def test_a_call_in_doubt_is_repeated_if_its_item_may_be(error):
    service = Service({"a": [error, Receipt("a")]})
    run(service, "a", may_repeat=True)
    assert service.made == ["a", "a"]


@pytest.mark.parametrize("error", IN_DOUBT, ids=name_of)
def test_a_call_in_doubt_is_not_repeated_if_its_item_may_not_be(error):
    service = Service({"a": [error, Receipt("a")]})
    assert run(service, "a", may_repeat=False) == Run({"a": error}, None)
    assert service.made == ["a"]


def test_whether_it_may_be_repeated_is_asked_of_each_item():
    service = Service({item: [IN_DOUBT[0], Receipt(item)] for item in "ab"})
    calls: ManyCalls[str, str, Outcome] = ManyCalls(
        service.call, may_repeat=lambda item: item == "b", concurrency=1, give_up_after=100
    )

    async def collect() -> list[tuple[str, Outcome]]:
        return [outcome async for outcome in calls.run(aiter(Source("ab")))]

    assert asyncio.run(collect()) == [("a", IN_DOUBT[0]), ("b", Receipt("b", after_doubt=True))]


@pytest.mark.parametrize("error", IN_DOUBT, ids=name_of)
def test_a_call_in_doubt_is_made_at_most_so_often(error):
    service = Service({"a": [error]})
    assert run(service, "a") == Run({"a": error}, None)
    assert len(service.made) == MAX_ATTEMPTS


def test_failures_that_were_certainly_not_accepted_do_not_count_towards_that():
    failures = [NOT_ACCEPTED[0], IN_DOUBT[0]] * (MAX_ATTEMPTS - 1)
    service = Service({"a": [*failures, Receipt("a")]})
    assert isinstance(run(service, "a").outcomes["a"], Receipt)


@pytest.mark.parametrize("error", [rejected(), UnknownRequestError("unknown")], ids=name_of)
def test_a_failure_that_lasts_is_not_repeated_and_the_others_go_on(error):
    service = Service({"b": [error]})
    ended = run(service, "abc")
    assert ended == Run({"a": Receipt("a"), "b": error, "c": Receipt("c")}, None)
    assert service.made == ["a", "b", "c"]


# ---- after doubt -------------------------------------------------------------------------------------------------


def test_a_receipt_after_a_call_in_doubt_says_so():
    service = Service({"a": [IN_DOUBT[0], Receipt("a")]})
    assert run(service, "a").outcomes == {"a": Receipt("a", after_doubt=True)}


def test_a_receipt_after_a_call_that_was_certainly_not_accepted_is_a_plain_one():
    service = Service({"a": [NOT_ACCEPTED[0], Receipt("a")]})
    assert run(service, "a").outcomes == {"a": Receipt("a", after_doubt=False)}


def test_a_doubt_is_of_its_own_item_only():
    service = Service({"a": [IN_DOUBT[0], Receipt("a")]})
    assert run(service, "ab").outcomes["b"] == Receipt("b", after_doubt=False)


@pytest.mark.parametrize(
    ("first", "after_doubt"), [(IN_DOUBT[0], True), (NOT_ACCEPTED[0], False)], ids=["in_doubt", "not_accepted"]
)
def test_a_rejection_says_whether_an_earlier_call_is_in_doubt(first, after_doubt):
    service = Service({"a": [first, rejected()]})
    outcome = run(service, "a").outcomes["a"]
    assert (type(outcome), outcome.after_doubt) == (RejectedError, after_doubt)


def test_a_result_that_is_no_receipt_is_handed_on_as_it_is():
    service = Service({"a": [IN_DOUBT[0], "status"]})
    assert run(service, "a").outcomes == {"a": "status"}


@pytest.mark.parametrize("later", FATAL, ids=name_of)
def test_a_doubt_is_not_settled_by_a_later_call_that_was_certainly_not_accepted(later):
    service = Service({"a": [IN_DOUBT[0], later]})
    assert run(service, "a") == Run({"a": IN_DOUBT[0]}, later)


# ---- when all of them stop ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", FATAL, ids=name_of)
def test_a_fatal_error_ends_the_run_after_the_calls_under_way(error):
    service = Service({"b": [error]}, turns={"a": 20, "c": 30})
    source = Source("abcdefghi")
    ended = run(service, source, concurrency=3)
    assert ended == Run({"a": Receipt("a"), "b": error, "c": Receipt("c")}, error)
    assert source.taken == service.made == ["a", "b", "c"]


def test_after_a_fatal_error_no_further_item_is_taken_by_calls_that_wait_for_one():
    class SlowSource(Source):
        async def __aiter__(self) -> AsyncIterator[tuple[str, str]]:
            async for item in super().__aiter__():
                for _ in range(5):
                    await asyncio.sleep(0)
                yield item

    source = SlowSource("abcdefgh")
    run(Service({"a": [AuthenticationError("keys refused")]}), source, concurrency=4)
    assert len(source.taken) <= 2  # the one that was refused, and the one that was being taken meanwhile


def test_the_first_fatal_error_is_the_one_that_is_raised():
    service = Service({"a": [FATAL[0]], "b": [FATAL[1]]}, turns={"a": 20})
    assert run(service, "ab", concurrency=2) == Run({"a": FATAL[0], "b": FATAL[1]}, FATAL[1])


def test_an_unexpected_response_before_any_success_ends_the_run():
    error = UnexpectedResponseError("no JSON")
    service = Service({"a": [error]})
    assert run(service, "abc") == Run({"a": error}, error)


def test_a_rejection_is_no_success_that_an_unexpected_response_could_follow():
    error = UnexpectedResponseError("no JSON")
    service = Service({"a": [rejected()], "b": [error]})
    assert run(service, "abc").error is error


def test_an_unexpected_response_after_a_success_is_of_its_own_item_only():
    error = UnexpectedResponseError("no JSON")
    service = Service({"b": [error]})
    assert run(service, "abc") == Run({"a": Receipt("a"), "b": error, "c": Receipt("c")}, None)


@pytest.mark.parametrize("error", [*NOT_ACCEPTED, IN_DOUBT[0]], ids=name_of)
def test_a_run_without_any_success_for_so_long_ends(error, clock):
    service = Service({item: [error] for item in "abcdefghi"})
    ended = run(service, "abcdefghi", give_up_after=100)
    assert ended.error is error
    assert 100 <= clock.now < 100 + 40  # the longest wait of the back-off, with its jitter


def test_a_run_that_gives_up_leaves_the_rest_untaken():
    source = Source("abcdefghi")
    run(Service({"a": [NOT_ACCEPTED[0]], "b": [NOT_ACCEPTED[0]]}), source, give_up_after=100, concurrency=2)
    assert source.taken == ["a", "b"]


def test_a_success_starts_the_time_without_one_anew(clock):
    outage = [NOT_ACCEPTED[0]] * 6  # 61 seconds or more of back-off
    service = Service({item: [*outage, Receipt(item)] for item in "abc"})
    assert run(service, "abc", give_up_after=100).error is None
    assert clock.now > 100


def test_after_a_rate_limit_no_call_is_made_before_the_time_that_was_stated(clock):
    service = Service({"a": [RateLimitError("too many calls", 50.0), Receipt("a")]}, clock=clock)
    run(service, "abcd", concurrency=2)
    assert service.made[:2] == ["a", "b"]
    assert service.called_at[:2] == [0, 0]  # b's call was under way already
    assert min(service.called_at[2:]) >= 50


# ---- how many at once --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 3])
def test_as_many_calls_as_allowed_are_under_way_and_no_more(concurrency):
    service = Service(turns=dict.fromkeys("abcdefghi", 5))
    run(service, "abcdefghi", concurrency=concurrency)
    assert service.most_under_way == concurrency


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_than_twice_as_many_outcomes_wait_for_the_caller(concurrency):
    service = Service()
    items = [f"item {number}" for number in range(50)]

    async def take_one() -> int:
        async with aclosing(service.many_calls(concurrency=concurrency).run(aiter(Source(items)))) as outcomes:
            await anext(outcomes)
            for _ in range(MANY_TURNS):
                await asyncio.sleep(0)
            return len(service.made)

    assert asyncio.run(take_one()) == 2 * concurrency


def test_a_caller_that_takes_outcomes_slowly_gets_all_of_them():
    service = Service()
    items = [f"item {number}" for number in range(50)]

    async def take_slowly() -> list[str]:
        names = []
        async for name, _ in service.many_calls(concurrency=2).run(aiter(Source(items))):
            names.append(name)
            for _ in range(20):
                await asyncio.sleep(0)
        return names

    assert sorted(asyncio.run(take_slowly())) == sorted(items)


# ---- the caller's side -------------------------------------------------------------------------------------------


def test_an_error_of_the_callers_iterator_is_raised_after_the_calls_under_way():
    error = OSError("the warehouse went away")
    service = Service(turns={"a": 20, "b": 30})
    assert run(service, Source("ab", error), concurrency=3) == Run({"a": Receipt("a"), "b": Receipt("b")}, error)


def test_an_error_of_the_callers_iterator_stops_repeats_of_calls_that_fail():
    error = OSError("the warehouse went away")
    service = Service({"a": [NOT_ACCEPTED[0]]}, turns={"a": 20})
    assert run(service, Source("a", error), concurrency=2) == Run({"a": NOT_ACCEPTED[0]}, error)
    assert service.made == ["a"]


def test_closing_early_cancels_the_calls_under_way_and_leaves_no_task():
    service = Service(turns=dict.fromkeys("bcd", 10_000))

    async def close_early() -> set[asyncio.Task[Any]]:
        before = asyncio.all_tasks()
        outcomes = service.many_calls(concurrency=3).run(aiter(Source("abcdefghi")))
        assert await anext(outcomes) == ("a", Receipt("a"))
        for _ in range(MANY_TURNS):
            await asyncio.sleep(0)
        await outcomes.aclose()
        return asyncio.all_tasks() - before

    assert asyncio.run(asyncio.wait_for(close_early(), timeout=5)) == set()
    assert sorted(service.cancelled) == ["b", "c", "d"]
    assert sorted(service.made) == ["a", "b", "c", "d"]


def test_an_error_that_is_not_leadsquareds_is_not_swallowed():
    service = Service({"a": [KeyError("a bug")]})
    with pytest.raises(ExceptionGroup) as raised:
        run(service, "a")
    assert raised.group_contains(KeyError)
