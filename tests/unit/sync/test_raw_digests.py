"""Digests of rows as their source returns them: equal only if the same would be sent."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_leadsquared.api.async_apis import LEAD_CAPTURE
from airflow_provider_leadsquared.sync import raw_digests
from airflow_provider_leadsquared.sync.mapping import ColumnMapping
from airflow_provider_leadsquared.sync.raw_digests import RawDigests

COLUMNS = ("id", "email", "note")
MAPPING = {"email": "EmailAddress", "note": "mx_Note"}


class Colour(str):
    """A text that may be more than its characters."""


KOLKATA = ZoneInfo("Asia/Kolkata")
MOMENT = dt.datetime(2026, 1, 1, 8)


def digests(mapping=None, *, columns=COLUMNS, row_key="id", key=b"secret", context=None, **more):
    built = ColumnMapping.build(mapping or MAPPING, columns=columns, row_key=row_key, api=LEAD_CAPTURE, **more)
    return RawDigests.build(built, key=key, context=context or {})


def digest_of(note, **more):
    """Return the digest of a row with a value."""
    [made] = digests(**more).of([(1, "a@example.org", note)])
    return made


def test_a_row_has_the_same_digest_every_night():
    assert digest_of("Pune") == digest_of("Pune")


def test_a_digest_has_128_bits():
    assert len(bytes.fromhex(digest_of("Pune"))) == 16


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Pune", "Kochi"),
        ("Pune", "pune"),
        ("Pune", "Pune "),
        ("", None),
        ("None", None),
        ("1", 1),
        (1, 1.0),
        (1, True),
        (1.5, Decimal("1.5")),
        (Decimal("1.5"), Decimal("1.50")),
        (0.0, -0.0),
        (b"a", "a"),
        (MOMENT, MOMENT.date()),
        (MOMENT, MOMENT.replace(tzinfo=dt.UTC)),
        (MOMENT, MOMENT.replace(microsecond=1)),
        (MOMENT.replace(tzinfo=KOLKATA), MOMENT.replace(tzinfo=dt.UTC)),
        (MOMENT.replace(fold=1), MOMENT),
        (["a", "b"], ["a, b"]),
        ({"a": 1}, {"a": "1"}),
        (("a",), ["a"]),
        ("é", "e\u0301"),
        ("\ud800", "?"),
    ],
)
def test_rows_that_differ_have_digests_that_differ(one, other):
    assert digest_of(one) != digest_of(other)


def test_what_stands_in_one_column_is_not_what_stands_in_the_next():
    made = digests().of([(1, "a', 'b", "c"), (1, "a", "b', 'c"), (1, "a", "b")])
    assert len(set(made)) == 3


def test_a_row_has_the_same_digest_whatever_rows_are_read_with_it():
    rows = [
        (1, "a@example.org", "Pune"),
        (2, "b@example.org", MOMENT),
        (3, "c@example.org", MOMENT.replace(tzinfo=dt.UTC)),
        (4, "d@example.org", MOMENT.replace(tzinfo=KOLKATA)),
        (5, "e@example.org", ["a", 1]),
        (6, "f@example.org", memoryview(b"a")),
        (7, "g@example.org", 10**5_000),
        (8, "h@example.org", uuid.UUID(int=1)),
    ]
    together = digests().of(rows)
    assert together == [digests().of([row])[0] for row in rows]
    assert [made is None for made in together] == [False] * 5 + [True, True, False]


def test_a_zone_whose_rules_change_changes_the_digest(monkeypatch):
    before = digest_of(MOMENT.replace(tzinfo=KOLKATA))

    class Changed(dt.tzinfo):
        def utcoffset(self, moment):
            return dt.timedelta(hours=6)

        def dst(self, moment):
            return None

        def tzname(self, moment):
            return "changed"

    assert digest_of(MOMENT.replace(tzinfo=Changed())) != before


@pytest.mark.parametrize("value", [object(), memoryview(b"a"), bytearray(b"a"), {1}, [memoryview(b"a")], range(3)])
def test_a_row_with_a_value_that_its_repr_may_not_show_has_no_digest(value):
    assert digest_of(value) is None


def test_a_list_too_deep_to_be_written_has_no_digest():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert digest_of(deep) is None


def test_a_column_that_is_not_used_is_not_part_of_it():
    columns = (*COLUMNS, "read_at")
    made = digests(columns=columns).of([(1, "a@example.org", "Pune", 1), (1, "a@example.org", "Pune", 2)])
    assert made[0] == made[1]


def test_a_row_of_one_used_column_has_a_digest():
    made = digests({"mx_Id": "mx_Id"}, columns=("mx_Id",), row_key="mx_Id").of([("a",), ("b",), ("a",)])
    assert made[0] == made[2] != made[1]


@pytest.mark.parametrize(
    "changed",
    [
        {"key": b"another salt"},
        {"context": {"null handling": "clear"}},
        {"constants": {"Source": "Warehouse"}},
        {"mapping": {"email": "EmailAddress", "note": "mx_Other"}},
        {"mapping": {"note": "mx_Note", "email": "EmailAddress"}},
        {"mapping": {**MAPPING, "note": ["mx_Note", "strip"]}},
        {"mapping": {**MAPPING, "note": ["mx_Note", str.strip]}},
        {"row_key": ["id", "note"]},
        {"hash_row_keys": True},
    ],
    ids=str,
)
def test_what_else_decides_what_is_sent_changes_the_digest(changed):
    assert digest_of("Pune", **changed) != digest_of("Pune")


def test_the_order_of_transforms_changes_the_digest():
    one, other = ({**MAPPING, "note": ["mx_Note", *order]} for order in (("strip", "json"), ("json", "strip")))
    assert digest_of("Pune", mapping=one) != digest_of("Pune", mapping=other)


@pytest.mark.parametrize("what", ["__version__", "sys.version_info", "unicodedata.unidata_version"])
def test_another_version_of_the_package_or_of_python_changes_the_digest(monkeypatch, what):
    before = digest_of("Pune")
    monkeypatch.setattr(f"airflow_provider_leadsquared.sync.raw_digests.{what}", (3, 99))
    assert digest_of("Pune") != before


@pytest.mark.parametrize("given", [{"context": {"what": object()}}, {"constants": {"mx_A": Colour("red")}}])
def test_there_are_no_digests_if_what_else_decides_cannot_be_written(given):
    assert digests(**given) is None


# --- functions -----------------------------------------------------------------------------------------------------


def test_of_a_column_with_a_function_what_it_returns_is_taken():
    state = {"now": "first"}
    made = [
        digest_of("Pune", mapping={**MAPPING, "note": ["mx_Note", "strip", lambda note: f"{note} {state['now']}"]})
        for state["now"] in ("first", "second", "second")
    ]
    assert made[0] != made[1] == made[2]


def test_a_function_that_fails_or_returns_anything_else_leaves_no_digest():
    fails = {**MAPPING, "note": ["mx_Note", lambda note: 1 / 0]}
    odd = {**MAPPING, "note": ["mx_Note", lambda note: object()]}
    assert (digest_of("Pune", mapping=fails), digest_of("Pune", mapping=odd)) == (None, None)


def test_a_function_never_sees_a_null():
    seen: list = []
    digest_of(None, mapping={**MAPPING, "note": ["mx_Note", seen.append]})
    assert seen == []


def test_a_function_called_like_a_built_in_transform_is_a_function():
    def strip(note):
        return note

    assert digest_of(" a", mapping={**MAPPING, "note": ["mx_Note", strip]}) != digest_of(
        " a", mapping={**MAPPING, "note": ["mx_Note", "strip"]}
    )


# --- row keys ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [5, "K-7", 5.0, Decimal("5.00"), True, "a@example.org", MOMENT])
@pytest.mark.parametrize("is_hashed", [False, True])
def test_the_key_of_a_row_is_what_it_is_when_it_is_checked(key, is_hashed):
    built = ColumnMapping.build(MAPPING, columns=COLUMNS, row_key="id", api=LEAD_CAPTURE, hash_row_keys=is_hashed)
    made = RawDigests.build(built, key=b"", context={})
    assert made is not None
    assert made.row_key((key, "", "")) == built.row_key((key, "", ""))


def test_the_key_of_several_columns_is_what_it_is_when_it_is_checked():
    assert digests(row_key=["id", "note"]).row_key((1, "", "a|b")) == "1|a\\|b"


# --- large rows ----------------------------------------------------------------------------------------------------


def test_a_row_of_500_columns_differs_by_any_of_them():
    columns = ("id", *(f"mx_{number}" for number in range(500)))
    made = digests("*", columns=columns)
    row = tuple(range(501))
    changed = [(*row[:at], "new", *row[at + 1 :]) for at in range(501)]
    assert len({*made.of(changed), *made.of([row])}) == 502


def test_a_value_of_a_megabyte_differs_by_its_last_character():
    text = "a" * 1_000_000
    assert digest_of(text) != digest_of(text[:-1] + "b")


def test_two_rows_that_met_in_one_digest_would_need_the_salt():
    """With a digest of 8 bits rows meet, and which do is different under each salt."""
    rows = [(number, "a@example.org", "Pune") for number in range(600)]

    def meeting(key):
        built = ColumnMapping.build(MAPPING, columns=COLUMNS, row_key="id", api=LEAD_CAPTURE)
        made = RawDigests.build(built, key=key, context={})
        assert made is not None
        short = [one[:2] for one in made.of(rows) if one]
        return {(row[0], short.index(one)) for row, one in zip(rows, short, strict=True) if short.index(one) != row[0]}

    assert meeting(b"one") != meeting(b"other")


def test_a_digest_is_made_under_the_key():
    assert raw_digests._DIGEST_BYTES == 16
    assert digest_of("Pune", key=b"one") != digest_of("Pune", key=b"other")
