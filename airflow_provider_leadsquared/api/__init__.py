"""Layer 1: what LeadSquared says. Requests and responses as data; no sockets, no sleeping, no Airflow."""
