"""Where the parts of a chart stand; the templates draw them as SVG, each beside a table with the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: The size of a chart, and the margins of its drawing area, in units of its ``viewBox``.
WIDTH, HEIGHT = 760.0, 240.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 8.0, 10.0, 34.0
#: A bar is so wide as its place allows, and not wider.
_SHARE, _WIDEST = 0.7, 56.0
#: Nothing that is there is drawn thinner.
_THINNEST = 1.0


@dataclass(frozen=True, slots=True)
class Part:
    """
    One part of a bar.

    :param name: What it counts.
    :param count: How many.
    :param y: Where it begins, from the top.
    :param height: How high it is.
    """

    name: str
    count: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """
    One bar.

    :param label: What stands below it.
    :param x: Where it begins, from the left.
    :param width: How wide it is.
    :param parts: Its parts, the lowest first.
    """

    label: str
    x: float
    width: float
    parts: tuple[Part, ...]

    @property
    def middle(self) -> float:
        """Where its middle is, from the left."""
        return self.x + self.width / 2


@dataclass(frozen=True, slots=True)
class Chart:
    """
    Bars that stand side by side.

    :param bars: The bars, from left to right.
    :param lines: Levels with a line: the count, and where the line is from the top.
    """

    bars: tuple[Bar, ...]
    lines: tuple[tuple[int, float], ...]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    base: float = HEIGHT - _BOTTOM

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(bar.parts for bar in self.bars)


def stacked(bars: Sequence[tuple[str, Mapping[str, int]]]) -> Chart:
    """
    Return a chart of stacked bars.

    :param bars: The label of each, and its parts, the lowest first.
    """
    highest = max((sum(parts.values()) for _, parts in bars), default=0)
    levels = _levels(highest)
    scale = (HEIGHT - _TOP - _BOTTOM) / levels[-1]
    place = (WIDTH - _LEFT - _RIGHT) / max(len(bars), 1)
    width = min(place * _SHARE, _WIDEST)
    base = HEIGHT - _BOTTOM
    drawn = []
    for number, (label, parts) in enumerate(bars):
        y, of_bar = base, []
        for name, count in parts.items():
            if count:
                height = max(count * scale, _THINNEST)
                y -= height
                of_bar.append(Part(name, count, round(y, 1), round(height, 1)))
        drawn.append(Bar(label, round(_LEFT + place * (number + 0.5) - width / 2, 1), round(width, 1), tuple(of_bar)))
    return Chart(tuple(drawn), tuple((level, round(base - level * scale, 1)) for level in levels))


def _levels(highest: int) -> list[int]:
    """Return round numbers from zero to one that is not below the highest: two to five steps."""
    step = 1
    while step * 5 < highest:
        step = step * 2 if str(step)[0] != "2" else step // 2 * 5
    return [step * number for number in range(max(-(-highest // step), 1) + 1)]


#: The upper ends of the classes of :func:`spread`, in seconds, with what they are called.
_CLASSES = (
    (10.0, "< 10 s"),
    (30.0, "< 30 s"),
    (60.0, "< 1 min"),
    (300.0, "< 5 min"),
    (1_800.0, "< 30 min"),
    (7_200.0, "< 2 h"),
    (32_400.0, "< 9 h"),
)


def spread(seconds: Sequence[float]) -> list[tuple[str, int]]:
    """Return how many of some spans of time are in each class, the shortest class first."""
    counts = [0] * (len(_CLASSES) + 1)
    for one in seconds:
        counts[sum(one >= end for end, _ in _CLASSES)] += 1
    return list(zip([*(name for _, name in _CLASSES), "9 h or more"], counts, strict=True))
