"""
Record all that SQLite does to the files of a database: a layer of functions around those of its own file access.

SQLite reaches files through a table of functions (its VFS). Here that table is replaced, in the very library that
Python's ``sqlite3`` uses, by a copy in which opening, writing, cutting, syncing and deleting are noted before or after
SQLite's own functions have done them. Nothing else changes: locks, shared memory and reading are SQLite's own. That a
directory is synced shows in the system calls of SQLite's Unix VFS, of which one opens a directory for that alone.

It needs a Python whose ``sqlite3`` module finds its library by name (Debian's and pyenv's do). A Python with SQLite
built in may hide it, and Windows has no such system calls: :class:`NotRecordableError`.
"""

from __future__ import annotations

import ctypes
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any

from benchmarks.power_loss.disk import Event

_OK, _ERROR = 0, 1
#: Flags of SQLite's for opening a database, its journal and its write-ahead log.
_RECORDED = 0x0100 | 0x0800 | 0x80000

_CLOSE = CFUNCTYPE(c_int, c_void_p)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)
# Paths as addresses: SQLite keeps them, and a text of Python's would be a copy that is gone after the call.
_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_DELETE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_SET_SYSTEM_CALL = CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)
_GET_SYSTEM_CALL = CFUNCTYPE(c_void_p, c_void_p, c_char_p)
_OPEN_DIRECTORY = CFUNCTYPE(c_int, c_void_p, POINTER(c_int))

#: All that SQLite has pointers to. It is never collected: a connection may be open until it is collected itself.
_KEPT: list[Any] = []


class _Methods(ctypes.Structure):
    """``sqlite3_io_methods``: what can be done with an open file."""

    _fields_ = (
        ("iVersion", c_int),
        ("xClose", c_void_p),
        ("xRead", c_void_p),
        ("xWrite", c_void_p),
        ("xTruncate", c_void_p),
        ("xSync", c_void_p),
        ("others", c_void_p * 13),
    )


class _File(ctypes.Structure):
    """``sqlite3_file``: an open file begins with what can be done with it."""

    _fields_ = (("pMethods", POINTER(_Methods)),)


class _Vfs(ctypes.Structure):
    """``sqlite3_vfs``, version 3: access to files."""

    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", c_void_p),
        ("xDelete", c_void_p),
        ("others", c_void_p * 11),
        ("xSetSystemCall", c_void_p),
        ("xGetSystemCall", c_void_p),
        ("xNextSystemCall", c_void_p),
    )


class NotRecordableError(RuntimeError):
    """What this Python's SQLite does to its files cannot be recorded."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"this Python's SQLite cannot be recorded ({reason}); use one whose sqlite3 module is linked with a "
            "library of its own, on Linux or macOS, such as Debian's or pyenv's"
        )


class Recording:
    """
    Records what happens to the database files in a folder, and what else one wants to know the moment of.

    :param folder: The folder. Files elsewhere are not recorded.
    """

    def __init__(self, folder: Path) -> None:
        self.events: list[Event] = []
        #: Held while something is done and noted: in the recording, all things come one after another.
        self.lock = threading.RLock()
        self._folder = str(folder.resolve())
        self._library = _library()
        self._names: dict[int, str] = {}
        self._methods: dict[int, Any] = {}

    def note(self, kind: str, name: str = "", at: int = 0) -> int:
        """Note an event that is no file's; return how many have been before."""
        with self.lock:
            self.events.append(Event(kind, name, at))
            return len(self.events) - 1

    @contextmanager
    def running(self) -> Iterator[Recording]:
        """Record until the end of the block. Connections must be opened in it."""
        original = ctypes.cast(self._library.sqlite3_vfs_find(None), POINTER(_Vfs))
        vfs = original.contents
        if vfs.iVersion < 3 or not vfs.xSetSystemCall:
            raise NotRecordableError("its file access names no system calls")
        ours = _Vfs.from_buffer_copy(vfs)
        ours.zName, ours.pNext = b"recording", None
        ours.xOpen = self._pointer(_OPEN(self._opening(original)))
        ours.xDelete = self._pointer(_DELETE(self._deleting(original)))
        _KEPT.extend([ours, original])
        with self._directories(original):
            self._library.sqlite3_vfs_register(ctypes.byref(ours), 1)
            try:
                yield self
            finally:
                self._library.sqlite3_vfs_unregister(ctypes.byref(ours))
                self._library.sqlite3_vfs_register(original, 1)

    @contextmanager
    def _directories(self, original: Any) -> Iterator[None]:
        """Note when a directory is opened, which SQLite does to sync it."""
        get = _GET_SYSTEM_CALL(original.contents.xGetSystemCall)
        set_ = _SET_SYSTEM_CALL(original.contents.xSetSystemCall)
        before = get(original, b"openDirectory")
        if not before:
            raise NotRecordableError("it syncs no directories")
        real = _OPEN_DIRECTORY(before)

        def open_directory(path: int, descriptor: Any) -> int:
            with self.lock:
                if self._name(path) is not None:
                    self.note("sync directory")
                return int(real(path, descriptor))

        set_(original, b"openDirectory", self._pointer(_OPEN_DIRECTORY(open_directory)))
        try:
            yield
        finally:
            set_(original, b"openDirectory", before)

    def _opening(self, original: Any) -> Any:
        real = _OPEN(original.contents.xOpen)

        def open_file(_: int, path: int | None, file: int, flags: int, flags_out: Any) -> int:
            with self.lock:
                name = self._name(path) if flags & _RECORDED else None
                was_there = name is None or Path(self._folder, name).exists()
                code = int(real(original, path, file, flags, flags_out))
                if name is not None and code == _OK:
                    if not was_there:
                        self.note("create", name)
                    self._names[file] = name
                    opened = ctypes.cast(file, POINTER(_File)).contents
                    opened.pMethods = self._recorded(opened.pMethods)
                return code

        return open_file

    def _deleting(self, original: Any) -> Any:
        real = _DELETE(original.contents.xDelete)

        def delete(_: int, path: int, sync: int) -> int:
            with self.lock:
                name = self._name(path)
                if name is not None and Path(self._folder, name).exists():
                    self.note("delete", name)  # before the sync of the directory, which is part of the call
                return int(real(original, path, sync))

        return delete

    def _recorded(self, real: Any) -> Any:
        """Return what can be done with a file, with notes of it."""
        address = ctypes.cast(real, c_void_p).value or 0
        if address not in self._methods:
            found = real.contents
            ours = _Methods.from_buffer_copy(found)
            close, write = _CLOSE(found.xClose), _WRITE(found.xWrite)
            truncate, sync = _TRUNCATE(found.xTruncate), _SYNC(found.xSync)

            def on_close(file: int) -> int:
                with self.lock:
                    self._names.pop(file, None)
                return int(close(file))

            def on_write(file: int, data: int, amount: int, at: int) -> int:
                event = Event("write", self._names[file], at, ctypes.string_at(data, amount))
                return self._noted(event, write(file, data, amount, at))

            def on_truncate(file: int, size: int) -> int:
                return self._noted(Event("truncate", self._names[file], size), truncate(file, size))

            def on_sync(file: int, flags: int) -> int:
                with self.lock:
                    return self._noted(Event("sync", self._names[file]), sync(file, flags))

            ours.xClose, ours.xWrite = self._pointer(_CLOSE(on_close)), self._pointer(_WRITE(on_write))
            ours.xTruncate, ours.xSync = self._pointer(_TRUNCATE(on_truncate)), self._pointer(_SYNC(on_sync))
            self._methods[address] = ours
            _KEPT.append(ours)
        return ctypes.pointer(self._methods[address])

    def _noted(self, event: Event, code: int) -> int:
        if code == _OK:
            with self.lock:
                self.events.append(event)
        return code

    def _name(self, path: int | None) -> str | None:
        """Return the name of a file in the folder, given the address of its path; None of any other."""
        if path is None:
            return None
        found = Path(ctypes.string_at(path).decode())
        return found.name if str(found.parent) == self._folder else None

    def _pointer(self, function: Any) -> int | None:
        _KEPT.append(function)
        return ctypes.cast(function, c_void_p).value


def _library() -> Any:
    """Return the SQLite library that ``sqlite3`` uses."""
    import _sqlite3

    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    try:
        library.sqlite3_vfs_find.restype = c_void_p
        library.sqlite3_vfs_find.argtypes = [c_char_p]
        library.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
        library.sqlite3_vfs_unregister.argtypes = [c_void_p]
        library.sqlite3_libversion.restype = c_char_p
    except AttributeError:
        raise NotRecordableError("its library is hidden") from None
    if library.sqlite3_libversion().decode() != sqlite3.sqlite_version:
        raise NotRecordableError("the library that is found is another one")
    return library


def check(folder: Path) -> None:
    """
    Write one row into a database in the folder, and see that it was recorded.

    :raises NotRecordableError: It was not.
    """
    recording = Recording(folder)
    with recording.running(), closing(sqlite3.connect(folder / "check.db")) as connection, connection:
        connection.execute("CREATE TABLE probe (value)")
    if not {"create", "write", "sync", "sync directory", "delete"} <= {event.kind for event in recording.events}:
        raise NotRecordableError("not all that it does is seen")
