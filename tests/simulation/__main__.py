"""Run simulations: ``python -m tests.simulation --help``."""

from __future__ import annotations

import os
import sys
import tempfile

if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])  # noqa: S606 - itself
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="simulation-"))
    from tests.simulation.command import main

    main()
