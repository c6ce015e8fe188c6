"""Texts that LeadSquared wrote, made fit to be kept: without characters that databases refuse, masked, and short."""

from __future__ import annotations

import re
from collections.abc import Iterable

from airflow_provider_leadsquared.api.masking import MASK, mask_text

#: Characters of a text that are read. What is longer is no reason but a page or a dump, and masking takes time.
LONGEST_TEXT = 4_000

_BLANK = re.compile(r"[\t-\r\x85\u2028\u2029]")
# NUL and lone surrogates are refused by Postgres; a control character may forge a line of a log.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Replace each character that a database or a log cannot hold: line breaks by a blank, others by U+FFFD."""
    return _UNFIT.sub("\ufffd", _BLANK.sub(" ", text))


def clean_id(value: object) -> str | None:
    """Return an id, a text or a whole number, as clean text; None where there is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return clean_text(str(value)).strip() or None


def reason_text(text: str, values: Iterable[str]) -> str:
    """
    Return an error's text as it may be kept: clean, masked and cut.

    :param text: What LeadSquared wrote; its first 4,000 characters are read.
    :param values: The values of the lead that the text is about.
    """
    masked = mask_text(clean_text(text[:LONGEST_TEXT]), map(clean_text, values))
    if len(text) > LONGEST_TEXT and not masked.endswith("…"):
        # The end of what was read may be part of a value, which masking does not recognise.
        return f"{MASK}…"
    return masked
