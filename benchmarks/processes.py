"""What benchmarks do with processes: run parts of theirs, fork, sample memory, keep Airflow from writing log lines."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Seconds between two readings of a process's memory.
SAMPLED_EVERY = 0.02


def quiet_airflow() -> None:
    """Let Airflow write errors alone: what it logs of each task is not what a benchmark measures."""
    import airflow.sdk  # noqa: F401 - it sets up logging anew
    import structlog

    logging.disable(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def sampled(module: str, *arguments: str) -> dict[str, Any]:
    """
    Run a module, and return what it prints last, as JSON, with its largest resident memory as ``megabytes``.

    :raises RuntimeError: It failed.
    """
    import psutil

    command = [sys.executable, "-m", module, *arguments]
    with (
        tempfile.TemporaryFile("w+") as out,  # files, for nobody reads while it runs
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=out, stderr=log, text=True) as process,
    ):
        watched, largest = psutil.Process(process.pid), 0
        while process.poll() is None:
            try:
                largest = max(largest, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(SAMPLED_EVERY)
        process.wait()
        out.seek(0)
        printed = out.read()
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"{' '.join((module, *arguments))} failed: {log.read()[-1_000:]}")
    return {**json.loads(printed.splitlines()[-1]), "megabytes": largest / 2**20}


def forked(act: Callable[[], None], error: Path) -> int:
    """
    Do something in a process of its own, which finds all that this one has imported, and prints nothing.

    It ends with exit code 0, or with 1 if an exception was raised.

    :param error: Where the exception is written.
    :return: Its process id; the caller waits for it.
    """
    child = os.fork()
    if child:
        return child
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        act()
        os._exit(0)
    except BaseException as raised:
        error.write_text(f"{type(raised).__name__}: {raised}")
        os._exit(1)
