"""
A slow and broken network: a proxy on loopback that delays, splits, cuts and holds back bytes.

Between a client and a server TCP keeps bytes in order, so what changes places are whole responses of several
connections: some are collected, and passed on in the opposite order. What a client has sent is passed on even if the
client has closed its connection meanwhile, so a server may get a call, or a commit, long after its sender gave up.
At random times the whole network is down: all connections are cut and no new one is taken, or nothing gets through.

    python -m benchmarks.chaos_network --seed 1 --notes notes.json 5433:5432=database 8779:8778=http

passes on what comes to the first port to the second, with the disturbances of that kind. Every second it writes into
the file of notes what it has done so far.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
_CHUNK = 1 << 16
#: So many responses change places.
_COLLECTED = 4


@dataclass(frozen=True)
class Disturbances:
    """
    How a network disturbs what passes: shares are of all pieces that are read from a connection, times in seconds.

    :param delay: How long each piece takes, at least and at most.
    :param cut: Share at which the connection is cut, after a part of the piece was passed on, or all, or nothing.
    :param split: Share that is passed on in several parts, with pauses.
    :param hold: Share that is held back for much longer.
    :param hold_seconds: How long.
    :param reorder: Share of what servers send that is collected, and passed on in the opposite order.
    :param up: How long the network is well, at least and at most; None: always.
    :param down: How long it is down.
    """

    delay: tuple[float, float] = (0.0, 0.0)
    cut: float = 0.0
    split: float = 0.0
    hold: float = 0.0
    hold_seconds: tuple[float, float] = (1.0, 1.0)
    reorder: float = 0.0
    up: tuple[float, float] | None = None
    down: tuple[float, float] = (1.0, 1.0)


#: A call of LeadSquared has a timeout of 30 seconds, so some responses come after it. A statement has none.
KINDS = {
    "http": Disturbances((0.0, 0.06), 0.004, 0.05, 0.002, (5.0, 45.0), 0.05, up=(5.0, 60.0), down=(1.0, 35.0)),
    "database": Disturbances((0.0, 0.01), 0.002, 0.02, 0.001, (1.0, 20.0), 0.01, up=(5.0, 60.0), down=(1.0, 20.0)),
}


class Network:
    """
    What lies between clients and one server.

    :param port: The server's port on loopback.
    :param disturbances: What it does to them.
    :param chance: Draws what happens when.
    """

    def __init__(self, port: int, disturbances: Disturbances, chance: random.Random) -> None:
        self._port, self._disturbances, self._chance = port, disturbances, chance
        self.done: Counter[str] = Counter()
        self._links: set[tuple[StreamWriter, StreamWriter]] = set()
        self._is_refusing = False
        self._passes = asyncio.Event()
        self._passes.set()
        self._collected: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, port: int = 0) -> int:
        """Take connections, and return the port on which."""
        self._server = await asyncio.start_server(self._connect, LOOPBACK, port)
        self._start(self._go_down_now_and_then())
        return int(self._server.sockets[0].getsockname()[1])

    def calm(self) -> None:
        """Disturb nothing from now on."""
        self._disturbances = Disturbances()
        self._is_refusing = False
        self._passes.set()

    def close(self) -> None:
        """Cut all connections and take no more."""
        self._server.close()
        self._cut_all()
        for task in self._tasks:
            task.cancel()

    def _start(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]  # a coroutine
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, client_reader: StreamReader, client: StreamWriter) -> None:
        if self._is_refusing:
            _cut(client)
            return
        try:
            server_reader, server = await asyncio.open_connection(LOOPBACK, self._port)
        except OSError:
            _cut(client)
            return
        self.done["connections"] += 1
        link = (client, server)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pass_on(client_reader, server, link, is_response=False),
                self._pass_on(server_reader, client, link, is_response=True),
            )
        finally:
            self._links.discard(link)
            for end in link:
                end.close()

    async def _pass_on(
        self,
        reader: StreamReader,
        writer: StreamWriter,
        link: tuple[StreamWriter, StreamWriter],
        *,
        is_response: bool,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._disturb(data, writer, link, is_response=is_response)
        with suppress(OSError, RuntimeError):
            if is_response:
                writer.close()
            else:
                writer.write_eof()

    async def _disturb(
        self, data: bytes, writer: StreamWriter, link: tuple[StreamWriter, StreamWriter], *, is_response: bool
    ) -> None:
        how, chance = self._disturbances, self._chance
        await asyncio.sleep(chance.uniform(*how.delay))
        await self._passes.wait()
        what = _drawn(
            chance, {"cut": how.cut, "split": how.split, "hold": how.hold, "reorder": how.reorder if is_response else 0}
        )
        self.done[what] += 1
        if what == "cut":
            await self._cut_in(data, writer, link)
            return
        if what == "hold":
            await asyncio.sleep(chance.uniform(*how.hold_seconds))
        elif what == "reorder":
            await self._collect()
        elif what == "split":
            middle = len(data) // 2
            writer.write(data[:middle])
            await asyncio.sleep(chance.uniform(0.01, 0.1))
            data = data[middle:]
        writer.write(data)
        await writer.drain()

    async def _cut_in(self, data: bytes, writer: StreamWriter, link: tuple[StreamWriter, StreamWriter]) -> None:
        """Cut a connection in the middle of a piece, before or after it; or the client's half of it long before."""
        chance = self._chance
        client, server = link
        if writer is server and chance.random() < 0.5:
            _cut(client)
            await asyncio.sleep(chance.uniform(*self._disturbances.hold_seconds))
            writer.write(data)
        else:
            writer.write(data[: chance.choice((0, len(data) // 2, len(data)))])
        # A moment, so that the server may act on what it got before it learns that its client is gone.
        await asyncio.sleep(chance.choice((0.0, 0.05)))
        self._cut_link(link)

    async def _collect(self) -> None:
        """Wait for up to three other responses, half a second at most; the last one goes first."""
        mine = asyncio.get_running_loop().create_future()
        self._collected.append(mine)
        if len(self._collected) >= _COLLECTED:
            self._release()
        await asyncio.wait([mine], timeout=0.5)
        if not mine.done():
            self._release()
            await mine

    def _release(self) -> None:
        collected, self._collected = self._collected, []
        for place, future in enumerate(reversed(collected)):
            if not future.done():
                asyncio.get_running_loop().call_later(0.01 * place, _resolve, future)

    async def _go_down_now_and_then(self) -> None:
        chance = self._chance
        while (well := self._disturbances.up) is not None:
            await asyncio.sleep(chance.uniform(*well))
            if self._disturbances.up is None:
                return
            self.done["down"] += 1
            if chance.random() < 0.5:
                self._is_refusing = True
                self._cut_all()
            else:
                self._passes.clear()
            await asyncio.sleep(chance.uniform(*self._disturbances.down))
            self._is_refusing = False
            self._passes.set()

    def _cut_all(self) -> None:
        for link in list(self._links):
            self._cut_link(link)

    def _cut_link(self, link: tuple[StreamWriter, StreamWriter]) -> None:
        for end in link:
            _cut(end)


def _drawn(chance: random.Random, shares: dict[str, float]) -> str:
    """Return one of the names, each with its share of all, or ``passed`` for the rest."""
    at = chance.random()
    for name, share in shares.items():
        if at < share:
            return name
        at -= share
    return "passed"


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _cut(end: StreamWriter) -> None:
    """Reset a connection: what is under way is lost."""
    found = end.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.transport.abort()


async def _run(ways: Sequence[str], seed: int, notes: Path) -> None:
    networks = {}
    for number, way in enumerate(ways):
        ports, kind = way.split("=")
        own, target = map(int, ports.split(":"))
        networks[kind] = Network(target, KINDS[kind], random.Random(f"{seed} {number}"))
        await networks[kind].serve(own)
    is_calm = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, is_calm.set)
    while True:
        if is_calm.is_set():
            for network in networks.values():
                network.calm()
        unfinished = notes.with_suffix(".tmp")
        unfinished.write_text(json.dumps({kind: dict(network.done) for kind, network in networks.items()}))
        unfinished.rename(notes)
        await asyncio.sleep(1)


def main() -> None:
    """Pass on until this process is ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("ways", nargs="+", metavar="PORT:PORT=KIND", help=f"from port, to port; {', '.join(KINDS)}")
    parser.add_argument("--seed", type=int, default=1, help="of what happens when (default %(default)s)")
    parser.add_argument("--notes", type=Path, required=True, help="file for what was done")
    options = parser.parse_args()
    asyncio.run(_run(options.ways, options.seed, options.notes))


if __name__ == "__main__":
    main()
