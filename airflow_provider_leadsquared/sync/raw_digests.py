"""
Digests of rows as their source returns them: as long as a row has the same digest, the same is sent for it.

So a row can be known to be unchanged before a lead is made of it, which costs a multiple. A digest covers the row's
values with their types, and the *context*: all else that decides what is sent for a row.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import sys
import unicodedata
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from operator import itemgetter
from types import MappingProxyType, NoneType
from typing import Any

from airflow_provider_leadsquared import __version__
from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.sync.mapping import ColumnMapping, Row, transformed
from airflow_provider_leadsquared.sync.transforms import TRANSFORMS, Transform

#: Types whose ``repr`` shows a value as a whole, and differs from that of any other type's value.
_PLAIN_TYPES = frozenset(
    {NoneType, bool, int, float, str, bytes, Decimal, dt.date, dt.datetime, dt.timedelta, uuid.UUID}
)
#: The same of time zones: a moment in one of these has its offset in its ``repr``.
_PLAIN_ZONES = frozenset({NoneType, dt.timezone})
#: 128 bits. That two rows have one digest can be brought about by nobody who does not know the ledger's salt. By
#: chance, one of five million changed rows meets one of five million digests in about 10**25 nights; it would then not
#: be sent until it changes again.
_DIGEST_BYTES = 16
_NO_RESULTS: Mapping[str, Any] = MappingProxyType({})


class RawDigests:
    """
    The digests of the rows of one run.

    :param columns: How rows become leads. Of a column with a function among its transforms, what these return is taken:
        nobody can know on what else a function depends.
    :param key: A secret that all runs of the sync have, at most 64 bytes.
    :param context: All else that decides what is sent for a row, as a text.
    """

    def __init__(self, columns: ColumnMapping, *, key: bytes, context: str) -> None:
        self._columns = columns
        self._functions = [source for source in columns.sources if not _is_built_in(source[3])]
        plain = [source[2] for source in columns.sources if _is_built_in(source[3])]
        used = list(dict.fromkeys([*(index for _, index in columns.key), *plain]))
        # itemgetter gives a tuple only of two items or more.
        self._pick: Callable[[Row], tuple[Any, ...]] = itemgetter(*used, *used[:1] * (len(used) == 1))
        self._hash = hashlib.blake2b(context.encode(), key=key, digest_size=_DIGEST_BYTES)

    @classmethod
    def build(cls, columns: ColumnMapping, *, key: bytes, context: Mapping[str, Any]) -> RawDigests | None:
        """
        Return the digests of a run; None if the context, or a constant, is more than plain values.

        :param columns: How rows become leads.
        :param key: A secret that all runs of the sync have, at most 64 bytes.
        :param context: What else decides what is sent for a row, by name.
        """
        whole = {
            "package": __version__,
            # What is a letter, and how numbers are written, may differ between versions of Python.
            "python": (*sys.version_info[:2], unicodedata.unidata_version),
            "row key": (*(column for column, _ in columns.key), columns.is_key_hashed),
            "columns": [
                (attribute, column, [name if _is_built_in([(name, one)]) else None for name, one in transforms])
                for attribute, column, _, transforms in columns.sources
            ],
            "constants": columns.constants,
            **context,
        }
        return cls(columns, key=key, context=repr(sorted(whole.items()))) if _is_plain(whole) else None

    def results_of(self, rows: Sequence[Row]) -> Sequence[Mapping[str, Any]]:
        """
        Return what functions make of the values of each row, by attribute: a value, or the error of one that failed.

        Each is called once for a row, and the lead is made of the same results: a second call may return another value.
        """
        return [self._results(row) for row in rows] if self._functions else [_NO_RESULTS] * len(rows)

    def of(self, rows: Sequence[Row], results: Sequence[Mapping[str, Any]] | None = None) -> list[str | None]:
        """
        Return the digest of each row; None for a row with a value of another type, or of which no lead is made.

        :param results: What functions made of their values. Default: they are called.
        """
        picked = list(map(self._pick, rows))
        if not self._functions and _are_plain(picked):
            copy = self._hash.copy
            digests: list[str | None] = []
            try:
                for values in picked:
                    one = copy()
                    one.update(repr(values).encode())
                    digests.append(one.hexdigest())
            except ValueError:  # an integer with too many digits
                pass
            else:
                return digests
        results = self.results_of(rows) if results is None else results
        return [self._of_any(values, of_row) for values, of_row in zip(picked, results, strict=True)]

    def row_key(self, row: Row) -> str:
        """Return the key of a row whose digest was kept, so that it certainly has one: faster than checking it."""
        columns = self._columns
        if len(columns.key) == 1 and not columns.is_key_hashed:
            key = row[columns.key[0][1]]
            if type(key) is int or (type(key) is str and "@" not in key):
                return str(key)
        return columns.row_key(row)

    def _results(self, row: Row) -> dict[str, Any]:
        results: dict[str, Any] = {}
        for attribute, column, index, transforms in self._functions:
            try:
                results[attribute] = transformed(row[index], attribute, column, transforms)
            except InvalidLeadError as error:
                results[attribute] = error
        return results

    def _of_any(self, values: tuple[Any, ...], results: Mapping[str, Any]) -> str | None:
        """Return the digest of one row; the same as if all rows were plain, if this one is."""
        try:
            made = tuple(map(_with_offset, results.values()))
            parts = tuple(map(_with_offset, values)), *([made] if made else [])
            if not _is_plain(parts):
                return None
            one = self._hash.copy()
            one.update("".join(map(repr, parts)).encode())
        except (ValueError, RecursionError):
            return None
        return one.hexdigest()


def _is_built_in(transforms: Sequence[tuple[str, Transform]]) -> bool:
    return all(TRANSFORMS.get(name) is transform for name, transform in transforms)


def _are_plain(picked: Sequence[tuple[Any, ...]]) -> bool:
    """Tell whether all values of many rows are of plain types; their moments too."""
    types = set(map(type, chain.from_iterable(picked)))
    if not types <= _PLAIN_TYPES:
        return False
    if dt.datetime not in types:
        return True
    columns = [column for column in zip(*picked, strict=True) if dt.datetime in set(map(type, column))]
    moments = (value for column in columns for value in column if type(value) is dt.datetime)
    return {type(moment.tzinfo) for moment in moments} <= _PLAIN_ZONES


def _is_plain(value: Any) -> bool:
    """Tell whether the ``repr`` of a value shows all of it."""
    kind = type(value)
    if kind is dt.datetime:
        return type(value.tzinfo) in _PLAIN_ZONES
    if kind is dict:
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return kind in _PLAIN_TYPES or (kind in (tuple, list) and all(map(_is_plain, value)))


def _with_offset(value: Any) -> Any:
    """Return a moment of a named zone with its offset beside it: the zone's rules may change."""
    if type(value) is dt.datetime and type(value.tzinfo) not in _PLAIN_ZONES:
        return "zone", value.replace(tzinfo=None), value.utcoffset()
    return value
