"""The plots of ``docs/performance.md``. Needs matplotlib, which the extra ``bench`` installs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.waiting_model import airflow_backoff, aws, fixed, google, run_ages, run_plan
from benchmarks.waiting_worlds import RETRIES, Fates, World, backlog, independent


def draw(folder: Path) -> None:
    """
    Draw all plots.

    :param folder: Where they are written, as SVG.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "waiting"
    folder.mkdir(exist_ok=True)
    _calls_against_delay(folder / "calls-against-delay.svg")
    _polls_on_the_ladder(folder / "polls-on-the-ladder.svg")
    _through_a_backlog(folder / "through-a-backlog.svg")


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def _calls_against_delay(path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    waiters = {
        "15 s": fixed(15),
        "60 s": fixed(60),
        "Airflow's back-off": airflow_backoff(),
        "Google's": google,
        "AWS'": aws,
    }
    world = backlog(10_000, 240)
    for name, ages in waiters.items():
        result = run_ages(world, ages)
        axes.scatter(result.calls, result.mean)
        axes.annotate(name, (result.calls, result.mean), textcoords="offset points", xytext=(6, 4))
    ours = run_plan(world)
    axes.scatter(ours.calls, ours.mean, marker="*", s=150)
    axes.annotate("this plan", (ours.calls, ours.mean), textcoords="offset points", xytext=(6, 4))
    axes.set(xscale="log", yscale="log", xlabel="status calls a request", ylabel="mean delay, seconds")
    axes.set_title("10,000 requests behind a queue of 240 a minute")
    _save(figure, path)


def _polls_on_the_ladder(path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 2.6))
    one = run_plan(World([0.0], [32_973.0], [3.0]))
    many = run_plan(independent(1_000, 500, Fates(outage=32_000.0)))
    for height, result in enumerate((one, many)):
        axes.plot([at for at, _, _ in result.course], [height] * len(result.course), "|", markersize=18)
    axes.vlines(RETRIES, -0.5, 1.5, colors="lightgrey", linewidth=1, zorder=0)
    axes.set(xscale="log", yticks=[0, 1], yticklabels=["1 request", "1,000"], xlabel="seconds since acceptance")
    axes.set_title("Polls until the last retry; grey: LeadSquared's retries")
    _save(figure, path)


def _through_a_backlog(path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    world = backlog(10_000, 240)
    result = run_plan(world)
    done = sorted(world.done)
    axes.plot(done[::50], range(0, len(done), 50), label="decided by LeadSquared")
    course = [(0.0, 0, len(done)), *result.course]
    found = [(at, len(done) - left) for at, _, left in course]
    axes.step([at for at, _ in found], [count for _, count in found], where="post", label="found by polls")
    wasted = [(at, calls - (before - left)) for (_, _, before), (at, calls, left) in pairwise(course)]
    axes.bar(
        [at for at, _ in wasted],
        [calls * 10 for _, calls in wasted],
        width=20,
        color="grey",
        label="calls too early, tenfold",
    )
    axes.set(xlabel="seconds since the first acceptance", ylabel="requests")
    axes.legend()
    axes.set_title("The way through a backlog of 240 a minute")
    _save(figure, path)
