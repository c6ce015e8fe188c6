"""What goes wrong with a local Airflow."""

from __future__ import annotations


class LocalAirflowError(RuntimeError):
    """The local Airflow, or a DAG in it, is not as it should be; the message says what and shows the log's end."""
