"""One LeadSquared account: its hosts, keys, paths and retry ladder, checked before the first call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urlsplit

from airflow_provider_leadsquared.api.async_apis import AsyncApi, async_api
from airflow_provider_leadsquared.api.endpoints import Host
from airflow_provider_leadsquared.api.errors import ConfigurationError
from airflow_provider_leadsquared.api.regions import REGIONS, region_of
from airflow_provider_leadsquared.api.retries import BACKLOG, RetryLadder

#: The port of https, which need not be named.
_HTTPS = 443
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")
_WHERE_KEYS_ARE = "LeadSquared shows it under My Profile > Settings > API and Webhooks"


@dataclass(frozen=True, slots=True)
class Account:
    """
    The hosts and keys of an account, and how it differs from the documented defaults.

    :param async_url: Scheme and host of the Async API, no path.
    :param synchronous_url: Scheme and host of the synchronous API, no path.
    :param access_key: One user's access key. Never shown.
    :param secret_key: That user's secret key. Never shown.
    :param async_api_key: The tenant's ``x-api-key`` for the async host. Never shown.
    :param paths: By name of an asynchronous API, the paths that differ from the documented ones.
    :param retry_intervals: LeadSquared's retry ladder on its own clock.
    :param max_requests_per_second: The most calls a second of those that are made many at once, None for no limit. Each
        process keeps to it by itself.
    :param sandbox_speed: How many of the server's seconds pass in one of ours. 1, but for a sped-up sandbox.
    """

    async_url: str
    synchronous_url: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    async_api_key: str = field(repr=False)
    paths: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    retry_intervals: RetryLadder = RetryLadder()
    sandbox_speed: float = 1.0
    max_requests_per_second: float | None = None

    def url(self, host: Host) -> str:
        """Return scheme and host of one of the two hosts."""
        return self.async_url if host is Host.ASYNCHRONOUS else self.synchronous_url

    def api(self, name: str) -> AsyncApi:
        """
        Return an asynchronous API with this account's paths.

        :raises ValueError: There is no such API.
        """
        return async_api(name).with_paths(self.paths.get(name, {}))

    @property
    def web_url(self) -> str | None:
        """Scheme and host of the account's web application; None where it cannot be told from the hosts."""
        region = region_of(self.async_url)
        if region is not None:
            return f"https://{region.web_host}"
        # A sandbox shows its leads on the port of its APIs.
        return self.synchronous_url if _LOOPBACK.fullmatch(urlsplit(self.synchronous_url).hostname or "") else None

    @property
    def ladder(self) -> RetryLadder:
        """LeadSquared's retry ladder on our clock."""
        return self.retry_intervals.faster(self.sandbox_speed)

    @property
    def settle_timeout(self) -> float:
        """
        Seconds after acceptance in which LeadSquared may still be at work on a request.

        The last retry of the longer reading and a backlog; 36,570 for the documented ladder.
        """
        return self.ladder.longest + BACKLOG / self.sandbox_speed

    @classmethod
    def from_settings(
        cls,
        *,
        host: str | None,
        access_key: str | None,
        secret_key: str | None,
        port: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Account:
        """
        Check the fields of a connection and make an account of them.

        :param host: The async host. Empty when ``extra`` names a region.
        :param access_key: The connection's login.
        :param secret_key: The connection's password.
        :param port: The port of a host that is not LeadSquared's own. 443, and 0, which Airflow's form may store, say
            nothing of the port.
        :param extra: ``async_api_key``; and as needed ``region``, ``sync_host``, ``paths``, ``retry_intervals``,
            ``allow_other_hosts``, ``max_requests_per_second``, ``sandbox_speed``.
        :raises ConfigurationError: A field is missing or wrong. The text names it and the remedy, never its value.
        """
        extra = extra or {}
        region, sync_host = (str(extra.get(name) or "").strip() for name in ("region", "sync_host"))
        allow_other = _boolean("allow_other_hosts", extra.get("allow_other_hosts") or False)
        async_url = _base_url("host", _async_host(host, port, region), allow_other=allow_other)
        if re.match(r"https://api[.-](.+\.)?leadsquared\.com\b", async_url):
            _refuse("host holds the synchronous host (api…); write the async one (asyncapi…), or choose a region")
        synchronous = sync_host or _synchronous_host(async_url, region)
        synchronous_url = _base_url("sync_host", synchronous, allow_other=allow_other)
        _check_region(region, async_url, synchronous_url)
        account = cls(
            async_url=async_url,
            synchronous_url=synchronous_url,
            access_key=_key("login (access key)", access_key),
            secret_key=_key("password (secret key)", secret_key),
            async_api_key=_key("extra 'async_api_key' (x-api-key)", extra.get("async_api_key")),
            paths=_paths(extra.get("paths")),
            retry_intervals=_retry_intervals(extra.get("retry_intervals")),
            sandbox_speed=_speed(extra, async_url),
            max_requests_per_second=_per_second(extra.get("max_requests_per_second")),
        )
        if account.secret_key.startswith("u$r") and not account.access_key.startswith("u$r"):
            _refuse("login and password look swapped: the access key, which begins 'u$r', belongs into login")
        if urlsplit(account.synchronous_url).netloc.startswith("asyncapi"):
            _refuse("sync_host holds the async host (asyncapi…); write the synchronous one (api…)")
        return account


def _async_host(host: str | None, port: int | None, region: str) -> str:
    host = (host or "").strip()
    if region and region not in REGIONS:
        _refuse(f"unknown region; write one of {', '.join(REGIONS)}, or the async host into host")
    if host:
        return f"{host.rstrip('/')}:{port}" if port else host
    if not region:
        _refuse(f"host is empty: choose a region, or write the async host ({_WHERE_KEYS_ARE} > Async API)")
    if port not in (None, 0, _HTTPS):
        _refuse(f"port is for a host of your own; a region's hosts listen on {_HTTPS}: write that, or leave it empty")
    return REGIONS[region].async_host


def _check_region(region: str, async_url: str, synchronous_url: str) -> None:
    """Refuse a host of LeadSquared's that is not the region's: nobody knows which of the two is meant."""
    if not region:
        return
    for field_name, url, right in (
        ("host", async_url, REGIONS[region].async_host),
        ("sync_host", synchronous_url, REGIONS[region].synchronous_host),
    ):
        if url.endswith(".leadsquared.com") and url != f"https://{right}":
            _refuse(
                f"region is {region}, whose {field_name} is {right}, but {field_name} names another; "
                f"clear {field_name}, or the region"
            )


def _synchronous_host(async_url: str, region: str) -> str:
    """Derive the synchronous host from the asynchronous one, where the connection does not name it."""
    name = urlsplit(async_url).hostname or ""
    if name.startswith("asyncapi"):
        return name.removeprefix("async")
    if region:
        return REGIONS[region].synchronous_host
    if not _LOOPBACK.fullmatch(name):
        _refuse("extra 'sync_host' is missing: it cannot be derived from a host that does not begin with 'asyncapi'")
    return async_url  # a sandbox serves both sides on one port


def _base_url(field_name: str, host: str, *, allow_other: bool) -> str:
    try:
        parts = urlsplit(host if "//" in host else f"https://{host}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        _refuse(f"{field_name} is no host name; write for example asyncapi-in21.leadsquared.com")
    if "@" in parts.netloc or parts.query or parts.fragment:
        _refuse(f"{field_name} holds more than a host; keys belong into login, password and extra 'async_api_key'")
    if parts.path.strip("/"):
        _refuse(f"{field_name} holds a path; write the host name only, paths are added to it")
    shown = (f"[{name}]" if ":" in name else name) + (f":{port}" if port else "")
    if not re.fullmatch(r"[a-z0-9.:-]+", name) or parts.netloc.lower() != shown:
        _refuse(f"{field_name} is no host name; write for example asyncapi-in21.leadsquared.com")
    loopback = _LOOPBACK.fullmatch(name) is not None
    if parts.scheme not in ("http", "https"):
        _refuse(f"{field_name} begins with {parts.scheme}://; LeadSquared takes https")
    if parts.scheme == "http" and not loopback:
        _refuse(f"{field_name} begins with http://, which shows the keys to the network; write https:// or no scheme")
    if not (loopback or allow_other or re.fullmatch(r"([a-z0-9-]+\.)+leadsquared\.com", name)):
        _refuse(
            f"{field_name} is no *.leadsquared.com host, and keys are sent to no other; "
            "if it is right, set extra 'allow_other_hosts' to true"
        )
    return f"{parts.scheme}://{shown.removesuffix(f':{_HTTPS}') if parts.scheme == 'https' else shown}"


def _key(field_name: str, value: object) -> str:
    if value is None or value == "":
        _refuse(f"{field_name} is empty; {_WHERE_KEYS_ARE}")
    if not isinstance(value, str) or not value.isascii() or any(c.isspace() or not c.isprintable() for c in value):
        _refuse(f"{field_name} holds a blank or an unusual character; copy it again")
    return value


def _boolean(field_name: str, value: object) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        _refuse(f"extra '{field_name}' must be true or false")
    return value


def _paths(given: object) -> dict[str, dict[str, str]]:
    if not given:
        return {}
    if not isinstance(given, dict) or not all(isinstance(paths, dict) for paths in given.values()):
        _refuse(
            "extra 'paths' must be an object that names an API and any of its paths, such as "
            '{"lead_capture": {"status": "/lead/status"}}'
        )
    try:
        for name, paths in given.items():
            async_api(name).with_paths(paths)
    except ValueError as error:
        _refuse(f"extra 'paths': {error}")
    return given


def _retry_intervals(given: Any) -> RetryLadder:
    """Read a list of seconds, or the same as text with commas, as a form field holds it."""
    if given is None or given == "":
        return RetryLadder()
    items = given.strip(" []").split(",") if isinstance(given, str) else given
    if not isinstance(items, (list, tuple)):
        items = ()  # refused as an empty list is
    try:
        return RetryLadder.of_seconds([_seconds(item) for item in items])
    except (TypeError, ValueError, OverflowError):
        _refuse(
            "extra 'retry_intervals' must be a non-empty list of positive numbers of seconds, such as [30, 120, 420]; "
            "leave it out for LeadSquared's documented list"
        )


def _seconds(item: object) -> float:
    if isinstance(item, bool) or not isinstance(item, (int, float, str)):
        raise TypeError
    return float(item)


def _per_second(given: Any) -> float | None:
    if given is None or given == "":
        return None
    try:
        number = _seconds(given)
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if not 0.1 <= number <= 10_000:
        _refuse("extra 'max_requests_per_second' must be a number from 0.1 to 10000; leave it out for no limit")
    return number


def _speed(extra: dict[str, Any], async_url: str) -> float:
    try:
        speed = float(extra.get("sandbox_speed") or 1)
    except (TypeError, ValueError, OverflowError):
        speed = 0.0
    if not 1 <= speed <= 100_000:
        _refuse("extra 'sandbox_speed' must be a number from 1 to 100000")
    if speed != 1 and not _LOOPBACK.fullmatch(urlsplit(async_url).hostname or ""):
        _refuse("extra 'sandbox_speed' is only for a sandbox on this machine; remove it")
    return speed


def _refuse(problem: str) -> NoReturn:
    raise ConfigurationError(f"LeadSquared connection: {problem}")
