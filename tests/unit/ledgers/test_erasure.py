"""Erasing a row key: all that is kept of it goes, what is under way stays, and no older value comes later."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.delivery.status_judging import UNKNOWN_REQUEST
from airflow_provider_leadsquared.ledgers.erasure import Erasure, Kept, UnderWayError
from tests.unit.ledgers.stores import Database
from tests.unit.ledgers.syncs import (
    NOW,
    SETTLE_TIMEOUT,
    accepted,
    begun,
    compared,
    intend,
    judge,
    payload,
    sent,
)


@pytest.fixture(params=["sqlite", "on_postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    """Return an empty database; every driver is tested in tests/integration/ledgers."""
    found: Database = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def kept(database: Database, time) -> Callable[[str], Kept]:
    """Return a function that returns what the ledger keeps of a row key."""

    def ask(row_key: str) -> Kept:
        opened = database.open()
        with opened.existing() as connection:
            return Erasure(connection, opened.tables, row_key, now=time.now, settle_timeout=SETTLE_TIMEOUT).kept

    return ask


@pytest.fixture
def erase(database: Database, time) -> Callable[[str], None]:
    """Return a function that erases a row key."""

    def run(row_key: str) -> None:
        opened = database.open()
        with opened.existing(writes=True) as connection:
            Erasure(connection, opened.tables, row_key, now=time.now, settle_timeout=SETTLE_TIMEOUT).erase()

    return run


def _all_texts(database: Database) -> str:
    """Return all that the ledger holds, as a text."""
    schema = database.table.rpartition(".")[0]
    names = [f"{schema}.{name}" if schema else name for name in database.names()]
    with closing(database.connect()) as connection:
        cursor = connection.cursor()
        found = []
        for name in names:
            cursor.execute(f"SELECT * FROM {name}")
            found += cursor.fetchall()
    return str(found)


def test_nothing_that_was_kept_of_a_row_is_left(database, ledger, requests, erase, kept):
    opened = ledger("1")
    sent(opened, requests, "some-key", "A", State.CREATED)
    sent(ledger("2"), requests, "some-key", "B", State.REJECTED)
    sent(ledger("2"), requests, "other", "A", State.CREATED)
    memory = opened._memory
    hashes = [opened.row_line("some-key"), memory.lead_line("lead of some-key")]
    hashes += [key for _, key in memory.key_lines(payload("some-key").match_keys)]
    assert all(one in _all_texts(database) for one in ("some-key", *hashes))
    found = kept("some-key")
    assert (found.entries, found.rows, found.leads, found.match_keys, found.sendings) == (2, 1, 1, 1, 0)

    erase("some-key")

    assert [one for one in ("some-key", *hashes) if one in _all_texts(database)] == []
    assert kept("some-key").is_empty
    assert compared(ledger("3"), "other").state is State.UNCHANGED


def test_a_row_that_was_rejected_and_never_taken_leaves_no_hash_of_its_match_keys(database, ledger, requests, erase):
    opened = ledger("1")
    sent(opened, requests, "k", "A", State.REJECTED)
    [(_, key)] = opened._memory.key_lines(payload("k").match_keys)
    erase("k")
    assert key not in _all_texts(database)


def test_a_row_that_was_erased_is_sent_as_a_new_one(ledger, requests, erase):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    erase("k")
    assert compared(ledger("2"), "k", "A").state is State.UNSENT
    sent(ledger("3"), requests, "k", "A", State.UPDATED)
    assert compared(ledger("4"), "k", "A").state is State.UNCHANGED


def test_a_row_is_not_erased_while_its_request_is_open(database, ledger, requests, erase, kept):
    accepted(begun(ledger("1")), "k", "A")
    before = _all_texts(database)
    assert kept("k").under_way == (NOW,)
    with pytest.raises(UnderWayError, match="not settled"):
        erase("k")
    assert _all_texts(database) == before
    judge(requests("1"), State.CREATED)
    erase("k")


def test_a_row_in_doubt_is_not_erased_while_leadsquared_may_be_at_work_on_it(ledger, time, erase, kept):
    intend(begun(ledger("1")), "k", "A")
    with pytest.raises(UnderWayError, match="not settled"):
        erase("k")
    time.now += SETTLE_TIMEOUT
    assert (kept("k").under_way, kept("k").sendings) == ((), 1)
    erase("k")
    assert kept("k").is_empty


def test_a_request_that_leadsquared_has_lost_is_not_asked_for_any_more(database, ledger, requests, time, erase, kept):
    accepted(begun(ledger("1")), "k", "A")
    judge(requests("1"), State.FAILED, reason_class=UNKNOWN_REQUEST)
    time.now += SETTLE_TIMEOUT
    assert kept("k").sendings == 1
    erase("k")
    assert (kept("k").is_empty, database.select("SELECT COUNT(*) FROM {table}_unsettled")) == (True, [(0,)])


def test_a_captures_row_is_not_erased_while_its_request_is_open(database, time, kept):
    ledger = database.ledger()
    ledger.write([Entry(0, State.OPEN, "k", "f", request_id="r", accepted_at=time.now)])
    assert kept("k").under_way == (NOW,)


def test_a_run_that_read_the_row_before_it_was_erased_does_not_send_it(ledger, requests, erase):
    """It may have been paused, and newer values may have been sent since, of which nothing is known any more."""
    paused = begun(ledger("1"))
    sent(ledger("2"), requests, "k", "newer", State.CREATED)
    erase("k")
    assert intend(paused, "k", "older").state is State.WAITING
    assert intend(begun(ledger("3")), "k", "newest").state is State.IN_DOUBT


def test_a_run_that_read_rows_before_another_was_erased_sends_those_that_are_known(ledger, requests, erase):
    for key in ("k", "other"):
        sent(ledger("1"), requests, key, "A", State.CREATED)
    running = begun(ledger("2"))
    erase("k")
    assert intend(running, "other", "B").state is State.IN_DOUBT


SHARED = (("EmailAddress", "one@example.org"),)


def _of_one_person(ledger: Any, requests: Any, key: str, fingerprint: str, run: str) -> None:
    accepted(begun(ledger(run)), key, fingerprint, match_keys=SHARED)
    judge(requests(run), State.UPDATED, lead_id="the lead")


def test_other_rows_of_the_lead_are_named_and_sent_again(ledger, requests, erase, kept):
    _of_one_person(ledger, requests, "k", "A", "1")
    _of_one_person(ledger, requests, "other", "B", "2")
    assert kept("k").other_rows == ("other",)
    erase("k")
    both = Payload(b"[]", (("EmailAddress", "one@example.org"),), "B")
    [found] = begun(ledger("3")).compare([(Entry(0, State.UNSENT, "other", "B"), both)])
    assert found.state is State.UNSENT


def test_a_row_is_not_erased_while_another_rows_request_for_its_lead_is_open(ledger, requests, time, erase, kept):
    """What says that rows of the lead have to wait for that verdict would be gone."""
    _of_one_person(ledger, requests, "k", "A", "1")
    accepted(begun(ledger("2")), "other", "B", match_keys=SHARED)
    assert kept("k").under_way == (NOW,)
    with pytest.raises(UnderWayError, match="same lead"):
        erase("k")
    assert compared(ledger("3"), "k", "C", SHARED).state is State.WAITING


def test_a_verdict_is_written_though_lines_of_its_sending_were_erased_before(ledger, requests, time, erase):
    """Another row was erased, after the sending for the same lead was not waited for any more."""
    _of_one_person(ledger, requests, "k", "A", "1")
    accepted(begun(ledger("2")), "other", "B", match_keys=SHARED)
    time.now += SETTLE_TIMEOUT
    erase("k")
    judge(requests("2"), State.UPDATED, lead_id="the lead")
    assert requests("2").count() == {(State.UPDATED, None): 1}
    assert compared(ledger("3"), "other", "B", SHARED).state is State.UNCHANGED


def test_match_keys_that_may_be_of_the_same_lead_forget_it(database, ledger, requests, erase):
    email, phone = ("EmailAddress", "one@example.org"), ("Phone", "+91-9000000001")
    for number, (key, state, match_keys) in enumerate(
        (
            ("k", State.CREATED, (email,)),
            ("k", State.FAILED, (email, phone)),  # now one lead may have both
            ("other", State.CREATED, (phone,)),
        )
    ):
        opened = begun(ledger(str(number)))
        what = Payload(b"[]", match_keys, str(number))
        [intended] = opened.intend([(Entry(0, State.IN_DOUBT, key, what.fingerprint, attempts=1), what)])
        opened.write([intended.moved(State.OPEN, request_id=f"r{number}", accepted_at=NOW)])
        judge(requests(str(number)), state, **({"lead_id": f"lead of {key}"} if state.is_confirmed else {}))
    [(_, line), (_, others)] = opened._memory.key_lines((email, phone))
    assert line in _all_texts(database)

    erase("k")

    assert line not in _all_texts(database)
    assert others in _all_texts(database)


def test_a_row_of_another_sync_whose_lead_is_erased_does_not_pass_for_unchanged(ledger, requests, erase):
    both = Payload(b"[]", (("EmailAddress", "one@example.org"),), "A")
    for key in ("k", "other"):
        opened = begun(ledger("1", sync=f"sync of {key}"))
        [intended] = opened.intend([(Entry(0, State.IN_DOUBT, key, "A", attempts=1), both)])
        opened.write([intended.moved(State.OPEN, request_id=f"r-{key}", accepted_at=NOW)])
        judge(requests("1", sync=f"sync of {key}"), State.UPDATED, lead_id="the lead")
    theirs = begun(ledger("2", sync="sync of other"))
    [found] = theirs.compare([(Entry(0, State.UNSENT, "other", "A"), both)])
    assert found.lines_digest is not None
    assert theirs.unchanged.keep([("other", "d" * 32, found.lines_digest)]) == 1

    erase("k")

    assert theirs.unchanged.among(["d" * 32]) == set()
