"""The command that runs simulations."""

from __future__ import annotations

import argparse
import signal
import time

from tests.simulation import plan as plans
from tests.simulation import seams
from tests.simulation.episode import Simulation, Violation
from tests.simulation.shrinking import shorten
from tests.simulation.timeline import Hanging


def main() -> None:
    ask = argparse.ArgumentParser(prog="python -m tests.simulation")
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument("--nights", type=int, default=1000)
    ask.add_argument("--story", action="store_true")
    ask.add_argument("--all", action="store_true")
    ask.add_argument("--keep")
    ask.add_argument("--shorten", action="store_true")
    args = ask.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    seams.install()
    kept = None if args.keep is None else {int(one) for one in args.keep.split(",")}
    nights, seed, found, began = 0, args.seed, {}, time.process_time()
    while nights < args.nights:
        plan = plans.draw(seed)
        simulation = Simulation(plan, kept, tells=args.story)
        failure = None
        try:
            simulation.run()
        except (Violation, Hanging) as error:
            failure = str(error)
            found.setdefault(failure.split(" ")[0], []).append(seed)
            print(seed, sorted(plan.parts), failure, flush=True)
        if args.story:
            print("\n".join(simulation.story))
            print(simulation.digest())
        if failure and args.shorten:
            needed = shorten(plan, failure)
            print(f"python -m tests.simulation --seed {seed} --nights 1 --story --keep {','.join(map(str, needed))}")
            short = Simulation(plan, set(needed), tells=True)
            try:
                short.run()
            except (Violation, Hanging) as error:
                print(error)
            print(plan.settings, short.arguments)
            print("\n".join(str(plan.events[one]) for one in needed))
            print("\n".join(short.story))
        nights += simulation.nights
        seed += 1
        if found and not args.all:
            break
    took = time.process_time() - began
    print(f"{nights} nights, {seed - args.seed} seeds, {took:.1f} s CPU, {nights / took:.1f} nights/s")
    print({kind: len(cases) for kind, cases in found.items()})
