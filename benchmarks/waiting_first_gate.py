"""
How soon after its retries a request is asked for: why the plan allows 8 seconds for the first attempt.

    python -m benchmarks.waiting_first_gate

runs the poll plan in virtual time (``waiting_model.py``) with other seconds from acceptance to the first attempt
(``QUEUE_WAIT``), behind the bad hour of ``waiting.py`` and behind 600 requests that wait alone, each of which passes at
a retry drawn evenly. A poll that comes before the attempt finds nothing until the next gate.
"""

from __future__ import annotations

from airflow_provider_leadsquared.delivery import poll_plan, poll_spacing, retry_groups
from benchmarks.waiting import BAD_HOUR
from benchmarks.waiting_model import Result, run_plan
from benchmarks.waiting_worlds import Fates, independent

_ALONE = Fates(first=0.0, retry=None)
#: A request that ends earlier, in seconds, has been through few retries: what a gate misses weighs most there.
_EARLY = 700.0


def lone_requests(count: int) -> tuple[float, list[float]]:
    """Return the mean calls of requests that wait alone, and the delays of those that end early, sorted."""
    found: list[tuple[Result, bool]] = []
    for seed in range(count):
        world = independent(1, 1, _ALONE, seed)
        found.append((run_plan(world), world.done[0] < _EARLY))
    early = sorted(delay for result, is_early in found if is_early for delay in result.delays)
    return sum(result.calls for result, _ in found) / count, early


def main() -> None:
    """Run it; see the module."""
    print("| first attempt after | bad hour | alone: calls | early ones: mean delay | p90 |")
    print("|---|---|---|---|---|")
    for seconds in (8.0, 6.0, 5.0, 4.0):
        for module in (poll_plan, poll_spacing, retry_groups):
            module.QUEUE_WAIT = seconds  # type: ignore[attr-defined]  # imported there, not exported
        bad = [run_plan(independent(10_000, 500, BAD_HOUR, seed)) for seed in (1, 2, 3, 4)]
        calls, early = lone_requests(600)
        bad_hour = f"{sum(one.calls for one in bad) / 4:.2f} calls, {sum(one.mean for one in bad) / 4:.1f} s"
        print(
            f"| {seconds:.0f} s | {bad_hour} "
            f"| {calls:.2f} | {sum(early) / len(early):.1f} s | {early[int(len(early) * 0.9)]:.1f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
