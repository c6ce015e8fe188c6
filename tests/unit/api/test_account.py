"""Accounts: which connections are taken, and what is said about those that are not."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_leadsquared.api.account import Account
from airflow_provider_leadsquared.api.endpoints import Host
from airflow_provider_leadsquared.api.errors import ConfigurationError
from airflow_provider_leadsquared.api.regions import REGIONS
from airflow_provider_leadsquared.api.retries import BACKLOG, RetryLadder

ACCESS, SECRET, ASYNC_KEY = "u$r" + "a1" * 16, "b2" * 20, "C3" * 20
ASYNC, SYNC = "asyncapi-in21.leadsquared.com", "api-in21.leadsquared.com"


def _account(**changes: Any) -> Account:
    """Make an account from a good connection with some fields changed; an ``extra`` of None is left out."""
    extra = {"async_api_key": ASYNC_KEY, **changes.pop("extra", {})}
    settings = {"host": ASYNC, "access_key": ACCESS, "secret_key": SECRET, **changes}
    return Account.from_settings(**settings, extra={name: value for name, value in extra.items() if value is not None})


def _hosts(account: Account) -> tuple[str, str]:
    return account.async_url, account.synchronous_url


@pytest.mark.parametrize(
    ("region", "async_url", "sync_url"),
    [
        ("in21", "https://asyncapi-in21.leadsquared.com", "https://api-in21.leadsquared.com"),
        ("us11", "https://asyncapi-us11.leadsquared.com", "https://api-us11.leadsquared.com"),
        ("sg", "https://asyncapi.leadsquared.com", "https://api.leadsquared.com"),
        ("in22", "https://asyncapi-in22.leadsquared.com", "https://api-in22.leadsquared.com"),
        ("ir31", "https://asyncapi-ir31.leadsquared.com", "https://api-ir31.leadsquared.com"),
        ("ca12", "https://asyncapi-ca12.leadsquared.com", "https://api-ca12.leadsquared.com"),
        ("me61", "https://asyncapi-me61.leadsquared.com", "https://api-me61.leadsquared.com"),
        ("id51", "https://asyncapi-id51.leadsquared.com", "https://api-id51.leadsquared.com"),
    ],
)
def test_a_region_fills_both_hosts(region, async_url, sync_url):
    assert _hosts(_account(host=None, extra={"region": region})) == (async_url, sync_url)


def test_the_regions_whose_async_host_is_documented_are_marked():
    assert [code for code, region in REGIONS.items() if region.is_documented] == ["in21", "us11", "sg"]


@pytest.mark.parametrize("port", [None, 0, 443])
def test_a_region_needs_no_port(port):
    assert _hosts(_account(host=None, port=port, extra={"region": "in21"})) == (f"https://{ASYNC}", f"https://{SYNC}")


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({"host": None, "extra": {"region": "in21"}}, "https://in21.leadsquared.com"),
        ({"host": None, "extra": {"region": "sg"}}, "https://run.leadsquared.com"),
        ({"host": "asyncapi-us11.leadsquared.com", "port": 443}, "https://us11.leadsquared.com"),
        ({"host": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080"),
        ({"host": "asyncapi-xy99.leadsquared.com"}, None),
        (
            {"host": "leads.example.org", "extra": {"sync_host": "leads.example.org", "allow_other_hosts": True}},
            None,
        ),
    ],
    ids=["region", "first_region", "host", "sandbox", "unknown_region", "other_host"],
)
def test_the_web_application_is_known_for_regions_and_sandboxes(changes, url):
    assert _account(**changes).web_url == url


@pytest.mark.parametrize(
    ("changes", "async_url", "sync_url"),
    [
        ({"host": ASYNC}, f"https://{ASYNC}", f"https://{SYNC}"),
        ({"host": f"https://{ASYNC}"}, f"https://{ASYNC}", f"https://{SYNC}"),
        ({"host": f"https://{ASYNC}/"}, f"https://{ASYNC}", f"https://{SYNC}"),
        ({"host": f"  {ASYNC}\n"}, f"https://{ASYNC}", f"https://{SYNC}"),
        ({"host": ASYNC.upper()}, f"https://{ASYNC}", f"https://{SYNC}"),
        ({"host": "asyncapi-ir31.leadsquared.com"}, "https://asyncapi-ir31.leadsquared.com", None),
        ({"host": ASYNC, "port": 443}, f"https://{ASYNC}", f"https://{SYNC}"),
        ({"host": f"{ASYNC}:443"}, f"https://{ASYNC}", f"https://{SYNC}"),
        ({"host": ASYNC, "port": 8443}, f"https://{ASYNC}:8443", f"https://{SYNC}"),
        (
            {"host": ASYNC, "extra": {"sync_host": "api-ir31.leadsquared.com"}},
            f"https://{ASYNC}",
            "https://api-ir31.leadsquared.com",
        ),
        (
            {"host": "asyncapi-ir31.leadsquared.com", "extra": {"region": "ir31"}},
            "https://asyncapi-ir31.leadsquared.com",
            "https://api-ir31.leadsquared.com",
        ),
        (
            {"host": "leads.example.org", "extra": {"region": "in21", "allow_other_hosts": True}},
            "https://leads.example.org",
            "https://api-in21.leadsquared.com",
        ),
    ],
    ids=[
        *("bare", "https", "slash", "blanks", "upper", "other_region", "port", "port_in_host", "other_port"),
        *("sync_host", "host_of_its_region"),
        "own_async_host",
    ],
)
def test_hosts_are_read_from_the_connection(changes, async_url, sync_url):
    assert _hosts(_account(**changes)) == (async_url, sync_url or async_url.replace("asyncapi", "api"))


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("http://localhost:8080", None, "http://localhost:8080"),
        ("http://localhost", 8080, "http://localhost:8080"),
        ("http://localhost", 443, "http://localhost:443"),
        ("http://localhost/", 8080, "http://localhost:8080"),
        ("localhost", None, "https://localhost"),
        ("http://127.0.0.1:8080", None, "http://127.0.0.1:8080"),
        ("http://127.8.9.10", None, "http://127.8.9.10"),
        ("http://[::1]:8080", None, "http://[::1]:8080"),
        ("http://[::1]", 8080, "http://[::1]:8080"),
        ("[::1]", None, "https://[::1]"),
    ],
)
def test_a_sandbox_on_loopback_serves_both_sides_and_may_speak_http(host, port, url):
    assert _hosts(_account(host=host, port=port)) == (url, url)


def test_each_side_has_its_own_url():
    account = _account()
    assert (account.url(Host.ASYNCHRONOUS), account.url(Host.SYNCHRONOUS)) == (f"https://{ASYNC}", f"https://{SYNC}")


def test_the_three_keys_are_taken_as_they_are():
    account = _account()
    assert (account.access_key, account.secret_key, account.async_api_key) == (ACCESS, SECRET, ASYNC_KEY)


WRONG = {
    # changes, the field that must be named, a word of the remedy
    "no_host_no_region": ({"host": None}, "host is empty", "region"),
    "blank_host": ({"host": "  "}, "host is empty", "region"),
    "unknown_region": ({"host": None, "extra": {"region": "mars"}}, "unknown region", "in21, us11, sg"),
    "host_of_another_region": (
        {"host": "asyncapi-ir31.leadsquared.com", "extra": {"region": "in21"}},
        "region is in21, whose host is asyncapi-in21.leadsquared.com, but host names another",
        "clear host, or the region",
    ),
    "sync_host_of_another_region": (
        {"host": None, "extra": {"region": "in21", "sync_host": "api.leadsquared.com"}},
        "region is in21, whose sync_host is api-in21.leadsquared.com, but sync_host names another",
        "clear sync_host, or the region",
    ),
    "port_of_a_region": (
        {"host": None, "port": 8443, "extra": {"region": "in21"}},
        "port is for a host of your own",
        "443",
    ),
    "http_to_a_real_host": ({"host": f"http://{ASYNC}"}, "host begins with http://", "https://"),
    "http_to_a_real_sync_host": (
        {"extra": {"sync_host": f"http://{SYNC}"}},
        "sync_host begins with http://",
        "https://",
    ),
    "ftp": ({"host": f"ftp://{ASYNC}"}, "host begins with ftp://", "https"),
    "version_in_host": ({"host": f"https://{ASYNC}/v2"}, "host holds a path", "host name only"),
    "path_in_host": ({"host": f"{ASYNC}/lead/capture"}, "host holds a path", "host name only"),
    "version_in_sync_host": ({"extra": {"sync_host": f"{SYNC}/v2/"}}, "sync_host holds a path", "host name only"),
    "userinfo": ({"host": f"https://{ACCESS}:{SECRET}@{ASYNC}"}, "host holds more than a host", "login"),
    "keys_in_query": ({"host": f"{ASYNC}?secretKey={SECRET}"}, "host holds more than a host", "login"),
    "keys_in_fragment": ({"host": f"{ASYNC}#{SECRET}"}, "host holds more than a host", "login"),
    "keys_in_path": ({"host": f"{ASYNC}/{SECRET}"}, "host holds a path", "host name only"),
    "key_as_host": ({"host": SECRET, "extra": {"sync_host": SYNC}}, "host is no *.leadsquared.com", "allow_other"),
    "sync_host_in_host": ({"host": SYNC}, "host holds the synchronous host", "asyncapi"),
    "singapore_sync_host_in_host": ({"host": "api.leadsquared.com"}, "host holds the synchronous host", "asyncapi"),
    "sync_host_in_host_with_region": (
        {"host": SYNC, "extra": {"region": "in21"}},
        "host holds the synchronous host",
        "asyncapi",
    ),
    "async_host_in_sync_host": ({"extra": {"sync_host": ASYNC}}, "sync_host holds the async host", "api"),
    "no_sync_host": (
        {"host": "leads.example.org", "extra": {"allow_other_hosts": True}},
        "'sync_host' is missing",
        "asyncapi",
    ),
    "not_a_host": ({"host": "async api"}, "host is no host name", "asyncapi-in21"),
    "not_an_address": ({"host": "http://[::1"}, "host is no host name", "asyncapi-in21"),
    "not_a_port": ({"host": f"{ASYNC}:99999"}, "host is no host name", "asyncapi-in21"),
    "port_twice": ({"host": f"{ASYNC}:443", "port": 443}, "host is no host name", "asyncapi-in21"),
    "not_a_sync_host": ({"extra": {"sync_host": "http://[::1"}}, "sync_host is no host name", "asyncapi-in21"),
    "no_login": ({"access_key": None}, "login (access key) is empty", "My Profile"),
    "empty_login": ({"access_key": ""}, "login (access key) is empty", "My Profile"),
    "no_password": ({"secret_key": None}, "password (secret key) is empty", "My Profile"),
    "no_async_key": ({"extra": {"async_api_key": None}}, "'async_api_key' (x-api-key) is empty", "My Profile"),
    "empty_async_key": ({"extra": {"async_api_key": ""}}, "'async_api_key' (x-api-key) is empty", "My Profile"),
    "swapped": ({"access_key": SECRET, "secret_key": ACCESS}, "login and password look swapped", "login"),
    "blank_in_login": ({"access_key": f"{ACCESS} "}, "login (access key) holds a blank", "copy it again"),
    "newline_in_password": ({"secret_key": f"{SECRET}\n"}, "password (secret key) holds a blank", "copy it again"),
    "tab_in_async_key": (
        {"extra": {"async_api_key": f"{ASYNC_KEY}\t"}},
        "'async_api_key' (x-api-key) holds a blank",
        "copy it again",
    ),
    "control_character": ({"secret_key": f"{SECRET}\x00"}, "password (secret key) holds a blank", "copy it again"),
    "typographic_dash": ({"secret_key": f"{SECRET}–"}, "password (secret key) holds a blank", "copy it again"),
    "key_is_no_text": ({"extra": {"async_api_key": 12345678}}, "'async_api_key' (x-api-key) holds", "copy it again"),
    "speed_on_a_real_host": ({"extra": {"sandbox_speed": 10}}, "'sandbox_speed' is only for a sandbox", "remove"),
    "speed_is_no_number": ({"extra": {"sandbox_speed": "fast"}}, "'sandbox_speed' must be a number", "1 to 100000"),
    "speed_below_one": ({"extra": {"sandbox_speed": 0.5}}, "'sandbox_speed' must be a number", "1 to 100000"),
    "speed_beyond_reason": ({"extra": {"sandbox_speed": 10**400}}, "'sandbox_speed' must be a number", "1 to 100000"),
    "speed_nan": ({"extra": {"sandbox_speed": "nan"}}, "'sandbox_speed' must be a number", "1 to 100000"),
    **{
        f"calls_a_second_{name}": (
            {"extra": {"max_requests_per_second": value}},
            "extra 'max_requests_per_second' must be a number",
            "leave it out",
        )
        for name, value in {
            "zero": 0,
            "negative": -1,
            "text": "many",
            "boolean": True,
            "list": [5],
            "nan": "nan",
            "infinite": float("inf"),
            "beyond_any_float": 10**400,
        }.items()
    },
    "allow_is_no_truth": ({"extra": {"allow_other_hosts": "yes"}}, "'allow_other_hosts' must be", "true or false"),
    "paths_is_text": ({"extra": {"paths": "/lead/status"}}, "extra 'paths' must be an object", "lead_capture"),
    "paths_is_a_list": ({"extra": {"paths": ["/lead/status"]}}, "extra 'paths' must be an object", "lead_capture"),
    "unknown_path": (
        {"extra": {"paths": {"lead_capture": {"x": "/x"}}}},
        "extra 'paths': unknown path name",
        "submit, status",
    ),
    "paths_without_an_api": ({"extra": {"paths": {"status": "/x"}}}, "extra 'paths' must be an object", "lead_capture"),
    "paths_of_an_unknown_api": (
        {"extra": {"paths": {"lead_captrue": {"status": "/x"}}}},
        "extra 'paths': there is no asynchronous API 'lead_captrue'",
        "lead_capture",
    ),
    **{
        f"retry_intervals_{name}": (
            {"extra": {"retry_intervals": value}},
            "extra 'retry_intervals' must be a non-empty list of positive numbers",
            "leave it out",
        )
        for name, value in {
            "empty": [],
            "zero": [30, 0],
            "negative": [-1],
            "boolean": [True],
            "not_a_number": [30, "nan"],
            "infinite": [float("inf")],
            "too_large": [1e300],
            "beyond_any_float": [10**400],
            "null_in_list": [30, None],
            "text": "soon",
            "object": {"first": 30},
            "object_of_numbers": {"30": 1, "120": 2},
            "single_number": 30,
            "list_in_list": [[30]],
        }.items()
    },
    "relative_path": (
        {"extra": {"paths": {"lead_capture": {"status": "x"}}}},
        "extra 'paths': the status path",
        "begin with '/'",
    ),
}


@pytest.mark.parametrize(("changes", "field", "remedy"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_connection_names_the_field_and_the_remedy(changes, field, remedy):
    with pytest.raises(ConfigurationError) as caught:
        _account(**changes)
    message = str(caught.value)
    assert message.startswith("LeadSquared connection: ")
    assert (field in message, remedy in message) == (True, True), message


@pytest.mark.parametrize("changes", [wrong[0] for wrong in WRONG.values()], ids=WRONG.keys())
def test_a_wrong_connection_shows_no_key(changes):
    with pytest.raises(ConfigurationError) as caught:
        _account(**changes)
    shown = str(caught.value) + repr(caught.value.__cause__)
    assert [key for key in (ACCESS, SECRET, ASYNC_KEY, "12345678") if key in shown] == []


NOT_LEADSQUARED = [
    "asyncapi.example.org",
    "asyncapi.leadsquared.com.evil.example",
    "asyncapi-evilleadsquared.com",
    "asyncapi.evilleadsquared.com",
    "leadsquared.com",
    ".leadsquared.com",
    "asyncapi..leadsquared.com",
    "asyncapi-in21.leadsquared.com.",
    "asyncapi-in21.leadsquared.com:443:443",
    "asyncapi-in21.leadsquared.com:x",
    "evil.example:443#.leadsquared.com",
    "evil.example?.leadsquared.com",
    "evil.example/.leadsquared.com",
    "evil.example\\.leadsquared.com",
    "evil.example%2f.leadsquared.com",
    "evil.example%00.leadsquared.com",
    "asyncapi-in21.leadsquared.com@evil.example",
    "asyncapi-in21.leadsquared.com:443@evil.example",
    "//evil.example",
    "asyncapi-in21.leadsquared\u3002com",
    "asyncapi-in21.lead\u017fquared.com",
    "asyncapi-in21.l\u0435adsquared.com",
    "evil.example\u2044.leadsquared.com",
    "evil.example\uff0f.leadsquared.com",
    "[::1].leadsquared.com",
    "http://127.0.0.1.leadsquared.com",
    "http://localhost.leadsquared.com",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example",
    "http://127.0.0.1@evil.example",
    "http://2130706433",
    "http://0.0.0.0",
    "http://[::]",
    "http://[::ffff:10.0.0.1]",
    "javascript://asyncapi-in21.leadsquared.com",
]


@pytest.mark.parametrize("host", NOT_LEADSQUARED)
def test_keys_go_to_no_host_that_only_looks_like_leadsquared(host):
    with pytest.raises(ConfigurationError):
        _account(host=host, extra={"sync_host": SYNC})


@pytest.mark.parametrize("host", NOT_LEADSQUARED)
def test_nor_does_the_synchronous_side(host):
    with pytest.raises(ConfigurationError):
        _account(extra={"sync_host": host})


@pytest.mark.parametrize("allowed", [True, "true", "True"])
def test_another_host_can_be_allowed(allowed):
    account = _account(
        host="proxy.example.org:8443", extra={"sync_host": "api.example.org", "allow_other_hosts": allowed}
    )
    assert _hosts(account) == ("https://proxy.example.org:8443", "https://api.example.org")


def test_an_allowed_host_may_begin_like_a_synchronous_one():
    account = _account(host="api.example.org", extra={"sync_host": "api.example.org", "allow_other_hosts": True})
    assert account.async_url == "https://api.example.org"


@pytest.mark.parametrize("allowed", [False, "false", None, ""])
def test_another_host_is_not_allowed_by_default(allowed):
    with pytest.raises(ConfigurationError, match="allow_other_hosts"):
        _account(host="proxy.example.org", extra={"sync_host": SYNC, "allow_other_hosts": allowed})


def test_an_allowed_host_still_speaks_https():
    with pytest.raises(ConfigurationError, match="http://"):
        _account(host="http://proxy.example.org", extra={"sync_host": SYNC, "allow_other_hosts": True})


@pytest.mark.parametrize("host", ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:8080"])
@pytest.mark.parametrize("speed", [1000, "1000", 1000.0])
def test_a_sandbox_may_run_faster(host, speed):
    assert _account(host=host, extra={"sandbox_speed": speed}).sandbox_speed == 1000.0


@pytest.mark.parametrize("speed", [None, "", 1, "1"])
def test_the_real_service_runs_at_speed_one(speed):
    assert _account(extra={"sandbox_speed": speed}).sandbox_speed == 1.0


def test_no_extra_at_all_names_the_missing_region_first():
    with pytest.raises(ConfigurationError, match="host is empty"):
        Account.from_settings(host=None, access_key=None, secret_key=None, extra=None)


def test_an_access_key_of_another_shape_is_taken():
    assert _account(access_key="plain-key", secret_key="other-key").access_key == "plain-key"


@pytest.mark.parametrize("given", [[30, 120.5], ["30", "120.5"], "30, 120.5", "[30, 120.5]"])
def test_retry_intervals_are_the_accounts_own(given):
    assert _account(extra={"retry_intervals": given}).ladder.as_offsets() == (30, 120.5)


@pytest.mark.parametrize("given", [None, ""])
def test_without_retry_intervals_the_documented_ladder_counts(given):
    account = _account(extra={"retry_intervals": given})
    assert (account.ladder, account.settle_timeout) == (RetryLadder(), 36_570)


@pytest.mark.parametrize(("given", "limit"), [(5, 5), ("2.5", 2.5), (None, None), ("", None)])
def test_the_calls_a_second_are_as_many_as_the_connection_says(given, limit):
    assert _account(extra={"max_requests_per_second": given}).max_requests_per_second == limit


def test_the_settle_timeout_follows_from_the_retry_intervals():
    assert _account(extra={"retry_intervals": [100, 200]}).settle_timeout == 300 + BACKLOG


def test_a_sandbox_that_is_sped_up_shortens_ladder_and_settle_timeout():
    fast = {"retry_intervals": [100, 200], "sandbox_speed": 10}
    account = _account(host="http://127.0.0.1:8080", extra=fast)
    assert (account.ladder.as_gaps(), account.settle_timeout) == ((10, 30), 30 + BACKLOG / 10)


def test_an_unknown_api_is_refused_with_the_names_of_those_there_are():
    with pytest.raises(ValueError, match="there is no asynchronous API 'widget'; there is lead_capture"):
        _account().api("widget")
