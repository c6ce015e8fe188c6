"""What a sync makes of bad input: rows, queries, accounts and databases that are not as they should be."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_leadsquared.delivery.row_keys import DOUBLED_KEY
from airflow_provider_leadsquared.exceptions import LeadsNotDelivered, WarehouseError
from airflow_provider_leadsquared.ledgers.errors import LedgerUnavailableError, LedgerVersionError
from airflow_provider_leadsquared.transfers.csv_to_leadsquared import CsvToLeadSquaredOperator
from tests.integration.sync.nights import Night, cities_sent, customer, run_night, sync, values_in_crm
from tests.integration.tasks import Task, capture, connect, define_connection, wait_for

FIELDS: list[dict[str, Any]] = [
    {"SchemaName": "mx_Agent", "LockAfterCreate": 1},
    {"SchemaName": "mx_Branch", "IsMandatory": True},
    {"SchemaName": "mx_Short", "MaxLength": 4},
    *[{"SchemaName": f"mx_C{n}"} for n in range(500)],
]


@pytest.fixture
def account(leadsquared_sandbox_factory, monkeypatch):
    """Return a function that makes the default connection lead to an account with other fields."""

    def connect_to(fields):
        sandbox = leadsquared_sandbox_factory(speed=0, fields=fields)
        connect(monkeypatch, sandbox)
        return sandbox

    return connect_to


def query_of(*columns):
    """Return a query with one row for one customer, whatever its columns hold."""
    listed = ", ".join(["1 AS id", "'customer1@example.org' AS \"EmailAddress\"", *columns])
    return f"SELECT {listed}"


def one_row(warehouse, *columns, **arguments):
    """Run a night whose warehouse has one row; returns the counts and the reasons."""
    night = Night("1")
    arguments = {"sql": query_of(*columns), "row_key": "id", "mapping": "*", "allowed_rejects": 1, **arguments}
    output = sync(night, warehouse, **arguments)
    return output["counts"], warehouse.lines("reason_class, reason", "state = 'invalid'")


# --- queries ------------------------------------------------------------------------------------------------------


def test_no_rows_are_a_skip(sandbox, clock, warehouse):
    with pytest.raises(AirflowSkipException, match="has no row"):
        sync(Night("1"), warehouse)


def test_a_missing_column_is_named_with_close_ones(sandbox, clock, warehouse):
    warehouse.fill(1)
    with pytest.raises(ValueError, match=r"'emial' \(did you mean 'email'\?\)"):
        sync(Night("1"), warehouse, mapping={"emial": "EmailAddress"})
    assert sandbox.posts() == []


def test_doubled_column_names_are_refused(sandbox, clock, warehouse):
    warehouse.fill(1)
    with pytest.raises(ValueError, match="more than one column named 'city'"):
        sync(Night("1"), warehouse, sql=f"SELECT customer_id, email, city, plan AS city FROM {warehouse.table}")
    assert sandbox.posts() == []


def test_a_query_that_fails_half_way_sends_nothing(sandbox, clock, warehouse):
    warehouse.fill(3_000)
    failing = (
        "100 / (2999 - customer_id)"
        if warehouse.is_postgres
        else "CASE WHEN customer_id = 2999 THEN abs(-9223372036854775808) END"
    )
    sql = f"SELECT customer_id, email, city, {failing} AS plan FROM {warehouse.table}"
    with pytest.raises(WarehouseError, match=r"warehouse: reading after [12],000 rows failed"):
        sync(Night("1"), warehouse, sql=sql)
    assert sandbox.posts() == []


def test_a_warehouse_that_goes_away_in_the_middle_sends_nothing(sandbox, clock, on_postgres, monkeypatch):
    from airflow_provider_leadsquared.sync import run as sync_run
    from airflow_provider_leadsquared.sync.run import SyncRun

    monkeypatch.setattr(sync_run, "_MOST_ROWS", 1_000)  # when the first are compared, the last are not read yet
    on_postgres.fill(3_000)
    of_readers = "position('FETCH' in query) = 1 AND pid <> pg_backend_pid()"
    end_readers = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {of_readers}"
    read = SyncRun.read
    monkeypatch.setattr(SyncRun, "read", lambda run, rows, _: read(run, rows, lambda _: on_postgres.run(end_readers)))
    with pytest.raises(WarehouseError, match="failed with"):
        sync(Night("1"), on_postgres)
    assert sandbox.posts() == []


def test_a_query_with_parameters_is_run_with_them(sandbox, clock, on_sqlite):
    on_sqlite.fill(5)
    sql = f"SELECT customer_id, email, city, plan FROM {on_sqlite.table} WHERE customer_id < ?"
    assert sync(Night("1"), on_sqlite, sql=sql, parameters=(2,))["counts"] == {"read": 2, "open": 2}


# --- values -------------------------------------------------------------------------------------------------------


def test_binary_is_refused_by_row(sandbox, clock, warehouse):
    binary = "'\\x00ff'::bytea" if warehouse.is_postgres else "x'00ff'"
    counts, reasons = one_row(warehouse, f'{binary} AS "mx_City"')
    assert counts == {"read": 1, "invalid": 1}
    assert "mx_City" in reasons[0][1]


def test_arrays_are_refused_by_row(sandbox, clock, on_postgres):
    counts, reasons = one_row(on_postgres, 'ARRAY[1, 2] AS "mx_City"')
    assert counts == {"read": 1, "invalid": 1}
    assert "mx_City" in reasons[0][1]


def test_json_is_refused_by_row_and_sent_where_the_mapping_writes_it(sandbox, clock, on_postgres):
    columns = """'{"b": [1]}'::jsonb AS c"""
    arguments = {"mapping": {"EmailAddress": "EmailAddress", "c": ["mx_City", "json"]}}
    assert one_row(on_postgres, columns, mapping={**arguments["mapping"], "c": "mx_City"})[0]["invalid"] == 1
    assert one_row(on_postgres, columns, **arguments)[0] == {"read": 1, "open": 1}
    assert cities_sent(sandbox) == ['{"b": [1]}']


def test_decimals_are_sent_in_full(sandbox, clock, on_postgres):
    one_row(on_postgres, 'CAST(1234567890123.450 AS numeric) AS "mx_Revenue"')
    assert sandbox.posts()[0]["lead"]["mx_Revenue"] == "1234567890123.45"


def test_a_row_key_that_postgres_could_not_keep_is_set_aside_and_named_and_the_rest_goes(
    sandbox, clock, on_postgres, tmp_path
):
    on_postgres.fill(1)
    path = tmp_path / "leads.csv"
    path.write_bytes(b"id,EmailAddress\na\0b,a@example.org\nc,c@example.org\n")
    sync_of_file = CsvToLeadSquaredOperator(
        task_id="sync", path=str(path), row_key="id", ledger_conn_id="warehouse", ledger_table=on_postgres.ledger
    )
    with pytest.raises(LeadsNotDelivered, match="1 of 2 rows were set aside"):
        sync_of_file.execute(Night("1").context())
    assert len(sandbox.posts()) == 1
    [(reason,)] = on_postgres.lines("reason", "state = 'invalid'")
    assert "id: the key holds a control character, U+0000 at position 2" in reason


def test_an_attribute_that_postgres_could_not_keep_is_set_aside_and_the_rest_goes(sandbox, clock, on_postgres):
    rows = [
        {"id": "c", "EmailAddress": "c@example.org", "mx_Ci\0ty\ud83d": "Pune"},
        {"id": "d", "Phone": "+91-9000000001"},
    ]
    task = Task()
    for _ in range(2):
        with pytest.raises(LeadsNotDelivered, match="1 of 2 leads were set aside"):
            capture(task, rows, ledger_conn_id="warehouse", ledger_table=on_postgres.ledger)
    assert len(sandbox.posts()) == 1
    assert task.pushed["set_aside"][0]["reason"].startswith("mx_Ci\ufffdty\ufffd: ")


def test_a_reason_that_postgres_could_not_keep_is_recorded_all_the_same(sandbox, clock, on_postgres):
    sandbox.fault("reject", exception="MXInvalidInputException", message="bad \0 value \ud83d")
    on_postgres.put(customer(1))
    output = sync(Night("1"), on_postgres)
    with pytest.raises(LeadsNotDelivered):
        wait_for(Night("1"), clock, output)
    assert on_postgres.lines("state, reason") == [("rejected", "bad \ufffd value \ufffd")]
    with pytest.raises(LeadsNotDelivered, match="rejected: 1"):
        sync(Night("2"), on_postgres)
    assert len(sandbox.posts()) == 1


def test_row_keys_that_are_email_addresses_are_warned_of(sandbox, clock, on_sqlite, task_log):
    on_sqlite.put(customer(1))
    sync(Night("1"), on_sqlite, row_key="email", mapping={"email": "EmailAddress"}, hash_row_keys=True)
    assert "look like e-mail addresses" not in task_log()
    assert "customer1@example.org" not in on_sqlite.ledger_as_text()
    sync(Night("2"), on_sqlite, sql="SELECT 'a@example.com' AS id, 'a@example.org' AS \"EmailAddress\"", row_key="id",
         mapping="*")  # fmt: skip
    assert "1 row keys look like e-mail addresses" in task_log()


@pytest.mark.parametrize(
    ("policy", "counts"), [("warn", {"read": 1, "open": 1}), ("refuse", {"read": 1, "invalid": 1})]
)
def test_characters_that_nobody_sees_are_told_or_refused(sandbox, clock, on_sqlite, task_log, policy, counts):
    on_sqlite.put(customer(1, "Pune\u200b"))
    with suppress(LeadsNotDelivered):
        sync(Night("1"), on_sqlite, policies={"invisible": policy})
    assert "invisible" in task_log()
    assert len(sandbox.posts()) == counts.get("open", 0)


def test_moments_with_a_zone_are_sent_in_utc(sandbox, clock, on_postgres):
    one_row(on_postgres, "'2026-01-01 05:30:00+05:30'::timestamptz AS \"mx_Signed_Up_On\"")
    assert sandbox.posts()[0]["lead"]["mx_Signed_Up_On"] == "2026-01-01 00:00:00"


def test_infinity_is_refused_by_row(sandbox, clock, warehouse):
    infinity = "'infinity'::float8" if warehouse.is_postgres else "9e999"
    counts, reasons = one_row(warehouse, f'{infinity} AS "mx_Revenue"')
    assert counts == {"read": 1, "invalid": 1}
    assert "mx_Revenue" in reasons[0][1]


def test_a_null_key_is_refused_by_row(sandbox, clock, warehouse):
    warehouse.put((None, "customer1@example.org", "Pune", "Gold"), customer(2))
    assert sync(Night("1"), warehouse, allowed_rejects=1)["counts"] == {"read": 2, "invalid": 1, "open": 1}
    assert warehouse.lines("reason_class", "row_key IS NULL") == [("no_key",)]


def test_rows_without_a_key_do_not_stand_in_each_others_line(sandbox, clock, warehouse):
    warehouse.put(*[(None, f"customer{n}@example.org", "Pune", "Gold") for n in range(3)])
    sync(Night("1"), warehouse, allowed_rejects=3)
    assert len(warehouse.lines("row_no", "row_key IS NULL")) == 3


def test_five_hundred_columns_are_sent(account, clock, warehouse):
    sandbox = account(FIELDS[3:])
    columns = [f"'v{n}' AS \"mx_C{n}\"" for n in range(500)]
    assert one_row(warehouse, *columns)[0] == {"read": 1, "open": 1}
    assert len(sandbox.posts()[0]["lead"]) >= 501


def test_a_row_without_a_match_key_is_refused(sandbox, clock, warehouse):
    warehouse.put((1, None, "Pune", "Gold"), customer(2))
    assert sync(Night("1"), warehouse, allowed_rejects=1)["counts"] == {"read": 2, "invalid": 1, "open": 1}
    assert warehouse.lines("row_key, reason_class", "state = 'invalid'") == [("1", "no_match_key")]


def test_all_rows_with_a_doubled_key_are_refused(sandbox, clock, warehouse):
    warehouse.fill(3)
    warehouse.run(f"INSERT INTO {warehouse.table} VALUES (1, 'customer9@example.org', 'Agra', 'Gold')")
    assert sync(Night("1"), warehouse, allowed_rejects=2)["counts"] == {"read": 4, "invalid": 2, "open": 2}
    reason = f"2 {DOUBLED_KEY}"
    assert warehouse.lines("row_key, reason_class, reason", "state = 'invalid'") == [("1", "doubled_key", reason)] * 2


@pytest.mark.parametrize("held", ["unchanged", "rejected"])
def test_a_doubled_key_is_refused_whatever_is_known_of_it(sandbox, clock, on_sqlite, held):
    if held == "rejected":
        sandbox.fault("reject")
    on_sqlite.put(customer(1))
    wait_for(Night("1"), clock, sync(Night("1"), on_sqlite), allowed_rejects=1)
    on_sqlite.run(f"INSERT INTO {on_sqlite.table} VALUES (1, 'customer9@example.org', 'Agra', 'Gold')")
    assert sync(Night("2"), on_sqlite, allowed_rejects=2)["counts"] == {"read": 2, "invalid": 2}


def test_of_rows_with_one_match_key_the_last_is_sent(sandbox, clock, warehouse):
    warehouse.put(customer(1), customer(2, "Kochi", email="customer1@example.org"))
    assert sync(Night("1"), warehouse)["counts"] == {"read": 2, "superseded": 1, "open": 1}
    assert warehouse.lines("row_key, state, reason") == [
        ("1", "superseded", "row 2 is the same person"),
        ("2", "open", None),
    ]
    assert cities_sent(sandbox) == ["Kochi"]


def test_a_row_that_another_had_superseded_goes_again_when_the_other_is_gone(sandbox, clock, warehouse):
    """The CRM holds the other's values by then, whatever it confirmed of this row's before."""
    warehouse.put(customer(1))
    run_night(Night("1"), clock, warehouse)
    warehouse.put(customer(2, "Kochi", email="customer1@example.org"))
    assert run_night(Night("2"), clock, warehouse) == {"read": 2, "superseded": 1, "open": 1}
    warehouse.run(f"DELETE FROM {warehouse.table} WHERE customer_id = 2")
    assert run_night(Night("3"), clock, warehouse) == {"read": 1, "open": 1}
    assert values_in_crm(sandbox) == {"customer1@example.org": ("Pune", "Gold")}


def test_a_superseded_row_is_so_every_night_and_nothing_is_sent_for_it(sandbox, clock, warehouse):
    warehouse.put(customer(1), customer(2, "Kochi", email="customer1@example.org"))
    run_night(Night("1"), clock, warehouse)
    for night in ("2", "3"):
        assert run_night(Night(night), clock, warehouse) == {"read": 2, "superseded": 1, "unchanged": 1}
    assert cities_sent(sandbox) == ["Kochi"]


# --- the account's rules ------------------------------------------------------------------------------------------


def test_an_unknown_attribute_fails_the_run_before_the_first_call(sandbox, clock, warehouse):
    warehouse.fill(3)
    with pytest.raises(LeadsNotDelivered, match=r"mx_Cty.*mx_City.*Nothing was sent"):
        sync(Night("1"), warehouse, mapping={"email": "EmailAddress", "city": "mx_Cty"})
    assert sandbox.posts() == []


#: Each rule, and a column that breaks it.
BREACHES = {
    "unknown_attribute": "'x' AS \"mx_Nowhere\"",
    "mandatory": "'' AS \"mx_Branch\"",
    "too_long": "'abcdef' AS \"mx_Short\"",
    "wrong_type": "'many' AS \"mx_Age\"",
    "not_an_option": "'Platinum' AS \"mx_Plan\"",
}


def breach(account, warehouse, rule, policy):
    """Run a night whose only row breaks a rule."""
    fields = [field for field in FIELDS[:3] if field["SchemaName"] != "mx_Branch" or rule == "mandatory"]
    sandbox = account(fields)
    night = Night("1")
    arguments = {"sql": query_of(BREACHES[rule]), "row_key": "id", "mapping": "*", "allowed_rejects": 1}
    return sandbox, sync(night, warehouse, policies={rule: policy}, **arguments)["counts"]


@pytest.mark.parametrize("rule", BREACHES)
def test_refuse_sets_the_row_aside(account, clock, on_sqlite, rule):
    sandbox, counts = breach(account, on_sqlite, rule, "refuse")
    assert (counts, sandbox.posts()) == ({"read": 1, "invalid": 1}, [])
    assert on_sqlite.lines("reason_class") == [(rule,)]


def test_the_log_of_a_refused_run_ends_with_the_row_and_the_next_step(account, clock, on_sqlite, task_log):
    with pytest.raises(LeadsNotDelivered):
        breach(account, on_sqlite, "too_long", "fail")
    failed, row, following = task_log().splitlines()[-3:]
    assert failed.startswith("Failed: 1: mx_Short: ")
    assert row == "- invalid, too_long: 1"
    assert following.startswith("Next: nothing was sent; correct the mapping or the rows")


@pytest.mark.parametrize("rule", BREACHES)
def test_warn_sends_the_row_and_says_so(account, clock, on_sqlite, task_log, rule):
    sandbox, counts = breach(account, on_sqlite, rule, "warn")
    assert (counts, len(sandbox.posts())) == ({"read": 1, "open": 1}, 1)
    assert f"1 rows break the rule {rule}" in task_log()


@pytest.mark.parametrize("rule", BREACHES)
def test_fail_sends_nothing_at_all(account, clock, on_sqlite, rule):
    with pytest.raises(LeadsNotDelivered, match=f"Nothing was sent, because the policy of {rule} is 'fail'"):
        breach(account, on_sqlite, rule, "fail")


@pytest.mark.parametrize("rule", ["no_match_key", "no_key", "doubled_key", "doubled_match_key", "transform"])
def test_rows_that_cannot_be_sent_fail_the_run_where_the_policy_says_so(sandbox, clock, on_sqlite, rule):
    on_sqlite.fill(3)
    broken = {
        "no_match_key": (9, None, "Pune", "Gold"),
        "no_key": (None, "customer9@example.org", "Pune", "Gold"),
        "doubled_key": (1, "customer9@example.org", "Pune", "Gold"),
        "doubled_match_key": (9, "customer1@example.org", "Pune", "Gold"),
        "transform": (9, "customer9@example.org", "no date", "Gold"),
    }
    on_sqlite.run(f"INSERT INTO {on_sqlite.table} VALUES (?, ?, ?, ?)", broken[rule])
    dated = {"email": "EmailAddress", "city": ["mx_Date_Of_Birth", "date"]}
    arguments = {"mapping": dated} if rule == "transform" else {}
    with pytest.raises(LeadsNotDelivered, match=f"the policy of {rule} is 'fail'"):
        sync(Night("1"), on_sqlite, policies={rule: "fail"}, **arguments)
    assert sandbox.posts() == []


def test_a_field_that_is_locked_is_checked_for_known_leads_only(account, clock, on_sqlite):
    sandbox = account(FIELDS[:1])
    mapping = {"email": "EmailAddress", "city": "mx_Agent"}
    on_sqlite.put(customer(1))
    output = sync(Night("1"), on_sqlite, mapping=mapping)
    wait_until_judged(sandbox, clock, output)
    on_sqlite.put(customer(1, "Kochi"))
    counts = sync(Night("2"), on_sqlite, mapping=mapping, allowed_rejects=1)["counts"]
    assert counts == {"read": 1, "invalid": 1}
    assert on_sqlite.lines("reason_class", "run_id = '2'") == [("read_only",)]


def wait_until_judged(sandbox, clock, output):
    clock.advance(10)
    sandbox.advance(10)
    wait_for(Night("1"), clock, output)


def test_an_attribute_that_is_gone_since_last_night_fails_before_the_first_call(account, clock, on_sqlite):
    account([{"SchemaName": "mx_Hobby"}])
    on_sqlite.fill(2)
    mapping = {"email": "EmailAddress", "city": "mx_Hobby"}
    sync(Night("1"), on_sqlite, mapping=mapping)
    sandbox = account([])
    with pytest.raises(LeadsNotDelivered, match="mx_Hobby"):
        sync(Night("2"), on_sqlite, mapping=mapping)
    assert sandbox.posts() == []


def test_a_dropdown_value_that_is_gone_since_last_night_refuses_rows_that_changed_to_it_only(
    leadsquared_sandbox_factory, sandbox, clock, on_sqlite, monkeypatch
):
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

    on_sqlite.put(customer(1, plan="Silver"), customer(2))
    run_night(Night("1"), clock, on_sqlite)
    get_lead_fields = LeadSquaredHook.get_lead_fields
    without_silver = leadsquared_sandbox_factory(speed=0, fields=[{"SchemaName": "mx_Plan", "Options": ["Gold"]}])
    connect(monkeypatch, without_silver, "changed")
    monkeypatch.setattr(LeadSquaredHook, "get_lead_fields", lambda _: get_lead_fields(LeadSquaredHook("changed")))
    on_sqlite.put(customer(2, plan="Silver"))
    counts = sync(Night("2"), on_sqlite, allowed_rejects=1)["counts"]
    assert counts == {"read": 2, "unchanged": 1, "invalid": 1}
    assert on_sqlite.lines("row_key, reason_class", "run_id = '2'") == [("2", "not_an_option")]


def test_the_accounts_fields_are_asked_for_once_a_run(sandbox, clock, on_sqlite, monkeypatch):
    from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

    get_lead_fields, asked = LeadSquaredHook.get_lead_fields, []

    def count_and_ask(hook):
        asked.append(1)
        return get_lead_fields(hook)

    monkeypatch.setattr(LeadSquaredHook, "get_lead_fields", count_and_ask)
    on_sqlite.fill(2_500)
    sync(Night("1"), on_sqlite, dry_run=True)
    assert len(asked) == 1


# --- the ledger's database ----------------------------------------------------------------------------------------


def read_only(warehouse, monkeypatch, tmp_path):
    """Name a connection to the warehouse through which nothing can be written."""
    if warehouse.is_postgres:
        import os

        uri = os.environ["AIRFLOW_CONN_WAREHOUSE"]
        separator = "&" if "?" in uri else "?"
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", f"{uri}{separator}options=-c%20default_transaction_read_only%3Don")
    else:
        uri = f"file:{tmp_path / 'warehouse.db'}?mode=ro"
        define_connection(monkeypatch, "ledger", conn_type="sqlite", host=uri, extra={"uri": True})
        monkeypatch.setattr(
            "airflow.providers.sqlite.hooks.sqlite.SqliteHook.get_conn",
            lambda hook: sqlite3.connect(
                uri if hook.get_conn_id() == "ledger" else tmp_path / "warehouse.db", uri=hook.get_conn_id() == "ledger"
            ),
        )


@pytest.mark.parametrize("has_tables", [False, True])
def test_a_read_only_ledger_database_is_named_before_the_first_call(
    sandbox, clock, warehouse, monkeypatch, tmp_path, has_tables
):
    warehouse.fill(3)
    posts = 0
    if has_tables:
        run_night(Night("1"), clock, warehouse)
        posts = 3
    read_only(warehouse, monkeypatch, tmp_path)
    with pytest.raises(LedgerUnavailableError, match=r"ledger table \S+: .*read.?only"):
        sync(Night("2"), warehouse, ledger_conn_id="ledger", full_refresh=True)
    assert len(sandbox.posts()) == posts


def test_a_ledger_of_an_older_version_is_refused_before_the_first_call(sandbox, clock, warehouse):
    warehouse.fill(3)
    sync(Night("1"), warehouse)
    warehouse.run(f"UPDATE {warehouse.ledger}_metadata SET content = '1' WHERE scope = 'tables'")
    with pytest.raises(LedgerVersionError, match="is of version 1, this package reads version 7; name another"):
        sync(Night("2"), warehouse)
    assert len(sandbox.posts()) == 3


@pytest.mark.parametrize("argument", ["conn_id", "ledger_conn_id"])
def test_a_connection_that_is_no_sql_database_is_refused(sandbox, clock, on_sqlite, monkeypatch, argument):
    define_connection(monkeypatch, "files", conn_type="leadsquared", host=sandbox.url)
    with pytest.raises(ValueError, match=f"{argument} 'files' leads to a LeadSquaredHook, which is no common.sql hook"):
        sync(Night("1"), on_sqlite, **{"ledger_conn_id": "warehouse", argument: "files"})


@pytest.mark.parametrize("table", ["a b", "x; DROP TABLE customers", "", "a.b.c"])
def test_a_ledger_table_that_is_no_plain_name_is_refused(sandbox, clock, on_sqlite, table):
    with pytest.raises(ValueError, match="is no plain table name"):
        sync(Night("1"), on_sqlite, ledger_table=table)
