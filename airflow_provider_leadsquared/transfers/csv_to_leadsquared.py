"""The task that brings rows of a CSV file into LeadSquared, only those that have changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.links.leadsquared import DeliveriesLink, ErrorLink, LeadLink
from airflow_provider_leadsquared.tasks.lineage import file_read, lineage_of
from airflow_provider_leadsquared.tasks.sync_operator import SyncOperator

if TYPE_CHECKING:
    from airflow_provider_leadsquared.sync.rows import Rows


class CsvToLeadSquaredOperator(SyncOperator):
    """
    Send the rows of a CSV file to LeadSquared as leads: those that are new or have changed, each once.

    A sync like ``SqlToLeadSquaredOperator``, with the same mapping, policies, memory and results; only the rows come
    from a file. Its first line names the columns. Every value is text; a mapping's transforms make numbers and dates of
    it where LeadSquared needs them.

    The other arguments are those of ``SqlToLeadSquaredOperator``: ``row_key``, ``mapping``, ``constants``, ``policies``
    and so on.

    :param path: The file, as the worker sees it. (templated)
    :param ledger_conn_id: The SQL database of the ledger table, required: a file has none. (templated)
    :param encoding: The file's encoding. Default: UTF-8, with or without a byte order mark.
    :param delimiter: What separates the columns, one character.
    :param null_values: Texts that mean NULL, blanks around them not counted. Default: the empty text.
    :raises UnusableFileError: The file cannot be read to its end as CSV in this encoding; nothing was sent. Not
        retried.
    :raises RowSourceError: The file is not there or cannot be opened; nothing was sent.
    :raises LeadsNotDelivered: As for ``SqlToLeadSquaredOperator``.
    :raises LeadsUnsent: As for ``SqlToLeadSquaredOperator``.
    :raises ValueError: An argument is wrong: when the DAG is parsed, or when the task runs if a template says so; or a
        mapped column is not in the file. Nothing was sent.
    """

    template_fields: Sequence[str] = ("path", *SyncOperator.sync_template_fields)
    operator_extra_links = (DeliveriesLink(), LeadLink(), ErrorLink())

    def __init__(
        self,
        *,
        path: str,
        ledger_conn_id: str,
        encoding: str = "utf-8-sig",
        delimiter: str = ",",
        null_values: Sequence[str] = ("",),
        **kwargs: Any,
    ) -> None:
        super().__init__(ledger_conn_id=ledger_conn_id, **kwargs)
        self.path = path
        self.encoding = encoding
        self.delimiter = delimiter
        self.null_values = null_values

    @contextmanager
    def open_rows(self) -> Iterator[Rows]:
        """Open the file."""
        from airflow_provider_leadsquared.tasks.row_sources.csv_file import read_csv

        with read_csv(
            self.path, encoding=self.encoding, delimiter=self.delimiter, null_values=self.null_values
        ) as rows:
            try:
                yield rows
            except ValueError as error:
                # The mapping names a column that is not there: say of which file. Other kinds are no message of ours.
                if type(error) is not ValueError:
                    raise
                raise ValueError(f"{self.path}: {error}") from None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what OpenLineage is told when the task has ended, well or not; see ``tasks/lineage.py``."""
        return lineage_of(self, lambda: file_read(self.path))
