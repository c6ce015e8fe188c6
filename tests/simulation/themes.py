"""
How likely each part of the world is: everywhere, and in simulations with a theme.

What comes of several rare things at once is rarely drawn. So half of the seeds have a theme: a story that is made
likely, with little beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.simulation.events import DAY, HOUR

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
    "backlog": 0.0,
    "unmoved keys": 0.0,
    "other settings": 0.0,
    "plain phones": 0.0,
    "household": 0.0,
    "steady metrics": 0.0,
    "phones alike": 0.0,
    "new row keys": 0.1,
    "mapped captures": 0.3,
    "other rows later": 0.2,
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
    :param phones: Phones for each e-mail address.
    :param fewest_phones: How many phones there are at least.
    :param phone_only: Share of the new rows with a phone that have no e-mail address.
    :param email_only: Share of the new rows that have no phone.
    :param drops: Share of the changes that are rows that go.
    :param back: Share of changes that put a row back as it once was.
    :param match_keys: Share of the other changes that are of match keys.
    :param key_kinds: Which match keys these change; ``none``: the row loses all.
    :param changes: How many changes a night has.
    :param change_times: Seconds from a night to a change, at most.
    :param partitions: How many instances a mapped sync has.
    :param twice: Share of the nights with two runs.
    :param spreads: Seconds from a night to a run, at most.
    :param edits: How much others change in a night.
    :param edit_kinds: What they do.
    :param edit_times: Seconds from a night to what they do, at most.
    :param captures: Captures in a night at most.
    :param keyed: Share of a capture's rows that have a match key, where some have none.
    :param losses: Share of the nights in which the ledger is lost, where it is.
    :param loss_times: Seconds from a night to that, at most.
    :param clears: Share of the runs that are cleared, where some are.
    :param clear_times: Seconds from a night to a clear, at most.
    :param stores: Where a capture keeps its ledger.
    :param on_clear: What a capture does when it is cleared.
    :param gaps: Seconds between nights.
    :param sensors: Seconds after which the sensor follows; None for no sensor.
    :param retries: Retries of a task.
    :param steps: Where workers are killed or paused.
    :param tasks: Of which tasks, and of which tries.
    :param workers_faults: How many are killed, and how many paused, at most. None: three for each capture of a night.
    :param pauses: Seconds for which they are paused.
    :param given_up: Share of the pauses in which the worker is given up.
    :param backlogs: Seconds for which LeadSquared's queue keeps requests back, where it does so for a while.
    :param suspended: Share of the pauses in which the whole machine stands still.
    :param reject_shares: Share of the requests that are rejected by chance, where some are.
    :param ledger_faults: What is wrong with the ledger's database.
    :param call_shares: Share of the calls that a fault meets.
    :param call_faults: What goes wrong with calls.
    :param steady: Share of the faults of calls that have one form as long as they last.
    :param clock_offsets: Seconds by which clocks are wrong.
    :param queue_faults: What becomes of requests that were accepted.
    :param unseen: Share of the requests without an attempt left that are applied all the same.
    :param aimed: Share of the faults that begin at a run.
    :param first_runs: At one of how many first runs they begin; None for all.
    :param queue_windows: For how many spans of time something becomes of requests, at least and at most.
    :param shares: Share of the requests that they meet.
    :param fault_starts: Seconds from a run to the fault that is aimed at it, at most.
    :param fault_seconds: How long faults last.
    :param settings: Switches of the sandbox that the theme chooses.
    """

    parts: dict[str, float] = field(default_factory=lambda: PARTS)
    customers: tuple[int, ...] = (1, 2, 2, 2, 3, 3, 3, 4, 5, 8)
    nights: tuple[int, int] = (3, 6)
    emails: tuple[float, ...] = (0.5, 0.7, 1.0)
    phones: float = 2 / 3
    fewest_phones: int = 2
    phone_only: float = 0.15
    email_only: float = 0.3
    drops: float = 0.12
    back: float = 0.1
    match_keys: float = 0.35
    key_kinds: tuple[str, ...] = ("email", "email", "email", "phone", "phone", "phone", "none")
    changes: tuple[int, int] = (0, 4)
    change_times: tuple[float, ...] = (-600.0, 0.5, 5.0, HOUR, 12 * HOUR)
    partitions: tuple[int, ...] = (1, 2, 3)
    twice: float = 0.4
    spreads: tuple[float, ...] = (5.0, 60.0, 6 * HOUR)
    edits: tuple[int, int] = (0, 2)
    edit_kinds: tuple[str, ...] = ("value", "value", "key", "key", "gone", "new")
    edit_times: tuple[float, ...] = (DAY,)
    captures: int = 1
    keyed: float = 0.6
    losses: float = 0.3
    loss_times: tuple[float, ...] = (DAY,)
    clears: float = 0.4
    clear_times: tuple[float, ...] = (HOUR, DAY, 2 * DAY)
    stores: tuple[str, ...] = ("sql", "sql", "task state")
    on_clear: tuple[str, ...] = ("resume", "resend")
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
    workers_faults: int | None = None
    pauses: tuple[float, ...] = (5.0, 70.0, 100.0, HOUR, 12 * HOUR, 40 * HOUR)
    given_up: float = 0.4
    backlogs: tuple[float, ...] = (HOUR, 8 * HOUR, 14 * HOUR)
    suspended: float = 0.3
    reject_shares: tuple[float, ...] = (0.1, 0.3)
    ledger_faults: tuple[str, ...] = ("away", "slow", "lost_commit")
    call_shares: tuple[float, ...] = (0.1, 0.3, 0.7, 1.0)
    call_faults: tuple[str, ...] = CALL_FAULTS
    steady: float = 0.3
    clock_offsets: tuple[float, ...] = (-3_700.0, -600.0, 60.0, 3_600.0)
    queue_faults: tuple[str, ...] = QUEUE_FAULTS
    unseen: float = 0.5
    aimed: float = 0.7
    first_runs: int | None = None
    queue_windows: tuple[int, int] = (1, 3)
    shares: tuple[float, ...] = (0.2, 0.5, 1.0)
    fault_starts: tuple[float, ...] = (-1.0, 0.5, 2.0)
    fault_seconds: tuple[float, ...] = (2.0, 20.0, 200.0, HOUR, 10 * HOUR)
    settings: dict[str, tuple[Any, ...]] = field(default_factory=dict)


EVERYTHING = Theme()
