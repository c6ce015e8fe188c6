"""Servers that are no LeadSquared, or mean harm: every call ends in time, in one of our errors, and shows no key."""

from __future__ import annotations

import asyncio
import gzip
import io
import ipaddress
import json
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from types import FrameType
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_provider_leadsquared.api.errors import (
    ApiError,
    NoConnectionError,
    NoResponseError,
    UnexpectedResponseError,
)
from airflow_provider_leadsquared.api.leads import encode_lead
from airflow_provider_leadsquared.api.responses import RequestStatus
from airflow_provider_leadsquared.hooks.leadsquared import LeadSquaredHook

ACCESS_KEY, SECRET_KEY, API_KEY = "u$r" + "ab" * 16, "cd" * 20, "Ef" * 20
TIMEOUT = 0.4
#: Twice the time-out is a call's whole time; what goes on for so many seconds never ends, on a busy machine too.
HANG = 60
LARGEST = 300_000
TLS_HELLO = b"\x16"
#: Nothing that LeadSquared could match it by, so that many-at-once sends it once as a single call does.
LEAD = encode_lead({"FirstName": "Asha"})
ACCEPTED = json.dumps({"Status": "accepted", "RequestID": "9d0f4b52-0000-4000-8000-00000000000c"}).encode()

Behaviour = Callable[[socket.socket], None]


class Server:
    """Takes connections one after another in a thread, reads a request from each, and behaves."""

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._behave, self._tls = behave, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            if received := _read_request(connection):
                self.requests.append(received)
                self._behave(connection)
        with suppress(OSError):
            connection.close()

    def stop(self) -> None:
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def _read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received and received[:1] != TLS_HELLO:
        part = connection.recv(65_536)
        if not part:
            return received
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def responds(head: str, body: bytes = b"") -> Behaviour:
    """Return a behaviour that sends one response as it is given, and closes."""
    return lambda connection: connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)


def for_ever(head: bytes, part: bytes, pause: float = 0.0) -> Behaviour:
    """Return a behaviour that goes on until the other side has had enough."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(part)
            sleep(pause)

    return behave


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Return a function that starts a server for the test."""
    servers: list[Server] = []

    def start(behave: Behaviour | None = None, tls: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(behave or responds("HTTP/1.1 200 OK", ACCEPTED), tls))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No proxy of this machine's, and responses that are too long sooner than usual."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr("airflow_provider_leadsquared.hooks._transport.LARGEST_RESPONSE", LARGEST)


@pytest.fixture
def connect_to(monkeypatch) -> Callable[..., None]:
    """Return a function that points Airflow's default connection at a server."""

    def connect(server: Server, scheme: str = "http", **extra: object) -> None:
        host = f"{scheme}://127.0.0.1:{server.port}"
        connection = {"conn_type": "leadsquared", "host": host, "login": ACCESS_KEY, "password": SECRET_KEY}
        extra = {"async_api_key": API_KEY, "sync_host": host, **extra}
        monkeypatch.setenv("AIRFLOW_CONN_LEADSQUARED_DEFAULT", json.dumps(connection | {"extra": extra}))

    return connect


def single_call() -> object:
    return LeadSquaredHook(timeout=TIMEOUT).submit(LEAD)


def many_at_once() -> object:
    async def one():
        yield 0, LEAD

    outcomes = []

    async def run():
        async for _, outcome in LeadSquaredHook(timeout=TIMEOUT).submit_many(one(), give_up_after=0.0):
            outcomes.append(outcome)

    with suppress(ApiError):  # what ends the run is the lead's own error again
        asyncio.run(run())
    if isinstance(outcomes[0], ApiError):
        raise outcomes[0]
    return outcomes[0]


@pytest.fixture(params=[single_call, many_at_once], ids=["single", "many"])
def submit(request) -> Callable[[], object]:
    """Return a function that submits one lead over one of the two transports."""
    return request.param


@contextmanager
def no_hang() -> Iterator[None]:
    """Turn a call that does not end into a failure."""

    def fail(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"the call has not ended after {HANG} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(HANG)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def failure_of(submit: Callable[[], object], kind: type[ApiError] = ApiError) -> ApiError:
    """Submit, and return the error that it ended with, after a while and without a key."""
    with no_hang(), pytest.raises(ApiError) as raised:
        submit()
    assert isinstance(raised.value, kind), repr(raised.value)
    shown = str(raised.getrepr(style="native")) + repr(raised.value)
    for key in (ACCESS_KEY, SECRET_KEY, API_KEY):
        assert key not in shown
        assert quote(key, safe="") not in shown
    return raised.value


def test_a_plain_server_is_understood_by_both_transports(serve, connect_to, submit):
    server = serve()
    connect_to(server)
    assert submit().request_id == "9d0f4b52-0000-4000-8000-00000000000c"
    assert len(server.requests) == 1


# ---- redirects ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_other_host_gets_nothing(serve, connect_to, submit, code):
    other = serve()
    location = f"http://127.0.0.1:{other.port}/lead/capture"
    connect_to(serve(responds(f"HTTP/1.1 {code} Moved\nLocation: {location}\nContent-Length: 0")))
    error = failure_of(submit, UnexpectedResponseError)
    assert "a redirect, not followed with keys; check the connection's hosts" in str(error)
    assert other.requests == []


def test_a_status_is_not_asked_for_at_the_end_of_a_redirect_either(serve, connect_to):
    other = serve()
    moved = f"HTTP/1.1 302 Found\nLocation: http://127.0.0.1:{other.port}/\nContent-Length: 0"
    connect_to(serve(responds(moved)))
    with pytest.raises(UnexpectedResponseError, match="not followed"):
        LeadSquaredHook(timeout=TIMEOUT).get_request_status("9d0f4b52-0000-4000-8000-00000000000c")
    assert other.requests == []


def test_the_body_of_a_redirect_is_cut_off_like_any_other(serve, connect_to, submit):
    head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"
    connect_to(serve(for_ever(head, b"x" * 100_000)))
    failure_of(submit, UnexpectedResponseError)


@pytest.mark.parametrize("location", ["http://[", "//", "http://\x7f", "file:///etc/passwd", "x" * 5_000])
def test_a_redirect_to_nonsense_is_a_redirect_like_any_other(serve, connect_to, submit, location):
    connect_to(serve(responds(f"HTTP/1.1 302 Found\nLocation: {location}\nContent-Length: 0")))
    failure_of(submit)


# ---- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """Return a certificate for 127.0.0.1, and its key, that nobody else vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "asyncapi.leadsquared.com")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + signed.public_bytes(pem))
    return path


@pytest.fixture
def self_signed(certificate) -> ssl.SSLContext:
    """Return the TLS side of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize(
    "environment",
    [{}, {"PYTHONHTTPSVERIFY": "0"}, {"CURL_CA_BUNDLE": ""}, {"REQUESTS_CA_BUNDLE": ""}],
    ids=["as it is", "PYTHONHTTPSVERIFY", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"],
)
def test_a_self_signed_certificate_is_refused_whatever_the_environment_says(
    serve, connect_to, submit, self_signed, monkeypatch, environment
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    server = serve(tls=self_signed)
    connect_to(server, "https")
    failure_of(submit, NoConnectionError)
    assert server.requests == []


@pytest.mark.parametrize(
    "extra", [{"verify": False}, {"ssl": False}, {"verify_ssl": False}, {"check_hostname": "false"}, {"insecure": True}]
)
def test_no_extra_of_the_connection_switches_verification_off(serve, connect_to, submit, self_signed, extra):
    server = serve(tls=self_signed)
    connect_to(server, "https", **extra)
    failure_of(submit, NoConnectionError)
    assert server.requests == []


def test_nothing_of_the_hook_stands_for_switching_verification_off(serve, connect_to):
    connect_to(serve())
    with LeadSquaredHook().get_conn() as session:
        assert session.verify is True


def test_plain_text_on_a_tls_port_is_no_connection_and_nothing_sent(serve, connect_to, submit):
    connect_to(serve(responds("HTTP/1.1 200 OK", ACCEPTED)), "https")
    failure_of(submit, NoConnectionError)


def test_a_server_that_never_ends_the_tls_handshake_is_left(serve, connect_to, submit):
    server = serve(for_ever(b"", b"", pause=0.1))
    connect_to(server, "https")
    failure_of(submit, NoConnectionError)


def test_tls_that_breaks_after_the_lead_was_sent_leaves_it_in_doubt(
    serve, connect_to, self_signed, certificate, monkeypatch
):
    def break_off(connection: socket.socket) -> None:
        socket.socket.sendall(connection, b"no TLS record at all")

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    server = serve(break_off, tls=self_signed)
    connect_to(server, "https")
    assert failure_of(single_call, NoResponseError).in_doubt
    assert len(server.requests) == 1


# ---- without end -------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (OK + b"\r\n", b" " * 100_000),
        (OK + b"Content-Length: 99999999999\r\n\r\n", b" " * 100_000),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 0x10000 + b"\r\n"),
    ],
    ids=["until close", "stated length", "chunked"],
)
def test_a_body_without_end_is_cut_off_by_size(serve, connect_to, submit, head, part):
    connect_to(serve(for_ever(head, part)))
    assert "cut off" in str(failure_of(submit, UnexpectedResponseError))


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"", b"x" * 10_000),
        (b"HTTP/1.1 200 OK\r\n", b"X-Filler: " + b"x" * 1_000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 10_000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1" * 10_000),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n", b"X-Trailer: y\r\n"),
    ],
    ids=["status line", "headers", "short headers", "header", "continues", "chunk length", "trailers"],
)
def test_headers_without_end_are_left(serve, connect_to, submit, head, part):
    connect_to(serve(for_ever(head, part)))
    failure_of(submit)


def test_a_body_that_turns_out_to_be_no_http_ends_the_call(serve, connect_to, submit):
    def behave(connection):
        connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        sleep(TIMEOUT / 4)  # the head has been read by then
        connection.sendall(b"1" * 10_000)

    connect_to(serve(behave))
    failure_of(submit)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        OK + b"Content-Length: 1000\r\n\r\n",
        OK + b"\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["status line", "header", "body of a stated length", "body until close", "chunk length"],
)
def test_a_response_that_drips_in_ends_after_twice_the_timeout(serve, connect_to, submit, head):
    connect_to(serve(for_ever(head, b"1", pause=TIMEOUT / 4)))
    failure_of(submit, NoResponseError)


def test_a_whole_response_that_goes_on_dripping_is_not_taken_for_a_receipt(serve, connect_to, submit):
    connect_to(serve(for_ever(OK + b"\r\n" + ACCEPTED, b" ", pause=TIMEOUT / 4)))
    failure_of(submit, NoResponseError)


def test_silence_ends_after_the_timeout(serve, connect_to, submit):
    connect_to(serve(for_ever(b"", b"", pause=0.1)))
    failure_of(submit, NoResponseError)


# ---- compression -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """Return a kilobyte for every megabyte that it unpacks to: 200 MB."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        for _ in range(200):
            file.write(b" " * 1_000_000)
    return packed.getvalue()


@pytest.mark.parametrize("length", [True, False])
def test_a_compressed_bomb_is_cut_off_by_its_unpacked_size(serve, connect_to, submit, bomb, length):
    stated = f"\nContent-Length: {len(bomb)}" if length else ""
    connect_to(serve(responds(f"HTTP/1.1 200 OK\nContent-Encoding: gzip{stated}", bomb)))
    assert "cut off" in str(failure_of(submit, UnexpectedResponseError))


def test_a_bomb_inside_a_bomb_is_cut_off(serve, connect_to, submit, bomb):
    twice = gzip.compress(bomb)
    head = f"HTTP/1.1 200 OK\nContent-Encoding: gzip, gzip\nContent-Length: {len(twice)}"
    connect_to(serve(responds(head, twice)))
    failure_of(submit)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, deflate", "br", "zstd", "rot13"])
def test_a_body_that_is_not_packed_as_it_says_is_no_receipt(serve, connect_to, submit, encoding):
    body = b"\x1f\x8b\x00 this is nothing"
    connect_to(serve(responds(f"HTTP/1.1 200 OK\nContent-Encoding: {encoding}\nContent-Length: {len(body)}", body)))
    failure_of(submit)


# ---- broken HTTP -------------------------------------------------------------------------------------------------


def test_a_body_shorter_than_stated_is_no_whole_response(serve, connect_to, submit):
    connect_to(serve(responds(f"HTTP/1.1 200 OK\nContent-Length: {len(ACCEPTED) + 10}", ACCEPTED)))
    failure_of(submit, NoResponseError)


def test_a_body_longer_than_stated_is_no_receipt(serve, connect_to, submit):
    connect_to(serve(responds(f"HTTP/1.1 200 OK\nContent-Length: {len(ACCEPTED) - 10}", ACCEPTED)))
    assert failure_of(submit).in_doubt


@pytest.mark.parametrize("length", ["-1", "many", "1, 2", "0x10"])
def test_a_length_that_is_none_never_hangs_or_crashes(serve, connect_to, submit, length):
    connect_to(serve(responds(f"HTTP/1.1 200 OK\nContent-Length: {length}", b"no receipt")))
    failure_of(submit)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\xff\xfe" * 100,
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail.example.org ESMTP\r\n",
        b"HTTP/9.9 two hundred\r\n\r\n",
        b"HTTP/1.1 999999 Huge\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x50",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnope\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
    ],
    ids=lambda sent: sent[:16].decode("latin-1").strip(),
)
def test_bytes_that_are_no_http_or_no_response_end_in_one_of_our_errors(serve, connect_to, submit, sent):
    connect_to(serve(lambda connection: connection.sendall(sent)))
    failure_of(submit)


@pytest.mark.parametrize("sent", [b"", b"HTTP", b"HTTP/1.1 200 OK\r\nContent-Le", OK + b"Content-Length: 50\r\n\r\n{"])
def test_an_early_close_leaves_the_lead_in_doubt(serve, connect_to, submit, sent):
    connect_to(serve(lambda connection: connection.sendall(sent)))
    assert failure_of(submit).in_doubt


# ---- proxies -----------------------------------------------------------------------------------------------------

PROXY_WANTS_KEYS = 'HTTP/1.1 407 Proxy Authentication Required\nProxy-Authenticate: Basic realm="x"\nContent-Length: 0'


def test_a_proxy_that_wants_keys_first_is_no_connection_and_sees_no_key(serve, connect_to, submit, monkeypatch):
    proxy = serve(responds(PROXY_WANTS_KEYS))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    connect_to(serve(), "https")
    assert "check host, network and proxy" in str(failure_of(submit, NoConnectionError))
    assert all(request.startswith(b"CONNECT ") for request in proxy.requests)
    assert not any(SECRET_KEY.encode() in request or API_KEY.encode() in request for request in proxy.requests)


@pytest.mark.parametrize("address", ["http://[::1", "http://127.0.0.1:port", "http://127.0.0.1:99999", "nowhere"])
def test_a_proxy_address_that_cannot_be_parsed_means_that_nothing_was_sent(
    serve, connect_to, submit, monkeypatch, address
):
    server = serve()
    monkeypatch.setenv("HTTP_PROXY", address)
    connect_to(server, "http")
    assert "check host, network and proxy" in str(failure_of(submit, NoConnectionError))
    assert server.requests == []


@pytest.mark.parametrize(
    ("address", "authorization"), [("http://worker:pass@127.0.0.1", b"basic d29ya2vyonbhc3m="), ("127.0.0.1", None)]
)
def test_the_environments_proxy_is_used_also_with_a_password_or_without_a_scheme(
    serve, connect_to, submit, monkeypatch, address, authorization
):
    server, proxy = serve(), serve()
    monkeypatch.setenv("HTTP_PROXY", f"{address}:{proxy.port}")
    connect_to(server)
    assert submit()
    assert (server.requests, len(proxy.requests)) == ([], 1)
    assert authorization is None or b"proxy-authorization: " + authorization in proxy.requests[0].lower()


@pytest.mark.parametrize("hosts", ["127.0.0.1", "localhost,127.0.0.0/8", "*"])
def test_a_host_that_the_environment_exempts_is_called_without_proxy(serve, connect_to, submit, monkeypatch, hosts):
    server, proxy = serve(), serve()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", hosts)
    connect_to(server)
    assert submit()
    assert (len(server.requests), proxy.requests) == (1, [])


def test_many_calls_keep_the_proxy_that_the_first_one_had(serve, connect_to, monkeypatch):
    server, proxy = serve(), serve()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    connect_to(server)

    async def leads():
        for number in range(3):
            yield number, LEAD
            monkeypatch.delenv("HTTP_PROXY", raising=False)

    async def run():
        return [outcome async for outcome in LeadSquaredHook(timeout=TIMEOUT).submit_many(leads(), concurrency=1)]

    asyncio.run(run())
    assert (server.requests, len(proxy.requests)) == ([], 3)


def test_a_proxy_that_changes_between_two_runs_is_used_by_the_second(serve, connect_to, submit, monkeypatch):
    server, first, second = serve(), serve(), serve()
    connect_to(server)
    for proxy in (first, second):
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert submit()
    assert (server.requests, len(first.requests), len(second.requests)) == ([], 1, 1)


def test_a_proxy_that_drips_is_left_with_nothing_sent(serve, connect_to, submit, monkeypatch):
    proxy = serve(for_ever(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x", pause=TIMEOUT / 4))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    connect_to(serve(), "https")
    failure_of(submit)
    assert all(request.startswith(b"CONNECT ") for request in proxy.requests)


def test_a_407_in_place_of_a_response_names_the_proxy(serve, connect_to, submit):
    connect_to(serve(responds(PROXY_WANTS_KEYS)))
    assert "any proxy" in str(failure_of(submit, UnexpectedResponseError))


# ---- polling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behave",
    [
        for_ever(OK + b"\r\n", b" " * 100_000),
        for_ever(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x", pause=TIMEOUT / 4),
        responds("HTTP/1.1 307 Moved\nLocation: http://127.0.0.1:1/\nContent-Length: 0"),
        lambda connection: connection.sendall(b"\x00\x01"),
    ],
    ids=["body without end", "drip", "redirect", "no HTTP"],
)
def test_polling_many_requests_ends_alike(serve, connect_to, no_waits, behave):
    connect_to(serve(behave))

    async def poll() -> list[RequestStatus | ApiError]:
        ids = [("9d0f4b52-0000-4000-8000-00000000000c", "lead_capture")]
        hook = LeadSquaredHook(timeout=TIMEOUT)
        return [outcome async for _, outcome in hook.get_request_statuses(ids, give_up_after=1)]

    def raise_outcome() -> None:
        outcome = asyncio.run(poll())[0]
        assert isinstance(outcome, ApiError)
        raise outcome

    with no_hang(), pytest.raises(ApiError):
        raise_outcome()
