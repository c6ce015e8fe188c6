"""Between the ledger and the poll plan: what the plan is made of, and what of it has to be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from time import sleep
from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.errors import ApiError, NoSuchPathError, RejectedError, UnexpectedResponseError
from airflow_provider_leadsquared.delivery.open_request import OpenRequest
from airflow_provider_leadsquared.delivery.poll_learnt import LADDER_READING, LEARNT, LadderReading, Learnt
from airflow_provider_leadsquared.delivery.poll_plan import PollPlan
from airflow_provider_leadsquared.delivery.status_judging import is_trouble

if TYPE_CHECKING:
    from airflow_provider_leadsquared.api.account import Account
    from airflow_provider_leadsquared.delivery.entry import Entry
    from airflow_provider_leadsquared.delivery.poll_spacing import Spacing
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.tasks.known_requests import KnownRequests

#: The names of all that polls keep among the metadata of a ledger.
POLL_METADATA = (LEARNT, LADDER_READING, "answered_at", "clock_offset", "first_seen")
#: Seconds for which the first poll waits in its process at most, until there can be an answer.
FIRST_WAIT = 15.0
#: The longest wait, in seconds, before it is checked whether the task is stopped.
_LONGEST_SLEEP = 1.0


def make_plan(account: Account, known: KnownRequests, spacing: Spacing | None = None) -> PollPlan:
    """
    Make the plan for open requests from what a ledger holds.

    :param account: Has the retry ladder.
    :param known: The requests.
    :param spacing: How far polls are apart. Default: as suits a task that is started for each.
    """
    learnt = Learnt.from_json(known.metadata.get(LEARNT))
    reading = LadderReading.from_json(known.metadata.get(LADDER_READING), known.now())
    if reading is not None:
        learnt.gaps, learnt.offsets = reading.gaps, reading.offsets
    return PollPlan(
        {
            request_id: OpenRequest(known.accepted_at(entry), entry.api, entry.asked_at, entry.attempted_by)
            for request_id, entry in known.by_request.items()
        },
        ladder=account.ladder,
        speed=account.sandbox_speed,
        learnt=learnt,
        spacing=spacing,
    )


def learnt_metadata(plan: PollPlan, known: KnownRequests) -> dict[str, Any]:
    """Return what a poll has learnt, as metadata of the ledger: of its requests, and of the account's retry ladder."""
    before = LadderReading.from_json(known.metadata.get(LADDER_READING), known.now())
    reading = plan.learnt.reading(before, known.now())
    metadata = {LEARNT: plan.learnt.as_json()}
    return metadata | ({LADDER_READING: reading.as_json()} if reading.answers else {})


def wait_for_first(plan: PollPlan, now: Callable[[], float], is_stopping: Callable[[], bool]) -> None:
    """
    Wait until requests are old enough for a first poll: that takes less than another start of the task.

    :param now: Tells the time on LeadSquared's clock.
    :param is_stopping: Once it returns True the wait ends; asked once a second.
    """
    if plan.open and plan.learnt.polled_at is None:
        until = min(plan.next_poll(now()), now() + FIRST_WAIT)
        while (left := until - now()) > 0 and not is_stopping():
            sleep(min(left, _LONGEST_SLEEP))


def asked_first(requests: Mapping[str, Entry]) -> list[str]:
    """Return what the last poll could not ask for, and, if nothing else is open, what was lost."""
    if all(entry.is_lost for entry in requests.values()):
        return list(requests)
    return [request_id for request_id, entry in requests.items() if is_trouble(entry.reason_class)]


def ask_for_metrics(hook: LeadSquaredHook, plan: PollPlan) -> None:
    """Ask how busy the queues are that stand still: that moves the next poll, and nothing else."""
    for queue in plan.standing():
        try:
            metrics = hook.get_queue_metrics(api=queue)
        except (RejectedError, NoSuchPathError, UnexpectedResponseError):
            plan.note_metrics(queue, None)
        except ApiError:
            continue
        else:
            plan.note_metrics(queue, metrics.pending, metrics.rate_per_minute, metrics.max_delay)


def noted(plan: PollPlan, requests: Mapping[str, Entry]) -> Iterator[tuple[str, Entry]]:
    """Yield the open requests of which the ledger does not hold yet what the plan knows of them."""
    for request_id, known in plan.open.items():
        entry = requests[request_id]
        if (entry.asked_at, entry.attempted_by) != (known.asked_at, known.attempted_by):
            yield request_id, replace(entry, asked_at=known.asked_at, attempted_by=known.attempted_by)
