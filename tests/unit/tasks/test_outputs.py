"""What an author hands to a sensor, read one by one."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_leadsquared.tasks.outputs import Outputs, checked_sync_outputs, is_of_sync, of_captures

SYNC = {"counts": {}, "ledger": {"ledger_conn_id": "ledger", "sync": "nightly"}}
CAPTURE: dict = {"counts": {}, "receipts": []}


def test_what_is_none_is_counted_and_left_out():
    outputs = Outputs([None, "a", None, "b"])
    assert (list(outputs), outputs.count, outputs.missing) == (["a", "b"], 4, 2)


@pytest.mark.parametrize("given", ["a", CAPTURE, 5])
def test_what_is_no_list_is_the_only_output(given):
    assert list(Outputs(given)) == [given]


def test_an_output_is_read_when_it_is_needed_and_only_once():
    read = []

    def outputs():
        for number in range(3):
            read.append(number)
            yield number

    given = Outputs(outputs())
    assert (next(given), read) == (0, [0])


def test_outputs_of_a_sync_are_told_from_others():
    assert [is_of_sync(one) for one in (SYNC, CAPTURE, "a")] == [True, False, False]


def test_outputs_of_a_sync_and_of_a_capture_do_not_go_together():
    with pytest.raises(ValueError, match="outputs of a sync and others"):
        checked_sync_outputs([SYNC, CAPTURE])
    with pytest.raises(ValueError, match="outputs of a sync and others"):
        list(of_captures([CAPTURE, SYNC]))


def test_behind_a_dry_run_there_is_nothing_to_wait_for():
    with pytest.raises(AirflowSkipException):
        checked_sync_outputs([{**SYNC, "dry_run": True}])
