"""The processes of a local Airflow, each with a log file, and all ended by a guard."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from local_airflow import guard
from local_airflow.errors import LocalAirflowError

TAIL_LINES = 30


class Processes:
    """
    Start processes and watch them; a guard ends them with their owner, however that ends.

    :param home: folder that they run in, which is created here and removed at the end
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._log_starts: dict[str, int] = {}
        try:
            home.mkdir(mode=0o700)
            # In a session of its own, so that Ctrl-C in a terminal does not reach it.
            self._guard = subprocess.Popen(
                [sys.executable, "-P", guard.__file__, str(home)],
                stdin=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        except BaseException:  # Ctrl-C at this very moment
            shutil.rmtree(home, ignore_errors=True)
            raise

    def start(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        ending: signal.Signals = signal.SIGTERM,
    ) -> subprocess.Popen[bytes]:
        """
        Start a command in a session of its own.

        :param name: name of the process and of its log
        :param env: its whole environment
        :param ending: the signal by which the guard asks it to end
        """
        with self._log(name).open("ab") as log:
            self._log_starts[name] = log.tell()
            process = subprocess.Popen(
                command,
                env=env,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started[name] = process
        print(process.pid, int(ending), file=self._guard.stdin, flush=True)
        return process

    def run(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        deadline: float,
        *,
        ending: signal.Signals = signal.SIGTERM,
    ) -> None:
        """
        Run a command that ends by itself, such as the one that creates the database.

        :raises LocalAirflowError: it failed, or has not ended by the deadline
        """
        process = self.start(name, command, env, ending=ending)
        try:
            code = process.wait(max(deadline - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            raise self.too_slow(name) from None
        if code != 0:
            raise LocalAirflowError(f"Airflow's database could not be created.\n{self.tail(name)}")
        del self._started[name]

    def wait_until(self, name: str, is_ready: Callable[[], bool], deadline: float) -> None:
        """
        Wait until a process is ready, and check the others meanwhile.

        :raises LocalAirflowError: it is not ready by the deadline, or a process has ended
        """
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise self.too_slow(name)
            time.sleep(0.1)

    def check(self) -> None:
        """Make sure that every process is running; otherwise show the end of its log."""
        for name, process in self._started.items():
            if (code := process.poll()) is not None:
                raise LocalAirflowError(f"Airflow's {name} ended with exit code {code}.\n{self.tail(name)}")

    def kill(self, name: str, *, family: bool, deadline: float) -> None:
        """
        Kill a process with SIGKILL.

        :param family: kill all that it has started as well
        """
        process = self._started[name]
        leader = psutil.Process(process.pid)
        process.kill()
        # Its number stays taken until it is waited for, so its session is known for sure.
        while family and (left := set(filter(guard.is_alive, guard.family_of([leader])))):
            for each in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            if time.monotonic() > deadline:
                raise LocalAirflowError(f"What Airflow's {name} had started could not be killed.")
            time.sleep(0.02)
        process.wait(timeout=max(deadline - time.monotonic(), 1))

    def stop(self) -> None:
        """
        End every process and remove the home; a second call does nothing.

        :raises LocalAirflowError: something is left
        """
        if self._guard.returncode is not None:
            return
        self._guard.communicate(guard.END, timeout=30)
        for process in self._started.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)  # one with threads looks dead to the guard a moment before it can be waited for
        if self._guard.returncode != 0:
            raise LocalAirflowError(f"Something of the Airflow in {self._home} could not be ended or removed.")

    def has_logged(self, name: str, text: str) -> bool:
        """Tell whether a process has written this into its log since its last start."""
        return text.encode() in self._log(name).read_bytes()[self._log_starts[name] :]

    def tail(self, name: str) -> str:
        """Quote the end of a process's log."""
        log = self._log(name)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join([f"The end of its log ({log.name}):", *lines[-TAIL_LINES:]])

    def too_slow(self, name: str) -> LocalAirflowError:
        """Return the error that a process was not ready in time."""
        return LocalAirflowError(f"Airflow's {name} was not ready in time after its start.\n{self.tail(name)}")

    def _log(self, name: str) -> Path:
        return self._home / f"{name}.log"
