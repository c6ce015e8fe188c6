"""
An HTTP server that behaves like LeadSquared, for tests, demos and CI on one machine.

It is written from LeadSquared's documents and shares no code with the client, so that both cannot have the same error.
Run it with ``python -m airflow_provider_leadsquared.sandbox``, or use :class:`Sandbox` inside a test.
"""

from __future__ import annotations

from airflow_provider_leadsquared.sandbox.harness import Sandbox

__all__ = ["Sandbox"]
