"""Floor 2: what this package promises. Verdicts, books, ledger, poll plan; no HTTP, no sleeping, no Airflow."""
