"""The memory of a sync over plain dicts, as a ledger's tables hold it, in virtual time."""

from __future__ import annotations

from itertools import count

from airflow_provider_leadsquared.delivery.states import State
from airflow_provider_leadsquared.ledgers.memory import Finding, LeadMemory, RunOfSync
from airflow_provider_leadsquared.ledgers.memory_lines import Line, MemoryRow, Refusal, Sending

SETTLE_TIMEOUT = 1_000.0
DAY = 86_400.0


class Everything:
    """All ids: whatever has no line was never written."""

    def __contains__(self, line_id: object) -> bool:
        return True


def row(
    key: str,
    email: str | None = None,
    phone: str | None = None,
    value: str = "Pune",
    *,
    own_id: str | None = None,
    moves_keys: bool = True,
) -> MemoryRow:
    """Return a row; its fingerprint holds all that is sent, as the real one does."""
    keys = (("mx_Id", own_id), ("EmailAddress", email), ("Phone", phone))
    match_keys = tuple((name, f"{name}={text}") for name, text in keys if text is not None)
    return MemoryRow(f"row {key}", key, match_keys, repr((match_keys, value)), moves_keys)


class Memory:
    """What a ledger holds of leads, and its clock."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.sendings: dict[str, Sending] = {}
        self.now = 0.0
        self._numbers = count(1)
        self._ids = count(1)

    def rules(self) -> LeadMemory:
        """Return the rules as a transaction has them."""
        return LeadMemory(
            self.lines, self.sendings, Everything(), now=self.now, settle_timeout=SETTLE_TIMEOUT, draw=self.draw
        )

    def draw(self) -> int:
        return next(self._numbers)

    def begin(self, scope: str, *, partition: str = "0", sync: str = "sync") -> RunOfSync:
        """Begin a try of a run."""
        return RunOfSync(sync, scope, f"try {next(self._ids)}", partition, self.draw())

    def compare(self, one: MemoryRow, run: RunOfSync | str, **values: str) -> Finding:
        return self.rules().compare(one, run if isinstance(run, RunOfSync) else self.begin(run), lambda: values)

    def state(self, one: MemoryRow, run: RunOfSync | str, **values: str) -> str:
        return self.compare(one, run, **values).state.value

    def intend(self, one: MemoryRow, run: RunOfSync | str, *, no: int | None = None, **values: str) -> Sending | None:
        run = run if isinstance(run, RunOfSync) else self.begin(run)
        no = self.draw() if no is None else no
        sending_id = f"sending {next(self._ids)}"
        return self.rules().intend(one, run, no=no, sending_id=sending_id, entry_id="", values=values)

    def accept(self, one: MemoryRow, run: RunOfSync | str, **values: str) -> Sending:
        """Let a row be sent and accepted."""
        sending = self.intend(one, run, no=None, **values)
        assert sending is not None
        sending.state = State.OPEN
        return sending

    def settle(self, sending: Sending, state: State, lead: str | None = None) -> None:
        """Write what became of a sending."""
        refusal = None
        if state is State.REJECTED:
            refusal = Refusal(sending.no, sending.row.fingerprint, self.now, "MXInvalidInputException", "why")
        self.rules().settle(sending, state, lead=lead and f"lead {lead}", refusal=refusal)

    def deliver(
        self, one: MemoryRow, run: RunOfSync | str, lead: str = "A", state: State = State.UPDATED, **values: str
    ) -> Sending:
        """Let a row be sent, accepted and confirmed."""
        sending = self.accept(one, run, **values)
        self.settle(sending, state, lead)
        return sending
