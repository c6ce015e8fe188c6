"""The task that sends leads to LeadSquared's Async API."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import BaseOperator
from pendulum import from_timestamp

from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, LeadsUnsent
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
from airflow_provider_leadsquared.task_ledger import LEDGER_TABLE, may_skip, open_ledger, where_is_ledger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_leadsquared.api.errors import LeadSquaredError
    from airflow_provider_leadsquared.api.leads import NullPolicy
    from airflow_provider_leadsquared.delivery.batch import Batch
    from airflow_provider_leadsquared.delivery.books import Books
    from airflow_provider_leadsquared.delivery.ledger import Ledger

OnClear = Literal["resume", "resend"]

#: So many set-aside rows are named one by one in the log.
_NAMED_ROWS = 20


class LeadList:
    """
    Leads that show themselves as ``N leads`` and no more.

    Airflow stores and shows the value of every template field, in the serialized DAG and in a task's rendered fields,
    and it would render lead text as a template.

    :param leads: What the author gave.
    """

    def __init__(self, leads: Any) -> None:
        self.leads = leads

    def __iter__(self) -> Iterator[Any]:
        return iter(self.leads)

    def __bool__(self) -> bool:
        return bool(self.leads)

    def __repr__(self) -> str:
        return f"{len(self.leads):,} leads" if isinstance(self.leads, Sized) else "leads"


class LeadCaptureOperator(BaseOperator):
    """
    Submit leads to be captured asynchronously, and return their receipts.

    A receipt says that LeadSquared *accepted* a lead; a :class:`LeadStatusSensor` tells whether the CRM took it. Rows
    that break a rule are set aside with a reason, the rest go. What was sent is written to the task's ledger as it is
    sent: a task that is killed and run again sends only rows without a receipt.

    The task returns, also when it fails, so that the sensor can wait for what was accepted::

        {"receipts": [{"row", "key", "request_id", "accepted_at"}, …],
         "aside": [{"row", "key", "verdict", "reason_class", "reason"}, …],
         "books": {"read": …, …},
         "ledger": {…}}  # where it is, if it is in SQL: the sensor writes each row's verdict there

    :param leads: A list of leads, each ``{"EmailAddress": …, "mx_City": …}`` or the API's list of attribute/value
        pairs; another task's output; or a callable that takes ``context`` and ``jinja_env`` and returns a list, which
        keeps lead data out of XCom. (templated, but text inside leads is never rendered)
    :param key: The column that identifies a row to its owner in logs, receipts and results. It is sent only if it is
        named like a field of LeadSquared's (``mx_…`` or ``ProspectID``). (templated)
    :param search_by: The attribute by which LeadSquared looks for an existing lead; by default it tries the lead id,
        then the e-mail address, then the phone.
    :param lead_update_behavior: What happens to an existing lead: ``DoNotUpdate``, ``UpdateOnlyEmptyFields``,
        ``DoNotUpdateUniqueFields``, or None to overwrite what is sent. LeadSquared documents it for its synchronous
        call and says the asynchronous one works alike.
    :param null_policy: What to do with None: ``skip`` leaves the attribute out, ``clear`` empties it.
    :param require_match_key: Refuse rows that LeadSquared cannot match to a lead. If False they are sent, and one whose
        sending is in doubt is never sent again.
    :param check_fields: Ask the account for its lead fields first (one call), and set aside rows that the CRM would
        refuse hours later: unknown attributes, texts that are too long, wrong types, values outside a dropdown.
    :param allowed_rejects: Rows that may be invalid, refused or in doubt without the task failing: a number (``int``)
        or a share of the rows read (``float``). (templated)
    :param concurrency: Calls under way at the same time.
    :param on_clear: What clearing the task means: ``resume`` sends only rows without a receipt, as a retry does;
        ``resend`` forgets the receipts and sends every row again.
    :param ledger_conn_id: A connection to a SQL database (any with a ``common.sql`` hook) to keep the ledger in,
        instead of Airflow's task state store: for Airflow below 3.3, for big runs, and to query results. (templated)
    :param ledger_table: The ledger's table there; it is created on first use. (templated)
    :param leadsquared_conn_id: The LeadSquared connection. (templated)
    :raises LeadsNotDelivered: More rows were set aside than allowed; the rest was sent. Not retried.
    :raises LeadsUnsent: Rows could not be sent (outage, keys refused, task stopped); a retry sends just those.
    :raises ValueError: An argument is wrong; nothing was sent.
    """

    template_fields: Sequence[str] = (
        "leads",
        "key",
        "allowed_rejects",
        "ledger_conn_id",
        "ledger_table",
        "leadsquared_conn_id",
    )
    ui_color = "#e8f4ea"

    def __init__(
        self,
        *,
        leads: Any,
        key: str | None = None,
        search_by: str | None = None,
        lead_update_behavior: str | None = None,
        null_policy: NullPolicy = "skip",
        require_match_key: bool = True,
        check_fields: bool = False,
        allowed_rejects: float | str = 0,
        concurrency: int = 16,
        on_clear: OnClear = "resume",
        ledger_conn_id: str | None = None,
        ledger_table: str = LEDGER_TABLE,
        leadsquared_conn_id: str = LeadSquaredHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.leads = leads
        self.key = key
        self.search_by = search_by
        self.lead_update_behavior = lead_update_behavior
        self.null_policy = null_policy
        self.require_match_key = require_match_key
        self.check_fields = check_fields
        self.allowed_rejects: Any = allowed_rejects
        self.concurrency = concurrency
        self.on_clear = on_clear
        self.ledger_conn_id = ledger_conn_id
        self.ledger_table = ledger_table
        self.leadsquared_conn_id = leadsquared_conn_id
        self._stopping = False

    @property
    def leads(self) -> Any:
        """What was given for ``leads``; a list of leads comes back wrapped, so that nobody prints it."""
        return self._leads

    @leads.setter
    def leads(self, value: Any) -> None:
        is_data = isinstance(value, Iterable) and not isinstance(value, (str, bytes)) and not hasattr(value, "resolve")
        self._leads = LeadList(value) if is_data and not isinstance(value, LeadList) else value

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, submit, record; see the class."""
        from airflow_provider_leadsquared.operators._submission import Submission

        self._check_arguments()
        hook = LeadSquaredHook(self.leadsquared_conn_id)
        hook.account  # noqa: B018 - a wrong connection is an error before anything else is done
        batch = self._read_batch(hook)
        if not batch.entries and may_skip(context):
            raise AirflowSkipException("leads is empty: there is nothing to send")
        ledger = open_ledger(
            context,
            self.log,
            ledger_conn_id=self.ledger_conn_id,
            ledger_table=self.ledger_table,
            without_it="A retry of this task would send every lead again.",
        )
        self._take_over(context, ledger, batch)
        self._announce(batch)
        to_send = len(batch.to_send())
        submission = Submission([batch], to_send, hook, ledger, self.log, stopping=lambda: self._stopping)
        stopped_by = asyncio.run(
            submission.run(lead_update_behavior=self.lead_update_behavior, concurrency=self.concurrency)
        )
        return self._conclude(context, batch, stopped_by)

    def on_kill(self) -> None:
        """Stop before the next row. Airflow calls this in a signal handler, where nothing else is safe."""
        self._stopping = True

    def _take_over(self, context: Context, ledger: Ledger, batch: Batch) -> None:
        """Make this try the ledger's only writer, and take over what earlier tries wrote that still counts."""
        ledger.claim(str(uuid.uuid4()))
        records = ledger.load()
        clears = getattr(context.get("dag_run"), "clear_number", 0)
        # Airflow retries a task by itself under the number of its first try; a person's clear counts it up.
        if clears != records.marks.get("clear_number", clears):
            if self.on_clear == "resend":
                self.log.warning("The task was cleared and on_clear is 'resend': every lead is sent again")
                ledger.start_over()
                records = ledger.load()
            else:
                self.log.info("The task was cleared and on_clear is 'resume': leads with a receipt are not sent again")
        elif clears and not records.marks.get("tries") and context["ti"].try_number > 1 and self.on_clear == "resume":
            self.log.warning(
                "The task was cleared, and nothing is left of what its earlier tries wrote down. Leads with a match "
                "key are sent again; others are not, for they may be in the CRM (on_clear='resend' sends them too)"
            )
            batch.doubt_all()
        batch.resume(records.entries)
        ledger.write(marks={"clear_number": clears, "tries": records.marks.get("tries", 0) + 1})

    def _check_arguments(self) -> None:
        from airflow_provider_leadsquared.delivery.books import read_allowed_rejects
        from airflow_provider_leadsquared.operators._arguments import check_delivery_arguments

        self.allowed_rejects = read_allowed_rejects(self.allowed_rejects)
        check_delivery_arguments(self.lead_update_behavior, self.null_policy, self.concurrency)
        if self.on_clear not in ("resume", "resend"):
            raise ValueError(f"on_clear is {self.on_clear!r}; write 'resume' or 'resend'")

    def _read_batch(self, hook: LeadSquaredHook) -> Batch:
        from airflow_provider_leadsquared.api.field_rules import FieldRules
        from airflow_provider_leadsquared.delivery.batch import Batch

        leads = self.leads.leads if isinstance(self.leads, LeadList) else self.leads
        return Batch.read(
            leads,
            key=self.key,
            null_policy=self.null_policy,
            search_by=self.search_by,
            require_match_key=self.require_match_key,
            rules=FieldRules(hook.get_lead_fields()) if self.check_fields else None,
        )

    def _announce(self, batch: Batch) -> None:
        """Say what is about to happen, and name the rows that are set aside."""
        to_send = len(batch.to_send())
        aside = [entry for entry in batch.entries if entry.state.is_reject or entry.state.value == "superseded"]
        self.log.info(
            "Read %s leads: %s to send, %s set aside, %s known from an earlier try",
            f"{len(batch.entries):,}",
            f"{to_send:,}",
            f"{len(aside):,}",
            f"{len(batch.entries) - to_send - len(aside):,}",
        )
        for entry in aside[:_NAMED_ROWS]:
            self.log.warning("Set aside %s: %s, %s", entry.name, entry.state.value, entry.reason)
        if len(aside) > _NAMED_ROWS:
            self.log.warning("… and %s more", f"{len(aside) - _NAMED_ROWS:,}")

    def _conclude(self, context: Context, batch: Batch, stopped_by: LeadSquaredError | None) -> dict[str, Any]:
        """Balance the books, hand the receipts on, and say whether the task is green."""
        from airflow_provider_leadsquared.delivery.books import Books

        books = Books.of(batch.entries, read=len(batch.entries))
        self.log.info("Books: %s", books)
        output = {"receipts": list(_receipts(batch)), "aside": list(_aside(batch)), "books": books.as_dict()}
        if self.ledger_conn_id is not None:
            output["ledger"] = where_is_ledger(context, self.ledger_conn_id, self.ledger_table)
        problem = self._problem(batch, books, stopped_by)
        if problem is not None:
            # Airflow pushes a return value only if there is one; what was accepted must be waited for all the same.
            context["ti"].xcom_push(key="return_value", value=output)
            raise problem
        return output

    def _problem(self, batch: Batch, books: Books, stopped_by: LeadSquaredError | None) -> Exception | None:
        left = len(batch.to_send())
        if left:
            why = stopped_by or ("the task was stopped" if self._stopping else "LeadSquared did not take them")
            return LeadsUnsent(f"{left:,} leads are not sent or in doubt: {why}. A retry sends just these")
        if not books.tolerates(self.allowed_rejects):
            doubt = [entry.name for entry in batch.entries if entry.state.value == "in_doubt"]
            named = f" In doubt, and not sent again: {', '.join(doubt[:_NAMED_ROWS])}." if doubt else ""
            return LeadsNotDelivered(
                f"{books.rejects:,} of {books.read:,} leads were set aside or refused ({books.why()}); the rest was "
                f"accepted.{named} Mend these rows and send them again, or set allowed_rejects."
            )
        return None


def _receipts(batch: Batch) -> Iterator[dict[str, Any]]:
    for entry in batch.entries:
        if entry.request_id is not None and entry.accepted_at is not None:
            yield {
                "row": entry.row + 1,
                "key": entry.key,
                "request_id": entry.request_id,
                "accepted_at": from_timestamp(entry.accepted_at).isoformat(timespec="milliseconds"),
            }


def _aside(batch: Batch) -> Iterator[dict[str, Any]]:
    """Every row without a receipt, and why it has none."""
    for entry in batch.entries:
        if entry.request_id is None:
            yield {
                "row": entry.row + 1,
                "key": entry.key,
                "verdict": entry.state.value,
                "reason_class": entry.reason_class,
                "reason": entry.reason,
            }
