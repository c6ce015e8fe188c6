"""The first page of the sandbox: queue, latest leads, recent rejected requests, faults."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import islice

from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.page_parts import Link, moment, note, page, table
from airflow_provider_leadsquared.sandbox.queue import Request, State

_ROWS = 10


def render(account: Account, url: str) -> str:
    """
    Return the page. Everything that clients have sent is escaped.

    :param account: The account, after :meth:`Account.run_due`.
    :param url: Address of the sandbox.
    """
    now, clock, queue = account.clock.now(), account.clock, account.queue
    speed = f"{clock.speed:g} times real time" if clock.speed else "clock stopped"
    pending, delay, rate = queue.metrics(now, account.settings)
    tiles = [
        ("leads", len(account.store.leads)),
        ("activities", len(account.store.activities)),
        ("accepted", len(queue.requests)),
        *((state.value, queue.counts[state]) for state in State),
        ("polls", len(account.polls)),
    ]
    figures = "".join(f"<li><b>{value}</b><span>{escape(label)}</span></li>" for label, value in tiles)
    parts = (
        note(f"{url} · {moment(now)} UTC, {speed}"),
        note(f"{pending} requests pending, all attempted in {delay} s; {rate:.1f} attempts per minute"),
        f"<ul>{figures}</ul>",
        _upcoming(account, now),
        _rejected(account),
        _latest_leads(account),
        _faults(account),
    )
    return page("LeadSquared sandbox", "\n".join(parts), is_refreshed=True)


def name_of(values: Mapping[str, object]) -> str:
    """
    Return what people call a lead: its name, or else what it is found by. Empty if it has neither.

    :param values: Attributes and values of the lead.
    """
    name = f"{values.get('FirstName') or ''} {values.get('LastName') or ''}".strip()
    return name or str(values.get("EmailAddress") or values.get("Phone") or values.get("ProspectID") or "")


def sent_lead(request: Request) -> Mapping[str, str | None]:
    """
    Return the lead of a request as it was sent, empty if the body has none.

    :param request: The request.
    """
    return request.api.read_lead(request.body) or {}


def lead_link(account: Account, lead_id: str | None) -> Link | str:
    """
    Return a link to a lead that shows its number and name, an empty text if there is no such lead.

    :param account: The account.
    :param lead_id: The id of the lead.
    """
    lead = account.store.lead(lead_id) if lead_id else None
    return Link("leads", lead.id, f"{lead.number} {name_of(lead.values)}".strip()) if lead else ""


def _upcoming(account: Account, now: float) -> str:
    rows = [
        (
            Link("requests", request.id, request.id),
            name_of(sent_lead(request)),
            request.state,
            len(request.attempts),
            _duration_until(request.next_attempt_at, now),
        )
        for request in account.queue.upcoming(_ROWS)
    ]
    return table("Next attempts", ("Request", "Lead as sent", "State", "Attempts made", "Due in"), rows)


def _rejected(account: Account) -> str:
    rows = [
        (
            moment(request.settled_at),
            Link("requests", request.id, request.id),
            name_of(sent_lead(request)),
            str(request.rejection),
            lead_link(account, request.rejection.lead_id if request.rejection else None),
        )
        for request in reversed(account.queue.recent_rejected)
    ]
    head = ("Settled", "Request", "Lead as sent", "Reason", "Because of lead")
    return table("Recent rejected requests", head, rows)


def _latest_leads(account: Account) -> str:
    rows = [
        (
            Link("leads", lead.id, str(lead.number)),
            name_of(lead.values),
            lead.values.get("EmailAddress", ""),
            lead.values.get("Phone", ""),
            sum(1 for value in lead.values.values() if value),
            lead.captures,
        )
        for lead in islice(reversed(list(account.store.leads)), _ROWS)
    ]
    return table("Latest leads", ("No.", "Name", "E-mail", "Phone", "Fields", "Captures"), rows)


def _faults(account: Account) -> str:
    rows = [
        (
            fault.id,
            fault.kind,
            fault.endpoint or "any",
            "no end" if fault.calls is None else fault.calls,
            fault.affected,
        )
        for fault in account.faults.active
    ]
    return table("Faults", ("Id", "Kind", "Endpoint", "Calls left", "Calls affected"), rows)


def _duration_until(at: float | None, now: float) -> str:
    seconds = max(0, round((at or now) - now))
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
