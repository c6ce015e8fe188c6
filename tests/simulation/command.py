"""The command that runs simulations."""

from __future__ import annotations

import argparse
import signal
import time
import traceback

from tests.simulation import plan as plans
from tests.simulation import seams
from tests.simulation.episode import Simulation, Violation


def main() -> None:
    ask = argparse.ArgumentParser(prog="python -m tests.simulation")
    ask.add_argument("--seed", type=int, default=1)
    ask.add_argument("--nights", type=int, default=1000)
    ask.add_argument("--story", action="store_true")
    ask.add_argument("--all", action="store_true")
    ask.add_argument("--keep")
    args = ask.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    seams.install()
    seams.load_fields()
    kept = None if args.keep is None else {int(one) for one in args.keep.split(",")}
    nights, seed, found, began = 0, args.seed, {}, time.process_time()
    while nights < args.nights:
        plan = plans.draw(seed)
        simulation = Simulation(plan, kept, tells=args.story)
        try:
            simulation.run()
        except Violation as violation:
            found.setdefault(str(violation)[:3], []).append((seed, str(violation)))
            print(seed, sorted(plan.parts), violation, flush=True)
        except Exception:
            traceback.print_exc()
            print("seed", seed, sorted(plan.parts))
            found.setdefault("error", []).append((seed, "error"))
        if args.story:
            print("\n".join(simulation.story))
            print(simulation.digest())
        nights += simulation.nights
        seed += 1
        if found and not args.all:
            break
    took = time.process_time() - began
    print(f"{nights} nights, {seed - args.seed} seeds, {took:.1f} s CPU, {nights / took:.1f} nights/s")
    print({kind: len(cases) for kind, cases in found.items()})
