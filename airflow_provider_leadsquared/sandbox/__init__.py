"""
A LeadSquared to run on one's own machine: an independent reading of its documents.

It shares no code with the client, so that the two cannot share an error. ``python -m`` runs it from the command line,
:class:`Sandbox` inside a test.
"""

from __future__ import annotations

from airflow_provider_leadsquared.sandbox.harness import Sandbox

__all__ = ["Sandbox"]
