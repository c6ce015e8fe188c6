"""The command line: ``python -m airflow_provider_leadsquared``, and ``airflow leadsquared`` where Airflow reads it."""
