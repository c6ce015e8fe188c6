"""The task that brings rows of a warehouse into LeadSquared, only those that have changed."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import BaseOperator

from airflow_provider_leadsquared.assets import tell_outlets
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsUnsent
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.task_ledger import (
    LEDGER_TABLE,
    may_skip,
    open_requests_of_sync,
    open_sync_ledger,
    patience_with,
    sql_hook,
    where_is_ledger,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_leadsquared.api.errors import LeadSquaredError
    from airflow_provider_leadsquared.api.leads import NullPolicy
    from airflow_provider_leadsquared.delivery.books import Books
    from airflow_provider_leadsquared.delivery.standing import Replay
    from airflow_provider_leadsquared.delivery.sync_ledger import SyncLedger
    from airflow_provider_leadsquared.delivery.sync_run import SyncRun

#: So many rows of each kind are named one by one in the log.
_NAMED_ROWS = 5
#: Seconds between two lines of progress.
_PROGRESS_SECONDS = 10.0


class SqlToLeadSquaredOperator(BaseOperator):
    """
    Send the rows of a query to LeadSquared as leads: those that are new or have changed, each once.

    The task first asks for the verdicts that earlier runs have left open. Then it reads all rows, makes leads of them,
    compares each with the value that LeadSquared last *confirmed* for its key, holds those that are to go against the
    account's own field metadata, and only then sends the first. A ``LeadStatusSensor`` behind it waits for the
    verdicts. What was sent, and what came of it, is in the ledger table, a line for each row and run; a task that is
    killed and run again goes on where it was.

    A row counts as ``unchanged`` if LeadSquared has confirmed the same values; as ``rejected`` if LeadSquared has
    refused them, until they change or are replayed; as ``waiting`` if an earlier request for its lead is not settled,
    so that no older value can overwrite a newer one: the next run sends it. Rows that are no longer in the query's
    result are left as they are in the CRM.

    The task returns ``{"books": {"read": …, …}, "ledger": {…}}``, also when it fails.

    :param sql: One query, or the path of a ``.sql`` file. Where two rows are one person's the later wins, so order
        them. (templated)
    :param conn_id: The warehouse: any connection with a ``common.sql`` hook. (templated)
    :param key: The column, or columns, that identify a row to its owner: the same lead has the same key every night. It
        stands in logs and in the ledger, so it may be no e-mail address, phone or name.
    :param mapping: Which column becomes which lead field: ``{"email": "EmailAddress"}``, with transforms
        ``{"email": ["EmailAddress", "strip", "lower"]}``, None to leave a column out; ``"*": "*"`` for all other
        columns under their own names, or ``"*"`` alone. See ``ColumnMap.plan``.
    :param constants: Lead fields that every row has, ``{"Source": "Warehouse"}``.
    :param parameters: Values for the query's placeholders. (templated)
    :param policies: What broken rules mean, ``{"too_long": "warn"}``: ``refuse`` sets the row aside, ``warn`` sends it
        all the same, ``fail`` sends nothing at all. Rules: ``unknown_attribute`` (by default ``fail``), ``mandatory``,
        ``read_only``, ``too_long``, ``wrong_type``, ``not_an_option``, ``no_match_key``, ``no_key``, ``doubled_key``,
        ``doubled_match_key``, ``transform`` (by default ``refuse``).
    :param full_refresh: Send every row, also what the CRM holds already. (templated)
    :param replay: Which refused rows go again although they have not changed: True for all, a reason such as
        ``"MXDuplicateEntryException"``, or a dict with ``reason_class``, ``since`` and ``until``. (templated)
    :param dry_run: Read, check and compare, and say what would be sent; send and write nothing. (templated)
    :param search_by: The attribute by which LeadSquared looks for an existing lead; by default it tries the lead id,
        then the e-mail address, then the phone.
    :param lead_update_behavior: What happens to an existing lead; see ``LeadCaptureOperator``.
    :param null_policy: What to do with NULL: ``skip`` leaves the attribute out, ``clear`` empties it in the CRM.
    :param allowed_rejects: Rows that may be invalid or refused without the task failing: a number (``int``) or a share
        of the rows read (``float``). (templated)
    :param concurrency: Calls under way at the same time.
    :param sync: The name under which the ledger remembers what it has sent; runs, mapped tasks and DAGs that share it
        share a memory. Two accounts on one LeadSquared host need two names. Default: DAG, task and LeadSquared
        connection. (templated)
    :param ledger_conn_id: The database of the ledger table. Default: the warehouse. (templated)
    :param ledger_table: The table there; it is created on first use. (templated)
    :param leadsquared_conn_id: The LeadSquared connection. (templated)
    :raises LeadsNotDelivered: More rows were set aside or are refused than allowed, or a rule whose policy is ``fail``
        was broken. Not retried.
    :raises LeadsUnsent: Rows could not be sent (outage, keys refused, task stopped); a retry sends just those.
    :raises WarehouseError: The query failed; nothing was sent.
    :raises ValueError: An argument is wrong; nothing was sent.
    """

    template_fields: Sequence[str] = (
        "sql",
        "conn_id",
        "parameters",
        "full_refresh",
        "replay",
        "is_dry_run",
        "allowed_rejects",
        "sync",
        "ledger_conn_id",
        "ledger_table",
        "leadsquared_conn_id",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"sql": "sql"}
    ui_color = "#e8f4ea"

    def __init__(
        self,
        *,
        sql: str,
        conn_id: str,
        key: str | Sequence[str],
        mapping: str | Mapping[str, Any] = "*",
        constants: Mapping[str, Any] | None = None,
        parameters: Iterable[Any] | Mapping[str, Any] | None = None,
        policies: Mapping[str, str] | None = None,
        full_refresh: bool | str = False,
        replay: Any = None,
        dry_run: bool | str = False,
        search_by: str | None = None,
        lead_update_behavior: str | None = None,
        null_policy: NullPolicy = "skip",
        allowed_rejects: float | str = 0,
        concurrency: int = 16,
        sync: str | None = None,
        ledger_conn_id: str | None = None,
        ledger_table: str = LEDGER_TABLE,
        leadsquared_conn_id: str = LeadSquaredHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.conn_id = conn_id
        self.key = key
        self.mapping = mapping
        self.constants = constants
        self.parameters = parameters
        self.policies = policies
        self.full_refresh: Any = full_refresh
        self.replay = replay
        # Under another name, for Airflow's operators have a method of this one.
        self.is_dry_run: Any = dry_run
        self.search_by = search_by
        self.lead_update_behavior = lead_update_behavior
        self.null_policy = null_policy
        self.allowed_rejects: Any = allowed_rejects
        self.concurrency = concurrency
        self.sync = sync
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.leadsquared_conn_id = leadsquared_conn_id
        self._stopping = False

    def execute(self, context: Context) -> dict[str, Any]:
        """Settle, read, compare, check, send; see the class."""
        replay = self._check_arguments()
        hook = LeadSquaredHook(self.leadsquared_conn_id)
        name = self.sync or f"{context['ti'].dag_id}.{context['ti'].task_id} by {self.leadsquared_conn_id}"
        ledger_conn_id = self.ledger_conn_id or self.conn_id
        place = where_is_ledger(context, ledger_conn_id, self.ledger_table, sync=name, account=hook.account)
        ledger = open_sync_ledger(place, hook.account)
        if not self.is_dry_run:
            ledger.claim(str(uuid.uuid4()))
            self._settle_earlier(place, hook)
        with self._read(hook, ledger, replay) as run:
            if not run.read_rows and may_skip(context):
                raise AirflowSkipException("the query returned no row: there is nothing to send")
            self._announce(run)
            if self.is_dry_run:
                return self._preview(hook, run) | {"ledger": place}
            ledger.write_not_sent(run.not_sent())
            stopped_by = self._send(hook, ledger, run)
            run.take_account()
            return self._conclude(context, run, place, stopped_by)

    def on_kill(self) -> None:
        """Stop before the next row. Airflow calls this in a signal handler, where nothing else is safe."""
        self._stopping = True

    def _check_arguments(self) -> Replay | None:
        from airflow_provider_leadsquared.delivery.books import read_allowed_rejects
        from airflow_provider_leadsquared.delivery.standing import Replay
        from airflow_provider_leadsquared.operators._arguments import check_delivery_arguments, read_truth

        self.allowed_rejects = read_allowed_rejects(self.allowed_rejects)
        self.full_refresh = read_truth("full_refresh", self.full_refresh)
        self.is_dry_run = read_truth("dry_run", self.is_dry_run)
        check_delivery_arguments(self.lead_update_behavior, self.null_policy, self.concurrency)
        return Replay.read(self.replay)

    def _settle_earlier(self, place: Mapping[str, Any], hook: LeadSquaredHook) -> None:
        """Ask for what earlier runs have left open: a row whose request is settled need not wait any more."""
        from airflow_provider_leadsquared.api.retries import RetryLadder
        from airflow_provider_leadsquared.sensors._look import look

        requests = open_requests_of_sync([place], hook.account)
        earlier = [entry for entry in requests.load().entries.values() if requests.is_of_earlier(entry)]
        if not earlier:
            return
        ladder = RetryLadder().faster(hook.account.sandbox_speed)
        found = look(hook, requests, earlier, ladder, clock=time.time)
        if found.trouble is not None:
            self.log.warning("LeadSquared could not be asked about requests of earlier runs: %s", found.trouble)
        self.log.info(
            "Earlier runs left %s requests open: %s are settled now, %s are still open",
            f"{len(found.entries):,}",
            f"{len(found.entries) - len(found.open):,}",
            f"{len(found.open):,}",
        )

    @contextmanager
    def _read(self, hook: LeadSquaredHook, ledger: SyncLedger, replay: Replay | None) -> Iterator[SyncRun]:
        """Read the query to its end and find out where each row stands."""
        from airflow_provider_leadsquared.api.field_rules import FieldRules
        from airflow_provider_leadsquared.delivery.column_map import ColumnMap
        from airflow_provider_leadsquared.delivery.policies import PolicedRules, Policies, RunRefusedError
        from airflow_provider_leadsquared.delivery.sync_run import SyncRun
        from airflow_provider_leadsquared.transfers._warehouse import read_rows

        policies = Policies.read(self.policies)
        fields = FieldRules(hook.get_lead_fields())
        rules = PolicedRules(fields, policies)
        run: SyncRun | None = None
        try:
            with read_rows(sql_hook(self.conn_id, "conn_id"), self.sql, self.parameters) as rows:
                columns = ColumnMap.plan(self.mapping, columns=rows.columns, key=self.key, constants=self.constants)
                policies.check_names(fields, columns.attributes)
                run = SyncRun(
                    columns=columns,
                    ledger=None if self.is_dry_run and not ledger.exists() else ledger,
                    policies=policies,
                    rules=rules,
                    null_policy=self.null_policy,
                    search_by=self.search_by,
                    full_refresh=self.full_refresh,
                    replay=replay,
                    patience=patience_with(hook.account),
                    clock=time.time,
                )
                run.read(rows, self._progress())
            for (rule, attribute), count in sorted(rules.warnings.items()):
                self.log.warning("%s rows break the rule %s of %s and go all the same", f"{count:,}", rule, attribute)
            yield run
        except RunRefusedError as error:
            raise LeadsNotDelivered(str(error)) from None
        finally:
            if run is not None:
                run.close()

    def _progress(self) -> Callable[[int], None]:
        told = time.monotonic()

        def tell(count: int) -> None:
            nonlocal told
            if time.monotonic() - told >= _PROGRESS_SECONDS:
                told = time.monotonic()
                self.log.info("Read %s rows", f"{count:,}")

        return tell

    def _announce(self, run: SyncRun) -> None:
        """Say what is about to happen, and name some of the rows that do not go."""
        from airflow_provider_leadsquared.delivery.verdicts import State

        self.log.info(
            "Read %s rows: %s to send, %s unchanged, %s wait for an earlier request, %s refused before, %s set aside",
            f"{run.read_rows:,}",
            f"{run.count_to_send():,}",
            f"{run.count(State.UNCHANGED):,}",
            f"{run.count(State.WAITING):,}",
            f"{run.count(State.REJECTED, State.FAILED):,}",
            f"{run.count(State.INVALID, State.SUPERSEDED):,}",
        )
        for entry in run.examples(_NAMED_ROWS):
            self.log.warning("%s: %s, %s, %s", entry.name, entry.state.value, entry.reason_class, entry.reason)

    def _preview(self, hook: LeadSquaredHook, run: SyncRun) -> dict[str, Any]:
        """Say what a run would do."""
        from airflow_provider_leadsquared.api.errors import LeadSquaredError

        to_send = run.count_to_send()
        books = run.books()
        minutes = None
        try:
            metrics = hook.get_queue_metrics()
            if metrics.rate_per_minute > 0:
                minutes = round((metrics.pending + to_send) / metrics.rate_per_minute, 1)
        except LeadSquaredError as error:
            self.log.info("No queue metrics, so no estimate of the time: %s", error)
        preview = {
            "dry_run": True,
            "books": books.as_dict(),
            "to_send": to_send,
            "replayed": run.replayed,
            "set_aside": {f"{state.value}: {reason}": count for (state, reason), count in books.reasons.items()},
            "estimated_calls": 2 * to_send,
            "estimated_minutes": minutes,
        }
        self.log.info("Dry run: nothing was sent or written. Books: %s", books)
        if books.reasons:
            self.log.info("Dry run: set aside or refused: %s", books.why())
        self.log.info(
            "Dry run: to send %s (%s of them replayed), about %s calls (one to submit each, at least one to ask), %s",
            f"{to_send:,}",
            f"{run.replayed:,}",
            f"{2 * to_send:,}",
            "time unknown" if minutes is None else f"about {minutes:,} minutes of LeadSquared's queue",
        )
        return preview

    def _send(self, hook: LeadSquaredHook, ledger: SyncLedger, run: SyncRun) -> LeadSquaredError | None:
        from airflow_provider_leadsquared.operators._submission import Submission

        to_send = run.count_to_send()
        if not to_send:
            return None
        submission = Submission(run.batches(), to_send, hook, ledger, self.log, stopping=lambda: self._stopping)
        return asyncio.run(submission.run(lead_update_behavior=self.lead_update_behavior, concurrency=self.concurrency))

    def _conclude(
        self, context: Context, run: SyncRun, place: dict[str, Any], stopped_by: LeadSquaredError | None
    ) -> dict[str, Any]:
        """Balance the books, and say whether the task is green."""
        books = run.books()
        self.log.info("Books: %s", books)
        output = {"books": books.as_dict(), "ledger": place}
        problem = self._problem(run, books, stopped_by)
        if problem is not None:
            # Airflow pushes a return value only if there is one; what was accepted must be waited for all the same.
            context["ti"].xcom_push(key="return_value", value=output)
            raise problem
        tell_outlets(context, self.outlets, output["books"])
        return output

    def _problem(self, run: SyncRun, books: Books, stopped_by: LeadSquaredError | None) -> Exception | None:
        left = run.count_to_send()
        if left:
            why = stopped_by or ("the task was stopped" if self._stopping else "LeadSquared did not take them")
            return LeadsUnsent(f"{left:,} rows are not sent or in doubt: {why}. A retry sends just these")
        if not books.tolerates(self.allowed_rejects):
            return LeadsNotDelivered(
                f"{books.rejects:,} of {books.read:,} rows were set aside or are refused ({books.why()}); the rest is "
                f"in the CRM or was accepted. The view {self.ledger_table}_rejects names them: mend them in the "
                "warehouse, replay what the CRM refused for a passing reason, or set allowed_rejects"
            )
        return None
