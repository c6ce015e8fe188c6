"""
Masking of personal values and keys in the texts that LeadSquared writes.

Its error texts quote what was sent: the duplicate message holds the e-mail address. Reasons are kept for years, so
they are masked when a response is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from airflow_provider_leadsquared.api.texts import clean_text

MASK = "***"

#: A longer text is no reason any more but a page.
_LONGEST_REASON = 500
#: Characters of a text that are examined: what begins in a reason is known whole if it is no longer than a reason.
#: The time that masking takes is bounded by this, whatever is sent.
_EXAMINED = 2 * _LONGEST_REASON
#: A shorter value is left: it may be any word of an English text.
_SHORTEST_VALUE, _SHORTEST_IN_OTHER_LETTERS = 3, 2

_EMAIL = re.compile(r"(?<![^\s'\"<>,;:()])[^\s'\"<>,;:()]+@[^\s'\"<>,;:()]+")
#: Seven digits or more, with what people write between them: a phone number. Ids that mix in letters stay.
_PHONE = re.compile(r"(?<![\w-])\+?\d(?:[\s().-]{0,2}\d){6,}(?![\w-])")
#: From an opening quote to the same closing one, or to the end where none closes it. Quotes within words do neither.
_QUOTED = re.compile(r"(?<!\w)(?:'(.*?)(?:'(?!\w)|$)|\"(.*?)(?:\"(?!\w)|$)|“(.*?)(?:”|$))")
#: What LeadSquared quotes that is a name of its own, not a value: schema names, database keys, parameters.
_NAME = re.compile(
    r"mx_\w+|UQ_\w+|IX_\w+|EmailAddress|Phone|Mobile|FirstName|LastName|SearchBy|ProspectI[dD]|leadId|RequestI[dD]"
)
#: Scripts beyond this, such as Chinese and Thai, write no blanks between words.
_LAST_WITH_BLANKS = "\u0dff"
_LETTER = rf"[^\W{chr(ord(_LAST_WITH_BLANKS) + 1)}-\U0010ffff]"


def mask_text(text: str, values: Iterable[str] = (), keys: Iterable[str] = ()) -> str:
    """
    Return ``text`` with every quoted or recognisable personal value replaced by ``***``.

    Characters that no log or database can keep are replaced too.

    :param text: What LeadSquared wrote. Cut after 500 characters.
    :param values: The values of the lead that the text is about, where they are known; each is masked wherever it
        is found as whole words. Values of one or two letters are left, because they may be any word.
    :param keys: The credentials of the call; each is masked wherever it is found.
    """
    examined = clean_text(text[:_EXAMINED])
    parts: list[str] = []
    shown_to = 0
    for start, end in sorted(_personal(examined, values, keys)):
        if start >= _LONGEST_REASON:
            break
        if start > shown_to or not parts:
            parts += [examined[shown_to:start], MASK]
        shown_to = max(shown_to, end)
    if shown_to < _LONGEST_REASON:
        parts.append(examined[shown_to:_LONGEST_REASON])
        shown_to = _LONGEST_REASON
    return "".join(parts) + ("…" if shown_to < len(text) else "")


def _personal(text: str, values: Iterable[str], keys: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Find what is to be masked, from where to where; finds may overlap."""
    for quoted in _QUOTED.finditer(text):
        inner = quoted.lastindex or 0
        if not _NAME.fullmatch(quoted[inner]):
            yield quoted.span(inner)
    for pattern in (_EMAIL, _PHONE):
        for found in pattern.finditer(text):
            yield found.span()
    for key in {key for key in keys if key}:
        for found in re.finditer(re.escape(key), text):
            yield found.span()
    for value in {clean_text(value[:_EXAMINED].strip()) for value in values}:
        if len(value) >= (_SHORTEST_VALUE if value.isascii() else _SHORTEST_IN_OTHER_LETTERS):
            yield from _places_of(value, text)


def _places_of(value: str, text: str) -> Iterator[tuple[int, int]]:
    """Find a value where it is no part of a longer word; of one that is longer than a reason, its beginning."""
    begin = value[:_LONGEST_REASON]
    if begin not in text:
        return
    before = f"(?<!{_LETTER})" if re.match(_LETTER, value[0]) else ""
    after = f"(?!{_LETTER})" if begin == value and re.match(_LETTER, value[-1]) else ""
    for found in re.finditer(before + re.escape(begin) + after, text):
        yield found.start(), found.end() if begin == value else len(text)
