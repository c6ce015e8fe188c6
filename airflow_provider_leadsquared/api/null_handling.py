"""What becomes of a value that is None: it is left out, or it clears the attribute in the CRM."""

from __future__ import annotations

from typing import Literal

NullHandling = Literal["skip", "clear"]

#: The text that is sent for None; None where the attribute is left out.
_TEXTS: dict[str, str | None] = {"skip": None, "clear": ""}


def text_of_null(null_handling: NullHandling) -> str | None:
    """Return the text that is sent for None; None where the attribute is left out."""
    return _TEXTS[null_handling]


def check_null_handling(given: object) -> None:
    """
    Check an author's ``null_handling``.

    :raises ValueError: There is no such handling.
    """
    if given not in _TEXTS:
        raise ValueError(f"null_handling is {given!r}; write {' or '.join(map(repr, _TEXTS))}")
