"""The base of operators that submit a list of records to one asynchronous API."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import BaseOperator

from airflow_provider_leadsquared.api.async_apis import async_api
from airflow_provider_leadsquared.api.null_handling import check_null_handling
from airflow_provider_leadsquared.api.requests import check_parameters
from airflow_provider_leadsquared.delivery.counts import Counts, parse_allowed_rejects
from airflow_provider_leadsquared.delivery.records import check_records
from airflow_provider_leadsquared.delivery.row_keys import check_key_column, is_email
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.tasks.argument_checks import CheckedArguments
from airflow_provider_leadsquared.tasks.arguments import check_concurrency, check_on_clear, warn_of_email_keys
from airflow_provider_leadsquared.tasks.ending import NAMED_REASONS, NAMED_ROWS, TaskEnd, may_skip, update_no_asset
from airflow_provider_leadsquared.tasks.event_loop import HeldBack, run_calls, stops_held_back
from airflow_provider_leadsquared.tasks.ledger_address import LEDGER_TABLE, LedgerAddress, run_of
from airflow_provider_leadsquared.tasks.ledgers import open_ledger
from airflow_provider_leadsquared.tasks.link_targets import note_deliveries, noted_error
from airflow_provider_leadsquared.tasks.outputs import MOST_LISTED
from airflow_provider_leadsquared.tasks.records import prepare, records_in, refuse_stored_records, refuse_templates

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_leadsquared.api.errors import ApiError
    from airflow_provider_leadsquared.api.leads import LeadRules
    from airflow_provider_leadsquared.api.null_handling import NullHandling
    from airflow_provider_leadsquared.delivery.batch import Batch
    from airflow_provider_leadsquared.ledgers.base import Ledger

OnClear = Literal["resume", "resend"]


class SubmitOperator(CheckedArguments, BaseOperator):
    """
    Submit records to an asynchronous API, and return their receipts.

    A subclass sets :attr:`api_name`, and names its records by its own argument. Rows that break a rule are set aside
    with a reason, the rest is sent. What is sent is recorded in the task's ledger as it is sent: a task that is killed
    and run again sends only rows without a receipt.

    The arguments are those of ``LeadCaptureOperator``; ``parameters`` are the query parameters of each submission.
    """

    #: The name of the asynchronous API.
    api_name: ClassVar[str]
    #: The argument that takes the records.
    records_argument: ClassVar[str] = "records"
    template_fields: Sequence[str] = (
        "records",
        "row_key",
        "allowed_rejects",
        "ledger_conn_id",
        "ledger_table",
        "leadsquared_conn_id",
    )
    argument_checks: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "null_handling": check_null_handling,
        "allowed_rejects": parse_allowed_rejects,
        "concurrency": check_concurrency,
        "on_clear": check_on_clear,
    }
    ui_color = "#e8f4ea"

    def __init__(
        self,
        *,
        records: Any,
        row_key: str | None = None,
        hash_row_keys: bool = False,
        search_by: str | None = None,
        parameters: Mapping[str, str] | None = None,
        null_handling: NullHandling = "skip",
        require_match_key: bool = True,
        allowed_rejects: float | str = 0,
        concurrency: int = 16,
        on_clear: OnClear = "resume",
        ledger_conn_id: str | None = None,
        ledger_table: str = LEDGER_TABLE,
        leadsquared_conn_id: str = LeadSquaredHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # A mapped task's records come from another task: in data, braces are data.
        if not getattr(self, "_BaseOperator__from_mapped", False):
            refuse_templates(records, self.records_argument)
        self.records = records
        self.row_key = row_key
        self.hash_row_keys = hash_row_keys
        self.search_by = search_by
        self.parameters = dict(parameters or {})
        self.null_handling = null_handling
        self.require_match_key = require_match_key
        self.allowed_rejects: Any = allowed_rejects
        self.concurrency = concurrency
        self.on_clear = on_clear
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.leadsquared_conn_id = leadsquared_conn_id
        self._stopping = False
        self.check_arguments({**vars(self), self.records_argument: records})

    @classmethod
    def check_together(cls, known: Mapping[str, Any]) -> None:
        """Check the records as a whole, the parameters that the API takes, and the row key."""
        if cls.records_argument in known:
            check_records(known[cls.records_argument], cls.records_argument)
        if "parameters" in known:
            check_parameters(async_api(cls.api_name), known["parameters"] or {})
        if "row_key" in known and "hash_row_keys" in known:
            check_key_column(known["row_key"], is_hashed=known["hash_row_keys"])

    @classmethod
    def check_mapped(cls, given: Mapping[str, Any], *, is_resolved: bool = False) -> None:
        """Refuse records among the arguments, which would be stored, and check the others."""
        refuse_stored_records(given.get(cls.records_argument), cls.records_argument)
        super().check_mapped(given, is_resolved=is_resolved)

    @property
    def records(self) -> Any:
        """What was given for ``records``; a list comes back wrapped, so that nobody prints it."""
        return self._records

    @records.setter
    def records(self, value: Any) -> None:
        self._records = prepare(value, async_api(self.api_name).records)

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, submit, record; see the class."""
        with noted_error(self):
            return self._submit(context)

    def _submit(self, context: Context) -> dict[str, Any]:
        from airflow_provider_leadsquared.tasks.submitting import Submission

        self.check_arguments(vars(self), is_rendered=True)
        self.allowed_rejects = parse_allowed_rejects(self.allowed_rejects)
        hook = LeadSquaredHook(self.leadsquared_conn_id)
        api = hook.account.api(self.api_name)
        batch = self._read_batch(hook)
        if not batch.entries and may_skip(context):
            update_no_asset(self, "there is nothing to send")
            raise AirflowSkipException(f"{api.records} is empty: there is nothing to send")
        ledger = open_ledger(
            context,
            self.log,
            ledger_conn_id=self.ledger_conn_id,
            ledger_table=self.ledger_table,
            without_it=f"A retry of this task would send every {api.record} again.",
        )
        kept_in = [] if self.ledger_conn_id is None else [self.ledger_conn_id]
        addresses = [LedgerAddress.of_task(context, conn_id, self.ledger_table) for conn_id in kept_in]
        note_deliveries(self, run_of(context), addresses)
        with stops_held_back(self.on_kill) as held:
            self._take_over(context, ledger, batch)
            self._announce(batch)
            to_send = len(batch.to_send())
            submission = Submission([batch], to_send, api, hook, ledger, self.log, is_stopping=lambda: self._stopping)
            stopped_by = run_calls(submission.run(parameters=self.parameters, concurrency=self.concurrency))
            return self._conclude(context, batch, stopped_by, held, hook.account.web_url)

    def on_kill(self) -> None:
        """Stop before the next row. Airflow calls this in a signal handler, where nothing else is safe."""
        self._stopping = True

    def rules(self, hook: LeadSquaredHook) -> LeadRules | None:
        """Return the account's own rules for the records, None where they are not checked."""
        return None

    def _take_over(self, context: Context, ledger: Ledger, batch: Batch) -> None:
        """Make this try the ledger's only writer, and take over what earlier tries recorded that still counts."""
        ledger.claim(str(uuid.uuid4()))
        records = ledger.load()
        record = batch.api.record
        clears = getattr(context.get("dag_run"), "clear_number", 0)
        # Airflow's own retries keep the clear number of the first try; a person's clear raises it.
        if clears != records.metadata.get("clear_number", clears):
            if self.on_clear == "resend":
                self.log.warning("The task was cleared and on_clear is 'resend': every %s is sent again", record)
                ledger.start_over()
                records = ledger.load()
            else:
                self.log.info(
                    "The task was cleared and on_clear is 'resume': %s with a receipt are not sent again",
                    batch.api.records,
                )
        elif self.on_clear == "resume" and _has_lost_ledger(context, clears, records.metadata):
            self.log.warning(
                "The task was cleared, and nothing is left of what its earlier tries recorded. %s with a match key "
                "are sent again; others are not, because they may be in the CRM (on_clear='resend' sends them too)",
                batch.api.records.capitalize(),
            )
            ledger.write(batch.doubt_all())  # so that they are in doubt in the tries that follow, too
        batch.resume(records)
        if batch.sent_before:
            self.log.info(
                "Earlier tries sent %s %s beside these; they are part of the run",
                f"{len(batch.sent_before):,}",
                batch.api.records,
            )
        ledger.write(metadata={"clear_number": clears, "tries": records.metadata.get("tries", 0) + 1})

    def _read_batch(self, hook: LeadSquaredHook) -> Batch:
        from airflow_provider_leadsquared.delivery.batch import Batch

        return Batch.read(
            records_in(self._records),
            api=hook.account.api(self.api_name),
            row_key=self.row_key,
            hash_row_keys=self.hash_row_keys,
            null_handling=self.null_handling,
            search_by=self.search_by,
            require_match_key=self.require_match_key,
            rules=self.rules(hook),
            parameters=self.parameters,
        )

    def _announce(self, batch: Batch) -> None:
        """Log what is about to be sent, and name the rows that are set aside."""
        to_send = len(batch.to_send())
        aside = [entry for entry in batch.entries if entry.state.is_set_aside]
        self.log.info(
            "Read %s %s: %s to send, %s set aside, %s known from an earlier try",
            f"{len(batch.entries):,}",
            batch.api.records,
            f"{to_send:,}",
            f"{len(aside):,}",
            f"{len(batch.entries) - to_send - len(aside):,}",
        )
        for entry in aside[:NAMED_ROWS]:
            self.log.warning("Set aside %s: %s, %s", entry.name, entry.state.value, entry.reason)
        if len(aside) > NAMED_ROWS:
            self.log.warning("… and %s more", f"{len(aside) - NAMED_ROWS:,}")
        invisible = Counter(name for payload in batch.payloads.values() for name in payload.invisible)
        for name, count in sorted(invisible.items()):
            self.log.warning("%s: %s values hold characters that nobody sees; they are sent so", name, f"{count:,}")
        warn_of_email_keys(self.log, sum(is_email(entry.row_key or "") for entry in batch.entries))

    def _conclude(
        self, context: Context, batch: Batch, stopped_by: ApiError | None, held: HeldBack, web_url: str | None
    ) -> dict[str, Any]:
        """Count the rows, return the receipts, and fail if too much is missing."""
        from airflow_provider_leadsquared.tasks.receipts import has_receipt, receipts_of

        records = batch.api.records
        entries = batch.all_entries
        counts = Counts.of(entries, read=len(entries))
        output: dict[str, Any] = {"set_aside": list(_set_aside(batch))}
        receipts = sum(map(has_receipt, entries))
        are_left = self.ledger_conn_id is not None and receipts > MOST_LISTED
        if self.ledger_conn_id is not None:
            address = LedgerAddress.of_task(context, self.ledger_conn_id, self.ledger_table)
            output["ledger"] = replace(address, receipts=receipts if are_left else None).as_json()
        if not are_left:
            output["receipts"] = list(receipts_of(batch))
        rejects = [entry for entry in entries if entry.state.is_reject]
        end = TaskEnd(self, context, counts, output, entries, web_url=web_url)
        end.fail_if_stopped(held.error)
        end.fail_if_unsent(len(batch.to_send()), records, stopped_by, is_stopped=self._stopping)
        doubt = [entry.name for entry in rejects if entry.state.is_to_send]
        refused = len(rejects) - len(doubt)
        end.fail_above(
            self.allowed_rejects,
            f"{_missing(refused, len(doubt), counts.read, records)} ({counts.reasons_text(NAMED_REASONS)}); the rest "
            "was accepted",
            f"{_remedy(doubt, is_all=not refused)}, or set allowed_rejects",
        )
        return end.succeed()


def _missing(refused: int, in_doubt: int, read: int, records: str) -> str:
    parts = [(refused, "were set aside or refused"), (in_doubt, "are in doubt")]
    return " and ".join(f"{count:,} of {read:,} {records} {state}" for count, state in parts if count)


def _remedy(doubt: Sequence[str], *, is_all: bool) -> str:
    """
    Return what to do about rows without a receipt; rows in doubt must not be sent again by a person either.

    :param doubt: Names of the rows of which nobody can tell whether LeadSquared accepted them.
    :param is_all: There are no others.
    """
    if not doubt:
        return "Correct these rows and send them again"
    others = "" if is_all else "Correct the rows that were set aside or refused, and send those again. "
    return (
        f"{others}LeadSquared may have the rows in doubt and cannot match them, so they are not repeated: "
        f"{', '.join(doubt[:NAMED_ROWS])}. Look these up in the CRM"
    )


def _has_lost_ledger(context: Context, clears: int, metadata: Mapping[str, Any]) -> bool:
    """Tell whether a cleared task finds nothing of the tries before it."""
    return bool(clears) and not metadata.get("tries") and context["ti"].try_number > 1


def _set_aside(batch: Batch) -> Iterator[dict[str, Any]]:
    """Return every row without a receipt, and why it has none."""
    for entry in batch.all_entries:
        if entry.request_id is None:
            yield {
                "row": entry.row + 1,
                "row_key": entry.row_key,
                "verdict": entry.state.value,
                "reason_class": entry.reason_class,
                "reason": entry.reason,
            }
