"""
What must be true after a power loss: judged from the sandbox's own record and the ledger's tables alone.

Nothing here uses the package: tables are read with plain SQL, and verdicts are those that the sandbox reached.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TABLE = "leadsquared_ledger"
_FINAL = {"created", "updated", "rejected", "failed"}


@dataclass(frozen=True)
class Line:
    """A line of the result table."""

    key: tuple[str, str]
    row_key: str
    state: str
    request_id: str | None

    @property
    def is_receipt(self) -> bool:
        """Whether LeadSquared has responded to it."""
        return self.request_id is not None or self.state in _FINAL


@dataclass
class Content:
    """
    What a database holds.

    :param problem: Why it cannot be read, empty if it can.
    :param digest: Tells contents apart.
    :param lines: The result table.
    """

    problem: str = ""
    digest: str = ""
    lines: list[Line] = field(default_factory=list)


def content_of(path: Path) -> Content:
    """Open a database as any program would, after what SQLite does to bring it in order, and read all of it."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                return Content(problem=found.splitlines()[0])
            schema = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
            digest = hashlib.blake2b(repr(schema).encode(), digest_size=16)
            for kind, name, _ in schema:
                if kind == "table":
                    # The names are those of the package's own tables.
                    rows = connection.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608 - names of the database's own catalogue
                    digest.update(repr((name, sorted(map(repr, rows)))).encode())
            lines: list[Line] = []
            if any(name == TABLE for _, name, _ in schema):
                query = f"SELECT scope, entry_id, row_key, state, request_id FROM {TABLE}"  # noqa: S608 - a constant
                lines = [Line((scope, one), *rest) for scope, one, *rest in connection.execute(query)]
            return Content(digest=digest.hexdigest(), lines=lines)
    except sqlite3.DatabaseError as error:
        return Content(problem=str(error))


@dataclass
class Crm:
    """
    What LeadSquared has received and what became of it, as the sandbox recorded it.

    :param posts: Submissions, with the lead that each was about.
    :param requests: Those that it accepted, by RequestId.
    :param leads: The leads that it stores.
    """

    posts: list[dict[str, Any]]
    requests: dict[str, dict[str, Any]]
    leads: list[dict[str, Any]]

    @classmethod
    def of(cls, sandbox: Any) -> Crm:
        """Ask a sandbox."""
        return cls(
            [post for post in sandbox.posts() if post["lead"]],
            {request["request_id"]: request for request in sandbox.requests()},
            sandbox.leads(),
        )

    def verdict(self, request_id: str) -> str:
        """Return what became of a request."""
        request = self.requests[request_id]
        if request["state"] == "succeeded":
            return "created" if request["is_created"] else "updated"
        return str(request["state"])


@dataclass
class Loss:
    """
    A power loss, and what was there before and after.

    :param nights: What the tasks were at.
    :param survived: The ledger as it was found.
    :param posts_before: How many submissions LeadSquared had received, those on their way among them.
    :param crm: LeadSquared in the end.
    :param end: The ledger in the end.
    """

    nights: Any
    survived: Content
    posts_before: int
    crm: Crm
    end: Content

    def problems(self) -> Iterator[str]:
        """Yield each breach of the promise."""
        if self.end.problem:
            yield f"the ledger cannot be read in the end: {self.end.problem}"
            return
        yield from self._sendings()
        yield from self._verdicts()
        yield from self._crm()

    def _sendings(self) -> Iterator[str]:
        receipts = {line.request_id for line in self.survived.lines if line.request_id in self.crm.requests}
        with_receipt = [self.crm.requests[one]["lead"] for one in receipts if one is not None]
        times = Counter(self.nights.row_of(post["lead"]) for post in self.crm.posts)
        for row, count in times.items():
            if count > 1 and not self.nights.has_match_key(row):
                yield "a row without a match key was sent twice"
        for post in self.crm.posts[self.posts_before :]:
            if post["lead"] in with_receipt:
                yield "a row with a receipt was sent again"

    def _verdicts(self) -> Iterator[str]:
        lines = {line.request_id: line for line in self.end.lines if line.request_id is not None}
        in_doubt = {line.row_key for line in self.end.lines if line.state == "in_doubt"}
        survived = {line.request_id for line in self.survived.lines}
        for request_id, request in self.crm.requests.items():
            row = self.nights.row_of(request["lead"])
            if request_id in lines:
                if lines[request_id].state != self.crm.verdict(request_id):
                    yield f"a request has another verdict, or none: {lines[request_id].state}"
            elif request_id in survived:
                yield "a receipt is gone in the end"
            elif self.nights.has_match_key(row):
                others = [one for one in self.crm.requests.values() if one["lead"] == request["lead"]]
                if not any(one["request_id"] in lines for one in others):
                    yield "an accepted row has no verdict in the end"
            elif row not in in_doubt:
                yield "an accepted row without a match key is not named as in doubt"
        found = {line.key: line for line in self.end.lines}
        for line in self.survived.lines:
            if line.state in _FINAL and found[line.key].state != line.state:
                yield "a verdict has changed"
        for line in self.end.lines:
            if line.state in ("open", "unsent") or (
                line.state == "in_doubt" and self.nights.has_match_key(line.row_key)
            ):
                yield f"a row stays {line.state}"

    def _crm(self) -> Iterator[str]:
        held: dict[str, list[Any]] = {}
        for lead in self.crm.leads:
            held.setdefault(self.nights.row_of(lead["values"]), []).append(self.nights.held(lead["values"]))
        in_doubt = {line.row_key for line in self.end.lines if line.state == "in_doubt"}
        for row, value in self.nights.wanted().items():
            found = held.get(row, [])
            if len(found) > 1:
                yield "a lead is there twice"
            elif not found and not (row in in_doubt and not self.nights.has_match_key(row)):
                yield "a row is lost"
            elif found and found[0] != value:
                yield "the CRM holds an older value"


def without_intent(nights: Any, survived: Content, leads: list[dict[str, Any]]) -> bool:
    """Tell whether a lead was sent whose row the ledger does not know."""
    return not {nights.row_of(lead) for lead in leads} <= {line.row_key for line in survived.lines}


def lead_in(body: bytes) -> dict[str, Any]:
    """Return the lead that a submission is about."""
    return {pair["Attribute"]: pair["Value"] for pair in json.loads(body)}
