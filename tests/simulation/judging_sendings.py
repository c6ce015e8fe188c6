"""What the judge demands of sendings: their order, and that nothing is sent again without doubt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_leadsquared.sandbox.queue import State as Real
from tests.simulation.certainty import SETTLE_TIMEOUT, is_certain, is_known
from tests.simulation.timeline import Violation
from tests.simulation.wire import Sent

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation

#: Seconds for which another run's intent is taken for one that is at work: it is posted in 60 s, or never.
INTENT_TIMEOUT = 60.0
#: Polls of one request by one task at most: two after each of its eleven attempts, whose times differ in the two
#: readings of the ladder.
POLLS_OF_A_REQUEST = 44
#: As many more if another request never ends: that one is asked for every 15 minutes, and those behind it are its
#: queue's sample.
POLLS_BESIDE_A_LOST_REQUEST = 41
#: The same of a request that is not known, or by a worker whose clock is wrong: in growing intervals.
POLLS_OF_AN_UNKNOWN_REQUEST = 150
#: Calls at most that meet a fault on their way: 77 polls in growing intervals, each of which is made four times.
TROUBLED_CALLS = 308

#: Parts of the world in which rows that were refused may be sent again.
_REFUSED_ROWS_GO = {"ledger", "refresh", "replay", "other settings", "behaviour", "unmoved keys", "search by"}


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
        Judge A4, A5, A9, A12, A14 and A17.

        :raises Violation: A promise was not kept.
        """
        self._check_unkeyed()
        self._check_calls()
        if self._is_memory_whole:
            if "new row keys" not in self._simulation.plan.parts:  # else values do not say whose they are
                self._check_order()
            self._check_not_again()
            self._check_refusals()
            self._check_last_of_a_person()

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

    def _check_last_of_a_person(self) -> None:
        """Demand that of the rows of one run that have one e-mail address alone only the last is sent, if it can be."""
        simulation = self._simulation
        if {"behaviour", "unmoved keys", "search by", "rejects", "refresh", "replay"} & simulation.plan.parts:
            return
        refused = {one.lead.get("mx_City") for one in simulation.wire.sent if _may_be_refused(one)}
        for sent, _, _ in self._rows_sent():
            # A phone may lead to another lead.
            email = None if sent.lead.get("Phone") else sent.lead.get("EmailAddress")
            rows = simulation.reads[sent.worker].rows
            own = sent.lead.get("mx_City")
            alone = [row for row in rows.values() if row[:2] == (email, None)]
            same = [row for row in alone if row[2] == own or row[2] not in refused]
            is_read = any(row[2] == own for row in same)
            if email and is_read and same[-1][2] != own:
                self._fail(f"A17 {sent.worker.name} sends {sent.lead}, and {same[-1]} is the person's last row")

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
        others = simulation.auditor
        if others.others_wrote or others.others_made_leads or "ledger" in simulation.plan.parts:
            return
        sendings = list(self._rows_sent())
        groups = _groups_of(sendings)
        last: dict[str, Sent] = {}
        doubtful: set[str] = set()
        for sent, row, read_at in sendings:
            group = groups.name(f"row {row}")
            earlier = last.get(group)
            if earlier is not None and not is_certain(simulation, earlier, read_at):
                if group not in doubtful and self._should_have_waited(sent, earlier):
                    self._fail(f"A14 {sent.worker.name} sends {sent.lead} while {earlier.lead} is open at its lead")
                doubtful.add(group)
            is_same = earlier is not None and _content(earlier) == _content(sent)
            if earlier is not None and self._is_sent_anew(sent) and _run(earlier) != _run(sent):
                is_same = False
            if is_same and earlier is not None and self._is_at_work(earlier, sent, read_at):
                self._fail(f"A12 {sent.worker.name} sends {sent.lead} again, while {earlier.worker.name} sends it")
            if is_same and earlier is not None and group not in doubtful and not self._may_be_intended(sent, read_at):
                self._fail(f"A12 {sent.worker.name} sends {sent.lead} again, as {earlier.worker.name} sent it")
            last[group] = sent

    def _is_sent_anew(self, sent: Sent) -> bool:
        """Tell whether a run sends what it is to send, whatever the CRM holds."""
        return any(
            one.kind == "run" and one.facts["run"] == _run(sent) and one.facts.get("full_refresh")
            for one in self._simulation.events
        )

    def _check_refusals(self) -> None:
        """Demand that what the CRM surely refused is not sent again, as long as nothing of its lead has changed."""
        simulation = self._simulation
        others = simulation.auditor
        if others.others_wrote or others.others_made_leads or _REFUSED_ROWS_GO & simulation.plan.parts:
            return
        sendings = list(self._rows_sent())
        groups = _groups_of(sendings)
        before: dict[str, list[Sent]] = defaultdict(list)
        for sent, row, read_at in sendings:
            group = before[groups.name(f"row {row}")]
            own = [one for one in group if _row(one) == _row(sent)]
            is_same = bool(own) and _content(own[-1]) == _content(sent)
            # Of two row keys with the same values, the second is tried once the first was refused.
            if is_same and self._stays_refused(own[-1], group, read_at) and self._has_one_key(sent):
                self._fail(f"A12 {sent.worker.name} sends {sent.lead} again, which the CRM has refused")
            group.append(sent)

    def _has_one_key(self, sent: Sent) -> bool:
        """Tell whether the values that are sent were read under one row key alone."""
        city, reads = sent.lead.get("mx_City"), self._simulation.reads.values()
        return len({key for read in reads for key, values in read.rows.items() if values[2] == city}) <= 1

    def _stays_refused(self, refused: Sent, group: list[Sent], at: float) -> bool:
        """Tell whether a refusal was known at a time, and so was what became of all else that was sent to its lead."""
        if refused.request is None or refused.request.state is not Real.REJECTED:
            return False
        known_at = self._simulation.wire.known_at
        return all(
            is_known(self._simulation, one, at)
            and one.request is not None
            and (one.request.state is Real.REJECTED or known_at[one.request.id] < refused.at)
            for one in group
        )

    def _is_at_work(self, earlier: Sent, sent: Sent, at: float) -> bool:
        """Tell whether another run had just sent the very same, and nothing says that its worker is gone."""
        workers = earlier.worker, sent.worker
        runs = [worker.name.partition(".")[0] for worker in workers]
        refused = self._simulation.ledger.refused
        return (
            runs[0] != runs[1]
            and sent.at - earlier.at < INTENT_TIMEOUT
            and {earlier.fault, sent.fault} <= {None, "late"}
            and earlier.is_receipt_delivered
            and earlier.request is not None
            and self._simulation.wire.known_at.get(earlier.request.id, at) >= at
            and not any(worker.was_paused or worker.is_dead or worker in refused for worker in workers)
            and "clocks" not in self._simulation.plan.parts
        )

    def _may_be_intended(self, sent: Sent, at: float) -> bool:
        """Tell whether a run that had not ended may have intended other values of the row, and not sent them."""
        city = sent.lead["mx_City"]
        return any(
            read.at < at
            and read.rows.get(int(_row(sent)), (None, None, city))[2] != city
            and (worker.is_dead or worker.ended_at is None or worker.ended_at > at)
            for worker, read in self._simulation.reads.items()
        )

    def _should_have_waited(self, sent: Sent, earlier: Sent) -> bool:
        """Tell whether a row was sent while another one's request to the lead that both reach was open."""
        simulation, request = self._simulation, earlier.request
        if {"behaviour", "unmoved keys", "other settings", "search by", "clear"} & simulation.plan.parts or _row(
            sent
        ) == _row(earlier):
            return False
        if request is None or not earlier.is_receipt_delivered or earlier.worker in simulation.ledger.refused:
            return False
        is_open = (request.settled_at or sent.at + 1.0) > sent.at and sent.at - earlier.at < SETTLE_TIMEOUT - 100
        leads = [self._known_lead(one, earlier.at) for one in (sent, earlier)]
        return is_open and not sent.is_from_pause and leads[0] is not None and leads[0] == leads[1]

    def _known_lead(self, sent: Sent, at: float) -> str | None:
        """Return the lead that a sync last reached by the match keys of a sending, None if it did not."""
        found: str | None = None
        keys = _keys(sent)
        for one in self._simulation.wire.sent:
            request = one.request
            if one.at < at and request is not None and _keys(one) == keys and request.lead_id:
                found = request.lead_id
        return found

    def _check_calls(self) -> None:
        """Demand that no task polls a request more often than the plan has it."""
        wire = self._simulation.wire
        is_on_time = "clocks" not in self._simulation.plan.parts
        lost = [sent for sent in wire.sent if sent.request is not None and _never_ends(sent.request)]
        for (asked, task), polls in wire.polls_of.items():
            request = self._simulation.account.queue.request(asked)
            most = POLLS_OF_A_REQUEST + (POLLS_BESIDE_A_LOST_REQUEST if lost else 0)
            if not is_on_time or request is None or _never_ends(request):
                most = POLLS_OF_AN_UNKNOWN_REQUEST
            if polls > most:
                self._fail(f"A9 {task} polled {asked} {polls} times")
        for (asked, task), polls in wire.troubled_polls_of.items():
            if polls > TROUBLED_CALLS:
                self._fail(f"A9 {task} polled {asked} {polls} times, and met a fault each time")

    def _fail(self, text: str) -> NoReturn:
        raise Violation(text)


def _may_be_refused(sent: Sent) -> bool:
    """Tell whether LeadSquared has refused a row, or something in its place has."""
    return sent.fault is not None or (sent.request is not None and sent.request.state is Real.REJECTED)


def _never_ends(request: Any) -> bool:
    """Tell whether LeadSquared lost a request, or does not show it at first."""
    return request.state is Real.LOST or request.planned.hidden_polls > 0


def _key(name: str, lead: dict[str, Any]) -> str | None:
    value = lead.get(name)
    return None if not value else f"{name} {value[-10:] if name == 'Phone' else value}"


def _keys(sent: Sent) -> tuple[str | None, ...]:
    # As they are spelled: each spelling of a phone is a match key of its own until a lead was found by it.
    return tuple(sent.lead.get(name) or None for name in ("EmailAddress", "Phone"))


def _row(sent: Sent) -> str:
    return str(sent.lead.get("mx_City")).partition(".")[0]


def _content(sent: Sent) -> tuple[Any, ...]:
    """Return what is sent, by which sync; by what the lead is found does not change what is stored."""
    return {**sent.lead, "SearchBy": None}, sent.parameters, _sync(sent)


def _sync(sent: Sent) -> bool:
    """Tell which of the two syncs a sending is of."""
    return sent.worker.name.startswith("s")


def _run(sent: Sent) -> str:
    return sent.worker.name.partition(".")[0]


def _groups_of(sendings: list[tuple[Sent, int, float]]) -> _Groups:
    """Return which rows and match keys may concern one lead."""
    groups = _Groups()
    for sent, row, _ in sendings:
        groups.join(f"row {row}", *(key for name in ("EmailAddress", "Phone") if (key := _key(name, sent.lead))))
    return groups


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
