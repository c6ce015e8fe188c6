"""What the judge demands of sendings: their order, and that nothing is sent again without doubt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_leadsquared.sandbox.queue import State as Real
from tests.simulation.timeline import Violation
from tests.simulation.wire import Sent

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation

#: The longest reading of the documented ladder, and an hour of backlog: after it a sending is not waited for any more.
SETTLE_TIMEOUT = 36_570.0
#: Polls of one request at most, beside one for each task that asks: two after each of its eleven attempts, whose times
#: differ in the two readings of the ladder.
POLLS_OF_A_REQUEST = 44


class SendingJudge:
    """
    Judges what was sent in a simulation.

    :param simulation: The simulation.
    :param is_memory_whole: Whether nobody has deleted anything of the ledger.
    """

    def __init__(self, simulation: Simulation, *, is_memory_whole: bool) -> None:
        self._simulation, self._is_memory_whole = simulation, is_memory_whole

    def judge(self) -> None:
        """
        Judge A4, A5, A9 and A12.

        :raises Violation: A promise was not kept.
        """
        self._check_unkeyed()
        self._check_calls()
        if self._is_memory_whole:
            self._check_order()
            self._check_not_again()

    def _rows_sent(self) -> Iterator[tuple[Sent, int, float]]:
        """Yield what syncs sent: the sending, its row and the time at which that was read."""
        simulation = self._simulation
        for sent in simulation.wire.sent:
            read = simulation.reads.get(sent.worker)
            city = sent.lead.get("mx_City") or ""
            customer = city.partition(".")[0]
            if read is not None and customer.isdigit():
                yield sent, int(customer), read.at

    def _check_order(self) -> None:
        """Demand that no older value of a row lands after a newer one."""
        by_request = {sent.request.id: (sent, row, at) for sent, row, at in self._rows_sent() if sent.request}
        newest: dict[int, tuple[Any, float]] = {}
        for landing in self._simulation.account.landings:
            found = by_request.get(landing.request.id)
            if found is None:
                continue
            sent, row, read_at = found
            before = newest.get(row)
            if before is not None and read_at < before[1] and before[0].lead != sent.lead:
                is_late = landing.at - sent.at > SETTLE_TIMEOUT - 100
                if not (sent.is_from_pause or is_late):
                    self._fail(
                        f"A5 row {row}: {sent.lead} of {sent.worker.name} landed after {before[0].lead} of "
                        f"{before[0].worker.name}"
                    )
            if before is None or read_at >= before[1]:
                newest[row] = sent, read_at

    def _check_unkeyed(self) -> None:
        """Demand that no row without a match key is accepted twice."""
        seen: dict[tuple[str, str], Any] = {}
        for sent in self._simulation.wire.sent:
            if sent.lead.get("EmailAddress") or sent.lead.get("Phone") or sent.request is None:
                continue
            run = sent.worker.name.partition(".")[0]
            city = sent.lead.get("mx_City") or ""
            if (run, city) in seen and not self._is_resent(run):
                self._fail(f"A4 {city} has no match key and was sent by {seen[run, city]} and {sent.worker.name}")
            seen[run, city] = sent.worker.name

    def _is_resent(self, run: str) -> bool:
        return any(
            event.kind == "capture" and event.facts["run"] == run and event.facts["on_clear"] == "resend"
            for event in self._simulation.events
        ) and any(one.run == run and one.clears for one in self._simulation.instances)

    def _check_not_again(self) -> None:
        """Demand that no row is sent again if its last sending, and all others of its lead, are beyond doubt."""
        simulation = self._simulation
        if simulation.auditor.others_wrote or {"ledger", "refresh"} & simulation.plan.parts:
            return
        groups = _Groups()
        sendings = list(self._rows_sent())
        for sent, row, _ in sendings:
            groups.join(f"row {row}", *(key for name in ("EmailAddress", "Phone") if (key := _key(name, sent.lead))))
        before: dict[str, list[Sent]] = {}
        for sent, row, read_at in sendings:
            earlier = before.setdefault(groups.name(f"row {row}"), [])
            is_same = bool(earlier) and (earlier[-1].lead, _sync(earlier[-1])) == (sent.lead, _sync(sent))
            if is_same and all(_is_certain(one, read_at) for one in earlier):
                self._fail(f"A12 {sent.worker.name} sends {sent.lead} again, as {earlier[-1].worker.name} sent it")
            earlier.append(sent)

    def _check_calls(self) -> None:
        """Demand that a request costs no more calls than its polls in both readings of the ladder, by each sensor."""
        simulation = self._simulation
        pollers = sum(1 for one in simulation.instances if one.state != "none") or 1
        for request_id, polls in simulation.wire.polls_of.items():
            if polls > POLLS_OF_A_REQUEST + pollers:
                self._fail(f"A9 {request_id} was polled {polls} times by {pollers} tasks")

    def _fail(self, text: str) -> NoReturn:
        raise Violation(text)


def _key(name: str, lead: dict[str, Any]) -> str | None:
    value = lead.get(name)
    return None if not value else f"{name} {value[-10:] if name == 'Phone' else value}"


def _sync(sent: Sent) -> bool:
    """Tell which of the two syncs a sending is of."""
    return sent.worker.name.startswith("s")


def _is_certain(sent: Sent, at: float) -> bool:
    """Tell whether a sender that had ended at a time knew that LeadSquared had taken the row."""
    return (
        sent.request is not None
        and sent.request.state is Real.SUCCEEDED
        and sent.is_receipt_delivered
        and not sent.worker.is_dead
        and sent.worker.ended_at is not None
        and sent.worker.ended_at < at
    )


class _Groups:
    """Names that may concern one lead: rows and match keys that were ever sent together."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def name(self, one: str) -> str:
        """Return the name of the group that something is in."""
        while (parent := self._parents.setdefault(one, one)) != one:
            one = parent
        return one

    def join(self, first: str, *others: str) -> None:
        """Let all these be in one group."""
        for other in others:
            self._parents[self.name(other)] = self.name(first)
