"""How far LeadSquared's clock is ahead of this worker's. Ages of requests are measured on LeadSquared's clock."""

from __future__ import annotations

#: Seconds that the ``Date`` header leaves out: it has whole seconds.
_RESOLUTION = 1.0


class ClockOffset:
    """
    The difference of the two clocks, learnt from responses.

    :param before: What earlier polls found, in seconds; None if there was none. Used until a response states the time.
    """

    def __init__(self, before: float | None = None) -> None:
        self._before = before
        self._learnt: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether a response has stated the time, now or before."""
        return self._learnt is not None or self._before is not None

    @property
    def seconds(self) -> float:
        """Seconds that LeadSquared's clock is ahead of the worker's; 0 as long as it is not known."""
        return next((offset for offset in (self._learnt, self._before) if offset is not None), 0.0)

    def learn(self, server_time: float, now: float) -> None:
        """
        Take over the time of a response. It was written before the response came, so the largest offset counts.

        :param server_time: The time on LeadSquared's clock when it wrote the response, in whole seconds.
        :param now: The time on the worker's clock when the response was there.
        """
        offset = server_time - now
        if -_RESOLUTION < offset <= 0:
            offset = 0.0  # as equal as the header can tell
        self._learnt = offset if self._learnt is None else max(self._learnt, offset)
