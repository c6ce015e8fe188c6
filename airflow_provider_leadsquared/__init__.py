"""Airflow provider for LeadSquared: send leads through the Async API and wait for their verdicts."""

__version__ = "0.1.0"
