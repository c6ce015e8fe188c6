"""
The records that an author gives to a task: how they are kept out of Airflow's database, called, and refused.

Airflow stores and shows the value of every template field, in the serialized DAG and in a task's rendered fields, and
it would render text inside records as a template.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any


class RecordList:
    """
    Records that show themselves as ``N leads`` and no more.

    :param records: What the author gave.
    :param name: What several are called.
    """

    def __init__(self, records: Any, name: str) -> None:
        self.records, self._name = records, name

    def __iter__(self) -> Iterator[Any]:
        return iter(records_in(self))

    def __bool__(self) -> bool:
        return not isinstance(self.records, Sized) or len(self.records) > 0

    def __repr__(self) -> str:
        return f"{len(self.records):,} {self._name}" if isinstance(self.records, Sized) else self._name


def prepare(given: Any, name: str) -> Any:
    """
    Return what an author gave in the form in which a task may keep it.

    Records come back wrapped, so that nobody prints them; a function as one that Airflow can call; a template or
    another task's output as it is.

    :param name: What several records are called.
    :raises ValueError: A function takes arguments that nobody can give.
    """
    if isinstance(given, RecordList):
        return given
    if is_data(given):
        return RecordList(given.value if _is_literal(given) else given, name)
    return _callable_by_airflow(given, name) if callable(given) and not hasattr(given, "resolve") else given


def is_data(given: Any) -> bool:
    """Tell records from a template, another task's output and a function."""
    if _is_literal(given):
        return True
    return isinstance(given, Iterable) and not isinstance(given, (str, bytes)) and not hasattr(given, "resolve")


def records_in(given: Any) -> Any:
    """
    Return the records themselves; those of a data frame of pandas or polars as a list of dicts.

    :param given: What :func:`prepare` returned, or what was given to it.
    :raises ValueError: Columns of a data frame have the same name.
    """
    if isinstance(given, RecordList):
        given = given.records
    columns = getattr(given, "columns", None)
    if columns is None or isinstance(given, (Mapping, Sequence)):
        return given
    if doubled := [str(column) for column, count in Counter(columns).items() if count > 1]:
        raise ValueError(f"the data frame has more than one column named {', '.join(doubled)}; rename all but one")
    if hasattr(given, "to_dicts"):  # polars
        return given.to_dicts()
    return given.to_dict(orient="records") if hasattr(given, "to_dict") else given


def refuse_templates(given: Any, argument: str) -> None:
    """
    Refuse a template inside records that are written in the DAG's file: it would be sent as it is.

    :param given: What the author gave for the argument. Only lists and tuples are examined.
    :param argument: The name of the argument, for the message.
    :raises ValueError: There is one; names the record and the attribute.
    """
    for number, record in enumerate(given if isinstance(given, (list, tuple)) else (), 1):
        for attribute, value in _texts_in(record):
            begin = value.find("{{")
            if begin >= 0 and value.find("}}", begin) >= 0:
                raise ValueError(
                    f"{argument}, row {number}: {attribute} holds {{{{ … }}}}, which is never rendered here. Give a "
                    f"function that takes the context, {argument}=lambda context: [...], or another task's output; "
                    "what these return is sent as it is, braces too"
                )


def refuse_stored_records(given: Any, argument: str) -> None:
    """
    Refuse records as an argument of a mapped task.

    :raises ValueError: They would be stored.
    """
    if is_data(given):
        raise ValueError(
            f"{argument} in .partial() or .expand() would be stored and shown with the DAG; map over the output of a "
            f"task, or over functions that return the records: {argument}=[function, …]"
        )


def _is_literal(given: Any) -> bool:
    """Tell whether it is what Airflow's ``literal()`` returns, which Airflow stores as text."""
    return type(given).__name__ == "LiteralValue" and hasattr(given, "value")


def _texts_in(record: Any) -> Iterator[tuple[str, str]]:
    """Yield attributes and texts of a record in either form, also those inside field sets."""
    if isinstance(record, Mapping):
        pairs: Iterable[tuple[Any, Any]] = record.items()
    elif isinstance(record, (list, tuple)):
        mappings = [pair for pair in record if isinstance(pair, Mapping)]
        pairs = [(pair.get("Attribute"), pair.get("Fields") or pair.get("Value")) for pair in mappings]
    else:
        return
    for name, value in pairs:
        if isinstance(value, str):
            yield str(name), value
        else:
            yield from ((f"{name}.{inner}", text) for inner, text in _texts_in(value))


def _callable_by_airflow(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """
    Return a function that Airflow can call, with the keywords ``context`` and ``jinja_env``.

    The author's gets of these what it takes: nothing, the context as its only argument or by the name ``context``, the
    context's own items as ``**context``, ``jinja_env`` by its name.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):  # some builtins have none
        parameters = []
    named = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    by_name = {one.name for one in named} & {"context", "jinja_env"}
    others = [
        one
        for one in parameters
        if one.name not in by_name
        and one.default is one.empty
        and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
    ]
    takes_items = any(one.kind is one.VAR_KEYWORD for one in parameters) and "context" not in by_name
    if len(others) > ("context" not in by_name) or any(one.kind is one.KEYWORD_ONLY for one in others):
        raise ValueError(
            f"the function that returns the {name} takes {', '.join(one.name for one in others)}; let it take nothing, "
            "context, or **context"
        )

    @functools.wraps(function)
    def call(context: Mapping[str, Any], jinja_env: Any) -> Any:
        given = {"context": context, "jinja_env": jinja_env}
        items = dict(context) if takes_items and not others else {}
        return function(*([context] if others else []), **(items | {one: given[one] for one in by_name}))

    return call
