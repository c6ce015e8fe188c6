"""
Masking of personal values in the texts that LeadSquared writes.

Its error texts quote what was sent: the duplicate message holds the e-mail address. Reasons are kept for years, so
they are masked when an answer is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"

# Each pattern starts at the beginning of a word or quote only: a text of megabytes is no trap.
_EMAIL = re.compile(r"(?<![^\s'\"<>,;:()])[^\s'\"<>,;:()]+@[^\s'\"<>,;:()]+")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|“[^“”]*”")
#: Seven digits or more, with what people write between them: a phone number. Ids that mix in letters stay.
_PHONE = re.compile(r"(?<![\w-])\+?\d(?:[\s().-]{0,2}\d){6,}(?![\w-])")
#: What LeadSquared quotes that is a name of its own, not a value: schema names, database keys, parameters.
_NAME = re.compile(
    r"mx_\w+|UQ_\w+|IX_\w+|EmailAddress|Phone|Mobile|FirstName|LastName|SearchBy|ProspectI[dD]|leadId|RequestI[dD]"
)
#: A longer text is no reason any more but a page.
_LONGEST_REASON = 500


def mask_text(text: str, values: Iterable[str] = ()) -> str:
    """
    Return ``text`` with every quoted or recognisable personal value replaced by ``***``.

    :param text: What LeadSquared wrote. Cut after 500 characters.
    :param values: The values of the lead that the text is about, where they are known; each is masked wherever it
        is found. Values under three characters are left, because masking them would break up words.
    """
    for value in sorted({value.strip() for value in values if len(value.strip()) > 2}, key=len, reverse=True):
        text = text.replace(value, MASK)
    text = _QUOTED.sub(_mask_quoted, text)
    text = _PHONE.sub(MASK, _EMAIL.sub(MASK, text))
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "…"


def _mask_quoted(match: re.Match[str]) -> str:
    quoted = match.group()
    return quoted if _NAME.fullmatch(quoted[1:-1]) else f"{quoted[0]}{MASK}{quoted[-1]}"
