from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import requests

from airflow_provider_leadsquared.sandbox import Sandbox

CAPTURE = "/lead/capture"
SYNC_CAPTURE = "/v2/LeadManagement.svc/Lead.Capture"


@pytest.fixture(autouse=True)
def no_log_of_the_test_client(caplog: pytest.LogCaptureFixture) -> None:
    """Keep urllib3 from logging the keys that this test client sends. The package's client never logs them."""
    caplog.set_level(logging.WARNING, logger="urllib3")


class Crm:
    """A simple HTTP client that uses no code of the package's client."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.http = requests.Session()
        self.timeout = 10.0
        self.pair = {"accessKey": sandbox.access_key, "secretKey": sandbox.secret_key}
        self.api_key = {"x-api-key": sandbox.api_key}

    def get(self, path: str, keys: bool = True, **query: str) -> requests.Response:
        query = {**self.pair, **query} if keys else query
        return self.http.get(self.sandbox.url + path, params=query, headers=self.api_key, timeout=self.timeout)

    def post(self, path: str, lead: Any, **query: str) -> requests.Response:
        body = json.dumps(pairs(lead) if isinstance(lead, dict) else lead)
        headers = {**self.api_key, "Content-Type": "application/json"}
        params = {**self.pair, **query}
        return self.http.post(self.sandbox.url + path, params=params, data=body, headers=headers, timeout=self.timeout)

    def submit(self, lead: Any, **query: str) -> str:
        response = self.post(CAPTURE, lead, **query)
        assert response.status_code == 200, response.text
        return str(response.json()["RequestID"])

    def poll(self, request_id: str) -> requests.Response:
        return self.get("/lead/status", keys=False, RequestID=request_id)

    def task(self, request_id: str) -> dict[str, Any]:
        return dict(self.poll(request_id).json()["TaskStatus"])

    def capture(self, lead: Any, **query: str) -> dict[str, Any]:
        """Capture at once and return the result, or the error body."""
        body = self.post(SYNC_CAPTURE, lead, **query).json()
        return dict(body["Message"] if body["Status"] == "Success" else body)

    def values(self, captured: Mapping[str, Any]) -> dict[str, Any]:
        lead = self.sandbox.lead(captured["RelatedId"])
        assert lead is not None
        return dict(lead["values"])


def pairs(lead: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"Attribute": name, "Value": "", "Fields": pairs(value)}
        if isinstance(value, dict)
        else {"Attribute": name, "Value": value}
        for name, value in lead.items()
    ]


@pytest.fixture
def sandbox(leadsquared_sandbox_factory: Callable[..., Sandbox]) -> Sandbox:
    """The clock is stopped, and a request is first attempted one second after its acceptance."""
    return leadsquared_sandbox_factory(speed=0)


@pytest.fixture
def crm(sandbox: Sandbox) -> Iterator[Crm]:
    client = Crm(sandbox)
    yield client
    client.http.close()
