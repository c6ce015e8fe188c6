"""What the demonstration prints at its end."""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from airflow_provider_leadsquared.api.retries import RetryLadder
from demo.truth import Json, Mismatch, Night, Record

WIDTH = 98
#: Status calls further apart than this many seconds belong to two polls of the sensor.
_PAUSE = 3.0
_MOST_MISMATCHES = 20
#: So many columns of a file are named.
_MOST_COLUMNS = 12
#: A blank at which no line is broken.
_TOGETHER = "\N{NO-BREAK SPACE}"
#: By what LeadSquared looks for a lead, in its order.
MATCH_KEYS = ("ProspectID", "EmailAddress", "Phone")
_REJECTS = "SELECT row_key, state, reason FROM leadsquared_ledger_rejects"


def heading(text: str) -> str:
    """Write a heading."""
    return f"\n{text}\n{'-' * len(text)}"


def paragraph(text: str) -> str:
    """Break a text into lines."""
    return textwrap.fill(" ".join(text.split()), WIDTH)


def fields(columns: Mapping[str, str | None], row_key: str | None) -> Iterator[str]:
    """
    Tell which column becomes which lead field, what names a row, and by what LeadSquared finds a lead.

    :param columns: The lead field of each column; None for one that is not sent.
    :param row_key: The column that names a row; None if its number does.
    """
    sent = {column: field for column, field in columns.items() if field is not None}
    shown = [f"{column}{_TOGETHER}→{_TOGETHER}{field}" for column, field in sent.items()]
    left_out = [column for column in columns if column not in sent and column != row_key]
    yield _indented("Columns become lead fields: " + _first_of(shown))
    if left_out:
        yield _indented("Not sent: " + _first_of(left_out))
    key = "its number in the file" if row_key is None else row_key + ("" if row_key in sent else " (not sent)")
    yield _indented(f"Row key, which names a row in logs and ledger: {key}")
    if match_keys := [field for field in MATCH_KEYS if field in sent.values()]:
        yield _indented(f"Match key, by which LeadSquared finds a lead that it has: {', else '.join(match_keys)}")
    else:
        yield _indented(
            f"No column is a match key ({', '.join(MATCH_KEYS)}), so no row will be sent. MAPPING=mapping.json can "
            "name the column that is one."
        )


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


def reasons(lines: Iterable[Json], *, with_messages: bool = False) -> Iterator[str]:
    """
    Tell why rows were not taken, each reason with one key, as the ledger has it.

    :param with_messages: Add to each reason the message of the row that is named.
    """
    found: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for line in lines:
        if line["reason_class"]:
            found[line["state"], line["reason_class"]].append(line)
    if not found:
        yield "All were taken."
        return
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    header, *rows = _table(
        "><<<",
        ("rows", "state", "reason", "such as"),
        [
            (f"{len(alike):,}", state, reason, alike[0]["row_key"] or f"row {alike[0]['row_no'] + 1}")
            for (state, reason), alike in ordered
        ],
    )
    yield header
    for row, (_, alike) in zip(rows, ordered, strict=True):
        yield row
        if with_messages and alike[0]["reason"]:
            yield _indented(alike[0]["reason"], 6)


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


def commands(warehouse: Path | None) -> Iterator[str]:
    """
    Name what to run next.

    :param warehouse: The warehouse's file if all is kept for the user; None if it ends now.
    """
    yield heading("What to run next")
    if warehouse is None:
        yield from _command("make demo KEEP=1", "the same, and CRM, Airflow's pages and warehouse stay until Ctrl-C")
    else:
        yield from _command(f'sqlite3 {warehouse} "{_REJECTS}"', "why rows are not in the CRM, as the ledger has it")
    yield from _command("make demo LEADS=leads.csv", "with a file of your own")
    yield from _command("make demo LEADS=leads.csv MAPPING=mapping.json", "with the lead fields that you name")
    yield from _command(".venv/bin/python -m airflow_provider_leadsquared.sandbox", "the sandbox alone, for your DAGs")
    yield "docs/nightly-sync.md leads from here to your own warehouse and account."


def _sensor_polls(record: Record, since: float) -> Iterator[tuple[str, str, str, str]]:
    """Gather status calls into the sensor's polls: when, how many asked, settled, and open afterwards."""
    left = len(record.requests)
    for burst in _bursts(record.polls):
        settled = sum(call["status"] not in (None, "In-Queue") for call in burst)
        left -= settled
        yield f"{burst[0]['at_real'] - since:.1f} s", f"{len(burst):,}", f"{settled:,}", f"{left:,}"


def _command(command: str, what: str) -> Iterator[str]:
    yield f"{command}\n    {what}"


def _indented(text: str, by: int = 3) -> str:
    margin = " " * by
    text = re.sub(r"[ \n]+", " ", text)
    filled = textwrap.fill(text, WIDTH, initial_indent=margin, subsequent_indent=f"{margin}  ")
    return filled.replace(_TOGETHER, " ")


def _first_of(names: Sequence[str]) -> str:
    more = len(names) - _MOST_COLUMNS
    return ", ".join(names[:_MOST_COLUMNS]) + (f", and {more:,} more" if more > 0 else "")


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
