"""The pages of one lead and of one request."""

from __future__ import annotations

import json
from collections.abc import Mapping

from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.page import lead_link, name_of, sent_lead
from airflow_provider_leadsquared.sandbox.page_parts import Link, moment, note, page, table
from airflow_provider_leadsquared.sandbox.queue import Request
from airflow_provider_leadsquared.sandbox.store import Lead

_FIELD_COLUMNS = ("Field", "Value")
_BACK = '<p><a href="/">LeadSquared sandbox</a></p>'


def render_entry(account: Account, collection: str, entry_id: str) -> str | None:
    """
    Return the page of a lead or of a request, None if there is none with that id.

    :param account: The account, after :meth:`Account.run_due`.
    :param collection: ``leads`` or ``requests``.
    :param entry_id: Its id.
    """
    if collection == "leads":
        lead = account.store.lead(entry_id)
        return _lead_page(account, lead) if lead else None
    request = account.queue.request(entry_id)
    return _request_page(account, request) if request else None


def _lead_page(account: Account, lead: Lead) -> str:
    activities = [
        (moment(one.at), "rejected as duplicate" if one.is_duplicate else "captured", _pairs(one.source))
        for one in account.store.activities
        if one.lead_id == lead.id
    ]
    parts = (
        _BACK,
        note(f"ProspectID {lead.id}"),
        note(f"created {moment(lead.created_at)} UTC, changed {moment(lead.modified_at)} UTC"),
        table("Fields", _FIELD_COLUMNS, [(name, _shown(value)) for name, value in lead.values.items() if value]),
        _requests(account, lead),
        table("Activities", ("Posted", "What", "Source"), activities),
    )
    return page(f"Lead {lead.number} {name_of(lead.values)}".strip(), "\n".join(parts))


def _requests(account: Account, lead: Lead) -> str:
    """Return the requests that captured the lead or were rejected because of it."""
    rows = [
        (moment(request.accepted_at), Link("requests", request.id, request.id), request.state, request.reason)
        for request in account.queue.requests
        if lead.id in (request.lead_id, request.rejection.lead_id if request.rejection else None)
    ]
    return table("Requests", ("Accepted", "Request", "State", "Reason"), rows)


def _request_page(account: Account, request: Request) -> str:
    attempts = [(number, moment(one.at), one.outcome) for number, one in enumerate(request.attempts, 1)]
    next_attempt = [("next", moment(request.next_attempt_at), "")] if request.next_attempt_at else []
    facts = [
        ("API", request.api.name),
        ("State", request.state),
        ("Accepted", f"{moment(request.accepted_at)} UTC"),
        ("Reason", request.reason),
        ("Lead", lead_link(account, request.lead_id)),
        ("Rejected because of lead", lead_link(account, request.rejection.lead_id if request.rejection else None)),
        ("Polls", request.polls),
        ("Parameters", _pairs(request.parameters)),
    ]
    parts = (
        _BACK,
        table("Request", ("", ""), [fact for fact in facts if fact[1] not in ("", None)]),
        # An empty value is shown too: it clears the field.
        table("Lead as sent", _FIELD_COLUMNS, [(name, _shown(value)) for name, value in sent_lead(request).items()]),
        table("Attempts", ("No.", "At", "Outcome"), [*attempts, *next_attempt]),
    )
    return page(f"Request {request.id}", "\n".join(parts))


def _shown(value: object) -> object:
    return value if isinstance(value, str) else json.dumps(value)


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in values.items())
