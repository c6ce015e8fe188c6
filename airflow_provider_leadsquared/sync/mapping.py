"""
From a row of a source to a lead, and to the key by which its owner knows it.

What can be checked from the column names alone is checked once, before the first row: a name in the wrong case would
otherwise refuse a million leads one by one.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import Any

from airflow_provider_leadsquared.api.async_apis import AsyncApi
from airflow_provider_leadsquared.api.errors import InvalidLeadError
from airflow_provider_leadsquared.api.null_handling import is_null
from airflow_provider_leadsquared.delivery.row_keys import check_key_column, is_email, is_sent, key_text
from airflow_provider_leadsquared.sync.transforms import TRANSFORMS, Transform, UnfitValueError

Row = Sequence[Any]

#: Means, in a mapping, all columns that are not named in it.
REST = "*"


class ColumnMapping:
    """
    How the rows of one source become leads; made by :meth:`build`.

    Values are only in what :meth:`row_key` and :meth:`lead` return, never in an exception.
    """

    #: The attributes that leads will have, in order.
    attributes: tuple[str, ...]
    #: What leads are made of: attribute, column, the column's position, and transforms with their names.
    sources: tuple[tuple[str, str, int, Sequence[tuple[str, Transform]]], ...]
    #: What row keys are made of: columns and their positions.
    key: tuple[tuple[str, int], ...]
    #: What every lead has.
    constants: dict[str, Any]
    #: How many of the keys that were returned look like e-mail addresses.
    email_keys = 0

    def __init__(
        self,
        sources: Sequence[tuple[str, str, int, Sequence[tuple[str, Transform]]]],
        key: Sequence[tuple[str, int]],
        constants: Mapping[str, Any],
        *,
        hash_row_keys: bool = False,
    ) -> None:
        names = tuple(attribute for attribute, *_ in sources)
        self.attributes = (*names, *constants)
        self.sources, self.key, self.constants = tuple(sources), tuple(key), dict(constants)
        self.is_key_hashed = hash_row_keys
        # itemgetter gives a tuple only of two items or more, so the first item is always taken once more.
        self._pick = itemgetter(sources[0][2], *(index for _, _, index, _ in sources))
        self._names_picked = (names[0], *names)
        self._chains = [
            (attribute, column, tuple(transforms)) for attribute, column, _, transforms in sources if transforms
        ]

    @classmethod
    def build(
        cls,
        mapping: str | Mapping[str, Any],
        *,
        columns: Sequence[str],
        row_key: str | Sequence[str],
        api: AsyncApi,
        constants: Mapping[str, Any] | None = None,
        hash_row_keys: bool = False,
    ) -> ColumnMapping:
        """
        Check what the author wrote against the columns that the source has.

        :param mapping: ``"*"``, every column under its own name; or columns and what becomes of each: a schema name;
            a list of a schema name and transforms, applied from left to right; or None, to leave the column out. The
            entry ``"*": "*"`` means all other columns under their own names. A transform is one of the words in
            ``TRANSFORMS`` or takes the value and returns another. A null (None, NaN, NaT, NA) is never transformed: a
            transform does not see it, and one that returns it is the last. Use ``COALESCE`` in SQL where there shall be
            another value.
        :param columns: The columns of the result, in order.
        :param row_key: The column that identifies a row to its owner, or several. With ``"*"`` it is sent only if it is
            named as a field of LeadSquared's (``mx_…`` or ``ProspectID``).
        :param api: The asynchronous API that the leads are sent to; it checks their names.
        :param constants: Schema names and the value that every lead has there.
        :param hash_row_keys: Name rows by a hash of their keys, so that the keys may be personal.
        :raises ValueError: A name is missing, or is there twice, or is none that LeadSquared takes; a word is no
            transform; nothing would be sent; or the key would show personal data.
        """
        columns = tuple(columns)
        keys = check_row_key(row_key, is_hashed=hash_row_keys)
        check_mapping(mapping, constants, api=api)
        constants = dict(constants or {})
        _check_columns(columns)
        mapping = _as_dict(mapping)
        _check_there("mapping", [column for column in mapping if column != REST], columns)
        _check_there("row_key", keys, columns)
        sent = [column for column in columns if column not in keys or is_sent(column, is_hashed=hash_row_keys)]
        sources = []
        for column, attribute, transforms in _targets(mapping, sent):
            if column in keys and not hash_row_keys:
                _check_key_may_be_sent_as(column, attribute)
            sources.append((attribute, column, columns.index(column), transforms))
        if not sources:
            raise ValueError("mapping sends no column of the source; name one at least")
        _check_attributes([(attribute, f"column {column!r}") for attribute, column, *_ in sources], constants, api)
        key = [(column, columns.index(column)) for column in keys]
        return cls(sources, key, constants, hash_row_keys=hash_row_keys)

    def __repr__(self) -> str:
        return f"ColumnMapping({', '.join(self.attributes)})"

    def row_key(self, row: Row) -> str:
        """
        Return the key of a row.

        Several key columns are joined by ``|``; a ``|`` or backslash inside one of them has a backslash before it, so
        that no two rows share a key. If keys are hashed, what is joined is hashed.

        :param row: The values in the order of the columns.
        :raises InvalidLeadError: A key column is empty, holds no id, or holds too much.
        """
        if len(self.key) == 1:
            column, index = self.key[0]
            key = key_text(row[index], column, is_hashed=self.is_key_hashed)
        else:
            parts = [
                key_text(row[index], column).replace("\\", "\\\\").replace("|", "\\|") for column, index in self.key
            ]
            key = key_text("|".join(parts), "|".join(column for column, _ in self.key), is_hashed=self.is_key_hashed)
        self.email_keys += is_email(key)
        return key

    def lead(self, row: Row, results: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
        """
        Return the lead of a row, as ``encode_lead`` takes it.

        :param row: The values in the order of the columns.
        :param results: What transforms have made of its values already, by attribute; they are not called again.
        :raises InvalidLeadError: A transform failed; the exception names it and the column, but shows no value.
        """
        lead = dict(zip(self._names_picked, self._pick(row), strict=True))
        for attribute, column, transforms in self._chains:
            called = attribute in results
            value = lead[attribute]
            lead[attribute] = results[attribute] if called else transformed(value, attribute, column, transforms)
        if self.constants:
            lead.update(self.constants)
        return lead


def check_row_key(row_key: Any, *, is_hashed: bool) -> tuple[str, ...]:
    """
    Check what can be checked of a ``row_key`` without the columns of the source.

    :param row_key: The name of a column, or several.
    :param is_hashed: Whether rows are named by a hash of their keys.
    :return: The names of the columns.
    :raises ValueError: It names no column, or one twice, or one that would show personal data.
    """
    if not isinstance(row_key, Sequence):
        raise ValueError(f"row_key is a {type(row_key).__name__}; pass the name of a column, or a list of them")
    keys = (row_key,) if isinstance(row_key, str) else tuple(row_key)
    if not keys:
        raise ValueError("row_key names no column; name one that identifies a row")
    for column in keys:
        if not isinstance(column, str):
            raise ValueError(f"row_key holds a {type(column).__name__}; pass the names of columns")
        check_key_column(column, is_hashed=is_hashed)
    if len(set(keys)) < len(keys):
        raise ValueError(f"row_key names a column twice: {_listed(keys)}")
    return keys


def check_mapping(mapping: Any, constants: Any = None, *, api: AsyncApi) -> None:
    """
    Check what can be checked of a mapping without the columns of the source; see :meth:`ColumnMapping.build`.

    :param constants: The constants beside it.
    :param api: The asynchronous API that the leads are sent to; it knows the names of its fields.
    :raises ValueError: It has another form, a word in it is no transform, it goes from lead fields to columns, or a
        field is filled twice.
    """
    if constants is not None and not isinstance(constants, Mapping):
        raise ValueError(f"constants is a {type(constants).__name__}; write a dict of lead fields and their values")
    mapping = _as_dict(mapping)
    targets = [(column, attribute) for column, attribute, _ in _targets(mapping, ())]
    _check_direction(targets, api, takes_rest=REST in mapping)
    _check_filled_once([(attribute, f"column {column!r}") for column, attribute in targets], constants or {})


def _as_dict(mapping: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(mapping, Mapping):
        if mapping != REST:
            raise ValueError('mapping must be "*" or a dict of columns and what becomes of them')
        return {REST: REST}
    if mapping.get(REST, REST) != REST:
        raise ValueError('mapping["*"] stands for all other columns under their own names: write "*": "*"')
    return mapping


def transformed(value: Any, attribute: str, column: str, transforms: Sequence[tuple[str, Transform]]) -> Any:
    """
    Return what the transforms of a column make of a value.

    :raises InvalidLeadError: One failed; the exception names it and the column, but shows no value.
    """
    for label, transform in transforms:
        if is_null(value):
            break
        value = _transformed(value, attribute, column, label, transform)
    return value


def _transformed(value: Any, attribute: str, column: str, label: str, transform: Transform) -> Any:
    try:
        return transform(value)
    except UnfitValueError as unfit:
        problem = str(unfit)
    except Exception as error:
        problem = f"failed with {type(error).__name__}"
    # Raised outside the except block, so that no exception that may quote the value is its context.
    raise InvalidLeadError(attribute, "transform", f"the transform {label} of column {column!r} {problem}")


def _targets(mapping: Mapping[str, Any], rest: Sequence[str]) -> Iterator[tuple[str, str, list[tuple[str, Transform]]]]:
    """
    Yield what is sent, in the order of the mapping: column, attribute, transforms.

    :param rest: The columns that ``"*"`` stands for where the mapping does not name them.
    """
    for column, target in mapping.items():
        if column == REST:
            yield from ((other, other, []) for other in rest if other not in mapping)
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
            f"the source has more than one column named {_listed(doubled)}; give each a name of its own, in SQL with AS"
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
            hint = f" (it has {_listed(same)}: names are case-sensitive here, and warehouses change them)"
        else:
            hint = f" (did you mean {_listed(close)}?)" if close else ""
        problems.append(f"{column!r}{hint}")
    raise ValueError(
        f"{where} names what the source does not have: {'; '.join(problems)}. Its columns are {_listed(columns)}"
    )


def _check_key_may_be_sent_as(column: str, attribute: str) -> None:
    """Refuse a key that is somebody's address, whatever it is called in the warehouse."""
    try:
        check_key_column(attribute)
    except ValueError:
        raise ValueError(
            f"key {column!r} is sent as {attribute!r}, so it would show personal data in logs and XComs; name a column "
            "with an id of your own"
        ) from None


def _check_direction(targets: Sequence[tuple[str, str]], api: AsyncApi, *, takes_rest: bool) -> None:
    """
    Refuse a mapping that was written from lead fields to columns.

    A column may be called like a lead field. But a field's name begins with a capital or ``mx_``, and without any name
    that LeadSquared knows no lead could be matched.
    """

    def is_field(name: Any) -> bool:
        return isinstance(name, str) and api.exact_name(name) == name

    turned = [(column, attribute) for column, attribute in targets if is_field(column) and not is_field(attribute)]
    if takes_rest or any(is_field(attribute) for _, attribute in targets):
        turned = [(column, attribute) for column, attribute in turned if attribute[:1].islower()]
    if turned:
        column, attribute = turned[0]
        near = api.exact_name(re.sub(r"\W", "", attribute))
        hint = f"; did you mean {near!r}?" if near else "."
        raise ValueError(
            f"mapping[{column!r}] is {attribute!r}, which is no lead field{hint} A mapping goes from a column to a "
            f"lead field: if this one goes the other way, write {{{attribute!r}: {column!r}}}"
        )


def _check_filled_once(columns: Sequence[tuple[str, str]], constants: Mapping[str, Any]) -> dict[str, str]:
    """Return where each attribute comes from; none may be filled twice."""
    origins: dict[str, str] = {}
    for attribute, origin in [*columns, *((name, "a constant") for name in constants)]:
        if attribute in origins:
            raise ValueError(f"{attribute!r} is filled twice: by {origins[attribute]} and by {origin}; leave one out")
        origins[attribute] = origin
    return origins


def _check_attributes(columns: Sequence[tuple[str, str]], constants: Mapping[str, Any], api: AsyncApi) -> None:
    """Check every attribute against the rules for names; none may be filled twice."""
    problems = []
    for attribute, origin in _check_filled_once(columns, constants).items():
        try:
            api.encode({attribute: constants.get(attribute, "x")})
        except InvalidLeadError as error:
            # Alone in a lead it may be empty, or SearchBy without what it names; both are right beside others.
            if error.rule not in {"empty", "search_by"}:
                problems.append(f"{attribute!r} (from {origin}): {error.problem}")
    if problems:
        raise ValueError(f"no lead can have {'; '.join(problems)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
