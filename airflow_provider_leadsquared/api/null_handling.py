"""Which values are null, and what becomes of them: they are left out, or they clear the attribute in the CRM."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, Literal

NullHandling = Literal["skip", "clear"]

#: The text that is sent for a null; None where the attribute is left out.
_TEXTS: dict[str, str | None] = {"skip": None, "clear": ""}


def is_null(value: Any) -> bool:
    """
    Tell whether a value is a null: None, NaN, and the NaT and NA of pandas and numpy.

    Data frames have these where a column has a gap.
    """
    if value is None or isinstance(value, (str, int)):
        return value is None
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, (float, dt.date)):  # NaT of pandas is a datetime
        return bool(value != value)
    module = type(value).__module__
    if module == "numpy" and getattr(value, "ndim", None) == 0:
        return bool(value != value)
    return module.startswith("pandas.") and type(value).__name__ == "NAType"


def text_of_null(null_handling: NullHandling) -> str | None:
    """Return the text that is sent for a null; None where the attribute is left out."""
    return _TEXTS[null_handling]


def check_null_handling(given: object) -> None:
    """
    Check an author's ``null_handling``.

    :raises ValueError: There is no such handling.
    """
    if given not in tuple(_TEXTS):
        raise ValueError(f"null_handling is {given!r}; write {' or '.join(map(repr, _TEXTS))}")
