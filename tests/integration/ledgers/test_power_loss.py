"""What a ledger in SQLite has committed outlives a power loss, whatever of the rest has reached the disk."""

from __future__ import annotations

import _ctypes
import random
import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from airflow_provider_leadsquared.delivery.entry import Entry
from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers import drivers
from airflow_provider_leadsquared.ledgers.database import Database
from airflow_provider_leadsquared.ledgers.runs import RunOfTask
from airflow_provider_leadsquared.ledgers.sql import SqlLedger
from benchmarks.power_loss.audit import content_of
from benchmarks.power_loss.disk import Disk
from benchmarks.power_loss.recording import NotRecordableError, Recording, check

WRITES = 3


def losses(folder: Path, journal: str) -> int:
    """Return how many states of the disk, right after a write has returned, lack what was written, or are damaged."""
    recorded, after = folder / "recorded", folder / "after"
    recorded.mkdir()
    after.mkdir()
    with closing(sqlite3.connect(recorded / "ledger.db")) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
    recording = Recording(recorded)
    disk = Disk({file.name: file.read_bytes() for file in recorded.iterdir()})
    database = Database(partial(sqlite3.connect, recorded / "ledger.db"), table="leadsquared_ledger")
    ledger = SqlLedger(database, run=RunOfTask("dag", "run", "task"), clock=time.time)
    with recording.running():
        for row in range(WRITES):
            ledger.write([Entry(row, State.IN_DOUBT, f"k{row}", "f" * 40, attempts=1)])
            recording.note("written")
        database.close()
    written = lost = 0
    for event in recording.events:
        disk.happen(event)
        if event.kind == "written":
            written += 1
            for number, files in enumerate(disk.after_power_loss(random.Random(1), 5)):  # noqa: S311 - draws cases, guards nothing
                path = after / f"{written}-{number}"
                path.mkdir()
                for name, content in files.items():
                    (path / name).write_bytes(content)
                lost += len(content_of(path / "ledger.db").lines) < written
    assert written == WRITES
    return lost


@pytest.fixture
def recordable(tmp_path: Path) -> bool:
    """Tell whether this Python's SQLite can be recorded: where its library is hidden, it cannot."""
    try:
        check(tmp_path)
    except NotRecordableError:
        return False
    return True


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_what_is_written_outlives_a_power_loss(journal, tmp_path, recordable):
    assert not recordable or losses(tmp_path, journal) == 0


@pytest.mark.parametrize(("journal", "synchronous"), [("delete", "FULL"), ("delete", "OFF"), ("wal", "NORMAL")])
def test_a_weaker_setting_of_sqlite_is_noticed(journal, synchronous, tmp_path, recordable, monkeypatch):
    prepare = drivers._PREPARE["sqlite+pysqlite"]

    def weakened(connection: sqlite3.Connection) -> None:
        prepare(connection)
        connection.execute(f"PRAGMA synchronous = {synchronous}")

    monkeypatch.setitem(drivers._PREPARE, "sqlite+pysqlite", weakened)
    assert not recordable or losses(tmp_path, journal) > 0


def test_a_python_whose_sqlite_is_hidden_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("_sqlite3.__file__", _ctypes.__file__)  # a library without SQLite
    with pytest.raises(NotRecordableError, match=r"cannot be recorded \(its library is hidden\); use one whose"):
        check(tmp_path)
