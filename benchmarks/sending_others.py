"""
How others send a lead: what bodies that are ready cost in each way, without checks, doubts or a ledger.

Each function posts all bodies and returns how many of them were accepted.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from io import BytesIO
from typing import Any

#: Posts bodies to a URL, so many at a time; returns how many were accepted.
Sender = Callable[[str, Sequence[bytes], int], int]

BARE = "bare aiohttp"
HEADERS = {"Content-Type": "application/json", "x-api-key": "k" * 40}
THREADS = 32
_WRK_SECONDS = 2


def aiohttp_alone(url: str, bodies: Sequence[bytes], concurrency: int) -> int:
    """Post by the least that an asyncio client can do."""
    import aiohttp

    async def work(session: aiohttp.ClientSession, left: Iterator[bytes]) -> int:
        count = 0
        for body in left:
            async with session.post(url, data=body, headers=HEADERS) as response:
                count += _accepted(await response.read())
        return count

    async def post_all() -> int:
        left = iter(bodies)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
            return sum(await asyncio.gather(*[work(session, left) for _ in range(concurrency)]))

    return asyncio.run(post_all())


def httpx_alone(url: str, bodies: Sequence[bytes], concurrency: int) -> int:
    """Post by an ``httpx.AsyncClient``."""
    import httpx

    async def work(client: httpx.AsyncClient, left: Iterator[bytes]) -> int:
        return sum([_accepted((await client.post(url, content=body, headers=HEADERS)).content) for body in left])

    async def post_all() -> int:
        left = iter(bodies)
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=concurrency)) as client:
            return sum(await asyncio.gather(*[work(client, left) for _ in range(concurrency)]))

    return asyncio.run(post_all())


def pycurl_alone(url: str, bodies: Sequence[bytes], concurrency: int) -> int:
    """Post by libcurl's handle for many."""
    import pycurl

    multi, left, received, count = pycurl.CurlMulti(), iter(bodies), {}, 0

    def start(curl: Any) -> None:
        body = next(left, None)
        if body is None:
            return
        received[curl] = BytesIO()
        curl.setopt(pycurl.POSTFIELDS, body)
        curl.setopt(pycurl.WRITEDATA, received[curl])
        multi.add_handle(curl)

    for _ in range(concurrency):
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in HEADERS.items()])
        start(curl)
    while received:
        multi.perform()
        _, done, failed = multi.info_read()
        if failed:
            raise RuntimeError(f"pycurl: {failed[0][2]}")
        for curl in done:
            multi.remove_handle(curl)
            count += _accepted(received.pop(curl).getvalue())
            start(curl)
        if not done:
            multi.select(1.0)
    return count


def post_loop(url: str, bodies: Sequence[bytes], concurrency: int) -> int:
    """Post one after another by ``requests.post``."""
    import requests

    return sum(_accepted(requests.post(url, data=body, headers=HEADERS, timeout=9).content) for body in bodies)


def session_loop(url: str, bodies: Sequence[bytes], concurrency: int) -> int:
    """Post one after another by a ``requests.Session``: what many write first."""
    import requests

    with requests.Session() as session:
        return sum(_accepted(session.post(url, data=body, headers=HEADERS, timeout=9).content) for body in bodies)


def thread_pool(url: str, bodies: Sequence[bytes], concurrency: int) -> int:
    """Post by threads that have a ``requests.Session`` each."""
    import requests

    own = threading.local()

    def begin() -> None:
        own.session = requests.Session()

    def post(body: bytes) -> int:
        return _accepted(own.session.post(url, data=body, headers=HEADERS, timeout=9).content)

    with ThreadPoolExecutor(THREADS, initializer=begin) as pool:
        return sum(pool.map(post, bodies))


def http_operator(url: str, bodies: Sequence[bytes], concurrency: int) -> int:
    """Post by Airflow's ``HttpOperator``, one mapped task a lead: building and executing it, in this process."""
    from airflow.providers.http.operators.http import HttpOperator

    endpoint = url.split("/", 3)[3]
    count = 0
    for body in bodies:
        task = HttpOperator(task_id="post", endpoint=endpoint, method="POST", data=body.decode(), headers=HEADERS)
        count += _accepted(task.execute({}))
    return count


def wrk(url: str, bodies: Sequence[bytes], concurrency: int) -> int:
    """Post the first body by wrk, for some seconds."""
    headers = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in HEADERS.items())
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "POST"\nwrk.body = {json.dumps(bodies[0].decode())}\n{headers}')
        script.flush()
        command = ["wrk", "-t1", f"-c{concurrency}", f"-d{_WRK_SECONDS}s", "-s", script.name, url]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) requests in", printed)
    if found is None or "Non-2xx" in printed:
        raise RuntimeError(f"wrk: {printed}")
    return int(found[1])


def _accepted(response: bytes | str) -> int:
    if not json.loads(response)["RequestID"]:
        raise RuntimeError("a lead was not accepted")
    return 1


#: All senders by name, with the calls that each makes at a time (None: as many as it is asked to).
_ALL: dict[str, tuple[Sender, int | None]] = {
    BARE: (aiohttp_alone, None),
    "wrk": (wrk, None),
    "pycurl": (pycurl_alone, None),
    "httpx": (httpx_alone, None),
    "requests.Session": (session_loop, 1),
    f"{THREADS} threads": (thread_pool, THREADS),
    "requests.post": (post_loop, 1),
    "HttpOperator": (http_operator, 1),
}


def present() -> tuple[dict[str, tuple[Sender, int | None]], list[str]]:
    """Return the senders that are installed, by name, and the names of those that are not."""
    needs = {"httpx": "httpx", "pycurl": "pycurl", "HttpOperator": "airflow.providers.http"}
    missing = [name for name, module in needs.items() if not _is_there(module)]
    missing += [] if shutil.which("wrk") else ["wrk"]
    return {name: sender for name, sender in _ALL.items() if name not in missing}, missing


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
