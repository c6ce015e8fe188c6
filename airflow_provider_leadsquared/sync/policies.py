"""What a broken rule means for a run: the row is set aside, it is sent with a warning, or nothing is sent."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from airflow_provider_leadsquared.api.errors import InvalidLeadError, LeadSquaredError
from airflow_provider_leadsquared.api.field_rules import RULES, FieldRules
from airflow_provider_leadsquared.delivery.entry import Entry


class Policy(StrEnum):
    """What becomes of a row that breaks a rule."""

    REFUSE = "refuse"
    """It is set aside with its reason, and the others are sent."""
    WARN = "warn"
    """It is sent, and counted."""
    FAIL = "fail"
    """Nothing is sent at all."""


_ALL = tuple(Policy)
_NO_WARNING = (Policy.REFUSE, Policy.FAIL)
_IDENTITY = "such rows cannot be distinguished, and if they were sent, they would double or overwrite leads"
#: Each rule that has a policy: those it may have, the default first, and why ``warn`` is not among them.
_CHOICES: Mapping[str, tuple[tuple[Policy, ...], str]] = MappingProxyType(
    {
        **dict.fromkeys(RULES, (_ALL, "")),
        # A wrong name is in the mapping, so that it would make LeadSquared refuse every row.
        "unknown_attribute": ((Policy.FAIL, Policy.REFUSE, Policy.WARN), ""),
        # The CRM takes them, and they are easily overlooked.
        "invisible": ((Policy.WARN, Policy.REFUSE, Policy.FAIL), ""),
        **dict.fromkeys(("no_match_key", "no_key", "doubled_key", "doubled_match_key"), (_NO_WARNING, _IDENTITY)),
        "transform": (_NO_WARNING, "where a transform failed there is no lead to send"),
    }
)
#: Entries name some rules after what was found.
_RULE_OF = {"same_match_key": "doubled_match_key"}


class Policies:
    """
    What each rule's breach means; made by :meth:`parse`.

    :param chosen: Policies that are not the default, by rule.
    """

    def __init__(self, chosen: Mapping[str, Policy] = MappingProxyType({})) -> None:
        self._chosen = dict(chosen)

    @classmethod
    def parse(cls, given: Mapping[str, str] | None) -> Policies:
        """
        Parse what an author wrote.

        :param given: ``refuse``, ``warn`` or ``fail`` by rule; rules left out have their default.
        :raises ValueError: A rule or a policy does not exist, or the two make no sense together.
        """
        if given is not None and not isinstance(given, Mapping):
            raise ValueError(f"policies is a {type(given).__name__}; write a mapping such as {{'too_long': 'warn'}}")
        return cls({rule: _parse(rule, policy) for rule, policy in (given or {}).items()})

    def as_text(self) -> str:
        """Return all policies as a text, the same for the same ones."""
        return ", ".join(f"{rule}: {self.of(rule)}" for rule in sorted(_CHOICES))

    def of(self, rule: str) -> Policy:
        """Return a rule's policy; a rule without one of its own is always ``refuse``."""
        choices = _CHOICES.get(rule)
        return self._chosen.get(rule, choices[0][0] if choices else Policy.REFUSE)

    def check_names(self, rules: FieldRules, names: Iterable[str]) -> None:
        """
        Check the attributes of a whole run against the account's fields, before the first call.

        :param names: The attributes that the rows will have.
        :raises RunRefusedError: The account lacks one, and the policy of ``unknown_attribute`` is ``fail``.
        """
        unknown = rules.unknown(names)
        if unknown and self.of("unknown_attribute") is Policy.FAIL:
            raise RunRefusedError("unknown_attribute", unknown[0].attribute, "; ".join(map(str, unknown)))

    def check_entries(self, entries: Iterable[Entry]) -> None:
        """
        Stop the run for a row that was set aside although its rule's policy is ``fail``.

        :param entries: The rows of the run, before any is sent.
        :raises RunRefusedError: There is such a row.
        """
        for entry in entries:
            if entry.state.is_set_aside and entry.reason_class:
                rule = _RULE_OF.get(entry.reason_class, entry.reason_class)
                if self.of(rule) is Policy.FAIL:
                    raise RunRefusedError(rule, "", entry.reason or rule, row=entry.name)


class RunRefusedError(LeadSquaredError):
    """
    A rule whose policy is ``fail`` was broken; nothing is to be sent.

    :param rule: The rule.
    :param attribute: The attribute at fault, empty where it is the row as a whole.
    :param problem: What is wrong, without any value.
    :param row: The row's name, empty where it is the run as a whole.
    """

    def __init__(self, rule: str, attribute: str, problem: str, row: str = "") -> None:
        where = f"{row}: " if row else ""
        super().__init__(f"{where}{problem}. Nothing was sent, because the policy of {rule} is 'fail'")
        self.rule, self.attribute, self.problem, self.row = rule, attribute, problem, row

    def __reduce__(self) -> tuple[type[RunRefusedError], tuple[str, str, str, str]]:
        return type(self), (self.rule, self.attribute, self.problem, self.row)


class RulesWithPolicies:
    """
    The account's rules under an author's policies, as ``encode_lead`` takes them.

    Before each row, set ``row`` to its name, and ``exists`` to whether the account has the lead already.

    :param rules: The account's rules.
    :param policies: What their breaches mean.
    """

    def __init__(self, rules: FieldRules, policies: Policies) -> None:
        self._rules = rules
        self._policies = policies
        #: Rows that are sent although they break a rule, by rule and attribute.
        self.warnings: Counter[tuple[str, str]] = Counter()
        #: The name of the row that is checked next, for messages.
        self.row = ""
        #: Whether the account has its lead already; None if that is not known.
        self.exists: bool | None = False

    def check(self, texts: Mapping[str, object]) -> None:
        """
        Check a lead, as names and texts, against the rules.

        :raises InvalidLeadError: It breaks a rule whose policy is ``refuse``; the first such breach.
        :raises RunRefusedError: It breaks a rule whose policy is ``fail``.
        """
        breaches = self._rules.breaches(texts, exists=self.exists)
        if not breaches:
            return
        refused: InvalidLeadError | None = None
        warned = set()
        for breach in breaches:
            policy = self._policies.of(breach.rule)
            if policy is Policy.FAIL:
                raise RunRefusedError(breach.rule, breach.attribute, str(breach), row=self.row)
            if policy is Policy.WARN:
                warned.add((breach.rule, breach.attribute))
            elif refused is None:
                refused = breach
        if refused is not None:
            raise refused
        self.warnings.update(warned)


def _parse(rule: str, policy: str) -> Policy:
    if rule not in _CHOICES:
        close = difflib.get_close_matches(str(rule), _CHOICES, n=2)
        hint = f"did you mean {' or '.join(close)}?" if close else f"those that have one are {', '.join(_CHOICES)}"
        raise ValueError(f"policies names {rule!r}, which is no rule with a policy; {hint}")
    if policy not in _ALL:
        raise ValueError(f"the policy of {rule} is {policy!r}; write 'refuse', 'warn' or 'fail'")
    allowed, why_not = _CHOICES[rule]
    if policy not in allowed:
        raise ValueError(f"the policy of {rule} cannot be {str(policy)!r}: {why_not}; write 'refuse' or 'fail'")
    return Policy(policy)
