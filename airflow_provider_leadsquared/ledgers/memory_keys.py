"""
Which match keys a lead has after a confirmed sending: rule R4 of the memory.

A success moves keys. Only a phone number may have several spellings, and only LeadSquared knows which of them it takes
for one: that depends on the account. So two are one lead's only if LeadSquared has found one lead by each.
"""

from __future__ import annotations

from airflow_provider_leadsquared.ledgers.memory_lines import LeadLine, Sending, may_be_one
from airflow_provider_leadsquared.ledgers.memory_routes import Routes


class KeyMoves(Routes):
    """The lines that are loaded, and how match keys go from lead to lead."""

    def _move_keys(self, lead: LeadLine, sending: Sending, *, is_new: bool, doubted: int) -> None:
        """
        Give a lead the match keys of a confirmed sending: its former ones lead nowhere, nor do others' lead here.

        :param doubted: Up to which number the lead was doubtful before.
        """
        row = sending.row
        if not (row.moves_keys or is_new or len(row.match_keys) == 1):
            # An existing lead kept what it had, and it is not known which of these keys found it.
            for _, key in row.match_keys:
                if self._key(key).lead == lead.line_id:
                    self._key(key).proved = sending.no
            return
        spelled = {
            attribute: self._is_spelling(lead, sending, attribute, is_new=is_new, doubted=doubted)
            for attribute, _ in row.match_keys
        }
        for attribute, key in row.match_keys:
            line, names = self._key(key), lead.keys.get(attribute, [])
            if key not in names and not spelled[attribute]:
                self._release(lead, attribute)
                names = []
            if line.lead not in (None, lead.line_id):
                self._release(self._lead(line.lead), attribute, but=key)
            if line.lead != lead.line_id:
                line.lead, line.moved = lead.line_id, self._next()
            line.proved = sending.no
            lead.keys[attribute] = [*(name for name in names if name != key), key]
        for attribute in row.cleared if row.moves_keys else ():
            self._release(lead, attribute)

    def _add_spellings(self, lead: LeadLine, sending: Sending, *, doubted: int) -> None:
        """Give a lead the match keys that it was made with, if a newer sending has found it by other spellings."""
        for attribute, key in sending.row.match_keys:
            line = self._key(key)
            if line.lead is None and self._is_spelling(lead, sending, attribute, is_new=True, doubted=doubted):
                line.lead, line.moved, line.proved = lead.line_id, self._next(), sending.no
                lead.keys[attribute].append(key)

    def _release(self, lead: LeadLine, attribute: str, *, but: str | None = None) -> None:
        """Let a lead's match keys of an attribute lead nowhere, but for one that goes over to another lead."""
        keys = [key for key in lead.keys.pop(attribute, ()) if key != but and self._key(key).lead == lead.line_id]
        number = self._next() if keys else 0
        for key in keys:
            self._key(key).lead, self._key(key).moved = None, number

    def _is_spelling(self, lead: LeadLine, sending: Sending, attribute: str, *, is_new: bool, doubted: int) -> bool:
        """
        Tell whether a sending's match key is another spelling of the one that its lead has.

        It is if it ends in the same digits, and LeadSquared found by it the lead that certainly had the other one.
        """
        keys = dict(sending.row.match_keys)
        key, names = keys[attribute], lead.keys.get(attribute, [])
        if not names or key in names or not may_be_one(key, names[0]):
            return False
        earlier = list(keys)[: list(keys).index(attribute)]
        # A lead that this row made was found by the other number: by an e-mail that both have, it would be overtaken.
        is_found = is_new or all(self._has_another(lead, name, keys[name], doubted) for name in earlier)
        # What is on its way may have changed the lead's number.
        is_alone = all(
            dict(other.row.match_keys).get(attribute, names[0]) in names
            for one in lead.unsettled
            if (other := self.sendings.get(one)) is not None and other.row != sending.row
        )
        if is_found and is_alone and any(self._key(name).proved > doubted for name in names):
            return True
        # Not certain: until it is, one waits for the other.
        for name in names:
            self._key(name).kin.add(key)
            self._key(key).kin.add(name)
        return False

    def _has_another(self, lead: LeadLine, attribute: str, key: str, doubted: int) -> bool:
        """Tell whether a lead certainly has another key of an attribute, so that it was not found by this one."""
        names = lead.keys.get(attribute, [])
        return key not in names and any(self._key(name).proved > doubted for name in names)
