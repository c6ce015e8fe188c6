"""The HTML of the sandbox's pages: frame, tables and links. Everything from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

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
a { color: inherit; }
"""


@dataclass(frozen=True, slots=True)
class Link:
    """A cell that leads to the page of a lead or of a request."""

    kind: str
    """``leads`` or ``requests``."""
    id: str
    text: str

    def as_html(self) -> str:
        """Return the link."""
        # An id may hold anything, also half of a surrogate pair.
        address = quote(self.id, safe="", errors="replace")
        return f'<a href="/view/{self.kind}/{address}">{escape(self.text)}</a>'


def page(title: str, body: str, is_refreshed: bool = False) -> str:
    """
    Return a whole page.

    :param title: The title, not yet escaped.
    :param body: The HTML of the body.
    :param is_refreshed: Whether the browser loads it again every two seconds.
    """
    refresh = '<meta http-equiv="refresh" content="2">' if is_refreshed else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">{refresh}
<meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><h1>{escape(title)}</h1>
{body}
</body></html>
"""


def note(text: str) -> str:
    """
    Return a line of text.

    :param text: The text, not yet escaped.
    """
    return f"<p>{escape(text)}</p>"


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """
    Return a table under a heading.

    :param title: The heading.
    :param head: Names of the columns.
    :param rows: The cells of each row, not yet escaped; a :class:`Link` becomes a link.
    """
    cells = "".join(f"<tr>{''.join(f'<td>{_cell(one)}</td>' for one in row)}</tr>" for row in rows)
    if not cells:
        return f"<h2>{escape(title)}</h2><p>none</p>"
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<h2>{escape(title)}</h2><div><table><tr>{names}</tr>{cells}</table></div>"


def moment(at: float | None) -> str:
    """
    Return a time as text, in UTC.

    :param at: Seconds since 1970; None gives an empty text.
    """
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _cell(value: object) -> str:
    return value.as_html() if isinstance(value, Link) else escape("" if value is None else str(value))
