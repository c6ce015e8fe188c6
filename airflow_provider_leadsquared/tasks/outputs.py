"""The outputs of captures and syncs that an author hands to a sensor, read one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_leadsquared.tasks.receipts import refuse_old_output

#: More rows than these are not listed in an output if they are in a SQL ledger: as an XCom they would take megabytes.
MOST_LISTED = 10_000

_MIXED = "request_ids holds outputs of a sync and others; let a sensor wait for each"


class Outputs(Iterator[Any]):
    """
    What an author hands to a sensor, one by one, without what is None.

    Airflow fetches an output of a mapped task whenever it is read, and gives None for a task that was skipped or failed
    without an output. So each is read once, and none is kept.

    :param given: The sensor's ``request_ids``.
    """

    def __init__(self, given: Any) -> None:
        is_list = isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping))
        self._left = iter(given if is_list else [given])
        #: How many were read, and how many of them are None.
        self.count = self.missing = 0

    def __next__(self) -> Any:
        """Return the next output that is there."""
        while True:
            output = next(self._left)
            self.count += 1
            if output is not None:
                return output
            self.missing += 1


def is_of_sync(output: Any) -> bool:
    """
    Tell whether something is the output of a sync.

    :raises ValueError: An earlier version returned it, or its ledger has no address.
    """
    if not isinstance(output, Mapping):
        return False
    refuse_old_output(output)
    ledger = output.get("ledger")
    if ledger is not None and not isinstance(ledger, Mapping):
        raise ValueError('"ledger" in request_ids must be the address of a ledger: {"ledger_conn_id": …, "sync": …}')
    return ledger is not None and "sync" in ledger


def checked_sync_outputs(outputs: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
    """
    Return outputs if all of them are of syncs that have sent.

    :raises AirflowSkipException: One is of a dry run.
    :raises ValueError: One is of something else.
    """
    of_sync = [output for output in outputs if is_of_sync(output)]
    if any(output.get("dry_run") for output in of_sync):
        raise AirflowSkipException("the sync was a dry run: nothing was sent, and there is nothing to wait for")
    if len(of_sync) < len(outputs):
        raise ValueError(_MIXED)
    return of_sync


def of_captures(outputs: Iterable[Any]) -> Iterator[Any]:
    """
    Yield outputs as they are read.

    :raises ValueError: One is of a sync.
    """
    for output in outputs:
        if is_of_sync(output):
            raise ValueError(_MIXED)
        yield output
