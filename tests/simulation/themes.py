"""
How likely each part of the world is: everywhere, and in simulations with a theme.

What comes of several rare things at once is rarely drawn. So half of the seeds have a theme: a story that is made
likely, with little beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

HOUR, DAY = 3_600.0, 86_400.0

#: Which parts of the world a simulation has: name and share of simulations.
PARTS = {
    "crashes": 0.4,
    "pauses": 0.45,
    "calls": 0.45,
    "queue": 0.45,
    "ledger": 0.2,
    "clocks": 0.25,
    "foreign": 0.25,
    "captures": 0.25,
    "partitions": 0.25,
    "quarters": 0.25,
    "swaps": 0.5,
    "spellings": 0.2,
    "second sync": 0.2,
    "rejects": 0.3,
    "behaviour": 0.12,
    "plain phones": 0.0,
    "clear": 0.15,
    "search by": 0.08,
    "lost ledger": 0.08,
    "pruned": 0.1,
    "refresh": 0.1,
    "replay": 0.15,
    "cleared": 0.15,
    "unkeyed": 0.3,
    "many": 0.03,
    "deferrable": 0.3,
    "metrics": 0.5,
    "lying metrics": 0.2,
}
#: Steps of a worker at which it may be killed or paused, and how many of a kind a run has.
STEPS = (
    ("any", 60),
    ("any", 200),
    ("any", 400),
    ("await", 60),
    ("rows", 1),
    ("commit", 16),
    ("commit done", 16),
    ("call", 6),
    ("socket", 6),
    ("response", 6),
)
#: What can go wrong with a call: on the network, or in what comes in place of LeadSquared's response.
CALL_FAULTS = (
    "refused",
    "reset before",
    "lost",
    "late",
    "reset after",
    "stays",
    "unavailable",
    "rate_limit",
    "error",
    "gateway",
    "garbage",
    "html_page",
    "redirect",
    "other_code",
    "odd_receipt",
    "odd_status",
    "repeated_request_id",
    "unknown_request",
    "keys_revoked",
)
#: What can become of a request that was accepted.
QUEUE_FAULTS = ("system_errors", "all_attempts", "silent_loss", "hidden", "flap", "system_errors", "all_attempts")


@dataclass(frozen=True, slots=True)
class Theme:
    """
    What is likely in a simulation.

    :param parts: Which parts of the world it has: name and share of simulations.
    :param customers: How many there may be.
    :param nights: How many nights it has before the calm ones.
    :param emails: E-mail addresses for each customer, at most.
    :param back: Share of changes that put a row back as it once was.
    :param match_keys: Share of the other changes that are of match keys.
    :param changes: How many changes a night has.
    :param gaps: Seconds between nights.
    :param sensors: Seconds after which the sensor follows; None for no sensor.
    :param retries: Retries of a task.
    :param steps: Where workers are killed or paused.
    :param tasks: Of which tasks, and of which tries.
    :param pauses: Seconds for which they are paused.
    :param given_up: Share of the pauses in which the worker is given up.
    :param call_faults: What goes wrong with calls.
    :param queue_faults: What becomes of requests that were accepted.
    :param unseen: Share of the requests without an attempt left that are applied all the same.
    :param aimed: Share of the faults that begin at a run.
    :param shares: Share of the requests that they meet.
    :param fault_starts: Seconds from a run to the fault that is aimed at it, at most.
    :param fault_seconds: How long faults last.
    :param settings: Switches of the sandbox that the theme chooses.
    """

    parts: dict[str, float] = field(default_factory=lambda: PARTS)
    customers: tuple[int, ...] = (1, 2, 2, 2, 3, 3, 3, 4, 5, 8)
    nights: tuple[int, int] = (3, 6)
    emails: tuple[float, ...] = (0.5, 0.7, 1.0)
    back: float = 0.1
    match_keys: float = 0.35
    changes: tuple[int, int] = (0, 4)
    gaps: tuple[float, ...] = (6 * HOUR, DAY, DAY)
    sensors: tuple[float | None, ...] = (0.0, 0.0, 0.0, 600.0, 6 * HOUR, None)
    retries: tuple[int, ...] = (0, 1, 2, 2)
    steps: tuple[tuple[str, int], ...] = STEPS
    tasks: tuple[tuple[str, int], ...] = (
        ("send", 1),
        ("send", 1),
        ("send", 1),
        ("send", 2),
        ("wait", 1),
        ("wait", 2),
        ("trigger", 1),
    )
    pauses: tuple[float, ...] = (5.0, 70.0, 100.0, HOUR, 12 * HOUR, 40 * HOUR)
    given_up: float = 0.4
    call_faults: tuple[str, ...] = CALL_FAULTS
    queue_faults: tuple[str, ...] = QUEUE_FAULTS
    unseen: float = 0.5
    aimed: float = 0.7
    shares: tuple[float, ...] = (0.2, 0.5, 1.0)
    fault_starts: tuple[float, ...] = (-1.0, 0.5, 2.0)
    fault_seconds: tuple[float, ...] = (2.0, 20.0, 200.0, HOUR, 10 * HOUR)
    settings: dict[str, tuple[Any, ...]] = field(default_factory=dict)


EVERYTHING = Theme()
#: Each in the same share of the seeds that have a theme.
THEMES = {
    "one lead, several rows": Theme(
        parts={
            "swaps": 1.0,
            "partitions": 0.5,
            "queue": 0.4,
            "behaviour": 0.1,
            "calls": 0.1,
            "spellings": 0.3,
            "second sync": 0.3,
        },
        customers=(2, 2, 3),
        emails=(0.1, 0.5),
        back=0.5,
        gaps=(DAY,),
        sensors=(0.0,),
    ),
    "two keys of one lead": Theme(
        parts={"split keys": 1.0, "quarters": 1.0, "queue": 1.0, "partitions": 0.5, "pauses": 0.2},
        customers=(2, 2, 4),
        nights=(4, 6),
        back=0.2,
        changes=(1, 3),
        sensors=(0.0, 0.0, None),
        unseen=0.5,
        aimed=1.0,
        queue_faults=("system_errors", "system_errors", "all_attempts"),
        shares=(0.5, 1.0),
        fault_starts=(-60.0,),
        fault_seconds=(120.0, 600.0),
        settings={"queue_delay": (1.0, 1.0, 30.0), "phone_match": ("fallback", "alone")},
    ),
    "refusals": Theme(
        parts={"swaps": 1.0, "partitions": 0.2},
        customers=(2, 2, 3),
        back=0.1,
        match_keys=1.0,
        changes=(0, 2),
        gaps=(DAY,),
        sensors=(0.0,),
        settings={"phone_match": ("fallback", "alone", "never")},
    ),
    "sleepers": Theme(
        parts={"pauses": 1.0, "swaps": 0.2},
        customers=(1, 1, 2, 2),
        back=0.2,
        changes=(1, 4),
        gaps=(DAY, DAY, 6 * HOUR),
        sensors=(0.0,),
        steps=(("rows", 1), ("call", 2), ("call", 2), ("any", 120)),
        tasks=(("send", 1),),
        pauses=(3 * HOUR, 30 * HOUR, 40 * HOUR),
        given_up=0.3,
    ),
    "tries that are given up": Theme(
        parts={"pauses": 1.0, "swaps": 0.2, "quarters": 0.5, "captures": 0.3},
        customers=(1, 2, 3, 5),
        sensors=(0.0,),
        retries=(1, 2),
        steps=(("response", 5), ("await", 40), ("commit", 12)),
        tasks=(("send", 1),),
        pauses=(400.0, 1_000.0, HOUR),
        given_up=1.0,
    ),
    "system errors": Theme(
        parts={"queue": 1.0, "swaps": 0.3, "named failures": 0.5},
        customers=(1, 1, 1, 2),
        nights=(2, 3),
        back=0.7,
        changes=(1, 1),
        unseen=0.9,
        aimed=1.0,
        gaps=(DAY,),
        sensors=(0.0,),
        queue_faults=("all_attempts", "all_attempts", "system_errors"),
        shares=(0.5, 1.0, 1.0),
        fault_starts=(-60.0,),
        fault_seconds=(HOUR, 10 * HOUR),
        settings={"queue_delay": (1.0, 1.0, 30.0)},
    ),
    "odd forms": Theme(
        parts={"calls": 1.0, "rejects": 0.5, "captures": 0.4},
        customers=(1, 2, 3),
        nights=(2, 3),
        changes=(1, 3),
        sensors=(0.0,),
        aimed=1.0,
        call_faults=("odd_status", "odd_status", "odd_receipt", "other_code"),
        fault_starts=(-60.0,),
        fault_seconds=(HOUR, 10 * HOUR),
        settings={"rejection_shape": ("failure", "inner")},
    ),
    "replayed RequestIds": Theme(
        parts={"calls": 1.0, "swaps": 0.2, "captures": 0.6, "crashes": 0.2, "quarters": 0.3, "cleared": 0.2},
        customers=(2, 3, 3, 5),
        nights=(2, 4),
        changes=(2, 4),
        sensors=(0.0,),
        aimed=1.0,
        call_faults=("repeated_request_id", "repeated_request_id", "reset after"),
        fault_starts=(-5.0,),
        fault_seconds=(20.0, 200.0, HOUR),
    ),
    "lost requests": Theme(
        parts={"queue": 1.0, "calls": 0.5, "captures": 0.5, "deferrable": 0.3},
        customers=(1, 2, 3),
        nights=(2, 3),
        changes=(1, 3),
        sensors=(0.0,),
        aimed=1.0,
        call_faults=("unknown_request", "gateway", "html_page", "error"),
        queue_faults=("silent_loss", "hidden", "hidden"),
        shares=(0.5, 1.0),
        fault_starts=(-60.0,),
        fault_seconds=(200.0, HOUR, 10 * HOUR),
    ),
    "wrong clocks": Theme(
        parts={"clocks": 1.0, "queue": 0.7, "calls": 0.2, "deferrable": 0.3, "captures": 0.4},
        customers=(1, 2, 3),
        nights=(2, 3),
        changes=(1, 3),
        sensors=(0.0, 600.0),
        aimed=1.0,
        queue_faults=("system_errors", "all_attempts", "silent_loss"),
        fault_starts=(-60.0,),
        settings={"date_header": ("sandbox", "sandbox", "missing")},
    ),
    "triggers": Theme(
        parts={"deferrable": 1.0, "crashes": 0.7, "pauses": 0.5, "queue": 0.7, "calls": 0.3, "captures": 0.3},
        customers=(1, 2, 3, 5),
        changes=(1, 4),
        sensors=(0.0, 0.0, 600.0),
        steps=(("any", 40), ("any", 200), ("await", 60), ("response", 10), ("commit", 4)),
        tasks=(("trigger", 1), ("trigger", 1), ("trigger", 2), ("wait", 1), ("wait", 2)),
        pauses=(100.0, 1_000.0, HOUR, 12 * HOUR),
    ),
    "in doubt": Theme(
        parts={"calls": 1.0, "swaps": 0.5, "crashes": 0.3, "pauses": 0.3, "cleared": 0.3, "captures": 0.3},
        customers=(1, 2, 2, 3),
        back=0.4,
        changes=(1, 3),
        fault_starts=(-5.0,),
        fault_seconds=(20.0, 200.0, HOUR),
    ),
}
