"""
All that ``make bench`` measures, one benchmark after another; each writes its part of ``docs/performance.md``.

    python -m benchmarks [sending pace unchanged memory nights import]

runs all of them, or those that are named, and exits with 1 if a goal is missed, 2 if one failed. Nothing else
should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

#: Runs a module and ends with 2 if it fails: with 1 it says that a goal is missed.
_RUN = """
import runpy, sys, traceback
module, *sys.argv[1:] = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
except Exception:
    traceback.print_exc()
    sys.exit(2)
"""
#: The parts by name: module and arguments. Each is a command of its own.
PARTS: dict[str, tuple[str, ...]] = {
    "sending": ("sending", "--leads", "10000"),
    "pace": ("sending", "--latency", "50", "--latency", "150", "--rounds", "1"),
    "unchanged": ("unchanged", "--rows", "5000000", "--rounds", "1"),
    "memory": ("memory",),
    "nights": ("ledger_nights",),
    "import": ("import_cost",),
}


def main() -> int:
    """Run the parts, and tell how each ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; all by default")
    names = parser.parse_args().parts or list(PARTS)
    unknown = set(names) - PARTS.keys()
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    ends, codes = [], []
    for name in names:
        module, *arguments = PARTS[name]
        print(f"\n{name}: python -m benchmarks.{module} {' '.join(arguments)}", flush=True)
        began = time.monotonic()
        command = [sys.executable, "-c", _RUN, f"benchmarks.{module}", *arguments, "--write"]
        code = subprocess.run(command, cwd=Path(__file__).parents[1], check=False).returncode
        end = {0: "all goals met", 1: "a goal MISSED"}.get(code, f"FAILED with {code}")
        ends.append(f"{name:12}{time.monotonic() - began:6.0f} s  {end}")
        codes.append(code)
    print("\n" + "\n".join(ends))
    return max(0 if code == 0 else 1 if code == 1 else 2 for code in codes)


if __name__ == "__main__":
    sys.exit(main())
