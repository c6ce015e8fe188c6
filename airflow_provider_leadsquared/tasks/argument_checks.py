"""
Checks of an author's arguments when a DAG file is parsed, where they are plainly wrong.

What only rendering can tell is passed over: text with Jinja in it, another task's output, a function. It is checked by
the same functions when the task runs. Airflow builds no operator for a mapped task until then, so its arguments are
checked where they are written: in ``partial()``, ``expand()`` and ``expand_kwargs()``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_leadsquared.tasks.records import is_data

#: Arguments that are kept under another name, because Airflow's operators have an attribute of theirs.
_ATTRIBUTES = {"dry_run": "is_dry_run"}


class CheckedArguments:
    """
    What an operator inherits, before Airflow's own base, to have its arguments checked when a DAG file is parsed.

    The operator calls :meth:`check_arguments` at the end of its ``__init__``.
    """

    if TYPE_CHECKING:
        template_fields: Collection[str]
    #: For each argument the function that raises ``ValueError`` where it is wrong, and names it and the remedy.
    argument_checks: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}

    @classmethod
    def check_arguments(cls, given: Mapping[str, Any], *, is_rendered: bool = False) -> None:
        """
        Check what an author wrote, as far as it is known.

        :param given: Arguments by name; others may be among them.
        :param is_rendered: Whether Airflow has rendered the template fields, so that all is known.
        :raises ValueError: One is wrong; names it and what it may be.
        """
        known = given if is_rendered else cls._without_templates(given)
        for name, check in cls.argument_checks.items():
            if name in known:
                check(known[name])
        cls.check_together(known)

    @classmethod
    def check_together(cls, known: Mapping[str, Any]) -> None:
        """
        Check what takes more than the value of one argument; for operators that have such arguments.

        :param known: The arguments whose values are known, by name; others may be among them.
        :raises ValueError: One is wrong; names it and what it may be.
        """

    @classmethod
    def check_mapped(cls, given: Mapping[str, Any], *, is_resolved: bool = False) -> None:
        """
        Check arguments of a mapped task; see :meth:`check_arguments`.

        :param is_resolved: Whether Airflow puts other tasks' outputs in before it builds the operator, whatever the
            argument: it does for what is mapped over.
        :raises ValueError: One is wrong.
        """
        cls.check_arguments(
            {name: value for name, value in given.items() if not (is_resolved and hasattr(value, "resolve"))}
        )

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """
        Set arguments of a mapped task; as Airflow's own ``partial()``.

        :raises ValueError: One is wrong; names it and what it may be.
        """
        cls.check_mapped(kwargs)
        return CheckedPartial(super().partial(**kwargs), cls)  # type: ignore[misc]  # the operator's base

    @classmethod
    def _without_templates(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out what is not known before Airflow renders it; it renders template fields only."""
        known = {}
        for name, value in given.items():
            if _ATTRIBUTES.get(name, name) not in cls.template_fields:
                known[name] = value
            elif not _is_template(value):
                known[name] = _known_of(value)
        return known


class CheckedPartial:
    """
    What ``partial()`` returns: it maps as Airflow's own does, and checks what it maps over.

    :param partial: What Airflow's own ``partial()`` returned.
    :param operator_class: The operator, which knows its checks.
    """

    def __init__(self, partial: Any, operator_class: type[CheckedArguments]) -> None:
        self._partial, self._operator_class = partial, operator_class

    def __repr__(self) -> str:
        return repr(self._partial)

    def expand(self, **mapped: Any) -> Any:
        """
        Map over outputs of other tasks, or lists; as Airflow's own ``expand()``.

        :raises ValueError: An argument is wrong.
        """
        for name, values in mapped.items():
            for value in _mapped_over(values):
                self._operator_class.check_mapped({name: value}, is_resolved=True)
        return self._partial.expand(**mapped)

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> Any:
        """
        Map over several arguments at once; as Airflow's own ``expand_kwargs()``.

        :raises ValueError: An argument is wrong.
        """
        for arguments in _mapped_over(kwargs):
            if isinstance(arguments, Mapping):
                self._operator_class.check_mapped(arguments, is_resolved=True)
        return self._partial.expand_kwargs(kwargs, strict=strict)


def _mapped_over(values: Any) -> Iterable[Any]:
    """Return what is known of the values that a task is mapped over; a dict is mapped over as its pairs."""
    if not is_data(values) or hasattr(values, "resolve"):
        return ()
    return values.items() if isinstance(values, Mapping) else values


def _is_template(value: Any) -> bool:
    if isinstance(value, str):
        return any(begin in value for begin in ("{{", "{%", "{#"))
    if isinstance(value, (list, tuple)):
        return any(_is_template(item) for item in value if isinstance(item, str) or hasattr(item, "resolve"))
    return hasattr(value, "resolve") or callable(value)


def _known_of(value: Any) -> Any:
    """Return a dict with None in place of each template in it; anything else as it is."""
    if isinstance(value, dict):
        return {name: None if _is_template(item) else item for name, item in value.items()}
    return value
