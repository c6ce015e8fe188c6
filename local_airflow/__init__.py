"""
A real Airflow on this machine's loopback, for the demonstration and the end-to-end tests; not part of the wheel.

`airflow.py` has `LocalAirflow`, which puts the others together: `rest.py` talks to Airflow's REST API, `processes.py`
starts and watches its processes, `guard.py` ends them, `environment.py` has their settings, and `servers.py` has the
Postgres and the Redis that Celery workers need.
"""

from local_airflow.airflow import LocalAirflow
from local_airflow.errors import LocalAirflowError
from local_airflow.rest import TaskInstance

__all__ = ["LocalAirflow", "LocalAirflowError", "TaskInstance"]
