"""
Draw the states of a row from the package's table: which follow which, and which are final.

``python docs/state_diagram.py`` prints the drawing; with ``--write`` it replaces ``images/states.svg``.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # as a program, also from elsewhere
    sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_provider_leadsquared.delivery.states import TABLE, Group, State

PICTURE = Path(__file__).parent / "images" / "states.svg"
_LANES = {70.0: "Not sent by this run", 205.0: "On the way", 340.0: "LeadSquared's verdict"}
_WIDTH, _HEIGHT = 116.0, 40.0
#: Where the middle of each state's box is.
_PLACES: dict[State, tuple[float, float]] = {
    State.INVALID: (290, 70),
    State.UNCHANGED: (460, 70),
    State.SUPERSEDED: (640, 70),
    State.WAITING: (830, 70),
    State.UNSENT: (290, 205),
    State.IN_DOUBT: (560, 205),
    State.OPEN: (830, 205),
    State.REJECTED: (400, 340),
    State.FAILED: (560, 340),
    State.CREATED: (720, 340),
    State.UPDATED: (880, 340),
}
_FIRST = (140.0, 205.0)
_CLASSES = {Group.CONFIRMED: "yes", Group.UNCHANGED: "yes", Group.REFUSED: "no", Group.SET_ASIDE: "no"}
_STYLE = """  <style>
    .page { fill: #ffffff }
    .lane { fill: #f3f5f8 }
    .box { fill: #ffffff; stroke: #3b5b8c; stroke-width: 1.5 }
    .yes { fill: #e9f5ec; stroke: #2e7d4f; stroke-width: 1.5 }
    .no { fill: #fff7ec; stroke: #b36b00; stroke-width: 1.5 }
    .line { stroke: #44505f; stroke-width: 1.6; fill: none; marker-end: url(#head) }
    .text { fill: #1c2733; font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 14px }
    .note { fill: #4a5766; font-size: 13px }
    .name { fill: #4a5766; font-size: 13px; font-weight: 600 }
  </style>
  <defs>
    <marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
      <path d="M0 0 L10 5 L0 10 z" fill="#44505f"/>
    </marker>
  </defs>"""


def edges() -> list[tuple[State | None, State]]:
    """Return each pair of a state and one that can follow it; None stands for a row that was just read."""
    first: list[tuple[State | None, State]] = [(None, state) for state in State if not state.was_sent]
    return first + [(state, following) for state in State for following in TABLE[state].next]


def drawing() -> str:
    """Return the drawing as SVG: an arrow for each pair of states, thick boxes for final states."""
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 406" role="img" aria-labelledby="title" '
        'font-family="system-ui, -apple-system, \'Segoe UI\', sans-serif" font-size="15">',
        '  <title id="title">The states of a row: which can follow which, from the row that is read to a final '
        "state</title>",
        _STYLE,
        '  <rect class="page" width="1000" height="406" rx="10"/>',
    ]
    for middle, name in _LANES.items():
        lines.append(f'  <rect class="lane" x="8" y="{middle - 62:g}" width="984" height="124" rx="8"/>')
        lines.append(f'  <text class="name" x="20" y="{middle - 42:g}">{name}</text>')
    lines += [f'  <path class="line" d="{_path(before, after)}"/>' for before, after in edges()]
    lines.append(f'  <text class="note" x="{_FIRST[0]}" y="{_FIRST[1] + 5}" text-anchor="middle">row is read</text>')
    for state, (x, y) in _PLACES.items():
        kind, width = _CLASSES.get(TABLE[state].group, "box"), 3 if state.is_final else 1.5
        lines.append(
            f'  <rect class="{kind}" style="stroke-width: {width:g}" x="{x - _WIDTH / 2:g}" y="{y - _HEIGHT / 2:g}" '
            f'width="{_WIDTH:g}" height="{_HEIGHT:g}" rx="6"/>'
        )
        lines.append(f'  <text class="text" x="{x:g}" y="{y + 5:g}" text-anchor="middle">{state.value}</text>')
    lines.append('  <text class="note" x="20" y="394">A thick line: final for this run.</text>')
    return "\n".join([*lines, "</svg>", ""])


def _path(before: State | None, after: State) -> str:
    """Return an arrow between two boxes: along a lane, or up or down in right angles."""
    x, y = _PLACES[after]
    from_x, from_y = _PLACES[before] if before else _FIRST
    if before is after:
        return f"M{x + 40:g} {y - 20:g} V{y - 36:g} H{x + 14:g} V{y - 22:g}"
    if y == from_y:
        forward = 1 if x > from_x else -1
        start = from_x + (forward * _WIDTH / 2 if before else 45)
        return f"M{start:g} {y - 7 * forward if before else y:g} H{x - forward * (_WIDTH / 2 + 2):g}"
    down = 1 if y > from_y else -1
    # Arrows of a row that was read turn farther away than those of in_doubt, so that no two lie on each other.
    aside, turn = (0, 88) if before is None else (-18, 64) if before is State.IN_DOUBT else (18, 78)
    lane = from_y + down * (turn if before else 80)
    return f"M{from_x + aside:g} {from_y + down * 20:g} V{lane:g} H{x + aside:g} V{y - down * 22:g}"


def main() -> int:
    """Print or write the drawing."""
    if "--write" in sys.argv[1:]:
        PICTURE.write_text(drawing())
    else:
        print(drawing(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
