"""Which patches of ``tests/holes`` the simulation does not look for, and why: kept by ``test_planted.py``."""

from __future__ import annotations

#: Patches (patterns) that touch neither sending nor memory nor judging: what arguments, texts, logs, the sandbox, real
#: databases and sockets do has tests of its own.
NOT_CONCERNED = (
    "account-*",
    "alert-*",
    "asset-*",
    "attribute-name-*",
    "callables",
    "change-updates-*",
    "command-*",
    "connection-*",
    "data-frame*",
    "dry-run-*",
    "email-keys-*",
    "example-*",
    "empty-night-*",
    "form-*",
    "invisible-*",
    "keys-in-*",
    "leadsquareds-texts-*",
    "ledger-*",
    "line-deleted-*",
    "lineage-*",
    "link-*",
    "literal-*",
    "mapped-*",
    "mapping-*",
    "mariadb-*",
    "masking-*",
    "match-keys-casefold",
    "match-keys-ids-*",
    "message-*",
    "metrics-*",
    "nan-*",
    "nightly-question-*",
    "nul-*",
    "numbers-*",
    "outputs-*",
    "page-*",
    "plugin-*",
    "own-ledger-*",
    "parse-*",
    "policies-*",
    "port-*",
    "prune-*",
    "rate-limit-*",
    "reason-with-*",
    "red-task-*",
    "region-*",
    "rendered-*",
    "report-*",
    "requests-held-*",
    "results-of-*",
    "retry-after-*",
    "retry-log-*",
    "row-key-*",
    "row-keys-*",
    "runs-*",
    "sandbox-*",
    "search-by-*",
    "short-floats-*",
    "sql-[!cl]*",
    "sql-column-*",
    "sql-creation-*",
    "sql-loggers",
    "stop-*",
    "templates-*",
    "text-*",
    "transformed-*",
    "trigger-polls-unseen",
    "unreachable-*",
    "unreadable-*",
    "warehouse-*",
    "whole-*",
)
_KEPT = "changes what is kept, not what is sent or judged"
_COST = "costs time, calls or needless doubt; no promise is broken"
_LOG = "changes a log, a message or an error's text only"
_ERASURE = "needs rows that are erased, which the world does not have"
_ONE_VERSION = "needs another version, mapping or type of values; those of a simulation stay as they are"
_FORMS = "needs forms of responses that no fault of the world has; tests/unit/api has all of them"
_LARGE = "needs more rows than a simulation has"
_SOCKETS = "needs real connections, which are replaced"
_OTHERS = (
    "needs others to give a lead another phone: then superseded rows are not judged, and all others are sent anew first"
)
_TWO_LEDGERS = "needs captures with ledgers in two tables; the world has one"
_OWN_LEDGER = "needs a sensor with a ledger of its own, which the world does not have"
_ONE_SYNC = "needs two syncs that send different values; in the world a second sync sends the same"
#: Patches that cannot break a promise in a simulation, and why.
NOT_SHOWN = {
    **dict.fromkeys(
        (
            "memory-of-keys-unsalted",
            "memory-values-unsalted",
            "memory-values-compared-always",
            "memory-values-of-one-sync",
            "unchanged-unsalted",
            "deferred-row-keys-in-arguments",
            "deferred-requests-beside-the-address",
        ),
        _KEPT,
    ),
    **dict.fromkeys(
        (
            "calls-connections-never-kept",
            "calls-not-slowed-down",
            "calls-rate-ignored",
            "calls-rate-of-each-kind",
            "calls-slow-for-ever",
            "calls-slowed-down-by-each",
            "calls-turn-during-trouble",
            "calls-wait-too-long-for-a-turn",
            "intent-groups-fixed",
            "intent-groups-of-unrepeatable-grow",
            "intent-too-old-handed-out",
            "calls-hold-not-counted",
            "calls-hold-lengthened",
            "calls-hold-unbounded",
            "calls-retry-after-ignored",
            "calls-retry-after-of-rate-limits-only",
            "calls-pages-are-no-trouble",
            "calls-no-trial",
            "calls-no-probe",
            "calls-first-call-not-alone",
            "calls-made-after-giving-up",
            "calls-any-row-tries",
            "calls-stale-success",
            "calls-probe-blocks",
            "calls-lost-path",
            "deferred-blocks-the-event-loop",
            "deferred-first-poll-in-a-thread",
            "deferred-groups-never",
            "deferred-late-at-its-end",
            "deferred-learns-anew",
            "deferred-poll-outlives-its-trigger",
            "ladder-reading-for-ever",
            "ladder-reading-not-used",
            "ladder-reading-of-any-account",
            "ladder-reading-of-one-task",
            "ladder-reading-overwritten",
            "poll-first-at-once",
            "poll-outage-asks-all",
            "poll-queue-asked-in-whole",
            "poll-queue-one-order",
            "poll-reading-kept",
            "poll-two-gates-missed",
            "poll-trips-by-instance",
            "poll-writes-in-the-loop",
            "poll-time-of-another-sensor",
            "poll-time-before-all-verdicts",
            "receipts-gathered-while-busy",
            "verdict-trouble-polls-late",
            "verdict-trouble-waits-for-the-ladder",
            "verdict-lost-not-asked-first",
            "verdict-offset-forgotten",
            "intent-too-old-ends-the-run",
        ),
        _COST,
    ),
    **dict.fromkeys(
        (
            "calls-hold-not-logged",
            "calls-retry-not-logged",
            "deferred-error-not-met-by-the-task",
            "deferred-event-of-another-version",
            "deferred-event-with-any-state",
            "deferred-triggerers-error-ignored",
            "deferred-wrong-connection-tried-again",
            "reading-reason-in-message",
        ),
        _LOG,
    ),
    **dict.fromkeys(
        (
            "deferred-arguments-of-any-size",
            "deferred-event-of-any-size",
            "deferred-groups-at-once",
            "deferred-groups-without-a-ledger",
            "lost-receipts-green",
            "receipts-of-many-listed",
            "poll-budget",
            "poll-starves",
        ),
        _LARGE,
    ),
    **dict.fromkeys(
        (
            "reading-202",
            "reading-message-type",
            "reading-request-id-unfit",
            "reading-number-ids",
            "verdict-foreign-refusal",
        ),
        _FORMS,
    ),
    **dict.fromkeys(
        (
            "calls-connections-kept-on",
            "calls-dripping-lasts",
            "calls-never-cut-off",
            "calls-unkeyed-on-kept-connections",
            "calls-may-send-last",
        ),
        _SOCKETS,
    ),
    **dict.fromkeys(
        (
            "erase-before-a-late-verdict",
            "erase-holds-all-rows-back",
            "erase-leaves-kin",
            "erase-leaves-lost-requests",
            "erase-leaves-match-keys",
            "erase-leaves-unchanged-rows",
            "erase-older-value",
            "erase-unconfirmed",
            "erase-while-another-row-is-open",
            "erase-while-open",
        ),
        _ERASURE,
    ),
    **dict.fromkeys(
        (
            "unchanged-context",
            "unchanged-function-by-its-column",
            "unchanged-function-called-twice",
            "unchanged-mapping",
            "unchanged-migration-once",
            "unchanged-package-version",
            "unchanged-repr-of-any-type",
            "unchanged-version-5",
            "unchanged-zone-by-its-name",
        ),
        _ONE_VERSION,
    ),
    **dict.fromkeys(("memory-spelling-left-behind", "memory-spelling-of-other-digits"), _OTHERS),
    "memory-spelling-of-a-new-lead": "the row is sent once more, and by that its lead is known by this spelling, too",
    "unchanged-by-lead-only": (
        "all that is sent to its lead changes a line of the lead or of a match key, which ends what is known of the "
        "row; an intent that changes its own line alone is for another lead"
    ),
    "unchanged-contested": (
        "the run that compares such a row notes that it was seen, which changes its lead's line, so that nothing is "
        "kept"
    ),
    "output-missing-is-green": (
        "a task without an output has failed, and the sensor right behind it is red for that reason, too"
    ),
    "output-skipped-is-missed": (
        "only a task with nothing to send is skipped; a mapped one is not, and no sensor is behind another"
    ),
    "unchanged-doubled-key": "needs two rows of one key in one query, which the world does not have",
    "unchanged-of-any-sync": _ONE_SYNC,
    "memory-line-not-loaded": "takes away a check of other code of ours, which is right as it is",
    **dict.fromkeys(
        (
            "memory-overwritten-by-another-sync",
            "memory-values-filled",
            "memory-values-of-a-sync-that-updates-nothing",
            "memory-values-of-the-last-sending-only",
            "memory-values-of-unique-fields",
            "memory-values-that-overwrite-nothing",
            "memory-writer-of-any-sync",
        ),
        _ONE_SYNC,
    ),
    "memory-of-accounts-mixed": "needs two accounts; a simulation has one",
    "sync-default-names-collide": "needs tasks of other names; those of the world are fixed",
    "verdict-first-seen-clock": "needs RequestIds without a time of acceptance, which no task of the world gives",
    **dict.fromkeys(
        ("late-receipts-beside-an-own-ledger", "sql-late-receipt-verdict", "verdicts-of-captures-in-the-own-ledger"),
        _OWN_LEDGER,
    ),
    **dict.fromkeys(("lines-known-by-request-id-alone", "request-id-repeated-by-instances"), _TWO_LEDGERS),
    "request-id-repeated-in-a-ledger": "needs a ledger with two lines of one RequestId; ours refuse the second receipt",
    "waiting-row-not-superseded": "the row is not sent either way; only the state that it counts under differs",
    "verdict-stale-date": "needs responses with an earlier date; each response of the world has its own or none",
    "deferred-ledger-read-once": "a task whose trigger fails is tried again, and polls then: no promise is broken",
    "unchanged-match-key-of-another-lead": (
        "a lead that loses a match key loses it to another one's sending, which changes its line; without that, two "
        "leads must share a phone and a row have it alone, which is left out of the world"
    ),
    "sql-claim-lock": "transactions follow one another in the simulated database; a claim need not be locked there",
}
