"""The shape of the CSV example; tests/integration/sync/test_csv.py runs it."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_leadsquared.sensors.lead_status import LeadStatusSensor
from dags_examples import csv_to_leadsquared
from dags_examples.csv_to_leadsquared import MAPPING, sync


def test_a_sensor_waits_for_what_the_sync_has_sent():
    (wait,) = sync.downstream_list

    assert isinstance(wait, LeadStatusSensor)
    assert isinstance(sync.dag, DAG)
    assert set(sync.dag.task_ids) == {"sync", wait.task_id}


def test_its_parameters_are_the_file_and_what_may_be_refused():
    assert isinstance(sync.dag, DAG)
    assert set(sync.dag.params) == {"csv_file", "allowed_rejects"}


def test_the_row_key_is_not_sent():
    assert sync.row_key not in MAPPING


def test_it_is_small_enough_to_read():
    assert csv_to_leadsquared.__file__
    with open(csv_to_leadsquared.__file__) as source:
        assert len(source.readlines()) < 70
