"""What other people do: users of the CRM, and those who keep the ledger's database."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.simulation.events import DAY, Event
from tests.simulation.runs import later_arguments

if TYPE_CHECKING:
    from tests.simulation.episode import Simulation

#: As docs/nightly-sync.md has it.
PRUNE = """
DELETE FROM leadsquared_ledger
WHERE written_at < ?
    AND NOT EXISTS (
        SELECT 1 FROM leadsquared_ledger_lines AS l
        WHERE l.last_scope = leadsquared_ledger.scope AND l.last_entry = leadsquared_ledger.entry_id
    )
    AND NOT EXISTS (
        SELECT 1 FROM leadsquared_ledger_unsettled AS u
        WHERE u.scope = leadsquared_ledger.scope AND u.entry_id = leadsquared_ledger.entry_id
    )
"""


class Others:
    """
    Other people in one simulation.

    :param simulation: The simulation.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def do_edit(self, event: Event) -> None:
        """Let a user of the CRM change, merge or delete a lead."""
        account, rng = self._simulation.account, random.Random(event.facts["draw"])  # noqa: S311 - draws a simulation
        account.run_due()
        leads = sorted(account.store.leads, key=lambda lead: lead.number)
        what, now = event.facts["what"], self._simulation.timeline.now
        if what == "new":
            self._make_lead(rng, now)
            return
        if not leads:
            return
        lead = rng.choice(leads)
        self._simulation.auditor.others_wrote = True
        if what == "value":
            account.store.update(lead, {"mx_City": f"other{rng.randrange(99)}"}, now)
        elif what == "key":
            name = rng.choice(("EmailAddress", "Phone"))
            values = [row[0 if name == "EmailAddress" else 1] for row in self._simulation.warehouse.values()]
            value = rng.choice([*values, None]) or ("o@example.org" if name == "EmailAddress" else "+91-9111100000")
            if account.store.find(name, value) is None:
                account.store.update(lead, {name: value}, now)
            what = f"{name} {value}"
            self._simulation.auditor.others_moved_keys = True
        else:
            others = [one for one in leads if one is not lead]
            account.store.remove(lead, rng.choice(others) if others and rng.random() < 0.7 else None, now)
            what = "gone"
            self._simulation.auditor.others_moved_keys = True
        self._simulation.tell(f"others change lead {lead.id}: {what}")

    def _make_lead(self, rng: random.Random, now: float) -> None:
        """Let a user make a lead that has match keys of rows, perhaps of two."""
        store, rows = self._simulation.account.store, list(self._simulation.warehouse.values())
        if not rows:
            return
        names = ("EmailAddress", "Phone")
        given = {name: [row[number] for row in rows if row[number]] for number, name in enumerate(names)}
        found = {name: rng.choice(values) for name, values in given.items() if values}
        values = {name: value for name, value in found.items() if value and store.find(name, value) is None}
        if values:
            # Nobody's values are changed, and the sync has not known of the lead.
            lead = store.create(None, {**values, "mx_City": f"other{rng.randrange(99)}"}, now)
            self._simulation.auditor.others_made_leads = True
            self._simulation.tell(f"others make lead {lead.id}: {values}")

    def do_settings(self, event: Event) -> None:
        """Let the author of the sync set something else: from now on, tries have it."""
        simulation = self._simulation
        simulation.arguments = later_arguments(simulation.plan)
        simulation.tell(f"the author sets {simulation.arguments}")

    def do_ledger_lost(self, event: Event) -> None:
        """Lose the ledger."""
        self._simulation.tell("the ledger is lost")
        self._simulation.auditor.lost_ledgers += 1
        self._simulation.auditor.ledger_lost_at = self._simulation.timeline.now
        self._simulation.ledger.lose()

    def do_prune(self, event: Event) -> None:
        """Delete old lines as the documentation says; here, old is what a day is elsewhere."""
        if self._simulation.ledger.holder is None and self._simulation.ledger.exists():
            self._simulation.auditor.is_pruned = True
            old = datetime.fromtimestamp(self._simulation.timeline.now - 1.25 * DAY, UTC).strftime("%Y-%m-%d %H:%M:%S")
            self._simulation.ledger.query(PRUNE, old)
            self._simulation.tell("the ledger is pruned")
