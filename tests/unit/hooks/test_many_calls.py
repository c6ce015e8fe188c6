"""Many calls at once: which are made again, when all of them stop, and what is reported. Without HTTP, in no time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise
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
from airflow_provider_leadsquared.hooks._backoff import Backoff
from airflow_provider_leadsquared.hooks._many_calls import MAX_ATTEMPTS, ManyCalls

Outcome = Any
#: Turns of the event loop after which everything that can go on has gone on.
MANY_TURNS = 200

NOT_ACCEPTED = [NoConnectionError("no connection"), RateLimitError("too many calls", 1.0)]
IN_DOUBT = [NoResponseError("no response"), ServerError("HTTP 500"), UnexpectedResponseError("a page of a proxy")]
FATAL = [AuthenticationError("keys refused"), ConfigurationError("incomplete")]
NO_PATH = NoSuchPathError("no such path")


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
        self, *, may_repeat: bool = True, concurrency: int = 1, give_up_after: float = 10_000.0, **arguments: Any
    ) -> ManyCalls[str, str, Outcome]:
        return ManyCalls(
            self.call,
            may_repeat=lambda _: may_repeat,
            concurrency=concurrency,
            give_up_after=give_up_after,
            **arguments,
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
    sendings = failures * error.was_sent + 1
    assert run(service, "a", may_repeat=may_repeat) == Run({"a": Receipt("a", sendings=sendings)}, None)
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

    assert asyncio.run(collect()) == [("a", IN_DOUBT[0]), ("b", Receipt("b", after_doubt=True, sendings=2))]


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


# ---- sendings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [Receipt("a"), rejected(), NoResponseError("no response")], ids=["receipt", "no", "?"])
def test_an_outcome_tells_how_often_its_item_was_sent(last):
    service = Service({"a": [RateLimitError("limit", 1.0), NoConnectionError("none"), NoResponseError("?"), last]})
    outcome = run(service, "a").outcomes["a"]
    assert outcome.sendings == sum(1 for _ in service.made) - 1 >= 3


def test_an_item_that_never_reached_a_server_was_not_sent():
    service = Service({"a": [NoConnectionError("none")]})
    assert run(service, "a", give_up_after=10).outcomes["a"].sendings == 0


# ---- after doubt -------------------------------------------------------------------------------------------------


def test_a_receipt_after_a_call_in_doubt_says_so():
    service = Service({"a": [IN_DOUBT[0], Receipt("a")]})
    assert run(service, "a").outcomes == {"a": Receipt("a", after_doubt=True, sendings=2)}


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


@pytest.mark.parametrize("later", [*FATAL, NO_PATH], ids=name_of)
def test_a_doubt_is_not_settled_by_a_later_call_that_was_certainly_not_accepted(later):
    service = Service({"a": [IN_DOUBT[0], later]})
    assert run(service, "a") == Run({"a": IN_DOUBT[0]}, later)


# ---- when all of them stop ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", FATAL, ids=name_of)
def test_a_fatal_error_ends_the_run_after_the_calls_under_way(error):
    service = Service({"b": [error]}, turns={"a": 20, "c": 30})
    source = Source("wabcdefghi")
    ended = run(service, source, concurrency=3)
    assert ended == Run({item: Receipt(item) for item in "wac"} | {"b": error}, error)
    assert source.taken == ["w", "a", "b", "c"]
    assert sorted(service.made) == ["a", "b", "c", "w"]


def test_a_path_that_is_not_there_at_the_first_call_ends_the_run():
    service = Service({"a": [NO_PATH]})
    assert run(service, "abc", concurrency=3) == Run({"a": NO_PATH}, NO_PATH)
    assert service.made == ["a"]


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
    assert run(service, "wab", concurrency=2) == Run({"w": Receipt("w"), "a": FATAL[0], "b": FATAL[1]}, FATAL[1])


@pytest.mark.parametrize("error", [*NOT_ACCEPTED, *IN_DOUBT], ids=name_of)
def test_a_run_without_any_success_for_so_long_ends(error, clock):
    service = Service({item: [error] for item in "abcdefghi"})
    ended = run(service, "abcdefghi", give_up_after=100)
    assert ended.error is error
    assert 100 <= clock.now < 100 + 40  # the longest wait of the back-off, with its jitter


def test_a_run_that_gives_up_leaves_the_rest_untaken_and_uncalled():
    source = Source("abcdefghi")
    service = Service({"a": [NOT_ACCEPTED[0]], "b": [NOT_ACCEPTED[0]]})
    ended = run(service, source, give_up_after=100, concurrency=2)
    assert source.taken == ["a", "b"]
    assert set(ended.outcomes) == set(service.made)


def test_a_success_starts_the_time_without_one_anew(clock):
    outage = [NOT_ACCEPTED[0]] * 6  # 61 seconds or more of back-off
    service = Service({item: [*outage, Receipt(item)] for item in "abc"})
    assert run(service, "abc", give_up_after=100).error is None
    assert clock.now > 100


def test_after_a_rate_limit_no_call_is_made_before_the_time_that_was_stated(clock):
    service = Service({"a": [RateLimitError("too many calls", 50.0), Receipt("a")]}, turns={"b": 20}, clock=clock)
    run(service, "wabcd", concurrency=2)
    assert set(service.made[:3]) == {"w", "a", "b"}
    assert service.called_at[:3] == [0, 0, 0]  # b's call was under way already
    assert min(service.called_at[3:]) >= 50


def test_a_server_that_fails_and_states_a_time_to_wait_is_left_alone_so_long(clock):
    error = ServerError("HTTP 503")
    error.retry_after = 50.0
    service = Service({"a": [error, Receipt("a")]}, clock=clock)
    assert run(service, "a").error is None
    assert service.called_at == [0, 50]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_hold_lasts_longer_than_a_minute_without_a_new_call(clock, concurrency):
    limited = RateLimitError("too many calls", 3_600.0)
    service = Service({item: [limited] * 3 + [Receipt(item)] for item in "abc"}, clock=clock)
    ended = run(service, "wabc", concurrency=concurrency)
    assert set(map(type, ended.outcomes.values())) == {Receipt}
    gaps = [later - earlier for earlier, later in pairwise(service.called_at)]
    assert max(gaps) == 60


def test_a_response_that_comes_during_a_hold_does_not_make_it_last_longer_than_a_minute():
    backoff = Backoff(give_up_after=1_000)
    begun = backoff.begin()
    backoff.failed(RateLimitError("too many calls", 60.0), begun, 0.0)
    backoff.failed(RateLimitError("too many calls", 60.0), begun, 50.0)
    assert backoff.hold(50.0) == 10


def test_a_hold_counts_for_giving_up(clock):
    ended = run(Service({"a": [RateLimitError("too many calls", 50.0)]}), "abc", give_up_after=120)
    assert isinstance(ended.error, RateLimitError)
    assert clock.now == 120


def test_a_hold_and_its_end_are_logged(caplog):
    with caplog.at_level(logging.INFO):
        run(Service({"a": [RateLimitError("call limit exceeded", 50.0), Receipt("a")]}), "a")
    logged = [record.getMessage() for record in caplog.records if record.name.endswith("_many_calls")]
    assert logged == [
        "call limit exceeded. No call for 50 s, then one to try",
        "LeadSquared responds again: going on",
    ]


# ---- one call to try ---------------------------------------------------------------------------------------------


@dataclass
class Outage:
    """
    A service that gives every call the same failure from one time to another.

    :param begins: After so many calls.
    :param error: The failure.
    :param lasts: Seconds.
    """

    clock: Clock
    error: ApiError
    begins: int = 0
    lasts: float = 10_000.0
    began_at: float | None = None
    made: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    probed_at: list[float] = field(default_factory=list)

    async def call(self, _name: str, item: str) -> Outcome:
        self.made.append(item)
        number = len(self.made)
        await asyncio.sleep(0)
        self._fail_if(number > self.begins, item)
        return Receipt(item)

    async def probe(self) -> None:
        self.probed_at.append(self.clock.now)
        await asyncio.sleep(0)
        self._fail_if(True)

    def _fail_if(self, has_begun: bool, item: str = "") -> None:
        if not has_begun:
            return
        self.began_at = self.clock.now if self.began_at is None else self.began_at
        if self.clock.now - self.began_at < self.lasts:
            self.failed += [item] if item else []
            raise self.error

    def run(self, count: int, *, keyed: int = 0, with_probe: bool = True, **arguments: Any) -> Run:
        """Run items, the first of which may be repeated, eight at a time."""
        names = [f"keyed {n}" for n in range(keyed)] + [f"unkeyed {n}" for n in range(count - keyed)]
        calls: ManyCalls[str, str, Outcome] = ManyCalls(
            self.call,
            may_repeat=lambda item: item.startswith("keyed"),
            concurrency=8,
            probe=self.probe if with_probe else None,
            **{"give_up_after": 120.0, **arguments},
        )
        outcomes: dict[str, Outcome] = {}

        async def collect() -> Exception | None:
            try:
                async for name, outcome in calls.run(aiter(Source(names))):
                    outcomes[name] = outcome
            except ApiError as error:
                return error
            return None

        return Run(outcomes, asyncio.run(asyncio.wait_for(collect(), timeout=5)))


@pytest.mark.parametrize("error", [*NOT_ACCEPTED, *IN_DOUBT], ids=name_of)
def test_the_first_call_of_a_run_is_made_alone(clock, error):
    outage = Outage(clock, error)
    outage.run(20, give_up_after=0)
    assert outage.made == ["unkeyed 0"]


@pytest.mark.parametrize("error", [*NOT_ACCEPTED, *IN_DOUBT], ids=name_of)
def test_items_that_wait_when_a_run_is_given_up_are_not_called(clock, error):
    outage = Outage(clock, error)
    assert outage.run(20, give_up_after=0.5).outcomes == {"unkeyed 0": error}
    assert outage.made == ["unkeyed 0"]


@pytest.mark.parametrize("error", IN_DOUBT, ids=name_of)
def test_only_the_calls_under_way_are_left_in_doubt_when_leadsquared_stops_responding(clock, error):
    outage = Outage(clock, error, begins=100)
    ended = outage.run(500)
    assert ended.error is error
    in_doubt = [name for name, outcome in ended.outcomes.items() if outcome is error]
    assert len(in_doubt) <= 8
    assert set(ended.outcomes) == set(outage.made)


@pytest.mark.parametrize("error", IN_DOUBT, ids=name_of)
def test_without_a_probe_one_item_at_a_time_is_risked(clock, error):
    outage = Outage(clock, error, begins=100)
    ended = outage.run(500, with_probe=False)
    in_doubt = [name for name, outcome in ended.outcomes.items() if outcome is error]
    assert len(in_doubt) <= 8 + 7  # waits of 1, 2, 4, 8, 16, 30 and 30 s make up two minutes


def test_keyed_items_are_not_called_at_full_rate_while_leadsquared_does_not_respond(clock):
    outage = Outage(clock, IN_DOUBT[-1], begins=100)
    outage.run(500, keyed=500, with_probe=False)
    assert len(outage.failed) <= 8 + 7


@pytest.mark.parametrize("error", [*NOT_ACCEPTED, *IN_DOUBT], ids=name_of)
def test_a_run_goes_on_when_one_call_has_succeeded(clock, error):
    outage = Outage(clock, error, begins=100, lasts=60)
    ended = outage.run(500, keyed=300)
    assert ended.error is None
    assert len(ended.outcomes) == 500
    assert all(isinstance(outcome, Receipt) for name, outcome in ended.outcomes.items() if name.startswith("keyed"))


def test_a_missing_path_that_responded_before_is_waited_for(clock):
    outage = Outage(clock, NoSuchPathError("HTTP 404, a page"), begins=10, lasts=30)
    ended = outage.run(100)
    assert (ended.error, len(ended.outcomes)) == (None, 100)
    assert {type(outcome) for outcome in ended.outcomes.values()} == {Receipt}


def test_an_item_that_may_be_repeated_tries_first(clock):
    outage = Outage(clock, IN_DOUBT[-1], begins=97, lasts=30)
    ended = outage.run(120, keyed=100, with_probe=False)
    tried = outage.failed[8:]
    assert tried
    assert all(name.startswith("keyed") for name in tried)
    assert ended.error is None


def test_a_probe_is_made_only_while_an_item_could_be_left_in_doubt(clock):
    outage = Outage(clock, NOT_ACCEPTED[0], begins=10)
    outage.run(100)
    assert outage.probed_at == []


@pytest.mark.parametrize("failure", [NO_PATH, *FATAL], ids=name_of)
def test_a_probe_that_says_nothing_of_leadsquared_holds_nothing_up(clock, failure):
    class Refused(Outage):
        async def probe(self) -> None:
            raise failure

    ended = Refused(clock, IN_DOUBT[-1], begins=10, lasts=30).run(100, keyed=100)
    assert ended.error is None
    assert len(ended.outcomes) == 100


def test_a_call_under_way_when_a_pause_began_does_not_end_it(clock):
    backoff = Backoff(give_up_after=100)
    begun = backoff.begin()
    backoff.failed(IN_DOUBT[0], begun, 0.0)
    backoff.succeeded(begun, 0.5)
    assert backoff.is_trying
    assert backoff.hold(0.5) > 0


def test_calls_under_way_when_a_pause_began_lengthen_it_only_once(clock):
    backoff = Backoff(give_up_after=100)
    begun = backoff.begin()
    for _ in range(16):
        backoff.failed(IN_DOUBT[0], begun, 0.0)
    assert backoff.hold(0.0) <= 1.25


# ---- stopped from outside ----------------------------------------------------------------------------------------


def test_a_task_that_is_stopped_ends_a_pause_at_once_and_calls_nothing_more(clock):
    outage = Outage(clock, IN_DOUBT[-1], begins=50)
    ended = outage.run(100, is_stopping=lambda: clock.now > 3, give_up_after=10_000)
    assert (ended.error, clock.now < 6) == (None, True)
    assert set(ended.outcomes) == set(outage.made)


def test_a_task_that_is_stopped_lets_calls_under_way_end():
    service = Service(turns=dict.fromkeys("abc", 20))
    source = Source("wabcdefghi")
    ended = run(service, source, concurrency=3, is_stopping=lambda: len(service.made) == 4)
    assert ended == Run({item: Receipt(item) for item in "wabc"}, None)


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
    service = Service(turns={"w": 0, "a": 20, "b": 30})

    class LateError(Source):
        async def __aiter__(self) -> AsyncIterator[tuple[str, str]]:
            for item in "wab":
                yield item, item
            while len(service.made) < 3:
                await asyncio.sleep(0)
            raise error

    assert run(service, LateError("wab"), concurrency=3) == Run({item: Receipt(item) for item in "wab"}, error)


def test_an_item_that_was_not_called_before_the_callers_iterator_failed_has_no_outcome():
    error = OSError("the warehouse went away")
    service = Service(turns={"a": 20})
    assert run(service, Source("ab", error), concurrency=3) == Run({"a": Receipt("a")}, error)
    assert service.made == ["a"]


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
