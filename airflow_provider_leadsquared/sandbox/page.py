"""The HTML page that shows the state of the sandbox."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import islice

from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.queue import State
from airflow_provider_leadsquared.sandbox.store import Lead

_ROWS = 10
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #888; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1rem; margin: 2rem 0 .4rem; }
p { margin: .2rem 0; color: var(--quiet); }
ul { display: flex; flex-wrap: wrap; gap: .6rem; padding: 0; margin: 1.2rem 0; list-style: none; }
li { border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .9rem; min-width: 6.5rem; }
li b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
li span { color: var(--quiet); }
div { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--quiet); }
th, td { padding: .25rem 1rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
code { font-size: .85em; }
"""


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
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<meta name="viewport" content="width=device-width"><title>LeadSquared sandbox</title><style>{_STYLE}</style></head>
<body><h1>LeadSquared sandbox</h1>
<p>{escape(url)} &middot; {_time(now)} UTC, {escape(speed)}</p>
<p>{pending} requests pending, all attempted in {delay} s; {rate:.1f} attempts per minute</p>
<ul>{figures}</ul>
{_tables(account, now)}
</body></html>
"""


def _tables(account: Account, now: float) -> str:
    upcoming = [
        (request.id, request.state, len(request.attempts), _duration_until(request.next_attempt_at, now))
        for request in account.queue.upcoming(_ROWS)
    ]
    rejected = [
        (_time(request.settled_at), request.id, str(request.rejection))
        for request in reversed(account.queue.recent_rejected)
    ]
    leads = [
        (lead.number, _name(lead), lead.values.get("EmailAddress", ""), lead.values.get("Phone", ""), lead.captures)
        for lead in islice(reversed(list(account.store.leads)), _ROWS)
    ]
    faults = [
        (
            fault.id,
            fault.kind,
            fault.endpoint or "any",
            "no end" if fault.calls is None else fault.calls,
            fault.affected,
        )
        for fault in account.faults.active
    ]
    tables = (
        _table("Next attempts", ("Request", "State", "Attempts made", "Due in"), upcoming),
        _table("Recent rejected requests", ("Settled", "Request", "Reason"), rejected),
        _table("Latest leads", ("No.", "Name", "E-mail", "Phone", "Captures"), leads),
        _table("Faults", ("Id", "Kind", "Endpoint", "Calls left", "Calls affected"), faults),
    )
    return "\n".join(tables)


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    if not cells:
        return f"<h2>{escape(title)}</h2><p>none</p>"
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<h2>{escape(title)}</h2><div><table><tr>{names}</tr>{cells}</table></div>"


def _name(lead: Lead) -> str:
    return f"{lead.values.get('FirstName', '')} {lead.values.get('LastName', '')}".strip()


def _time(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _duration_until(at: float | None, now: float) -> str:
    seconds = max(0, round((at or now) - now))
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
