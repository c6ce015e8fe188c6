"""The task that brings rows of a warehouse into LeadSquared, only those that have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.links.leadsquared import DeliveriesLink, ErrorLink, LeadLink
from airflow_provider_leadsquared.tasks.lineage import lineage_of, tables_read
from airflow_provider_leadsquared.tasks.sync_operator import SyncOperator

if TYPE_CHECKING:
    from airflow_provider_leadsquared.sync.rows import Rows


class SqlToLeadSquaredOperator(SyncOperator):
    """
    Send the rows of a query to LeadSquared as leads: those that are new or have changed, each once.

    The task first asks for the verdicts that earlier runs have left open. Then it reads all rows, makes leads of them,
    compares each with what LeadSquared last *confirmed* for its lead, checks those that are to be sent against the
    account's own field metadata, and only then sends the first. A ``LeadStatusSensor`` behind it waits for the
    verdicts. What was sent, and what came of it, is in the ledger table, a line for each row and run; a task that is
    killed and run again continues where it was.

    A row counts as ``unchanged`` if LeadSquared has confirmed the same values and nothing was sent to its lead since;
    as ``rejected`` if LeadSquared has refused them, until they change or are replayed; as ``waiting`` if an earlier
    sending for its lead is not settled, or another run has sent to it since this one began, so that no older value can
    overwrite a newer one: the next run sends it. Rows that are no longer in the query's result are left as they are in
    the CRM.

    The task returns ``{"counts": {"read": …, …}, "ledger": {…}}``, also when it fails.

    :param sql: One query, or the path of a ``.sql`` file. Where two rows are one person's the later wins, so order
        them. (templated)
    :param conn_id: The warehouse: any connection with a ``common.sql`` hook. (templated)
    :param row_key: The column, or columns, that identify a row to its owner: the same lead has the same key every
        night. It is in logs and in the ledger, so it may be no e-mail address, phone or name, unless it is hashed.
    :param hash_row_keys: Name rows by the SHA-256 of their keys, 64 hexadecimal digits, in logs and in the ledger.
    :param mapping: Which column becomes which lead field: ``{"email": "EmailAddress"}``, with transforms
        ``{"email": ["EmailAddress", "strip", "lower"]}``, None to leave a column out; ``"*": "*"`` for all other
        columns under their own names, or ``"*"`` alone. See ``ColumnMapping.build``.
    :param constants: Lead fields that every row has, ``{"Source": "Warehouse"}``.
    :param parameters: Values for the query's placeholders. (templated)
    :param policies: What broken rules mean, ``{"too_long": "warn"}``: ``refuse`` sets the row aside, ``warn`` sends it
        all the same, ``fail`` sends nothing at all. Rules: ``unknown_attribute`` (by default ``fail``), ``mandatory``,
        ``read_only``, ``too_long``, ``wrong_type``, ``not_an_option``, ``no_match_key``, ``no_key``, ``doubled_key``,
        ``doubled_match_key``, ``transform`` (by default ``refuse``), ``invisible`` (by default ``warn``).
    :param full_refresh: Send every row, also what the CRM holds already. (templated)
    :param replay: Which refused rows go again although they have not changed: True for all, a reason such as
        ``"MXDuplicateEntryException"``, or a dict with ``reason_class``, ``since`` and ``until``. (templated)
    :param dry_run: Read, check and compare, and say what would be sent; send and write nothing. (templated)
    :param search_by: The attribute by which LeadSquared looks for an existing lead; by default it tries the lead id,
        then the e-mail address, then the phone.
    :param lead_update_behavior: What happens to an existing lead; see ``LeadCaptureOperator``.
    :param null_handling: What to do with NULL and NaN: ``skip`` leaves the attribute out, ``clear`` empties it in the
        CRM.
    :param allowed_rejects: Rows that may be invalid or refused without the task failing: a number (``int``) or a share
        of the rows read (``float``). (templated)
    :param concurrency: Calls under way at the same time.
    :param sync: The name under which the ledger remembers what it has sent; runs, mapped tasks and DAGs that share it
        share a memory. Each LeadSquared connection has a memory of its own. Default: DAG, task and LeadSquared
        connection. (templated)
    :param ledger_conn_id: The database of the ledger table: SQLite, Postgres, MySQL or MariaDB; a column store is
        refused. Default: the warehouse. (templated)
    :param ledger_table: The table there; it is created on first use. (templated)
    :param leadsquared_conn_id: The LeadSquared connection. (templated)
    :raises LeadsNotDelivered: More rows were set aside or are refused than allowed, or a rule whose policy is ``fail``
        was broken. Not retried.
    :raises LeadsUnsent: Rows could not be sent (outage, keys refused, task stopped); a retry sends just those.
    :raises WarehouseError: The query failed; nothing was sent.
    :raises ValueError: An argument is wrong: when the DAG is parsed, or when the task runs if a template or the
        query's columns say so; or the ledger would be in a column store. Nothing was sent.
    """

    template_fields: Sequence[str] = ("sql", "conn_id", "parameters", *SyncOperator.sync_template_fields)
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {**SyncOperator.template_fields_renderers, "sql": "sql"}
    operator_extra_links = (DeliveriesLink(), LeadLink(), ErrorLink())

    def __init__(
        self,
        *,
        sql: str,
        conn_id: str,
        parameters: Iterable[Any] | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.conn_id = conn_id
        self.parameters = parameters

    @property
    def default_ledger_conn_id(self) -> str:
        """The warehouse."""
        return self.conn_id

    def open_rows(self) -> AbstractContextManager[Rows]:
        """Run the query."""
        from airflow_provider_leadsquared.tasks.ledgers import sql_hook
        from airflow_provider_leadsquared.tasks.row_sources.sql import read_query

        return read_query(sql_hook(self.conn_id, "conn_id"), self.sql, self.parameters)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what OpenLineage is told when the task has ended, well or not; see ``tasks/lineage.py``."""
        return lineage_of(self, lambda: tables_read(self))
