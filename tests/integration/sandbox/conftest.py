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
def no_log_of_the_plain_client(caplog: pytest.LogCaptureFixture) -> None:
    """Keep urllib3 from logging the keys that the tests' own client sends; nothing of the package's does that."""
    caplog.set_level(logging.WARNING, logger="urllib3")


class Crm:
    """A plain client that knows nothing of the package's own."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.http = requests.Session()
        self.settle_timeout = 10.0
        self.pair = {"accessKey": sandbox.access_key, "secretKey": sandbox.secret_key}
        self.api_key = {"x-api-key": sandbox.api_key}

    def get(self, path: str, keys: bool = True, **query: str) -> requests.Response:
        query = {**self.pair, **query} if keys else query
        return self.http.get(self.sandbox.url + path, params=query, headers=self.api_key, timeout=self.settle_timeout)

    def post(self, path: str, lead: Any, **query: str) -> requests.Response:
        body = json.dumps(pairs(lead) if isinstance(lead, dict) else lead)
        headers = {**self.api_key, "Content-Type": "application/json"}
        params = {**self.pair, **query}
        return self.http.post(
            self.sandbox.url + path, params=params, data=body, headers=headers, timeout=self.settle_timeout
        )

    def submit(self, lead: Any, **query: str) -> str:
        answer = self.post(CAPTURE, lead, **query)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["RequestID"])

    def look(self, request_id: str) -> requests.Response:
        return self.get("/lead/status", keys=False, RequestID=request_id)

    def task(self, request_id: str) -> dict[str, Any]:
        return dict(self.look(request_id).json()["TaskStatus"])

    def capture(self, lead: Any, **query: str) -> dict[str, Any]:
        """Capture at once and return what LeadSquared says of it, an error included."""
        answer = self.post(SYNC_CAPTURE, lead, **query).json()
        return dict(answer["Message"] if answer["Status"] == "Success" else answer)

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
    """Time stands still, and a lead is first attempted one second after its acceptance."""
    return leadsquared_sandbox_factory(speed=0)


@pytest.fixture
def crm(sandbox: Sandbox) -> Iterator[Crm]:
    client = Crm(sandbox)
    yield client
    client.http.close()
