"""The task that waits until LeadSquared has decided every request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.configuration import conf
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import BaseSensorOperator, PokeReturnValue
from pendulum import duration

from airflow_provider_leadsquared.api.retries import BACKLOG, RetryLadder
from airflow_provider_leadsquared.delivery.counts import parse_allowed_rejects
from airflow_provider_leadsquared.delivery.poll_spacing import SHORTEST_WAIT
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsStillOpen, TriggerEventError
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.links.leadsquared import DeliveriesLink, ErrorLink, LeadLink
from airflow_provider_leadsquared.tasks.argument_checks import CheckedArguments
from airflow_provider_leadsquared.tasks.ending import (
    NAMED_REASONS,
    NAMED_ROWS,
    TaskEnd,
    failed_upstream,
    skipped_upstream,
)
from airflow_provider_leadsquared.tasks.event_loop import stops_held_back
from airflow_provider_leadsquared.tasks.ledger_address import LEDGER_TABLE, run_of
from airflow_provider_leadsquared.tasks.lineage import lineage_of
from airflow_provider_leadsquared.tasks.link_targets import note_deliveries, noted_error

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_leadsquared.delivery.entry import Entry
    from airflow_provider_leadsquared.tasks.awaited import Awaited
    from airflow_provider_leadsquared.tasks.known_requests import KnownRequests
    from airflow_provider_leadsquared.tasks.poll_result import PollResult
    from airflow_provider_leadsquared.tasks.time_limits import TimeLimits
    from airflow_provider_leadsquared.tasks.trigger_messages import Report

#: Seconds after the end of the wait at which Airflow fails a deferred task for which no triggerer has polled.
_WITHOUT_TRIGGERER = 900.0


class LeadStatusSensor(CheckedArguments, BaseSensorOperator):
    """
    Wait until every request has its verdict, polling when LeadSquared may have one.

    LeadSquared decides a request at its first attempt or at one of ten retries. The sensor follows LeadSquared's queue,
    asks after the retries for what was not decided, and in between gives its slot back. What it has received survives
    reschedules, retries and clears on Airflow 3.3 and later. Retry intervals that differ from the documented ones
    belong into the connection (extra ``retry_intervals``). All times are those of LeadSquared's clock, which its
    responses tell.

    Responses that are not LeadSquared's and errors of the status call itself decide nothing: the sensor asks again. A
    request that LeadSquared does not know is ``failed`` (``UnknownRequest``) after the last retry, or after three hours
    in which it is unknown while others are found; it is asked for as long as the sensor polls, and corrected if found.

    The task returns, also when it fails, ``{"counts": {…}, "results": [{"row", "row_key", "api", "request_id",
    "verdict", "lead_id", "reason_class", "reason"}, …]}``.

    Behind captures that keep their ledgers in SQL it writes each verdict into its row there. It also waits for receipts
    that are in these ledgers and in no output: a try that was given up may have written them after its capture ended.

    Behind a sync it waits for all that the sync has open, also of earlier runs, and writes each verdict into its row of
    the ledger table; its counts are those of this run, and it returns no ``results``, for the table holds them.

    :param request_ids: A RequestId, the output of a capture, mapped or not, or a list of these; or the output of a
        sync, mapped or not. For all that a sync has open, whatever the run: ``{"ledger": {"ledger_conn_id": …,
        "sync": …}}``. (templated)
    :param close_after: Seconds after the last acceptance at which the task ends well although requests are open: the
        sync's next run settles them first. For syncs only. Default: never.
    :param allowed_rejects: Requests that may be rejected or failed without the task failing: a number (``int``) or a
        share of all (``float``). (templated)
    :param ledger_conn_id: A connection to a SQL database for the verdicts of requests that no SQL ledger of a capture
        holds: RequestIds, and outputs of captures without one. Default: Airflow's task state store. (templated)
    :param ledger_table: The ledger's table there; it is created on first use. (templated)
    :param leadsquared_conn_id: The LeadSquared connection. (templated)
    :param timeout: Seconds after the last acceptance at which the task fails with "still open". Default: the longest
        reading of the account's retry ladder and an hour of backlog, 36,570 for the documented one. It does not restart
        at a retry, as Airflow's own does. ``execution_timeout`` counts one poke only.
    :param mode: ``reschedule`` by default; ``poke`` keeps the slot.
    :param deferrable: Let a triggerer poll in place of the task, whatever the ``mode``: the same verdicts, ledger and
        result from two starts of the task for up to 1,000 requests. At most 10,000 of them may be in no SQL ledger of
        their capture or sync. Default: Airflow's setting ``[operators] default_deferrable``.
    :param retries: 2 by default, 30 s apart: Airflow 3 can fail a healthy sensor by mistake, and a poke is safe to
        repeat.
    :param trigger_rule: ``none_skipped`` by default: a capture that fails after it sent leads has receipts to wait for.
        A mapped sensor gets Airflow's own defaults for this and for ``retries``: name them in ``partial``.
    :raises LeadsNotDelivered: More requests were rejected or failed than allowed; or all was delivered, but a task
        right before this one failed, or handed in no output and was not skipped. Not retried.
    :raises LeadsStillOpen: Time ran out. Not retried; clearing the task continues to poll.
    :raises AuthenticationError: LeadSquared refuses the keys.
    :raises NoSuchPathError: LeadSquared has no such status path. Other trouble on the way is waited for.
    :raises TriggerEventError: The triggerer could not poll although this worker can, or sent what this version of the
        package does not know.
    """

    template_fields: Sequence[str] = (
        "request_ids",
        "allowed_rejects",
        "ledger_conn_id",
        "ledger_table",
        "leadsquared_conn_id",
    )
    argument_checks = {"allowed_rejects": parse_allowed_rejects}
    operator_extra_links = (DeliveriesLink(), LeadLink(), ErrorLink())
    ui_color = "#e8eef7"

    def __init__(
        self,
        *,
        request_ids: Any,
        allowed_rejects: float | str = 0,
        close_after: float | None = None,
        ledger_conn_id: str | None = None,
        ledger_table: str = LEDGER_TABLE,
        deferrable: bool | None = None,
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
        # A DAG's default_args are the author's and take precedence over our defaults.
        theirs = kwargs.get("default_args") or {}
        super().__init__(**{**{name: theirs.get(name, value) for name, value in ours.items()}, **kwargs})
        self.request_ids = request_ids
        self.allowed_rejects: Any = allowed_rejects
        self.close_after = close_after
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.leadsquared_conn_id = leadsquared_conn_id
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = deferrable
        self.has_default_timeout = "timeout" not in kwargs and "timeout" not in theirs
        self.check_arguments(vars(self))

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once; see the class."""
        with noted_error(self):
            return self._poke(context)

    def _poke(self, context: Context) -> PokeReturnValue:
        self.allowed_rejects = parse_allowed_rejects(self.allowed_rejects)
        awaited = self._awaited(context)
        if self.has_default_timeout:
            # Airflow reads the attribute after each poke. Not in __init__, which must not read the connection.
            self.timeout = self._hook.account.retry_intervals.longest + BACKLOG
        if self.deferrable:
            return self._continue_deferred(context, awaited)
        result = self._poll_once(awaited)
        now = time.time() + result.clock_offset  # LeadSquared's clock, on which requests were accepted
        if self._has_ended(context, awaited, result, now):
            return PokeReturnValue(is_done=True, xcom_value=self._conclude(context, awaited, result))
        self._wait(result, now, self._limits.ends_at(result.open, now))
        return PokeReturnValue(is_done=False)

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """
        Continue when the trigger has fired: record what it has found, then end or defer again.

        :raises TriggerEventError: It sent nothing, or what this version of the package does not know.
        """
        from airflow_provider_leadsquared.tasks.trigger_messages import Report

        with noted_error(self):
            self._report = Report.parse(event)
        return self.execute(context)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what OpenLineage is told when the task has ended, well or not; see ``tasks/lineage.py``."""
        return lineage_of(self)

    def on_kill(self) -> None:
        """Ask for no further request. Airflow calls this in a signal handler, where nothing else is safe."""
        self._stopping = True

    @cached_property
    def _hook(self) -> LeadSquaredHook:
        return LeadSquaredHook(self.leadsquared_conn_id)

    def _awaited(self, context: Context) -> Awaited:
        """Return what this task waits for; opened once, for a sensor in mode ``poke`` polls many times."""
        from airflow_provider_leadsquared.tasks.awaited import open_awaited

        if self._opened is None:
            self._opened = open_awaited(
                self.request_ids,
                context,
                self.log,
                hook=self._hook,
                ledger_conn_id=self.ledger_conn_id,
                ledger_table=self.ledger_table,
            )
            note_deliveries(self, run_of(context), self._opened.addresses)
            if self.close_after is not None and not self._opened.may_close:
                raise ValueError("close_after is for syncs: no later run asks for what a capture leaves open")
        return self._opened

    _opened: Awaited | None = None
    _report: Report | None = None
    _stopping = False

    @property
    def _limits(self) -> TimeLimits:
        from airflow_provider_leadsquared.tasks.time_limits import TimeLimits

        return TimeLimits(float(self.timeout), self.close_after)

    def _poll_once(self, awaited: Awaited) -> PollResult:
        from airflow_provider_leadsquared.tasks.polling import poll

        with stops_held_back() as held:
            requests, records = awaited.load()
            result = poll(
                self._hook,
                awaited.ledger,
                requests,
                records=records,
                clock=time.time,
                is_stopping=lambda: self._stopping or held.has_come(),
            )
            if held.has_come():
                self.log.info("Stopped. Counts: %s", awaited.counts(result))
        return result

    def _has_ended(self, context: Context, awaited: Awaited, result: PollResult, now: float) -> bool:
        """
        Tell whether the task need not wait any more.

        :raises LeadsStillOpen: Time ran out.
        """
        if self._limits.is_done(result.open, now, is_own=awaited.is_own):
            return True
        if now >= self._limits.fails_at(result.open, now):
            self._fail_as_still_open(context, awaited, result)
        return False

    def _continue_deferred(self, context: Context, awaited: Awaited) -> PokeReturnValue:
        """Record what the trigger has found, if it has fired; defer as long as there is something to wait for."""
        from airflow_provider_leadsquared.tasks.known_requests import KnownRequests

        report, self._report = self._report, None
        requests, records = awaited.load()
        known = KnownRequests(records, requests, time.time)
        if report is None and known.by_request:
            raise self._deferral(awaited, known)
        error = None if report is None else report.error
        if report is not None:
            report.record(known, awaited.ledger)
        # What kept the trigger from polling is met by a poll here, too, if it is not the triggerer's own.
        result = self._poll_once(awaited) if report is None or error is not None else known.result()
        now = max(time.time() + result.clock_offset, 0.0 if report is None else report.now)
        if self._has_ended(context, awaited, result, now):
            return PokeReturnValue(is_done=True, xcom_value=self._conclude(context, awaited, result))
        if error is not None:
            raise TriggerEventError(
                f"The triggerer could not poll ({error}), although this worker can. Its log says why; check that it "
                "has the connections, packages and network that the workers have. A retry continues the wait"
            )
        raise self._deferral(awaited, known)

    def _deferral(self, awaited: Awaited, known: KnownRequests) -> TaskDeferred:
        """Return what makes Airflow hand the wait to a triggerer when it is raised."""
        from airflow_provider_leadsquared.tasks.trigger_messages import poll_metadata, requests_for_trigger
        from airflow_provider_leadsquared.triggers.lead_status import LeadStatusTrigger

        trigger = LeadStatusTrigger(
            leadsquared_conn_id=self.leadsquared_conn_id,
            timeout=self._limits.timeout,
            ledgers=[address.as_json() for address in awaited.addresses],
            requests=requests_for_trigger(known, is_held=awaited.is_held),
            metadata=poll_metadata({**known.metadata, **known.clock_metadata()}),
            close_after=self.close_after,
            reports_groups=awaited.is_durable,
        )
        open_requests = [entry for entry in known.result().open if entry.request_id is not None]
        self.log.info("Deferred: the trigger polls for %s open requests", f"{len(open_requests):,}")
        left = max(self._limits.ends_at(open_requests, known.now()) - known.now(), 0.0)
        return TaskDeferred(
            trigger=trigger,
            method_name=self.execute_complete.__name__,
            timeout=timedelta(seconds=left + _WITHOUT_TRIGGERER),
        )

    def _wait(self, result: PollResult, now: float, until: float) -> None:
        """Set the time of the next poll; Airflow reads it right after the poke, in both modes."""
        from airflow_provider_leadsquared.tasks.progress import log_poll

        self.poke_interval = max(min(result.next_at or until, until) - now, SHORTEST_WAIT)
        log_poll(self.log, result, self.poke_interval)

    def _conclude(self, context: Context, awaited: Awaited, result: PollResult) -> dict[str, Any]:
        """Count the requests, name rejects, and fail if there are more than allowed."""
        from airflow_provider_leadsquared.tasks.awaited import what_is_missing

        rejects = awaited.rejects(result)
        others = [entry for entry in result.entries if not entry.state.is_reject]
        end = self._end(context, awaited, result, [*rejects, *others])
        for entry in rejects[:NAMED_ROWS]:
            reason = ", ".join(filter(None, (entry.state.value, entry.reason_class, entry.reason)))
            self.log.warning("%s (request %s): %s", entry.name, entry.request_id, reason)
        if len(rejects) > NAMED_ROWS:
            self.log.warning("… and %s more; %s", f"{len(rejects) - NAMED_ROWS:,}", awaited.where_reasons_are)
        awaited.log_others(result)
        end.fail_above(
            self.allowed_rejects,
            f"The CRM did not confirm {end.counts.rejects:,} of {end.counts.read:,} requests "
            f"({end.counts.reasons_text(NAMED_REASONS)})",
            f"Correct these rows and send them again, or set allowed_rejects: {awaited.where_reasons_are}",
        )
        failed = failed_upstream(self, context)
        if failed:
            end.fail(
                LeadsNotDelivered,
                f"All that was accepted is decided, but {', '.join(failed)} failed before: its log says which rows "
                "were not sent, and why",
                "Clear that task, with those downstream of it, once the cause is corrected",
            )
        if missing := what_is_missing(awaited, skipped=len(skipped_upstream(self, context))):
            why, remedy = missing
            end.fail(LeadsNotDelivered, f"All that was accepted is decided, but {why}", remedy)
        return end.succeed()

    def _fail_as_still_open(self, context: Context, awaited: Awaited, result: PollResult) -> NoReturn:
        notes = sorted({entry.reason_class for entry in result.open if entry.reason_class})
        self._end(context, awaited, result, result.entries).fail(
            LeadsStillOpen,
            f"{len(result.open):,} of {len(result.entries):,} requests are still open after {self.timeout:,.0f} s"
            f"{' (' + ', '.join(notes) + ')' if notes else ''}",
            "LeadSquared may still decide them: clear this task with a longer timeout to continue polling, and do not "
            "send them again",
            rows=result.open,
        )

    def _end(self, context: Context, awaited: Awaited, result: PollResult, shown: Sequence[Entry]) -> TaskEnd:
        web_url = self._hook.account.web_url
        return TaskEnd(self, context, awaited.counts(result), awaited.output(result), shown, web_url=web_url)
