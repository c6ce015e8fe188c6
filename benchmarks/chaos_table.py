"""What one kind of chaos did and what came of it, and all kinds side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.chaos_audit import Audit
from benchmarks.page import table as markdown

#: The kinds, with their heads in the table.
KINDS = {
    "postgres": "Postgres killed",
    "mariadb": "MariaDB killed",
    "network": "bad network",
    "disk-sqlite": "disk full: SQLite",
    "disk-postgres": "disk full: Postgres",
}


@dataclass
class Result:
    """
    What one kind of chaos did, and what came of it.

    :param size: Customers in the warehouse, and nights.
    :param seed: Of all that was drawn.
    :param date: The day on which it began.
    """

    size: tuple[int, int]
    seed: int
    date: str
    audit: Audit
    done: dict[str, int]
    tries: int
    failed_tries: int
    polls: int
    errors: dict[str, int]
    seconds: float


def table(results: dict[str, Result]) -> str:
    """Return the results side by side, in Markdown."""
    rows: list[tuple[str, Callable[[Result], int | str | None]]] = [
        ("customers, nights", lambda one: f"{one.size[0]:,}, {one.size[1]}"),
        ("seed", lambda one: one.seed),
        ("run on", lambda one: one.date),
        ("database killed with all its processes", lambda one: one.done.get("kills")),
        ("disk filled to the last block", lambda one: one.done.get("fillings")),
        ("database server ended by the full disk", lambda one: one.done.get("deaths")),
        ("network down", lambda one: one.done.get("down")),
        ("connections cut one by one", lambda one: one.done.get("cut")),
        ("pieces held back, split, in another order", _disturbed),
        ("tries of tasks", lambda one: one.tries),
        ("of these failed", lambda one: one.failed_tries),
        ("rows to deliver, all nights", lambda one: one.audit.rows),
        ("POSTs received", lambda one: one.audit.posts),
        ("rows lost", lambda one: one.audit.lost + one.audit.stale),
        ("extra leads in the CRM", lambda one: one.audit.extra_leads),
        ("rows sent again, without a match key", lambda one: one.audit.sent_again_unkeyed),
        ("rows without a verdict", lambda one: one.audit.without_verdict),
        ("verdicts that are not the CRM's", lambda one: one.audit.contradicted),
        ("older values after newer ones", lambda one: one.audit.older_after_newer),
        ("values sent again in a later night", lambda one: one.audit.needless),
        (
            "tasks with wrong counts or of the wrong colour",
            lambda one: one.audit.wrong_counts + one.audit.wrong_colours,
        ),
        ("tasks that failed in an unknown way", lambda one: len(one.audit.problems)),
        ("rows sent again, with a match key", lambda one: one.audit.sent_again),
        ("rows that waited for a later night", lambda one: one.audit.waiting),
        ("rows named as in doubt, without one", lambda one: one.audit.in_doubt),
        ("minutes", lambda one: round(one.seconds / 60)),
    ]
    cells = []
    for label, value in rows:
        found = [value(one) for one in results.values()]
        if any(one is not None for one in found):
            cells.append(
                [label, *("" if one is None else one if isinstance(one, str) else f"{one:,}" for one in found)]
            )
    cells.append(["promises", *("kept" if one.audit.goals_met else "**broken**" for one in results.values())])
    return markdown(["", *(KINDS[kind] for kind in results)], cells)


def _disturbed(one: Result) -> str | None:
    if "passed" not in one.done:
        return None
    return ", ".join(f"{one.done.get(what, 0):,}" for what in ("hold", "split", "reorder"))


def _cell(value: int | str | None) -> str:
    return f"{value:,}" if isinstance(value, int) else value or ""
