"""The sandbox's clock. It runs at real time, faster, or only when it is advanced by hand."""

from __future__ import annotations

import time

_END = 253_000_000_000.0
"""The latest sandbox time, in the year 9987: Python has no dates after the year 9999."""


class Clock:
    """
    Sandbox time in seconds since 1970, which runs at ``speed`` times real time.

    With speed 0 the clock is stopped and only :meth:`advance` moves it.

    :param speed: Sandbox seconds per real second, from 0 to 1,000,000.
    :param start: The first sandbox time, real time by default.
    :raises ValueError: If the speed is out of range.
    """

    def __init__(self, speed: float = 1.0, start: float | None = None) -> None:
        self._anchor_real = time.time()
        self._anchor_monotonic = time.monotonic()
        # A stopped clock starts at a whole second, so that sums of whole seconds are exact.
        self._anchor = start if start is not None else self._anchor_real if speed else float(int(self._anchor_real))
        self._speed = 0.0
        self.set_speed(speed)

    @property
    def speed(self) -> float:
        """Sandbox seconds per real second."""
        return self._speed

    def now(self) -> float:
        """Return sandbox time now."""
        return self._anchor + (time.monotonic() - self._anchor_monotonic) * self._speed

    def real_time(self, at: float) -> float:
        """
        Return the real time of a sandbox time.

        Every sandbox time that :meth:`advance` skipped has the real time of that advance.

        :param at: A sandbox time since the last advance or change of speed.
        """
        if self._speed == 0:
            return time.time()
        return self._anchor_real + max(0.0, at - self._anchor) / self._speed

    def advance(self, seconds: float) -> None:
        """
        Advance the clock.

        :param seconds: Sandbox seconds, 0 or more.
        :raises ValueError: If negative, or if the new time would be after the year 9987.
        """
        if not 0 <= seconds <= _END - self.now():
            raise ValueError(f"the clock goes forward only and to the year 9987 at most, not by {seconds} seconds")
        self._move_anchor(self.now() + seconds)

    def set_speed(self, speed: float) -> None:
        """
        Set the speed from now on.

        :param speed: Sandbox seconds per real second, from 0 (stopped) to 1,000,000.
        :raises ValueError: If the speed is out of range.
        """
        if not 0 <= speed <= 1_000_000:
            raise ValueError(f"speed must be between 0 and 1000000, not {speed}")
        self._move_anchor(self.now())
        self._speed = speed

    def _move_anchor(self, now: float) -> None:
        self._anchor, self._anchor_real, self._anchor_monotonic = now, time.time(), time.monotonic()
