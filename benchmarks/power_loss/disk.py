"""
A disk that loses its power: which contents a few files may have after it, given all that was done to them.

The rules are those of POSIX, with no more than a disk promises. What was synced is there. Of what was not, each sector
of 512 bytes holds what was synced last, or what any later write made of it, whatever became of the other sectors; the
length of a file and each name in the directory (a file that was created or deleted) likewise. Space that a file has
got without its data holds zeros, or anything.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

SECTOR = 512
#: Up to so many possible contents are all tried, of more a sample.
ALL_UP_TO = 64

#: Names and contents of the files in the directory.
Files = dict[str, bytes]


@dataclass(frozen=True)
class Event:
    """
    One thing that was done.

    :param kind: ``create``, ``write``, ``truncate``, ``sync``, ``delete``, ``sync directory``, or any other word, which
        says nothing about the files.
    :param name: The file's name; of other kinds, what the event is about.
    :param at: Where the data begin (``write``), or the new length (``truncate``).
    :param data: What is written.
    """

    kind: str
    name: str = ""
    at: int = 0
    data: bytes = b""

    @property
    def is_sync(self) -> bool:
        """Whether something is durable from here on."""
        return self.kind in ("sync", "sync directory")


@dataclass
class _File:
    """A file, whatever its name: what is synced, and what was done since."""

    synced: bytes = b""
    since: list[tuple[int, Event]] = field(default_factory=list)

    def after(self, is_done: Callable[[int], bool]) -> bytes:
        """Return the content if some of what was done since is there, each thing as a whole."""
        content = bytearray(self.synced)
        for number, event in self.since:
            if is_done(number):
                _apply(content, event)
        return bytes(content)

    def torn(self, choose: Callable[[int], int], fill: Callable[[int], bytes]) -> bytes:
        """
        Return the content if each sector, and the length, has an age of its own.

        :param choose: Chooses one of so many versions.
        :param fill: Returns so many bytes for space that never got its data.
        """
        versions: dict[int, list[bytes]] = {}
        lengths = [len(self.synced)]
        content = bytearray(self.synced)
        for _, event in self.since:
            before = len(content)
            _apply(content, event)
            if len(content) != before:
                lengths.append(len(content))
            for sector in _touched(event, before):
                old = self.synced[sector * SECTOR : (sector + 1) * SECTOR]
                versions.setdefault(sector, [old]).append(bytes(content[sector * SECTOR : (sector + 1) * SECTOR]))
        torn = bytearray(self.synced)
        length = lengths[choose(len(lengths))]
        end = max(length, len(self.synced))
        torn.extend(fill(end - len(torn)))
        for sector, found in sorted(versions.items()):
            chosen = found[choose(len(found))]
            torn[sector * SECTOR : sector * SECTOR + len(chosen)] = chosen
        return bytes(torn[:length])

    @property
    def versions(self) -> int:
        """Return how many contents :meth:`torn` may return."""
        touched: dict[int, int] = {}
        lengths, content = 1, bytearray(self.synced)
        for _, event in self.since:
            before = len(content)
            _apply(content, event)
            lengths += len(content) != before
            for sector in _touched(event, before):
                touched[sector] = touched.get(sector, 1) + 1
        return lengths * math.prod(touched.values())


class Disk:
    """
    The directory of a database, to which events happen.

    :param files: What is there at first, all of it durable.
    """

    def __init__(self, files: Files | None = None) -> None:
        #: For each name, what it has stood for since the directory was last synced: the durable file first.
        self._names: dict[str, list[_File | None]] = {name: [_File(content)] for name, content in (files or {}).items()}
        self._done = 0

    def happen(self, event: Event) -> None:
        """Do what an event says."""
        match event.kind:
            case "create":
                self._names.setdefault(event.name, [None]).append(_File())
            case "delete":
                self._names[event.name].append(None)
            case "write" | "truncate":
                self._done += 1
                self._file(event.name).since.append((self._done, event))
            case "sync":
                file = self._file(event.name)
                file.synced, file.since = file.after(lambda _: True), []
            case "sync directory":
                self._names = {name: history[-1:] for name, history in self._names.items() if history[-1] is not None}

    @property
    def now(self) -> Files:
        """What a process sees while there is power."""
        return self._files({}, lambda file: file.after(lambda _: True))

    def after_power_loss(self, chance: random.Random, samples: int) -> Iterator[Files]:
        """
        Yield contents that the directory may have, none twice: all of them, or so many drawn ones and the plain ones.

        :param chance: Draws.
        :param samples: How many to draw.
        """
        seen: set[bytes] = set()
        for files in self._possible(chance, samples):
            digest = digest_of(files)
            if digest not in seen:
                seen.add(digest)
                yield files

    def _possible(self, chance: random.Random, samples: int) -> Iterator[Files]:
        names = [
            dict(zip(self._names, ages, strict=True))
            for ages in product(*[range(len(history)) for history in self._names.values()])
        ]
        files = {id(one): one for history in self._names.values() for one in history if one is not None}
        if len(names) * math.prod(file.versions for file in files.values()) <= ALL_UP_TO:
            yield from self._all(names)
            return
        last = self._done
        first = min((number for file in files.values() for number, _ in file.since), default=last + 1) - 1
        for ages in names if len(names) <= ALL_UP_TO else chance.sample(names, ALL_UP_TO):
            yield self._files(ages, lambda file: file.synced)
            yield self._files(ages, lambda file: file.after(lambda _: True))
        for _ in range(samples):
            ages = chance.choice(names)
            upto, left_out = chance.randint(first, last), chance.randint(first + 1, max(last, first + 1))
            share = chance.random()
            yield self._files(ages, lambda file: file.after(lambda number: number <= upto))  # noqa: B023 - called at once
            yield self._files(ages, lambda file: file.after(lambda number: number != left_out))  # noqa: B023 - the same
            yield self._files(ages, lambda file: file.torn(chance.randrange, bytes))
            yield self._files(
                ages,
                lambda file: file.torn(lambda n: 0 if chance.random() < share else n - 1, chance.randbytes),  # noqa: B023 - called at once
            )

    def _all(self, names: list[dict[str, int]]) -> Iterator[Files]:
        """Yield every possible content: each combination of what may be chosen."""
        for ages in names:
            choices: list[list[int]] = [[]]
            while choices:
                given = choices.pop()
                asked: list[int] = []
                yield self._files(ages, lambda file: file.torn(_chooser(given, asked), bytes))  # noqa: B023 - called at once
                # What was chosen beyond the given choices was the first each time; the others come in their turn.
                for position in range(len(given), len(asked)):
                    zeros = [0] * (position - len(given))
                    choices += [[*given, *zeros, other] for other in range(1, asked[position])]

    def _files(self, ages: dict[str, int], content: Callable[[_File], bytes]) -> Files:
        chosen = {name: history[ages.get(name, -1)] for name, history in self._names.items()}
        return {name: content(file) for name, file in chosen.items() if file is not None}

    def _file(self, name: str) -> _File:
        file = self._names[name][-1]
        if file is None:
            raise ValueError(f"{name} is written to and was never created")
        return file


def digest_of(files: Files) -> bytes:
    """Return what tells contents of the directory apart."""
    found = hashlib.blake2b(digest_size=16)
    for name, content in sorted(files.items()):
        found.update(f"{name} {len(content)} ".encode())
        found.update(content)
    return found.digest()


def _chooser(given: list[int], asked: list[int]) -> Callable[[int], int]:
    """Return a function that makes the given choices, then the first each time; notes of how many each was."""

    def choose(count: int) -> int:
        asked.append(count)
        return given[len(asked) - 1] if len(asked) <= len(given) else 0

    return choose


def _apply(content: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        del content[event.at :]
        content.extend(bytes(event.at - len(content)))
        return
    content.extend(bytes(max(0, event.at - len(content))))
    content[event.at : event.at + len(event.data)] = event.data


def _touched(event: Event, length: int) -> range:
    """Return the sectors whose content an event changes, given the file's length before it."""
    if event.kind == "truncate":
        start, end = sorted((event.at, length))
    else:
        start, end = min(event.at, length), event.at + len(event.data)
    return range(start // SECTOR, math.ceil(end / SECTOR))
