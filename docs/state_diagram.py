"""
Draw the states of a row from the package's table, as a Mermaid diagram.

``python docs/state_diagram.py`` prints it; with ``--write`` it replaces the one in ``architecture.md``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_provider_leadsquared.delivery.states import TABLE, State

PAGE = Path(__file__).with_name("architecture.md")
BEGIN, END = "<!-- states: begin -->", "<!-- states: end -->"


def diagram() -> str:
    """Return the diagram: an arrow for each state that can follow another, final states end it."""
    lines = ["```mermaid", "stateDiagram-v2"]
    # A row that is not sent keeps its first state; every other one begins as unsent.
    reached = {following for description in TABLE.values() for following in description.next} - {State.UNSENT}
    lines += [f"    [*] --> {state.value}" for state in State if state not in reached]
    for state, description in TABLE.items():
        lines += [f"    {state.value} --> {following.value}" for following in description.next]
        if state.is_final:
            lines.append(f"    {state.value} --> [*]")
    return "\n".join([*lines, "```"])


def page_with_diagram(page: str) -> str:
    """Return the text of a page with the diagram between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{diagram()}\n\n{END}{after}"


def main() -> int:
    """Print or write the diagram."""
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page_with_diagram(PAGE.read_text()))
    else:
        print(diagram())
    return 0


if __name__ == "__main__":
    sys.exit(main())
