"""
Masking of a warehouse's error texts, which may quote values of rows.

Drivers put a value into quotes, behind a colon, or anywhere between their own words. So what is in quotes is masked,
and of the rest only words are kept that are known: those of the author's statement, and those of database errors.
"""

from __future__ import annotations

import re
from importlib.resources import files

from airflow_provider_leadsquared.api.masking import MASK, mask_text
from airflow_provider_leadsquared.api.texts import clean_text

#: A quoted name, or several joined by dots.
_QUOTED_NAME = re.compile(r"(['\"`])([^\W\d]\w*(?:\.\w+)*)['\"`]")
_OPENING_QUOTE = re.compile(r"(?<!\w)['\"`«„“‘]")
_CLOSING_QUOTE = re.compile(r"['\"`»“”’](?!\w)")
#: Some drivers put a value behind a colon, without quotes; it may consist of known words.
_BARE_VALUE = re.compile(r"(?<=value: ).+", re.IGNORECASE | re.DOTALL)
#: A word, or an error code such as ORA-00942.
_WORD = re.compile(r"[A-Z]{2,8}-\d{3,6}\b|\w+")
_MASKS = re.compile(r"\*\*\*(?:[ ,;:/.@+-]*\*\*\*)+")
#: Stands for a name that was set aside; a character that has no meaning of its own.
_ASIDE = "\ue000"
#: Characters of a message that are examined.
_LONGEST_MESSAGE = 4_000
#: A longer number may be a phone, an id or an amount.
_LONGEST_NUMBER = 3
#: Classes of SQLSTATE that are not about a value: connection, transaction, rights, syntax, resources, intervention.
_WITHOUT_VALUES = frozenset(("08", "0A", "25", "26", "28", "3D", "3F", "40", "42", "53", "55", "57", "58"))

#: What databases write about themselves, in small letters.
_KNOWN = frozenset(re.findall(r"\w+", files(__package__).joinpath("database_words.txt").read_text(encoding="utf-8")))


def mask_error_text(text: str, sql: str, *, is_whole: bool, sqlstate: str | None, has_run: bool) -> str:
    """
    Mask what may be a row's value, but neither the author's own words nor the database's.

    A value may hold quotes and line breaks, so all is masked from the first quote to the last, and to the end of a
    text that is only the first line of a longer one.

    :param text: The driver's message.
    :param sql: The author's statement.
    :param is_whole: It is no part of a longer message.
    :param sqlstate: The error's SQLSTATE, if the driver gives one.
    :param has_run: The statement was given to the warehouse; before, no text can be of a row.
    """
    if len(text) > _LONGEST_MESSAGE:
        text, is_whole = text[:_LONGEST_MESSAGE], False
    words = set(re.findall(r"\w+", sql.casefold()))
    own: list[str] = []

    def set_aside(quoted: re.Match[str]) -> str:
        parts = [part if part.casefold() in words else MASK for part in quoted[2].split(".")]
        if parts[-1] == MASK:
            return quoted[0]
        own.append(f"{quoted[1]}{'.'.join(parts)}{quoted[1]}")
        return f"{_ASIDE}{len(own) - 1}{_ASIDE}"

    text = _QUOTED_NAME.sub(set_aside, " ".join(clean_text(text).replace(_ASIDE, " ").split()))
    opening = _OPENING_QUOTE.search(text)
    if opening:
        closing = [quote.end() for quote in _CLOSING_QUOTE.finditer(text, opening.end())] if is_whole else []
        text = text[: opening.start()] + MASK + (text[closing[-1] :] if closing else "")
    text = mask_text(_BARE_VALUE.sub(MASK, text))
    if has_run and (sqlstate or "")[:2] not in _WITHOUT_VALUES:
        text = _MASKS.sub(MASK, _WORD.sub(lambda word: _word(word[0], words), text))
    return re.sub(f"{_ASIDE}(\\d+){_ASIDE}", lambda found: own[int(found[1])], text)


def _word(word: str, own: set[str]) -> str:
    folded = word.casefold()
    is_kept = folded in _KNOWN or folded in own or (word.isdigit() and len(word) <= _LONGEST_NUMBER) or "-" in word
    return word if is_kept else MASK
