"""What a dry run of a sync logs and returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_leadsquared.api.errors import ApiError
from airflow_provider_leadsquared.tasks.ending import NAMED_ROWS, named_by_reason, update_no_asset

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook
    from airflow_provider_leadsquared.sync.run import SyncRun


def preview(
    task: BaseOperator, run: SyncRun, hook: LeadSquaredHook, *, api: str, allowed_rejects: float
) -> dict[str, Any]:
    """
    Log and return what a run would do, and whether its rejects, as far as they are known before sending, make it red.

    :param task: The sync.
    :param run: Its rows, read and decided.
    :param hook: Asks how busy LeadSquared's queue is.
    :param api: The name of the asynchronous API.
    :param allowed_rejects: How many rejects the run may have, a number (``int``) or a share (``float``).
    """
    to_send = run.count_to_send()
    counts = run.counts()
    minutes = None
    try:
        metrics = hook.get_queue_metrics(api=api)
        if metrics.rate_per_minute > 0:
            minutes = round((metrics.pending + to_send) / metrics.rate_per_minute, 1)
    except ApiError as error:
        task.log.info("No queue metrics, so no estimate of the time: %s", error)
    task.log.info("Dry run: nothing was sent or written. Counts: %s", counts)
    update_no_asset(task, "a dry run changes no lead")
    by_reason = named_by_reason(counts, run.examples(NAMED_ROWS))
    for part in by_reason:
        task.log.info("Dry run: %s", part)
    would_fail = not counts.are_within(allowed_rejects)
    task.log.info(
        "Dry run: the task would be %s: %s of %s rows are set aside or refused, allowed_rejects is %s. "
        "What LeadSquared itself refuses is known only after sending",
        "red" if would_fail else "green",
        f"{counts.rejects:,}",
        f"{counts.read:,}",
        allowed_rejects,
    )
    task.log.info(
        "Dry run: to send %s (%s of them replayed), about %s calls (one to submit each, at least one to ask), %s",
        f"{to_send:,}",
        f"{run.replayed:,}",
        f"{2 * to_send:,}",
        "time unknown" if minutes is None else f"about {minutes:,} minutes of LeadSquared's queue",
    )
    return {
        "dry_run": True,
        "counts": counts.as_dict(),
        "to_send": to_send,
        "replayed": run.replayed,
        "would_fail": would_fail,
        "set_aside": counts.reasons_as_dict(),
        "examples": by_reason,
        "estimated_calls": 2 * to_send,
        "estimated_minutes": minutes,
    }
