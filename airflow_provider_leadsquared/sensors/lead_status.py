"""The task that waits until LeadSquared has judged every request."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import BaseSensorOperator, PokeReturnValue
from pendulum import duration, from_timestamp

from airflow_provider_leadsquared.api.retries import RetryLadder
from airflow_provider_leadsquared.assets import tell_outlets
from airflow_provider_leadsquared.delivery.poll_plan import BACKLOG, SHORTEST_WAIT
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsStillOpen
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.task_ledger import (
    LEDGER_TABLE,
    open_ledger,
    open_requests_of_sync,
    open_shared_ledger,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_leadsquared.delivery.books import Books
    from airflow_provider_leadsquared.delivery.ledger import Entry, Ledger
    from airflow_provider_leadsquared.delivery.sync_ledger import OpenRequests
    from airflow_provider_leadsquared.sensors._look import Look

_NAMED_ROWS = 20


class LeadStatusSensor(BaseSensorOperator):
    """
    Wait until every request has its verdict, looking when LeadSquared may have made one.

    LeadSquared judges a request at its first attempt or at one of ten retries. The sensor looks shortly after each of
    these moments, counted from the time of acceptance, and in between gives its slot back. What it learnt survives
    reschedules, retries and clears on Airflow 3.3 and later.

    The task returns, also when it fails, ``{"books": {…}, "results": [{"row", "key", "request_id", "verdict",
    "lead_id", "reason_class", "reason"}, …]}``.

    Behind a sync it waits for all that the sync has open, also of earlier runs, and writes each verdict into its row of
    the ledger table; its books are those of this run, and it returns no ``results``, for the table holds them.

    :param request_ids: A RequestId, a list of them, or the output of a capture or a sync, mapped or not. For all that a
        sync has open, whatever the run: ``{"ledger": {"ledger_conn_id": …, "sync": …}}``. (templated)
    :param close_after: Seconds after the last acceptance at which the task ends well although requests are open: the
        sync's next run settles them first. For syncs only. Default: never.
    :param allowed_rejects: Requests that may be rejected or failed without the task failing: a number (``int``) or a
        share of all (``float``). (templated)
    :param retry_intervals: LeadSquared's retry intervals in seconds, should they change. Default: the documented list.
    :param ledger_conn_id: A connection to a SQL database to keep verdicts in, instead of Airflow's task state store. By
        default a capture that keeps its ledger in SQL gets the verdicts there, each in its row. (templated)
    :param ledger_table: The ledger's table there; it is created on first use. (templated)
    :param leadsquared_conn_id: The LeadSquared connection. (templated)
    :param timeout: Seconds after the last acceptance at which the task fails with "still open". Default 36,570: the
        longest reading of the ladder and an hour of backlog. It does not restart at a retry, as Airflow's own does.
        ``execution_timeout`` counts one poke only.
    :param mode: ``reschedule`` by default; ``poke`` keeps the slot.
    :param retries: 2 by default, 30 s apart: Airflow 3 can fail a healthy sensor by mistake, and a poke is safe to
        repeat.
    :param trigger_rule: ``none_skipped`` by default: a capture that fails after it sent leads has receipts to wait for.
    :raises LeadsNotDelivered: More requests were rejected or failed than allowed; or all is well here, but a task right
        before this one failed. Not retried.
    :raises LeadsStillOpen: Time ran out. Not retried; clearing the task goes on looking.
    :raises LeadSquaredError: LeadSquared cannot be asked: keys refused, wrong host.
    """

    template_fields: Sequence[str] = (
        "request_ids",
        "allowed_rejects",
        "ledger_conn_id",
        "ledger_table",
        "leadsquared_conn_id",
    )
    ui_color = "#e8eef7"

    def __init__(
        self,
        *,
        request_ids: Any,
        allowed_rejects: float | str = 0,
        close_after: float | None = None,
        retry_intervals: Sequence[float] | None = None,
        ledger_conn_id: str | None = None,
        ledger_table: str = LEDGER_TABLE,
        leadsquared_conn_id: str = LeadSquaredHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        ours = {
            "mode": "reschedule",
            "timeout": RetryLadder().longest + BACKLOG,
            "retries": 2,
            "retry_delay": duration(seconds=30),
            "trigger_rule": "none_skipped",
        }
        # A DAG's default_args are the author's word and outrank ours.
        theirs = kwargs.get("default_args") or {}
        super().__init__(**{**{name: theirs.get(name, value) for name, value in ours.items()}, **kwargs})
        self.request_ids = request_ids
        self.allowed_rejects: Any = allowed_rejects
        self.close_after = close_after
        self.retry_intervals = retry_intervals
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.leadsquared_conn_id = leadsquared_conn_id
        self._ledger: Ledger | None = None
        self._requests: OpenRequests | None = None

    def poke(self, context: Context) -> PokeReturnValue:
        """Take one look; see the class."""
        from airflow_provider_leadsquared.delivery.books import read_allowed_rejects
        from airflow_provider_leadsquared.sensors._look import look

        self.allowed_rejects = read_allowed_rejects(self.allowed_rejects)
        sync = self._sync_outputs()
        if sync:
            return self._poke_sync(context, sync)
        if self.close_after is not None:
            raise ValueError("close_after is for syncs: what a capture leaves open, nobody else settles")
        if self._ledger is None:
            self._ledger = self._open_ledger(context)
        found = look(self._hook, self._ledger, self._receipts(), self._ladder, clock=time.time)
        if found.next_at is None:
            return PokeReturnValue(is_done=True, xcom_value=self._conclude(context, found))
        deadline = self._deadline(found.open)
        if time.time() >= deadline:
            raise self._out_of_time(found, _output(self._balance(found), found.entries), context)
        self._wait(found, deadline)
        return PokeReturnValue(is_done=False)

    def _poke_sync(self, context: Context, outputs: Sequence[Mapping[str, Any]]) -> PokeReturnValue:
        """Take one look at all that a sync has open; see the class."""
        from airflow_provider_leadsquared.sensors._look import look

        places = [output["ledger"] for output in outputs]
        if self._requests is None:
            self._requests = open_requests_of_sync(places, self._hook.account)
        requests = self._requests
        found = look(self._hook, requests, requests.load().entries.values(), self._ladder, clock=time.time)
        now = time.time()
        close_at = self._last_acceptance(found.open) + (float("inf") if self.close_after is None else self.close_after)
        # What an earlier run sent and LeadSquared never decides must not keep every later run from its end.
        awaited = [entry for entry in found.open if requests.is_of_runs(entry) or now < self._deadline([entry])]
        if not awaited or now >= close_at:
            return PokeReturnValue(is_done=True, xcom_value=self._conclude_sync(context, found, requests))
        deadline = self._deadline(found.open)
        if now >= deadline:
            books = self._balance_sync(requests)
            raise self._out_of_time(found, {"books": books.as_dict(), "ledger": places[0]}, context)
        self._wait(found, min(deadline, close_at))
        return PokeReturnValue(is_done=False)

    def _sync_outputs(self) -> list[Mapping[str, Any]]:
        """Return what syncs have returned; an empty list for the receipts of captures."""
        given = self.request_ids
        if isinstance(given, Mapping):
            given = [given]
        elif given is None or isinstance(given, str) or not isinstance(given, Iterable):
            return []
        given = list(given)
        outputs = [one for one in given if isinstance(one, Mapping) and "sync" in (one.get("ledger") or {})]
        if any(output.get("dry_run") for output in outputs):
            raise AirflowSkipException("the sync was a dry run: nothing was sent, and there is nothing to wait for")
        if outputs and len(outputs) < len(given):
            raise ValueError("request_ids holds outputs of a sync and others; let a sensor wait for each")
        return outputs

    def _last_acceptance(self, entries: Iterable[Entry]) -> float:
        now = time.time()
        return max((entry.accepted_at or now for entry in entries), default=now)

    def _deadline(self, entries: Iterable[Entry]) -> float:
        return self._last_acceptance(entries) + float(self.timeout)

    def _wait(self, found: Look, until: float) -> None:
        """Set the time of the next look; Airflow reads it right after the poke, in both modes."""
        now = time.time()
        self.poke_interval = max(min(found.next_at or until, until) - now, SHORTEST_WAIT)
        self._report(found, now)

    def _open_ledger(self, context: Context) -> Ledger:
        shared = self.request_ids.get("ledger") if isinstance(self.request_ids, dict) else None
        if shared is not None and self.ledger_conn_id is None:
            return open_shared_ledger(shared)
        return open_ledger(
            context,
            self.log,
            ledger_conn_id=self.ledger_conn_id,
            ledger_table=self.ledger_table,
            without_it="Each poke asks for every request again.",
        )

    @cached_property
    def _hook(self) -> LeadSquaredHook:
        return LeadSquaredHook(self.leadsquared_conn_id)

    @property
    def _ladder(self) -> RetryLadder:
        ladder = RetryLadder.of_seconds(list(self.retry_intervals)) if self.retry_intervals else RetryLadder()
        return ladder.faster(self._hook.account.sandbox_speed)

    def _receipts(self) -> list[Entry]:
        from airflow_provider_leadsquared.sensors._look import read_receipts

        if self.request_ids is None:
            raise LeadsNotDelivered(
                "No receipts: the upstream capture ended before it returned any. Its log says why; nothing waits here"
            )
        receipts = read_receipts(self.request_ids)
        if not receipts and not self.request_ids:
            raise ValueError("request_ids is empty; pass a RequestId, a list of them, or a capture's output")
        return receipts

    def _report(self, found: Look, now: float) -> None:
        if found.trouble is not None:
            self.log.warning("LeadSquared could not be asked: %s", found.trouble)
        self.log.info(
            "Asked for %s of %s requests, %s are open. Next look at %s, in %.0f s",
            f"{found.asked:,}",
            f"{len(found.entries):,}",
            f"{len(found.open):,}",
            from_timestamp(now + self.poke_interval).isoformat(timespec="seconds"),
            self.poke_interval,
        )

    def _conclude(self, context: Context, found: Look) -> dict[str, Any]:
        """Balance the books and say whether the task is green."""
        books = self._balance(found)
        output = _output(books, found.entries)
        rejects = [entry for entry in found.entries if entry.state.is_reject]
        for entry in rejects[:_NAMED_ROWS]:
            self._name_reject(entry)
        if len(rejects) > _NAMED_ROWS:
            self.log.warning("… and %s more; all are in this task's XCom", f"{len(rejects) - _NAMED_ROWS:,}")
        if not books.tolerates(self.allowed_rejects):
            context["ti"].xcom_push(key="return_value", value=output)
            raise LeadsNotDelivered(
                f"The CRM did not take {books.rejects:,} of {books.read:,} leads ({books.why()}). "
                "Mend these rows and send them again, or set allowed_rejects. Each row's reason is in this task's XCom"
            )
        self._check_upstream(context, output)
        tell_outlets(context, self.outlets, output["books"])
        return output

    def _conclude_sync(self, context: Context, found: Look, requests: OpenRequests) -> dict[str, Any]:
        """Balance the books of the sync's run, and say whether the task is green."""
        books = self._balance_sync(requests)
        output = {"books": books.as_dict()}
        for entry in requests.refused()[:_NAMED_ROWS]:
            self._name_reject(entry)
        earlier = Counter(entry.state.value for entry in found.entries if not requests.is_of_runs(entry))
        if earlier:
            told = ", ".join(f"{state} {count:,}" for state, count in sorted(earlier.items()))
            self.log.info("Requests of earlier runs: %s", told)
        if found.open:
            self.log.info(
                "Closed with %s requests open; the sync's next run asks for them first", f"{len(found.open):,}"
            )
        if not books.tolerates(self.allowed_rejects):
            context["ti"].xcom_push(key="return_value", value=output)
            raise LeadsNotDelivered(
                f"The CRM did not take {books.rejects:,} of {books.read:,} leads ({books.why()}). Mend these rows in "
                "the warehouse, or set allowed_rejects. Each row's reason is in the ledger table"
            )
        self._check_upstream(context, output)
        tell_outlets(context, self.outlets, output["books"])
        return output

    def _check_upstream(self, context: Context, output: dict[str, Any]) -> None:
        """Fail after a task that failed: a DAG run has the colour of its last tasks, and would be green."""
        if not self.upstream_task_ids:
            return
        ti = context["ti"]
        upstream = sorted(self.upstream_task_ids)
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=upstream).get(ti.run_id, {})
        # A mapped task's instances are named task_0, task_1 and so on; behind the one that is ours, no other counts.
        own = {f"{task_id}_{ti.map_index}" for task_id in upstream} & states.keys()
        failed = sorted(task for task in own or states if states[task] in ("failed", "upstream_failed"))
        if failed:
            context["ti"].xcom_push(key="return_value", value=output)
            raise LeadsNotDelivered(
                f"All that was accepted is judged, but {', '.join(failed)} failed before: the log there says which "
                "leads were not sent, and why. Clear that task, with those downstream of it, once the cause is mended"
            )

    def _balance_sync(self, requests: OpenRequests) -> Books:
        from airflow_provider_leadsquared.delivery.books import Books

        counts = requests.count()
        books = Books.counted(counts, read=counts.total())
        self.log.info("Books of what this run sent: %s", books)
        return books

    def _name_reject(self, entry: Entry) -> None:
        reason = ", ".join(filter(None, (entry.state.value, entry.reason_class, entry.reason)))
        self.log.warning("%s (request %s): %s", entry.name, entry.request_id, reason)

    def _out_of_time(self, found: Look, output: dict[str, Any], context: Context) -> LeadsStillOpen:
        context["ti"].xcom_push(key="return_value", value=output)
        notes = sorted({entry.reason_class for entry in found.open if entry.reason_class})
        return LeadsStillOpen(
            f"{len(found.open):,} of {len(found.entries):,} requests are still open after {self.timeout:,.0f} s"
            f"{' (' + ', '.join(notes) + ')' if notes else ''}. LeadSquared may still decide them: clear this task "
            "with a longer timeout to go on looking, and do not send these leads again"
        )

    def _balance(self, found: Look) -> Books:
        from airflow_provider_leadsquared.delivery.books import Books

        books = Books.of(found.entries, read=len(found.entries))
        self.log.info("Books: %s", books)
        return books


def _output(books: Books, entries: Sequence[Entry]) -> dict[str, Any]:
    return {"books": books.as_dict(), "results": [_result(entry) for entry in entries]}


def _result(entry: Entry) -> dict[str, Any]:
    return {
        "row": entry.row + 1,
        "key": entry.key,
        "request_id": entry.request_id,
        "verdict": entry.state.value,
        "lead_id": entry.lead_id,
        "reason_class": entry.reason_class,
        "reason": entry.reason,
    }
