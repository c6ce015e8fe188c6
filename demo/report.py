"""What the demonstration prints at its end."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from airflow_provider_leadsquared.api.retries import RetryLadder
from demo.truth import Json, Mismatch, Night, Record

WIDTH = 98
#: Status calls further apart than this many seconds belong to two polls of the sensor.
_PAUSE = 3.0
_MOST_MISMATCHES = 20


def heading(text: str) -> str:
    """Write a heading."""
    return f"\n{text}\n{'-' * len(text)}"


def paragraph(text: str) -> str:
    """Break a text into lines."""
    return textwrap.fill(" ".join(text.split()), WIDTH)


def counts(night: Night) -> Iterator[str]:
    """Tell how many rows are in which state, by task."""
    for task, counted in (("sync", night.sync), ("wait", night.wait)):
        counts = dict(counted)
        read = counts.pop("read")
        states = " + ".join(f"{state} {count:,}" for state, count in counts.items())
        yield f"{task:<5}{read:6,} = {states or 'none'}"


def first_night() -> Iterator[str]:
    """Explain the counts of the first night."""
    yield paragraph(
        """The task "sync" reads the warehouse and sends. A row that LeadSquared has accepted is "open": it is in a
        queue and not yet in the CRM. The task "wait" asks until each has its verdict. "invalid" rows are held back by
        the checks, which ask the CRM for its fields first; "superseded" ones are an older row of the same person."""
    )


def second_night() -> Iterator[str]:
    """Explain the counts of the second night."""
    yield paragraph(
        """The sync compares each row with what the CRM has confirmed. "unchanged" ones stay here; the changed, the
        new and the mended go; a "rejected" row that is as it was would be refused again, so it is held, and counted,
        until someone mends it."""
    )


def reasons(lines: Iterable[Json]) -> Iterator[str]:
    """Tell why rows were not taken, each reason with one key, as the ledger has it."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in lines:
        if line["reason_class"]:
            found[line["state"], line["reason_class"]].append(line["row_key"] or f"row {line['row_no'] + 1}")
    if not found:
        yield "All were taken."
        return
    yield from _table(
        "><<<",
        ("rows", "state", "reason", "such as"),
        [
            (f"{len(keys):,}", state, reason, keys[0])
            for (state, reason), keys in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
        ],
    )


def colours(allowed: float, red: Sequence[str]) -> Iterator[str]:
    """Tell what the tasks' colours say."""
    if red:
        yield paragraph(
            f"""This run allows {allowed:.0%} of the rows to be refused (allowed_rejects). More were, so these tasks
            are red: {", ".join(red)}. All other rows are delivered nevertheless."""
        )
    else:
        yield paragraph(
            f"""The tasks are green because this run allows {allowed:.0%} of the rows to be refused (allowed_rejects).
            All others are delivered either way."""
        )


def polls(record: Record, speed: float) -> Iterator[str]:
    """Put the sensor's polls of a night beside the times at which LeadSquared tries again."""
    yield heading("When the sensor polled in the first night")
    if not record.requests:
        yield "Nothing was accepted, so there was nothing to poll for."
        return
    last_accepted = max(request["accepted_real"] for request in record.requests)
    ladder, real = RetryLadder(), RetryLadder().faster(speed)
    sensor_polls = list(_sensor_polls(record, last_accepted))
    retries = [
        (f"{number}", _listed(listed), f"{gap:.0f} s", f"{offset:.0f} s")
        for number, (listed, gap, offset) in enumerate(
            zip(ladder.as_offsets(), real.as_gaps(), real.as_offsets(), strict=True), 1
        )
    ]
    yield from _side_by_side(
        ["The sensor", *_table(">>>>", ("polled at", "asked", "settled", "left open"), sensor_polls)],
        [
            "LeadSquared's retries, in our time if counted from",
            *_table(">>>>", ("no.", "listed", "the last try", "the first try"), retries[: max(len(sensor_polls), 3)]),
        ],
    )
    yield paragraph(
        f"""Times are seconds after the last lead was accepted. LeadSquared lists its retry times but does not say from
        when they count, so the sensor polls after both; in between it occupies no worker. This sandbox counts from
        the last try, on a clock that runs {speed:g} times faster than ours."""
    )
    slowest = max(record.requests, key=lambda request: len(request["attempts"]))
    if len(slowest["attempts"]) > 1:
        stumbled = sum(len(request["attempts"]) > 1 for request in record.requests)
        tried = [f"{attempt['at_real'] - slowest['accepted_real']:.1f}" for attempt in slowest["attempts"]]
        yield paragraph(
            f"""{stumbled:,} leads met a system error twice, which the demonstration had ordered. One of them was tried
            {", ".join(tried)} s after its acceptance; nobody had to send it again."""
        )


def truth(nights: Sequence[Night], record: Record, found: Sequence[Mismatch]) -> Iterator[str]:
    """Tell whether all that is reported is true."""
    yield heading("Is it true?")
    posts = [len(night.submissions) for night in nights]
    yield paragraph(
        f"""Compared, row by row: the warehouse, the {sum(len(night.lines) for night in nights):,} lines of the ledger,
        and the sandbox's own record of {" + ".join(f"{count:,}" for count in posts)} POSTs, {len(record.requests):,}
        requests and {len(record.leads):,} leads ({len(record.known):,} of them were there before)."""
    )
    if not found:
        yield paragraph(
            f"""Yes. The first night took {posts[0]:,} POSTs, the second {posts[-1]:,}: one for each row that had to go,
            with the values of the warehouse. Nothing that the CRM had taken was sent twice. Each of the
            {len(nights[-1].rows):,} rows is in exactly one state, each verdict in the ledger is the CRM's own, and the
            CRM holds what the warehouse holds, with no lead too many."""
        )
        return
    yield f"No. {len(found):,} mismatches:"
    for mismatch in found[:_MOST_MISMATCHES]:
        yield f"  {mismatch.key}: {mismatch.problem}"
    if len(found) > _MOST_MISMATCHES:
        yield f"  … and {len(found) - _MOST_MISMATCHES:,} more"


def _sensor_polls(record: Record, since: float) -> Iterator[tuple[str, str, str, str]]:
    """Gather status calls into the sensor's polls: when, how many asked, settled, and open afterwards."""
    left = len(record.requests)
    for burst in _bursts(record.polls):
        settled = sum(call["status"] not in (None, "In-Queue") for call in burst)
        left -= settled
        yield f"{burst[0]['at_real'] - since:.1f} s", f"{len(burst):,}", f"{settled:,}", f"{left:,}"


def _side_by_side(left: Sequence[str], right: Sequence[str]) -> Iterator[str]:
    width = max(map(len, left)) + 6
    for one, other in zip_longest(left, right, fillvalue=""):
        yield f"{one:<{width}}{other}".rstrip()


def _bursts(calls: Iterable[Json]) -> Iterator[list[Json]]:
    burst: list[Json] = []
    for call in calls:
        if burst and call["at_real"] - burst[-1]["at_real"] > _PAUSE:
            yield burst
            burst = []
        burst.append(call)
    if burst:
        yield burst


def _listed(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"


def _table(sides: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align columns, each to its side: `<` left, `>` right."""
    widths = [max(len(row[at]) for row in (header, *rows)) for at in range(len(header))]
    for row in (header, *rows):
        cells = [f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)]
        yield "  ".join(cells).rstrip()
