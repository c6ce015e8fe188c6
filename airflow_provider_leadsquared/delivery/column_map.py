"""
From a row of a query's result to a lead, and to the key by which its owner knows it.

All that can be known from the column names alone is checked once, before the first row: a name that stands in the
wrong case would otherwise refuse a million leads one by one.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any

from airflow_provider_leadsquared.api.leads import InvalidLeadError, encode_lead
from airflow_provider_leadsquared.delivery.batch import check_key, is_field, key_text

Transform = Callable[[Any], Any]
Row = Sequence[Any]

#: Stands in a mapping for all columns that are not named in it.
REST = "*"


class _UnfitError(ValueError):
    """A value that a transform of ours cannot take; the text holds no value, so it may be shown."""


def _strip(value: Any) -> Any:
    """Cut blanks at both ends of a text."""
    return value.strip() if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    """Write a text in small letters."""
    return value.lower() if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    """Write a text in capitals."""
    return value.upper() if isinstance(value, str) else value


def _title(value: Any) -> Any:
    """Begin every word with a capital and write the rest small: ``D'Souza``, but ``Meera's``."""
    return re.sub(r"(?<=\w['’])S\b", "s", value.title()) if isinstance(value, str) else value


def _digits(value: Any) -> str | None:
    """
    Keep the digits of a text, or of a whole number; None where there is none.

    A phone number that a warehouse keeps as a number, 919000000001.0 say, gives the digits of the whole number.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise _UnfitError(f"takes text or a whole number, not a {type(value).__name__}")
    if not isinstance(value, str):
        value = _number(value)
        if not value.lstrip("-").isdigit():
            raise _UnfitError("takes a whole number")
    if value.isascii():
        return re.sub(r"[^0-9]+", "", value) or None
    return "".join(str(int(sign)) for sign in value if sign.isdecimal()) or None


def _null_if_blank(value: Any) -> Any:
    """Take a text of nothing but blanks for None."""
    return None if isinstance(value, str) and not value.strip() else value


def _text(value: Any) -> str:
    """
    Write any value as text, also what cannot be sent as it is: a time, an interval, an address, bytes in UTF-8.

    Numbers, booleans and moments become the text that would be sent.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise _UnfitError("takes bytes in UTF-8") from None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (float, Decimal)):
        return format(_finite(value), "f")
    if isinstance(value, dt.datetime):
        return _utc(value).isoformat(sep=" ", timespec="seconds")
    return str(value)


def _date(value: Any) -> dt.date | None:
    """
    Take the day of a date, of a moment (in UTC, as moments are sent), or of a text in ISO 8601.

    A blank text is None.
    """
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            raise _UnfitError("takes text as YYYY-MM-DD, with a time behind it or without") from None
    if isinstance(value, dt.datetime):
        return _utc(value).date()
    if isinstance(value, dt.date):
        return value
    raise _UnfitError(f"takes a date, a datetime or text as YYYY-MM-DD, not a {type(value).__name__}")


def _json(value: Any) -> str:
    """
    Write a list, an object or any other value as JSON, names in order of the alphabet so that equal values look alike.

    A text stays as it is: drivers that do not read JSON columns give their JSON.
    """
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False, default=_text)
    except (TypeError, ValueError, RecursionError):
        raise _UnfitError(f"cannot write this {type(value).__name__} as JSON") from None


#: The transforms that have a word. Those for text leave numbers and moments as they are.
TRANSFORMS: dict[str, Transform] = {
    "strip": _strip,
    "lower": _lower,
    "upper": _upper,
    "title": _title,
    "digits": _digits,
    "null_if_blank": _null_if_blank,
    "text": _text,
    "date": _date,
    "json": _json,
}


class ColumnMap:
    """
    How the rows of one result become leads; made by :meth:`plan`.

    Values stand only in what :meth:`key` and :meth:`lead` return, never in an exception.
    """

    #: The attributes that leads will have, in order.
    attributes: tuple[str, ...]

    def __init__(
        self,
        sources: Sequence[tuple[str, str, int, Sequence[tuple[str, Transform]]]],
        key: Sequence[tuple[str, int]],
        constants: Mapping[str, Any],
    ) -> None:
        names = tuple(attribute for attribute, *_ in sources)
        self.attributes = (*names, *constants)
        self._names = names
        self._constants = dict(constants)
        # itemgetter gives a tuple only of two items or more, so the first item is always taken once more.
        self._pick = itemgetter(sources[0][2], *(index for _, _, index, _ in sources))
        self._names_picked = (names[0], *names)
        self._chains = [
            (attribute, column, tuple(transforms)) for attribute, column, _, transforms in sources if transforms
        ]
        self._key = tuple(key)

    @classmethod
    def plan(
        cls,
        mapping: str | Mapping[str, Any],
        *,
        columns: Sequence[str],
        key: str | Sequence[str],
        constants: Mapping[str, Any] | None = None,
    ) -> ColumnMap:
        """
        Hold what the author wrote against the columns that the query has.

        :param mapping: ``"*"``, every column under its own name; or columns and what becomes of each: a schema name;
            a list of a schema name and transforms, applied from left to right; or None, to leave the column out. The
            entry ``"*": "*"`` stands for all other columns under their own names. A transform is one of the words in
            ``TRANSFORMS`` or takes the value and returns another. None is never transformed: a transform does not see
            it, and one that returns None is the last. Use ``COALESCE`` in SQL where there shall be another value.
        :param columns: The columns of the result, in order.
        :param key: The column that identifies a row to its owner, or several. With ``"*"`` it is sent only if it is
            named as a field of LeadSquared's (``mx_…`` or ``ProspectID``).
        :param constants: Schema names and the value that every lead has there.
        :raises ValueError: A name is not there, or stands twice, or is none that LeadSquared takes; a word is no
            transform; nothing would be sent; or the key would show personal data.
        """
        columns = tuple(columns)
        if not isinstance(key, Sequence):
            raise ValueError(f"key is a {type(key).__name__}; pass the name of a column, or a list of them")
        keys = (key,) if isinstance(key, str) else tuple(key)
        constants = dict(constants or {})
        _check_columns(columns)
        if not isinstance(mapping, Mapping):
            if mapping != REST:
                raise ValueError('mapping must be "*" or a dict of columns and what becomes of them')
            mapping = {REST: REST}
        if mapping.get(REST, REST) != REST:
            raise ValueError('mapping["*"] stands for all other columns under their own names: write "*": "*"')
        _check_there("mapping", [column for column in mapping if column != REST], columns)
        _check_keys(keys, columns)
        sources = []
        for column, attribute, transforms in _targets(mapping, columns, keys):
            if column in keys:
                _check_key_may_be_sent_as(column, attribute)
            sources.append((attribute, column, columns.index(column), transforms))
        if not sources:
            raise ValueError("mapping sends no column of the query; name one at least")
        _check_attributes([(attribute, f"column {column!r}") for attribute, column, *_ in sources], constants)
        return cls(sources, [(column, columns.index(column)) for column in keys], constants)

    def __repr__(self) -> str:
        return f"ColumnMap({', '.join(self.attributes)})"

    def key(self, row: Row) -> str:
        """
        Return the key of a row.

        A key must not change with the type that a warehouse gives it from one night to the next: 5, 5.0 and
        Decimal('5.00') are all ``5``, and a moment with a zone is written in UTC. Several key columns are joined by
        ``|``; a ``|`` or backslash inside one of them has a backslash before it, so that no two rows share a key.

        :param row: The values in the order of the columns.
        :raises InvalidLeadError: A key column is empty, holds no id, or holds too much.
        """
        if len(self._key) == 1:
            column, index = self._key[0]
            return _key_part(row[index], column)
        parts = [_key_part(row[index], column).replace("\\", "\\\\").replace("|", "\\|") for column, index in self._key]
        return key_text("|".join(parts), "|".join(column for column, _ in self._key))

    def lead(self, row: Row) -> dict[str, Any]:
        """
        Return the lead of a row, as ``encode_lead`` takes it.

        :param row: The values in the order of the columns.
        :raises InvalidLeadError: A transform failed; the exception names it and the column, but shows no value.
        """
        lead = dict(zip(self._names_picked, self._pick(row), strict=True))
        for attribute, column, transforms in self._chains:
            value = lead[attribute]
            for label, transform in transforms:
                if value is None:
                    break
                value = _transformed(value, attribute, column, label, transform)
            lead[attribute] = value
        if self._constants:
            lead.update(self._constants)
        return lead


def _transformed(value: Any, attribute: str, column: str, label: str, transform: Transform) -> Any:
    try:
        return transform(value)
    except _UnfitError as unfit:
        problem = str(unfit)
    except Exception as error:
        problem = f"failed with {type(error).__name__}"
    # Raised out here, so that no exception that may quote the value hangs on this one.
    raise InvalidLeadError(attribute, "transform", f"the transform {label} of column {column!r} {problem}")


def _key_part(value: Any, column: str) -> str:
    try:
        if isinstance(value, (float, Decimal)) and value == value:
            value = _number(value)
        elif isinstance(value, dt.datetime) and value.tzinfo is not None:
            value = _utc(value)
    except _UnfitError as unfit:
        raise InvalidLeadError(column, "key_type", f"a key {unfit}; name a column with an id") from None
    return key_text(value, column)


def _number(number: float | Decimal) -> str:
    """Write a number in the one way that does not depend on its type or scale."""
    if isinstance(number, int):
        return str(number)
    text = format(_finite(number), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _finite(number: float | Decimal) -> Decimal:
    exact = number if isinstance(number, Decimal) else Decimal(repr(float(number)))
    # An exponent of millions would be written out in zeros.
    if not exact.is_finite() or abs(exact.adjusted()) > 4_300:
        raise _UnfitError("takes a finite number of a length that can be written")
    return exact


def _utc(moment: dt.datetime) -> dt.datetime:
    """Return a moment in UTC without its zone; one without a zone is taken for UTC."""
    if moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(dt.UTC).replace(tzinfo=None)
    except OverflowError:
        raise _UnfitError("takes no moment at the ends of the calendar") from None


def _targets(
    mapping: Mapping[str, Any], columns: Sequence[str], keys: Sequence[str]
) -> Iterator[tuple[str, str, list[tuple[str, Transform]]]]:
    """Yield what is sent, in the order of the mapping: column, attribute, transforms."""
    for column, target in mapping.items():
        if column == REST:
            for other in columns:
                if other not in mapping and (other not in keys or is_field(other)):
                    yield other, other, []
        elif target is not None:
            chain = [target] if isinstance(target, str) or not isinstance(target, Sequence) else list(target)
            if not chain or not isinstance(chain[0], str):
                raise ValueError(
                    f"mapping[{column!r}] must be a schema name, a list that begins with one, or None to leave it out"
                )
            attribute, *transforms = chain
            yield column, attribute, [_transform(column, transform) for transform in transforms]


def _transform(column: str, transform: Any) -> tuple[str, Transform]:
    """Return a transform with the name under which messages speak of it."""
    if isinstance(transform, str) and transform in TRANSFORMS:
        return transform, TRANSFORMS[transform]
    if callable(transform):
        return getattr(transform, "__name__", type(transform).__name__), transform
    shown = repr(transform) if isinstance(transform, str) else f"a {type(transform).__name__}"
    raise ValueError(
        f"mapping[{column!r}]: {shown} is no transform; take one of {', '.join(TRANSFORMS)}, or a function"
    )


def _check_columns(columns: Sequence[str]) -> None:
    doubled = [column for column, times in Counter(columns).items() if times > 1]
    if doubled:
        raise ValueError(
            f"the query has more than one column named {_listed(doubled)}; give each a name of its own in SQL with AS"
        )


def _check_there(where: str, wanted: Sequence[Any], columns: Sequence[str]) -> None:
    missing = [column for column in wanted if column not in columns]
    if not missing:
        return
    problems = []
    for column in missing:
        same = [name for name in columns if name.casefold() == str(column).casefold()]
        close = difflib.get_close_matches(str(column), columns, n=3)
        if same:
            hint = f" (it has {_listed(same)}: names are case-sensitive here, and warehouses fold them)"
        else:
            hint = f" (did you mean {_listed(close)}?)" if close else ""
        problems.append(f"{column!r}{hint}")
    raise ValueError(
        f"{where} names what the query does not have: {'; '.join(problems)}. Its columns are {_listed(columns)}"
    )


def _check_keys(keys: Sequence[str], columns: Sequence[str]) -> None:
    if not keys:
        raise ValueError("key names no column; name one that identifies a row")
    if len(set(keys)) < len(keys):
        raise ValueError(f"key names a column twice: {_listed(keys)}")
    for column in keys:
        if not isinstance(column, str):
            raise ValueError(f"key holds a {type(column).__name__}; pass the names of columns")
        check_key(column)
    _check_there("key", keys, columns)


def _check_key_may_be_sent_as(column: str, attribute: str) -> None:
    """Refuse a key that is somebody's address, whatever it is called in the warehouse."""
    try:
        check_key(attribute)
    except ValueError:
        raise ValueError(
            f"key {column!r} is sent as {attribute!r}, so it would show personal data in logs and XComs; name a column "
            "with an id of your own"
        ) from None


def _check_attributes(columns: Sequence[tuple[str, str]], constants: Mapping[str, Any]) -> None:
    """Hold every attribute against the rules for names, and let none stand twice."""
    origins: dict[str, str] = {}
    problems = []
    for attribute, origin in [*columns, *((name, "a constant") for name in constants)]:
        if attribute in origins:
            raise ValueError(f"{attribute!r} is filled twice: by {origins[attribute]} and by {origin}; leave one out")
        origins[attribute] = origin
        try:
            encode_lead({attribute: constants.get(attribute, "x")})
        except InvalidLeadError as error:
            # Alone in a lead it may be empty, or SearchBy without what it names; both are right beside others.
            if error.rule not in {"empty", "search_by"}:
                problems.append(f"{attribute!r} (from {origin}): {error.problem}")
    if problems:
        raise ValueError(f"no lead can have {'; '.join(problems)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
