"""The digests of unchanged rows on SQLite and Postgres: when they are kept, and what ends them."""

from __future__ import annotations

import pytest

from airflow_provider_leadsquared.api.payloads import Payload
from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers import unchanged_rows
from airflow_provider_leadsquared.ledgers.statements import lock_number, next_numbers, void_number
from tests.unit.ledgers.syncs import SETTLE_TIMEOUT, accepted, begun, compared, intend, judge, sent

DIGEST, OTHER = "d" * 32, "e" * 32
ACCOUNT = "a" * 32
EMAIL, PHONE = ("EmailAddress", "k@example.org"), ("Phone", "+91-9000000001")


def keep(ledger, key="k", digest=DIGEST, fingerprint="A"):
    """Keep the digest of a row as a run does that has found it to be unchanged."""
    found = compared(ledger, key, fingerprint)
    assert found.is_lasting
    return ledger.unchanged.keep([(key, digest, found.lines_digest)])


def kept(ledger, *digests):
    return ledger.unchanged.among(digests or [DIGEST])


def deliver(ledger, requests, match_keys, *, key="k", fingerprint="A", lead="lead of k"):
    """Send a row with some match keys, and let it be confirmed."""
    entry = Entry(0, State.IN_DOUBT, key, fingerprint, attempts=1)
    one = begun(ledger)
    [intended] = one.intend([(entry, Payload(b"[]", match_keys, fingerprint))])
    assert intended.state is State.IN_DOUBT
    one.write([intended.moved(State.OPEN, request_id=f"r-{key}-{fingerprint}", accepted_at=1.0)])
    judge(requests(), State.UPDATED, lead_id=lead)


def found_by(ledger, match_keys, key="k", fingerprint="A"):
    [found] = begun(ledger).compare(
        [(Entry(0, State.UNSENT, key, fingerprint), Payload(b"[]", match_keys, fingerprint))]
    )
    return found


# --- keeping -------------------------------------------------------------------------------------------------------


def test_the_digest_of_an_unchanged_row_is_kept_for_the_next_run(ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    assert keep(ledger("2")) == 1
    assert kept(ledger("3"), DIGEST, OTHER) == {DIGEST}


def test_of_a_row_one_digest_is_kept(ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    keep(ledger("2"))
    keep(ledger("3"), digest=OTHER)
    assert kept(ledger("4"), DIGEST, OTHER) == {OTHER}


def test_thousands_are_kept_and_found_in_parts(ledger, requests, monkeypatch):
    monkeypatch.setattr(unchanged_rows, "_GROUP_ROWS", 2)
    for key in "abc":
        sent(ledger("1"), requests, key, "A", State.CREATED)
    found = [(key, f"{key}" * 32, compared(ledger("2"), key).lines_digest) for key in "abc"]
    assert ledger("2").unchanged.keep(found) == 3
    assert len(kept(ledger("3"), *(digest for _, digest, _ in found))) == 3


@pytest.mark.parametrize("count", [0, 1])
def test_a_row_on_whose_lines_something_was_changed_since_is_not_kept(ledger, requests, count):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    found = compared(ledger("2"))
    for _ in range(count):
        sent(ledger("3"), requests, "k", "B", State.UPDATED)
    assert ledger("2").unchanged.keep([("k", DIGEST, found.lines_digest)]) == 1 - count


def test_a_row_of_which_a_sending_is_not_settled_is_not_kept(ledger, requests, time):
    """LeadSquared confirmed the second of two POSTs; the first, which had no response, is not waited for any more."""
    accepted(begun(ledger("1")), doubted_at=time.now)
    judge(requests(), State.CREATED)
    time.now += SETTLE_TIMEOUT
    found = compared(ledger("2"))
    assert (found.state, found.is_lasting) == (State.UNCHANGED, True)
    assert ledger("2").unchanged.keep([("k", DIGEST, found.lines_digest)]) == 0


@pytest.mark.parametrize("kind", ["r", "l"], ids=["row", "lead"])
def test_a_row_whose_lines_a_person_has_deleted_is_not_kept(ledger, requests, database, kind):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    found = compared(ledger("2"))
    database.run(f"DELETE FROM {{table}}_lines WHERE kind = '{kind}'")
    assert ledger("2").unchanged.keep([("k", DIGEST, found.lines_digest)]) == 0


# --- which rows last -----------------------------------------------------------------------------------------------


def test_a_row_that_is_to_be_sent_does_not_last(ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    assert not compared(ledger("2"), fingerprint="B").is_lasting


def test_a_row_that_is_unchanged_by_another_rows_sending_does_not_last(ledger, requests):
    deliver(ledger("1"), requests, (EMAIL,))
    deliver(ledger("2"), requests, (EMAIL,), key="other")
    found = found_by(ledger("3"), (EMAIL,))
    assert (found.state, found.is_lasting) == (State.UNCHANGED, False)


def test_the_owner_of_a_contested_lead_does_not_last(ledger, requests):
    deliver(ledger("1"), requests, (EMAIL,))
    deliver(ledger("2"), requests, (EMAIL,), key="other")
    found = found_by(ledger("3"), (EMAIL,), key="other")
    assert (found.state, found.is_owner_here, found.is_lasting) == (State.UNCHANGED, True, False)


def test_a_row_with_a_match_key_of_another_lead_does_not_last(ledger, requests):
    deliver(ledger("1"), requests, (EMAIL, PHONE))
    deliver(ledger("2"), requests, (PHONE,), key="other", lead="another lead")
    found = found_by(ledger("3"), (EMAIL, PHONE))
    assert (found.state, found.is_lasting) == (State.UNCHANGED, False)


def test_a_row_of_a_sync_that_moves_no_keys_does_not_last_if_its_lead_is_not_known_by_them(ledger, requests):
    changes = {"moves_keys": False}
    deliver(ledger("1", **changes), requests, (EMAIL, PHONE))
    found = found_by(ledger("2", **changes), (EMAIL, PHONE))
    assert (found.state, found.is_lasting) == (State.UNCHANGED, False)


# --- what ends them ------------------------------------------------------------------------------------------------


def test_the_intent_of_the_row_ends_it(ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    keep(ledger("2"))
    intend(begun(ledger("3")), fingerprint="B")
    assert kept(ledger("4")) == set()


def test_the_intent_of_the_row_with_another_address_ends_it(ledger, requests):
    deliver(ledger("1"), requests, (EMAIL,))
    keep(ledger("2"))
    entry = Entry(0, State.IN_DOUBT, "k", "B", attempts=1)
    begun(ledger("3")).intend([(entry, Payload(b"[]", (("EmailAddress", "moved@example.org"),), "B"))])
    assert kept(ledger("4")) == set()


@pytest.mark.parametrize("changes", [{}, {"sync": "another"}], ids=["same sync", "another sync"])
def test_the_intent_of_another_row_for_the_lead_ends_it(ledger, requests, changes):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    keep(ledger("2"))
    entry = Entry(0, State.IN_DOUBT, "other", "B", attempts=1)
    begun(ledger("3", **changes)).intend([(entry, Payload(b"[]", (EMAIL,), "B"))])
    assert kept(ledger("4")) == set()


def test_a_verdict_that_comes_after_all_ends_it(ledger, requests, time):
    """The sending was given up, the row went once more and was found unchanged; then the first one's verdict comes."""
    accepted(begun(ledger("1")), "k", "B")
    time.now += SETTLE_TIMEOUT
    open_requests = requests()
    [late] = open_requests.load().entries.values()
    accepted(begun(ledger("2")), "k", "A")
    newer = requests()
    newer.write(
        [
            entry.moved(State.CREATED, settled_at=1.0, lead_id="lead of k")
            for entry in newer.load().entries.values()
            if entry.request_id != late.request_id
        ]
    )
    keep(ledger("3"))
    open_requests.write([late.moved(State.UPDATED, settled_at=1.0, lead_id="lead of k")])
    assert kept(ledger("4")) == set()


def test_a_late_failure_of_another_rows_sending_with_its_address_ends_it(ledger, requests, time):
    """It may have been applied after all, so the lead of that address is doubtful again."""
    entry = Entry(0, State.IN_DOUBT, "other", "B", attempts=1)
    one = begun(ledger("1"))
    [intended] = one.intend([(entry, Payload(b"[]", (EMAIL,), "B"))])
    one.write([intended.moved(State.OPEN, request_id="late", accepted_at=1.0)])
    time.now += SETTLE_TIMEOUT
    sent_late = requests()
    [late] = sent_late.load().entries.values()
    accepted(begun(ledger("2")), "k", "A")
    newer = requests()
    found = [one for one in newer.load().entries.values() if one.request_id != "late"]
    newer.write([one.moved(State.CREATED, settled_at=1.0, lead_id="lead of k") for one in found])
    keep(ledger("3"))
    sent_late.write([late.moved(State.FAILED, settled_at=1.0)])
    assert compared(ledger("4")).state is State.UNSENT
    assert kept(ledger("4")) == set()


def test_a_verdict_about_a_lead_that_was_not_foreseen_ends_it(ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    keep(ledger("2"))
    deliver(ledger("3"), requests, (PHONE,), key="other", fingerprint="B", lead="lead of k")
    assert kept(ledger("4")) == set()


def test_what_is_done_for_other_leads_ends_nothing(ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    keep(ledger("2"))
    sent(ledger("3"), requests, "other", "B", State.CREATED)
    assert kept(ledger("4")) == {DIGEST}


# --- whose they are ------------------------------------------------------------------------------------------------


def test_each_sync_account_and_ledger_has_a_secret_of_its_own(ledger, database):
    keys = [ledger(**changes).unchanged.key() for changes in ({}, {"sync": "another"}, {"account": "another"})]
    database.run("UPDATE {table}_metadata SET content = '\"" + "f" * 64 + "\"' WHERE name = 'salt'")
    assert len({*keys, ledger().unchanged.key()}) == 4
    assert {len(key) for key in keys} == {32}


def test_a_row_is_returned_with_the_lead_that_it_wrote_last(ledger, requests):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    one = begun(ledger("2"))
    intend(one, "never confirmed")
    lines = [one.row_line(key) for key in ("k", "never confirmed", "never seen")]
    assert one.unchanged.written_by(lines) == {lines[0]: ("k", compared(one).lead)}


# --- tasks of the version before -----------------------------------------------------------------------------------


def test_what_was_kept_before_a_task_of_version_5_wrote_counts_no_more(ledger, requests, database):
    sent(ledger("1"), requests, "k", "A", State.CREATED)
    keep(ledger("2"))
    database.run("UPDATE {table}_counters SET no = no + 1")
    assert kept(ledger("3")) == set()
    begun(ledger("3"))
    assert kept(ledger("3")) == set()
    keep(ledger("4"))
    assert kept(ledger("5")) == {DIGEST}


def test_numbers_that_are_not_noted_make_void_what_was_kept_up_to_then(database):
    ledger = database.open()
    counters = ledger.tables.counters
    with ledger.writing() as connection:
        assert void_number(connection, counters, ACCOUNT) == lock_number(connection, counters, ACCOUNT) == 0
        next_numbers(connection, counters, ACCOUNT, 3)
        assert void_number(connection, counters, ACCOUNT) == 0
        connection.execute(counters.update().values(no=7))
        assert void_number(connection, counters, ACCOUNT) == lock_number(connection, counters, ACCOUNT) == 7
        assert [next_numbers(connection, counters, ACCOUNT, 2) for _ in range(2)] == [8, 10]
        assert void_number(connection, counters, ACCOUNT) == 7
