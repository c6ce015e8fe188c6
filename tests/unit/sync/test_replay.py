"""Replays: what an author may write, and which refused rows go again."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.ledgers.memory_lines import Refusal
from airflow_provider_leadsquared.sync.replay import Replay

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("replay", "takes"),
    [
        (Replay(), True),
        (Replay("MXA"), True),
        (Replay("MXB"), False),
        (Replay(since=NOW), True),
        (Replay(since=NOW + 1), False),
        (Replay(until=NOW), False),
        (Replay(until=NOW + 1), True),
        (Replay("MXB", since=NOW), False),
    ],
)
def test_which_refusals_a_replay_takes(replay, takes):
    assert replay.takes(Refusal(1, "f", NOW, "MXA", None)) is takes


@pytest.mark.parametrize(
    ("given", "replay"),
    [
        (None, None),
        (False, None),
        ("", None),
        ("None", None),
        ("null", None),
        ("false", None),
        (True, Replay()),
        (" True ", Replay()),
        ("true", Replay()),
        ("MXDuplicateEntryException", Replay("MXDuplicateEntryException")),
        ({}, Replay()),
        ({"reason_class": None, "since": "", "until": "None"}, Replay()),
        ({"since": "1970-01-01T00:00:10"}, Replay(since=10.0)),
        ({"until": "1970-01-01T05:30:10+05:30"}, Replay(until=10.0)),
    ],
)
def test_what_an_author_may_write_for_a_replay(given, replay):
    assert Replay.parse(given) == replay


@pytest.mark.parametrize(
    "given", [1, [], {"why": "x"}, {"since": "soon"}, "two words", {"reason_class": 7}, "{'since': '2026-01-01'}"]
)
def test_what_is_no_replay_is_refused(given):
    with pytest.raises(ValueError, match="replay"):
        Replay.parse(given)
