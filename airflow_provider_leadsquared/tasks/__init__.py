"""Layer 3: what the Airflow classes share: submitting, polling, opening a ledger, and how a task ends."""
