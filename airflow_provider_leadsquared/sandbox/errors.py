"""Application errors, which LeadSquared names ``MX…`` and never retries."""

from __future__ import annotations


class MXError(Exception):
    """
    One application error.

    :param kind: Its name, such as ``MXDuplicateEntryException``.
    :param text: What it says.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text

    def body(self) -> dict[str, object]:
        """Return LeadSquared's three-key error body."""
        return {"Status": "Error", "ExceptionType": self.kind, "ExceptionMessage": self.text}


def invalid_input(parameter: str) -> MXError:
    """
    Return the error for a value that is not accepted.

    :param parameter: The attribute or parameter at fault.
    """
    return MXError("MXInvalidInputException", f"Invalid Input! Parameter Name: {parameter}")
