"""The sandbox's time, which may run faster than real time or stand still until it is moved by hand."""

from __future__ import annotations

import time

_END = 253_000_000_000.0
"""The last moment, in the year 9987: later ones could not be told as dates."""


class Clock:
    """
    Sandbox seconds since 1970, running at ``speed`` times real time.

    With speed 0 the clock stands still and only :meth:`advance` moves it.

    :param speed: Sandbox seconds that pass in one real second.
    :param start: The first reading; real time when left out.
    """

    def __init__(self, speed: float = 1.0, start: float | None = None) -> None:
        self._anchor_real = time.time()
        self._anchor_monotonic = time.monotonic()
        # Moved by hand it begins at a whole second, which keeps sums of whole seconds exact.
        self._anchor = start if start is not None else self._anchor_real if speed else float(int(self._anchor_real))
        self._speed = 0.0
        self.set_speed(speed)

    @property
    def speed(self) -> float:
        """Sandbox seconds per real second."""
        return self._speed

    def now(self) -> float:
        """Return the present sandbox time."""
        return self._anchor + (time.monotonic() - self._anchor_monotonic) * self._speed

    def real(self, at: float) -> float:
        """
        Return the real time at which the sandbox reached a moment.

        Moments that the clock jumped over were reached at the jump.

        :param at: A sandbox time since the last jump or change of speed.
        """
        if self._speed == 0:
            return time.time()
        return self._anchor_real + max(0.0, at - self._anchor) / self._speed

    def advance(self, seconds: float) -> None:
        """
        Jump forward.

        :param seconds: How far; time never runs backwards.
        :raises ValueError: When negative, or too far to be told as a date.
        """
        if not 0 <= seconds <= _END - self.now():
            raise ValueError(f"the clock goes forward only, and not beyond its dates: {seconds} seconds")
        self._move_anchor(self.now() + seconds)

    def set_speed(self, speed: float) -> None:
        """
        Run at another speed from now on.

        :param speed: Sandbox seconds per real second, 0 to stand still.
        :raises ValueError: When negative or more than a million.
        """
        if not 0 <= speed <= 1_000_000:
            raise ValueError(f"a speed is between 0 and a million, not {speed}")
        self._move_anchor(self.now())
        self._speed = speed

    def _move_anchor(self, now: float) -> None:
        self._anchor, self._anchor_real, self._anchor_monotonic = now, time.time(), time.monotonic()
