"""The task that sends leads to LeadSquared's Async API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.links.leadsquared import DeliveriesLink, ErrorLink, LeadLink
from airflow_provider_leadsquared.tasks.arguments import update_parameters
from airflow_provider_leadsquared.tasks.lineage import lineage_of
from airflow_provider_leadsquared.tasks.submit_operator import SubmitOperator

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.leads import LeadRules
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook


class LeadCaptureOperator(SubmitOperator):
    """
    Submit leads to be captured asynchronously, and return their receipts.

    A receipt says that LeadSquared *accepted* a lead; a
    :class:`~airflow_provider_leadsquared.sensors.lead_status.LeadStatusSensor` reports whether the CRM took it. Rows
    that break a rule are set aside with a reason, the rest is sent. What is sent is recorded in the task's ledger as it
    is sent: a task that is killed and run again sends only rows without a receipt.

    The task returns, also when it fails, so that the sensor can wait for what was accepted::

        {"counts": {"read": …, …},
         "receipts": [{"row", "row_key", "api", "request_id", "accepted_at"}, …],  # not if the ledger has over 10,000
         "set_aside": [{"row", "row_key", "verdict", "reason_class", "reason"}, …],
         "ledger": {…}}  # its address, if it is in SQL: the sensor writes each row's verdict there

    :param leads: A list of leads, each ``{"EmailAddress": …, "mx_City": …}`` or the API's list of attribute/value
        pairs; a data frame of pandas or polars; another task's output; or a function that returns any of these when
        the task runs, which keeps lead data out of XCom and out of the DAG's file. It may take nothing, ``context``
        or ``**context``. (templated, but text inside leads is never rendered)
    :param row_key: The column that identifies a row to its owner in logs, receipts and results. It is sent only if it
        is named like a field of LeadSquared's (``mx_…`` or ``ProspectID``). (templated)
    :param hash_row_keys: Name rows by the SHA-256 of their keys, so that ``row_key`` may be an e-mail address or phone.
    :param search_by: The attribute by which LeadSquared looks for an existing lead; by default it tries the lead id,
        then the e-mail address, then the phone.
    :param lead_update_behavior: What happens to an existing lead: ``DoNotUpdate``, ``UpdateOnlyEmptyFields``,
        ``DoNotUpdateUniqueFields``, or None to overwrite what is sent. LeadSquared documents it for its synchronous
        call and says the asynchronous one works alike.
    :param null_handling: What to do with nulls (None, NaN, NaT, NA): ``skip`` leaves the attribute out, ``clear``
        empties it.
    :param require_match_key: Refuse rows that LeadSquared cannot match to a lead. If False they are sent, and one whose
        sending is in doubt is never sent again.
    :param check_fields: Ask the account for its lead fields first (one call), and set aside rows that the CRM would
        refuse hours later: unknown attributes, texts that are too long, wrong types, values outside a dropdown.
    :param allowed_rejects: Rows that may be invalid, refused or in doubt without the task failing: a number (``int``)
        or a share of the rows read (``float``). (templated)
    :param concurrency: Calls under way at the same time.
    :param on_clear: What clearing the task means: ``resume`` sends only rows without a receipt, as a retry does;
        ``resend`` ignores the receipts and sends every row again.
    :param ledger_conn_id: A connection to a SQL database (any with a ``common.sql`` hook) to keep the ledger in,
        instead of Airflow's task state store: for Airflow below 3.3, for big runs, and to query results. (templated)
    :param ledger_table: The ledger's table there; it is created on first use. (templated)
    :param leadsquared_conn_id: The LeadSquared connection. (templated)
    :raises LeadsNotDelivered: More rows were set aside than allowed; the rest was sent. Not retried.
    :raises LeadsUnsent: Rows could not be sent (outage, keys refused, task stopped); a retry sends just those.
    :raises ValueError: An argument is wrong: when the DAG is parsed, or when the task runs if a template or another
        task's output says so; nothing was sent. When the DAG is parsed also if leads that are written in its file hold
        ``{{ … }}``, or are given to ``.partial()`` or ``.expand()``, which would store them.
    """

    api_name = LEAD_CAPTURE.name
    records_argument = "leads"
    template_fields: Sequence[str] = ("leads", *SubmitOperator.template_fields[1:])
    operator_extra_links = (DeliveriesLink(), LeadLink(), ErrorLink())
    argument_checks = {**SubmitOperator.argument_checks, "lead_update_behavior": update_parameters}

    def __init__(
        self, *, leads: Any, lead_update_behavior: str | None = None, check_fields: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(records=leads, parameters=update_parameters(lead_update_behavior), **kwargs)
        self.check_fields = check_fields

    @property
    def leads(self) -> Any:
        """What was given for ``leads``; a list of leads comes back wrapped, so that nobody prints it."""
        return self.records

    @leads.setter
    def leads(self, value: Any) -> None:
        self.records = value

    def rules(self, hook: LeadSquaredHook) -> LeadRules | None:
        """
        Return the account's lead fields as rules, if they are to be checked.

        :param hook: The account.
        """
        from airflow_provider_leadsquared.api.field_rules import FieldRules

        return FieldRules(hook.get_lead_fields()) if self.check_fields else None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what OpenLineage is told when the task has ended, well or not; see ``tasks/lineage.py``."""
        return lineage_of(self)
