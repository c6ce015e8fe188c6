"""The command that runs simulations."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from tests.simulation import plan as plans
from tests.simulation import seams
from tests.simulation.episode import Simulation
from tests.simulation.shrinking import shorten
from tests.simulation.stories import THEMES
from tests.simulation.timeline import Hanging, Killed, Violation


def main() -> None:
    """Run simulations; end with 1 if a promise was broken."""
    ask = argparse.ArgumentParser(prog="python -m tests.simulation", description="Run simulated nights.")
    ask.add_argument("--seeds", default="1-", help="one seed, or a range: 7, 1-100, 1- (no end)")
    ask.add_argument("--nights", type=int, default=1_000, help="begin no further seed after so many nights")
    ask.add_argument("--theme", choices=["everything", *THEMES], help="every seed has this theme")
    ask.add_argument("--keep", help="the numbers of the plan's events that happen; the others are left out")
    ask.add_argument("--story", action="store_true", help="tell what happened")
    ask.add_argument("--shorten", action="store_true", help="shorten a failing plan, and tell its story")
    ask.add_argument("--all", action="store_true", help="go on after a failure")
    ask.add_argument("--processes", type=int, default=1, help="share the seeds among so many processes")
    args = ask.parse_args()
    began = time.monotonic()
    parts = [_run(args, 0)] if args.processes == 1 else _run_in_processes(args)
    nights, seeds = 0, 0
    failures: Counter[str] = Counter()
    for some_nights, some_seeds, some_failures in parts:
        nights, seeds, failures = nights + some_nights, seeds + some_seeds, failures + some_failures
    took = time.monotonic() - began
    # On a machine that others use too, only this says what a night costs.
    computed = sum(os.times()[:4])
    found = ", ".join(f"{count} × {kind}" for kind, count in sorted(failures.items())) or "none"
    print(
        f"{nights:,} nights of {seeds:,} seeds in {took:,.0f} s, {nights / took:.0f} a second, "
        f"{nights / computed:.0f} a CPU second; findings: {found}"
    )
    sys.exit(1 if failures else 0)


def _run_in_processes(args: argparse.Namespace) -> list[tuple[int, int, Counter[str]]]:
    """Share the seeds among processes that each know their part from the start: none waits for work, or for anybody."""
    fork = get_context("fork")
    found, parent = fork.Event(), os.getpid()
    started = []
    for number in range(args.processes):
        receiving, sending = fork.Pipe(duplex=False)
        process = fork.Process(target=_run_apart, args=(args, number, found, parent, sending), daemon=True)
        process.start()
        sending.close()
        started.append((process, receiving))
    parts = []
    for process, receiving in started:
        try:
            parts.append(receiving.recv())
        except EOFError:
            raise RuntimeError("a process ended without a result; what it printed says why") from None
        process.join()
    return parts


#: Whether another process has a finding, if that ends the search.
_found: Any = None
_parent = 0


def _run_apart(args: argparse.Namespace, number: int, found: Any, parent: int, result: Connection) -> None:
    global _found, _parent
    _found, _parent = found, parent
    result.send(_run(args, number))


def _is_over() -> bool:
    """Tell whether another process has a finding; end if the parent is gone, for nobody waits for the result then."""
    if _parent and os.getppid() != _parent:
        os._exit(1)
    return _found is not None and _found.is_set()


def _run(args: argparse.Namespace, number: int) -> tuple[int, int, Counter[str]]:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    seams.install()
    kept = None if args.keep is None else {int(one) for one in args.keep.split(",")}
    # Memory is freed between simulations alone: what frees itself in the middle of one would be a step of its own.
    gc.disable()
    gc.freeze()
    nights, count = 0, 0
    failures: Counter[str] = Counter()
    for seed in _seeds(args.seeds, number, args.processes):
        if nights >= args.nights / args.processes or _is_over():
            break
        plan = plans.draw(seed, args.theme)
        simulation = Simulation(plan, kept, tells=args.story)
        failure = _failure(simulation)
        if count % 5 == 4:
            gc.collect()
        nights, count = nights + simulation.nights, count + 1
        if args.story:
            print("\n".join([*simulation.story, simulation.digest()]))
        if failure is None:
            continue
        failures[failure.split(" ", 1)[0]] += 1
        if _found is not None and not args.all:
            _found.set()
        print(f"seed {seed}: {failure} ({simulation.plan.theme}); after {nights} nights", flush=True)
        if args.shorten:
            _tell_shortened(simulation, failure)
        if not args.all:
            break
    return nights, count, failures


def _seeds(text: str, number: int, processes: int) -> Iterator[int]:
    first, dash, last = text.partition("-")
    seed, end = int(first), int(last) if last else None if dash else int(first)
    seed += number
    while end is None or seed <= end:
        yield seed
        seed += processes


def _failure(simulation: Simulation) -> str | None:
    try:
        simulation.run()
    except (Violation, Hanging) as error:
        return str(error)
    except Killed as error:
        raise RuntimeError("a worker that was killed ended the simulation itself") from error
    return None


def _tell_shortened(simulation: Simulation, failure: str) -> None:
    plan = simulation.plan
    needed = shorten(plan, failure)
    short = Simulation(plan, set(needed), tells=True)
    print(_failure(short))
    theme = "" if plan.theme == plans.theme_of(plan.seed) else f" --theme '{plan.theme}'"
    print(f"python -m tests.simulation --seeds {plan.seed}{theme} --story --keep {','.join(map(str, needed))}")
    print(f"theme {plan.theme}, switches {plan.settings}, arguments {short.arguments}")
    print("\n".join([*(str(plan.events[one]) for one in needed), *short.story]))
