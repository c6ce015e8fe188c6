"""What the chaos runs are made of does what it says: troubles, tries, and an audit that notices each broken promise."""

from __future__ import annotations

import asyncio
import copy
import os
import random
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.chaos import PAGE, drawn_world
from benchmarks.chaos_audit import Audit, Evidence, audited, read_lines
from benchmarks.chaos_disk import FullDisk
from benchmarks.chaos_network import Disturbances, Network
from benchmarks.chaos_nights import MOST_TRIES, RETRY_DELAY, Nights
from benchmarks.chaos_servers import Killings, Server, sqlite
from benchmarks.chaos_table import Result, table
from benchmarks.chaos_tasks import (
    PARTITIONS,
    SENDING,
    Ended,
    Instance,
    World,
    captured_name,
    email_of,
    has_match_key,
    version_of,
)
from local_airflow.processes import Processes

NOTHING: dict[str, int] = {}


def drawn() -> random.Random:
    return random.Random(1)  # noqa: S311 - draws troubles, protects nothing


# --- the network


def through(how: Disturbances, act: Callable[[int, Network, list[bytes]], Awaitable[Any]]) -> Any:
    """Do something through a network, in front of a server that sends back what it gets and keeps it."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1_000):
            received.append(data)
            writer.write(data)
        writer.close()

    async def run() -> Any:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        network = Network(server.sockets[0].getsockname()[1], how, drawn())
        port = await network.serve()
        try:
            return await asyncio.wait_for(act(port, network, received), 20)
        finally:
            network.close()
            server.close()

    return asyncio.run(run())


async def _ask(port: int, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    try:
        return await reader.readexactly(len(text))
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("split", Disturbances((0.0, 0.01), split=1.0)),
        ("reorder", Disturbances((0.0, 0.01), reorder=1.0)),
        ("hold", Disturbances((0.0, 0.01), hold=1.0, hold_seconds=(0.01, 0.02))),
    ],
)
def test_a_slow_network_changes_no_byte(what, how):

    async def act(port: int, network: Network, received: list[bytes]) -> None:
        texts = [f"connection {n} ".encode() * 5 for n in range(8)]
        assert await asyncio.gather(*(_ask(port, text) for text in texts)) == texts
        assert network.done[what] >= len(texts)

    through(how, act)


def test_a_cut_connection_is_reset():
    async def act(port: int, network: Network, received: list[bytes]) -> None:
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await _ask(port, b"a call")

    through(Disturbances(cut=1.0), act)


def test_what_is_held_back_arrives_after_its_sender_gave_up():
    async def act(port: int, network: Network, received: list[bytes]) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"a late call")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
        assert not received
        while not received:
            await asyncio.sleep(0.01)
        assert received == [b"a late call"]

    through(Disturbances(hold=1.0, hold_seconds=(0.2, 0.2)), act)


def test_four_responses_go_on_in_the_opposite_order():
    async def act(port: int, network: Network, received: list[bytes]) -> None:
        ended: list[int] = []

        async def wait(n: int) -> None:
            await network._collect()
            ended.append(n)

        await asyncio.gather(*map(wait, range(4)))
        assert ended == [3, 2, 1, 0]

    through(Disturbances(), act)


def test_a_calm_network_disturbs_nothing():
    async def act(port: int, network: Network, received: list[bytes]) -> None:
        network.calm()
        assert await _ask(port, b"a call") == b"a call"
        assert set(network.done) == {"connections", "passed"}

    through(Disturbances(cut=1.0, up=(0.0, 0.0)), act)


def test_a_network_that_is_down_cuts_or_holds_all_and_comes_back():
    async def act(port: int, network: Network, received: list[bytes]) -> None:
        outcomes: set[bytes] = set()
        while network.done["down"] < 6 or len(outcomes) < 2:
            try:
                outcomes.add(await _ask(port, b"?"))
            except (ConnectionError, asyncio.IncompleteReadError):
                outcomes.add(b"cut")
        assert outcomes == {b"?", b"cut"}

    through(Disturbances(up=(0.01, 0.02), down=(0.01, 0.02)), act)


# --- servers and disks


@contextmanager
def server_with_children(tmp_path):
    processes = Processes(tmp_path / "home")
    try:
        command = ["sh", "-c", "sleep 600 & setsid sleep 600 & wait"]
        yield Server({}, lambda _: [], processes, "server", command, dict(os.environ), lambda: True)
    finally:
        processes.stop()


def test_a_kill_leaves_no_process_of_the_server(tmp_path):
    with server_with_children(tmp_path) as server:
        server.start()
        leader = psutil.Process(server.process.pid)
        while len(leader.children(recursive=True)) < 2:
            time.sleep(0.01)
        family = [leader, *leader.children(recursive=True)]

        assert server.kill()
        assert not [process for process in family if process.is_running()]
        assert not server.is_running()
        assert not server.kill()


def test_a_killed_server_is_started_again_after_a_while(tmp_path):
    with server_with_children(tmp_path) as server:
        server.start()
        begun = time.monotonic()
        killings = Killings(server, drawn(), calm=(5, 5), away=(10, 10))

        seen = []
        for second in (1, 5.1, 15, 15.2, 20, 20.3):
            killings.tick(begun + second)
            seen.append(server.is_running())

    assert seen == [True, False, False, True, True, False]
    assert killings.done() == {"kills": 2}


def test_a_server_that_ended_by_itself_is_started_again(tmp_path):
    with server_with_children(tmp_path) as server:
        server.start()
        begun = time.monotonic()
        killings = Killings(server, drawn(), calm=(50, 50))
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        killings.tick(begun + 1)
        killings.tick(begun + 2.5)

        assert server.is_running()
        killings.end()
    assert killings.done() == {"kills": 0}


def test_a_full_disk_is_full_to_the_last_block_and_then_has_room(tmp_path):
    def free(folder: Path) -> int:
        return 100_000 - sum(file.stat().st_size for file in folder.iterdir())

    begun = time.monotonic()
    disk = FullDisk(tmp_path, drawn(), calm=(5, 5), full=(10, 10), free=free)
    left = []
    for second in (1, 5.1, 12, 15.2):
        disk.tick(begun + second)
        left.append(free(tmp_path))
        if second == 5.1:
            (tmp_path / "filling").write_bytes(b"")  # as if somebody had freed it

    assert [room < 4_096 for room in left] == [False, True, True, False]
    assert disk.done() == {"fillings": 1, "deaths": 0}


# --- tries


def nights(tmp_path) -> Nights:
    return Nights(World(tmp_path, 0, 0), lambda _: None)


def test_a_failed_try_is_followed_by_another_with_the_next_number(tmp_path):
    work, instance = nights(tmp_path), Instance(1, "sync", 0)
    work._end_try(instance, Ended("again", error="LedgerUnavailableError: away"), now=100.0)

    assert (instance.state, instance.try_number, instance.due_at) == ("waiting", 2, 100.0 + RETRY_DELAY)
    assert not work.problems


@pytest.mark.parametrize(("how", "state"), [("done", "success"), ("failed", "failed")])
def test_a_task_that_ended_is_not_run_again(tmp_path, how, state):
    work, instance = nights(tmp_path), Instance(1, "sync", 0)
    work._end_try(instance, Ended(how, {"counts": {}}), now=100.0)

    assert (instance.state, instance.try_number, instance.output) == (state, 1, {"counts": {}})


def test_an_error_that_the_package_does_not_name_is_a_problem(tmp_path):
    work = nights(tmp_path)
    work._end_try(Instance(1, "sync", 0), Ended("again", error="KeyError: 1", is_known=False), now=0.0)

    assert work.problems == ["1-sync-0: KeyError: 1"]


def test_a_task_that_never_ends_is_given_up(tmp_path):
    work, instance = nights(tmp_path), Instance(1, "sync", 0, try_number=MOST_TRIES)
    work._end_try(instance, Ended("again", error="away"), now=0.0)

    assert instance.state == "failed"
    assert work.problems == ["1-sync-0: too many tries; ['away']"]


def test_the_warehouse_changes_from_night_to_night(tmp_path):
    world = drawn_world(tmp_path, 20, 3, drawn())
    world.build()
    for night in world.changed:
        world.begin(night)
    versions = dict(sqlite(world.warehouse).query("SELECT id, version FROM customers"))

    assert [len(world.changed[night]) for night in (1, 2, 3, 4)] == [20, 6, 6, 0]
    assert all(
        version == version_of(max(n for n in (1, 2, 3) if key in world.changed[n])) for key, version in versions.items()
    )


def test_one_captured_lead_in_five_has_no_match_key(tmp_path):
    world = World(tmp_path, 0, 100)
    leads = [lead for partition in range(PARTITIONS) for lead in world.leads(1, partition)]

    assert len({lead["id"] for lead in leads}) == 100
    assert sum("EmailAddress" not in lead for lead in leads) == 20
    assert all(sum("EmailAddress" not in lead for lead in world.leads(1, part)) == 5 for part in range(PARTITIONS))


# --- the audit


def delivered(tmp_path) -> tuple[World, Evidence]:
    """Return nights in which all went well: 8 customers, of which 2 change in the second, and 20 captured leads."""
    world = World(tmp_path, 8, 20, {1: frozenset(range(8)), 2: frozenset((1, 2))})
    posts: list[Any] = []
    requests: dict[str, Any] = {}
    leads: dict[str, Any] = {}
    lines: list[Any] = []

    def deliver(night: int, task: str, partition: int, key: str, values: dict[str, str]) -> None:
        name, request_id = values["FirstName"], f"request {len(posts)}"
        posts.append({"lead": values, "at_real": float(night)})
        lead_id = f"lead of {name}"
        is_created = lead_id not in leads
        leads[lead_id] = {"id": lead_id, "values": values}
        requests[request_id] = {"state": "succeeded", "lead": values, "lead_id": lead_id, "is_created": is_created}
        lines.append((night, task, partition, key, "created" if is_created else "updated", request_id, lead_id))

    for night, changed in world.changed.items():
        for n in sorted(changed):
            values = {"FirstName": f"Customer{n}", "LastName": version_of(night), "EmailAddress": email_of(n)}
            deliver(night, "sync", n % PARTITIONS, str(n), values)
        for partition in range(PARTITIONS):
            for lead in world.leads(night, partition):
                deliver(night, "capture", partition, lead["id"], {k: v for k, v in lead.items() if k != "id"})
    instances = []
    for night, changed in world.changed.items():
        for part in range(PARTITIONS):
            opened = sum(n % PARTITIONS == part for n in changed)
            unchanged = {"unchanged": 2 - opened} if opened < 2 else {}
            for task, counts in (
                ("sync", {"read": 2, "open": opened, **unchanged}),
                ("capture", {"read": 5, "open": 5}),
            ):
                instances.append(Instance(night, task, part, state="success", output={"counts": counts}))
        told = {"read": 8, "created": 8} if night == 1 else {"read": 2, "updated": 2}
        for wait, counts in (("wait_for_sync", told), ("wait_for_capture", {"read": 20, "created": 20})):
            instances.append(Instance(night, wait, -1, state="success", output={"counts": counts}))
    return world, Evidence(posts, requests, list(leads.values()), lines, instances, {1: 0.5, 2: 1.5})


def test_an_audit_finds_nothing_where_all_went_well(tmp_path):
    audit = audited(*delivered(tmp_path))

    assert audit.goals_met, audit.notes
    assert (audit.rows, audit.posts, audit.sent_again, audit.in_doubt) == (50, 50, 0, 0)


def test_a_row_that_had_to_wait_is_delivered_in_a_later_night(tmp_path):
    world, evidence = delivered(tmp_path)
    first = next(n for n, line in enumerate(evidence.lines) if line[:4] == (1, "sync", 1, "5"))
    line = evidence.lines[first]
    _change_line(evidence, first, state="waiting", request_id=None, lead_id=None)
    evidence.lines.append((2, *line[1:]))
    outputs = {(one.night, one.task, one.partition): one.output["counts"] for one in evidence.instances}
    outputs[1, "sync", 1] |= {"open": 1, "waiting": 1}
    outputs[1, "wait_for_sync", -1] |= {"read": 7, "created": 7}
    outputs[2, "sync", 1].update(open=2, unchanged=0)
    outputs[2, "wait_for_sync", -1] |= {"read": 3, "created": 1}
    audit = audited(world, evidence)

    assert audit.goals_met, audit.notes
    assert audit.waiting == 1


def _change_line(evidence: Evidence, place: int, **changes: Any) -> None:
    names = ("night", "task", "partition", "key", "state", "request_id", "lead_id")
    evidence.lines[place] = tuple({**dict(zip(names, evidence.lines[place], strict=True)), **changes}.values())


def lose_a_customer(evidence: Evidence) -> None:
    evidence.leads[:] = [lead for lead in evidence.leads if lead["values"].get("EmailAddress") != email_of(5)]


def lose_a_captured_lead(evidence: Evidence) -> None:
    evidence.leads[:] = [lead for lead in evidence.leads if lead["values"]["FirstName"] != captured_name(1, 7)]


def double_a_customer(evidence: Evidence) -> None:
    evidence.leads.append(copy.deepcopy(evidence.leads[5]))


def send_an_unkeyed_lead_twice(evidence: Evidence) -> None:
    assert not has_match_key(0)
    evidence.posts.append(next(post for post in evidence.posts if post["lead"]["FirstName"] == captured_name(1, 0)))


def let_a_verdict_be_missing(evidence: Evidence) -> None:
    _change_line(evidence, 3, state="open")


def wait_for_ever(evidence: Evidence) -> None:
    place = next(n for n, line in enumerate(evidence.lines) if line[:4] == (2, "sync", 1, "1"))
    _change_line(evidence, place, state="waiting", request_id=None, lead_id=None)


def let_a_line_be_missing(evidence: Evidence) -> None:
    del evidence.lines[3]


def invent_a_verdict(evidence: Evidence) -> None:
    _change_line(evidence, 3, state="updated")


def give_a_verdict_on_another_lead(evidence: Evidence) -> None:
    _change_line(evidence, 3, lead_id="lead of Customer4")


def send_an_older_value_last(evidence: Evidence) -> None:
    evidence.posts.append(next(post for post in evidence.posts if post["lead"].get("EmailAddress") == email_of(1)))


def leave_the_older_value(evidence: Evidence) -> None:
    found = next(lead for lead in evidence.leads if lead["values"].get("EmailAddress") == email_of(1))
    found["values"]["LastName"] = version_of(1)


def send_what_was_confirmed(evidence: Evidence) -> None:
    first = next(post for post in evidence.posts if post["lead"].get("EmailAddress") == email_of(3))
    evidence.posts.append({**first, "at_real": 2.0})


def count_one_too_few(evidence: Evidence) -> None:
    evidence.instances[0].output["counts"]["open"] -= 1


def count_a_verdict_that_is_not_there(evidence: Evidence) -> None:
    sensor = next(one for one in evidence.instances if one.task == "wait_for_sync")
    sensor.output["counts"] |= {"read": 9, "created": 9}


def be_green_in_doubt(evidence: Evidence) -> None:
    place = next(n for n, line in enumerate(evidence.lines) if line[1] == "capture" and line[3] == "1-0")
    _change_line(evidence, place, state="in_doubt", request_id=None, lead_id=None)


def be_red_without_a_cause(evidence: Evidence) -> None:
    evidence.instances[0].state = "failed"


@pytest.mark.parametrize(
    ("break_it", "found"),
    [
        (lose_a_customer, "stale"),
        (lose_a_captured_lead, "lost"),
        (double_a_customer, "extra_leads"),
        (send_an_unkeyed_lead_twice, "sent_again_unkeyed"),
        (let_a_verdict_be_missing, "without_verdict"),
        (let_a_line_be_missing, "without_verdict"),
        (wait_for_ever, "without_verdict"),
        (invent_a_verdict, "contradicted"),
        (give_a_verdict_on_another_lead, "contradicted"),
        (send_an_older_value_last, "older_after_newer"),
        (leave_the_older_value, "stale"),
        (send_what_was_confirmed, "needless"),
        (count_one_too_few, "wrong_counts"),
        (count_a_verdict_that_is_not_there, "wrong_counts"),
        (be_green_in_doubt, "wrong_colours"),
        (be_red_without_a_cause, "wrong_colours"),
    ],
    ids=lambda given: getattr(given, "__name__", None),
)
def test_an_audit_notices_each_broken_promise(tmp_path, break_it, found):
    world, evidence = delivered(tmp_path)
    break_it(evidence)
    audit = audited(world, evidence)

    assert getattr(audit, found) >= 1
    assert not audit.goals_met


def test_the_audit_reads_the_ledger_with_plain_sql(tmp_path):
    database = sqlite(tmp_path / "ledger.db")
    names = "run_id, task_id, map_index, row_key, state, request_id, lead_id"
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection, connection:
        connection.execute(f"CREATE TABLE leadsquared_ledger ({names})")
        connection.execute("INSERT INTO leadsquared_ledger VALUES ('night-2', 'sync', 1, '7', 'created', 'a', 'b')")

    assert read_lines(database.query) == [(2, "sync", 1, "7", "created", "a", "b")]


# --- the table


def test_a_broken_promise_is_seen_in_the_table():
    kept, broken = (
        Result((10, 3), 1, "2026-01-01", Audit(lost=lost), {"kills": 3}, 9, 2, 4, NOTHING, 60.0) for lost in (0, 1)
    )
    text = table({"postgres": kept, "mariadb": broken})

    assert "| promises | kept | **broken** |" in text
    assert "| database killed with all its processes | 3 | 3 |" in text
    assert "disk" not in text


def test_the_table_has_its_place_in_the_page():
    text = PAGE.read_text()

    assert text.count("<!-- chaos: begin -->") == text.count("<!-- chaos: end -->") == 1


def test_every_task_that_sends_has_a_sensor_behind_it():
    assert set(SENDING) == {"sync", "capture"}
