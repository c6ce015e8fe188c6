"""Draws what the warehouse holds: rows that come, go, change, and whose match keys move from one to another."""

from __future__ import annotations

import random

from tests.simulation.events import Event
from tests.simulation.themes import Theme

#: How a warehouse spells one phone.
SPELLINGS = ("+91-{}", "{}", "+91{}", "+91 {}")
_Row = tuple[str | None, str | None, str]


class RowDrawing:
    """
    The warehouse of one plan.

    :param rng: Draws it.
    :param theme: What is likely.
    :param parts: Which parts of the world the plan has.
    :param events: Gets what happens.
    """

    def __init__(self, rng: random.Random, theme: Theme, parts: set[str], events: list[Event]) -> None:
        self._rng, self._theme, self._parts, self._events = rng, theme, parts, events
        self.customers = rng.randint(20, 60) if "many" in parts else rng.choice(theme.customers)
        size = max(1, int(self.customers * rng.choice(theme.emails)))
        self.emails = [f"p{n}@example.org" for n in range(size)]
        self.phones = [f"+91-90000{n:05d}" for n in range(max(theme.fewest_phones, int(size * theme.phones)))]
        if "phones alike" in parts:  # in all but their first digits
            self.phones += [phone.replace("-9", "-8") for phone in self.phones]
        #: The newest value of each customer, all values that it had, and its row as it is now.
        self._versions: dict[int, int] = {}
        self._former: dict[int, list[_Row]] = {}
        self._rows: dict[int, _Row] = {}
        for customer in range(self.customers):
            if rng.random() < 0.8:
                self._put(0.0, customer, is_new=True)

    def change(self, at: float) -> None:
        """Let one row change, come, go or swap a match key with another."""
        rng, theme = self._rng, self._theme
        customer = rng.randrange(self.customers)
        x = rng.random()
        others = [one for one in self._rows if one != customer]
        if x < theme.drops and customer in self._rows:
            del self._rows[customer]
            self._events.append(Event(at, "drop", {"customer": customer}))
        elif x < theme.drops + 0.13 and "swaps" in self._parts and customer in self._rows and others:
            self._swap(at, customer, rng.choice(others))
        elif "new row keys" in self._parts and customer in self._rows and x > 0.7:
            self._rekey(at, customer)
        else:
            self._put(at, customer)

    def _put(self, at: float, customer: int, *, is_new: bool = False) -> None:
        rng = self._rng
        email, phone, city = self._rows.get(customer, (None, None, ""))
        x = rng.random()
        if "swaps" in self._parts and rng.random() < self._theme.match_keys:
            x = 0.65 + 0.35 * x
        former = [row for row in self._former.get(customer, ()) if row != self._rows.get(customer)]
        if former and rng.random() < self._theme.back:
            email, phone, city = rng.choice(former[-2:])
        elif is_new or customer not in self._rows:
            email, phone = self._new_keys(customer)
            city = self._new_city(customer)
        elif x < 0.65 or "swaps" not in self._parts:
            city = self._new_city(customer)
        else:
            kind = rng.choice(self._theme.key_kinds)
            if kind != "phone":
                email = None if kind == "none" else rng.choice([*self.emails, None])
            if kind != "email":
                phone = None if kind == "none" else rng.choice([*self.phones, None])
        if "split keys" in self._parts:
            email, phone = self._split(customer)
        if "household" in self._parts:
            email, phone, city = self._of_household(customer)
        self._rows[customer] = email, phone, city
        self._add_put(at, customer)

    def _new_keys(self, customer: int) -> tuple[str | None, str | None]:
        rng, theme = self._rng, self._theme
        any_keys = "swaps" in self._parts
        email = rng.choice(self.emails) if any_keys else self.emails[customer % len(self.emails)]
        has_phone = rng.random() >= theme.email_only
        phone = rng.choice(self.phones) if any_keys else self.phones[customer % len(self.phones)]
        if not has_phone:
            return email, None
        return None if rng.random() < theme.phone_only else email, phone

    def _new_city(self, customer: int) -> str:
        self._versions[customer] = version = self._versions.get(customer, 0) + 1
        return f"{customer}.{version}"

    def _split(self, customer: int) -> tuple[str | None, str | None]:
        """Return match keys of one lead of which each of two rows has one, after the first had both."""
        email, phone = (keys[customer // 2 % len(keys)] for keys in (self.emails, self.phones))
        if customer % 2:
            return None, phone
        return email, None if customer in self._former else phone

    def _of_household(self, customer: int) -> _Row:
        """Return the next values of one who shares a phone: each other one has an e-mail address, too."""
        email = self.emails[customer // 2 % len(self.emails)] if customer % 2 else None
        phone = self._rows.get(customer, (None, self.phones[0], ""))[1]
        if customer in self._rows and self._rng.random() < self._theme.match_keys:
            phone = self._rng.choice([*self.phones, None] if email else self.phones)
        return email, phone, self._new_city(customer)

    def _add_put(self, at: float, customer: int) -> None:
        email, phone, city = row = self._rows[customer]
        self._former.setdefault(customer, []).append(row)
        if phone and "spellings" in self._parts:
            phone = self._rng.choice(SPELLINGS).format(phone[-10:])
        facts = {"customer": customer, "email": email, "phone": phone, "city": city}
        self._events.append(Event(at, "put", facts))

    def _swap(self, at: float, one: int, other: int) -> None:
        rng = self._rng
        a, b = self._rows[one], self._rows[other]
        if rng.random() < 0.5:
            self._rows[one], self._rows[other] = (b[0], a[1], a[2]), (a[0], b[1], b[2])
        else:
            self._rows[one], self._rows[other] = (a[0], b[1], a[2]), (b[0], a[1], b[2])
        for customer in (one, other):
            self._add_put(at, customer)

    def _rekey(self, at: float, customer: int) -> None:
        """Give a row another row key, or let a second row have the same values."""
        rng = self._rng
        other = self.customers + rng.randrange(self.customers)
        self._rows[other] = self._rows[customer]
        self._add_put(at, other)
        if rng.random() < 0.6:
            del self._rows[customer]
            self._events.append(Event(at, "drop", {"customer": customer}))
