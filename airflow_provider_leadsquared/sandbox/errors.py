"""Application errors. Their names start with ``MX``, and LeadSquared never retries them."""

from __future__ import annotations


class MXError(Exception):
    """
    One application error.

    :param kind: The exception type, such as ``MXDuplicateEntryException``.
    :param text: The exception message.
    :param lead_id: The id of the stored lead because of which another is rejected, None if there is none.
    """

    def __init__(self, kind: str, text: str, lead_id: str | None = None) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text
        self.lead_id = lead_id

    def body(self) -> dict[str, object]:
        """Return LeadSquared's error body, which has three keys. An error without a type has only two."""
        described = {"Status": "Error", "ExceptionType": self.kind, "ExceptionMessage": self.text}
        return {name: value for name, value in described.items() if name != "ExceptionType" or value}


def lead_not_found() -> MXError:
    """Return the error for the id of a lead that was merged into another or deleted."""
    return MXError("MXInvalidEntityReferenceException", "Lead not found")


def invalid_input(parameter: str) -> MXError:
    """
    Return the error for an invalid value.

    :param parameter: The attribute or query parameter that has the value.
    """
    return MXError("MXInvalidInputException", f"Invalid Input! Parameter Name: {parameter}")
