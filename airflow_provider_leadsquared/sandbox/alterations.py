"""
Faults that change a response which is otherwise normal: other HTTP codes, odd forms of receipts and statuses, headers.

A changed response still has one meaning: a lead that was created is never shown as rejected, nor the other way round.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_leadsquared.sandbox.account import Account
from airflow_provider_leadsquared.sandbox.errors import MXError
from airflow_provider_leadsquared.sandbox.faults import Fault
from airflow_provider_leadsquared.sandbox.responses import COMPLETED, Response, http_date, json_text

_BOM = "\ufeff"


def altered(account: Account, response: Response, fault: Fault | None) -> Response:
    """
    Return a normal response as a fault changes it. A response that refuses the call stays as it is.

    :param account: The account.
    :param response: The normal response.
    :param fault: The fault, None if there is none.
    """
    if fault is None or response.http != 200:
        return response
    p = fault.parameters
    match fault.kind:
        case "other_code":
            return replace(response, http=p["http"], body=response.body if p["body"] == "kept" else b"")
        case "odd_receipt":
            return replace(response, body=_odd_receipt(json.loads(response.body), p["shapes"]).encode())
        case _:
            return _odd_status(account, response, p["shapes"])


def with_retry_after(response: Response, parameters: Mapping[str, Any], account: Account) -> Response:
    """
    Return a response with a ``Retry-After`` header.

    :param response: The response.
    :param parameters: ``form`` and ``seconds`` of the fault.
    :param account: The account, whose ``Date`` header the dates are counted from.
    """
    seconds, now = parameters["seconds"], account.server_time() or account.clock.now()
    values = {
        "seconds": str(seconds),
        "date": http_date(now + seconds),
        "past_date": http_date(now - seconds),
        "far_date": http_date(math.inf),
        "zero": "0",
        "negative": f"-{seconds}",
        "fraction": f"{seconds}.5",
        "huge": "9" * 30,
        "garbage": "soon",
    }
    return replace(response, headers={**response.headers, "Retry-After": values[parameters["form"]]})


def _odd_receipt(body: dict[str, Any], shapes: tuple[str, ...]) -> str:
    if "other_id_key" in shapes:
        body["RequestId"] = body.pop("RequestID")
    if "no_status" in shapes:
        del body["Status"]
    return (_BOM if "bom" in shapes else "") + json_text(body)


def _odd_status(account: Account, response: Response, shapes: tuple[str, ...]) -> Response:
    body = json.loads(response.body)
    task = body.get("TaskStatus")
    request = account.queue.request(response.request_id or "")
    if task is None or request is None:
        return response
    is_settled = task["TaskCurrentStep"] is None  # not so if another fault, such as flap, shows another status
    if is_settled and request.rejection:
        _show_rejection(task, request.rejection, account.settings.status_success, shapes)
    elif is_settled:
        _change_types(task, shapes)
    if isinstance(task["Message"], str):
        task["Message"] = _odd_text(task["Message"], shapes)
    text = (_BOM if "bom" in shapes else "") + json_text(body)
    return replace(response, body=text.encode(), status=task["Status"])


def _odd_text(message: str, shapes: tuple[str, ...]) -> str:
    if "encoded_twice" in shapes:
        message = json_text(message)
    return _BOM + message if "message_bom" in shapes else message


def _change_types(task: dict[str, Any], shapes: tuple[str, ...]) -> None:
    """Change the types of values in the message of a request that succeeded."""
    is_text = isinstance(task["Message"], str)
    message = json.loads(task["Message"]) if is_text else task["Message"]
    details = message.get("Message") if isinstance(message, dict) else None
    if not isinstance(details, dict):
        return
    if "IsCreated" in details:
        is_created = bool(details["IsCreated"])
        forms: dict[str, object] = {
            "is_created_text": str(is_created).lower(),
            "is_created_capital": str(is_created),
            "is_created_digit": str(int(is_created)),
            "is_created_number": int(is_created),
        }
        details["IsCreated"] = next((value for shape, value in forms.items() if shape in shapes), is_created)
    if "number_ids" in shapes:
        for name in ("Id", "RelatedId"):
            if isinstance(details.get(name), str):
                details[name] = number_of(details[name])
    task["Message"] = json_text(message) if is_text else message


def number_of(text_id: str) -> int:
    """
    Return the number by which the shape ``number_ids`` shows an id.

    :param text_id: The id as it is without that shape.
    """
    return zlib.crc32(text_id.encode())


def _show_rejection(task: dict[str, Any], rejection: MXError, success: str, shapes: tuple[str, ...]) -> None:
    """Show a rejected request with its reason elsewhere than documented."""
    if "inner_failure" in shapes:
        error = {**rejection.body(), "Status": "Failure"}
        task.update(Status=success, StatusReason=COMPLETED, Message=json_text(error))
    elif "reason_in_message" in shapes:
        task.update(StatusReason=None, Message=json_text(rejection.body()))
    elif "reason_as_text" in shapes:
        task.update(StatusReason=None, Message=str(rejection))
