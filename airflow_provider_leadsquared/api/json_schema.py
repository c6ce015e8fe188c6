"""The JSON Schemas of what is sent and what is accepted, as files beside this module."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError


@cache
def validator(name: str) -> Draft202012Validator:
    """
    Return the validator of one schema file.

    :param name: The file's name in ``schemas/``, without ``.json``.
    """
    from jsonschema import Draft202012Validator  # only tasks that talk to LeadSquared pay for this import

    text = files(__package__).joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def first_error(name: str, instance: object) -> ValidationError | None:
    """Return the first breach of a schema, or None where there is none."""
    return next(validator(name).iter_errors(instance), None)
