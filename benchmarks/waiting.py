"""
How well the package waits, in virtual time: calls a request, delay and starts of a worker, beside what others do.

    python benchmarks/waiting.py [--write] [--plots]

prints the tables of ``docs/performance.md``; ``--write`` writes them there, ``--plots`` draws the plots beside it (that
takes matplotlib). Exits with 1 if a goal is missed. Scenarios are in ``waiting_worlds.py``, waiters in
``waiting_model.py``; nothing depends on the machine. Figures are means over several seeds.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_provider_leadsquared.delivery.poll_spacing import DEFERRED, Spacing
from benchmarks import waiting_plots
from benchmarks.waiting_model import Result, airflow_backoff, aws, fixed, google, optimum, run_ages, run_plan
from benchmarks.waiting_worlds import Fates, World, backlog, independent, interleaved, one_that_never_ends, shuffled

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- waiting: begin -->", "<!-- waiting: end -->"
SEEDS = (1, 2, 3, 4)
MANY = 10_000
HEALTHY = Fates(first=0.995)
BLIPS = Fates(first=0.9, retry=None)
BAD_HOUR = Fates(first=0.6, retry=0.5, median=30.0)
OUTAGE = Fates(median=5.0, outage=2_700.0)
SOME_BLIPS = Fates(first=0.95, retry=None)
LAST_RETRY = Fates(outage=32_000.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    One row of the table.

    :param world: Makes the world for a seed.
    :param calls: Calls a request at most.
    :param mean: Mean delay in seconds at most.
    :param share: Mean delay at most, as a share of the mean wait.
    :param polls: Starts of a worker at most.
    :param near_optimum: The score at most, as a multiple of the optimum's.
    :param has_optimum: Requests are independent of each other, so that there is an optimum.
    """

    name: str
    world: Callable[[int], World]
    calls: float | None = None
    mean: float | None = None
    share: float | None = None
    polls: int | None = None
    near_optimum: float | None = None
    has_optimum: bool = False
    known_gaps: bool = False
    spacing: Spacing | None = None

    def goal(self) -> str:
        """Return the goal in words."""
        parts = [
            f"≤ {self.calls:g} calls" if self.calls else "",
            f"≤ {self.mean:g} s" if self.mean else "",
            f"≤ {self.share:.1%} of the wait" if self.share else "",
            f"≤ {self.polls} polls" if self.polls else "",
            f"score ≤ {self.near_optimum:g} of the optimum's" if self.near_optimum else "",
        ]
        return ", ".join(filter(None, parts)) or "–"

    def is_met(self, figures: Figures, best: Figures | None) -> bool:
        """Tell whether the figures are within the goal."""
        return (
            (self.calls is None or figures.calls <= self.calls)
            and (self.mean is None or figures.mean <= self.mean)
            and (self.share is None or figures.mean <= self.share * figures.wait)
            and (self.polls is None or figures.polls <= self.polls)
            and (self.near_optimum is None or best is None or figures.score <= self.near_optimum * best.score)
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over several seeds."""

    calls: float
    mean: float
    p95: float
    p99: float
    polls: float
    wait: float
    left: float

    @property
    def score(self) -> float:
        """Calls and delay in one number, as 30 seconds were worth one call."""
        return self.calls + self.mean / 30.0

    @classmethod
    def of(cls, results: Sequence[Result], worlds: Sequence[World]) -> Figures:
        """Return the means."""

        def mean(of: Callable[[Result], float]) -> float:
            return sum(of(one) for one in results) / len(results)

        waits = [wait for world in worlds for wait in world.waits if wait < math.inf]
        return cls(
            mean(lambda one: one.calls),
            mean(lambda one: one.mean),
            mean(lambda one: one.quantile(0.95)),
            mean(lambda one: one.quantile(0.99)),
            mean(lambda one: one.polls),
            sum(waits) / len(waits),
            mean(lambda one: one.left),
        )


def _with(calls: float = 1.06, share: float = 0.025, polls: int = 50) -> dict[str, float]:
    return {"calls": calls, "share": share, "polls": polls}


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "healthy, 2,000 a second",
        lambda seed: independent(MANY, 2_000, HEALTHY, seed),
        near_optimum=1.02,
        has_optimum=True,
    ),
    Scenario(
        "healthy, 500 a second", lambda seed: independent(MANY, 500, HEALTHY, seed), near_optimum=1.02, has_optimum=True
    ),
    Scenario(
        "blips: 10 % on a random retry",
        lambda seed: independent(MANY, 500, BLIPS, seed),
        calls=1.6,
        mean=20,
        has_optimum=True,
        known_gaps=True,
    ),
    Scenario("the same, reading unknown", lambda seed: independent(MANY, 500, BLIPS, seed)),
    Scenario("bad hour", lambda seed: independent(MANY, 500, BAD_HOUR, seed), calls=2.3, mean=45, has_optimum=True),
    Scenario(
        "outage of 45 minutes", lambda seed: independent(MANY, 500, OUTAGE, seed), calls=1.1, mean=20, has_optimum=True
    ),
    Scenario("backlog, 240 a minute", lambda seed: backlog(MANY, 240, seed=seed), calls=1.06, share=0.025, polls=50),
    Scenario("backlog, 120 a minute", lambda seed: backlog(MANY, 120, seed=seed), calls=1.06, share=0.025, polls=50),
    Scenario("backlog, 24.8 a minute", lambda seed: backlog(MANY, 24.8, seed=seed), calls=1.06, share=0.025, polls=50),
    Scenario("the same 240, deferred", lambda seed: backlog(MANY, 240, seed=seed), share=0.01, spacing=DEFERRED),
    Scenario("the same 24.8, deferred", lambda seed: backlog(MANY, 24.8, seed=seed), share=0.01, spacing=DEFERRED),
    Scenario("full ladder, 1 request", lambda seed: independent(1, 1, LAST_RETRY, seed), polls=24),
    Scenario("full ladder, 1,000 requests", lambda seed: independent(1_000, 500, LAST_RETRY, seed), polls=24),
    Scenario(
        "backlog 240 with 5 % blips",
        lambda seed: backlog(MANY, 240, fates=SOME_BLIPS, seed=seed),
        calls=1.65,
        share=0.04,
        polls=200,
    ),
    Scenario(
        "backlog 120 with 5 % blips",
        lambda seed: backlog(MANY, 120, fates=SOME_BLIPS, seed=seed),
        calls=1.65,
        share=0.04,
        polls=200,
    ),
    Scenario(
        "outage, then a backlog of 240",
        lambda seed: backlog(MANY, 240, begins=2_000, seed=seed),
        calls=1.15,
        share=0.1,
        polls=70,
    ),
    Scenario(
        "two captures interleaved, 240",
        lambda seed: interleaved(MANY, 240, seed=seed),
        calls=1.06,
        share=0.04,
        polls=60,
    ),
    Scenario("queue in random order, 240", lambda seed: shuffled(MANY, 240, seed=seed), calls=13.4),
    Scenario(
        "queue worked off backwards, 240",
        lambda seed: backlog(MANY, 240, order=lambda n: range(n - 1, -1, -1), seed=seed),
        calls=13.4,
    ),
    Scenario(
        "one of 10,000 never ends, 240",
        lambda seed: one_that_never_ends(backlog(MANY, 240, seed=seed)),
        calls=1.1,
        polls=100,
    ),
    Scenario(
        "100,000 requests, 2,400 a minute",
        lambda seed: backlog(100_000, 2_400, seed=seed),
        calls=1.06,
        share=0.035,
        polls=55,
    ),
)
RIVALS: tuple[tuple[str, Callable[[random.Random], Iterator[float]]], ...] = (
    ("fixed 15 s", fixed(15)),
    ("fixed 60 s", fixed(60)),
    ("Airflow's exponential back-off", airflow_backoff()),
    ("Google's", google),
    ("AWS' waiter", aws),
)


def measure(scenario: Scenario, seeds: Sequence[int]) -> tuple[Figures, Figures | None, list[World]]:
    """Return the figures of the plan, those of the optimum if there is one, and the worlds."""
    worlds = [scenario.world(seed) for seed in seeds]
    figures = Figures.of(
        [run_plan(world, spacing=scenario.spacing, known_gaps=scenario.known_gaps) for world in worlds], worlds
    )
    best = Figures.of([optimum(worlds[0])], worlds[:1]) if scenario.has_optimum else None
    return figures, best, worlds


def tables(scenarios: Sequence[Scenario], seeds: Sequence[int]) -> tuple[str, list[str]]:
    """Return the tables as Markdown, and the names of the scenarios whose goal is missed."""
    ours = [
        "| Scenario (10,000 requests) | calls a request | mean delay | p95 | p99 | polls | mean wait | goal | met |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    others = [
        "| Scenario | this plan | " + " | ".join(name for name, _ in RIVALS) + " | optimum | oracle |",
        "|---|" + "---|" * (len(RIVALS) + 3),
    ]
    missed = []
    for scenario in scenarios:
        figures, best, worlds = measure(scenario, seeds if "100,000" not in scenario.name else seeds[:1])
        met = scenario.is_met(figures, best)
        missed += [] if met else [scenario.name]
        ours.append(
            f"| {scenario.name} | {figures.calls:.3f} | {figures.mean:,.1f} s | {figures.p95:,.0f} s "
            f"| {figures.p99:,.0f} s | {figures.polls:.0f} | {figures.wait:,.0f} s | {scenario.goal()} | "
            f"{'yes' if met else '**no**'} |"
        )
        if scenario.spacing is None and "100,000" not in scenario.name:
            rivals = [Figures.of([run_ages(world, ages) for world in worlds[:1]], worlds[:1]) for _, ages in RIVALS]
            cells = [_cell(one) for one in (figures, *rivals)]
            others.append(f"| {scenario.name} | {' | '.join(cells)} | {_cell(best)} | 1 / 0 s |")
        print(ours[-1], file=sys.stderr)
    return "\n".join(ours) + "\n\nCalls a request / mean delay:\n\n" + "\n".join(others), missed


def _cell(figures: Figures | None) -> str:
    if figures is None:
        return "–"
    left = f" ({figures.left:,.0f} not found)" if figures.left else ""
    return f"{figures.calls:,.2f} / " + (f"{figures.mean:,.0f} s" if figures.mean else "–") + left


def main() -> None:
    """Run the benchmark; see the module."""
    parser = argparse.ArgumentParser(description="How well the package waits, in virtual time.")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md")
    parser.add_argument("--plots", action="store_true", help="draw the plots; takes matplotlib")
    given = parser.parse_args()
    text, missed = tables(SCENARIOS, SEEDS)
    if given.write:
        page = PAGE.read_text()
        before, after = page[: page.index(BEGIN)], page[page.index(END) :]
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{after}")
    else:
        print(text)
    if given.plots:
        waiting_plots.draw(PAGE.parent / "images")
    if missed:
        sys.exit(f"goals missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
