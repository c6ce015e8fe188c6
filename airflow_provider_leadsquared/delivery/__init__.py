"""Layer 2b: what this package promises. States, counts, batches and the poll plan; no HTTP, no sleeping, no Airflow."""
