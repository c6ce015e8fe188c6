"""
The sensor's polls against a sandbox whose queue is slow, held against the model in ``waiting.py``.

    python benchmarks/waiting_sandbox.py [--leads 1000] [--rate 120] [--speed 1]

sends leads to a sandbox in this process, polls as the sensor does, each poll from the ledger alone, and prints calls
and polls, and those of the model with the same rate. At speed 1 it takes as long as the queue: 8 minutes.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from types import SimpleNamespace
from typing import Any

from benchmarks.waiting_model import run_plan
from benchmarks.waiting_worlds import backlog


class _Store:
    """A task state store."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value."""
        return json.loads(self._values[key]) if key in self._values else default

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        self._values[key] = json.dumps(value)


def main() -> None:
    """Run it; see the module."""
    parser = argparse.ArgumentParser(description="The sensor's polls against a sandbox with a slow queue.")
    parser.add_argument("--leads", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=120.0, help="requests that the sandbox works off in a minute")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster than ours the sandbox's clock runs")
    given = parser.parse_args()
    logging.disable(logging.WARNING)

    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.ledgers.task_state import TaskStateLedger
    from airflow_provider_leadsquared.operators.lead_capture import LeadCaptureOperator
    from airflow_provider_leadsquared.sandbox import Sandbox
    from airflow_provider_leadsquared.tasks.polling import poll
    from airflow_provider_leadsquared.tasks.receipts import receipts_by_ledger

    with Sandbox(rate=given.rate, speed=given.speed) as sandbox:
        os.environ["AIRFLOW_CONN_LEADSQUARED_DEFAULT"] = json.dumps(sandbox.airflow_connection())
        leads = [{"EmailAddress": f"lead{number}@example.org"} for number in range(given.leads)]
        instance = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1, xcom_push=print)
        context: Any = {"ti": instance, "task_state_store": _Store(), "dag_run": SimpleNamespace(clear_number=0)}
        output = LeadCaptureOperator(task_id="t", leads=leads).execute(context)
        receipts, store = receipts_by_ledger(output)[None], _Store()
        polls = 0
        while True:
            polls += 1
            hook = LeadSquaredHook()
            result = poll(hook, TaskStateLedger(store), receipts, clock=time.time, is_stopping=lambda: False)
            if result.next_at is None:
                break
            time.sleep(max(result.next_at - result.clock_offset - time.time(), 0.0))
        found = {entry.request_id: entry.settled_at or 0.0 for entry in result.entries}
        truth = {one["request_id"]: one["settled_real"] for one in sandbox.requests()}
        calls = sum(one["polls"] for one in sandbox.requests())
        delay = sum(found[name] - at for name, at in truth.items()) / len(truth)
    model = run_plan(backlog(given.leads, given.rate * given.speed, disorder=0.0))
    print(f"sandbox: {calls / given.leads:.3f} calls a request, mean delay {delay:.1f} s, {polls} polls")
    print(f"model:   {model.calls:.3f} calls a request, mean delay {model.mean:.1f} s, {model.polls} polls")


if __name__ == "__main__":
    main()
