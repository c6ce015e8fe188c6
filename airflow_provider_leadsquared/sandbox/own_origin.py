"""
Who may use the page and the controls: programs of this machine and the sandbox's own page, but no other web page.

A browser carries calls of any web page to this machine, so the address that a call comes from is not enough. Such a
call names the origin of its page in ``Origin``; or, if the name of the page's own host leads to this machine, that
name in ``Host``. A form of another page cannot be sent as JSON.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web

HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""Sent with the page and every control: other pages must not embed it, and browsers must not keep or guess it."""


class Guard:
    """
    Refuses calls to the page and the controls.

    :param open_control: Whether other machines may use them.
    :param own_names: Host names of this machine, in addition to ``localhost``. IP addresses need not be listed: a web
        page from elsewhere cannot have one of this machine's as its host.
    """

    def __init__(self, open_control: bool, own_names: Collection[str]) -> None:
        self._open_control = open_control
        self._own_names = {"localhost", *(name.lower() for name in own_names)}

    def refusal(self, request: web.Request) -> web.Response | None:
        """
        Return the response that refuses a call, None if it is allowed.

        :param request: The call.
        """
        if not self._open_control and not _is_loopback(request.remote):
            return _refused(403, "this address is open to this machine only; start the sandbox with --open-control")
        host = request.headers.get("Host", "")
        if not self._is_own(host):
            return _refused(
                403, "the Host header is neither an IP address nor a name of this machine; add it with --own-name"
            )
        origin = request.headers.get("Origin")
        if origin is not None and _host_and_port(origin) != host.lower():
            return _refused(403, "calls of other web pages are refused; call this address from a program")
        if request.method == "POST" and request.content_type != "application/json":
            return _refused(415, "send JSON, with the header Content-Type: application/json")
        return None

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._own_names or _is_address(name)


def _refused(http: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=http)


def _host_and_port(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(address: str | None) -> bool:
    return address is not None and ipaddress.ip_address(address.partition("%")[0]).is_loopback
