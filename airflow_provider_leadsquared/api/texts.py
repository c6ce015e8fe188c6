"""Characters that texts from outside may hold, and that no log, database or person can do anything with."""

from __future__ import annotations

import re

_LINE_BREAKS = re.compile(r"[\t-\r\x85\u2028\u2029]+")
#: Control characters, and halves of surrogate pairs, which JSON may hold and UTF-8 cannot.
_UNREADABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
#: What is not seen: control characters but for tabs and line breaks, and characters without a width. The joiners
#: U+200C and U+200D belong between the letters of several scripts and the parts of an emoji, so only others count.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)


def clean_text(text: str) -> str:
    """
    Return a text that any log and any database can keep on one line.

    Tabs and line breaks become a blank, other control characters and halves of surrogate pairs U+FFFD.
    """
    return text if text.isprintable() else _UNREADABLE.sub("\ufffd", _LINE_BREAKS.sub(" ", text))


def invisible_in(text: str) -> str | None:
    """Return the first character that nobody sees, as ``U+200B``; None if every character can be seen."""
    found = None if text.isprintable() else _INVISIBLE.search(text)
    return f"U+{ord(found.group()):04X}" if found else None
