"""
LeadSquared's asynchronous APIs, one row each: :data:`ASYNC_APIS`.

To add an API, add its row here, its JSON Schema in ``schemas/`` and its handler in the sandbox. Nothing else in the
package knows which API it works for: the name of the API is kept with every request and every ledger entry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_leadsquared.api.confirmations import Confirmation, read_lead_confirmation
from airflow_provider_leadsquared.api.endpoints import Endpoint, Host, KeyPair
from airflow_provider_leadsquared.api.leads import encode_lead, exact_name
from airflow_provider_leadsquared.api.payloads import Payload

#: What LeadSquared does to an existing lead; without the parameter every attribute that is sent overwrites.
LEAD_UPDATE_BEHAVIORS = ("DoNotUpdate", "UpdateOnlyEmptyFields", "DoNotUpdateUniqueFields")
#: Those under which an existing lead keeps each value that it has.
KEEPING_BEHAVIORS = ("DoNotUpdate", "UpdateOnlyEmptyFields")

_PATHS = ("submit", "status", "metrics")


def has_match_key(payload: Payload) -> bool:
    """Tell whether LeadSquared finds the record that an earlier sending of this payload made."""
    return payload.match_key is not None


@dataclass(frozen=True, slots=True)
class AsyncApi:
    """
    One asynchronous API: a submission, the two calls that follow it up, and how its records are written and read.

    :param name: Its name in receipts and ledgers; never changed once it is in use.
    :param record: What one record is called in messages: ``lead``.
    :param records: What several are called: ``leads``.
    :param match_keys: By what LeadSquared finds an existing record, for messages.
    :param submit: Takes one record and responds with a RequestId.
    :param status: Tells the outcome of one RequestId. Every asynchronous API has its own.
    :param metrics: Tells how busy the queue is. Not every account has it.
    :param encode: Checks one record and writes its body. Takes the record and, as keywords, ``null_handling``,
        ``search_by``, ``rules`` and ``parameters``, as ``encode_lead`` does; raises ``InvalidLeadError``.
    :param read_confirmation: Reads the inner response (keys in lower case) of a request that succeeded; None if it
        does not confirm the record.
    :param may_repeat: Whether a payload may be sent again when nobody knows if its first sending was accepted.
    :param exact_name: Returns how LeadSquared spells a field's name, None for one that it is not known to have.
    :param parameters: Query parameters that a submission may carry, each with its allowed values.
    """

    name: str
    record: str
    records: str
    match_keys: str
    submit: Endpoint
    status: Endpoint
    metrics: Endpoint
    encode: Callable[..., Payload]
    read_confirmation: Callable[[Mapping[str, Any]], Confirmation | None]
    may_repeat: Callable[[Payload], bool] = has_match_key
    exact_name: Callable[[str], str | None] = exact_name
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def with_paths(self, paths: Mapping[str, str]) -> AsyncApi:
        """
        Replace paths, for an account whose paths differ from the documented ones.

        :param paths: Any of ``submit``, ``status`` and ``metrics``, each with its path.
        :raises ValueError: A name is unknown, or a path does not begin with a slash or holds more than a path.
        """
        if not paths:
            return self
        changed: dict[str, Any] = {}
        for name, path in paths.items():
            if name not in _PATHS:
                raise ValueError(f"unknown path name {name!r}; write {', '.join(_PATHS[:-1])} or {_PATHS[-1]}")
            if not isinstance(path, str) or not re.fullmatch(r"/[^\s?#]*", path):
                raise ValueError(f"the {name} path must begin with '/' and hold no '?', no '#' and no blank")
            changed[name] = replace(getattr(self, name), path=path)
        return replace(self, **changed)


def submission(path: str) -> Endpoint:
    """Return the call that submits a record; it carries the key pair in the query."""
    return Endpoint("POST", path, Host.ASYNCHRONOUS, KeyPair.QUERY)


def follow_up(path: str) -> Endpoint:
    """Return a call that follows a submission up; it carries no key pair."""
    return Endpoint("GET", path, Host.ASYNCHRONOUS, KeyPair.ABSENT)


#: Capture a lead. The status path really is ``/lead/status``; the metrics path is not printed on LeadSquared's page and
#: follows the pattern of the one that is. ``LeadUpdateBehavior`` is documented for the synchronous call, with the
#: remark that the asynchronous one works alike; whether it honours the parameter is not verified.
LEAD_CAPTURE = AsyncApi(
    name="lead_capture",
    record="lead",
    records="leads",
    match_keys="ProspectID, EmailAddress, Phone and SearchBy's attribute",
    submit=submission("/lead/capture"),
    status=follow_up("/lead/status"),
    metrics=follow_up("/lead/capture/metrics"),
    encode=encode_lead,
    read_confirmation=read_lead_confirmation,
    parameters={"LeadUpdateBehavior": LEAD_UPDATE_BEHAVIORS},
)

#: Every asynchronous API by its name.
ASYNC_APIS: dict[str, AsyncApi] = {LEAD_CAPTURE.name: LEAD_CAPTURE}


def async_api(name: str) -> AsyncApi:
    """
    Return the API of a name.

    :raises ValueError: There is no such API.
    """
    if name not in ASYNC_APIS:
        raise ValueError(f"there is no asynchronous API {name!r}; there is {', '.join(ASYNC_APIS)}")
    return ASYNC_APIS[name]
