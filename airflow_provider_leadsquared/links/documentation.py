"""Where the documentation is published: the address ``Documentation`` of the installed distribution."""

from __future__ import annotations

from importlib.metadata import metadata

_DISTRIBUTION = "airflow-provider-leadsquared"


def page_of_error(name: str) -> str:
    """
    Return the address of what is said about an error; empty where the distribution names no documentation.

    :param name: The error's name.
    """
    address = _address()
    return f"{address}/errors.html#{name.lower()}" if address else ""


def _address() -> str:
    for entry in metadata(_DISTRIBUTION).get_all("Project-URL") or ():
        label, _, address = entry.partition(", ")
        if label == "Documentation":
            return str(address).rstrip("/")
    return ""
