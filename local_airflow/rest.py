"""A client of Airflow's public REST API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import requests

from local_airflow.errors import LocalAirflowError
from local_airflow.loopback import LOOPBACK


@dataclass(frozen=True)
class TaskInstance:
    """One task of one run, as the REST API tells it."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    start_date: datetime | None
    end_date: datetime | None
    hostname: str | None = None

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Read one task instance of the API's answer."""
        return cls(
            task_id=data["task_id"],
            map_index=data["map_index"],
            state=data["state"],
            try_number=data["try_number"],
            start_date=moment(data["start_date"]),
            end_date=moment(data["end_date"]),
            hostname=data["hostname"],
        )


class RestClient:
    """
    Talk to the API of an Airflow on loopback.

    :param port: port of its API server
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._http = requests.Session()
        self._http.trust_env = False  # neither a proxy nor a .netrc stands between us and loopback

    @property
    def url(self) -> str:
        """The address of the web interface and the API; it needs no login."""
        return f"http://{LOOPBACK}:{self.port}"

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def get(self, path: str, *, timeout: float = 1.0) -> requests.Response:
        """
        Ask for any page of the API server.

        :param timeout: seconds to wait for the answer
        :raises requests.RequestException: no answer
        """
        return self._http.get(self.url + path, timeout=timeout)

    def authorize(self, token: str) -> None:
        """Send this token with all calls from now on."""
        self._http.headers["Authorization"] = f"Bearer {token}"

    def api(self, method: str, path: str, **arguments: Any) -> Any:
        """
        Call the public REST API.

        :param path: what follows `/api/v2/`
        :param arguments: as `requests` takes them
        :return: the decoded answer
        :raises LocalAirflowError: the API says no
        :raises requests.RequestException: the API does not answer
        """
        response = self._http.request(method, f"{self.url}/api/v2/{path}", timeout=30, **arguments)
        if not response.ok:
            raise LocalAirflowError(f"{method} {path}: {response.status_code} {response.text[:2000]}")
        return response.json() if response.content else None

    def pages(self, path: str, name: str) -> Iterator[dict[str, Any]]:
        """Read a collection to its end."""
        seen, total = 0, 1
        while seen < total:
            page = self.api("GET", path, params={"limit": 100, "offset": seen})
            yield from page[name]
            seen, total = seen + max(len(page[name]), 1), page["total_entries"]

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """
        Start a run of a DAG.

        :return: the run's id
        """
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf or {})}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return str(self.api("POST", f"dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def dag_run_state(self, dag_id: str, run_id: str) -> str:
        """Tell a run's state: `queued`, `running`, `success` or `failed`."""
        return str(self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Tell the state of every task of a run, in the order in which they were created."""
        rows = self.pages(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances")
        return [TaskInstance.read(row) for row in rows]

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", *, map_index: int = -1) -> Any:
        """Read a value that a task has pushed; it is a `LocalAirflowError` if there is none."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.api("GET", path, params={"map_index": map_index, "stringify": False})["value"]

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, *, try_number: int | None = None, map_index: int = -1
    ) -> str:
        """
        Read a task's log as text, a line for each record with everything the record holds.

        :param try_number: the latest by default
        """
        if try_number is None:
            try_number = self._task_instance(dag_id, run_id, task_id, map_index)["try_number"]
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self.api("GET", path, params={"map_index": map_index, "full_content": True})["content"]
        return "\n".join(_log_line(record) for record in content)

    def rendered_fields(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> dict[str, Any]:
        """Read a task's template fields as the web interface shows them."""
        return dict(self._task_instance(dag_id, run_id, task_id, map_index)["rendered_fields"])

    def _task_instance(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> Any:
        return self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}")


def moment(text: str | None) -> datetime | None:
    """Read a time of the API."""
    return datetime.fromisoformat(text) if text else None


def _log_line(record: str | dict[str, Any]) -> str:
    """Write a log record in one line: time, level, message, and whatever else it holds."""
    if isinstance(record, str):
        return record
    rest = dict(record)
    head = [str(rest.pop(name)) for name in ("timestamp", "level", "event") if rest.get(name)]
    return " ".join([*head, json.dumps(rest, default=str)] if rest else head)
