"""A demonstration on this machine: a real Airflow, and a LeadSquared to talk to."""
