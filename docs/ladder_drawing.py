"""
Draw LeadSquared's retries in both readings of its list, and the polls that the plan makes for one request.

``python docs/ladder_drawing.py`` prints the drawing; with ``--write`` it replaces ``images/retries-and-polls.svg``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

if __name__ == "__main__":  # as a program, also from elsewhere
    sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_provider_leadsquared.api.retries import RetryLadder
from benchmarks.waiting_model import run_plan
from benchmarks.waiting_worlds import World

PICTURE = Path(__file__).parent / "images" / "retries-and-polls.svg"
_LEFT, _RIGHT, _FIRST, _STEP = 255.0, 970.0, 62.0, 62.0
#: The axis: seconds since acceptance, and how they are written.
_AXIS = {
    10: "10 s",
    30: "30 s",
    120: "2 min",
    600: "10 min",
    1_800: "30 min",
    3_600: "1 h",
    10_800: "3 h",
    32_400: "9 h",
}
_STYLE = """  <style>
    .page { fill: #ffffff }
    .lane { fill: #f3f5f8 }
    .text { fill: #1c2733 }
    .note { fill: #4a5766; font-size: 13px }
    .axis { stroke: #d5dae1 }
    .retry { fill: #fff7ec; stroke: #b36b00; stroke-width: 1.5 }
    .poll { stroke: #3b5b8c; stroke-width: 2.5 }
  </style>"""


def polls() -> list[float]:
    """Return when the plan polls for a request that passes at the last retry of the longer reading, in seconds."""
    request = World([0.0], [RetryLadder().longest + 3.0], [3.0])
    return [at for at, _, _ in run_plan(request).course]


def drawing() -> str:
    """Return the drawing as SVG."""
    ladder, polled = RetryLadder(), polls()
    lanes = [
        ("LeadSquared's retries, if each", "interval follows the one before", ladder.as_gaps(), _retry),
        ("LeadSquared's retries, if all", "count from the first attempt", ladder.as_offsets(), _retry),
        (f"The sensor's {len(polled)} polls,", "until one reading is ruled out", polled, _poll),
    ]
    height = _FIRST + _STEP * len(lanes) - 22
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 {height:g}" role="img" aria-labelledby="title" '
        'font-family="system-ui, -apple-system, \'Segoe UI\', sans-serif" font-size="15">',
        '  <title id="title">The retries of LeadSquared in both readings of its list, and the polls of one request, '
        "by the time since acceptance on a logarithmic axis</title>",
        _STYLE,
        f'  <rect class="page" width="1000" height="{height:g}" rx="10"/>',
    ]
    for seconds, words in _AXIS.items():
        x = _across(seconds)
        lines.append(f'  <path class="axis" d="M{x:.1f} 38 V{height - 12:g}"/>')
        lines.append(f'  <text class="note" x="{x:.1f}" y="28" text-anchor="middle">{words}</text>')
    lines.append('  <text class="note" x="20" y="28">Time since acceptance</text>')
    for number, (first, second, times, mark) in enumerate(lanes):
        lines += _lane(_FIRST + _STEP * number, (first, second), times, mark)
    return "\n".join([*lines, "</svg>", ""])


def _lane(
    middle: float, words: Sequence[str], times: Sequence[float], mark: Callable[[float, float], str]
) -> list[str]:
    texts = [
        f'  <text class="text" x="20" y="{middle - 2 + 18 * line:g}">{one}</text>' for line, one in enumerate(words)
    ]
    return [*texts, *(mark(_across(seconds), middle + 2) for seconds in times)]


def _across(seconds: float) -> float:
    """Return where on the logarithmic axis a time is."""
    first, last = math.log(6), math.log(38_000)
    return _LEFT + (_RIGHT - _LEFT) * (math.log(seconds) - first) / (last - first)


def _retry(x: float, y: float) -> str:
    return f'  <circle class="retry" cx="{x:.1f}" cy="{y:g}" r="7"/>'


def _poll(x: float, y: float) -> str:
    return f'  <path class="poll" d="M{x:.1f} {y - 12:g} V{y + 12:g}"/>'


def main() -> int:
    """Print or write the drawing."""
    if "--write" in sys.argv[1:]:
        PICTURE.write_text(drawing())
    else:
        print(drawing(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
