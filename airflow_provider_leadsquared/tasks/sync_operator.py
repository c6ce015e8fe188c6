"""The base of transfers: a sync of the rows of any source, only those that have changed."""

from __future__ import annotations

import time
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import BaseOperator

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE, async_api
from airflow_provider_leadsquared.api.null_handling import check_null_handling
from airflow_provider_leadsquared.delivery.counts import parse_allowed_rejects
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.sync.mapping import REST, ColumnMapping, check_mapping, check_row_key
from airflow_provider_leadsquared.sync.policies import Policies, RulesWithPolicies, RunRefusedError
from airflow_provider_leadsquared.sync.replay import Replay
from airflow_provider_leadsquared.tasks.account_check import check_account
from airflow_provider_leadsquared.tasks.argument_checks import CheckedArguments
from airflow_provider_leadsquared.tasks.arguments import (
    check_concurrency,
    parse_bool,
    update_parameters,
    warn_of_email_keys,
)
from airflow_provider_leadsquared.tasks.dry_run import preview
from airflow_provider_leadsquared.tasks.ending import NAMED_REASONS, TaskEnd, may_skip, note_counts, update_no_asset
from airflow_provider_leadsquared.tasks.event_loop import HeldBack, run_calls, stops_held_back
from airflow_provider_leadsquared.tasks.ledger_address import LEDGER_TABLE, LedgerAddress, run_of
from airflow_provider_leadsquared.tasks.ledgers import open_requests_of_sync, open_sync_ledger
from airflow_provider_leadsquared.tasks.link_targets import note_deliveries, noted_error
from airflow_provider_leadsquared.tasks.refused_run import refused_run
from airflow_provider_leadsquared.tasks.sync_arguments import ShownMapping, check_policies

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_leadsquared.api.errors import ApiError
    from airflow_provider_leadsquared.api.null_handling import NullHandling
    from airflow_provider_leadsquared.ledgers.sync import SyncLedger
    from airflow_provider_leadsquared.sync.rows import Rows
    from airflow_provider_leadsquared.sync.run import SyncRun

#: How many rows of each kind the log names one by one.
_NAMED_ROWS = 5


class SyncOperator(CheckedArguments, BaseOperator):
    """
    Send the rows of a source to LeadSquared as leads: those that are new or have changed, each once.

    A subclass says where the rows come from (:meth:`open_rows`). The arguments are those of
    ``SqlToLeadSquaredOperator`` but for ``sql``, ``conn_id`` and ``parameters``; ``ledger_conn_id`` is required.
    """

    #: The name of the asynchronous API.
    api_name: ClassVar[str] = LEAD_CAPTURE.name
    #: Template fields of every sync.
    sync_template_fields: ClassVar[tuple[str, ...]] = (
        "row_key",
        "mapping",
        "policies",
        "full_refresh",
        "replay",
        "is_dry_run",
        "allowed_rejects",
        "sync",
        "ledger_conn_id",
        "ledger_table",
        "leadsquared_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"mapping": "json", "policies": "json"}
    argument_checks: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "policies": check_policies,
        "full_refresh": partial(parse_bool, "full_refresh"),
        "replay": Replay.parse,
        "dry_run": partial(parse_bool, "dry_run"),
        "lead_update_behavior": update_parameters,
        "null_handling": check_null_handling,
        "allowed_rejects": parse_allowed_rejects,
        "concurrency": check_concurrency,
    }
    ui_color = "#e8f4ea"

    def __init__(
        self,
        *,
        row_key: str | Sequence[str],
        hash_row_keys: bool = False,
        mapping: str | Mapping[str, Any] = "*",
        constants: Mapping[str, Any] | None = None,
        policies: Mapping[str, str] | None = None,
        full_refresh: bool | str = False,
        replay: Any = None,
        dry_run: bool | str = False,
        search_by: str | None = None,
        lead_update_behavior: str | None = None,
        null_handling: NullHandling = "skip",
        allowed_rejects: float | str = 0,
        concurrency: int = 16,
        sync: str | None = None,
        ledger_conn_id: str | None = None,
        ledger_table: str = LEDGER_TABLE,
        leadsquared_conn_id: str = LeadSquaredHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.row_key = row_key
        self.hash_row_keys = hash_row_keys
        self.mapping = ShownMapping(mapping) if isinstance(mapping, Mapping) else mapping
        self.constants = constants
        self.policies = policies
        self.full_refresh: Any = full_refresh
        self.replay = replay
        # Under another name, because Airflow's operators have a method of this one.
        self.is_dry_run: Any = dry_run
        self.search_by = search_by
        self.lead_update_behavior = lead_update_behavior
        self.null_handling = null_handling
        self.allowed_rejects: Any = allowed_rejects
        self.concurrency = concurrency
        self.sync = sync
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.leadsquared_conn_id = leadsquared_conn_id
        self._stopping = False
        self.check_arguments({**vars(self), "dry_run": dry_run})

    @classmethod
    def check_together(cls, known: Mapping[str, Any]) -> None:
        """Check mapping, constants and row key, as far as it can be done without the columns of the source."""
        check_mapping(known.get("mapping", REST), known.get("constants"), api=async_api(cls.api_name))
        if "row_key" in known and "hash_row_keys" in known:
            check_row_key(known["row_key"], is_hashed=known["hash_row_keys"])

    @abstractmethod
    def open_rows(self) -> AbstractContextManager[Rows]:
        """
        Open the source; it is read to its end before the first row is sent.

        :raises RowSourceError: It cannot be read.
        :raises ValueError: An argument is wrong.
        """

    @property
    def default_ledger_conn_id(self) -> str | None:
        """The connection of the ledger where the author names none."""
        return None

    def execute(self, context: Context) -> dict[str, Any]:
        """Settle, read, compare, check, send; see the class."""
        with noted_error(self):
            return self._sync(context)

    def _sync(self, context: Context) -> dict[str, Any]:
        replay = self._read_templates()
        hook = LeadSquaredHook(self.leadsquared_conn_id)
        # Neither a DAG's id nor a task's can hold a slash, so no two tasks have one name.
        name = self.sync or f"{context['ti'].dag_id}/{context['ti'].task_id} by {self.leadsquared_conn_id}"
        ledger_conn_id = self.ledger_conn_id or self.default_ledger_conn_id
        if ledger_conn_id is None:
            raise ValueError("ledger_conn_id is missing: name the connection of a SQL database for the sync's ledger")
        address = LedgerAddress.of_task(context, ledger_conn_id, self.ledger_table, sync=name, hook=hook)
        note_deliveries(self, run_of(context), [address])
        ledger = open_sync_ledger(address, hook, lead_update_behavior=self.lead_update_behavior)
        if not self.is_dry_run:
            ledger.claim(str(uuid.uuid4()))
        if not self.is_dry_run or ledger.exists():
            check_account(address, hook, self.log, is_kept=not self.is_dry_run)
        if not self.is_dry_run:
            self._settle_earlier(address, hook)
            ledger.begin()  # before the query: what is sent from now on may be newer than what it returns
        with self._read(hook, ledger, replay) as run:
            if not run.read_rows and may_skip(context):
                update_no_asset(self, "there is nothing to send")
                raise AirflowSkipException("the source has no row: there is nothing to send")
            self._announce(run)
            if self.is_dry_run:
                expected = preview(self, run, hook, api=self.api_name, allowed_rejects=self.allowed_rejects)
                return expected | {"ledger": address.as_json()}
            ledger.write_not_sent(run.not_sent())
            ledger.see_owners(run.owned_leads())
            run.keep_unchanged()
            with stops_held_back(self.on_kill) as held:
                stopped_by = self._send(hook, ledger, run)
                run.reload_states()
                note_counts(ledger, run.counts(), self.log)
                address = replace(address, number=ledger.last_number())
                return self._conclude(context, run, address, stopped_by, held, hook.account.web_url)

    def on_kill(self) -> None:
        """Stop before the next row. Airflow calls this in a signal handler, where nothing else is safe."""
        self._stopping = True

    def _read_templates(self) -> Replay | None:
        """Check all arguments again, for templates may have been among them, and return what is to be replayed."""
        self.check_arguments(vars(self), is_rendered=True)
        self.allowed_rejects = parse_allowed_rejects(self.allowed_rejects)
        self.full_refresh = parse_bool("full_refresh", self.full_refresh)
        self.is_dry_run = parse_bool("dry_run", self.is_dry_run)
        return Replay.parse(self.replay)

    def _settle_earlier(self, address: LedgerAddress, hook: LeadSquaredHook) -> None:
        """Poll what earlier runs have left open: a row whose request is settled need not wait any more."""
        from airflow_provider_leadsquared.tasks.polling import poll

        requests = open_requests_of_sync([address], hook)
        earlier = [entry for entry in requests.load().entries.values() if requests.is_of_earlier(entry)]
        if not earlier:
            return
        with stops_held_back() as held:
            result = poll(hook, requests, earlier, clock=time.time, is_stopping=held.has_come)
        if result.trouble is not None:
            self.log.warning("LeadSquared could not be asked about requests of earlier runs: %s", result.trouble)
        self.log.info(
            "Earlier runs left %s requests open: %s are settled now, %s are still open",
            f"{len(result.entries):,}",
            f"{len(result.entries) - len(result.open):,}",
            f"{len(result.open):,}",
        )

    @contextmanager
    def _read(self, hook: LeadSquaredHook, ledger: SyncLedger, replay: Replay | None) -> Iterator[SyncRun]:
        """Read the source to its end and decide the state of each row."""
        from airflow_provider_leadsquared.api.field_rules import FieldRules
        from airflow_provider_leadsquared.sync.run import SyncOptions, SyncRun
        from airflow_provider_leadsquared.tasks.progress import Progress

        api = hook.account.api(self.api_name)
        policies = Policies.parse(self.policies)
        fields = FieldRules(hook.get_lead_fields())
        rules = RulesWithPolicies(fields, policies)
        options = SyncOptions(
            api=api,
            null_handling=self.null_handling,
            search_by=self.search_by,
            parameters=update_parameters(self.lead_update_behavior),
            full_refresh=self.full_refresh,
            replay=replay,
        )
        run: SyncRun | None = None
        try:
            with self.open_rows() as rows:
                columns = ColumnMapping.build(
                    self.mapping,
                    columns=rows.columns,
                    row_key=self.row_key,
                    api=api,
                    constants=self.constants,
                    hash_row_keys=self.hash_row_keys,
                )
                policies.check_names(fields, columns.attributes)
                run = SyncRun(
                    columns=columns,
                    ledger=None if self.is_dry_run and not ledger.exists() else ledger,
                    policies=policies,
                    rules=rules,
                    options=options,
                    context={"policies": policies.as_text(), "fields": fields.as_text()},
                )
                run.read(rows, Progress(self.log, "Read", "rows").report)
            warn_of_email_keys(self.log, columns.email_keys)
            for (rule, attribute), count in sorted(rules.warnings.items()):
                self.log.warning("%s rows break the rule %s of %s and are sent", f"{count:,}", rule, attribute)
            yield run
        except RunRefusedError as error:
            raise refused_run(error, self.log) from None
        finally:
            if run is not None:
                run.close()

    def _announce(self, run: SyncRun) -> None:
        """Log what is about to be sent, each row once, and name some of the rows that are not."""
        from airflow_provider_leadsquared.delivery.states import State

        counted = [
            run.count_to_send(),
            run.count(lambda state: state is State.UNCHANGED),
            run.count(lambda state: state is State.WAITING),
            run.count(lambda state: state.is_refused),
            run.count(lambda state: state.is_set_aside),
        ]
        self.log.info(
            "Read %s rows: %s to send, %s unchanged, %s wait for an earlier request, %s refused before, %s set aside, "
            "%s known from an earlier try",
            *(f"{count:,}" for count in (run.read_rows, *counted, run.read_rows - sum(counted))),
        )
        for entry in run.examples(_NAMED_ROWS):
            # A row in doubt is among those that are sent now.
            if not entry.state.is_to_send:
                self.log.warning("%s: %s, %s, %s", entry.name, entry.state.value, entry.reason_class, entry.reason)
        if run.sent_before:
            self.log.info(
                "Earlier tries sent %s rows that the source does not return now, or not with these values; they are "
                "part of the run",
                f"{len(run.sent_before):,}",
            )

    def _send(self, hook: LeadSquaredHook, ledger: SyncLedger, run: SyncRun) -> ApiError | None:
        from airflow_provider_leadsquared.tasks.submitting import Submission

        to_send = run.count_to_send()
        if not to_send:
            return None
        submission = Submission(
            run.batches(),
            to_send,
            hook.account.api(self.api_name),
            hook,
            ledger,
            self.log,
            is_stopping=lambda: self._stopping,
        )
        parameters = update_parameters(self.lead_update_behavior)
        return run_calls(submission.run(parameters=parameters, concurrency=self.concurrency))

    def _conclude(
        self,
        context: Context,
        run: SyncRun,
        address: LedgerAddress,
        stopped_by: ApiError | None,
        held: HeldBack,
        web_url: str | None,
    ) -> dict[str, Any]:
        """Count the rows, and fail if too much is missing."""
        counts = run.counts()
        shown = [*run.examples(_NAMED_ROWS), *run.sent_before]
        output = {"ledger": address.as_json()}
        end = TaskEnd(self, context, counts, output, shown, web_url=web_url)
        end.fail_if_stopped(held.error)
        end.fail_if_unsent(run.count_to_send(), "rows", stopped_by, is_stopped=self._stopping)
        end.fail_above(
            self.allowed_rejects,
            f"{counts.rejects:,} of {counts.read:,} rows were set aside or are refused "
            f"({counts.reasons_text(NAMED_REASONS)}); the rest is in the CRM or was accepted",
            f"The view {self.ledger_table}_rejects names them: correct them in the source, replay what the CRM refused "
            "for a passing reason, or set allowed_rejects",
        )
        return end.succeed()
