"""Floor 1: what LeadSquared says. Requests as data, answers as dataclasses; no sockets, no sleeping, no Airflow."""
